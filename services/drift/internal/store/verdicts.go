package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
)

// judged is what a slot came to for one monitor: the verdicts on the features, and
// what was known of them before.
type judged struct {
	Verdicts string            `json:"v"`
	Prior    map[string]string `json:"p,omitempty"`
}

// verdictRow is what a slot came to, by monitor.
type verdictRow struct {
	slot     int64
	monitors map[string]judged
	changed  bool
}

// Letters of verdicts; unjudged are features that the monitor did not look at.
var letters = map[score.Verdict]byte{score.OK: 'o', score.Drift: 'd', score.Insufficient: 'i'}

const unjudged = '-'

// packVerdicts writes verdicts as runs of letters in the order of the subjects:
// "3o1d196o".
func packVerdicts(p *profile.Profile, verdicts map[string]score.Verdict) string {
	var b strings.Builder
	subjects := score.Subjects(p)
	for i, run := 0, 1; i < subjects; i, run = i+run, 1 {
		letter := letterOf(p, verdicts, i)
		for i+run < subjects && letterOf(p, verdicts, i+run) == letter {
			run++
		}
		fmt.Fprintf(&b, "%d%c", run, letter)
	}
	return b.String()
}

func letterOf(p *profile.Profile, verdicts map[string]score.Verdict, subject int) byte {
	if letter, ok := letters[verdicts[score.Subject(p, subject)]]; ok {
		return letter
	}
	return unjudged
}

// unpackVerdicts reads what packVerdicts wrote.
func unpackVerdicts(p *profile.Profile, text string) (map[string]score.Verdict, error) {
	verdicts := make(map[string]score.Verdict, len(p.Features))
	for feature := 0; text != ""; {
		end := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
		run, err := strconv.Atoi(text[:max(end, 0)])
		if err != nil || run < 1 || run > score.Subjects(p)-feature {
			return nil, fault.Internal.New("stored verdicts cannot be read")
		}
		for v, letter := range letters {
			for i := feature; letter == text[end] && i < feature+run; i++ {
				verdicts[score.Subject(p, i)] = v
			}
		}
		feature, text = feature+run, text[end+1:]
	}
	return verdicts, nil
}

func scanVerdicts(rows *sql.Rows) (*verdictRow, error) {
	r := new(verdictRow)
	var body string
	if err := rows.Scan(&r.slot, &body); err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(body), &r.monitors); err != nil {
		return nil, fault.Internal.Wrap(err, "stored verdicts cannot be read")
	}
	return r, nil
}

// remembered is what slots of one kind came to, as far as a conclusion looks.
type remembered struct {
	c *Conclusion
	// before is the last slot before the one that is concluded; nil if none is known.
	before *verdictRow
	// rows are of the slot and those after it, as far as they were read.
	rows []*verdictRow
	all  bool
}

// recall begins with the slots around the one that is concluded.
func (c *Conclusion) recall(ctx context.Context, tx *sqlstate.Tx) (*remembered, error) {
	r := &remembered{c: c}
	before, err := sqlstate.All(ctx, tx, scanVerdicts, `SELECT slot, body FROM verdicts WHERE profile = ? AND kind = ? AND slot < ? ORDER BY slot DESC LIMIT 1`,
		c.Profile.UID, c.Trigger, micros(c.At))
	if err != nil {
		return nil, err
	}
	if len(before) > 0 {
		r.before = before[0]
	}
	if err := r.read(ctx, tx, micros(c.At)); err != nil {
		return nil, err
	}
	if len(r.rows) == 0 || r.rows[0].slot != micros(c.At) {
		r.rows = append([]*verdictRow{{slot: micros(c.At), monitors: map[string]judged{}}}, r.rows...)
	}
	return r, nil
}

// rememberedAtOnce is how many slots are read at a time: late verdicts rarely
// matter to more.
const rememberedAtOnce = 128

func (r *remembered) read(ctx context.Context, tx *sqlstate.Tx, from int64) error {
	more, err := sqlstate.All(ctx, tx, scanVerdicts, `SELECT slot, body FROM verdicts WHERE profile = ? AND kind = ? AND slot >= ? ORDER BY slot LIMIT ?`,
		r.c.Profile.UID, r.c.Trigger, from, rememberedAtOnce)
	r.rows, r.all = append(r.rows, more...), len(more) < rememberedAtOnce
	return err
}

