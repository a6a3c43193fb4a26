package alert

import (
	"path"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Match chooses alerts by globs: * is any text, ? any letter, [a-z] one of
// some. An empty one matches everything.
type Match struct {
	Tenant   string `yaml:"tenant" json:"tenant,omitempty"`
	Space    string `yaml:"space" json:"space,omitempty"`
	Profile  string `yaml:"profile" json:"profile,omitempty"` // its name
	Monitor  string `yaml:"monitor" json:"monitor,omitempty"`
	Detector string `yaml:"detector" json:"detector,omitempty"`
	Severity string `yaml:"severity" json:"severity,omitempty"`
	Feature  string `yaml:"feature" json:"feature,omitempty"`
}

// glob is one pattern of a Match, with what it is called and what it is held
// against.
type glob struct{ name, pattern, value string }

func (m Match) globs(e *Event) []glob {
	return []glob{
		{"tenant", m.Tenant, e.Tenant}, {"space", m.Space, e.Space()}, {"profile", m.Profile, e.Name()}, {"monitor", m.Monitor, e.Monitor},
		{"detector", m.Detector, e.Detector}, {"severity", m.Severity, string(e.Severity)},
	}
}

// maxGlob bounds the length of a pattern.
const maxGlob = 256

// Check reports a pattern that cannot be read, by name.
func (m Match) Check() error {
	for _, g := range append(m.globs(&Event{}), glob{name: "feature", pattern: m.Feature}) {
		if _, err := path.Match(g.pattern, ""); err != nil || len(g.pattern) > maxGlob {
			return fault.Invalid.New("%s: %.100q is no pattern of at most %d bytes, such as \"pay*\"", g.name, g.pattern, maxGlob).WithReason("INVALID_PATTERN")
		}
	}
	return nil
}

// All reports whether all of the event is matched: every feature that moved.
func (m Match) All(e *Event) bool {
	return m.outside(e) && m.features(e, true)
}

// Any reports whether the event is matched, by any feature that moved.
func (m Match) Any(e *Event) bool {
	return m.outside(e) && m.features(e, false)
}

func (m Match) outside(e *Event) bool {
	for _, g := range m.globs(e) {
		if !matches(g.pattern, g.value) {
			return false
		}
	}
	return true
}

// features reports whether all features match, or any. Those that the event only
// counts match no pattern.
func (m Match) features(e *Event, all bool) bool {
	if m.Feature == "" || m.Feature == "*" {
		return true
	}
	if all && e.Count > len(e.Moved) {
		return false
	}
	for i := range e.Moved {
		if matches(m.Feature, e.Moved[i].Feature) != all {
			return !all
		}
	}
	return all && len(e.Moved) > 0
}

func matches(pattern, value string) bool {
	if pattern == "" {
		return true
	}
	// A slash is a letter like any other.
	flat := func(text string) string { return strings.ReplaceAll(text, "/", "\x00") }
	ok, err := path.Match(flat(pattern), flat(value))
	return err == nil && ok
}

// Silence keeps alerts from being told for a while. They are recorded as ever.
type Silence struct {
	ID, Tenant string
	Match      Match
	Start, End time.Time
	Reason, By string
	Created    time.Time
	// Expired is when somebody ended it before its time, and ExpiredBy who.
	Expired   time.Time
	ExpiredBy string
}

// Active reports whether the silence holds at that time.
func (s *Silence) Active(now time.Time) bool {
	return !now.Before(s.Start) && now.Before(s.End) && s.Expired.IsZero()
}

// Silenced is the first of the silences that holds at that time and matches the
// whole event, or nil.
func Silenced(silences []*Silence, e *Event, now time.Time) *Silence {
	for _, s := range silences {
		if s.Active(now) && s.Match.All(e) {
			return s
		}
	}
	return nil
}
