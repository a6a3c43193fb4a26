package profile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
)

// Format is the number of the JSON form that this package writes. It also reads
// format 1, which had no monitors.
const Format = 2

// The JSON form. Floats are written with the shortest text that reads back to
// the same bits, so a profile survives the trip to the last digit.
type (
	profileJSON struct {
		Format     int          `json:"format"`
		Space      string       `json:"space"`
		Name       string       `json:"name"`
		Version    string       `json:"version,omitempty"`
		UID        string       `json:"uid,omitempty"`
		Features   []Feature    `json:"features"`
		Binning    binningJSON  `json:"binning_strategy"`
		Span       string       `json:"reference_span,omitempty"`
		Schedule   scheduleJSON `json:"schedule"`
		Correction Correction   `json:"correction,omitempty"`
		Monitors   []Monitor    `json:"monitors"`
		Outcome    *Outcome     `json:"outcome,omitempty"`
		Source     *Source      `json:"source,omitempty"`
		Groups     []Group      `json:"groups,omitempty"`
		Checks     *Checks      `json:"checks,omitempty"`
	}
	featureJSON struct {
		ID       string    `json:"id"`
		Kind     Kind      `json:"bin_type"`
		Type     ValueType `json:"value_type"`
		Bins     []binJSON `json:"bins"`
		Baseline Baseline  `json:"baseline"`
	}
	binJSON struct {
		ID         int        `json:"id"`
		Lower      *limitJSON `json:"lower_limit"`
		Upper      *limitJSON `json:"upper_limit"`
		Category   *string    `json:"category,omitempty"`
		Count      uint64     `json:"count"`
		Proportion float64    `json:"proportion"`
	}
	binningJSON struct {
		Quantile   *binsJSON       `json:"QuantileBinning,omitempty"`
		EqualWidth *equalWidthJSON `json:"EqualWidthBinning,omitempty"`
	}
	equalWidthJSON struct {
		Method map[Rule]*binsJSON `json:"method"`
	}
	binsJSON struct {
		Bins int `json:"num_bins"`
	}
	scheduleJSON struct {
		Cron     string `json:"cron,omitempty"`
		Zone     string `json:"zone,omitempty"`
		Lookback string `json:"lookback,omitempty"`
		OnClose  bool   `json:"on_close,omitempty"`
	}
	monitorJSON struct {
		Name        string             `json:"name"`
		Detector    string             `json:"detector"`
		Features    []string           `json:"features,omitempty"`
		Parameters  map[string]float64 `json:"parameters,omitempty"`
		Threshold   *thresholdJSON     `json:"threshold,omitempty"`
		MinSample   uint64             `json:"min_sample,omitempty"`
		Persistence *persistenceJSON   `json:"persistence,omitempty"`
		Severity    Severity           `json:"severity,omitempty"`
		Routes      []string           `json:"routes,omitempty"`
	}
	persistenceJSON struct {
		K int `json:"k"`
		N int `json:"n"`
	}
	// thresholdJSON has exactly one member.
	thresholdJSON struct {
		Fixed        *float64        `json:"fixed,omitempty"`
		Significance *float64        `json:"significance,omitempty"`
		Budget       *budgetJSON     `json:"budget,omitempty"`
		Deviations   *deviationsJSON `json:"deviations,omitempty"`
	}
	budgetJSON struct {
		Pages float64 `json:"pages"`
		Days  float64 `json:"days"`
	}
	deviationsJSON struct {
		Sigmas float64               `json:"sigmas"`
		Chunks map[string]chunksJSON `json:"chunks"`
	}
	// chunksJSON has the values of chunks, or what they come to.
	chunksJSON struct {
		Values []float64 `json:"values,omitempty"`
		Mean   float64   `json:"mean"`
		StdDev float64   `json:"std_dev"`
		Number int       `json:"number"`
	}
)

// limitJSON is a bin limit: a number, or "inf" or "-inf".
type limitJSON float64

// MarshalJSON implements [json.Marshaler].
func (l limitJSON) MarshalJSON() ([]byte, error) {
	switch {
	case math.IsInf(float64(l), 1):
		return []byte(`"inf"`), nil
	case math.IsInf(float64(l), -1):
		return []byte(`"-inf"`), nil
	}
	return json.Marshal(float64(l))
}

// UnmarshalJSON implements [json.Unmarshaler].
func (l *limitJSON) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case `"inf"`:
		*l = limitJSON(math.Inf(1))
	case `"-inf"`:
		*l = limitJSON(math.Inf(-1))
	default:
		return json.Unmarshal(data, (*float64)(l))
	}
	return nil
}

// Parse reads the JSON form of one profile and validates it. Unknown members
// are refused, so that a misspelt setting is not lost. Errors are *[Error] for
// broken rules, or those of encoding/json.
func Parse(data []byte) (*Profile, error) {
	var p Profile
	if err := p.read(data, true); err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return &p, nil
}

