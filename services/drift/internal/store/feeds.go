package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
)

// What an alert is of that is about a profile as a whole, in place of a trigger.
const (
	AboutFeed    = "feed"    // rows have stopped coming
	AboutSamples = "samples" // a monitor has too little to judge by, again and again
)

// monitorFeed stands for a monitor in alerts of feeds.
const monitorFeed = "feed"

// Arrival says that rows of a profile came.
type Arrival struct {
	Tenant, Profile string
	At              time.Time
}

// feedStep is how often a feed is written down: gaps are known to as much.
const feedStep = 10 * time.Second

// Came remembers that rows came.
func (s *State) Came(ctx context.Context, arrivals []Arrival) error {
	arrivals = slices.Clone(arrivals)
	slices.SortFunc(arrivals, func(a, b Arrival) int { return a.At.Compare(b.At) })
	for _, a := range arrivals {
		var last int64
		err := s.db.QueryRow(ctx, `SELECT last FROM feeds WHERE profile = ?`, a.Profile).Scan(&last)
		if err != nil && !errors.Is(err, fault.NotFound) {
			return fmt.Errorf("look up feed: %w", err)
		}
		if err == nil && a.At.Before(sqlstate.Time(last).Add(feedStep)) {
			continue
		}
		if err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error { return a.keep(ctx, tx) }); err != nil {
			return fmt.Errorf("remember feed: %w", err)
		}
	}
	return nil
}

