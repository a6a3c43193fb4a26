package store_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/stretchr/testify/require"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	goproto "google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/tracetest"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/wire"
)

// decode decodes one request into fresh columns and encodes these, so that
// columns that do not fit together show.
func decode(t testing.TB, value []byte, count int) (store.Outcome, *store.Columns) {
	t.Helper()
	cols, dec := store.NewColumns(), store.Decoder{MaxBlock: 64 << 20}
	out, err := dec.Decode(&store.Message{Tenant: "acme", Count: count, Value: value}, cols, func() error { return errors.New("full") })
	require.NoError(t, err)
	require.Equal(t, out.Stored, cols.Rows())
	for _, in := range []proto.Input{cols.Spans(), cols.Index()} {
		for _, c := range in {
			require.Equal(t, cols.Rows(), c.Data.Rows(), c.Name)
		}
		w := proto.NewWriter(io.Discard, &proto.Buffer{})
		require.NoError(t, proto.Block{Columns: len(in), Rows: cols.Rows()}.WriteBlock(w, 0, in))
		_, err := w.Flush()
		require.NoError(t, err)
	}
	return out, cols
}

func request(spans ...*tracev1.Span) *tracev1.TracesData {
	return &tracev1.TracesData{ResourceSpans: []*tracev1.ResourceSpans{{
		Resource:   &resourcev1.Resource{},
		ScopeSpans: []*tracev1.ScopeSpans{{Spans: spans}},
	}}}
}

func span() *tracev1.Span {
	return &tracev1.Span{TraceId: []byte("0123456789abcdef"), SpanId: []byte("01234567"), Name: "good"}
}

// TestBadSpansAlone: what is wrong with one span is its own reason, and its
// neighbours are stored.
func TestBadSpansAlone(t *testing.T) {
	t.Parallel()
	broken := func(change func(*tracev1.Span)) []byte {
		s := span()
		change(s)
		raw, err := goproto.Marshal(s)
		require.NoError(t, err)
		return raw
	}
	for name, tt := range map[string]struct {
		span   []byte
		reason string
	}{
		"no trace id":         {broken(func(s *tracev1.Span) { s.TraceId = nil }), "trace_id_length"},
		"long trace id":       {broken(func(s *tracev1.Span) { s.TraceId = make([]byte, 17) }), "trace_id_length"},
		"zero trace id":       {broken(func(s *tracev1.Span) { s.TraceId = make([]byte, 16) }), "trace_id_zero"},
		"short span id":       {broken(func(s *tracev1.Span) { s.SpanId = []byte("1") }), "span_id_length"},
		"zero span id":        {broken(func(s *tracev1.Span) { s.SpanId = make([]byte, 8) }), "span_id_zero"},
		"short parent":        {broken(func(s *tracev1.Span) { s.ParentSpanId = []byte("1") }), "parent_span_id_length"},
		"cut off":             {broken(func(s *tracev1.Span) { s.Name = "a longer name" })[:35], store.Malformed},
		"bad attribute":       {append(broken(func(*tracev1.Span) {}), "\x4a\x02\x0a\x05"...), store.Malformed},
		"bad event":           {append(broken(func(*tracev1.Span) {}), "\x5a\x02\x12\x05"...), store.Malformed},
		"bad link":            {append(broken(func(*tracev1.Span) {}), "\x6a\x02\x12\x05"...), store.Malformed},
		"bad nested value":    {append(broken(func(*tracev1.Span) {}), "\x4a\x06\x12\x04\x2a\x02\x0a\x05"...), store.Malformed},
		"not protobuf":        {[]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), store.Malformed},
		"larger than a block": {broken(func(s *tracev1.Span) { s.Name = strings.Repeat("x", 64<<20) }), store.NoRoom},
	} {
		t.Run(name, func(t *testing.T) {
			good, err := goproto.Marshal(span())
			require.NoError(t, err)
			var scope []byte
			for _, s := range [][]byte{good, tt.span, good} {
				scope = wire.AppendBytes(scope, 2, s)
			}
			value := wire.AppendBytes(nil, 1, wire.AppendBytes(nil, 2, scope))
			out, _ := decode(t, value, 3)
			require.Equal(t, store.Outcome{Stored: 2, Rejected: map[string]int{tt.reason: 1}}, out)
		})
	}
}

