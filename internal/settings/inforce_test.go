package settings_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/settings"
)

type everything struct {
	Config string                                      `help:"Settings file."`
	Plain  string                                      `help:"A text." default:"usual"`
	Size   settings.Size                               `help:"A size." default:"64MiB"`
	Wait   time.Duration                               `help:"A duration." default:"5s"`
	Tags   []string                                    `help:"Texts."`
	Link   string                                      `help:"A text that may be a URL."`
	URL    settings.Secret                             `secret:"url" help:"A URL." default:"nats://127.0.0.1:4222"`
	DSN    settings.Secret                             `secret:"url" help:"A connection string."`
	Token  settings.Secret                             `help:"A secret."`
	Mesh   settings.Secrets                            `help:"Secrets."`
	Doors  settings.Tree[map[string]door]              `help:"A tree."`
	Others settings.Tree[map[string]map[string]string] `help:"A tree whose texts are no secrets."`
}

// planted stands wherever a secret may.
const planted = "hunter2-hunter2-hunter2-hunter2-hunter2"

func inForce(t *testing.T, file string, args ...string) (*everything, func() map[string]settings.Setting) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "driftmesh.yaml")
	require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
	var cli everything
	kctx, err := settings.Parse(settings.Program{Name: "program", Args: append(args, "--config", path), Stdout: io.Discard, Stderr: io.Discard}, &cli, nil)
	require.NoError(t, err)
	of, err := settings.Of(kctx)
	require.NoError(t, err)
	return &cli, func() map[string]settings.Setting {
		all := map[string]settings.Setting{}
		for _, s := range of.List() {
			all[s.Name] = s
		}
		return all
	}
}

func TestSettingsInForceSayWhoSetThem(t *testing.T) {
	t.Setenv("DRIFTMESH_WAIT", "72h")
	cli, list := inForce(t, "size: 1GiB\ntags: [a, b]\n", "--link", "http://here")
	all := list()
	for name, want := range map[string][2]string{
		"plain": {"usual", "default"}, "size": {"1GiB", "file"}, "wait": {"72h", "environment"}, "tags": {"a,b", "file"},
		"link": {"http://here", "flag"}, "url": {"nats://127.0.0.1:4222", "default"}, "token": {"", "default"},
	} {
		require.Equal(t, want, [2]string{all[name].Value, all[name].Source}, name)
	}
	require.Equal(t, "64MiB", all["size"].Default)
	require.Equal(t, "A size.", all["size"].Help)
	require.NotContains(t, all, "help")
	require.True(t, all["url"].Secret && all["mesh"].Secret && all["doors"].Secret && !all["plain"].Secret)

	cli.Plain = "filled in"
	cli.URL = "sqlite:/data/state?_pragma=x"
	require.Equal(t, [2]string{"filled in", "process"}, [2]string{list()["plain"].Value, list()["plain"].Source})
	require.Equal(t, "sqlite:/data/state", list()["url"].Value)
}

// Whatever way a secret comes, it does not go.
func TestSettingsInForceTellNoSecret(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte(planted+"\n"+planted+"x\n"), 0o600))
	for _, file := range []string{
		"token: " + planted + "\nmesh: file:" + secret + "\n",
		"url: nats://user:" + planted + "@host:4222/path\n", "url: nats://" + planted + "@host\n", "url: nats://h1,nats://u:" + planted + "@h2\n",
		"url: nats://a:" + planted + "@h1,b:" + planted + "@h2\n", "url: amqp://h/?password=" + planted + "\n", "url: 'amqp://h/#" + planted + "'\n",
		"url: '" + planted + "'\n", "url: 'user:" + planted + "'\n", "url: ':/" + planted + "'\n", "dsn: host=h user=me password=" + planted + "\n", "link: http://me:" + planted + "@h\n",
		"doors: {front: {url: " + planted + "}}\n", "doors: {front: {url: file:" + secret + "}}\n",
		"others: {front: {hook: 'https://me:" + planted + "@h'}}\n", "tags: ['https://me:" + planted + "@h']\n",
	} {
		_, list := inForce(t, file)
		text := fmt.Sprint(list())
		require.NotContains(t, text, "hunter2", strings.ReplaceAll(file, planted, "SECRET"))
	}
	_, list := inForce(t, "url: nats://user:"+planted+"@host:4222/path?token="+planted+"\nmesh: file:"+secret+"\n")
	require.Equal(t, "nats://host:4222/path", list()["url"].Value)
	require.Equal(t, "***", list()["mesh"].Value)
	_, list = inForce(t, "doors: {front: {url: "+planted+", wait: 3s}}\n")
	require.Equal(t, "front:\n    url: '***'\n    wait: 3s", list()["doors"].Value)
}
