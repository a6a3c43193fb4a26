package settings_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/settings"
)

type shared struct {
	Config string          `help:"Settings file."`
	Token  settings.Secret `help:"A secret." name:"token"`
}

type section struct {
	Listen string        `help:"Address." default:"127.0.0.1:1"`
	Limit  settings.Size `help:"Limit." default:"64MiB"`
	Wait   time.Duration `help:"Wait." default:"5s"`
	Tags   []string      `help:"Tags."`
}

func (s section) Validate() error {
	if s.Wait < 0 {
		return fmt.Errorf("drift.wait: must not be negative")
	}
	return nil
}

func parse(t *testing.T, file string, args ...string) (shared, section, error) {
	t.Helper()
	if file != "" {
		path := filepath.Join(t.TempDir(), "driftmesh.yaml")
		require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
		args = append(args, "--config", path)
	}
	var cli shared
	var cfg section
	var out bytes.Buffer
	_, err := settings.Parse(settings.Program{
		Name: "test", Section: "drift", Foreign: []string{"gateway"},
		Args: args, Stdout: &out, Stderr: &out,
	}, &cli, &cfg)
	return cli, cfg, err
}

const yaml = "drift:\n  listen: from-file:1\n  limit: 1GiB\n  tags: [a, b]\ngateway:\n  anything: 1\n"

func TestFlagBeatsEnvironmentBeatsFileBeatsDefault(t *testing.T) {
	_, cfg, err := parse(t, "")
	require.NoError(t, err)
	require.Equal(t, section{Listen: "127.0.0.1:1", Limit: 64 << 20, Wait: 5 * time.Second}, cfg)

	_, cfg, err = parse(t, yaml)
	require.NoError(t, err)
	require.Equal(t, section{Listen: "from-file:1", Limit: 1 << 30, Wait: 5 * time.Second, Tags: []string{"a", "b"}}, cfg)

	t.Setenv("DRIFTMESH_DRIFT_LISTEN", "from-env:1")
	_, cfg, err = parse(t, yaml)
	require.NoError(t, err)
	require.Equal(t, "from-env:1", cfg.Listen)

	_, cfg, err = parse(t, yaml, "--drift.listen", "from-flag:1")
	require.NoError(t, err)
	require.Equal(t, "from-flag:1", cfg.Listen)
}

func TestEveryUnknownKeyIsNamed(t *testing.T) {
	_, _, err := parse(t, "drift:\n  lisen: x\nbrocker:\n  url: y\n")
	require.ErrorContains(t, err, "unknown settings: brocker.url, drift.lisen")
}

func TestBadValuesStopTheStart(t *testing.T) {
	for _, row := range []struct{ arg, want string }{
		{"--drift.limit=64", "a unit is needed"},
		{"--drift.limit=xMiB", "not a positive number"},
		{"--drift.limit=NaNMiB", "not a positive number"},
		{"--drift.wait=soon", "drift.wait"},
		{"--drift.wait=-1s", "must not be negative"},
		{"--token=file:/nowhere/at/all", "read secret"},
	} {
		_, _, err := parse(t, "", row.arg)
		require.ErrorContains(t, err, row.want, row.arg)
	}
}

func TestFilledKeepsWhatIsSet(t *testing.T) {
	type part struct {
		Wait time.Duration `default:"2s"`
	}
	type config struct {
		part   `embed:""`
		Size   settings.Size `default:"1MiB"`
		Name   string        `default:"usual"`
		Inside int           `kong:"-"`
	}
	require.Equal(t, config{part: part{2 * time.Second}, Size: 1 << 20, Name: "mine", Inside: 7}, settings.Filled(config{Name: "mine", Inside: 7}))
}

func TestASecretNeverShows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(path, []byte("hunter2\n"), 0o600))
	cli, _, err := parse(t, "", "--token", "file:"+path)
	require.NoError(t, err)
	require.Equal(t, "hunter2", cli.Token.Reveal())

	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "token", cli.Token, "all", cli)
	marshalled, err := json.Marshal(cli)
	require.NoError(t, err)
	shown := log.String() + string(marshalled) + fmt.Sprintf("%v %+v %#v %s", cli, cli, cli, cli.Token)
	require.NotContains(t, shown, "hunter2")
	require.Contains(t, shown, "***")
}

type door struct {
	URL  settings.Secret `yaml:"url"`
	Wait time.Duration   `yaml:"wait"`
}

