package store

import (
	"context"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/detect"
	"github.com/driftmesh/driftmesh/internal/exact"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
	"github.com/driftmesh/driftmesh/services/drift/internal/window"
)

// Summed is what the cells of a range add up to.
type Summed struct {
	// Counts has those of each feature over all its bins, nil for features without
	// any window.
	Counts  [][]uint64
	Records uint64
	// Measures are those that were asked for, nil if none.
	Measures []score.Measures
	// Last is the latest event time, zero if there is none.
	Last time.Time
	// Measured says that nothing asked for is unknown. Otherwise it is left out.
	Measured bool
}

// wanted is what is asked of the cells: features by position, as ClickHouse lists.
type wanted struct {
	// features that more than counts is asked of, with the bits of Measured that
	// their rows must have.
	features, bits string
	deviations     string
	windows        string
	any, charts    bool
}

func want(wants []score.Want) (w wanted) {
	var features, bits, deviations, windows []string
	for i, one := range wants {
		if !one.Measures {
			continue
		}
		need := window.MeasuredAlways
		at := strconv.Itoa(i)
		if one.Deviations {
			need |= window.MeasuredDeviations
			deviations = append(deviations, at)
		}
		if one.Sample > 0 {
			need |= window.MeasuredGroups
		}
		if one.Products {
			need |= window.MeasuredProducts
		}
		if one.Windows {
			windows = append(windows, at)
		}
		features, bits = append(features, at), append(bits, strconv.Itoa(need))
	}
	list := func(of []string) string { return "CAST([" + strings.Join(of, ",") + "], 'Array(UInt16)')" }
	return wanted{
		features: list(features), bits: "CAST([" + strings.Join(bits, ",") + "], 'Array(UInt8)')", deviations: list(deviations), windows: list(windows),
		any: len(features) > 0, charts: len(windows) > 0,
	}
}

// lacks is whether a row lacks what is asked of its feature.
func (w wanted) lacks() string {
	return "(bitAnd(Measured, transform(Feature, " + w.features + ", " + w.bits + ", toUInt8(0))) != transform(Feature, " + w.features + ", " + w.bits + ", toUInt8(0)))"
}

// Unmeasured lists the minutes of a range whose cells were counted before what is
// asked for was measured.
func (c *Cells) Unmeasured(ctx context.Context, r Range, wants []score.Want) (minutes []int64, err error) {
	w := want(wants)
	if !w.any {
		return nil, nil
	}
	err = c.db.QueryRow(ctx, "SELECT arraySort(groupUniqArray(toInt64(toUnixTimestamp(Minute)) DIV 60))"+inRange+"AND "+w.lacks(), r.args()...).Scan(&minutes)
	if err != nil {
		return nil, fmt.Errorf("look for cells without measures: %w", err)
	}
	return minutes, nil
}

