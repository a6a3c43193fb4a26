package profile

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Limits of monitors.
const (
	// MaxMonitors is the largest number of monitors of a profile.
	MaxMonitors = 50
	// MaxJudgements is the largest number of features that the monitors of a
	// profile judge, each counted once for every monitor.
	MaxJudgements = 10_000
	// MaxPersistence is the largest N of a [Persistence].
	MaxPersistence = 100
	// MaxParameters is the largest number of parameters of a monitor.
	MaxParameters = 50
	// MaxRoutes is the largest number of routes of a monitor.
	MaxRoutes = 20
)

// PSIDetector is the detector of the population stability index.
const PSIDetector = "psi"

// WrongTypeDetector is the detector of the share of values of another type. What a
// monitor with it watches is counted, where else the record is refused.
const WrongTypeDetector = "wrong_type"

// SamplesPerBin is the multiple of the number of bins that a sample must exceed
// to be held against a value when its monitor names no minimum.
const SamplesPerBin = 10

// Monitor watches features of a profile with one detector.
type Monitor struct {
	// Name is unique within the profile; alerts carry it.
	Name string
	// Detector names what judges, such as [PSIDetector], "ks" or "chi_square".
	// Which there are is the server's to say.
	Detector string
	// Features are those to judge; empty means all that the detector can judge.
	Features []string
	// Parameters are the detector's own; those not named have its defaults.
	Parameters map[string]float64
	// Threshold is what the statistic is held against. Zero means significance
	// [DefaultAlpha].
	Threshold Threshold
	// MinSample is the least number of observations of a feature that is judged;
	// below it the verdict is insufficient. 0 leaves it to the detector, whose
	// p-value holds for small samples too, and means more than [SamplesPerBin] for
	// each bin where the threshold is a value or deviations, which know nothing of
	// chance.
	MinSample uint64
	// Persistence is how many evaluations must agree. Zero means 1 of 1.
	Persistence Persistence
	// Severity says how much an alert matters. Empty means [Warning].
	Severity Severity
	// Routes name where alerts go; empty means everywhere that the server knows.
	Routes []string
}

// Persistence says that a feature has moved once its monitor found drift in K of
// its last N evaluations that had enough to judge by.
type Persistence struct{ K, N int }

// Severity says how much an alert matters.
type Severity string

// The severities.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Correction says how the significance of many judgements at once is kept: over
// all features and monitors of one evaluation that give a p-value.
type Correction string

// The corrections.
const (
	// BenjaminiHochberg bounds the share of false ones among the drifts that are
	// found; where nothing moved, that is the chance of finding any.
	BenjaminiHochberg Correction = "benjamini_hochberg"
	// Holm bounds the chance of any false drift.
	Holm Correction = "holm"
	// Bonferroni bounds the same, more bluntly.
	Bonferroni Correction = "bonferroni"
	// Uncorrected holds each judgement against the significance alone: of a
	// thousand features fifty drift at 0.05 where nothing moved.
	Uncorrected Correction = "none"
)

// DefaultCron evaluates once a day at midnight.
const DefaultCron = "0 0 0 * * *"

// Schedule says when a profile is evaluated, and over what.
type Schedule struct {
	// Cron is an expression with five fields, or six with seconds first. Empty
	// means [DefaultCron].
	Cron string
	// Zone is the IANA name of the time zone of Cron, such as "Europe/Rome".
	// Empty means UTC.
	Zone string
	// Lookback is the span of event time that an evaluation covers, back from
	// its slot. 0 means back to the slot before.
	Lookback time.Duration
	// OnClose also evaluates as each minute of event time closes.
	OnClose bool
}

// DefaultMonitor is what a profile has that names no other: the population
// stability index of every feature, at significance [DefaultAlpha].
func DefaultMonitor() Monitor {
	return Monitor{Name: PSIDetector, Detector: PSIDetector}.withDefaults()
}

