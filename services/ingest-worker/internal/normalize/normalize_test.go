package normalize_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/record"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/normalize"
)

var (
	wine     = uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057")
	accepted = time.Unix(1_700_000_000, 5)
	origin   = normalize.Origin{MessageID: "m1", Accepted: accepted}
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func wineProfile(t testing.TB) *normalize.Profile {
	p, err := normalize.NewProfile(normalize.Features, wine, []normalize.Feature{
		{Name: "acid", Kind: normalize.Numeric, Type: "float"},
		{Name: "colour", Kind: normalize.Category, Type: "string"},
		{Name: "age", Kind: normalize.Numeric, Type: "int"},
		{Name: "organic", Kind: normalize.Category, Type: "bool"},
		{Name: "grade", Kind: normalize.Category, Type: "int"},
	})
	require.NoError(t, err)
	return p
}

// sink keeps copies of what a batch holds.
type sink struct {
	rows     []normalize.Row
	rejected map[int]normalize.Reason
	limit    int // rows; 0 is none
}

func (s *sink) Row(r *normalize.Row) {
	c := *r
	c.ID = bytes.Clone(r.ID)
	c.Numbers, c.NumberStates = append([]float64(nil), r.Numbers...), append([]normalize.State(nil), r.NumberStates...)
	c.Categories, c.CategoryStates = append([][]byte(nil), r.Categories...), append([]normalize.State(nil), r.CategoryStates...)
	c.Names, c.Values = append([][]byte(nil), r.Names...), append([]float64(nil), r.Values...)
	s.rows = append(s.rows, c)
}

func (s *sink) Reject(i int, reason normalize.Reason) {
	if s.rejected == nil {
		s.rejected = map[int]normalize.Reason{}
	}
	s.rejected[i] = reason
}

func (s *sink) Full() bool { return s.limit > 0 && len(s.rows) >= s.limit }

func encode(t testing.TB, records ...*ingestv1.Record) []byte {
	raw, err := proto.Marshal(&eventv1.RecordBatch{Records: records})
	require.NoError(t, err)
	return raw
}

func run(t testing.TB, raw []byte) *sink {
	var b normalize.Batch
	require.NoError(t, b.Decode(raw))
	p, out := wineProfile(t), &sink{}
	next := b.Rows(0, origin, func(uid uuid.UUID) *normalize.Profile {
		if uid == wine {
			return p
		}
		return nil
	}, out)
	require.Equal(t, b.Len(), next)
	require.Equal(t, b.Len(), len(out.rows)+len(out.rejected))
	return out
}

func float(name string, v float64) *ingestv1.Feature {
	return &ingestv1.Feature{Name: name, Value: &ingestv1.Feature_Float{Float: v}}
}

func integer(name string, v int64) *ingestv1.Feature {
	return &ingestv1.Feature{Name: name, Value: &ingestv1.Feature_Int{Int: v}}
}

func text(name, v string) *ingestv1.Feature {
	return &ingestv1.Feature{Name: name, Value: &ingestv1.Feature_String_{String_: v}}
}

func boolean(name string, v bool) *ingestv1.Feature {
	return &ingestv1.Feature{Name: name, Value: &ingestv1.Feature_Bool{Bool: v}}
}

func missing(name string) *ingestv1.Feature {
	return &ingestv1.Feature{Name: name, Value: &ingestv1.Feature_Missing{Missing: &ingestv1.Missing{}}}
}

func features(values ...*ingestv1.Feature) *ingestv1.Record {
	return &ingestv1.Record{
		Id: "r", EventTime: timestamppb.New(time.Unix(90, 7)), Profile: wine.String(),
		Body: &ingestv1.Record_Features{Features: &ingestv1.Features{Values: values}},
	}
}

func TestFeaturesGoToTheirPlaces(t *testing.T) {
	t.Parallel()
	rec := features(boolean("organic", true), integer("age", -3), text("colour", "röd"), float("acid", 0.25), integer("grade", 7))
	rec.Traceparent = parent
	out := run(t, encode(t, rec))
	require.Len(t, out.rows, 1)
	r := out.rows[0]
	require.Equal(t, normalize.Features, r.Body)
	require.Equal(t, wine, r.Profile)
	require.Equal(t, "r", string(r.ID))
	require.Equal(t, int64(90_000_000_007), r.EventTime)
	require.Equal(t, int64(1), r.Minute())
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", fmt.Sprintf("%x", r.TraceID))
	require.Equal(t, "b7ad6b7169203331", fmt.Sprintf("%x", r.SpanID))
	require.Equal(t, []float64{0.25, -3}, r.Numbers)
	require.Equal(t, []normalize.State{normalize.Present, normalize.Present}, r.NumberStates)
	require.Equal(t, [][]byte{[]byte("röd"), []byte("true"), []byte("7")}, r.Categories)
	require.Equal(t, []normalize.State{normalize.Present, normalize.Present, normalize.Present}, r.CategoryStates)
}

func TestNumbersKeepTheirState(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		value *ingestv1.Feature
		want  float64
		state normalize.State
	}{
		"zero":          {float("acid", 0), 0, normalize.Present},
		"int":           {integer("acid", 3), 3, normalize.Present},
		"beyond 2^53":   {integer("acid", 1<<53+1), 1 << 53, normalize.Present},
		"min int":       {integer("acid", math.MinInt64), math.MinInt64, normalize.Present},
		"+inf":          {float("acid", math.Inf(1)), math.Inf(1), normalize.PosInf},
		"-inf":          {float("acid", math.Inf(-1)), math.Inf(-1), normalize.NegInf},
		"missing":       {missing("acid"), 0, normalize.Missing},
		"no value":      {&ingestv1.Feature{Name: "acid"}, 0, normalize.Missing},
		"another named": {integer("age", 1), 0, normalize.Missing},
	} {
		out := run(t, encode(t, features(row.value)))
		require.Empty(t, out.rejected, name)
		require.Equal(t, math.Float64bits(row.want), math.Float64bits(out.rows[0].Numbers[0]), name)
		require.Equal(t, row.state, out.rows[0].NumberStates[0], name)
	}
	odd := math.Float64frombits(0x7ff8_0000_dead_beef)
	one := run(t, encode(t, features(float("acid", odd)))).rows[0]
	two := run(t, encode(t, features(float("acid", math.NaN())))).rows[0]
	require.Equal(t, normalize.NaN, one.NumberStates[0])
	require.True(t, math.IsNaN(one.Numbers[0]))
	require.Equal(t, one.Hash, two.Hash, "there is one NaN")
}

