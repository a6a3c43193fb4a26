package profile

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
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
)

// PSIDrift is the drift type of profiles compared by the population stability
// index, in Scouter's spelling.
const PSIDrift = "Psi"

// DefaultSchedule evaluates once a day at midnight UTC.
const DefaultSchedule = "0 0 0 * * *"

// SamplesPerBin is the multiple of the number of bins that a sample must exceed
// to be judged when the profile names no minimum.
const SamplesPerBin = 10

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
	// DriftType is [PSIDrift].
	DriftType string
	// Features in the order of the values in stored records.
	Features []Feature
	// Binning is how the numeric bins were chosen; for the record only.
	Binning Binning
	// Alert says when to evaluate and what counts as drift.
	Alert Alert
}

// Alert says when a profile is evaluated, what counts as drift, and who hears.
type Alert struct {
	// Schedule is a cron expression in UTC, with five fields, or six with
	// seconds first. Empty means [DefaultSchedule].
	Schedule string
	// Monitored are the features to judge; empty means all.
	Monitored []string
	// Threshold is the index above which a feature has drifted.
	Threshold Threshold
	// MinSample is the least number of observations of a feature that is
	// judged; below it the verdict is insufficient. 0 means more than
	// [SamplesPerBin] for each of the feature's bins.
	MinSample uint64
	// Lookback is the span of event time that an evaluation covers, back from
	// its slot. 0 means back to the slot before.
	Lookback time.Duration
	// OnClose also evaluates as each minute of event time closes.
	OnClose bool
	// Routes name where alerts go; empty means the console.
	Routes []Route
}

// Route is one destination of alerts: a kind such as "Console", "Slack" or
// "OpsGenie", and its settings.
type Route struct {
	Kind     string
	Settings map[string]string
}

// Minimum returns the least number of observations at which feature f is
// judged.
func (a Alert) Minimum(f *Feature) uint64 {
	if a.MinSample > 0 {
		return a.MinSample
	}
	return uint64(SamplesPerBin*len(f.Bins)) + 1
}

// Monitors reports whether the feature is judged.
func (a Alert) Monitors(name string) bool {
	return len(a.Monitored) == 0 || slices.Contains(a.Monitored, name)
}

// Feature returns the index of the feature with that name, or -1.
func (p *Profile) Feature(name string) int {
	return slices.IndexFunc(p.Features, func(f Feature) bool { return f.Name == name })
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
	if p.DriftType != PSIDrift {
		problems = append(problems, &Error{Rule: "DRIFT_TYPE", Detail: "drift type " + strconv.Quote(p.DriftType) + " is not " + PSIDrift})
	}
	problems = append(problems, p.checkFeatures()...)
	problems = append(problems, p.checkAlert()...)
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

func (p *Profile) checkAlert() (problems []error) {
	a := &p.Alert
	if err := a.Threshold.Validate(); err != nil {
		problems = append(problems, err)
	}
	for _, name := range a.Monitored {
		if p.Feature(name) < 0 {
			problems = append(problems, &Error{Column: name, Rule: "FEATURES_TO_MONITOR", Detail: "the profile has no such feature"})
		}
	}
	if a.Lookback < 0 || a.Lookback%time.Minute != 0 {
		problems = append(problems, &Error{Rule: "LOOKBACK", Detail: "lookback " + a.Lookback.String() + " is not a whole number of minutes"})
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
