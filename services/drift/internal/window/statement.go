package window

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/driftmesh/driftmesh/internal/clickhouse/sqltext"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// MaxExemplars is how many records are kept for each bin of a window.
const MaxExemplars = 4

// valuesPerBlock bounds the values that the engine unfolds at a time: rows of a
// block times features. At this size it is as fast as with larger blocks and
// needs some tens of MB whatever the number of features.
const valuesPerBlock = 1 << 18

// Statements are the statements of one profile. They are immutable and safe for
// concurrent use.
type Statements struct {
	tenant, profile string // quoted
	bins            string // the WITH clauses that hold the bins
	placed          string // the SELECT that gives each value its cell
	block           int
	outcome         string // the statement of outcomes, "" when there are none
}

// New prepares the statements of a tenant's valid profile. uid is its id in the
// usual UUID text.
func New(tenant, uid string, p *profile.Profile) *Statements {
	numbers := 0
	for i := range p.Features {
		if p.Features[i].Kind == profile.Numeric {
			numbers++
		}
	}
	categories := len(p.Features) - numbers
	var branches []string
	if numbers > 0 {
		branches = append(branches, numbersSQL)
	}
	if categories > 0 {
		branches = append(branches, categoriesSQL)
	}
	return &Statements{
		tenant: sqltext.Quote(tenant), profile: sqltext.Quote(uid),
		bins: binClauses(p), placed: strings.Join(branches, "    UNION ALL\n"),
		block:   min(max(valuesPerBlock/max(numbers, categories), 64), 8192),
		outcome: outcomeStatement(p),
	}
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
// stored: column Rows UInt64.
func (s *Statements) Size(minutes []int64) string { return s.fill(sizeSQL, minutes, Slice{}) }

// Suspects returns the query for the number of records of the minutes that seem
// to have rows in other minutes too: column Suspects UInt64. Without any, the
// next two find nothing.
func (s *Statements) Suspects(minutes []int64, part Slice) string {
	return s.fill(suspectsSQL, minutes, part)
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

// Recompute returns the statement that computes the cells of the minutes and
// inserts them into table cells, leaving out what is in table losers. Windows
// that never had a row are not written.
func (s *Statements) Recompute(minutes []int64) string {
	return s.fill(recomputeSQL, minutes, Slice{})
}

// Exemplars returns the query for the records with the given keys in the given
// minutes: columns Key UInt64, RecordId String, TraceId and SpanId as lower-case
// hex, empty where there is none. Losers may show, since a key names an id.
func (s *Statements) Exemplars(minutes []int64, keys []uint64) string {
	texts := make([]string, len(keys))
	for i, k := range keys {
		texts[i] = strconv.FormatUint(k, 10)
	}
	return strings.ReplaceAll(s.fill(exemplarSQL, minutes, Slice{}), "$wanted", strings.Join(texts, ","))
}

func (s *Statements) fill(text string, minutes []int64, part Slice) string {
	seconds := make([]string, len(minutes))
	for i, m := range minutes {
		seconds[i] = strconv.FormatInt(m*60, 10)
	}
	text = strings.NewReplacer("$placed", s.placed, "$bins", s.bins).Replace(text)
	return strings.NewReplacer(
		"$window", "Tenant = "+s.tenant+" AND Profile = "+s.profile+" AND Minute IN ("+strings.Join(seconds, ",")+")",
		"$tenant", s.tenant, "$profile", s.profile, "$slice", part.sql(),
		"$key", keySQL, "$block", strconv.Itoa(s.block), "$exemplars", strconv.Itoa(MaxExemplars),
	).Replace(text)
}

// binClauses writes the bins as constants. Edges are written as the bits of
// their floats, because not every way of ClickHouse to read a decimal gives the
// nearest float, and a value that equals an edge must stay on its side of it.
// Texts are written in hex, so that no text can end its literal.
func binClauses(p *profile.Profile) string {
	var numeric, category, edges, keys, cells, bins []string
	for i := range p.Features {
		f := &p.Features[i]
		bins = append(bins, strconv.Itoa(len(f.Bins)))
		if f.Kind == profile.Numeric {
			numeric = append(numeric, strconv.Itoa(i))
			edges = append(edges, bitList(f.Edges()))
			continue
		}
		category = append(category, strconv.Itoa(i))
		for cell, text := range f.Categories() {
			keys = append(keys, fmt.Sprintf("'%s'", hex.EncodeToString([]byte(strconv.Itoa(len(category))+":"+text))))
			cells = append(cells, strconv.Itoa(cell))
		}
	}
	return strings.Join([]string{
		"CAST([" + strings.Join(bins, ",") + "], 'Array(UInt16)') AS bins",
		"CAST([" + strings.Join(numeric, ",") + "], 'Array(UInt16)') AS numeric",
		"CAST([" + strings.Join(category, ",") + "], 'Array(UInt16)') AS category",
		"arrayMap(f -> arrayMap(e -> reinterpretAsFloat64(e), f), CAST([" + strings.Join(edges, ",") + "], 'Array(Array(UInt64))')) AS edges",
		"arrayMap(k -> unhex(k), CAST([" + strings.Join(keys, ",") + "], 'Array(String)')) AS keys",
		"CAST([" + strings.Join(cells, ",") + "], 'Array(UInt16)') AS cells_of_keys",
	}, ",\n")
}

func bitList(values []float64) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = strconv.FormatUint(math.Float64bits(v), 10)
	}
	return "[" + strings.Join(texts, ",") + "]"
}