// row gives the i-th slot from the concluded one on; nil after the last.
func (r *remembered) row(ctx context.Context, tx *sqlstate.Tx, i int) (*verdictRow, error) {
	if i >= len(r.rows) && !r.all {
		if err := r.read(ctx, tx, r.rows[len(r.rows)-1].slot+1); err != nil {
			return nil, err
		}
	}
	if i >= len(r.rows) {
		return nil, nil
	}
	return r.rows[i], nil
}

// set changes what a slot came to for a monitor.
func (row *verdictRow) set(monitor string, j judged) {
	before, ok := row.monitors[monitor]
	if !ok || before.Verdicts != j.Verdicts || !maps.Equal(before.Prior, j.Prior) {
		row.monitors[monitor], row.changed = j, true
	}
}

// keep writes what has changed.
func (r *remembered) keep(ctx context.Context, tx *sqlstate.Tx) error {
	for _, row := range r.rows {
		if !row.changed {
			continue
		}
		body, err := json.Marshal(row.monitors)
		if err != nil {
			return fmt.Errorf("encode verdicts: %w", err)
		}
		if _, err := tx.Exec(ctx, `INSERT INTO verdicts (profile, kind, slot, body) VALUES (?, ?, ?, ?)
			ON CONFLICT (profile, kind, slot) DO UPDATE SET body = excluded.body`, r.c.Profile.UID, r.c.Trigger, row.slot, string(body)); err != nil {
			return err
		}
	}
	return nil
}

// prior is what was known of a monitor's features before the concluded slot; false
// when that is not remembered.
func (r *remembered) prior(m *profile.Monitor) (map[string]string, bool, error) {
	if j, ok := r.rows[0].monitors[m.Name]; ok {
		return j.Prior, true, nil
	}
	if r.before == nil {
		return nil, false, nil
	}
	j, ok := r.before.monitors[m.Name]
	if !ok {
		return nil, false, nil
	}
	verdicts, err := unpackVerdicts(r.c.Profile.Profile, j.Verdicts)
	return alert.After(j.Prior, verdicts, m.Persistence), true, err
}

// revise takes in verdicts of a slot that is not the latest. What they mean by now
// is in the standing, and what they meant in between is what was missed; false
// when nothing has changed, or the slot is older than what is remembered.
func (r *remembered) revise(ctx context.Context, tx *sqlstate.Tx, m *profile.Monitor, verdicts map[string]score.Verdict, present alert.Standing) (
	after alert.Standing, missed [][]string, changed bool, err error,
) {
	packed := packVerdicts(r.c.Profile.Profile, verdicts)
	old, had := r.rows[0].monitors[m.Name]
	prior, known, err := r.prior(m)
	if err != nil || !known || had && old.Verdicts == packed {
		return present, nil, false, err
	}
	var was map[string]score.Verdict
	if had {
		if was, err = unpackVerdicts(r.c.Profile.Profile, old.Verdicts); err != nil {
			return present, nil, false, err
		}
	}
	revision := alert.Revise(prior, m.Persistence)
	r.rows[0].set(m.Name, judged{Verdicts: packed, Prior: prior})
	differs, last := revision.Next(was, verdicts), r.rows[0]
	for i := 1; differs; i++ {
		row, err := r.row(ctx, tx, i)
		if err != nil {
			return present, nil, false, err
		}
		if row == nil {
			break
		}
		j, ok := row.monitors[m.Name]
		if !ok {
			continue
		}
		same, err := unpackVerdicts(r.c.Profile.Profile, j.Verdicts)
		if err != nil {
			return present, nil, false, err
		}
		row.set(m.Name, judged{Verdicts: j.Verdicts, Prior: revision.Latest()})
		differs, last = revision.Next(same, same), row
	}
	if after = present; differs && last.slot == micros(present.Slot) {
		after.Prior, after.Latest = last.monitors[m.Name].Prior, revision.Latest()
	}
	return after, revision.Missed(), true, nil
}

// remember keeps the verdicts of the latest slot.
func (r *remembered) remember(m *profile.Monitor, verdicts map[string]score.Verdict, prior map[string]string) {
	r.rows[0].set(m.Name, judged{Verdicts: packVerdicts(r.c.Profile.Profile, verdicts), Prior: prior})
}
