package transporttest

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/sdk"
)

// Series makes batches whose items are told from those of every other series. It is safe
// for concurrent use.
type Series struct {
	profile string
	id      [8]byte
	n       atomic.Uint64
}

// NewSeries begins a series whose records are of a profile.
func NewSeries(profile string) *Series {
	r := &Series{profile: profile}
	_, _ = rand.Read(r.id[:]) // never fails
	return r
}

func random16() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// Prefix begins the name of each item: trace and span id, or a record's id.
func (r *Series) Prefix() string { return hex.EncodeToString(r.id[:]) }

// Trace is the trace in which all records of the series were made.
func (r *Series) Trace() string { return r.Prefix() + "00000000000000ff" }

// Batch makes a batch of so many items, each of about so many bytes, and names them.
func (r *Series) Batch(kind sdk.Type, items, size int) (sdk.Batch, []string) {
	n := r.n.Add(1)
	var message proto.Message
	var names []string
	if kind == sdk.TypeRecords {
		message, names = r.records(n, items)
	} else {
		message, names = r.spans(n, items, size)
	}
	body, err := proto.Marshal(message)
	if err != nil {
		body = nil // it cannot be: the message is ours
	}
	return sdk.Batch{ID: fmt.Sprintf("%s-%d", r.Prefix(), n), Type: kind, Body: body, Items: items}, names
}

// Sized makes a batch of one span or a few whose body has exactly so many bytes that
// nothing makes smaller.
func (r *Series) Sized(size int) (sdk.Batch, []string) {
	const most = 1 << 19 // of an attribute
	items := size/most + 1
	b, names := r.Batch(sdk.TypeSpans, items, (size-items*200)/items)
	var req coltracepb.ExportTraceServiceRequest
	if err := proto.Unmarshal(b.Body, &req); err != nil {
		return b, names
	}
	spans := req.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()
	pad := spans[len(spans)-1]
	for missing := size - len(b.Body); missing > 0; missing = size - proto.Size(&req) {
		value := pad.GetAttributes()[0].GetValue().GetValue().(*commonpb.AnyValue_StringValue)
		value.StringValue += strings.Repeat("x", max(1, missing-8))
	}
	b.Body, _ = proto.Marshal(&req)
	return b, names
}

func (r *Series) spans(n uint64, items, size int) (*coltracepb.ExportTraceServiceRequest, []string) {
	trace := binary.BigEndian.AppendUint64(r.id[:len(r.id):len(r.id)], n)
	now := uint64(time.Now().UnixNano()) //nolint:gosec // after 1970
	var names []string
	var spans []*tracepb.Span
	for i := range items {
		span := binary.BigEndian.AppendUint64(nil, uint64(i)+1) //nolint:gosec // few
		spans = append(spans, &tracepb.Span{
			TraceId: trace, SpanId: span, Name: "transport", StartTimeUnixNano: now, EndTimeUnixNano: now + 1,
			Attributes: []*commonpb.KeyValue{{Key: "payload", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: noise(size)}}}},
		})
		names = append(names, hex.EncodeToString(trace)+hex.EncodeToString(span))
	}
	return &coltracepb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: spans}}}}}, names
}

// noise is text that compresses badly.
func noise(size int) string {
	raw := make([]byte, (size+1)/2)
	_, _ = rand.Read(raw) // never fails
	return hex.EncodeToString(raw)[:max(size, 0)]
}

func (r *Series) records(n uint64, items int) (*ingestv1.PublishRecordsRequest, []string) {
	req := &ingestv1.PublishRecordsRequest{}
	var names []string
	for i := range items {
		id := fmt.Sprintf("%s-%d-%d", r.Prefix(), n, i)
		req.Records = append(req.Records, &ingestv1.Record{
			Id: id, Profile: r.profile, EventTime: timestamppb.Now(), Traceparent: "00-" + r.Trace() + "-0102030000000000-01",
			Body: &ingestv1.Record_Features{Features: &ingestv1.Features{Values: []*ingestv1.Feature{
				{Name: "alcohol", Value: &ingestv1.Feature_Float{Float: 9 + float64(i)/10}},
			}}},
		})
		names = append(names, id)
	}
	return req, names
}