// Tools that know missing values only among floats make floats of ints.
func TestFloatsStandForInts(t *testing.T) {
	t.Parallel()
	whole := run(t, encode(t, features(float("grade", 7)))).rows[0]
	same := run(t, encode(t, features(integer("grade", 7)))).rows[0]
	require.Equal(t, same.Categories, whole.Categories)
	require.Equal(t, same.Hash, whole.Hash)
	none := run(t, encode(t, features(float("grade", math.NaN())))).rows[0]
	require.Equal(t, normalize.Missing, none.CategoryStates[2])
	half := run(t, encode(t, features(float("age", 3.5)))).rows[0]
	require.Equal(t, []float64{0, 3.5}, half.Numbers, "a number may be any, whatever the reference held")
}

func TestMissingCategoryIsNotEmptyText(t *testing.T) {
	t.Parallel()
	empty := run(t, encode(t, features(text("colour", "")))).rows[0]
	none := run(t, encode(t, features(missing("grade")))).rows[0]
	require.Equal(t, normalize.Present, empty.CategoryStates[0])
	require.Equal(t, normalize.Missing, none.CategoryStates[0])
	require.NotEqual(t, empty.Hash, none.Hash)
}

func metrics(values ...*ingestv1.Metric) *ingestv1.Record {
	r := features()
	r.Body = &ingestv1.Record_Metrics{Metrics: &ingestv1.Metrics{Values: values}}
	return r
}

