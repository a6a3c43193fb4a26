package alert

import (
	"time"

	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
)

// Replay follows what evaluations of one monitor would have meant for its alert, and
// keeps it to itself.
type Replay struct {
	By       profile.Persistence
	standing Standing
	open     *Alert
}

// Take takes in the verdicts of the next slot, by feature, and gives what they would
// have brought about and the features that had moved.
func (r *Replay) Take(slot time.Time, verdicts map[string]score.Verdict) (change Change, moved []string) {
	found := false
	for _, v := range verdicts {
		found = found || v == score.Drift
	}
	r.standing, _ = r.standing.Count(slot, verdicts, r.By)
	moved = r.standing.Moved(r.By)
	change = Decide(r.open, moved, found, slot, 0).Change
	switch change {
	case Raised:
		r.open = &Alert{Raised: slot, Notified: slot, Ever: moved}
	case Grew:
		r.open.Ever = append(r.open.Ever, moved...)
	case Resolved:
		r.open = nil
	case None, Repeated, Acknowledged:
	}
	return change, moved
}

// Open reports whether the alert would be open.
func (r *Replay) Open() bool { return r.open != nil }