func TestUnreadableParts(t *testing.T) {
	t.Parallel()
	value := tracetest.Marshal(request(span(), span()))
	out, _ := decode(t, value[:len(value)-20], 2)
	require.Equal(t, 2, out.Stored+out.Rejected[store.Malformed], "cut off: what the door counted is accounted for")

	out, _ = decode(t, []byte("nonsense"), 7)
	require.Equal(t, store.Outcome{Rejected: map[string]int{store.Malformed: 7}}, out)

	out, _ = decode(t, nil, 0)
	require.Equal(t, store.Outcome{}, out)

	bad := wire.AppendBytes(nil, 1, "\x0a\x05") // a resource that is cut off
	two := wire.AppendBytes(wire.AppendBytes(nil, 2, "\x0a\x10"+"0123456789abcdef\x12\x0801234567"), 2, "x")
	out, _ = decode(t, append(wire.AppendBytes(nil, 1, wire.AppendBytes(bad, 2, two)), value...), 4)
	require.Equal(t, store.Outcome{Stored: 2, Rejected: map[string]int{store.Malformed: 2}}, out)
}

// TestFieldsInAnyOrder: the resource may come after the spans it is about.
func TestFieldsInAnyOrder(t *testing.T) {
	t.Parallel()
	resource, err := goproto.Marshal(&resourcev1.Resource{Attributes: []*commonv1.KeyValue{
		{Key: "service.name", Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: "late"}}},
	}})
	require.NoError(t, err)
	s, err := goproto.Marshal(span())
	require.NoError(t, err)
	rs := wire.AppendBytes(nil, 2, wire.AppendBytes(wire.AppendBytes(nil, 2, s), 1, "\x0a\x05scope"))
	rs = wire.AppendBytes(rs, 1, resource)
	_, cols := decode(t, wire.AppendBytes(nil, 1, rs), 1)
	require.Contains(t, text(cols, "ServiceName"), "late")
	require.Contains(t, text(cols, "ScopeName"), "scope")
}

// text is a column as it is sent.
func text(cols *store.Columns, name string) string {
	i := slices.IndexFunc(cols.Spans(), func(c proto.InputColumn) bool { return c.Name == name })
	var b proto.Buffer
	cols.Spans()[i].Data.EncodeColumn(&b)
	return string(b.Buf)
}

func TestInvalidUTF8(t *testing.T) {
	t.Parallel()
	s := span()
	s.Name, s.TraceState = "NAME", "STATE"
	data := request(s)
	data.ResourceSpans[0].Resource.Attributes = []*commonv1.KeyValue{
		{Key: "KEY", Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: "VALUE"}}},
	}
	data.ResourceSpans[0].ScopeSpans[0].Scope = &commonv1.InstrumentationScope{Name: "SCOPE", Version: "1"}
	raw := string(tracetest.Marshal(data))
	for _, word := range []string{"NAME", "STATE", "KEY", "VALUE", "SCOPE"} {
		raw = strings.ReplaceAll(raw, word, "\xff"+word[1:])
	}
	out, cols := decode(t, []byte(raw), 1)
	require.Equal(t, store.Outcome{Stored: 1}, out)
	for _, c := range cols.Spans() {
		switch c.Name {
		case "SpanName", "TraceState", "Resource", "ResourceAttributes", "Scope", "ScopeName":
			sent := text(cols, c.Name)
			require.Contains(t, sent, "\uFFFD", c.Name)
			require.NotContains(t, sent, "\xff"+"AME", c.Name)
			require.NotContains(t, sent, "\xffALUE", c.Name)
			require.NotContains(t, sent, "\xffCOPE", c.Name)
		}
	}
}

// sink is a store that remembers how many rows it was given.
type sink struct {
	mu     sync.Mutex
	rows   map[string][]int
	failOn string
}

func (s *sink) Insert(_ context.Context, table string, columns proto.Input, _ ...clickhouse.Setting) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if table == s.failOn {
		return errors.New("no")
	}
	if s.rows == nil {
		s.rows = map[string][]int{}
	}
	s.rows[table] = append(s.rows[table], columns[0].Data.Rows())
	return nil
}

