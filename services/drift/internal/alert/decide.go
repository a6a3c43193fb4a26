package alert

import (
	"time"

	"github.com/driftmesh/driftmesh/services/drift/internal/score"
)

// Change is what happens to an alert.
type Change string

// The changes.
const (
	None         Change = ""
	Raised       Change = "raised"
	Repeated     Change = "repeated"
	Resolved     Change = "resolved"
	Acknowledged Change = "acknowledged"
)

// Alert is a drift of one feature that was noticed, from its raising on.
type Alert struct {
	ID, Tenant, Profile string
	Feature, Detector   string
	// Raised, and Repeated, Resolved and Acknowledged when they happened.
	Raised, Repeated, Resolved, Acknowledged time.Time
	// AcknowledgedBy is who took it on.
	AcknowledgedBy string
	// Notified is when people were last told.
	Notified time.Time
	// Occurrences counts the evaluations that found it.
	Occurrences uint32
	// RangeStart and RangeEnd are the range of event time of Score.
	RangeStart, RangeEnd time.Time
	// Score is the one that raised or last repeated it.
	Score score.Report
}

// Before is what was known of a feature before an evaluation.
type Before struct {
	// Slot and Verdict are those of the latest evaluation; zero if none.
	Slot    time.Time
	Verdict score.Verdict
	// Open tells whether an alert is open, Notified when people were last told
	// of it.
	Open     bool
	Notified time.Time
}

// Decision is what an evaluation brings about.
type Decision struct {
	// Counts is false when the evaluation is old news and must not be recorded.
	Counts bool
	Change Change
	// Tell is whether people hear of the change.
	Tell bool
}

// Decide says what a verdict on a slot means. An open alert that is found again
// is told again when the last time is at least repeat ago, and never when
// repeat is 0.
func Decide(before Before, slot time.Time, verdict score.Verdict, now time.Time, repeat time.Duration) Decision {
	if slot.Before(before.Slot) || slot.Equal(before.Slot) && verdict == before.Verdict {
		return Decision{}
	}
	d := Decision{Counts: true}
	switch {
	case verdict == score.Drift && !before.Open:
		d.Change, d.Tell = Raised, true
	case verdict == score.Drift:
		d.Change, d.Tell = Repeated, repeat > 0 && now.Sub(before.Notified) >= repeat
	case verdict == score.OK && before.Open:
		d.Change, d.Tell = Resolved, true
	}
	return d
}
