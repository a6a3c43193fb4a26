package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
)

// What a slot is of.
const (
	TriggerSchedule = "schedule"
	TriggerClose    = "close"
)

// Evaluation is the scores of a profile over one range.
type Evaluation struct {
	Tenant, Profile string
	// Slot and Trigger name a stored evaluation within its profile; zero for one
	// that was asked for.
	Slot    time.Time
	Trigger string
	// Start and End are the range of event time.
	Start, End time.Time
	Records    uint64
	Scores     []score.Score
	// Exemplars has, for features that drifted, a list for each bin.
	Exemplars map[int][][]score.Exemplar
	Evaluated time.Time
}

// WriteScores stores an evaluation. The same slot again replaces it.
func (c *Cells) WriteScores(ctx context.Context, e *Evaluation) error {
	uid, err := uuid.Parse(e.Profile)
	if err != nil {
		return fault.Internal.Wrap(err, "profile uid %q is malformed", e.Profile)
	}
	b := newScoreBlock()
	for i := range e.Scores {
		if err := b.append(e, uid, &e.Scores[i]); err != nil {
			return err
		}
	}
	if err := c.db.Insert(ctx, "monitor_scores", b.input()); err != nil {
		return fmt.Errorf("store scores: %w", err)
	}
	return nil
}

// scoreBlock is rows of table monitor_scores.
type scoreBlock struct {
	tenant, trigger, monitor, detector, verdict *proto.ColLowCardinality[string]
	method                                      *proto.ColLowCardinality[string]
	caveats                                     *proto.ColArr[string]
	profile                                     proto.ColUUID
	slot, start, end, evaluated                 *proto.ColDateTime64
	feature                                     proto.ColUInt16
	records, sample, reference, minimum         proto.ColUInt64
	value, judged, threshold, lower             proto.ColFloat64
	p, adjusted, rate                           proto.ColFloat64
	counts                                      *proto.ColArr[uint64]
	contributions                               *proto.ColArr[float64]
	exemplars                                   proto.ColStr
}

func newScoreBlock() *scoreBlock {
	text := func() *proto.ColLowCardinality[string] { return new(proto.ColStr).LowCardinality() }
	at := func(p proto.Precision) *proto.ColDateTime64 {
		return new(proto.ColDateTime64).WithPrecision(p).WithLocation(time.UTC)
	}
	return &scoreBlock{
		tenant: text(), trigger: text(), monitor: text(), detector: text(), verdict: text(), method: text(),
		caveats: proto.NewArray(text()),
		slot:    at(proto.PrecisionMicro), start: at(proto.PrecisionMicro), end: at(proto.PrecisionMicro), evaluated: at(proto.PrecisionNano),
		counts: new(proto.ColUInt64).Array(), contributions: new(proto.ColFloat64).Array(),
	}
}

func (b *scoreBlock) append(e *Evaluation, uid uuid.UUID, s *score.Score) error {
	exemplars := []byte("")
	if list := e.Exemplars[s.Feature]; list != nil {
		var err error
		if exemplars, err = json.Marshal(list); err != nil {
			return fmt.Errorf("encode exemplars: %w", err)
		}
	}
	b.tenant.Append(e.Tenant)
	b.profile.Append(uid)
	b.slot.Append(e.Slot)
	b.trigger.Append(e.Trigger)
	b.monitor.Append(s.Monitor)
	b.feature.Append(uint16(s.Feature))
	b.detector.Append(s.Detector)
	b.start.Append(e.Start)
	b.end.Append(e.End)
	b.records.Append(e.Records)
	b.verdict.Append(string(s.Verdict))
	b.value.Append(s.Value)
	b.judged.Append(s.Judged)
	b.method.Append(s.Method)
	b.caveats.Append(s.Caveats)
	b.threshold.Append(s.Threshold)
	b.lower.Append(s.Lower)
	b.p.Append(s.P)
	b.adjusted.Append(s.Adjusted)
	b.rate.Append(s.Rate)
	b.sample.Append(s.Sample)
	b.reference.Append(s.Reference)
	b.minimum.Append(s.Minimum)
	b.counts.Append(s.Counts)
	b.contributions.Append(s.Contributions)
	b.exemplars.AppendBytes(exemplars)
	b.evaluated.Append(e.Evaluated)
	return nil
}

func (b *scoreBlock) input() proto.Input {
	return proto.Input{
		{Name: "Tenant", Data: b.tenant}, {Name: "Profile", Data: &b.profile}, {Name: "Slot", Data: b.slot}, {Name: "Trigger", Data: b.trigger},
		{Name: "Monitor", Data: b.monitor}, {Name: "Feature", Data: &b.feature}, {Name: "Detector", Data: b.detector}, {Name: "RangeStart", Data: b.start}, {Name: "RangeEnd", Data: b.end},
		{Name: "Records", Data: &b.records}, {Name: "Verdict", Data: b.verdict}, {Name: "Value", Data: &b.value}, {Name: "Threshold", Data: &b.threshold},
		{Name: "Judged", Data: &b.judged}, {Name: "Method", Data: b.method}, {Name: "Caveats", Data: b.caveats},
		{Name: "Lower", Data: &b.lower}, {Name: "P", Data: &b.p}, {Name: "Adjusted", Data: &b.adjusted}, {Name: "Rate", Data: &b.rate},
		{Name: "Sample", Data: &b.sample}, {Name: "Reference", Data: &b.reference}, {Name: "Minimum", Data: &b.minimum}, {Name: "Counts", Data: b.counts},
		{Name: "Contributions", Data: b.contributions}, {Name: "Exemplars", Data: &b.exemplars}, {Name: "Evaluated", Data: b.evaluated},
	}
}