func context(json string) *ingestv1.Record {
	r := features()
	r.Body = &ingestv1.Record_Context{Context: &ingestv1.Context{Json: json}}
	return r
}

func TestMetricsAndContexts(t *testing.T) {
	t.Parallel()
	out := run(t, encode(t,
		metrics(&ingestv1.Metric{Name: "rmse", Value: 0.5}, &ingestv1.Metric{Name: "mae"}),
		context(`{"in": "a"}`)))
	require.Empty(t, out.rejected)
	require.Equal(t, normalize.Metrics, out.rows[0].Body)
	require.Equal(t, [][]byte{[]byte("mae"), []byte("rmse")}, out.rows[0].Names)
	require.Equal(t, []float64{0, 0.5}, out.rows[0].Values)
	require.Equal(t, normalize.Context, out.rows[1].Body)
	require.True(t, bytes.Equal([]byte(`{"in": "a"}`), out.rows[1].JSON), "byte by byte")
}

func labels(values ...*ingestv1.Feature) *ingestv1.Record {
	r := features()
	r.Body = &ingestv1.Record_Labels{Labels: &ingestv1.Features{Values: values}}
	return r
}

func TestLabels(t *testing.T) {
	t.Parallel()
	out := run(t, encode(t, features(float("acid", 1)), labels(float("acid", 1))))
	require.Empty(t, out.rejected)
	require.Equal(t, normalize.Labels, out.rows[1].Body)
	require.Equal(t, out.rows[0].Numbers, out.rows[1].Numbers)
	require.Equal(t, out.rows[0].NumberStates, out.rows[1].NumberStates)
	require.NotEqual(t, out.rows[0].Hash, out.rows[1].Hash)
}

func TestMetricsAndContextsMayBeObservations(t *testing.T) {
	t.Parallel()
	features := []normalize.Feature{
		{Name: "rmse", Kind: normalize.Numeric}, {Name: "usage.total", Kind: normalize.Numeric}, {Name: "model", Kind: normalize.Category},
		{Name: "usage.cached", Kind: normalize.Category}, {Name: "a.b", Kind: normalize.Numeric},
	}
	long := strings.Repeat("é", 600)
	record := encode(t,
		metrics(&ingestv1.Metric{Name: "rmse", Value: 0.5}, &ingestv1.Metric{Name: "mae"}),
		context(`{"usage": {"total": 12, "cached": true}, "model": "`+long+`", "a.b": "no number", "rmse": {}}`),
		context(`{"usage": null, "model": 7, "a": {"b": 1e999}}`))
	of := func(body normalize.Body) []normalize.Row {
		p, err := normalize.NewProfile(body, wine, features)
		require.NoError(t, err)
		var batch normalize.Batch
		require.NoError(t, batch.Decode(record))
		var out sink
		batch.Rows(0, origin, func(uuid.UUID) *normalize.Profile { return p }, &out)
		require.Empty(t, out.rejected)
		return out.rows
	}
	const there, missing, nan = normalize.Present, normalize.Missing, normalize.NaN
	rows := of(normalize.Metrics)
	require.Equal(t, []bool{true, false, false}, []bool{rows[0].Observed, rows[1].Observed, rows[2].Observed})
	require.Equal(t, []float64{0.5, 0, 0}, rows[0].Numbers)
	require.Equal(t, []normalize.State{there, missing, missing}, rows[0].NumberStates)
	rows = of(normalize.Context)
	require.Equal(t, []bool{false, true, true}, []bool{rows[0].Observed, rows[1].Observed, rows[2].Observed})
	require.Equal(t, []normalize.State{missing, there, nan}, rows[1].NumberStates)
	require.InDelta(t, 12, rows[1].Numbers[1], 0)
	require.Equal(t, [][]byte{[]byte(long[:1024]), []byte("true")}, rows[1].Categories)
	require.Equal(t, []normalize.State{missing, missing, nan}, rows[2].NumberStates)
	require.Equal(t, []byte("7"), rows[2].Categories[0])
	require.Equal(t, []normalize.State{there, missing}, rows[2].CategoryStates)
	require.False(t, of(normalize.Features)[0].Observed)
}

