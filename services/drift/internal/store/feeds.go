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
		ON CONFLICT (profile) DO UPDATE SET last = excluded.last, gaps = excluded.gaps`,
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

// Listen looks at all feeds of active profiles: it raises an alert for each that has
// died, by alert.Feed.Silent, and resolves those whose rows come again. Silence while
// nobody listened does not count. Whoever listens, each alert is raised once.
func (s *State) Listen(ctx context.Context, now time.Time, floor time.Duration) error {
	var since time.Time
	var silent, speaking []*feed
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) (err error) {
		if since, err = watched(ctx, tx, now); err != nil {
			return err
		}
		silent, err = sqlstate.All(ctx, tx, scanFeed, selectFeeds+` JOIN schedules s ON s.profile = f.profile
			WHERE s.active = ? AND f.last < ? AND NOT EXISTS (SELECT 1 FROM alerts a WHERE a.profile = f.profile AND a.kind = ? AND a.resolved = 0)`,
			true, micros(now.Add(-floor)), AboutFeed)
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
	for _, f := range slices.DeleteFunc(silent, func(f *feed) bool { return !f.Silent(now, since, floor) }) {
		err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
			p, err := one(ctx, tx, `tenant = ? AND uid = ?`, f.tenant, f.profile)
			if err != nil {
				return err
			}
			return raiseFinding(ctx, tx, p, &alert.Alert{
				Monitor: monitorFeed, Trigger: AboutFeed, Raised: now, RangeStart: f.Last, RangeEnd: now, Finding: "no data since " + f.Last.Format(time.RFC3339),
			})
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

// countSamples raises an alert for each monitor that had too little to judge by in
// each of the last evaluations, as many as c.Insufficient, and resolves it when that
// is over. While no data come at all, nothing is raised: people know.
func (c *Conclusion) countSamples(ctx context.Context, tx *sqlstate.Tx) error {
	if c.Insufficient == 0 || c.Trigger != TriggerSchedule || len(c.Result.Scores) == 0 {
		return nil
	}
	last, err := sqlstate.All(ctx, tx, scanVerdicts, `SELECT slot, body FROM verdicts WHERE profile = ? AND kind = ? ORDER BY slot DESC LIMIT ?`,
		c.Profile.UID, c.Trigger, c.Insufficient)
	if err != nil || len(last) == 0 {
		return err
	}
	for i := range c.Profile.Monitors {
		m := c.Profile.Monitors[i].Name
		run := 0
		for run < len(last) && insufficient(last[run].monitors[m].Verdicts) {
			run++
		}
		switch run {
		case 0:
			err = resolveFindings(ctx, tx, owner{c.Profile.Tenant, c.Profile.UID}, AboutSamples, m, "there was enough to judge by", c.Now)
		case c.Insufficient:
			err = c.raiseSamples(ctx, tx, m, sqlstate.Time(last[run-1].slot), sqlstate.Time(last[0].slot))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// insufficient reports whether a monitor had too little for every feature.
func insufficient(verdicts string) bool {
	return strings.ContainsRune(verdicts, 'i') && !strings.ContainsAny(verdicts, "od")
}

func (c *Conclusion) raiseSamples(ctx context.Context, tx *sqlstate.Tx, monitor string, first, last time.Time) error {
	var open int
	if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM alerts WHERE profile = ? AND resolved = 0 AND (kind = ? OR kind = ? AND monitor = ?)`,
		c.Profile.UID, AboutFeed, AboutSamples, monitor).Scan(&open); err != nil || open > 0 {
		return err
	}
	return raiseFinding(ctx, tx, c.Profile, &alert.Alert{
		Monitor: monitor, Detector: c.Profile.Monitor(monitor).Detector, Trigger: AboutSamples, Raised: c.Now, RangeStart: first, RangeEnd: last,
		Finding: fmt.Sprintf("too little to judge by in the last %d evaluations, since %s", c.Insufficient, first.Format(time.RFC3339)),
	})
}
