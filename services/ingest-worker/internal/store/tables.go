package store

import (
	"github.com/ClickHouse/ch-go/proto"

	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/normalize"
)

// observations are the columns of the table observations.
type observations struct {
	head
	numbers        *lists[*proto.ColFloat64]
	numberStates   *lists[*proto.ColUInt8]
	categories     *lists[*dict]
	categoryStates *lists[*proto.ColUInt8]
	counted        *counted // nil in the table labels, which has no such columns
}

// counted are the columns of what came counted.
type counted struct {
	feature, bin proto.ColUInt16
	number       proto.ColUInt64
}

func (c *counted) append(r *normalize.Row) {
	feature := 0
	if r.Body == normalize.Counted {
		feature = r.CountedFeature + 1
	}
	c.feature.Append(uint16(feature))  //nolint:gosec // a profile bounds its features
	c.bin.Append(uint16(r.CountedBin)) //nolint:gosec // and their bins
	c.number.Append(r.Count)
}

func (c *counted) reset() {
	c.feature.Reset()
	c.bin.Reset()
	c.number.Reset()
}

func newObservations() observations {
	return observations{
		head:           newHead(),
		numbers:        &lists[*proto.ColFloat64]{of: new(proto.ColFloat64)},
		numberStates:   &lists[*proto.ColUInt8]{of: new(proto.ColUInt8)},
		categories:     &lists[*dict]{of: newDict()},
		categoryStates: &lists[*proto.ColUInt8]{of: new(proto.ColUInt8)},
	}
}

func (c *observations) append(b *Block, r *normalize.Row) (bytes int) {
	bytes = c.head.append(b, r) + 9*len(r.Numbers) + 5*len(r.Categories)
	*c.numbers.of = append(*c.numbers.of, r.Numbers...)
	appendStates(c.numberStates.of, r.NumberStates)
	for _, text := range r.Categories {
		c.categories.of.append(text)
		bytes += len(text)
	}
	appendStates(c.categoryStates.of, r.CategoryStates)
	c.numbers.cut()
	c.numberStates.cut()
	c.categories.cut()
	c.categoryStates.cut()
	if c.counted != nil {
		c.counted.append(r)
	}
	return bytes
}

func appendStates(c *proto.ColUInt8, states []normalize.State) {
	for _, s := range states {
		*c = append(*c, uint8(s))
	}
}

func (c *observations) reset() {
	c.head.reset()
	c.numbers.ends.Reset()
	c.numbers.of.Reset()
	c.numberStates.ends.Reset()
	c.numberStates.of.Reset()
	c.categories.ends.Reset()
	c.categories.of.reset()
	c.categoryStates.ends.Reset()
	c.categoryStates.of.Reset()
	if c.counted != nil {
		c.counted.reset()
	}
}

func (c *observations) input() proto.Input {
	all := append(c.head.input(),
		proto.InputColumn{Name: "Numbers", Data: c.numbers},
		proto.InputColumn{Name: "NumberStates", Data: c.numberStates},
		proto.InputColumn{Name: "Categories", Data: c.categories},
		proto.InputColumn{Name: "CategoryStates", Data: c.categoryStates},
	)
	if c.counted == nil {
		return all
	}
	return append(all, proto.InputColumn{Name: "CountedFeature", Data: &c.counted.feature},
		proto.InputColumn{Name: "CountedBin", Data: &c.counted.bin}, proto.InputColumn{Name: "Counted", Data: &c.counted.number})
}

// metrics are the columns of the table metric_records.
type metrics struct {
	head
	names  *lists[*dict]
	values *lists[*proto.ColFloat64]
}

func newMetrics() metrics {
	return metrics{
		head:   newHead(),
		names:  &lists[*dict]{of: newDict()},
		values: &lists[*proto.ColFloat64]{of: new(proto.ColFloat64)},
	}
}

func (c *metrics) append(b *Block, r *normalize.Row) (bytes int) {
	bytes = c.head.append(b, r) + 12*len(r.Values)
	for _, name := range r.Names {
		c.names.of.append(name)
		bytes += len(name)
	}
	*c.values.of = append(*c.values.of, r.Values...)
	c.names.cut()
	c.values.cut()
	return bytes
}

func (c *metrics) reset() {
	c.head.reset()
	c.names.ends.Reset()
	c.names.of.reset()
	c.values.ends.Reset()
	c.values.of.Reset()
}

func (c *metrics) input() proto.Input {
	return append(c.head.input(),
		proto.InputColumn{Name: "Names", Data: c.names}, proto.InputColumn{Name: "Values", Data: c.values})
}

// contexts are the columns of the table contexts.
type contexts struct {
	head
	json proto.ColStr
}

func newContexts() contexts { return contexts{head: newHead()} }

func (c *contexts) append(b *Block, r *normalize.Row) (bytes int) {
	c.json.AppendBytes(r.JSON)
	return c.head.append(b, r) + len(r.JSON)
}

func (c *contexts) reset() {
	c.head.reset()
	c.json.Reset()
}

func (c *contexts) input() proto.Input {
	return append(c.head.input(), proto.InputColumn{Name: "Json", Data: &c.json})
}