// What a monitor counts is a state of its own and no reason to reject a record; a
// label of another type is one still.
func TestValuesOfAnotherTypeAreCounted(t *testing.T) {
	t.Parallel()
	of := func(body normalize.Body, tolerant bool, records ...*ingestv1.Record) *sink {
		p, err := normalize.NewProfile(body, wine, []normalize.Feature{
			{Name: "acid", Kind: normalize.Numeric, Type: "float", Tolerant: tolerant}, {Name: "colour", Kind: normalize.Category, Type: "string"},
			{Name: "grade", Kind: normalize.Category, Type: "int", Tolerant: tolerant},
		})
		require.NoError(t, err)
		var batch normalize.Batch
		require.NoError(t, batch.Decode(encode(t, records...)))
		out := new(sink)
		batch.Rows(0, origin, func(uuid.UUID) *normalize.Profile { return p }, out)
		return out
	}
	const there, missing, wrong = normalize.Present, normalize.Missing, normalize.WrongType
	sent := []*ingestv1.Record{features(text("acid", "1"), float("grade", 3.5)), features(boolean("acid", true), integer("grade", 3)), labels(text("acid", "1")), features(integer("colour", 1))}
	out := of(normalize.Features, true, sent...)
	require.Equal(t, map[int]normalize.Reason{2: normalize.TypeMismatch, 3: normalize.TypeMismatch}, out.rejected)
	require.Equal(t, []normalize.State{wrong}, out.rows[0].NumberStates)
	require.Equal(t, []normalize.State{missing, wrong}, out.rows[0].CategoryStates)
	require.Equal(t, [][]byte{nil, nil}, out.rows[0].Categories)
	require.Equal(t, []normalize.State{wrong}, out.rows[1].NumberStates)
	require.Equal(t, []normalize.State{missing, there}, out.rows[1].CategoryStates)
	require.Len(t, of(normalize.Features, false, sent...).rejected, 4)
	require.Equal(t, []normalize.State{wrong}, of(normalize.Context, true, context(`{"acid": "1"}`)).rows[0].NumberStates)
	require.Equal(t, []normalize.State{normalize.NaN}, of(normalize.Context, false, context(`{"acid": "1"}`)).rows[0].NumberStates)
}

