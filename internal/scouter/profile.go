package scouter

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Kind is what Scouter calls the type of drift, in our spelling of it.
type Kind string

// The kinds.
const (
	SPC        Kind = "spc"
	PSI        Kind = "psi"
	Custom     Kind = "custom"
	Evaluation Kind = "evaluation"
)

// ParseKind reads a drift type by either client's name for it.
func ParseKind(driftType string) (Kind, error) {
	switch driftType {
	case "Spc":
		return SPC, nil
	case "Psi":
		return PSI, nil
	case "Custom":
		return Custom, nil
	case "GenAI", "Agent":
		return Evaluation, nil
	}
	return "", errProfile("drift_type %.40q is none of Spc, Psi, Custom, GenAI and Agent", driftType)
}

func errProfile(format string, args ...any) error {
	return fault.Invalid.New(format, args...).WithReason("SCOUTER_PROFILE")
}

// Kinds are all of them.
func Kinds() []Kind { return []Kind{SPC, PSI, Custom, Evaluation} }

// Name is the name in the mesh of a profile that Scouter calls by name: Scouter
// keeps a line of versions for each kind of drift, and the mesh one for each name.
func (k Kind) Name(name string) string { return name + "." + string(k) }

// Trim is the other way.
func (k Kind) Trim(name string) string { return strings.TrimSuffix(name, "."+string(k)) }

// Named reports whether a profile of the mesh is one that Scouter calls by name.
func Named(profile, name string) bool {
	return slices.ContainsFunc(Kinds(), func(k Kind) bool { return profile == k.Name(name) })
}

// SameDocument reports whether two profiles say the same, whatever their uids are and
// however they are written.
func SameDocument(a, b []byte) bool {
	var read [2]map[string]any
	for i, raw := range [][]byte{a, b} {
		if json.Unmarshal(raw, &read[i]) != nil {
			return false
		}
		if config, ok := read[i]["config"].(map[string]any); ok {
			delete(config, "uid")
		}
	}
	return reflect.DeepEqual(read[0], read[1])
}

// FormatPrefix begins the formats of profiles that came from Scouter's clients;
// the drift type, as the client spelled it, follows.
const FormatPrefix = "scouter/"

// Profile is what a profile's JSON comes to. Its version is empty where none was
// chosen.
func Profile(driftType string, document []byte) (*profile.Profile, error) {
	kind, d, err := readDraft(driftType, document)
	if err != nil {
		return nil, err
	}
	p := &profile.Profile{
		Space: d.Config.Space, Name: kind.Name(d.Config.Name), Version: d.version(), Correction: profile.Uncorrected,
		Schedule: profile.Schedule{Cron: schedule(d.Config.AlertConfig.Schedule)},
	}
	switch kind {
	case SPC:
		err = d.spc(p)
	case PSI:
		err = d.psi(p)
	case Custom:
		err = d.custom(p)
	case Evaluation:
		err = d.evaluation(p)
	}
	if err != nil {
		return nil, err
	}
	p.FillDefaults()
	if err := p.Validate(); err != nil {
		return nil, errProfile("the profile cannot be kept: %.500v", err)
	}
	return p, nil
}

// unchosen is the version of a profile that leaves it to the server.
const unchosen = "0.0.0"

func (d *draft) version() string {
	if d.Config.Version == unchosen {
		return ""
	}
	return d.Config.Version
}

// draft is a profile of any kind.
type draft struct {
	Features map[string]struct {
		// Of SPC.
		Center   *float64 `json:"center"`
		ThreeUCL *float64 `json:"three_ucl"`
		OneUCL   *float64 `json:"one_ucl"`
		// Of PSI.
		Bins    []bin  `json:"bins"`
		BinType string `json:"bin_type"`
	} `json:"features"`
	Config struct {
		Space       string `json:"space"`
		Name        string `json:"name"`
		Version     string `json:"version"`
		AlertConfig struct {
			Schedule string `json:"schedule"`
			Rule     struct {
				Rule  string   `json:"rule"`
				Zones []string `json:"zones_to_monitor"`
			} `json:"rule"`
			Features   []string             `json:"features_to_monitor"`
			Threshold  threshold            `json:"threshold"`
			Conditions map[string]condition `json:"alert_conditions"`
			Condition  *condition           `json:"alert_condition"`
		} `json:"alert_config"`
		BinningStrategy binning `json:"binning_strategy"`
	} `json:"config"`
	Metrics map[string]float64 `json:"metrics"`
	TaskIDs []string           `json:"task_ids"`
	Tasks   taskDrafts         `json:"tasks"`
}