// Sum adds up the cells of a range, and what is asked for of their measures; nil
// asks for nothing. It reads each column once, and only those that are needed.
func (c *Cells) Sum(ctx context.Context, r Range, features int, wants []score.Want) (*Summed, error) {
	s, w := &Summed{Counts: make([][]uint64, features), Measured: true}, want(wants)
	more := ""
	if w.any {
		s.Measures = nothing(wants)
		asked := "has(" + w.features + ", Feature)"
		apart := "has(" + w.deviations + ", Feature)"
		more = ", max(" + w.lacks() + "), max(Last), sumIf(Below, " + asked + "), sumIf(Above, " + asked + ")" +
			", (sumMapIf(Buckets, Sums, Squares, " + asked + ") AS m).1, m.2, m.3" +
			", (sumMapIf(DeviationBuckets, DeviationSums, DeviationSquares, " + apart + ") AS d).1, d.2, d.3"
	}
	rows, err := c.db.Query(ctx, "SELECT Feature, sumForEach(Counts)"+more+inRange+"GROUP BY Feature ORDER BY Feature", r.args()...)
	if err != nil {
		return nil, fmt.Errorf("sum cells: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var feature uint16
		var counts []uint64
		var m measureRow
		into := append([]any{&feature, &counts}, m.into(w.any)...)
		if err := rows.Scan(into...); err != nil {
			return nil, fmt.Errorf("read cells: %w", err)
		}
		if int(feature) >= features {
			continue
		}
		s.Counts[feature] = counts
		s.Records = max(s.Records, values(score.Want{Bins: len(counts)}, counts)) // a record has one cell of each feature
		if !w.any || !wants[feature].Measures {
			continue
		}
		if m.lacks != 0 {
			s.Measured, s.Measures[feature] = false, score.Measures{}
			continue
		}
		if s.Measures[feature], err = m.measures(wants[feature], counts); err != nil {
			return nil, err
		}
		if m.last.After(s.Last) && m.last.Unix() > 0 {
			s.Last = m.last
		}
	}
	if err := rows.Err(); err != nil || !w.charts {
		return s, err
	}
	return s, c.windows(ctx, r, wants, s)
}

// nothing is what is measured where there are no records.
func nothing(wants []score.Want) []score.Measures {
	all := make([]score.Measures, len(wants))
	for i, w := range wants {
		if w.Measures {
			all[i] = score.Measures{Moments: exact.NewMoments(2), Reach: new(score.Reach)}
		}
		if w.Deviations {
			all[i].Deviations = exact.NewMoments(2)
		}
	}
	return all
}

// measureRow is what a row of sums has of measures.
type measureRow struct {
	lacks            uint8
	last             time.Time
	below, above     uint64
	sums, deviations bucketRow
}

func (m *measureRow) into(asked bool) []any {
	if !asked {
		return nil
	}
	return append([]any{&m.lacks, &m.last, &m.below, &m.above}, append(m.sums.into(), m.deviations.into()...)...)
}

func (m *measureRow) measures(w score.Want, counts []uint64) (s score.Measures, err error) {
	n := values(w, counts)
	s.Reach = &score.Reach{Below: m.below, Above: m.above}
	if s.Moments, err = m.sums.moments(n); err == nil && w.Deviations {
		s.Deviations, err = m.deviations.moments(n)
	}
	return s, err
}

// values is how many values are in regular bins: those that are summed.
func values(w score.Want, counts []uint64) (n uint64) {
	for _, c := range counts[:min(w.Bins, len(counts))] {
		n += c
	}
	return n
}

// bucketRow is sums by bucket.
type bucketRow struct {
	at            []uint16
	sums, squares []*big.Int
}

func (b *bucketRow) into() []any { return []any{&b.at, &b.sums, &b.squares} }

// moments are those of n values with these sums.
func (b *bucketRow) moments(n uint64) (*exact.Moments, error) {
	m := exact.NewMoments(2)
	err := m.AddBucket(0, n, new(big.Int), new(big.Int))
	for i, bucket := range b.at {
		if err == nil {
			err = m.AddBucket(int(bucket), 0, b.sums[i], b.squares[i])
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read sums: %w", err)
	}
	return m, nil
}

// windows reads the windows of the features that have charts.
func (c *Cells) windows(ctx context.Context, r Range, wants []score.Want, s *Summed) error {
	w := want(wants)
	rows, err := c.db.Query(ctx, "SELECT Feature, toInt64(toUnixTimestamp(Minute)) DIV 60, Counts, Buckets, Sums, Squares, Groups, GroupMeans, GroupDeviations"+
		inRange+"AND has("+w.windows+", Feature) AND NOT "+w.lacks()+" AND Records > 0 ORDER BY Feature, Minute", r.args()...)
	if err != nil {
		return fmt.Errorf("read windows: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var feature uint16
		var one score.Window
		var of bucketRow
		var groups []uint32
		var means, deviations []float64
		if err := rows.Scan(&feature, &one.Minute, &one.Counts, &of.at, &of.sums, &of.squares, &groups, &means, &deviations); err != nil {
			return fmt.Errorf("read windows: %w", err)
		}
		if int(feature) >= len(s.Measures) {
			continue
		}
		if one.Moments, err = of.moments(values(wants[feature], one.Counts)); err != nil {
			return err
		}
		for i, n := range groups {
			one.Groups = append(one.Groups, detect.Point{N: uint64(n), Mean: means[i], SD: deviations[i]})
		}
		s.Measures[feature].Windows = append(s.Measures[feature].Windows, one)
	}
	return rows.Err()
}