func messages(n int) []store.Message {
	r := rand.New(rand.NewPCG(1, 2))
	msgs := make([]store.Message, n)
	for i := range msgs {
		value := tracetest.Marshal(tracetest.Realistic(r, 1_795_000_000_000_000_000))
		msgs[i] = store.Message{ID: string(rune('a' + i)), Tenant: "acme", ReceivedAt: time.Unix(1_795_000_000, 0), Count: 100, Value: value}
	}
	return msgs
}

func TestOneBlockForManyMessages(t *testing.T) {
	t.Parallel()
	s := &sink{}
	entries, err := store.NewWriter(s, store.WriterConfig{}).Write(t.Context(), messages(20))
	require.NoError(t, err)
	require.Len(t, entries, 20)
	require.Equal(t, 100, entries[7].Stored)
	require.Equal(t, map[string][]int{"spans": {2000}, "span_index": {2000}, "span_ledger": {20}, "operations": {100}}, s.rows)
}

func TestBlocksAreBounded(t *testing.T) {
	t.Parallel()
	s := &sink{}
	largest := 0
	w := store.NewWriter(s, store.WriterConfig{MaxBlock: 256 << 10, Flushed: func(_, bytes int, _ time.Duration) { largest = max(largest, bytes) }})
	_, err := w.Write(t.Context(), messages(20))
	require.NoError(t, err)
	sum := 0
	for _, n := range s.rows["spans"] {
		sum += n
	}
	require.Equal(t, 2000, sum)
	require.Greater(t, len(s.rows["spans"]), 3)
	require.Less(t, largest, 300<<10)
	require.Equal(t, []int{20}, s.rows["span_ledger"], "the ledger comes once, after the last block")
	require.Equal(t, []int{100}, s.rows["operations"], "what is known is not written again")
}

// TestNothingAfterAFailure: the ledger says nothing of spans that may not be
// stored.
func TestNothingAfterAFailure(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"spans", "span_index", "operations"} {
		s := &sink{failOn: table}
		w := store.NewWriter(s, store.WriterConfig{})
		_, err := w.Write(t.Context(), messages(2))
		require.Error(t, err)
		require.Empty(t, s.rows["span_ledger"])
		s.failOn = ""
		entries, err := w.Write(t.Context(), messages(2))
		require.NoError(t, err)
		require.Len(t, entries, 2)
	}
}

// slow is a store in which an insert hangs until it is let go.
type slow struct {
	sink
	entered, release chan struct{}
}

func (s *slow) Insert(ctx context.Context, table string, columns proto.Input, settings ...clickhouse.Setting) error {
	if table == "operations" {
		s.entered <- struct{}{}
		<-s.release
	}
	return s.sink.Insert(ctx, table, columns, settings...)
}

func TestWriteWaitsForABlock(t *testing.T) {
	t.Parallel()
	s := &slow{entered: make(chan struct{}), release: make(chan struct{})}
	w := store.NewWriter(s, store.WriterConfig{Blocks: 1})
	done := make(chan error)
	go func() {
		_, err := w.Write(context.Background(), messages(1))
		done <- err
	}()
	<-s.entered
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := w.Write(ctx, messages(1))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	close(s.release)
	require.NoError(t, <-done)
}

// FuzzDecode: whatever the bytes, nothing falls over, all columns have the same
// number of rows, and every span that protobuf can read is accounted for.
func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(6, 28))
	for range 8 {
		f.Add(tracetest.Marshal(tracetest.Random(r)))
	}
	f.Add([]byte("\x0a\x04\x12\x02\x12\x00"))
	f.Fuzz(func(t *testing.T, value []byte) {
		data := &tracev1.TracesData{}
		count := 0
		if goproto.Unmarshal(value, data) == nil {
			count = len(tracetest.Canonical(data))
		}
		out, _ := decode(t, value, count)
		sum := out.Stored
		for _, n := range out.Rejected {
			sum += n
		}
		require.GreaterOrEqual(t, sum, count)
	})
}