func TestBadRecordsAreRejectedAlone(t *testing.T) {
	t.Parallel()
	edit := func(change func(*ingestv1.Record)) *ingestv1.Record {
		r := features()
		change(r)
		return r
	}
	for _, row := range []struct {
		reason normalize.Reason
		record *ingestv1.Record
	}{
		{normalize.InvalidID, edit(func(r *ingestv1.Record) { r.Id = strings.Repeat("x", 129) })},
		{normalize.EventTimeRange, edit(func(r *ingestv1.Record) { r.EventTime.Seconds = -1 })},
		{normalize.EventTimeRange, edit(func(r *ingestv1.Record) { r.EventTime.Seconds = 1 << 40 })},
		{normalize.EventTimeRange, edit(func(r *ingestv1.Record) { r.EventTime.Nanos = 1_000_000_000 })},
		{normalize.EventTimeRange, edit(func(r *ingestv1.Record) { r.EventTime.Nanos = -1 })},
		{normalize.InvalidTraceContext, edit(func(r *ingestv1.Record) { r.Traceparent = "00-0-0-0" })},
		{normalize.InvalidTraceContext, edit(func(r *ingestv1.Record) { r.Traceparent = strings.ToUpper(parent) })},
		{normalize.InvalidTraceContext, edit(func(r *ingestv1.Record) { r.Traceparent = parent + "-x" })},
		{normalize.InvalidTraceContext, edit(func(r *ingestv1.Record) {
			r.Traceparent = "00-00000000000000000000000000000000-b7ad6b7169203331-01"
		})},
		{normalize.UnknownProfile, edit(func(r *ingestv1.Record) { r.Profile = "" })},
		{normalize.UnknownProfile, edit(func(r *ingestv1.Record) { r.Profile = "space/name" })},
		{normalize.UnknownProfile, edit(func(r *ingestv1.Record) { r.Profile = uuid.NewString() })},
		{normalize.Empty, edit(func(r *ingestv1.Record) { r.Body = nil })},
		{normalize.Empty, features()},
		{normalize.Empty, labels()},
		{normalize.UnknownFeature, labels(float("sugar", 1))},
		{normalize.InvalidID, func() *ingestv1.Record {
			r := labels(float("acid", 1))
			r.Id = ""
			return r
		}()},
		{normalize.UnknownFeature, features(float("sugar", 1))},
		{normalize.DuplicateName, features(float("acid", 1), missing("acid"))},
		{normalize.TypeMismatch, features(text("acid", "1"))},
		{normalize.TypeMismatch, features(boolean("acid", true))},
		{normalize.TypeMismatch, features(float("grade", 3.5))},
		{normalize.TypeMismatch, features(float("grade", 1<<54))},
		{normalize.TypeMismatch, features(float("grade", math.Inf(-1)))},
		{normalize.TypeMismatch, features(integer("colour", 3))},
		{normalize.TypeMismatch, features(text("organic", "true"))},
		{normalize.Empty, metrics()},
		{normalize.Empty, metrics(&ingestv1.Metric{Value: 1})},
		{normalize.DuplicateName, metrics(&ingestv1.Metric{Name: "a"}, &ingestv1.Metric{Name: "a"})},
		{normalize.NotFinite, metrics(&ingestv1.Metric{Name: "a", Value: math.NaN()})},
		{normalize.NotFinite, metrics(&ingestv1.Metric{Name: "a", Value: math.Inf(-1)})},
		{normalize.InvalidContext, context("")},
		{normalize.InvalidContext, context("[1]")},
		{normalize.InvalidContext, context(`{"a":`)},
		{normalize.TooLarge, context(`{"a":"` + strings.Repeat("x", 1<<20) + `"}`)},
	} {
		good := features(float("acid", 1))
		out := run(t, encode(t, good, row.record, good))
		require.Equal(t, map[int]normalize.Reason{1: row.reason}, out.rejected, row.reason)
		require.Len(t, out.rows, 2)
		require.Equal(t, out.rows[0], out.rows[1])
	}
}

// frame makes a batch of raw records, which the generated code would not write.
func frame(records ...[]byte) []byte {
	var out []byte
	for _, r := range records {
		out = append(append(out, 0x0a, byte(len(r))), r...)
	}
	return out
}

func TestUnreadableRecordsAreRejectedAlone(t *testing.T) {
	t.Parallel()
	good, err := proto.Marshal(features(float("acid", 1)))
	require.NoError(t, err)
	for reason, raw := range map[normalize.Reason][]byte{
		normalize.Malformed:   {0x0a, 0x7f, 'x'},
		normalize.InvalidUTF8: {0x0a, 0x01, 0xff},
	} {
		out := run(t, frame(good, raw, good))
		require.Equal(t, map[int]normalize.Reason{1: reason}, out.rejected)
		require.Len(t, out.rows, 2)
	}
}

func TestAMessageThatIsNoBatchIsRefused(t *testing.T) {
	t.Parallel()
	var b normalize.Batch
	for _, raw := range [][]byte{nil, []byte("hello"), {0x0a, 0x05, 'x'}, {0x08, 0x01}, {0x12, 0x00}} {
		require.ErrorIs(t, b.Decode(raw), normalize.ErrDecode, "%x", raw)
	}
}

func TestRecordsWithoutIDOrTimeTakeTheMessages(t *testing.T) {
	t.Parallel()
	a, b := features(missing("acid")), features(missing("acid"))
	a.Id, b.Id = "", ""
	a.EventTime, b.EventTime = nil, nil
	out := run(t, encode(t, a, b))
	require.Equal(t, "m1/0", string(out.rows[0].ID))
	require.Equal(t, "m1/1", string(out.rows[1].ID))
	require.Equal(t, accepted.Truncate(time.Millisecond).UnixNano(), out.rows[0].EventTime)
	require.Equal(t, out.rows[0].Hash, out.rows[1].Hash, "the id is not content")
}