func (m Monitor) withDefaults() Monitor {
	m.Threshold = m.Threshold.withDefaults()
	if m.Persistence == (Persistence{}) {
		m.Persistence = Persistence{K: 1, N: 1}
	}
	if m.Severity == "" {
		m.Severity = Warning
	}
	return m
}

// Minimum returns the least number of observations at which feature f is
// judged; 0 leaves it to the detector.
func (m *Monitor) Minimum(f *Feature) uint64 { return m.minimum(len(f.Bins)) }

// MinimumTogether is likewise of the rows of a group.
func (m *Monitor) MinimumTogether(g *Group) uint64 { return m.minimum(len(g.Features)) }

func (m *Monitor) minimum(cells int) uint64 {
	switch {
	case m.MinSample > 0:
		return m.MinSample
	case m.Threshold.Limit == Fixed || m.Threshold.Limit == Deviations:
		return uint64(SamplesPerBin*cells) + 1 //nolint:gosec // a few
	}
	return 0
}

// Watches reports whether the monitor asks for the feature by itself. A [Deviations]
// threshold says nothing of features without chunks, so they are not asked for.
func (m *Monitor) Watches(name string) bool {
	if m.Together() {
		return false
	}
	if m.Threshold.Limit == Deviations {
		if _, ok := m.Threshold.Chunks[name]; !ok {
			return false
		}
	}
	return len(m.Features) == 0 || slices.Contains(m.Features, name)
}

// Tolerates reports whether records may carry values of another type for the
// feature: whether a monitor counts them.
func (p *Profile) Tolerates(feature string) bool {
	return slices.ContainsFunc(p.Monitors, func(m Monitor) bool { return m.Detector == WrongTypeDetector && m.Watches(feature) })
}

// detectorRule is how detectors and their parameters are called.
var detectorRule = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

func (p *Profile) checkMonitors() (problems []error) {
	if len(p.Monitors) == 0 || len(p.Monitors) > MaxMonitors {
		return []error{&Error{Rule: "MONITOR_COUNT", Detail: fmt.Sprintf("%d monitors; 1 to %d are allowed", len(p.Monitors), MaxMonitors)}}
	}
	seen, judgements := make(map[string]bool, len(p.Monitors)), 0
	for i := range p.Monitors {
		m := &p.Monitors[i]
		problems = append(problems, p.checkMonitor(m)...)
		if seen[m.Name] {
			problems = append(problems, m.broken("MONITOR_NAME", "the name appears twice"))
		}
		seen[m.Name] = true
		for k := range p.Features {
			if m.Watches(p.Features[k].Name) {
				judgements++
			}
		}
	}
	if judgements > MaxJudgements {
		problems = append(problems, &Error{Rule: "JUDGEMENT_COUNT", Detail: fmt.Sprintf(
			"the monitors judge %d features together; at most %d are allowed", judgements, MaxJudgements)})
	}
	return problems
}

func (m *Monitor) broken(rule, format string, args ...any) *Error {
	return &Error{Monitor: m.Name, Rule: rule, Detail: fmt.Sprintf(format, args...)}
}

