package profile

import (
	"slices"
	"strings"
)

// Format 1: one index, one threshold for all features, no correction.
type (
	format1JSON struct {
		Format    int         `json:"format"`
		Space     string      `json:"space"`
		Name      string      `json:"name"`
		Version   string      `json:"version"`
		UID       string      `json:"uid"`
		DriftType string      `json:"drift_type"`
		Features  []Feature   `json:"features"`
		Binning   binningJSON `json:"binning_strategy"`
		Alert     struct {
			Schedule  string                `json:"schedule"`
			Monitored []string              `json:"features_to_monitor"`
			Threshold map[string]threshold1 `json:"threshold"`
			MinSample uint64                `json:"min_sample"`
			Lookback  string                `json:"lookback"`
			OnClose   bool                  `json:"evaluate_on_close"`
			Routes    []struct {
				Kind     string            `json:"kind"`
				Settings map[string]string `json:"settings"`
			} `json:"routes"`
		} `json:"alert_config"`
	}
	threshold1 struct {
		Value *float64 `json:"threshold"`
		Alpha *float64 `json:"alpha"`
	}
)

// profile gives the settings of the one index to one monitor. Its significance
// was one of each feature, so it stays uncorrected. The detector is psi, whose
// significance holds; the index of format 1 to the digit is that of psi_scouter.
func (w *format1JSON) profile() (*Profile, error) {
	if w.DriftType != "Psi" {
		return nil, &Error{Rule: "DRIFT_TYPE", Detail: "drift type " + w.DriftType + " is not Psi"}
	}
	m := Monitor{Name: PSIDetector, Detector: PSIDetector, MinSample: w.Alert.MinSample}
	if len(w.Alert.Monitored) > 0 {
		m.Features = w.Alert.Monitored
	}
	for _, r := range w.Alert.Routes {
		if name := strings.ToLower(r.Kind); !slices.Contains(m.Routes, name) {
			m.Routes = append(m.Routes, name)
		}
	}
	if len(w.Alert.Threshold) > 1 {
		return nil, &Error{Monitor: m.Name, Rule: "THRESHOLD_LIMIT", Detail: "threshold names more than one rule"}
	}
	for limit, num := range w.Alert.Threshold {
		switch {
		case limit == "Fixed" && num.Value != nil && num.Alpha == nil:
			m.Threshold = Above(*num.Value)
		case (limit == "Normal" || limit == "ChiSquare") && num.Alpha != nil && num.Value == nil:
			m.Threshold = Significant(*num.Alpha)
		default:
			return nil, &Error{Monitor: m.Name, Rule: "THRESHOLD_LIMIT", Detail: "a Fixed threshold has a threshold, Normal and ChiSquare have an alpha"}
		}
	}
	p := &Profile{
		Space: w.Space, Name: w.Name, Version: w.Version, UID: w.UID, Features: w.Features, Correction: Uncorrected, Monitors: []Monitor{m},
		Schedule: Schedule{Cron: w.Alert.Schedule, OnClose: w.Alert.OnClose},
	}
	var err error
	if p.Binning, err = w.Binning.binning(); err != nil {
		return nil, err
	}
	p.Schedule.Lookback, err = lookback(w.Alert.Lookback)
	return p, err
}
