package store

import (
	"time"

	"github.com/ClickHouse/ch-go/proto"
)

// Columns is one block of spans, for the table spans and, beside it, for the
// table span_index. It keeps its memory when it is reset. It is not safe for
// concurrent use.
type Columns struct {
	rows  int
	block uint64 // counts resets, so that groups know where their attributes lie

	tenant, name, service, state   *dict
	traceID, spanID, parentID      *fixed
	flags, kind, status            *words
	start, duration, received      *words
	message, rest                  *texts
	attrs                          *attributes
	letters                        *dict
	resource, resourcePairs        *dict
	scope, scopeName, scopeVersion *dict
	scopePairs                     *dict
	operations                     map[operation]struct{}
	minutes                        map[minute]struct{}
	lastMinute                     minute // the one noted before
	events                         eventColumns
	links                          linkColumns
	tags                           *array[*words]
	spans, index                   proto.Input
	all                            []column
}

type eventColumns struct {
	time  *array[*words]
	name  *array[*dict]
	attrs *array[*attributes]
}

type linkColumns struct {
	traceID, spanID, state *array[*texts]
	attrs                  *array[*attributes]
}

// NewColumns makes an empty block.
func NewColumns() *Columns {
	c := &Columns{
		block:  1,
		tenant: newDict(), name: newDict(), service: newDict(), state: newDict(),
		traceID:  &fixed{n: 16, kind: "FixedString(16)"},
		spanID:   &fixed{n: 8, kind: "FixedString(8)"},
		parentID: &fixed{n: 8, kind: "FixedString(8)"},
		flags:    newUint32(), kind: newInt32(), status: newInt32(),
		start: newDateTime(), duration: newUint64(), received: newDateTime(),
		message: &texts{}, rest: &texts{},
		attrs: newAttributes(), letters: newDict(),
		resource: newDict(), resourcePairs: newDict(),
		scope: newDict(), scopeName: newDict(), scopeVersion: newDict(), scopePairs: newDict(),
		operations: map[operation]struct{}{},
		minutes:    map[minute]struct{}{}, lastMinute: minute{at: -1},
		events: eventColumns{time: newArray(newDateTime()), name: newArray(newDict()), attrs: newArray(newAttributes())},
		links: linkColumns{
			traceID: newArray(&texts{}), spanID: newArray(&texts{}), state: newArray(&texts{}), attrs: newArray(newAttributes()),
		},
		tags: newArray(newUint32()),
	}
	c.layOut()
	return c
}

// layOut says which column goes where.
func (c *Columns) layOut() {
	c.spans = proto.Input{
		{Name: "Tenant", Data: c.tenant}, {Name: "ReceivedAt", Data: c.received},
		{Name: "TraceId", Data: c.traceID}, {Name: "SpanId", Data: c.spanID}, {Name: "ParentSpanId", Data: c.parentID},
		{Name: "TraceState", Data: c.state}, {Name: "TraceFlags", Data: c.flags},
		{Name: "SpanName", Data: c.name}, {Name: "SpanKind", Data: c.kind}, {Name: "ServiceName", Data: c.service},
		{Name: "Timestamp", Data: c.start}, {Name: "Duration", Data: c.duration},
		{Name: "StatusCode", Data: c.status}, {Name: "StatusMessage", Data: c.message},
		{Name: "SpanAttributes", Data: c.attrs}, {Name: "SpanAttributeTypes", Data: c.letters}, {Name: "SpanRest", Data: c.rest},
		{Name: "Resource", Data: c.resource}, {Name: "ResourceAttributes", Data: c.resourcePairs},
		{Name: "Scope", Data: c.scope}, {Name: "ScopeName", Data: c.scopeName}, {Name: "ScopeVersion", Data: c.scopeVersion},
		{Name: "ScopeAttributes", Data: c.scopePairs},
		{Name: "Events.Timestamp", Data: c.events.time}, {Name: "Events.Name", Data: c.events.name},
		{Name: "Events.Attributes", Data: c.events.attrs},
		{Name: "Links.TraceId", Data: c.links.traceID}, {Name: "Links.SpanId", Data: c.links.spanID},
		{Name: "Links.TraceState", Data: c.links.state}, {Name: "Links.Attributes", Data: c.links.attrs},
	}
	c.index = proto.Input{
		{Name: "Tenant", Data: c.tenant}, {Name: "ReceivedAt", Data: c.received},
		{Name: "ServiceName", Data: c.service}, {Name: "Timestamp", Data: c.start},
		{Name: "SpanName", Data: c.name}, {Name: "SpanKind", Data: c.kind},
		{Name: "StatusCode", Data: c.status}, {Name: "Duration", Data: c.duration},
		{Name: "TraceId", Data: c.traceID}, {Name: "SpanId", Data: c.spanID}, {Name: "Tags", Data: c.tags},
	}
	for _, in := range c.spans {
		c.all = append(c.all, in.Data.(column))
	}
	c.all = append(c.all, c.tags)
}