// ParseMonitors reads a JSON list of monitors, each as in the JSON form of a
// profile. [Profile.Validate] holds them against a profile.
func ParseMonitors(data []byte) ([]Monitor, error) {
	var monitors []Monitor
	if err := decode(data, &monitors, true); err != nil {
		return nil, fmt.Errorf("read monitors: %w", err)
	}
	return monitors, nil
}

// decode reads one JSON document.
func decode(data []byte, to any, strict bool) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if strict {
		decoder.DisallowUnknownFields()
	}
	if err := decoder.Decode(to); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return &Error{Rule: "PROFILE_JSON", Detail: "there is more after the end"}
	}
	return nil
}

// MarshalJSON implements [json.Marshaler]; see the package comment for the form.
func (p Profile) MarshalJSON() ([]byte, error) {
	w := profileJSON{
		Format: Format, Space: p.Space, Name: p.Name, Version: p.Version, UID: p.UID, Features: p.Features,
		Binning: p.Binning.wire(), Correction: p.Correction, Monitors: p.Monitors, Outcome: p.Outcome, Source: p.Source, Groups: p.Groups, Checks: p.Checks,
		Schedule: scheduleJSON{Cron: p.Schedule.Cron, Zone: p.Schedule.Zone, OnClose: p.Schedule.OnClose},
	}
	if p.Schedule.Lookback != 0 {
		w.Schedule.Lookback = p.Schedule.Lookback.String()
	}
	if p.ReferenceSpan != 0 {
		w.Span = p.ReferenceSpan.String()
	}
	return json.Marshal(w)
}

// UnmarshalJSON implements [json.Unmarshaler]. It does not validate; [Parse]
// does.
func (p *Profile) UnmarshalJSON(data []byte) error { return p.read(data, false) }

// read reads either format; strict refuses members that it does not know.
func (p *Profile) read(data []byte, strict bool) error {
	var format struct {
		Format int `json:"format"`
	}
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&format); err != nil {
		return err
	}
	var read interface{ profile() (*Profile, error) }
	switch format.Format {
	case Format:
		read = new(profileJSON)
	case 1:
		read = new(format1JSON)
	default:
		return &Error{Rule: "PROFILE_FORMAT", Detail: "format " + strconv.Itoa(format.Format) + " is not 1 or " + strconv.Itoa(Format)}
	}
	if err := decode(data, read, strict); err != nil {
		return err
	}
	made, err := read.profile()
	if err != nil {
		return err
	}
	made.FillDefaults()
	*p = *made
	return nil
}

func (w *profileJSON) profile() (*Profile, error) {
	p := &Profile{
		Space: w.Space, Name: w.Name, Version: w.Version, UID: w.UID, Features: w.Features, Correction: w.Correction, Monitors: w.Monitors, Outcome: w.Outcome, Source: w.Source, Groups: w.Groups, Checks: w.Checks,
		Schedule: Schedule{Cron: w.Schedule.Cron, Zone: w.Schedule.Zone, OnClose: w.Schedule.OnClose},
	}
	var err error
	if p.Binning, err = w.Binning.binning(); err != nil {
		return nil, err
	}
	if p.Schedule.Lookback, err = lookback(w.Schedule.Lookback); err != nil {
		return nil, err
	}
	p.ReferenceSpan, err = duration("REFERENCE_SPAN", "reference span", w.Span)
	return p, err
}

func lookback(text string) (time.Duration, error) { return duration("LOOKBACK", "lookback", text) }

func duration(rule, what, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	span, err := time.ParseDuration(text)
	if err != nil {
		return 0, &Error{Rule: rule, Detail: what + " " + strconv.Quote(text) + " is not a duration such as 24h"}
	}
	return span, nil
}

// MarshalJSON implements [json.Marshaler].
func (m Monitor) MarshalJSON() ([]byte, error) {
	w := monitorJSON{
		Name: m.Name, Detector: m.Detector, Features: m.Features, Parameters: m.Parameters, Threshold: m.Threshold.wire(),
		MinSample: m.MinSample, Severity: m.Severity, Routes: m.Routes,
	}
	if m.Persistence != (Persistence{K: 1, N: 1}) {
		w.Persistence = &persistenceJSON{K: m.Persistence.K, N: m.Persistence.N}
	}
	return json.Marshal(w)
}

// UnmarshalJSON implements [json.Unmarshaler]: what is not there has its default.
func (m *Monitor) UnmarshalJSON(data []byte) error {
	var w monitorJSON
	if err := decode(data, &w, true); err != nil {
		return err
	}
	*m = Monitor{
		Name: w.Name, Detector: w.Detector, Features: w.Features, Parameters: w.Parameters, MinSample: w.MinSample,
		Severity: w.Severity, Routes: w.Routes,
	}
	if w.Persistence != nil {
		m.Persistence = Persistence{K: w.Persistence.K, N: w.Persistence.N}
	}
	if w.Threshold != nil {
		t, err := w.Threshold.threshold()
		if err != nil {
			err.Monitor = w.Name
			return err
		}
		m.Threshold = t
	}
	*m = m.withDefaults()
	return nil
}

