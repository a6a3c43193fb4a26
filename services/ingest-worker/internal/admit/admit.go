package admit

import (
	"context"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/internal/record"
	"github.com/driftmesh/driftmesh/internal/salvage"
	"github.com/driftmesh/driftmesh/internal/scouter"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// MaxValue is the largest value that is looked at: what the gateway's door takes
// in one request.
const MaxValue = 64 << 20

// headroom is what id and headers of a forwarded message take at most.
const headroom = 4 << 10

// Config says what an Admitter goes by. Every field is required, but for the
// zero limits, which are the door's defaults.
type Config struct {
	Service    string // on whose account drift is asked
	Caller     Caller
	Profiles   record.Profiles
	Records    record.Limits
	Spans      otlp.Limits // without MaxMessage
	MaxMessage func() int  // the broker's largest message, 0 while unknown
}

// Admitter takes messages in. It is safe for concurrent use.
type Admitter struct {
	cfg   Config
	sieve *record.Sieve
}

// New makes an admitter.
func New(cfg Config) *Admitter {
	return &Admitter{cfg: cfg, sieve: record.NewSieve(cfg.Records, cfg.Profiles)}
}

// Admission is what becomes of one message.
type Admission struct {
	Tenant   string
	Sender   string // the principal
	ID       string // names the message within its tenant, for good
	Signal   string
	Received time.Time
	// Accepted is how many spans or records arrived, refused ones included.
	Accepted int
	Rejected map[string]int // by reason
	// Forwards carry the good ones on. They refer to the delivery's memory.
	Forwards []broker.Message
}

// Admit takes in one message. The error is fault.Unauthenticated when nobody
// proves to have sent it, fault.Unsupported or fault.Invalid when its value is
// nothing that can be taken, fault.NotFound when it waits for a profile to be
// registered, and fault.Unavailable when a neighbour who must be
// asked is away.
func (a *Admitter) Admit(ctx context.Context, d *broker.Delivery) (*Admission, error) {
	sender, err := a.cfg.Caller(ctx, &d.Message)
	if err != nil {
		return nil, err
	}
	valueType, err := TypeOf(&d.Message)
	if err != nil {
		return nil, err
	}
	if len(d.Value) > MaxValue {
		return nil, fault.Invalid.Wrap(broker.ErrTooLarge, "the message has %d bytes, at most %d are taken", len(d.Value), MaxValue)
	}
	out := &Admission{
		Tenant: sender.Tenant, Sender: sender.Principal, ID: messageID(sender.Tenant, origin(d), d.Value), Signal: SignalOf(valueType),
		Received: d.Time, Rejected: map[string]int{},
	}
	switch valueType {
	case event.TypeRecords:
		return out, a.records(ctx, out, d)
	case event.TypeScouter:
		return out, a.scouter(ctx, out, d)
	}
	body := d.Value
	if valueType == event.TypeTracesJSON {
		if body, err = otlp.FromJSON(body); err != nil {
			return nil, err
		}
	}
	return out, a.spans(out, d, body)
}

// Identify is the part of Admit that tells whose a message is and which one,
// without looking at what it holds.
func (a *Admitter) Identify(ctx context.Context, d *broker.Delivery) (tenant, id string, err error) {
	sender, err := a.cfg.Caller(ctx, &d.Message)
	if err != nil {
		return "", "", err
	}
	return sender.Tenant, messageID(sender.Tenant, origin(d), d.Value), nil
}

// Origin tells who sent a message, and under which id it would be known if it
// were published again.
func (a *Admitter) Origin(ctx context.Context, d *broker.Delivery) (of Sender, first string, err error) {
	of, err = a.cfg.Caller(ctx, &d.Message)
	return of, origin(d), err
}

// maxMessage is the largest value that may be forwarded, 0 for any.
func (a *Admitter) maxMessage() int {
	if n := a.cfg.MaxMessage(); n > 0 {
		return max(n-headroom, 1)
	}
	return 0
}

func (a *Admitter) spans(out *Admission, d *broker.Delivery, body []byte) error {
	lim := a.cfg.Spans
	lim.MaxMessage = a.maxMessage()
	rep, err := otlp.Scan(body, lim)
	if err != nil {
		return err
	}
	out.Accepted = rep.Spans
	for reason, n := range rep.ByReason {
		if n > 0 {
			out.Rejected[otlp.Reason(reason).String()] = n
		}
	}
	if rep.Accepted() == 0 {
		return nil
	}
	trace := TraceOf(d.Headers)
	if rep.Intact() && (lim.MaxMessage == 0 || len(body) <= lim.MaxMessage) {
		out.forward(part{event.Spans, event.TypeTraces, rep.Accepted(), body, nil}, trace)
		return nil
	}
	for p := range otlp.Split(body, lim, &rep) {
		out.forward(part{event.Spans, event.TypeTraces, p.Spans, p.Value, nil}, trace)
	}
	return nil
}

func (a *Admitter) records(ctx context.Context, out *Admission, d *broker.Delivery) error {
	var batch eventv1.RecordBatch
	salvage.Unmarshal(d.Value, &batch)
	if bad, is := salvage.Badness(&batch); is {
		return bad.Fault()
	}
	return a.sift(ctx, out, d, said{records: batch.GetRecords()})
}

// scouter takes records in the words of Scouter. Their senders know profiles by what
// a mesh answered when they were registered, and never send again: where one is not
// known here, all of the message waits for it among the dead letters.
func (a *Admitter) scouter(ctx context.Context, out *Admission, d *broker.Delivery) error {
	m, err := scouter.Decode(d.Value)
	switch {
	case err != nil:
		return err
	case m.Spans != nil || m.Tag != nil:
		return fault.Unsupported.New("a message of type %s holds records", event.TypeScouter)
	}
	return a.sift(ctx, out, d, said{records: m.Records, refused: m.Refused, apart: true})
}

// said is what a message says.
type said struct {
	records []*ingestv1.Record
	refused []scouter.Refusal // beside them
	apart   bool              // as record.Batch
}

func (a *Admitter) sift(ctx context.Context, out *Admission, d *broker.Delivery, s said) error {
	v, err := a.sieve.Sift(ctx, record.Batch{
		Tenant: out.Tenant, Records: s.records, Now: out.Received, MaxRecord: record.MaxRecord(a.cfg.MaxMessage()),
		Apart: s.apart, NewID: func(i int) string { return partID(out.ID, "record", []int{i}) },
	})
	if err != nil {
		return err
	}
	if len(v.Unknown) > 0 {
		return fault.NotFound.New("there is no profile %.100q, for %d of %d records", s.records[v.Unknown[0]].GetProfile(), len(v.Unknown), len(s.records)+len(s.refused)).
			WithReason("PROFILE_NOT_FOUND")
	}
	out.Accepted = len(s.records) + len(s.refused)
	for _, no := range s.refused {
		v.Rejected.Refuse(no.Index, no.Reason, no.Message)
	}
	for reason, n := range v.Rejected.ByReason {
		out.Rejected[reason] = int(n)
	}
	size := record.MessageBytes
	if most := a.maxMessage(); most > 0 {
		size = min(size, most)
	}
	chunks, err := record.Cut(v.Good, size)
	if err != nil {
		return err
	}
	trace := TraceOf(d.Headers)
	for _, c := range chunks {
		own := trace
		if own == nil { // as at the door: a record's trace goes on where the call has none
			own = traceOfRecords(v.Good[c.Start:c.End])
		}
		out.forward(part{event.Records, event.TypeRecords, c.End - c.Start, c.Value, v.Index[c.Start:c.End]}, own)
	}
	return nil
}

// part is a good part of a value, on its way.
type part struct {
	topic, valueType string
	count            int // spans or records
	value            []byte
	which            []int // positions of its records, which may be others the next time
}

// forward adds a message that carries a part on.
func (out *Admission) forward(p part, trace []broker.Header) {
	m := envelope.New(p.topic, envelope.Stamp{
		Tenant: out.Tenant, Type: p.valueType, Count: p.count, Accepted: out.Received, Seq: event.SeqInbox, Sender: out.Sender,
	}, p.value)
	m.ID = partID(out.ID, p.topic, append([]int{len(out.Forwards), p.count}, p.which...))
	m.Headers = append(m.Headers, trace...)
	out.Forwards = append(out.Forwards, m)
}

// TraceOf is the trace context of the producer, nil when there is none that is
// recorded. It is copied: the delivery's memory is the driver's.
func TraceOf(headers []broker.Header) []broker.Header {
	var parent, state string
	for _, h := range headers {
		switch h.Key {
		case event.HeaderTraceParent:
			parent = string(h.Value)
		case event.HeaderTraceState:
			state = string(h.Value)
		}
	}
	return traceHeaders(parent, state)
}

func traceHeaders(parent, state string) []broker.Header {
	sc, ok := record.ParseParent(parent)
	if !ok || !sc.IsSampled() {
		return nil
	}
	trace := []broker.Header{{Key: event.HeaderTraceParent, Value: []byte(parent)}}
	if state != "" && len(state) <= event.MaxTraceState {
		trace = append(trace, broker.Header{Key: event.HeaderTraceState, Value: []byte(state)})
	}
	return trace
}

// traceOfRecords is the first recorded trace of the records.
func traceOfRecords(good []*ingestv1.Record) []broker.Header {
	for _, r := range good {
		if trace := traceHeaders(r.GetTraceparent(), r.GetTracestate()); trace != nil {
			return trace
		}
	}
	return nil
}
