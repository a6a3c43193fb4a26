package window

import (
	_ "embed"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/driftmesh/driftmesh/internal/clickhouse/sqltext"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

var (
	//go:embed cross.sql
	crossSQL string
	//go:embed examples.sql
	examplesSQL string
	//go:embed own.sql
	ownSQL string
	//go:embed labels.sql
	labelsSQL string
	//go:embed unseen.sql
	unseenSQL string
)

// Span is a range of minutes since 1970 of a tenant's profile; End is exclusive.
type Span struct {
	Tenant, Profile string
	Start, End      int64
}

// Target is by what the records of a span are counted: the cells of a feature of the
// profile, by its position, or those of an aspect of its outcome.
type Target struct {
	Feature int
	Aspect  Aspect // of the outcome; 0 where it is the feature
}

// Cross returns the query that counts, for every feature of p, the records of a span
// that have a cell of the target by the cell of that feature and the cell of the
// target: columns Feature UInt16, Cell UInt32, Target UInt32, Records UInt64. Memory
// goes by the number of cells, not of records; of a profile with an outcome labels
// stand in the place of values, and those of the span are held.
func Cross(s Span, p *profile.Profile, target Target) string {
	return crossStatement(crossSQL, s, p, target)
}

// Examples returns the query for a few records of each cell of the target, those with
// the least keys: columns Cell UInt32, Records UInt64, how many there are, and Found
// Array(Tuple(UInt64, String, String, String)), key, record id, trace and span.
func Examples(s Span, p *profile.Profile, target Target) string {
	return strings.NewReplacer("$most", strconv.Itoa(MaxExemplars), "$key", keySQL).Replace(crossStatement(examplesSQL, s, p, target))
}

// Unseen returns the query for the most frequent values of a span that the
// category features of p do not know, about as many of each as are asked for:
// columns Feature UInt16, Names Array(String).
func Unseen(s Span, p *profile.Profile, names int) string {
	return strings.ReplaceAll(crossStatement(unseenSQL, s, p, Target{}), "$names", strconv.Itoa(names))
}

func crossStatement(text string, s Span, p *profile.Profile, target Target) string {
	numbers, categories, at := 0, 0, 0
	for i := range p.Features {
		of := &categories
		if p.Features[i].Kind == profile.Numeric {
			of = &numbers
		}
		*of++
		if i == target.Feature {
			at = *of
		}
	}
	var placed []string
	if numbers > 0 {
		placed = append(placed, "SELECT numeric[i] AS feature, "+numberCell("value", "state", "feature")+" AS cell, target FROM rows "+
			"ARRAY JOIN Numbers AS value, NumberStates AS state, arrayEnumerate(Numbers) AS i")
	}
	if categories > 0 {
		placed = append(placed, "SELECT category[i] AS feature, "+categoryCell("value", "state", "toString(i)", "feature")+" AS cell, target FROM rows "+
			"ARRAY JOIN Categories AS value, CategoryStates AS state, arrayEnumerate(Categories) AS i")
	}
	of := "Tenant = " + sqltext.Quote(s.Tenant) + " AND Profile = " + sqltext.Quote(s.Profile)
	records := ownSQL
	if p.Outcome != nil {
		records = strings.ReplaceAll(labelsSQL, "$own", ownSQL)
	}
	text = strings.NewReplacer("$bins", binClauses(p), "$target", target.cellSQL(p, at), "$placed", strings.Join(placed, "\nUNION ALL\n"),
		"$records", records, "$block", strconv.Itoa(min(max(valuesPerBlock/max(numbers, categories), 64), 8192))).Replace(text)
	return strings.NewReplacer(
		"$range", fmt.Sprintf("%s AND Minute >= toDateTime(%d, 'UTC') AND Minute < toDateTime(%d, 'UTC')", of, s.Start*60, s.End*60), "$of", of,
	).Replace(text)
}

// cellSQL is the target's cell of a record; at is the position of its feature among
// those of its kind, from 1.
func (t Target) cellSQL(p *profile.Profile, at int) string {
	place, of := strconv.Itoa(at), strconv.Itoa(t.Feature)
	switch {
	case t.Aspect != 0:
		return t.Aspect.cellSQL(p)
	case p.Features[t.Feature].Kind == profile.Category:
		return categoryCell("Categories["+place+"]", "CategoryStates["+place+"]", "'"+place+"'", of)
	}
	return numberCell("Numbers["+place+"]", "NumberStates["+place+"]", of)
}

// numberCell is the cell of a number, as number.cell has it. feature is its
// position in the profile.
func numberCell(value, state, feature string) string {
	return fmt.Sprintf("toUInt32(multiIf(%[2]s != 0, bins[%[3]s + 1] + %[2]s - 1, isNaN(%[1]s), bins[%[3]s + 1] + 1, "+
		"isInfinite(%[1]s), bins[%[3]s + 1] + if(%[1]s > 0, 2, 3), arrayCount(edge -> edge < %[1]s, edges[%[3]s + 1])))", value, state, feature)
}

// categoryCell is the cell of a text. nth is its position among the categories,
// from 1, as text.
func categoryCell(value, state, nth, feature string) string {
	return fmt.Sprintf("toUInt32(if(%[2]s != 0, bins[%[4]s + 1] + %[2]s - 1, transform(concat(%[3]s, ':', %[1]s), keys, cells_of_keys, toUInt32(bins[%[4]s + 1] + 4))))",
		value, state, nth, feature)
}

// binClauses writes the bins as constants. Edges are written as the bits of
// their floats, because not every way of ClickHouse to read a decimal gives the
// nearest float, and a value that equals an edge must stay on its side of it.
// Texts are written in hex, so that no text can end its literal.
func binClauses(p *profile.Profile) string {
	var numeric, category, edges, bins []string
	keys, cells := []string{"''"}, []string{"0"} // transform wants one at least
	for i := range p.Features {
		f := &p.Features[i]
		bins = append(bins, strconv.Itoa(len(f.Bins)))
		if f.Kind == profile.Numeric {
			numeric, edges = append(numeric, strconv.Itoa(i)), append(edges, bitList(f.Edges()))
			continue
		}
		edges, category = append(edges, "[]"), append(category, strconv.Itoa(i))
		for cell, text := range f.Categories() {
			keys = append(keys, unhex(strconv.Itoa(len(category))+":"+text))
			cells = append(cells, strconv.Itoa(cell))
		}
	}
	list := func(values []string, of string) string {
		return "CAST([" + strings.Join(values, ",") + "], 'Array(" + of + ")')"
	}
	return strings.Join([]string{
		list(bins, "UInt32") + " AS bins", list(numeric, "UInt16") + " AS numeric", list(category, "UInt16") + " AS category",
		"arrayMap(f -> arrayMap(e -> reinterpretAsFloat64(e), f), " + list(edges, "Array(UInt64)") + ") AS edges",
		list(keys, "String") + " AS keys", list(cells, "UInt32") + " AS cells_of_keys",
	}, ",\n")
}

func bitList(values []float64) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = strconv.FormatUint(math.Float64bits(v), 10)
	}
	return "[" + strings.Join(texts, ",") + "]"
}
