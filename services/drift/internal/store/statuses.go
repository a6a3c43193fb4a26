package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
)

// Latest is the newest stored evaluation of a profile. Of its scores it has those that
// moved most, without counts, contributions and exemplars, and says how many of all came
// to what.
type Latest struct {
	Evaluation

	Moved, OK, Insufficient uint64
}

// LatestScores gives the newest stored evaluation of each of a tenant's profiles that
// has one, with at most so many scores: drift first, by how many times its threshold it
// is, and insufficient last.
func (c *Cells) LatestScores(ctx context.Context, tenant string, uids []string, limit int) (map[string]*Latest, error) {
	rows, err := c.db.Query(ctx, `SELECT toString(Profile), toUnixTimestamp64Micro(Slot) AS At, Trigger, Monitor, Feature, Detector, RangeStart, RangeEnd, Records, Verdict,
			Value, Threshold, Judged, Method, Caveats, Lower, P, Adjusted, Rate, Sample, Reference, Minimum, Evaluated,
			countIf(Verdict = 'drift') OVER (PARTITION BY Profile), countIf(Verdict = 'ok') OVER (PARTITION BY Profile),
			countIf(Verdict = 'insufficient') OVER (PARTITION BY Profile)
		FROM monitor_scores FINAL
		WHERE Tenant = {tenant:String} AND Profile IN (SELECT toUUID(arrayJoin({profiles:Array(String)})))
			AND (Profile, Slot, Trigger) IN (SELECT Profile, (max((Slot, Trigger)) AS newest).1, newest.2 FROM monitor_scores
				WHERE Tenant = {tenant:String} AND Profile IN (SELECT toUUID(arrayJoin({profiles:Array(String)}))) GROUP BY Profile)
		ORDER BY Profile, Verdict = 'drift' DESC, Verdict = 'insufficient',
			if(Threshold > 0 AND isFinite(Value), abs(if(isFinite(Judged), Judged, Value)) / Threshold, 0) DESC, Monitor, Feature
		LIMIT {limit:UInt32} BY Profile`,
		clickhouse.Named("tenant", tenant), clickhouse.Named("profiles", uids), clickhouse.Named("limit", limit))
	if err != nil {
		return nil, fmt.Errorf("look up the newest scores: %w", err)
	}
	defer rows.Close()
	found := map[string]*Latest{}
	for rows.Next() {
		var one Latest
		var s score.Score
		var slot int64
		var feature uint16
		var verdict string
		if err := rows.Scan(&one.Profile, &slot, &one.Trigger, &s.Monitor, &feature, &s.Detector, &one.Start, &one.End, &one.Records, &verdict,
			&s.Value, &s.Threshold, &s.Judged, &s.Method, &s.Caveats, &s.Lower, &s.P, &s.Adjusted, &s.Rate, &s.Sample, &s.Reference, &s.Minimum, &one.Evaluated,
			&one.Moved, &one.OK, &one.Insufficient); err != nil {
			return nil, fmt.Errorf("read the newest scores: %w", err)
		}
		s.Feature, s.Verdict = int(feature), score.Verdict(verdict)
		of := found[one.Profile]
		if of == nil {
			one.Tenant, one.Slot = tenant, time.UnixMicro(slot).UTC()
			of, found[one.Profile] = &one, &one
		}
		of.Scores = append(of.Scores, s)
	}
	return found, rows.Err()
}

// Watch is what is known of a profile besides its scores.
type Watch struct {
	uid string
	// Open is how many alerts are, and Newest the id of the newest of them.
	Open   uint32
	Newest string
	// Came is when rows last came; zero when none did.
	Came time.Time
}

// Watches gives that of each of a tenant's profiles.
func (s *State) Watches(ctx context.Context, tenant string, uids []string) (map[string]Watch, error) {
	args := []any{tenant}
	for _, uid := range uids {
		args = append(args, uid)
	}
	all, err := sqlstate.All(ctx, s.db, scanWatch, `SELECT p.uid, (SELECT COUNT(*) FROM alerts a WHERE a.profile = p.uid AND a.resolved = 0),
			COALESCE((SELECT MAX(a.id) FROM alerts a WHERE a.profile = p.uid AND a.resolved = 0), ''), COALESCE((SELECT f.last FROM feeds f WHERE f.profile = p.uid), 0)
		FROM profiles p WHERE p.tenant = ? AND p.uid IN (''`+strings.Repeat(", ?", len(uids))+`)`, args...)
	if err != nil {
		return nil, fmt.Errorf("look up open alerts: %w", err)
	}
	found := make(map[string]Watch, len(all))
	for _, w := range all {
		found[w.uid] = w
	}
	return found, nil
}

func scanWatch(rows *sql.Rows) (w Watch, err error) {
	var last int64
	err = rows.Scan(&w.uid, &w.Open, &w.Newest, &last)
	w.Came = sqlstate.Time(last)
	return w, err
}
