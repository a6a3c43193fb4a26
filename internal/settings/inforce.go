package settings

import (
	"encoding"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// Setting is a setting as it is in force, as it may be shown: nothing of a secret is
// in it.
type Setting struct {
	Name, Value, Default, Help string
	// Source is who set it: flag, environment, file, default, or process, which
	// fills in what follows from others.
	Source string
	Secret bool // it is one, or may hold some
}

// InForce are the settings of a program that runs. The zero value has none.
type InForce struct{ held []held }

type held struct {
	flag   *kong.Flag
	source string
	read   any // what was read, before the process filled anything in
}

// hidden stands for a secret.
const hidden = "***"

// newInForce keeps the settings of what was parsed.
func newInForce(kctx *kong.Context, file *file) InForce {
	flags := map[*kong.Flag]bool{}
	for _, part := range kctx.Path {
		if part.Flag != nil && !part.Resolved {
			flags[part.Flag] = true
		}
	}
	var s InForce
	for _, flag := range kctx.Flags() {
		if flag.Hidden || flag.Name == "help" {
			continue
		}
		source := "default"
		if value, err := file.Resolve(nil, nil, flag); err == nil && value != nil {
			source = "file"
		}
		for _, name := range flag.Envs {
			if _, ok := os.LookupEnv(name); ok {
				source = "environment"
			}
		}
		if flags[flag] {
			source = "flag"
		}
		s.held = append(s.held, held{flag, source, flag.Target.Interface()})
	}
	return s
}

// List gives the settings as they are now.
func (s InForce) List() []Setting {
	list := make([]Setting, len(s.held))
	for i, h := range s.held {
		list[i] = Setting{
			Name: h.flag.Name, Value: shown(h.flag), Default: h.flag.Default, Help: h.flag.Help, Source: h.source, Secret: holdsSecret(h.flag.Target.Type()),
		}
		if !reflect.DeepEqual(h.read, h.flag.Target.Interface()) {
			list[i].Source = "process"
		}
	}
	return list
}

// shown is a value as it may be shown.
func shown(flag *kong.Flag) string {
	value := flag.Target
	switch t := value.Type(); {
	case t == secretType && value.String() == flag.Default: // which is known to everybody
		return flag.Default
	case t == secretType && flag.Tag.Get("secret") == "url":
		return plain(value.String())
	case t == secretType || t == secretsType:
		return fmt.Sprint(value.Interface())
	case t.Implements(treeType):
		return shownTree(value)
	}
	text := textOf(value)
	if inURL.MatchString(text) {
		return hidden
	}
	return text
}

// plain is of a URL what no secret stands in: its scheme, host and path. What is
// none, or may have more than one host with a password each, is hidden.
func plain(text string) string {
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" && u.Scheme != "sqlite" { // sqlite:DIRECTORY
		return hidden
	}
	u.User, u.RawQuery, u.Fragment, u.RawFragment = nil, "", "", ""
	if text = u.String(); strings.Contains(text, "@") || inURL.MatchString(text) {
		return hidden
	}
	return text
}

// shownTree is YAML in which secrets hide themselves. That none stands there all the
// same, under another name, is looked at.
func shownTree(tree reflect.Value) string {
	value := tree.FieldByName("Value")
	if value.IsZero() {
		return ""
	}
	out, err := yaml.Marshal(value.Interface())
	if err != nil {
		return hidden
	}
	text, leaks := strings.TrimSpace(string(out)), inURL.Match(out)
	walk(value, func(s Secret) { leaks = leaks || s != "" && strings.Contains(text, s.Reveal()) })
	if leaks {
		return hidden
	}
	return text
}

func textOf(value reflect.Value) string {
	if value.Kind() == reflect.Slice {
		parts := make([]string, value.Len())
		for i := range parts {
			parts[i] = textOf(value.Index(i))
		}
		return strings.Join(parts, ",")
	}
	if d, ok := value.Interface().(time.Duration); ok { // as one writes it: 720h, not 720h0m0s
		text := d.String()
		for _, end := range []string{"m0s", "h0m"} {
			if strings.HasSuffix(text, end) {
				text = text[:len(text)-2]
			}
		}
		return text
	}
	if m, ok := value.Interface().(encoding.TextMarshaler); ok {
		if text, err := m.MarshalText(); err == nil {
			return string(text)
		}
	}
	return fmt.Sprint(value.Interface())
}