func (p *Profile) checkMonitor(m *Monitor) (problems []error) {
	fail := func(rule, format string, args ...any) { problems = append(problems, m.broken(rule, format, args...)) }
	if len(m.Name) > MaxName || !nameRule.MatchString(m.Name) {
		fail("MONITOR_NAME", "the name %.50q of a monitor is not 1 to %d letters, digits, dots, dashes and underscores beginning with a letter or digit", m.Name, MaxName)
	}
	if !detectorRule.MatchString(m.Detector) {
		fail("DETECTOR", "detector %.70q is not 1 to 64 lower-case letters, digits and underscores beginning with a letter", m.Detector)
	}
	problems = append(problems, p.checkWatched(m)...)
	if len(m.Parameters) > MaxParameters {
		fail("PARAMETER", "%d parameters; at most %d are allowed", len(m.Parameters), MaxParameters)
	}
	for name, v := range m.Parameters {
		if !detectorRule.MatchString(name) || !finite(v) {
			fail("PARAMETER", "parameter %.70q is %v: a name of lower-case letters, digits and underscores and a finite number are allowed", name, v)
		}
	}
	if err := m.Threshold.check(); err != nil {
		err.Monitor = m.Name
		problems = append(problems, err)
	}
	if k, n := m.Persistence.K, m.Persistence.N; k < 1 || k > n || n > MaxPersistence {
		fail("PERSISTENCE", "%d of %d evaluations; 1 ≤ k ≤ n ≤ %d is allowed", k, n, MaxPersistence)
	}
	if m.Severity != Info && m.Severity != Warning && m.Severity != Critical {
		fail("SEVERITY", "severity %.50q is not info, warning or critical", m.Severity)
	}
	if len(m.Routes) > MaxRoutes {
		fail("ROUTE", "%d routes; at most %d are allowed", len(m.Routes), MaxRoutes)
	}
	for i, route := range m.Routes {
		if len(route) > MaxName || !nameRule.MatchString(route) || slices.Contains(m.Routes[:i], route) {
			fail("ROUTE", "route %.50q is no name, or appears twice", route)
		}
	}
	return problems
}

func (p *Profile) checkWatched(m *Monitor) (problems []error) {
	for i, name := range m.Features {
		e := &Error{Monitor: m.Name, Column: name, Rule: "MONITOR_FEATURES"}
		switch {
		case p.Feature(name) < 0:
			e.Detail = "the profile has no such feature"
		case slices.Contains(m.Features[:i], name):
			e.Detail = "the feature appears twice"
		case !m.Watches(name) && !m.Together():
			e.Detail = "the threshold has no reference chunks of the feature"
		default:
			continue
		}
		problems = append(problems, e)
	}
	for name := range m.Threshold.Chunks {
		if p.Feature(name) < 0 && !slices.ContainsFunc(p.Groups, func(g Group) bool { return g.Name() == name }) {
			problems = append(problems, &Error{Monitor: m.Name, Column: name, Rule: "THRESHOLD_CHUNKS", Detail: "the profile has no such feature"})
		}
	}
	return problems
}

func (p *Profile) checkSchedule() (problems []error) {
	s := &p.Schedule
	if s.Lookback < 0 || s.Lookback%time.Minute != 0 {
		problems = append(problems, &Error{Rule: "LOOKBACK", Detail: "lookback " + s.Lookback.String() + " is not a whole number of minutes"})
	}
	if _, err := time.LoadLocation(s.Zone); err != nil || s.Zone == "" || s.Zone == "Local" {
		problems = append(problems, &Error{Rule: "ZONE", Detail: "time zone " + strconv.Quote(s.Zone) + " is no IANA name such as Europe/Rome"})
	}
	switch p.Correction {
	case BenjaminiHochberg, Holm, Bonferroni, Uncorrected:
	default:
		problems = append(problems, &Error{Rule: "CORRECTION", Detail: "correction " + strconv.Quote(string(p.Correction)) +
			" is not benjamini_hochberg, holm, bonferroni or none"})
	}
	return problems
}

// Chunks summarises the statistic of a monitor over chunks of the reference: how
// much it varies while nothing drifts.
type Chunks struct {
	// Mean and StdDev (with n) are of the chunks' values.
	Mean, StdDev float64
	// Number is how many chunks there were, at least 2.
	Number int
}

// ChunksOf summarises the values of the statistic over chunks of the reference.
func ChunksOf(values []float64) Chunks {
	c := Chunks{Number: len(values)}
	for i, v := range values {
		c.Mean += (v - c.Mean) / float64(i+1)
	}
	squares := 0.0
	for _, v := range values {
		squares += float64((v - c.Mean) * (v - c.Mean))
	}
	if len(values) > 0 {
		c.StdDev = math.Sqrt(squares / float64(len(values)))
	}
	return c
}
