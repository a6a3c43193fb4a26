package profile

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"time"
	"unicode/utf8"
)

// Limits of a profile.
const (
	// MaxFeatures is the largest number of features of a profile.
	MaxFeatures = 2000
	// MaxName is the longest space or name in bytes.
	MaxName = 128
	// MaxFeatureName is the longest feature name in bytes.
	MaxFeatureName = 200
	// MaxCategory is the longest category text in bytes.
	MaxCategory = 1024
	// MaxSubgroups is the largest number of sub-groups of a feature's reference.
	MaxSubgroups = 10_000
)

// Profile fixes what later data are compared with. It is a value without
// behaviour over time: a server gives it Version and UID, and it never changes
// afterwards. Reading it is safe from many goroutines.
type Profile struct {
	// Space and Name identify the line of versions that the profile belongs to.
	Space, Name string
	// Version is the semantic version; empty until a server chooses one.
	Version string
	// UID is the server's id of this version; empty before registration.
	UID string
	// Features in the order of the values in stored records.
	Features []Feature
	// Binning is how the numeric bins were chosen; for the record only.
	Binning Binning
	// ReferenceSpan is how long the reference was gathered; 0 when that is not
	// known. Detectors of rates need it.
	ReferenceSpan time.Duration
	// Schedule says when to evaluate, and over what.
	Schedule Schedule
	// Correction keeps the significance over all features and monitors. Empty
	// means [BenjaminiHochberg].
	Correction Correction
	// Monitors say what is judged and how. None means [DefaultMonitor].
	Monitors []Monitor
	// Outcome says which features hold predictions and what came true; nil when
	// none do.
	Outcome *Outcome
	// Source makes observations of spans; nil when they are sent as records.
	Source *Source
	// Groups are what the reference holds of the features that monitors judge
	// together.
	Groups []Group
	// Checks are run on every record with a context; nil for none.
	Checks *Checks
}

// FillDefaults gives what is not set its default. Profiles made by [New], read
// by [Parse] or off the wire have theirs.
func (p *Profile) FillDefaults() {
	p.Binning = p.Binning.withDefaults()
	p.Schedule.Cron = cmp.Or(p.Schedule.Cron, DefaultCron)
	p.Schedule.Zone = cmp.Or(p.Schedule.Zone, "UTC")
	p.Correction = cmp.Or(p.Correction, BenjaminiHochberg)
	if len(p.Monitors) == 0 {
		p.Monitors = []Monitor{DefaultMonitor()}
	}
	if s := p.Source; s != nil && s.Of == "" {
		named := *s
		named.Of = Spans
		p.Source = &named
	}
	for i, m := range p.Monitors {
		p.Monitors[i] = m.withDefaults()
	}
}

// Feature returns the index of the feature with that name, or -1.
func (p *Profile) Feature(name string) int {
	return slices.IndexFunc(p.Features, func(f Feature) bool { return f.Name == name })
}