func readDraft(driftType string, document []byte) (kind Kind, d draft, err error) {
	if kind, err = ParseKind(driftType); err != nil {
		return "", d, err
	}
	if err := json.Unmarshal(document, &d); err != nil {
		return "", d, errProfile("the profile is not understood: %s", Why(err))
	}
	return kind, d, nil
}

type bin struct {
	ID         int64   `json:"id"`
	Lower      limit   `json:"lower_limit"`
	Upper      limit   `json:"upper_limit"`
	Proportion float64 `json:"proportion"`
}

// limit is a number, "inf", "-inf", or null for none.
type limit float64

// UnmarshalJSON implements json.Unmarshaler.
func (l *limit) UnmarshalJSON(raw []byte) error {
	switch string(bytes.TrimSpace(raw)) {
	case `"inf"`, `"Infinity"`:
		*l = limit(math.Inf(1))
		return nil
	case `"-inf"`, `"-Infinity"`:
		*l = limit(math.Inf(-1))
		return nil
	}
	return json.Unmarshal(raw, (*float64)(l))
}

type threshold struct {
	Fixed *struct {
		Threshold float64 `json:"threshold"`
	} `json:"Fixed"`
	Normal    *alpha `json:"Normal"`
	ChiSquare *alpha `json:"ChiSquare"`
}

type alpha struct {
	Alpha float64 `json:"alpha"`
}

type condition struct {
	Baseline  float64  `json:"baseline_value"`
	Threshold string   `json:"alert_threshold"`
	Delta     *float64 `json:"delta"`
}

type binning struct {
	Quantile *struct {
		Bins int `json:"num_bins"`
	} `json:"QuantileBinning"`
	EqualWidth *struct {
		Method map[string]*struct {
			Bins int `json:"num_bins"`
		} `json:"method"`
	} `json:"EqualWidthBinning"`
}

func (b binning) of() (rule profile.Binning) {
	switch {
	case b.Quantile != nil:
		return profile.Binning{Rule: profile.Quantile, Bins: b.Quantile.Bins}
	case b.EqualWidth != nil:
		for name, own := range b.EqualWidth.Method {
			rule = profile.Binning{Rule: profile.Rule(name)}
			if own != nil {
				rule.Bins = own.Bins
			}
		}
	}
	if rule.Validate() != nil {
		return profile.Binning{} // it is for the record only
	}
	return rule
}

// single is a numeric feature of which only its values matter: one bin.
func single(name string) profile.Feature {
	return profile.Feature{
		Name: name, Kind: profile.Numeric, Type: profile.Float,
		Bins: []profile.Bin{{ID: 1, Lower: math.Inf(-1), Upper: math.Inf(1), Proportion: 1}},
	}
}

// monitored are the features that a profile names, or all.
func (d *draft) monitored() []string {
	if named := d.Config.AlertConfig.Features; len(named) > 0 {
		return named
	}
	return slices.Sorted(maps.Keys(d.Features))
}