// The hash covers content alone: not the order in which features came, and not
// whether a missing one was named.
func TestHashIsOfTheContent(t *testing.T) {
	t.Parallel()
	values := []*ingestv1.Feature{float("acid", 1), text("colour", "red"), integer("age", 3), missing("grade")}
	want := run(t, encode(t, features(values...))).rows[0].Hash
	for range 20 {
		rand.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
		require.Equal(t, want, run(t, encode(t, features(values...))).rows[0].Hash)
	}
	require.Equal(t, want, run(t, encode(t, features(integer("acid", 1), text("colour", "red"), integer("age", 3)))).rows[0].Hash)

	seen := map[uint64]string{want: "first"}
	for name, change := range map[string]func(*ingestv1.Record){
		"time":     func(r *ingestv1.Record) { r.EventTime.Nanos++ },
		"trace":    func(r *ingestv1.Record) { r.Traceparent = parent },
		"value":    func(r *ingestv1.Record) { r.GetFeatures().Values[0] = float("acid", 2) },
		"missing":  func(r *ingestv1.Record) { r.GetFeatures().Values[0] = missing("acid") },
		"category": func(r *ingestv1.Record) { r.GetFeatures().Values[1] = text("colour", "re") },
		"metrics":  func(r *ingestv1.Record) { r.Body = metrics(&ingestv1.Metric{Name: "a"}).Body },
		"context":  func(r *ingestv1.Record) { r.Body = context("{}").Body },
	} {
		r := features(float("acid", 1), text("colour", "red"), integer("age", 3))
		change(r)
		hash := run(t, encode(t, r)).rows[0].Hash
		require.NotContains(t, seen, hash, name)
		seen[hash] = name
	}
}

func TestProfilesAreNamedOncePerRun(t *testing.T) {
	t.Parallel()
	other := uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8058")
	a, b, bad := features(), features(), features()
	b.Profile, bad.Profile = other.String(), "nonsense"
	var batch normalize.Batch
	require.NoError(t, batch.Decode(encode(t, a, a, b, b, bad, a)))
	var got []uuid.UUID
	batch.Profiles(func(uid uuid.UUID) { got = append(got, uid) })
	require.Equal(t, []uuid.UUID{wine, other, wine}, got)
}

func TestProfilesThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	for name, f := range map[string][]normalize.Feature{
		"no name":      {{Kind: normalize.Numeric}},
		"twice":        {{Name: "a", Kind: normalize.Numeric}, {Name: "a", Kind: normalize.Category}},
		"no kind":      {{Name: "a"}},
		"text number":  {{Name: "a", Kind: normalize.Numeric, Type: "string"}},
		"float choice": {{Name: "a", Kind: normalize.Category, Type: "float"}},
		"unknown type": {{Name: "a", Kind: normalize.Numeric, Type: "complex"}},
	} {
		_, err := normalize.NewProfile(normalize.Features, wine, f)
		require.Error(t, err, name)
	}
}

func TestAFullSinkIsGivenTheRestLater(t *testing.T) {
	t.Parallel()
	var records []*ingestv1.Record
	for i := range 7 {
		r := features(float("acid", float64(i)))
		r.Id = fmt.Sprint(i)
		records = append(records, r)
	}
	var b normalize.Batch
	require.NoError(t, b.Decode(encode(t, records...)))
	p := wineProfile(t)
	var parts [][]string
	for next := 0; next < b.Len(); {
		out := &sink{limit: 3}
		next = b.Rows(next, origin, func(uuid.UUID) *normalize.Profile { return p }, out)
		var ids []string
		for i := range out.rows {
			ids = append(ids, string(out.rows[i].ID))
		}
		parts = append(parts, ids)
	}
	require.Equal(t, [][]string{{"0", "1", "2"}, {"3", "4", "5"}, {"6"}}, parts)
}

