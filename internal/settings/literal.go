package settings

import (
	"encoding"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

// What every process of the machine can read is no place for a secret: command
// lines are in ps, in /proc, in the shell's history and in whoever supervises.
var (
	secretType  = reflect.TypeFor[Secret]()
	secretsType = reflect.TypeFor[Secrets]()
	treeType    = reflect.TypeFor[tree]()
)

// inURL finds what is secret in a URL or a connection string: a password before
// the host, and parameters that are one. Parameters that name a file have another
// name.
var inURL = regexp.MustCompile(`://[^/?#@\s]*:[^/?#@\s]+@|(?i)\b(password|sentinel-password|token|secret|sslpassword)\s*=\s*[^&\s]`)

// refuseLiterals reports the first secret that stands on the command line itself.
func refuseLiterals(model *kong.Application, args []string) error {
	flags := map[string]*kong.Flag{}
	err := kong.Visit(model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok && holdsSecret(flag.Target.Type()) {
			flags[flag.Name] = flag
		}
		return next(nil)
	})
	if err != nil {
		return fmt.Errorf("describe the command line: %w", err)
	}
	for i, arg := range args {
		if arg == "--" {
			break
		}
		name, value, given := strings.Cut(arg, "=")
		flag := flags[strings.TrimPrefix(name, "--")]
		if flag == nil || !strings.HasPrefix(name, "--") {
			continue
		}
		if !given && i+1 < len(args) {
			value = args[i+1]
		}
		if literal(flag, value) {
			return errLiteral(flag)
		}
	}
	return nil
}

// holdsSecret tells whether a setting of this type is a secret, or may hold some.
func holdsSecret(t reflect.Type) bool {
	return t == secretType || t == secretsType || t.Implements(treeType)
}

// literal tells whether the value of a flag is a secret itself, not where to read
// one.
func literal(flag *kong.Flag, value string) bool {
	switch {
	case value == "" || strings.HasPrefix(value, filePrefix), strings.HasPrefix(value, envPrefix) && flag.Target.Type() == secretType:
		return false
	case flag.Target.Type().Implements(treeType):
		return treeHolds(flag.Target.Type(), value)
	case flag.Tag.Get("secret") == "url":
		plain, err := url.QueryUnescape(value)
		return inURL.MatchString(value) || err == nil && inURL.MatchString(plain)
	}
	return true
}

func errLiteral(flag *kong.Flag) error {
	ways := "give --" + flag.Name + "=file:PATH (file:/dev/stdin is one)"
	if len(flag.Envs) > 0 {
		ways += ", or the variable " + flag.Envs[0] + ", or the key in the settings file"
	}
	return fmt.Errorf("--%s: a secret on a command line is for every process of this machine to read: %s", flag.Name, ways)
}

// treeHolds tells whether a text that is a Tree has a secret written out in it:
// one that was read from a file is not in the text.
func treeHolds(t reflect.Type, text string) bool {
	value := reflect.New(t)
	reader, ok := value.Interface().(encoding.TextUnmarshaler)
	if !ok || reader.UnmarshalText([]byte(text)) != nil {
		return false // parsing it will say what is wrong
	}
	found := false
	walk(value.Elem(), func(s Secret) { found = found || s != "" && strings.Contains(text, s.Reveal()) })
	return found
}

// walk calls see with every Secret in a value.
func walk(v reflect.Value, see func(Secret)) {
	if v.Type() == secretType {
		see(Secret(v.String()))
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			walk(v.Elem(), see)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			walk(v.Field(i), see)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			walk(v.Index(i), see)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			walk(v.MapIndex(key), see)
		}
	default:
	}
}