func TestATreeIsOneSettingInEveryForm(t *testing.T) {
	type config struct {
		Doors settings.Tree[map[string]door]   `help:"Doors."`
		Rules settings.Tree[[]map[string]door] `help:"Rules."`
	}
	read := func(file string, args ...string) (config, error) {
		path := filepath.Join(t.TempDir(), "driftmesh.yaml")
		require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
		var cfg config
		var cli shared
		_, err := settings.Parse(settings.Program{
			Name: "test", Section: "drift", Args: append(args, "--config", path), Stdout: io.Discard, Stderr: io.Discard,
		}, &cli, &cfg)
		return cfg, err
	}
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("hunter2\n"), 0o600))
	want := map[string]door{"front": {URL: "hunter2", Wait: 3 * time.Second}}
	file := "drift:\n  doors:\n    front: {url: file:" + secret + ", wait: 3s}\n  rules:\n    - {a: {wait: 1s}}\n"
	cfg, err := read(file)
	require.NoError(t, err)
	require.Equal(t, want, cfg.Doors.Value)
	require.Equal(t, []map[string]door{{"a": {Wait: time.Second}}}, cfg.Rules.Value)
	require.NotContains(t, fmt.Sprintf("%v %+v", cfg, cfg), "hunter2")

	cfg, err = read(file, "--drift.doors", "{back: {wait: 1m}}")
	require.NoError(t, err)
	require.Equal(t, map[string]door{"back": {Wait: time.Minute}}, cfg.Doors.Value)

	t.Setenv("DRIFTMESH_DRIFT_DOORS", "file:"+filepath.Join(t.TempDir(), "none"))
	_, err = read("")
	require.ErrorContains(t, err, "read setting")
	t.Setenv("DRIFTMESH_DRIFT_DOORS", "{front: {url: file:"+secret+", wait: 3s}}")
	cfg, err = read("")
	require.NoError(t, err)
	require.Equal(t, want, cfg.Doors.Value)

	_, err = read("", "--drift.doors", "{front: {color: red}}")
	require.ErrorContains(t, err, "field color not found")
	_, err = read("drift:\n  windows: 1\n")
	require.ErrorContains(t, err, "unknown settings: drift.windows")
}

func TestSizesRoundTrip(t *testing.T) {
	for text, want := range map[string]settings.Size{"0": 0, "1B": 1, "1.5KiB": 1536, "64MiB": 64 << 20, "2GB": 2e9} {
		var s, again settings.Size
		require.NoError(t, s.UnmarshalText([]byte(text)))
		require.Equal(t, want, s)
		require.NoError(t, again.UnmarshalText([]byte(s.String())))
		require.Equal(t, want, again)
	}
}

type connections struct {
	Broker settings.Secret     `secret:"url" help:"A URL." name:"broker"`
	Mesh   settings.Secrets    `help:"Secrets." name:"mesh"`
	Doors  settings.Tree[door] `help:"A tree." name:"doors"`
	Name   string              `help:"No secret." name:"name"`
}

// ps shows command lines to everybody.
func TestNoSecretStandsOnACommandLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("hunter2\n"), 0o600))
	run := func(args ...string) (connections, error) {
		var cli connections
		_, err := settings.Parse(settings.Program{Name: "program", Args: args, Stdout: io.Discard, Stderr: io.Discard}, &cli, nil)
		return cli, err
	}
	for _, args := range [][]string{
		{"--mesh", "hunter2"}, {"--mesh=hunter2"}, {"--name", "x", "--mesh", "hunter2"}, {"--doors", "{url: hunter2}"},
		{"--broker", "nats://mesh:hunter2@h:4222"}, {"--broker=nats://h?token=hunter2"}, {"--broker", "redis+sentinel://h/x?Sentinel-Password=hunter2"},
		{"--broker", "amqp://h?management=http%3A%2F%2Fme%3Ahunter2%40h"}, {"--broker", "host=h user=me password=hunter2"},
	} {
		_, err := run(args...)
		require.ErrorContains(t, err, "a secret on a command line is for every process of this machine to read", args)
		require.NotContains(t, err.Error(), "hunter2")
	}
	_, err := run("--mesh", "hunter2")
	require.EqualError(t, err, "--mesh: a secret on a command line is for every process of this machine to read: "+
		"give --mesh=file:PATH (file:/dev/stdin is one), or the variable DRIFTMESH_MESH, or the key in the settings file")
	for _, args := range [][]string{
		{"--mesh", "file:" + file}, {"--mesh="}, {"--doors", "{url: file:" + file + "}"}, {"--broker", "nats://h:4222"},
		{"--broker", "nats://me@h?password-file=" + file}, {"--broker", "sqlite:data/state"}, {"--broker=file:" + file}, {"--name", "hunter2"},
	} {
		_, err := run(args...)
		require.NoError(t, err, args)
	}
	t.Setenv("DRIFTMESH_MESH", "hunter2")
	t.Setenv("DRIFTMESH_BROKER", "nats://mesh:hunter2@h:4222")
	cli, err := run()
	require.NoError(t, err)
	require.Equal(t, "hunter2", cli.Mesh.First().Reveal())
}

// What runs a program may give it secrets in variables, which settings name.
func TestASecretInAVariable(t *testing.T) {
	t.Setenv("CORP_CLIENT_SECRET", "s3cret")
	cli, _, err := parse(t, "", "--token", "env:CORP_CLIENT_SECRET")
	require.NoError(t, err)
	require.Equal(t, "s3cret", cli.Token.Reveal())
	_, _, err = parse(t, "", "--token", "env:NO_SUCH_VARIABLE")
	require.ErrorContains(t, err, "there is no variable NO_SUCH_VARIABLE")
}
