package alert

import (
	"maps"

	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
)

// Revision follows the slots from one on whose verdicts changed, and compares what
// came of them with what comes of them now.
//
// A late verdict counts in the place of its slot, as if it had been there in time.
// So it may complete k of n for its slot and the n-1 evaluations after it, or break
// it, and nothing beyond. What that means for people:
//
//	as of the latest slot       then
//	moved, no alert is open     raised, late
//	moved, one is open          it goes on; it grew when it had not told of a feature
//	not moved, one is open      resolved
//
// Where it has moved for some slots in a row that are over by now, and people heard
// of none of them, they hear that it had: an alert that is raised, late, and
// resolved at once. An alert that is resolved stays so, whatever comes, and one that
// had been raised for what now is no drift is not taken back.
type Revision struct {
	by       profile.Persistence
	was, now map[string]string
	run      []string // the features that moved at the beginning of the present run
	told     bool     // people have heard of the run
	missed   [][]string
}

// Revise begins a revision with what was known before the slot.
func Revise(prior map[string]string, by profile.Persistence) *Revision {
	r := &Revision{by: by, was: prior, now: prior}
	r.look()
	return r
}

// Next takes in a slot: its verdicts as they were, nil if it had none, and as they
// are. It is false when that and everything after it come to the same as before.
func (r *Revision) Next(was, now map[string]score.Verdict) (differs bool) {
	if was != nil {
		r.was = After(r.was, was, r.by)
	}
	r.now = After(r.now, now, r.by)
	r.look()
	return !maps.Equal(r.was, r.now)
}

func (r *Revision) look() {
	now := moved(r.now, r.by)
	if len(now) == 0 {
		if r.run != nil && !r.told {
			r.missed = append(r.missed, r.run)
		}
		r.run, r.told = nil, false
		return
	}
	if r.run == nil {
		r.run = now
	}
	r.told = r.told || len(moved(r.was, r.by)) > 0
}

// Latest is what is known after the slots so far.
func (r *Revision) Latest() map[string]string { return r.now }

// Missed are the runs of slots in which features had moved, that are over and that
// people have not heard of, each by the features of its first slot.
func (r *Revision) Missed() [][]string { return r.missed }