// Monitor returns the monitor with that name, or nil.
func (p *Profile) Monitor(name string) *Monitor {
	i := slices.IndexFunc(p.Monitors, func(m Monitor) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return &p.Monitors[i]
}

// nameRule keeps names printable in paths, metrics and SQL without quoting.
var nameRule = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// Validate checks everything a server relies on and returns all problems
// joined, each an [Error] that names the feature. A profile made by [New] is
// valid.
func (p *Profile) Validate() error {
	var problems []error
	for what, name := range map[string]string{"space": p.Space, "name": p.Name} {
		if len(name) > MaxName || !nameRule.MatchString(name) {
			problems = append(problems, &Error{Rule: "PROFILE_NAME", Detail: fmt.Sprintf(
				"the %s %.50q is not 1 to %d letters, digits, dots, dashes and underscores beginning with a letter or digit", what, name, MaxName)})
		}
	}
	if err := p.Binning.Validate(); err != nil {
		problems = append(problems, err)
	}
	if p.ReferenceSpan < 0 {
		problems = append(problems, &Error{Rule: "REFERENCE_SPAN", Detail: "reference span " + p.ReferenceSpan.String() + " is not positive"})
	}
	problems = append(problems, p.checkFeatures()...)
	problems = append(problems, p.checkSchedule()...)
	problems = append(problems, p.checkMonitors()...)
	problems = append(problems, p.checkOutcome()...)
	problems = append(problems, p.checkSource()...)
	problems = append(problems, p.checkGroups()...)
	problems = append(problems, p.checkChecks()...)
	return errors.Join(problems...)
}

func (p *Profile) checkFeatures() (problems []error) {
	if len(p.Features) == 0 || len(p.Features) > MaxFeatures {
		return []error{&Error{Rule: "FEATURE_COUNT", Detail: fmt.Sprintf("%d features; 1 to %d are allowed", len(p.Features), MaxFeatures)}}
	}
	seen := make(map[string]bool, len(p.Features))
	for i := range p.Features {
		f := &p.Features[i]
		if err := f.check(); err != nil {
			problems = append(problems, err)
		}
		if seen[f.Name] {
			problems = append(problems, &Error{Column: f.Name, Rule: "FEATURE_NAME", Detail: "the name appears twice"})
		}
		seen[f.Name] = true
	}
	return problems
}

func (f *Feature) check() error {
	fail := func(rule, format string, args ...any) error {
		return &Error{Column: f.Name, Rule: rule, Detail: fmt.Sprintf(format, args...)}
	}
	if f.Name == "" || len(f.Name) > MaxFeatureName || !utf8.ValidString(f.Name) {
		return fail("FEATURE_NAME", "a feature name has 1 to %d bytes of valid UTF-8", MaxFeatureName)
	}
	if !f.Type.valid() {
		return fail("FEATURE_TYPE", "type %q is not int, float, string or bool", f.Type)
	}
	if f.Kind != f.Type.Kind() && (f.Kind != Category || f.Type != Int) {
		return fail("FEATURE_KIND", "values of type %s cannot be binned as %q", f.Type, f.Kind)
	}
	if len(f.Bins) == 0 || len(f.Bins) > MaxBins {
		return fail("BIN_COUNT", "%d bins; 1 to %d are allowed", len(f.Bins), MaxBins)
	}
	sum := 0.0
	for i := range f.Bins {
		if !(f.Bins[i].Proportion >= 0 && f.Bins[i].Proportion <= 1) {
			return fail("BIN_PROPORTION", "bin %d has proportion %v, not 0 to 1", f.Bins[i].ID, f.Bins[i].Proportion)
		}
		sum += f.Bins[i].Proportion
	}
	// Rounded proportions of imported profiles still add up to this much.
	if math.Abs(sum-1) > 1e-6 {
		return fail("BIN_PROPORTION", "the proportions add up to %v, not 1", sum)
	}
	if g := f.Baseline.Subgroups; g != nil && (g.Size < 1 || len(g.Means) != len(g.StdDevs) || len(g.Means) > MaxSubgroups || !allFinite(g.Means) || !allFinite(g.StdDevs)) {
		return fail("SUBGROUPS", "sub-groups of %d values have %d means and %d standard deviations; up to %d of each and finite numbers are allowed",
			g.Size, len(g.Means), len(g.StdDevs), MaxSubgroups)
	}
	if f.Kind == Numeric {
		return f.checkIntervals(fail)
	}
	return f.checkCategories(fail)
}

func (f *Feature) checkIntervals(fail func(rule, format string, args ...any) error) error {
	last := math.Inf(-1)
	for i, b := range f.Bins {
		if b.ID != i+1 {
			return fail("BIN_ID", "bin %d of the list has id %d; numeric bins are numbered from 1", i+1, b.ID)
		}
		if b.Lower != last || !(b.Upper >= b.Lower) {
			return fail("BIN_LIMITS", "bin %d, (%v, %v], does not continue the bin before it", b.ID, b.Lower, b.Upper)
		}
		last = b.Upper
		if inner := i < len(f.Bins)-1; inner != finite(b.Upper) || math.IsInf(b.Upper, -1) {
			return fail("BIN_LIMITS", "bin %d ends at %v; only the last bin ends at infinity", b.ID, b.Upper)
		}
	}
	return nil
}

func (f *Feature) checkCategories(fail func(rule, format string, args ...any) error) error {
	for i, b := range f.Bins {
		if b.ID != i {
			return fail("BIN_ID", "bin %d of the list has id %d; categories are numbered from 0", i, b.ID)
		}
		if i > 0 && f.Bins[i-1].Category >= b.Category {
			return fail("BIN_ORDER", "category %.50q does not follow %.50q in byte order", b.Category, f.Bins[i-1].Category)
		}
		if len(b.Category) > MaxCategory || !utf8.ValidString(b.Category) {
			return fail("CATEGORY_TEXT", "category %d is not valid UTF-8 of at most %d bytes", i, MaxCategory)
		}
	}
	return nil
}