func (d *draft) spc(p *profile.Profile) error {
	for _, name := range slices.Sorted(maps.Keys(d.Features)) {
		f := d.Features[name]
		if f.Center == nil || f.ThreeUCL == nil {
			return errProfile("feature %.80q lacks its limits", name)
		}
		sigma := (*f.ThreeUCL - *f.Center) / limitSigmas
		if sigma < 0 || math.IsInf(sigma, 0) {
			return errProfile("feature %.80q: three_ucl lies below center, or out of reach", name)
		}
		one := single(name)
		one.Baseline.Scouter = &profile.ScouterLimits{Center: *f.Center, Sigma: sigma}
		p.Features = append(p.Features, one)
	}
	rule := d.Config.AlertConfig.Rule
	m := profile.Monitor{
		Name: "spc", Detector: "scouter_spc", Features: d.monitored(),
		// What comes is means already: each is a point of its own.
		Parameters: map[string]float64{"sample_size": 1},
	}
	if err := digits(m.Parameters, rule.Rule); err != nil {
		return err
	}
	for zone := 1; zone <= zones; zone++ {
		m.Parameters["zone_"+strconv.Itoa(zone)] = 0
		if rule.Zones == nil || slices.Contains(rule.Zones, "Zone"+strconv.Itoa(zone)) {
			m.Parameters["zone_"+strconv.Itoa(zone)] = 1
		}
	}
	p.Monitors = []profile.Monitor{m}
	return nil
}

const (
	zones       = 4
	limitSigmas = 3 // from the centre to the outermost limit
	// mostPoints is what a digit of the rule may be.
	mostPoints = 1e6
)

// digits puts the rule's eight numbers into parameters: how many consecutive points
// and how many alternating ones, for each zone.
func digits(to map[string]float64, rule string) error {
	if rule == "" {
		return nil // the detector's own
	}
	parts := strings.Split(rule, " ")
	if len(parts) != 2*zones {
		return errProfile("rule %.80q has %d numbers, want %d", rule, len(parts), 2*zones)
	}
	for i, part := range parts {
		n, err := strconv.ParseInt(part, 10, 32)
		if err != nil {
			return errProfile("rule %.80q: %.20q is no number", rule, part)
		}
		what := "consecutive_"
		if i%2 == 1 {
			what = "alternating_"
		}
		to[what+strconv.Itoa(i/2+1)] = min(max(float64(n), 0), mostPoints)
	}
	return nil
}