// After is a place in the list of evaluations: the slot and trigger of the last
// one of a page. The zero After is the beginning.
type After struct {
	Slot    time.Time
	Trigger string
}

// ListScores lists the stored evaluations of a profile, the newest slot first, and
// within the scores by monitor and feature.
func (c *Cells) ListScores(ctx context.Context, tenant, profile string, after After, limit int) ([]*Evaluation, error) {
	last := after.Slot.UnixMicro()
	if after.Slot.IsZero() {
		last = 1 << 62
	}
	rows, err := c.db.Query(ctx, `SELECT toUnixTimestamp64Micro(Slot) AS At, Trigger, Monitor, Feature, Detector, RangeStart, RangeEnd, Records, Verdict, Value, Threshold,
			Judged, Method, Caveats, Lower, P, Adjusted, Rate, Sample, Reference, Minimum, Counts, Contributions, Exemplars, Evaluated
		FROM monitor_scores FINAL
		WHERE Tenant = {tenant:String} AND Profile = {profile:UUID} AND (At, Trigger) IN
			(SELECT DISTINCT toUnixTimestamp64Micro(Slot) AS At, Trigger FROM monitor_scores
				WHERE Tenant = {tenant:String} AND Profile = {profile:UUID} AND (At, Trigger) < ({last:Int64}, {trigger:String})
				ORDER BY At DESC, Trigger DESC LIMIT {limit:UInt32})
		ORDER BY At DESC, Trigger DESC, Monitor, Feature`,
		clickhouse.Named("tenant", tenant), clickhouse.Named("profile", profile), clickhouse.Named("last", last),
		clickhouse.Named("trigger", after.Trigger), clickhouse.Named("limit", limit))
	if err != nil {
		return nil, fmt.Errorf("list scores: %w", err)
	}
	defer rows.Close()
	var all []*Evaluation
	for rows.Next() {
		row, s, exemplars, err := scanScore(rows)
		if err != nil {
			return nil, err
		}
		if len(all) == 0 || !all[len(all)-1].Slot.Equal(row.Slot) || all[len(all)-1].Trigger != row.Trigger {
			row.Tenant, row.Profile, row.Exemplars = tenant, profile, map[int][][]score.Exemplar{}
			all = append(all, row)
		}
		e := all[len(all)-1]
		e.Scores = append(e.Scores, s)
		if exemplars != nil {
			e.Exemplars[s.Feature] = exemplars
		}
	}
	return all, rows.Err()
}

// Scored is a slot that was scored.
type Scored struct {
	Slot    time.Time
	Trigger string
	// Start and End are the minutes that it judged, End exclusive.
	Start, End int64
}

// ScoredSlots lists the slots of a profile since the given time, in order, that
// judged any of the minutes, which ascend.
func (c *Cells) ScoredSlots(ctx context.Context, tenant, profile string, since time.Time, minutes []int64) ([]Scored, error) {
	if len(minutes) == 0 {
		return nil, nil
	}
	rows, err := c.db.Query(ctx, `SELECT DISTINCT toUnixTimestamp64Micro(Slot) AS At, Trigger,
			toInt64(toUnixTimestamp(toDateTime(RangeStart, 'UTC'))) DIV 60 AS First, toInt64(toUnixTimestamp(toDateTime(RangeEnd, 'UTC'))) DIV 60 AS Last
		FROM monitor_scores
		WHERE Tenant = {tenant:String} AND Profile = {profile:UUID} AND At >= {since:Int64} AND Slot > fromUnixTimestamp64Micro({after:Int64})
			AND First <= {last:Int64} AND Last > {first:Int64}
		ORDER BY At, Trigger`,
		clickhouse.Named("tenant", tenant), clickhouse.Named("profile", profile), clickhouse.Named("since", since.UnixMicro()),
		clickhouse.Named("after", minutes[0]*int64(time.Minute/time.Microsecond)),
		clickhouse.Named("first", minutes[0]), clickhouse.Named("last", minutes[len(minutes)-1]))
	if err != nil {
		return nil, fmt.Errorf("list scored slots: %w", err)
	}
	defer rows.Close()
	var found []Scored
	for rows.Next() {
		var s Scored
		var at int64
		if err := rows.Scan(&at, &s.Trigger, &s.Start, &s.End); err != nil {
			return nil, fmt.Errorf("read scored slots: %w", err)
		}
		s.Slot = time.UnixMicro(at).UTC()
		// Of ascending minutes the first that is not before the start tells.
		if i, _ := slices.BinarySearch(minutes, s.Start); i < len(minutes) && minutes[i] < s.End {
			found = append(found, s)
		}
	}
	return found, rows.Err()
}

func scanScore(rows interface{ Scan(dest ...any) error }) (e *Evaluation, s score.Score, exemplars [][]score.Exemplar, err error) {
	e = new(Evaluation)
	var slot int64
	var feature uint16
	var verdict, text string
	if err := rows.Scan(&slot, &e.Trigger, &s.Monitor, &feature, &s.Detector, &e.Start, &e.End, &e.Records, &verdict, &s.Value, &s.Threshold,
		&s.Judged, &s.Method, &s.Caveats, &s.Lower, &s.P, &s.Adjusted, &s.Rate, &s.Sample, &s.Reference, &s.Minimum, &s.Counts, &s.Contributions, &text, &e.Evaluated); err != nil {
		return nil, s, nil, fmt.Errorf("read scores: %w", err)
	}
	e.Slot, s.Feature, s.Verdict = time.UnixMicro(slot).UTC(), int(feature), score.Verdict(verdict)
	if text != "" {
		if err := json.Unmarshal([]byte(text), &exemplars); err != nil {
			return nil, s, nil, fault.Internal.Wrap(err, "stored exemplars cannot be read")
		}
	}
	return e, s, exemplars, nil
}
