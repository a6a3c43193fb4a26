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

// Format is the number of the JSON form that this package writes, and the only
// one it reads.
const Format = 1

// The JSON form. Floats are written with the shortest text that reads back to
// the same bits, so a profile survives the trip to the last digit.
type (
	profileJSON struct {
		Format    int         `json:"format"`
		Space     string      `json:"space"`
		Name      string      `json:"name"`
		Version   string      `json:"version,omitempty"`
		UID       string      `json:"uid,omitempty"`
		DriftType string      `json:"drift_type"`
		Features  []Feature   `json:"features"`
		Binning   binningJSON `json:"binning_strategy"`
		Alert     alertJSON   `json:"alert_config"`
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
	alertJSON struct {
		Schedule  string                 `json:"schedule,omitempty"`
		Monitored []string               `json:"features_to_monitor"`
		Threshold map[Limit]thresholdNum `json:"threshold,omitempty"`
		MinSample uint64                 `json:"min_sample,omitempty"`
		Lookback  string                 `json:"lookback,omitempty"`
		OnClose   bool                   `json:"evaluate_on_close,omitempty"`
		Routes    []routeJSON            `json:"routes,omitempty"`
	}
	thresholdNum struct {
		Value *float64 `json:"threshold,omitempty"`
		Alpha *float64 `json:"alpha,omitempty"`
	}
	routeJSON struct {
		Kind     string            `json:"kind"`
		Settings map[string]string `json:"settings,omitempty"`
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
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var w profileJSON
	if err := decoder.Decode(&w); err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, &Error{Rule: "PROFILE_JSON", Detail: "there is more after the profile"}
	}
	p, err := w.profile()
	if err != nil {
		return nil, err
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return p, nil
}

// MarshalJSON implements [json.Marshaler]; see the package comment for the form.
func (p Profile) MarshalJSON() ([]byte, error) {
	return json.Marshal(profileJSON{
		Format: Format, Space: p.Space, Name: p.Name, Version: p.Version, UID: p.UID,
		DriftType: p.DriftType, Features: p.Features,
		Binning: p.Binning.wire(), Alert: p.Alert.wire(),
	})
}

// UnmarshalJSON implements [json.Unmarshaler]. It does not validate; [Parse]
// does.
func (p *Profile) UnmarshalJSON(data []byte) error {
	var w profileJSON
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	read, err := w.profile()
	if err != nil {
		return err
	}
	*p = *read
	return nil
}

func (w *profileJSON) profile() (*Profile, error) {
	if w.Format != Format {
		return nil, &Error{Rule: "PROFILE_FORMAT", Detail: "format " + strconv.Itoa(w.Format) + " is not " + strconv.Itoa(Format)}
	}
	p := &Profile{Space: w.Space, Name: w.Name, Version: w.Version, UID: w.UID, DriftType: w.DriftType, Features: w.Features}
	var err error
	if p.Binning, err = w.Binning.binning(); err != nil {
		return nil, err
	}
	if p.Alert, err = w.Alert.alert(); err != nil {
		return nil, err
	}
	return p, nil
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

func (a Alert) wire() alertJSON {
	w := alertJSON{Schedule: a.Schedule, Monitored: a.Monitored, MinSample: a.MinSample, OnClose: a.OnClose}
	if w.Monitored == nil {
		w.Monitored = []string{}
	}
	t := a.Threshold.withDefaults()
	if t.Limit == Fixed {
		w.Threshold = map[Limit]thresholdNum{Fixed: {Value: &t.Value}}
	} else {
		w.Threshold = map[Limit]thresholdNum{t.Limit: {Alpha: &t.Alpha}}
	}
	if a.Lookback != 0 {
		w.Lookback = a.Lookback.String()
	}
	for _, r := range a.Routes {
		w.Routes = append(w.Routes, routeJSON(r))
	}
	return w
}

func (w *alertJSON) alert() (Alert, error) {
	a := Alert{Schedule: w.Schedule, MinSample: w.MinSample, OnClose: w.OnClose}
	if len(w.Monitored) > 0 {
		a.Monitored = w.Monitored
	}
	for _, r := range w.Routes {
		a.Routes = append(a.Routes, Route(r))
	}
	if w.Lookback != "" {
		span, err := time.ParseDuration(w.Lookback)
		if err != nil {
			return a, &Error{Rule: "LOOKBACK", Detail: "lookback " + strconv.Quote(w.Lookback) + " is not a duration such as 24h"}
		}
		a.Lookback = span
	}
	if len(w.Threshold) > 1 {
		return a, &Error{Rule: "THRESHOLD_LIMIT", Detail: "threshold names more than one rule"}
	}
	a.Threshold = a.Threshold.withDefaults()
	for limit, num := range w.Threshold {
		switch {
		case limit == Fixed && num.Value != nil && num.Alpha == nil:
			a.Threshold = Threshold{Limit: limit, Value: *num.Value}
		case limit != Fixed && num.Alpha != nil && num.Value == nil:
			a.Threshold = Threshold{Limit: limit, Alpha: *num.Alpha}
		default:
			return a, &Error{Rule: "THRESHOLD_LIMIT", Detail: "a Fixed threshold has a threshold, Normal and ChiSquare have an alpha"}
		}
	}
	return a, a.Threshold.Validate()
}