func (d *draft) psi(p *profile.Profile) error {
	p.Binning = d.Config.BinningStrategy.of()
	bins := map[int][]string{} // features by how many bins they have
	watched := d.monitored()
	for _, name := range slices.Sorted(maps.Keys(d.Features)) {
		f := d.Features[name]
		one := profile.Feature{Name: name, Kind: profile.Numeric, Type: profile.Float}
		if f.BinType == "Category" {
			one.Kind, one.Type = profile.Category, profile.Int
		}
		one.Bins = binsOf(one.Kind, f.Bins)
		p.Features = append(p.Features, one)
		if slices.Contains(watched, name) {
			bins[len(one.Bins)] = append(bins[len(one.Bins)], name)
		}
	}
	for _, name := range watched {
		if p.Feature(name) < 0 {
			return errProfile("features_to_monitor names %.80q, which the profile lacks", name)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(bins)) {
		m := profile.Monitor{
			Name: "psi", Detector: "psi_scouter", Features: bins[n], Threshold: d.Config.AlertConfig.Threshold.of(),
			// Scouter judges a feature with more than ten values for each of its bins.
			MinSample: uint64(profile.SamplesPerBin*n) + 1, //nolint:gosec // a few
		}
		if len(bins) > 1 {
			m.Name = fmt.Sprintf("psi-%d-bins", n)
		}
		if d.Config.AlertConfig.Threshold.Normal != nil {
			m.Parameters = map[string]float64{"normal": 1}
		}
		p.Monitors = append(p.Monitors, m)
	}
	return nil
}

// of is the threshold; Scouter's own default when none is named.
func (t threshold) of() profile.Threshold {
	switch {
	case t.Fixed != nil:
		return profile.Above(t.Fixed.Threshold)
	case t.Normal != nil:
		return profile.Significant(t.Normal.Alpha)
	case t.ChiSquare != nil:
		return profile.Significant(t.ChiSquare.Alpha)
	}
	return profile.Significant(profile.DefaultAlpha)
}

// binsOf are the bins in our order: those of a category are called by their number,
// by which Scouter's clients count them.
func binsOf(kind profile.Kind, from []bin) []profile.Bin {
	out := make([]profile.Bin, 0, len(from))
	for _, b := range from {
		if kind == profile.Category {
			out = append(out, profile.Bin{Category: strconv.FormatInt(b.ID, 10), Proportion: b.Proportion})
			continue
		}
		out = append(out, profile.Bin{ID: int(b.ID), Lower: float64(b.Lower), Upper: float64(b.Upper), Proportion: b.Proportion})
	}
	if kind == profile.Numeric {
		slices.SortFunc(out, func(a, b profile.Bin) int { return cmp.Compare(a.ID, b.ID) })
		return out
	}
	slices.SortFunc(out, func(a, b profile.Bin) int { return cmp.Compare(a.Category, b.Category) })
	for i := range out {
		out[i].ID = i
	}
	return out
}

func (d *draft) custom(p *profile.Profile) error {
	p.Source = &profile.Source{Of: profile.MetricRecords}
	for _, name := range slices.Sorted(maps.Keys(d.Metrics)) {
		p.Features = append(p.Features, single(name))
	}
	for i, name := range slices.Sorted(maps.Keys(d.Config.AlertConfig.Conditions)) {
		if p.Feature(name) < 0 {
			return errProfile("alert_conditions names %.80q, which is no metric of the profile", name)
		}
		m, err := d.Config.AlertConfig.Conditions[name].monitor(name)
		if err != nil {
			return err
		}
		m.Name = "metric-" + strconv.Itoa(i+1)
		p.Monitors = append(p.Monitors, m)
	}
	return nil
}

// monitor holds a metric against a condition.
func (c condition) monitor(metric string) (profile.Monitor, error) {
	delta := 0.0
	if c.Delta != nil {
		delta = *c.Delta
	}
	m := profile.Monitor{Detector: "mean_limits", Features: []string{metric}, MinSample: 1, Parameters: map[string]float64{}}
	switch c.Threshold {
	case "Above":
		m.Parameters["high"] = c.Baseline + delta
	case "Below":
		m.Parameters["low"] = c.Baseline - delta
	case "Outside":
		m.Parameters["low"], m.Parameters["high"] = c.Baseline-delta, c.Baseline+delta
	default:
		return m, errProfile("alert_threshold %.40q is none of Above, Below and Outside", c.Threshold)
	}
	return m, nil
}

// evaluation is a profile of what workflows and tasks come to. Tasks are checks of
// every record.
func (d *draft) evaluation(p *profile.Profile) error {
	p.Source = &profile.Source{Of: profile.MetricRecords}
	p.Features = []profile.Feature{single(WorkflowMetric)}
	ids := slices.Clone(d.TaskIDs)
	d.Tasks.byKind(func(_ profile.CheckOf, all []taskDraft) {
		for i := range all {
			ids = append(ids, all[i].ID)
		}
	})
	for _, id := range ids {
		if name := TaskMetric + id; p.Feature(name) < 0 {
			p.Features = append(p.Features, single(name))
		}
	}
	var err error
	if p.Checks, err = d.Tasks.checks(); err != nil {
		return err
	}
	if c := d.Config.AlertConfig.Condition; c != nil {
		m, err := c.monitor(WorkflowMetric)
		if err != nil {
			return err
		}
		m.Name = "workflow"
		p.Monitors = []profile.Monitor{m}
	}
	return nil
}

// schedule is a cron expression in our dialect. Scouter's has 1 for Sunday, perhaps
// a year at the end, and every day at midnight for one that is not understood.
func schedule(text string) string {
	fields := strings.Fields(text)
	if len(fields) == 7 && fields[6] == "*" {
		fields = fields[:6]
	}
	if len(fields) != 6 {
		return profile.DefaultCron
	}
	day := fields[5]
	if strings.ContainsAny(day, "1234567") && !strings.ContainsAny(day, "/#") {
		fields[5] = strings.Map(func(r rune) rune {
			if r >= '1' && r <= '7' {
				return r - 1
			}
			return r
		}, day)
	}
	return strings.Join(fields, " ")
}
