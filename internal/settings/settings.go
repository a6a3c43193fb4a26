// Package settings turns flags, environment and a YAML file into a struct.
//
// One struct field is one setting, and one setting has one name: the flag
// --drift.listen, the variable DRIFTMESH_DRIFT_LISTEN and the key listen under
// drift in the file are the same thing, in a service's own program and in the
// all-in-one. A flag beats a variable, a variable beats the file, and the file
// beats the default. What a setting is for, and its default, stand in the
// struct's tags, from which --help is made.
//
// Only this package reads the environment.
package settings

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

// DefaultFile is read when it is there and no other file is named.
const DefaultFile = "driftmesh.yaml"

// Prefix begins the name of every environment variable.
const Prefix = "DRIFTMESH"

// Program describes a command line.
type Program struct {
	Name        string   // as it is called
	Description string   // one sentence for --help
	Foreign     []string // top-level keys of the file that belong to other programs
	Args        []string // without the program's name
	Stdout      io.Writer
	Stderr      io.Writer
	Exit        func(int) // called by --help and --version

	// Vars fill ${name} in the defaults of the settings.
	Vars map[string]string

	// Section is set when cfg has no prefix of its own: its settings then live
	// under "<section>.".
	Section string
}

// Parse fills cli, a pointer to a struct of kong tags, and, when it is not
// nil, cfg under p.Section. The file is the one given with --config, else by
// DRIFTMESH_CONFIG, else DefaultFile if there is one. It returns kong's
// context, whose Run calls the chosen command, if there are any, and gives it the
// InForce that it asks for.
//
// A key of the file that no setting has stops the program, and so does a bad
// value, and a secret that stands on the command line itself.
func Parse(p Program, cli, cfg any) (*kong.Context, error) {
	path, given := filePath(p.Args)
	file, err := readFile(path, given)
	if err != nil {
		return nil, err
	}
	file.foreign = p.Foreign
	options := []kong.Option{
		kong.Name(p.Name), kong.Description(p.Description),
		kong.UsageOnError(), kong.Writers(p.Stdout, p.Stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.DefaultEnvars(Prefix),
		kong.Resolvers(file, kong.ResolverFunc(fromEnvironment)),
		kong.Vars(p.Vars),
	}
	if p.Exit != nil {
		options = append(options, kong.Exit(p.Exit))
	}
	if cfg != nil {
		options = append(options, kong.Embed(cfg, `prefix:"`+p.Section+`."`, `group:"`+p.Section+`"`))
	}
	parser, err := kong.New(cli, options...)
	if err != nil {
		return nil, fmt.Errorf("describe the command line: %w", err)
	}
	if err := refuseLiterals(parser.Model, p.Args); err != nil {
		return nil, err
	}
	kctx, err := parser.Parse(p.Args)
	if err != nil {
		return nil, err
	}
	// Kong validates what is embedded by tag; what is given to Embed it does not.
	if v, ok := cfg.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return nil, err
		}
	}
	kctx.Bind(newInForce(kctx, file))
	return kctx, nil
}

// Of are the settings of what was parsed.
func Of(kctx *kong.Context) (s InForce, err error) {
	_, err = kctx.Call(func(bound InForce) { s = bound })
	return s, err
}

// Defaults fills cfg with its defaults alone. Tests use it.
func Defaults(cfg any) error {
	parser, err := kong.New(cfg, kong.Name("defaults"))
	if err != nil {
		return fmt.Errorf("describe the settings: %w", err)
	}
	if _, err := parser.Parse(nil); err != nil {
		return fmt.Errorf("fill in the defaults: %w", err)
	}
	return nil
}

// Filled is cfg with its default in every field that is zero. It panics where
// the tags of T are wrong, which is a mistake in the program.
func Filled[T any](cfg T) T {
	if err := kong.ApplyDefaults(&cfg); err != nil {
		panic(err)
	}
	return cfg
}

// fromEnvironment lets a variable beat the file: of several resolvers kong
// takes the last that knows the flag.
func fromEnvironment(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if v, ok := os.LookupEnv(name); ok {
			return v, nil
		}
	}
	return nil, nil
}

// filePath finds the file before kong runs, as kong needs it to start.
func filePath(args []string) (path string, given bool) {
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if v, ok := strings.CutPrefix(arg, "--config="); ok {
			return v, true
		}
		if arg == "--config" && i+1 < len(args) {
			return args[i+1], true
		}
	}
	if v, ok := os.LookupEnv(Prefix + "_CONFIG"); ok && v != "" {
		return v, true
	}
	return DefaultFile, false
}

// OTel returns the variables of the process that begin with OTEL_, for the
// OpenTelemetry SDK, which has its own names for its own settings.
func OTel() map[string]string {
	vars := map[string]string{}
	for _, kv := range os.Environ() {
		if k, v, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(k, "OTEL_") && v != "" {
			vars[k] = v
		}
	}
	return vars
}

// GoMemoryLimit reports whether the Go runtime was given a memory limit.
func GoMemoryLimit() bool {
	_, given := os.LookupEnv("GOMEMLIMIT")
	return given
}
