package quota

import (
	"errors"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Reason is the reason of every refusal for a limit.
const Reason = "TENANT_LIMIT"

// minWait is the least that somebody is told to wait.
const minWait = 100 * time.Millisecond

// Refuse counts a refusal for a limit and says it: the limit, what the tenant may,
// and in words what is over it or would fit. A wait of 0 is for what waiting does
// not help.
func (t *Tenant) Refuse(name Name, what string, wait time.Duration) error {
	t.refused[name].Add(1)
	f := fault.Exhausted.New("the limit %s of tenant %s is %s: %s", name, t.name, t.value(name), what).WithReason(Reason)
	if wait > 0 {
		f = f.WithRetryAfter(max(wait, minWait))
	}
	return &Refusal{f, name}
}

// Refusal is a fault that says for which limit it is.
type Refusal struct {
	fault *fault.Fault
	Limit Name
}

// Error implements error.
func (r *Refusal) Error() string { return r.fault.Error() }

// Unwrap gives the fault.
func (r *Refusal) Unwrap() error { return r.fault }

// TurnAway counts a request that was refused for a limit, by the topic that it was
// for; any other error is not counted. Turned gives the counts.
func (t *Tenant) TurnAway(topic Topic, err error) {
	if r, ok := errors.AsType[*Refusal](err); ok {
		t.turned[topic][r.Limit].Add(1)
	}
}

// Turned gives how many requests for a topic were turned away since it was asked
// last, by limit; nil when none were.
func (t *Tenant) Turned(topic Topic) (since map[string]uint64) {
	for name := range t.turned[topic] {
		if n := t.turned[topic][name].Load(); n > 0 {
			t.turned[topic][name].Add(-n)
			if since == nil {
				since = map[string]uint64{}
			}
			since[Name(name).String()] = uint64(n)
		}
	}
	return since
}

// value is a limit in words.
func (t *Tenant) value(name Name) string {
	l := t.Limits()
	switch name {
	case IngestRate, IngestItems:
		text := name.Format(l[name]) + " a second"
		if burst := l[name+1]; burst > 0 {
			text += " and " + (name + 1).Format(burst) + " at once"
		}
		return text
	default:
	}
	if l[name] == 0 {
		return "its share"
	}
	return name.Format(l[name])
}
