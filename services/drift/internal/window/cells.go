package window

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/exact"
)

// What the column Measured of table cells says, a set of bits. Rows from before
// there were measures have 0: what they lack is unknown, not none.
const (
	// MeasuredAlways: the latest time, the range, and the sums of numbers.
	MeasuredAlways = 1 << iota
	// MeasuredDeviations: the sums of deviations too.
	MeasuredDeviations
	// MeasuredGroups: the sub-groups too.
	MeasuredGroups
	// MeasuredProducts: what the profile's groups of features have, in their own table.
	MeasuredProducts
)

// cells are rows of table cells.
type cellRows struct {
	tenant                     *proto.ColLowCardinality[string]
	profile                    proto.ColUUID
	minute                     *proto.ColDateTime
	feature                    proto.ColUInt16
	counts                     *proto.ColArr[uint64]
	exemplars                  *proto.ColArr[[]uint64]
	records                    proto.ColUInt64
	version                    proto.ColUInt128
	measured                   proto.ColUInt8
	last                       *proto.ColDateTime64
	below, above               proto.ColUInt64
	least, greatest            proto.ColFloat64
	sums, deviations           bucketColumns
	groups                     *proto.ColArr[uint32]
	groupMeans, groupDeviation *proto.ColArr[float64]
}

// bucketColumns hold the rows of exact.Buckets.
type bucketColumns struct {
	at      *proto.ColArr[uint16]
	sums    *proto.ColArr[proto.Int128]
	squares *proto.ColArr[proto.Int256]
}

func newBucketColumns() bucketColumns {
	return bucketColumns{new(proto.ColUInt16).Array(), new(proto.ColInt128).Array(), new(proto.ColInt256).Array()}
}

func (c *bucketColumns) append(b *exact.Buckets) {
	rows := b.All()
	at, sums, squares := make([]uint16, len(rows)), make([]proto.Int128, len(rows)), make([]proto.Int256, len(rows))
	for i := range rows {
		r := &rows[i]
		at[i] = r.At
		sums[i] = proto.Int128{Low: r.Sum[0], High: r.Sum[1]}
		squares[i] = proto.Int256{Low: proto.UInt128{Low: r.Square[0], High: r.Square[1]}, High: proto.UInt128{Low: r.Square[2], High: r.Square[3]}}
	}
	c.at.Append(at)
	c.sums.Append(sums)
	c.squares.Append(squares)
}

func newCells() *cellRows {
	return &cellRows{
		tenant: new(proto.ColStr).LowCardinality(), minute: &proto.ColDateTime{Location: time.UTC},
		counts: new(proto.ColUInt64).Array(), exemplars: proto.NewArray(new(proto.ColUInt64).Array()),
		last: new(proto.ColDateTime64).WithPrecision(proto.PrecisionNano).WithLocation(time.UTC),
		sums: newBucketColumns(), deviations: newBucketColumns(),
		groups: new(proto.ColUInt32).Array(), groupMeans: new(proto.ColFloat64).Array(), groupDeviation: new(proto.ColFloat64).Array(),
	}
}

func (c *cellRows) input() proto.Input {
	return proto.Input{
		{Name: "Tenant", Data: c.tenant}, {Name: "Profile", Data: &c.profile}, {Name: "Minute", Data: c.minute}, {Name: "Feature", Data: &c.feature},
		{Name: "Counts", Data: c.counts}, {Name: "Exemplars", Data: c.exemplars}, {Name: "Records", Data: &c.records}, {Name: "Version", Data: &c.version},
		{Name: "Measured", Data: &c.measured}, {Name: "Last", Data: c.last}, {Name: "Below", Data: &c.below}, {Name: "Above", Data: &c.above},
		{Name: "Least", Data: &c.least}, {Name: "Greatest", Data: &c.greatest},
		{Name: "Buckets", Data: c.sums.at}, {Name: "Sums", Data: c.sums.sums}, {Name: "Squares", Data: c.sums.squares},
		{Name: "DeviationBuckets", Data: c.deviations.at}, {Name: "DeviationSums", Data: c.deviations.sums}, {Name: "DeviationSquares", Data: c.deviations.squares},
		{Name: "Groups", Data: c.groups}, {Name: "GroupMeans", Data: c.groupMeans}, {Name: "GroupDeviations", Data: c.groupDeviation},
	}
}

// Cells are rows of table cells for all windows that had a row: one for each
// feature, ascending.
func (t *Tally) Cells() (proto.Input, error) {
	uid, err := uuid.Parse(t.of.uid)
	if err != nil {
		return nil, fmt.Errorf("profile uid %q: %w", t.of.uid, err)
	}
	c := newCells()
	for _, minute := range slices.Sorted(maps.Keys(t.panes)) {
		w := t.panes[minute]
		if w.sequence != nil {
			w.sequence.sort()
		}
		for feature := range t.of.plan.features {
			c.tenant.Append(t.of.name)
			c.profile.Append(uid)
			c.append(t.of.plan, w, feature)
		}
	}
	return c.input(), nil
}

// known are the keys of the cell.
func (c *cell) known() []uint64 {
	n := int(min(c.count, MaxExemplars)) //nolint:gosec // a few
	for n > 0 && c.keys[n-1] == noKey {
		n--
	}
	return c.keys[:n]
}

func (c *cellRows) append(p *plan, w *pane, feature int) {
	at := p.features[feature]
	counts, lists := make([]uint64, at.cells), make([][]uint64, at.cells)
	for i := range lists {
		of := &w.cells[at.first+i]
		counts[i], lists[i] = of.count, of.known()
	}
	c.minute.Append(time.Unix(w.minute*60, 0))
	c.feature.Append(uint16(feature)) //nolint:gosec // a profile bounds them
	c.counts.Append(counts)
	c.exemplars.Append(lists)
	c.records.Append(w.records)
	c.version.Append(proto.UInt128{Low: w.version[0], High: w.version[1]})
	c.last.AppendRaw(proto.DateTime64(max(w.last, 0)))
	measured := uint8(MeasuredAlways)
	m := measure{least: math.Inf(1), greatest: math.Inf(-1)}
	var groups []Group
	if at.number >= 0 {
		n := &p.numbers[at.number]
		m = w.numbers[at.number]
		if n.Deviations {
			measured |= MeasuredDeviations
		}
		if n.Sample > 0 {
			measured |= MeasuredGroups
			groups = w.sequence.groups(n)
		}
	}
	if len(p.groups) > 0 {
		measured |= MeasuredProducts
	}
	if w.counted[feature] {
		measured = 0
	}
	c.measured.Append(measured)
	c.below.Append(m.below)
	c.above.Append(m.above)
	c.least.Append(m.least)
	c.greatest.Append(m.greatest)
	c.sums.append(&m.sums)
	c.deviations.append(&m.deviations)
	c.appendGroups(groups)
}

func (c *cellRows) appendGroups(groups []Group) {
	n, means, deviations := make([]uint32, len(groups)), make([]float64, len(groups)), make([]float64, len(groups))
	for i, g := range groups {
		n[i], means[i], deviations[i] = g.N, g.Mean, g.SD
	}
	c.groups.Append(n)
	c.groupMeans.Append(means)
	c.groupDeviation.Append(deviations)
}