// Rows is the number of spans in the block.
func (c *Columns) Rows() int { return c.rows }

// Size is the number of bytes the block holds.
func (c *Columns) Size() int {
	n := 0
	for _, col := range c.all {
		n += col.size()
	}
	return n
}

// Spans is the block for the table spans, valid until the next change.
func (c *Columns) Spans() proto.Input { return c.spans }

// Index is the block for the table span_index, valid until the next change.
func (c *Columns) Index() proto.Input { return c.index }

// Reset empties the block and keeps its memory.
func (c *Columns) Reset() {
	for _, col := range c.all {
		col.reset()
	}
	clear(c.operations)
	clear(c.minutes)
	c.lastMinute = minute{at: -1}
	c.rows = 0
	c.block++
}

// origin is what a span takes from its message.
type origin struct {
	tenant   []byte
	received time.Time
}

// append adds a row.
func (c *Columns) append(o *origin, res, scope *group, s *span) {
	c.rows++
	c.tenant.append(o.tenant)
	c.received.append64(uint64(o.received.UnixNano()))
	c.traceID.append(s.traceID)
	c.spanID.append(s.spanID)
	c.parentID.append(s.parentID)
	c.state.append(s.state)
	c.flags.append32(s.flags)
	c.name.append(s.name)
	c.kind.append32(s.kind)
	c.start.append64(s.start)
	c.duration.append64(s.end - s.start)
	c.status.append32(s.status)
	c.message.append(s.message)
	c.attrs.append(s.attrs.attrs)
	c.letters.append(s.attrs.letters)
	c.rest.append(s.rest)
	c.appendResource(res)
	c.appendScope(scope)
	c.appendEvents(s)
	c.appendLinks(s)
	c.appendTags(res, scope, s)
	c.noteOperation(s.kind)
	c.noteMinute(s.start)
}

const noHint = ^uint32(0)

func (c *Columns) appendResource(g *group) {
	if g.block != c.block {
		g.block = c.block
		g.at.message = c.resource.intern(g.message, noHint)
		g.at.pairs = c.resourcePairs.intern(g.pairs, noHint)
		g.at.name = c.service.intern(g.name, noHint)
	}
	c.resource.use(g.at.message)
	c.resourcePairs.use(g.at.pairs)
	c.service.use(g.at.name)
}

func (c *Columns) appendScope(g *group) {
	if g.block != c.block {
		g.block = c.block
		g.at.message = c.scope.intern(g.message, noHint)
		g.at.pairs = c.scopePairs.intern(g.pairs, noHint)
		g.at.name = c.scopeName.intern(g.name, noHint)
		g.at.version = c.scopeVersion.intern(g.version, noHint)
	}
	c.scope.use(g.at.message)
	c.scopePairs.use(g.at.pairs)
	c.scopeName.use(g.at.name)
	c.scopeVersion.use(g.at.version)
}

// operation is a span name and kind of a service of a tenant, by indexes into
// the dictionaries.
type operation struct{ tenant, service, name, kind uint32 }

func (c *Columns) noteOperation(kind uint32) {
	i := c.rows - 1
	c.operations[operation{c.tenant.rows[i], c.service.rows[i], c.name.rows[i], kind}] = struct{}{}
}

func (c *Columns) appendEvents(s *span) {
	e := &c.events
	for i := range s.events {
		e.time.of.append64(s.events[i].time)
		e.name.of.append(s.events[i].name)
		e.attrs.of.append(s.eventLists[i].attrs)
	}
	e.time.close()
	e.name.close()
	e.attrs.close()
}

func (c *Columns) appendLinks(s *span) {
	l := &c.links
	for i := range s.links {
		l.traceID.of.append(s.links[i].traceID)
		l.spanID.of.append(s.links[i].spanID)
		l.state.of.append(s.links[i].state)
		l.attrs.of.append(s.linkLists[i].attrs)
	}
	l.traceID.close()
	l.spanID.close()
	l.state.close()
	l.attrs.close()
}