// A record that brings no event time of its own and is sent again is the same
// record: where it came first it has the greatest hash, whatever the content. With
// other content it is another, and so it is with a time of its own.
func TestSentAgainWithoutATime(t *testing.T) {
	t.Parallel()
	p := wineProfile(t)
	at := func(d time.Duration, r *ingestv1.Record) normalize.Row {
		t.Helper()
		r.Id = "a"
		out := &sink{}
		var b normalize.Batch
		require.NoError(t, b.Decode(encode(t, r)))
		b.Rows(0, normalize.Origin{MessageID: "m", Accepted: accepted.Add(d)}, func(uuid.UUID) *normalize.Profile { return p }, out)
		require.Len(t, out.rows, 1)
		return out.rows[0]
	}
	untimed := func(acid float64) *ingestv1.Record {
		r := features(float("acid", acid))
		r.EventTime = nil
		return r
	}
	greater := 0
	for i := range 200 {
		acid := float64(i)
		first := at(0, untimed(acid))
		require.Equal(t, accepted.Truncate(time.Millisecond).UnixNano(), first.EventTime)
		require.Equal(t, first.Hash, at(time.Nanosecond, untimed(acid)).Hash, "the same millisecond")
		for _, later := range []time.Duration{time.Millisecond, time.Minute, 1000 * time.Hour} {
			require.Greater(t, first.Hash, at(later, untimed(acid)).Hash)
		}
		if at(time.Minute, untimed(acid+0.5)).Hash > first.Hash {
			greater++
		}
	}
	require.InDelta(t, 100, greater, 50, "of other content either may win")
	timed := features(float("acid", 1))
	require.Equal(t, at(0, timed).Hash, at(time.Hour, timed).Hash)
}

// What comes counted has a place among the bins, or a reason.
func TestCountedHasItsPlace(t *testing.T) {
	t.Parallel()
	p, err := normalize.NewProfile(normalize.Features, wine, []normalize.Feature{
		{Name: "acid", Kind: normalize.Numeric, Type: "float", Bins: record.Bins{Number: 3}},
		{Name: "grade", Kind: normalize.Category, Type: "int", Bins: record.Bins{Categories: map[int64]int{-1: 0, 10: 1, 2: 2}}},
		{Name: "colour", Kind: normalize.Category, Type: "string"},
	})
	require.NoError(t, err)
	counted := func(feature string, bin int64, n uint64) *ingestv1.Record {
		return &ingestv1.Record{Id: fmt.Sprint(feature, bin, n), Profile: wine.String(), EventTime: timestamppb.New(accepted),
			Body: &ingestv1.Record_Counted{Counted: &ingestv1.Counted{Feature: feature, Bin: bin, Count: n}}}
	}
	raw, err := proto.Marshal(&eventv1.RecordBatch{Records: []*ingestv1.Record{
		counted("acid", 3, 7), counted("grade", -1, 8), counted("grade", 2, 0), counted("acid", 4, 1), counted("acid", 0, 1), counted("grade", 3, 1),
		counted("colour", 0, 1), counted("sugar", 1, 1), counted("acid", 1, 1<<41),
	}})
	require.NoError(t, err)
	var b normalize.Batch
	require.NoError(t, b.Decode(raw))
	s := &sink{}
	b.Rows(0, origin, func(uuid.UUID) *normalize.Profile { return p }, s)
	require.Len(t, s.rows, 3)
	for i, want := range [][3]uint64{{0, 2, 7}, {1, 0, 8}, {1, 2, 0}} {
		r := s.rows[i]
		require.Equal(t, normalize.Counted, r.Body)
		require.Equal(t, want, [3]uint64{uint64(r.CountedFeature), uint64(r.CountedBin), r.Count})
		require.Empty(t, r.Numbers)
		require.NotZero(t, r.Hash)
	}
	require.Equal(t, map[int]normalize.Reason{
		3: normalize.UnknownBin, 4: normalize.UnknownBin, 5: normalize.UnknownBin, 6: normalize.UnknownBin, 7: normalize.UnknownFeature, 8: normalize.TooLarge,
	}, s.rejected)
}
