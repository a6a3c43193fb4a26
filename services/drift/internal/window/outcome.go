package window

import (
	_ "embed"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/driftmesh/driftmesh/internal/exact"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

var (
	//go:embed outcome.sql
	outcomeSQL string
	//go:embed classes.sql
	classesSQL string
	//go:embed errors.sql
	errorsSQL string
)

// Outcome returns the statement that computes how predictions of the minutes
// compare with what came true, and inserts it into table outcome_cells; "" when
// the profile has no outcome. What wins is as with Recompute, and of a record's
// labels the latest.
func (s *Statements) Outcome(minutes []int64) string {
	if s.outcome == "" {
		return ""
	}
	return s.fill(s.outcome, minutes, Slice{})
}

// outcomeStatement is the statement, but for its minutes.
func outcomeStatement(p *profile.Profile) string {
	o := p.Outcome
	if o == nil {
		return ""
	}
	all := slots(p)
	target, prediction, chance := all[o.Target], all[o.Prediction], all[o.Score]
	var values, columns, counted string
	edges := "[]"
	if p.Features[p.Feature(o.Target)].Kind == profile.Category {
		columns, counted = "Counts, Positives, Negatives", classesSQL
		values = target.value() + " AS came"
		if o.Prediction != "" {
			values += ", " + prediction.value() + " AS predicted, NOT lost AND " + prediction.known() + " AND " + target.known() + " AS both"
		} else {
			values += ", came AS predicted, 0 AS both"
		}
		if o.Score != "" {
			edges = bitList(p.Features[p.Feature(o.Score)].Edges())
			values += ", " + chance.value() + " AS score, toUInt16(arrayCount(edge -> edge < score, edges)) AS cell, NOT lost AND " +
				chance.known() + " AND " + target.known() + " AS scored"
		} else {
			values += ", toUInt16(0) AS cell, 0 AS scored"
		}
	} else {
		sums := exact.SQLOf("x", 2)
		columns = "Absolute, Squared"
		counted = strings.NewReplacer("$bucket", sums.Bucket, "$ones", sums.Sums[0], "$twos", sums.Sums[1]).Replace(errorsSQL)
		values = prediction.value() + " - " + target.value() + " AS error, NOT lost AND " +
			prediction.known() + " AND " + target.known() + " AND isFinite(error * error) AS measured"
	}
	bins := 0 // of the score
	if o.Score != "" {
		bins = len(p.Features[p.Feature(o.Score)].Bins)
	}
	constants := "arrayMap(e -> reinterpretAsFloat64(e), CAST(" + edges + ", 'Array(UInt64)')) AS edges,\nunhex('" +
		hex.EncodeToString([]byte(o.Positive)) + "') AS positive,\n" + strconv.Itoa(bins) + " AS bins"
	return strings.NewReplacer("$columns", columns, "$bins", constants, "$values", values, "$counted", counted).Replace(outcomeSQL)
}

// slots are those of the features.
func slots(p *profile.Profile) map[string]slot {
	numbers, categories := 0, 0
	all := make(map[string]slot, len(p.Features))
	for i := range p.Features {
		if f := &p.Features[i]; f.Kind == profile.Numeric {
			numbers++
			all[f.Name] = slot{"Numbers", "NumberStates", numbers}
		} else {
			categories++
			all[f.Name] = slot{"Categories", "CategoryStates", categories}
		}
	}
	return all
}

// slot is where a feature's values are in the arrays of a record o and of its
// labels l.
type slot struct {
	values, states string // names of the arrays
	at             int    // from 1
}

// value is the label's value where there is one, else the record's own.
func (s slot) value() string {
	return fmt.Sprintf("if(%s, l.%s[%d], o.%s[%d])", s.labelled(), s.values, s.at, s.values, s.at)
}

// known is whether value is an ordinary one.
func (s slot) known() string {
	return fmt.Sprintf("(%s OR o.%s[%d] = 0)", s.labelled(), s.states, s.at)
}

// labelled is whether there is a label. A join that finds none gives empty
// arrays, whose elements are 0.
func (s slot) labelled() string {
	return fmt.Sprintf("(l.Version > 0 AND l.%s[%d] = 0)", s.states, s.at)
}

// bitList writes floats as their bits, because not every way of ClickHouse to read
// a decimal gives the nearest float, and a value that equals an edge must stay on
// its side of it.
func bitList(values []float64) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = strconv.FormatUint(math.Float64bits(v), 10)
	}
	return "[" + strings.Join(texts, ",") + "]"
}
