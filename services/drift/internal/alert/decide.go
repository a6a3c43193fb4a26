package alert

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
)

// Change is what happens to an alert.
type Change string

// The changes.
const (
	None         Change = ""
	Raised       Change = "raised"
	Grew         Change = "grew"
	Repeated     Change = "repeated"
	Resolved     Change = "resolved"
	Acknowledged Change = "acknowledged"
)

// MaxMoved is how many features an alert tells of in full; the others are
// counted.
const MaxMoved = 20

// Alert is what a monitor noticed, from its raising on.
type Alert struct {
	ID, Tenant, Profile string
	Monitor, Detector   string
	// Trigger is what its evaluations are of: a schedule, or closing windows.
	Trigger string
	// Raised, and Repeated, Resolved and Acknowledged when they happened.
	Raised, Repeated, Resolved, Acknowledged time.Time
	// AcknowledgedBy is who took it on.
	AcknowledgedBy string
	// Reason is why it was resolved, where that is not that nothing moves.
	Reason string
	// Finding is what was found, where that is not that features moved.
	Finding string
	// Late tells that the slot that raised it had been judged before its data
	// were complete.
	Late bool
	// Notified is when people were last told.
	Notified time.Time
	// Muted says that a silence kept something of it from being told.
	Muted bool
	// Occurrences counts the evaluations that found it.
	Occurrences uint32
	// RangeStart and RangeEnd are the range of event time of Scores.
	RangeStart, RangeEnd time.Time
	// Scores are of the features that moved, the worst first, at most MaxMoved,
	// and Moved counts them all.
	Scores []score.Report
	Moved  int
	// Ever names the features that people were told of since it was raised.
	Ever []string
}

// Standing is what is known of the features of a monitor between evaluations of
// one kind.
type Standing struct {
	// Slot is that of the latest evaluation; zero if none.
	Slot time.Time
	// Prior and Latest are what the evaluations came to before that slot and with
	// it: for each feature that drifted within the last n, a letter each, the
	// latest first.
	Prior, Latest map[string]string
}

// Letters of a history.
const (
	drifted = 'd'
	stayed  = '-'
)

// Count takes the verdicts of a slot in, by feature. It is false when they are
// old news: of an earlier slot (see Revision), or of the same with the same
// outcome.
func (s Standing) Count(slot time.Time, verdicts map[string]score.Verdict, p profile.Persistence) (Standing, bool) {
	if slot.Before(s.Slot) {
		return s, false
	}
	next := Standing{Slot: slot, Prior: s.Latest}
	if slot.Equal(s.Slot) {
		next.Prior = s.Prior
	}
	next.Latest = After(next.Prior, verdicts, p)
	return next, !slot.Equal(s.Slot) || !maps.Equal(next.Latest, s.Latest)
}

// After is what is known of the features when the verdicts of a further slot have
// been taken in.
func After(prior map[string]string, verdicts map[string]score.Verdict, p profile.Persistence) map[string]string {
	latest := map[string]string{}
	for feature, verdict := range verdicts {
		history := prior[feature]
		switch verdict {
		case score.Drift:
			history = string(drifted) + history
		case score.OK:
			history = string(stayed) + history
		case score.Insufficient: // says nothing
		}
		history = history[:min(len(history), p.N)]
		if strings.ContainsRune(history, drifted) {
			latest[feature] = history
		}
	}
	return latest
}

// Moved names the features that drifted in k of their last evaluations, in order.
func (s Standing) Moved(p profile.Persistence) []string { return moved(s.Latest, p) }

func moved(latest map[string]string, p profile.Persistence) []string {
	var moved []string
	for feature, history := range latest {
		if strings.Count(history, string(drifted)) >= p.K {
			moved = append(moved, feature)
		}
	}
	slices.Sort(moved)
	return moved
}

// Decision is what an evaluation brings about.
type Decision struct {
	Change Change
	// Tell is whether people hear of the change.
	Tell bool
}

// Decide says what it means that these features have moved, by an evaluation that
// found drift or did not, for an alert, nil when none is open. One that is found
// again is told again when the last time is at least repeat ago, and never when
// repeat is 0.
func Decide(open *Alert, moved []string, found bool, now time.Time, repeat time.Duration) Decision {
	switch {
	case open == nil && len(moved) > 0:
		return Decision{Raised, true}
	case open == nil:
		return Decision{}
	case len(moved) == 0:
		return Decision{Resolved, true}
	case slices.ContainsFunc(moved, func(f string) bool { return !slices.Contains(open.Ever, f) }):
		return Decision{Grew, true}
	case found:
		return Decision{Repeated, repeat > 0 && now.Sub(open.Notified) >= repeat}
	}
	return Decision{}
}
