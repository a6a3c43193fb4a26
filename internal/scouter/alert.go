package scouter

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"time"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// AlertItem is an alert as Scouter's clients read it: of one feature.
type AlertItem struct {
	CreatedAt time.Time      `json:"created_at"`
	Entity    string         `json:"entity_name"`
	Alert     map[string]any `json:"alert"` // of one member, which names its kind
	ID        int32          `json:"id"`
	Active    bool           `json:"active"`
}

type (
	spcAlert struct {
		Feature string `json:"feature"`
		Kind    string `json:"kind"`
		Zone    string `json:"zone"`
	}
	psiAlert struct {
		Feature   string  `json:"feature"`
		Drift     float64 `json:"drift"`
		Threshold float64 `json:"threshold"`
	}
	metricAlert struct {
		Metric    string   `json:"metric_name"`
		Baseline  float64  `json:"baseline_value"`
		Observed  float64  `json:"observed_value"`
		Delta     *float64 `json:"delta"`
		Threshold string   `json:"alert_threshold"`
	}
)

// alertID is the number of an item of an alert of ours: the clients know ids of 31 bits
// alone, so that it is a hash.
func alertID(id string, item int) int32 {
	sum := sha256.Sum256(binary.AppendUvarint([]byte(id), uint64(item))) //nolint:gosec // from 0
	return int32(binary.BigEndian.Uint32(sum[:4]) >> 1)                  //nolint:gosec // 31 bits
}

// HasItem reports whether an id is that of an item of an alert.
func HasItem(a *driftv1.Alert, id int32) bool {
	items := 0
	for _, s := range a.GetMoved() {
		items += max(1, len(s.GetCaveats())) // a pattern is one
	}
	for i := range items {
		if alertID(a.GetId(), i) == id {
			return true
		}
	}
	return false
}

// patternPrefix begins what a score says of a pattern that was found.
const patternPrefix = "pattern "

// AlertsOf are the items of alerts of a profile, whose document this is.
func AlertsOf(driftType string, document []byte, alerts []*driftv1.Alert) ([]AlertItem, error) {
	kind, d, err := readDraft(driftType, document)
	if err != nil {
		return nil, err
	}
	all := []AlertItem{}
	for _, a := range alerts {
		all = append(all, d.itemsOf(kind, driftType, a)...)
	}
	return all, nil
}

// itemsOf are the items of an alert: one for each feature that moved, and of control
// charts for each pattern.
func (d *draft) itemsOf(kind Kind, driftType string, a *driftv1.Alert) (items []AlertItem) {
	add := func(alert any) {
		items = append(items, AlertItem{
			CreatedAt: a.GetRaiseTime().AsTime(), Entity: d.Config.Name, Alert: map[string]any{driftType: alert}, ID: alertID(a.GetId(), len(items)),
			Active: a.GetResolveTime() == nil && a.GetAcknowledgeTime() == nil,
		})
	}
	for _, s := range a.GetMoved() {
		switch kind {
		case SPC:
			for _, caveat := range s.GetCaveats() {
				if pattern, ok := strings.CutPrefix(caveat, patternPrefix); ok {
					zone, what, _ := strings.Cut(pattern, " ")
					add(spcAlert{s.GetFeature(), what, zone})
				}
			}
		case PSI:
			add(psiAlert{s.GetFeature(), s.GetValue(), s.GetThreshold()})
		case Custom:
			if c, ok := d.Config.AlertConfig.Conditions[s.GetFeature()]; ok {
				add(metricAlert{s.GetFeature(), c.Baseline, s.GetValue(), c.Delta, c.Threshold})
			}
		case Evaluation:
			if c := d.Config.AlertConfig.Condition; c != nil {
				add(metricAlert{"agent_workflow_metric", c.Baseline, s.GetValue(), c.Delta, c.Threshold})
			}
		}
	}
	return items
}
