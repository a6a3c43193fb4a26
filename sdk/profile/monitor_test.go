package profile_test

import (
	"errors"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Profiles that were written before there were monitors are read as what they
// were: one index, each feature against the same threshold.
func TestFormat1IsOneMonitor(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]struct {
		schedule profile.Schedule
		monitor  profile.Monitor
	}{
		"format1-default.json": {
			profile.Schedule{Cron: "0 0 0 * * *", Zone: "UTC"},
			profile.Monitor{Threshold: profile.Significant(0.05)},
		},
		"format1-normal.json": {
			profile.Schedule{Cron: "0 0 0 * * *", Zone: "UTC"},
			profile.Monitor{Threshold: profile.Significant(0.01)},
		},
		"format1-fixed.json": {
			profile.Schedule{Cron: "*/5 * * * *", Zone: "UTC", Lookback: time.Hour, OnClose: true},
			profile.Monitor{Threshold: profile.Above(0.2), Features: []string{"age", "color"}, MinSample: 200, Routes: []string{"console", "slack"}},
		},
	} {
		t.Run(file, func(t *testing.T) {
			text, err := os.ReadFile("testdata/" + file)
			if err != nil {
				t.Fatal(err)
			}
			p, err := profile.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			m := want.monitor
			m.Name, m.Detector, m.Severity, m.Persistence = "psi", "psi", profile.Warning, profile.Persistence{K: 1, N: 1}
			if p.Schedule != want.schedule || p.Correction != profile.Uncorrected || !reflect.DeepEqual(p.Monitors, []profile.Monitor{m}) {
				t.Errorf("%+v, %s, %+v", p.Schedule, p.Correction, p.Monitors)
			}
			if p.UID != "01970f4e-6c1a-7b32-9d55-0c2f6f1f5d11" || p.Version != "1.2.0" || len(p.Features) != 3 ||
				p.Features[1].Baseline.Special[profile.Missing] != 1 || p.Features[2].Bins[2].Category != "röd" {
				t.Errorf("the reference is not what it was: %+v", p)
			}
			if _, err := profile.Parse([]byte(strings.Replace(string(text), "features_to_monitor", "to_monitor", 1))); err == nil {
				t.Error("an unknown member is accepted")
			}
		})
	}
}

// Every problem of every monitor is told at once, by its name and its rule.
func TestMonitorsAreChecked(t *testing.T) {
	t.Parallel()
	of := func(change func(m *profile.Monitor)) profile.Monitor {
		m := profile.Monitor{Name: "m", Detector: "psi"}
		change(&m)
		return m
	}
	for rule, m := range map[string]profile.Monitor{
		"MONITOR_NAME":     of(func(m *profile.Monitor) { m.Name = "a b" }),
		"DETECTOR":         of(func(m *profile.Monitor) { m.Detector = "PSI" }),
		"MONITOR_FEATURES": of(func(m *profile.Monitor) { m.Features = []string{"x", "x"} }),
		"PARAMETER":        of(func(m *profile.Monitor) { m.Parameters = map[string]float64{"a": math.NaN()} }),
		"THRESHOLD_VALUE":  of(func(m *profile.Monitor) { m.Threshold = profile.Above(-1) }),
		"THRESHOLD_ALPHA":  of(func(m *profile.Monitor) { m.Threshold = profile.Significant(1) }),
		"THRESHOLD_BUDGET": of(func(m *profile.Monitor) { m.Threshold = profile.AtMost(1, 0) }),
		"THRESHOLD_CHUNKS": of(func(m *profile.Monitor) {
			m.Threshold = profile.Beyond(3, map[string]profile.Chunks{"x": profile.ChunksOf([]float64{1})})
		}),
		"THRESHOLD_LIMIT": of(func(m *profile.Monitor) { m.Threshold.Limit = "folklore" }),
		"PERSISTENCE":     of(func(m *profile.Monitor) { m.Persistence = profile.Persistence{K: 3, N: 2} }),
		"SEVERITY":        of(func(m *profile.Monitor) { m.Severity = "dire" }),
		"ROUTE":           of(func(m *profile.Monitor) { m.Routes = []string{"a", "a"} }),
	} {
		_, err := profile.New([]profile.Column{{Name: "x", Type: profile.Float, Numbers: sequence(20)}},
			profile.Options{Space: "s", Name: "n", Monitors: []profile.Monitor{{Name: "good", Detector: "psi"}, m}})
		var broken *profile.Error
		if !errors.As(err, &broken) || broken.Rule != rule || broken.Monitor != m.Name {
			t.Errorf("%s: %v", rule, err)
		}
	}
	_, err := profile.New([]profile.Column{{Name: "x", Type: profile.Float, Numbers: sequence(20)}}, profile.Options{
		Space: "s", Name: "n", Schedule: profile.Schedule{Zone: "Mars/Olympus"}, Correction: "hope",
		Monitors: []profile.Monitor{{Name: "twin", Detector: "psi"}, {Name: "twin", Detector: "psi", Severity: "dire", Features: []string{"z"}}},
	})
	for _, rule := range []string{"ZONE", "CORRECTION", "MONITOR_NAME", "SEVERITY", "MONITOR_FEATURES"} {
		if err == nil || !strings.Contains(err.Error(), rule) {
			t.Errorf("%v does not name %s", err, rule)
		}
	}
}

func TestWatches(t *testing.T) {
	t.Parallel()
	every := profile.DefaultMonitor()
	some := profile.Monitor{Features: []string{"x"}}
	known := profile.Monitor{Threshold: profile.Beyond(3, map[string]profile.Chunks{"x": {}})}
	if !every.Watches("y") || !some.Watches("x") || some.Watches("y") || !known.Watches("x") || known.Watches("y") {
		t.Error("a monitor watches other features than it names")
	}
	f := &profile.Feature{Bins: make([]profile.Bin, 10)}
	fixed := profile.Monitor{Threshold: profile.Above(0.2)}
	if every.Minimum(f) != 0 || fixed.Minimum(f) != 101 || (&profile.Monitor{MinSample: 7}).Minimum(f) != 7 {
		t.Error("minimum sample")
	}
	if c := profile.ChunksOf([]float64{2, 4, 4, 4, 5, 5, 7, 9}); c.Mean != 5 || c.StdDev != 2 || c.Number != 8 {
		t.Errorf("%+v", c)
	}
}

func TestParseMonitors(t *testing.T) {
	t.Parallel()
	got, err := profile.ParseMonitors([]byte(`[
		{"name": "psi", "detector": "psi"},
		{"name": "chunks", "detector": "psi", "threshold": {"deviations": {"sigmas": 3, "chunks": {"x": {"values": [2, 4]}}}}, "persistence": {"k": 2, "n": 3}}]`))
	if err != nil {
		t.Fatal(err)
	}
	want := []profile.Monitor{profile.DefaultMonitor(), {
		Name: "chunks", Detector: "psi", Severity: profile.Warning, Persistence: profile.Persistence{K: 2, N: 3},
		Threshold: profile.Beyond(3, map[string]profile.Chunks{"x": {Mean: 3, StdDev: 1, Number: 2}}),
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{`[{"name": "a"}] []`, `[{"nome": "a"}]`, `{}`, `[{"threshold": {}}]`} {
		if _, err := profile.ParseMonitors([]byte(bad)); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}