// Items names the items in a body.
func Items(kind sdk.Type, body []byte) ([]string, error) {
	var names []string
	if kind == sdk.TypeRecords {
		var req ingestv1.PublishRecordsRequest
		if err := proto.Unmarshal(body, &req); err != nil {
			return nil, err
		}
		for _, r := range req.GetRecords() {
			names = append(names, r.GetId())
		}
		return names, nil
	}
	var req coltracepb.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &req); err != nil {
		return nil, err
	}
	for _, rs := range req.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				names = append(names, hex.EncodeToString(s.GetTraceId())+hex.EncodeToString(s.GetSpanId()))
			}
		}
	}
	return names, nil
}

// until sends a batch until it is acknowledged, or refused for good.
func until(ctx context.Context, tr sdk.Transport, b sdk.Batch, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for wait := 50 * time.Millisecond; ; wait = min(wait*2, time.Second) {
		_, err := tr.Send(ctx, b)
		told, known := errors.AsType[*sdk.TransportError](err)
		if err == nil || known && told.Permanent {
			return err
		}
		pause := wait
		if known && told.RetryAfter > 0 {
			pause = told.RetryAfter
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

// load sends batches at an even rate, some of them twice and some with a caller who
// leaves, each until it is acknowledged.
type load struct {
	ended chan struct{}
	all   sync.WaitGroup

	mu       sync.Mutex
	items    []string
	batches  int
	failures map[string]int
}

const (
	senders  = 4
	perBatch = 20
	pace     = 20 * time.Millisecond // of each sender
)

// steady begins a load. What is refused for good fails the test.
func steady(t *testing.T, tr sdk.Transport, run *Series) *load {
	t.Helper()
	l := &load{ended: make(chan struct{}), failures: map[string]int{}}
	for sender := range senders {
		l.all.Go(func() {
			for n := sender; ; n++ {
				select {
				case <-l.ended:
					return
				case <-time.After(pace):
				}
				b, items := run.Batch([]sdk.Type{sdk.TypeSpans, sdk.TypeRecords}[n%2], perBatch, 100)
				if err := l.send(tr, b, n); err != nil {
					t.Errorf("batch %s: %v", b.ID, err)
					return
				}
				l.mu.Lock()
				l.batches++
				l.items = append(l.items, items...)
				l.mu.Unlock()
			}
		})
	}
	t.Cleanup(func() { l.stop() })
	return l
}

// send sends a batch until it is acknowledged, in one of several ways.
func (l *load) send(tr sdk.Transport, b sdk.Batch, n int) error {
	ctx := context.Background()
	if n%5 == 0 { // its caller leaves
		wait, err := rand.Int(rand.Reader, big.NewInt(int64(5*time.Millisecond)))
		if err != nil {
			return err
		}
		hasty, cancel := context.WithTimeout(ctx, time.Duration(wait.Int64()))
		_, _ = tr.Send(hasty, b)
		cancel()
	}
	err := until(ctx, watched{tr, l}, b, 2*time.Minute)
	if err == nil && n%7 == 0 { // its caller did not hear of it
		_, _ = tr.Send(ctx, b)
	}
	return err
}

// watched counts failures by what was said.
type watched struct {
	sdk.Transport
	l *load
}

func (w watched) Send(ctx context.Context, b sdk.Batch) (sdk.Answer, error) {
	answer, err := w.Transport.Send(ctx, b)
	if answer.Rejected > 0 {
		err = errors.Join(err, &sdk.TransportError{Permanent: true, Cause: fmt.Errorf("rejected: %v", answer.Rejections)})
	}
	if err != nil {
		w.l.mu.Lock()
		w.l.failures[err.Error()]++
		w.l.mu.Unlock()
	}
	return answer, err
}

// await waits until so many more batches are acknowledged.
func (l *load) await(t *testing.T, more int, limit time.Duration) {
	t.Helper()
	count := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.batches
	}
	want := count() + more
	require.Eventually(t, func() bool { return count() >= want }, limit, 10*time.Millisecond, "nobody gets through: %s", l)
}

// stop ends the load and names the items that were acknowledged.
func (l *load) stop() []string {
	l.mu.Lock()
	select {
	case <-l.ended:
	default:
		close(l.ended)
	}
	l.mu.Unlock()
	l.all.Wait()
	return l.items
}

// String says how the load went.
func (l *load) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%d batches, failures: %v", l.batches, l.failures)
}
