package window

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/driftmesh/driftmesh/internal/clickhouse/sqltext"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// MaxExemplars is how many records are kept for each bin of a window.
const MaxExemplars = 4

const (
	// valuesPerBlock bounds the values that are read at a time: rows of a block
	// times features. It is as fast as larger blocks.
	valuesPerBlock = 1 << 18
	// cellsAtOnce bounds the cells that are counted at a time, which take some
	// 50 bytes each.
	cellsAtOnce = 1 << 19
	// sumsPerCell is how many sums of products take as much.
	sumsPerCell = 3
	// mostMinutes bounds the minutes of a statement, whose text grows with them.
	mostMinutes = 2000
)

// Statements are the statements of one profile. They are immutable and safe for
// concurrent use.
type Statements struct {
	tenant, profile string // quoted
	name, uid       string // the same as they are
	plan            *plan
	source          *source // nil when observations are sent
	checked         bool    // contexts are
	block           int
}

// New prepares the statements of a tenant's valid profile. uid is its id in the
// usual UUID text. extras has what is measured besides of each feature of p; nil
// is nothing.
func New(tenant, uid string, p *profile.Profile, extras []Extra) *Statements {
	plan := newPlan(p, extras)
	return &Statements{
		tenant: sqltext.Quote(tenant), profile: sqltext.Quote(uid), name: tenant, uid: uid, plan: plan, source: newSource(p), checked: p.Checks != nil,
		block: min(max(valuesPerBlock/max(len(plan.numbers), len(plan.categories)), 64), 8192),
	}
}

// Minutes is how many minutes may be counted at a time.
func (s *Statements) Minutes() int {
	cells := s.plan.cells
	for i := range s.plan.groups {
		cells += len(s.plan.groups[i].none.Sums) / sumsPerCell
	}
	return min(max(cellsAtOnce/cells, 1), mostMinutes)
}

// Slice is a part of the records of some windows, chosen by a hash of their ids:
// part Part of Of. It bounds the memory that finding losers takes.
type Slice struct{ Part, Of int }

// SliceRows is how many rows a slice should hold: with ids of 36 bytes the
// engine needs some 100 MB to find losers among them.
const SliceRows = 200_000

func (s Slice) sql() string {
	if s.Of <= 1 {
		return "1"
	}
	return fmt.Sprintf("cityHash64(RecordId) %% %d = %d", s.Of, s.Part)
}

// Size returns the query for the number of rows of the minutes (since 1970), as
// stored: columns Window Int64, the minute, and Rows UInt64. Those without rows
// are left out.
func (s *Statements) Size(minutes []int64) string { return s.fill(sizeSQL, minutes, Slice{}) }

// Span returns the query for the least and the greatest id of the minutes:
// columns First and Last, String.
func (s *Statements) Span(minutes []int64) string { return s.fill(spanSQL, minutes, Slice{}) }

// IDs is a range of record ids, bounds included; the zero value is all of them.
type IDs struct{ First, Last string }

func (r IDs) sql() string {
	if r == (IDs{}) {
		return "1"
	}
	return "RecordId BETWEEN " + unhex(r.First) + " AND " + unhex(r.Last)
}

// Estimate returns the query for how many rows of table observation_ids the index
// has for a range of ids: a row for each table, none if there is nothing.
func (s *Statements) Estimate(among IDs) string {
	return s.fill(estimateSQL, nil, Slice{}, "$among", among.sql())
}

// Suspects returns the query for the number of rows in other minutes that seem to
// be of records of these: column Suspects UInt64. Without any, the next two find
// nothing. It looks the ids up by the index, which takes about a microsecond for
// each and is best for few.
func (s *Statements) Suspects(minutes []int64, part Slice) string {
	return s.suspects(minutes, part, "RecordId IN (SELECT RecordId FROM observations WHERE $window AND $slice)")
}

// SuspectsAmong is Suspects that reads the hashes of all ids of a range that has
// those of the minutes, at a hundredth of that for each: best where there are not
// many more.
func (s *Statements) SuspectsAmong(minutes []int64, part Slice, ids IDs) string {
	// The index has no hashes: without the setting it is asked all the same, for four
	// times as long as the rest takes.
	return s.suspects(minutes, part, "indexHint("+ids.sql()+") AND Hash IN (SELECT cityHash64(RecordId) FROM observations WHERE $window AND $slice)") +
		"SETTINGS use_index_for_in_with_subqueries = 0"
}

func (s *Statements) suspects(minutes []int64, part Slice, named string) string {
	several := "$slice"
	if len(minutes) < 2 {
		several = "0"
	}
	text := strings.NewReplacer("$named", named, "$several", several).Replace(suspectsSQL)
	return s.fill(text, minutes, part)
}

// Losers returns the statement that adds, of records of the minutes with rows in
// several minutes, the rows that lose to table losers.
func (s *Statements) Losers(minutes []int64, part Slice) string {
	return s.fill(losersSQL, minutes, part)
}

// Related returns the query for all minutes that share a record with the given
// ones, which may be among them: column Minutes Array(Int64), ascending.
func (s *Statements) Related(minutes []int64, part Slice) string {
	return s.fill(relatedSQL, minutes, part)
}

// Rows returns the query for the rows of the minutes, for a Tally: one for each
// record id and minute, those in table losers marked. Of a profile with an outcome
// the values are those of the record's labels, where it has any.
func (s *Statements) Rows(minutes []int64) string {
	if s.plan.outcome != nil {
		return s.fill(labelledSQL, minutes, Slice{})
	}
	return s.fill(rowsSQL, minutes, Slice{})
}

// NewRows returns columns for what Rows gives.
func (s *Statements) NewRows() *Rows { return newRows(s.plan.outcome != nil) }

// Exemplars returns the query for the records with the given keys in the given
// minutes: columns Key UInt64, RecordId String, TraceId and SpanId as lower-case
// hex, empty where there is none. Of a record with rows in several minutes, the
// one that counts.
func (s *Statements) Exemplars(minutes []int64, keys []uint64) string {
	texts := make([]string, len(keys))
	for i, k := range keys {
		texts[i] = strconv.FormatUint(k, 10)
	}
	return s.fill(exemplarSQL, minutes, Slice{}, "$wanted", strings.Join(texts, ","))
}

// unhex is a text that no content of it can end.
func unhex(text string) string { return "unhex('" + hex.EncodeToString([]byte(text)) + "')" }

func (s *Statements) fill(text string, minutes []int64, part Slice, more ...string) string {
	seconds := make([]string, len(minutes))
	for i, m := range minutes {
		seconds[i] = strconv.FormatInt(m*60, 10)
	}
	list := strings.Join(seconds, ",")
	return strings.NewReplacer(append(more,
		"$window", "Tenant = "+s.tenant+" AND Profile = "+s.profile+" AND Minute IN ("+list+")", "$minutes", list,
		"$tenant", s.tenant, "$profile", s.profile, "$slice", part.sql(), "$key", keySQL, "$block", strconv.Itoa(s.block),
	)...).Replace(text)
}