func (t Threshold) wire() *thresholdJSON {
	switch t.Limit {
	case Fixed:
		return &thresholdJSON{Fixed: &t.Value}
	case Budget:
		return &thresholdJSON{Budget: &budgetJSON{Pages: t.Pages, Days: t.Days}}
	case Deviations:
		w := &deviationsJSON{Sigmas: t.Sigmas, Chunks: make(map[string]chunksJSON, len(t.Chunks))}
		for name, c := range t.Chunks {
			w.Chunks[name] = chunksJSON{Mean: c.Mean, StdDev: c.StdDev, Number: c.Number}
		}
		return &thresholdJSON{Deviations: w}
	case Significance:
		return &thresholdJSON{Significance: &t.Alpha}
	}
	return nil
}

func (w *thresholdJSON) threshold() (t Threshold, err *Error) {
	named := 0
	if w.Fixed != nil {
		t, named = Above(*w.Fixed), named+1
	}
	if w.Significance != nil {
		t, named = Significant(*w.Significance), named+1
	}
	if w.Budget != nil {
		t, named = AtMost(w.Budget.Pages, w.Budget.Days), named+1
	}
	if w.Deviations != nil {
		t, named = Beyond(w.Deviations.Sigmas, make(map[string]Chunks, len(w.Deviations.Chunks))), named+1
		for name, c := range w.Deviations.Chunks {
			t.Chunks[name] = Chunks{Mean: c.Mean, StdDev: c.StdDev, Number: c.Number}
			if len(c.Values) > 0 {
				t.Chunks[name] = ChunksOf(c.Values)
			}
		}
	}
	if named != 1 {
		return t, &Error{Rule: "THRESHOLD_LIMIT", Detail: "a threshold names " + strconv.Itoa(named) +
			" of fixed, significance, budget and deviations, not one"}
	}
	return t, nil
}

// MarshalJSON implements [json.Marshaler].
func (f Feature) MarshalJSON() ([]byte, error) {
	w := featureJSON{ID: f.Name, Kind: f.Kind, Type: f.Type, Baseline: f.Baseline, Bins: make([]binJSON, len(f.Bins))}
	for i := range f.Bins {
		b := &f.Bins[i]
		w.Bins[i] = binJSON{ID: b.ID, Count: b.Count, Proportion: b.Proportion}
		if f.Kind == Category {
			w.Bins[i].Category = &b.Category
		} else {
			lower, upper := limitJSON(b.Lower), limitJSON(b.Upper)
			w.Bins[i].Lower, w.Bins[i].Upper = &lower, &upper
		}
	}
	return json.Marshal(w)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (f *Feature) UnmarshalJSON(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var w featureJSON
	if err := decoder.Decode(&w); err != nil {
		return err
	}
	*f = Feature{Name: w.ID, Kind: w.Kind, Type: w.Type, Baseline: w.Baseline, Bins: make([]Bin, len(w.Bins))}
	for i, b := range w.Bins {
		f.Bins[i] = Bin{ID: b.ID, Count: b.Count, Proportion: b.Proportion}
		switch {
		case b.Category != nil:
			f.Bins[i].Category = *b.Category
		case b.Lower != nil && b.Upper != nil:
			f.Bins[i].Lower, f.Bins[i].Upper = float64(*b.Lower), float64(*b.Upper)
		default:
			return &Error{Column: w.ID, Rule: "BIN_LIMITS", Detail: "bin " + strconv.Itoa(b.ID) + " has neither limits nor a category"}
		}
	}
	return nil
}

func (b Binning) wire() binningJSON {
	b = b.withDefaults()
	switch b.Rule {
	case Quantile:
		return binningJSON{Quantile: &binsJSON{Bins: b.Bins}}
	case Manual:
		return binningJSON{EqualWidth: &equalWidthJSON{Method: map[Rule]*binsJSON{Manual: {Bins: b.Bins}}}}
	default:
		return binningJSON{EqualWidth: &equalWidthJSON{Method: map[Rule]*binsJSON{b.Rule: nil}}}
	}
}

func (w *binningJSON) binning() (Binning, error) {
	b := Binning{}
	switch {
	case w.Quantile != nil && w.EqualWidth == nil:
		b = Binning{Rule: Quantile, Bins: w.Quantile.Bins}
	case w.EqualWidth != nil && w.Quantile == nil && len(w.EqualWidth.Method) == 1:
		for rule, bins := range w.EqualWidth.Method {
			b.Rule = rule
			if bins != nil {
				b.Bins = bins.Bins
			}
		}
	case w.EqualWidth != nil || w.Quantile != nil:
		return b, &Error{Rule: "BINNING_RULE", Detail: "binning_strategy names not exactly one rule"}
	}
	b = b.withDefaults()
	return b, b.Validate()
}