func (a Arrival) keep(ctx context.Context, tx *sqlstate.Tx) error {
	f := new(feed)
	found, err := sqlstate.All(ctx, tx, scanFeed, selectFeeds+` WHERE f.profile = ?`, a.Profile)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		f = found[0]
	}
	f.Came(a.At)
	gaps, err := json.Marshal(f.Gaps)
	if err != nil {
		return fmt.Errorf("encode feed: %w", err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO feeds (profile, tenant, first, last, watched, gaps) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (profile) DO UPDATE SET first = excluded.first, last = excluded.last, gaps = excluded.gaps`,
		a.Profile, a.Tenant, micros(f.First), micros(f.Last), micros(f.Watched), string(gaps))
	return err
}

// feed is that of a profile.
type feed struct {
	owner
	alert.Feed
}

const selectFeeds = `SELECT f.tenant, f.profile, f.first, f.last, f.watched, f.gaps FROM feeds f`

func scanFeed(rows *sql.Rows) (*feed, error) {
	f := new(feed)
	var first, last, watched int64
	var gaps string
	if err := rows.Scan(&f.tenant, &f.profile, &first, &last, &watched, &gaps); err != nil {
		return nil, err
	}
	f.First, f.Last, f.Watched = sqlstate.Time(first), sqlstate.Time(last), sqlstate.Time(watched)
	if err := json.Unmarshal([]byte(gaps), &f.Gaps); err != nil {
		return nil, fault.Internal.Wrap(err, "a stored feed cannot be read")
	}
	return f, nil
}

// unwatched is how long nobody may have looked for silences to count on.
const unwatched = 2 * time.Minute

// Patience is how long data may be absent. 0 is for ever.
type Patience struct {
	// Silence is of data that had been coming, at least; Unfed of such as never came.
	Silence, Unfed time.Duration
}

// before is the time before which something must have been for patience to be over; 0
// when it never is.
func before(now time.Time, patience time.Duration) int64 {
	if patience == 0 {
		return 0
	}
	return micros(now.Add(-patience))
}

// Listen looks at all feeds of active profiles: it raises an alert for each that has
// died, by alert.Feed.Silent, or that nothing ever came of, and resolves those whose
// rows come again. Silence while nobody listened does not count. Whoever listens, each
// alert is raised once; of a profile that never had data none where people know that
// it has too little to judge by.
func (s *State) Listen(ctx context.Context, now time.Time, p Patience) error {
	var since time.Time
	var silent, speaking []*feed
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) (err error) {
		if since, err = watched(ctx, tx, now); err != nil {
			return err
		}
		silent, err = sqlstate.All(ctx, tx, scanFeed, selectFeeds+` JOIN schedules s ON s.profile = f.profile
			WHERE s.active = ? AND (f.last > 0 AND f.last < ? OR f.last = 0 AND f.watched < ?) AND NOT EXISTS
				(SELECT 1 FROM alerts a WHERE a.profile = f.profile AND (a.kind = ? OR f.last = 0 AND a.kind = ?) AND a.resolved = 0)`,
			true, before(now, p.Silence), before(now, p.Unfed), AboutFeed, AboutSamples)
		if err != nil {
			return err
		}
		speaking, err = sqlstate.All(ctx, tx, scanFeed, selectFeeds+` JOIN alerts a ON a.profile = f.profile
			WHERE a.kind = ? AND a.resolved = 0 AND f.last > a.range_start`, AboutFeed)
		return err
	})
	if err != nil {
		return fmt.Errorf("listen to feeds: %w", err)
	}
	for _, f := range silent {
		found := &alert.Alert{Monitor: monitorFeed, Trigger: AboutFeed, Raised: now, RangeStart: f.Last, RangeEnd: now, Finding: "no data since " + f.Last.Format(time.RFC3339)}
		switch {
		case f.Unfed(now, since, p.Unfed):
			found.RangeStart, found.Finding = f.Watched, "no data at all, since "+f.Watched.Format(time.RFC3339)
		case !f.Silent(now, since, p.Silence):
			continue
		}
		err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
			p, err := one(ctx, tx, `tenant = ? AND uid = ?`, f.tenant, f.profile)
			if err != nil {
				return err
			}
			return raiseFinding(ctx, tx, p, found)
		})
		if err != nil && !errors.Is(err, fault.Exists) {
			return fmt.Errorf("raise alert of silence: %w", err)
		}
	}
	for _, f := range speaking {
		err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
			return resolveFindings(ctx, tx, f.owner, AboutFeed, monitorFeed, "data came at "+f.Last.Format(time.RFC3339), now)
		})
		if err != nil {
			return fmt.Errorf("resolve alert of silence: %w", err)
		}
	}
	return nil
}

// watched says that somebody listens now, and gives since when there has been
// somebody.
func watched(ctx context.Context, tx *sqlstate.Tx, now time.Time) (time.Time, error) {
	var since, seen int64
	err := tx.QueryRow(ctx, `SELECT since, seen FROM watch WHERE id = 1`).Scan(&since, &seen)
	if err != nil && !errors.Is(err, fault.NotFound) {
		return now, err
	}
	if err != nil || now.Sub(sqlstate.Time(seen)) > unwatched {
		since = micros(now)
	}
	_, err = tx.Exec(ctx, `INSERT INTO watch (id, since, seen) VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE SET since = excluded.since, seen = excluded.seen`,
		since, micros(now))
	return sqlstate.Time(since), err
}

// raiseFinding makes an alert that is not about features, and tells of it. It is
// fault.Exists when the same is open.
func raiseFinding(ctx context.Context, tx *sqlstate.Tx, p *Registered, a *alert.Alert) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make alert id: %w", err)
	}
	a.ID, a.Tenant, a.Profile, a.Notified, a.Occurrences = id.String(), p.Tenant, p.UID, a.Raised, 1
	if err := insertAlert(ctx, tx, a); err != nil {
		return err
	}
	return tell(ctx, tx, p, a, alert.Raised, a.Raised)
}

// resolveFindings ends the open alert about a profile's monitor, if there is one.
func resolveFindings(ctx context.Context, tx *sqlstate.Tx, of owner, about, monitor, reason string, now time.Time) error {
	open, err := sqlstate.All(ctx, tx, scanAlert, selectAlerts+` WHERE profile = ? AND kind = ? AND monitor = ? AND resolved = 0`, of.profile, about, monitor)
	if err != nil || len(open) == 0 {
		return err
	}
	p, err := one(ctx, tx, `tenant = ? AND uid = ?`, of.tenant, of.profile)
	if err != nil {
		return err
	}
	a := open[0]
	a.Resolved, a.Reason, a.RangeEnd = now, reason, now
	if _, err := tx.Exec(ctx, `UPDATE alerts SET resolved = ?, reason = ? WHERE id = ?`, micros(now), reason, a.ID); err != nil {
		return err
	}
	return tell(ctx, tx, p, a, alert.Resolved, now)
}

// everyMonitor stands for a monitor in alerts of a profile none of whose monitors has
// enough to judge by.
const everyMonitor = "all"

// countSamples raises an alert for each monitor that had too little to judge by in
// each of the last evaluations, as many as c.Insufficient, or one for the profile where
// that is so of all of several, and resolves it when that is over. While no data come at
// all, nothing is raised: people know.
func (c *Conclusion) countSamples(ctx context.Context, tx *sqlstate.Tx) error {
	if c.Insufficient == 0 || c.Trigger != TriggerSchedule || len(c.Result.Scores) == 0 {
		return nil
	}
	last, err := sqlstate.All(ctx, tx, scanVerdicts, `SELECT slot, body FROM verdicts WHERE profile = ? AND kind = ? ORDER BY slot DESC LIMIT ?`,
		c.Profile.UID, c.Trigger, c.Insufficient)
	if err != nil || len(last) == 0 {
		return err
	}
	runs, least := make([]int, len(c.Profile.Monitors)), c.Insufficient
	for i := range runs {
		m := c.Profile.Monitors[i].Name
		for runs[i] < len(last) && insufficient(last[runs[i]].monitors[m].Verdicts) {
			runs[i]++
		}
		least = min(least, runs[i])
	}
	if all := len(runs) > 1 && least == c.Insufficient; all {
		return c.raiseSamples(ctx, tx, everyMonitor, sqlstate.Time(last[least-1].slot), sqlstate.Time(last[0].slot))
	}
	of := owner{c.Profile.Tenant, c.Profile.UID}
	if least == 0 {
		if err := resolveFindings(ctx, tx, of, AboutSamples, everyMonitor, enough, c.Now); err != nil {
			return err
		}
	}
	for i, run := range runs {
		m := c.Profile.Monitors[i].Name
		switch run {
		case 0:
			err = resolveFindings(ctx, tx, of, AboutSamples, m, enough, c.Now)
		case c.Insufficient:
			err = c.raiseSamples(ctx, tx, m, sqlstate.Time(last[run-1].slot), sqlstate.Time(last[0].slot))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// enough is why there is no lack of samples any more.
const enough = "there was enough to judge by"

// insufficient reports whether a monitor had too little for every feature.
func insufficient(verdicts string) bool {
	return strings.ContainsRune(verdicts, 'i') && !strings.ContainsAny(verdicts, "od")
}

func (c *Conclusion) raiseSamples(ctx context.Context, tx *sqlstate.Tx, monitor string, first, last time.Time) error {
	var open int
	if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM alerts WHERE profile = ? AND resolved = 0 AND (kind = ? OR kind = ? AND monitor IN (?, ?))`,
		c.Profile.UID, AboutFeed, AboutSamples, monitor, everyMonitor).Scan(&open); err != nil || open > 0 {
		return err
	}
	a := &alert.Alert{Monitor: monitor, Trigger: AboutSamples, Raised: c.Now, RangeStart: first, RangeEnd: last}
	finding := "too little to judge by"
	if m := c.Profile.Monitor(monitor); m != nil && monitor != everyMonitor {
		a.Detector = m.Detector
	} else {
		finding = "no monitor had enough to judge by"
		for i := range c.Profile.Monitors { // one alert takes the place of several
			if err := resolveFindings(ctx, tx, owner{c.Profile.Tenant, c.Profile.UID}, AboutSamples, c.Profile.Monitors[i].Name, "no monitor has", c.Now); err != nil {
				return err
			}
		}
	}
	a.Finding = fmt.Sprintf("%s in the last %d evaluations, since %s", finding, c.Insufficient, first.Format(time.RFC3339))
	return raiseFinding(ctx, tx, c.Profile, a)
}
