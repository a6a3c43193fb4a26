package scouter_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/record"
	"github.com/driftmesh/driftmesh/internal/scouter"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

func sample(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return raw
}

// report is what the application said that it sent in the run.
type report struct {
	Sent struct {
		Messages, Records, Spans int
	}
	Profiles map[string]struct{ UID string }
	Queue    struct {
		SPC, Custom struct{ Values map[string][]float64 }
		PSI         struct{ Bins map[string]map[string]uint64 }
		Eval        struct{ UIDs []string }
	}
	Link struct {
		RecordUID string `json:"record_uid"`
	}
}

// Every message of a whole run of the client says what the application says it sent.
func TestAWholeRunOfTheClient(t *testing.T) {
	t.Parallel()
	var want report
	require.NoError(t, json.Unmarshal(sample(t, "report.json"), &want))
	got := struct {
		spc, custom map[string][]float64
		psi         map[string]map[int64]uint64
		uids        map[string]bool
	}{map[string][]float64{}, map[string][]float64{}, map[string]map[int64]uint64{}, map[string]bool{}}
	var messages, elements, refused, spans int
	ids := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(sample(t, "run.jsonl")))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m, err := scouter.Decode(lines.Bytes())
		require.NoError(t, err)
		if m.Spans != nil {
			var data tracepb.TracesData
			require.NoError(t, proto.Unmarshal(m.Spans, &data))
			for _, r := range data.GetResourceSpans() {
				for _, s := range r.GetScopeSpans() {
					spans += len(s.GetSpans())
				}
			}
			continue
		}
		messages, refused, elements = messages+1, refused+len(m.Refused), elements+len(m.Records)+len(m.Refused)
		for _, no := range m.Refused {
			require.Equal(t, record.ReasonNotFinite, no.Reason)
		}
		for _, r := range m.Records {
			require.False(t, ids[r.GetProfile()+r.GetId()], r)
			ids[r.GetProfile()+r.GetId()] = true
			switch b := r.GetBody().(type) {
			case *ingestv1.Record_Features:
				require.Equal(t, want.Profiles["spc"].UID, r.GetProfile())
				v := b.Features.GetValues()[0]
				got.spc[v.GetName()] = append(got.spc[v.GetName()], v.GetFloat())
			case *ingestv1.Record_Metrics:
				v := b.Metrics.GetValues()[0]
				got.custom[v.GetName()] = append(got.custom[v.GetName()], v.GetValue())
			case *ingestv1.Record_Counted:
				if got.psi[b.Counted.GetFeature()] == nil {
					got.psi[b.Counted.GetFeature()] = map[int64]uint64{}
				}
				got.psi[b.Counted.GetFeature()][b.Counted.GetBin()] += b.Counted.GetCount()
			case *ingestv1.Record_Context:
				require.Equal(t, want.Profiles["eval"].UID, r.GetProfile())
				got.uids[r.GetId()] = true
			}
		}
	}
	require.Equal(t, want.Sent.Messages, messages)
	require.Equal(t, want.Sent.Records, elements)
	require.Equal(t, want.Sent.Spans, spans)
	require.Equal(t, 1, refused, "the mean that was no number")
	require.Equal(t, want.Queue.SPC.Values, got.spc)
	got.custom["accuracy"] = got.custom["accuracy"][:3] // a fourth came beside the null
	require.Equal(t, want.Queue.Custom.Values, got.custom)
	require.Len(t, got.uids, len(want.Queue.Eval.UIDs)+1)
	require.True(t, got.uids[want.Link.RecordUID])
	for feature, bins := range want.Queue.PSI.Bins {
		total := uint64(0)
		for _, n := range got.psi[feature] {
			total += n
		}
		require.EqualValues(t, 1011, total, "a thousand, ten and the one of a span")
		require.Len(t, got.psi[feature], len(bins))
	}
}

func TestRecordsSayWhenAndOfWhat(t *testing.T) {
	t.Parallel()
	m, err := scouter.Decode(sample(t, "message-spc.json"))
	require.NoError(t, err)
	require.Len(t, m.Records, 2)
	r := m.Records[0]
	require.Equal(t, "01a21a35-ff5b-74d2-8c1e-be88aafac17f", r.GetProfile())
	require.Equal(t, time.Date(2026, 11, 26, 23, 34, 36, 694692282, time.UTC), r.GetEventTime().AsTime())
	require.Len(t, r.GetId(), 32)

	m, err = scouter.Decode(sample(t, "message-eval.json"))
	require.NoError(t, err)
	require.Len(t, m.Records, 25)
	require.JSONEq(t, `{"record_id":"http-0","session_id":"session-http","uid":"01a21a36-0193-7051-928a-375ea156b9f4","trace_id":null,
		"tags":[],"entity_type":"GenAI","context":{"input":"question 0","output":"hello"}}`, m.Records[0].GetContext().GetJson())
}

// Sent again it is the same record; two equal ones of one message are two; one that
// differs in anything is another.
func TestIDsFollowFromWhatIsSaid(t *testing.T) {
	t.Parallel()
	const one = `{"Custom":{"created_at":"2026-05-01T10:00:00.000000001Z","uid":"u","metric":"mae","value":0.5,"entity_id":0}}`
	ids := func(elements string) (out []string) {
		m, err := scouter.Decode([]byte(`{"records":[` + elements + `]}`))
		require.NoError(t, err)
		for _, r := range m.Records {
			out = append(out, r.GetId())
		}
		return out
	}
	twice := ids(one + "," + one)
	require.NotEqual(t, twice[0], twice[1])
	require.Equal(t, twice, ids(one+","+one))
	require.Equal(t, twice[0], ids(one)[0])
	seen := map[string]bool{twice[0]: true, twice[1]: true}
	for _, other := range []string{
		`{"Custom":{"created_at":"2026-05-01T10:00:00.000000002Z","uid":"u","metric":"mae","value":0.5}}`,
		`{"Custom":{"created_at":"2026-05-01T10:00:00.000000001Z","uid":"v","metric":"mae","value":0.5}}`,
		`{"Custom":{"created_at":"2026-05-01T10:00:00.000000001Z","uid":"u","metric":"mse","value":0.5}}`,
		`{"Custom":{"created_at":"2026-05-01T10:00:00.000000001Z","uid":"u","metric":"mae","value":0.25}}`,
		`{"Spc":{"created_at":"2026-05-01T10:00:00.000000001Z","uid":"u","feature":"mae","value":0.5}}`,
		`{"Psi":{"created_at":"2026-05-01T10:00:00.000000001Z","uid":"u","feature":"mae","bin_id":1,"bin_count":2}}`,
		`{"Psi":{"created_at":"2026-05-01T10:00:00.000000001Z","uid":"u","feature":"mae","bin_id":2,"bin_count":2}}`,
	} {
		id := ids(other)
		require.Len(t, id, 1, other)
		require.False(t, seen[id[0]], other)
		seen[id[0]] = true
	}
}

// What is wrong is refused by itself, with its place and a reason.
func TestNeighboursAreNotHurt(t *testing.T) {
	t.Parallel()
	m, err := scouter.Decode([]byte(`{"records":[
		{"Custom":{"created_at":"2026-05-01T10:00:00Z","uid":"u","metric":"mae","value":null}},
		{"Observability":{"uid":"u"}}, 7, {}, {"Spc":{"uid":"u"}}, {"Psi":{"created_at":"2026-05-01T10:00:00Z","uid":"u","feature":"a","bin_id":1,"bin_count":-1}},
		{"Spc":{"created_at":"yesterday","uid":"u","feature":"a","value":1}}, {"GenAIEval":{"record":{}}}, {"GenAIEval":null}, null,
		{"AgentTaskRecord":{"created_at":"2026-05-01T10:00:02Z","record_uid":"r","task_id":"greets","value":1.0,"entity_uid":"u","more":[]}},
		{"GenAIWorkflowRecord":{"created_at":"2026-05-01T10:00:02Z","record_uid":"r","pass_rate":0.5,"entity_uid":"u"}},
		{"Spc":{"created_at":"2026-05-01T10:00:00Z","uid":"u","feature":"a","value":1,"unheard":"of"}}]}`))
	require.NoError(t, err)
	require.Equal(t, []int{10, 11, 12}, m.Index)
	require.Len(t, m.Refused, 10)
	for i, no := range m.Refused {
		require.Equal(t, i, no.Index)
		require.NotEmpty(t, no.Message)
	}
	require.Equal(t, "task.greets", m.Records[0].GetMetrics().GetValues()[0].GetName())
	require.Equal(t, "workflow", m.Records[1].GetMetrics().GetValues()[0].GetName())
	for _, raw := range []string{``, `[]`, `{}`, `{"records":7}`, `{"request":{"resourceSpans":7}}`, `{"records":[`, `{"entity_type":"trace"}`, `null`} {
		_, err := scouter.Decode([]byte(raw))
		require.Error(t, err, raw)
		require.Contains(t, err.Error(), "Invalid message format")
	}
	m, err = scouter.Decode([]byte(`{"entity_type":"trace","entity_id":"4bf9","key":"team","value":"search"}`))
	require.NoError(t, err)
	require.Equal(t, &scouter.Tag{EntityType: "trace", EntityID: "4bf9", Key: "team", Value: "search"}, m.Tag)
}

// document takes the profile out of a request to register it.
func document(t *testing.T, name string) (driftType string, raw []byte) {
	t.Helper()
	var request struct {
		DriftType string `json:"drift_type"`
		Profile   string `json:"profile"`
	}
	require.NoError(t, json.Unmarshal(sample(t, name), &request))
	return request.DriftType, []byte(request.Profile)
}

func TestProfiles(t *testing.T) {
	t.Parallel()
	read := func(name string) *profile.Profile {
		p, err := scouter.Profile(document(t, name))
		require.NoError(t, err)
		require.Equal(t, "accept", p.Space)
		return p
	}
	p := read("profile-spc.json")
	require.Equal(t, "accept-http.spc", p.Name)
	require.Equal(t, "0.1.0", p.Version)
	l := p.Features[p.Feature("temperature")].Baseline.Scouter
	require.Equal(t, []float64{49.5}, []float64{l.Center})
	require.InEpsilon(t, 29.08475333676643, l.Sigma, 1e-14)
	require.Equal(t, map[string]float64{
		"sample_size": 1, "consecutive_1": 8, "alternating_1": 16, "consecutive_2": 4, "alternating_2": 8, "consecutive_3": 2, "alternating_3": 4,
		"consecutive_4": 1, "alternating_4": 1, "zone_1": 1, "zone_2": 1, "zone_3": 1, "zone_4": 1,
	}, p.Monitors[0].Parameters)

	p = read("profile-psi.json")
	region, temperature := p.Features[p.Feature("region")], p.Features[p.Feature("temperature")]
	require.Equal(t, []string{"0", "1", "2"}, region.Categories())
	require.Equal(t, []float64{0.334, 0.333, 0.333}, region.Proportions())
	require.Equal(t, []float64{9.900000000000006, 19.80000000000001}, temperature.Edges()[:2])
	require.True(t, math.IsInf(temperature.Bins[9].Upper, 1))
	require.Len(t, p.Monitors, 2, "one for each number of bins")
	require.EqualValues(t, 31, p.Monitors[0].MinSample)
	require.EqualValues(t, 101, p.Monitors[1].MinSample)
	require.Equal(t, profile.Above(0.25), p.Monitors[1].Threshold)
	require.Equal(t, profile.Binning{Rule: profile.Quantile, Bins: 10}, p.Binning)

	p = read("profile-custom.json")
	require.Equal(t, profile.MetricRecords, p.Source.Of)
	require.Equal(t, map[string]float64{"low": 0.85}, p.Monitors[0].Parameters)
	require.Equal(t, []string{"mae"}, p.Monitors[1].Features)
	require.Equal(t, map[string]float64{"high": 12.4 + 2.3}, p.Monitors[1].Parameters)

	p = read("profile-genai.json")
	require.Equal(t, "accept-http.evaluation", p.Name)
	require.GreaterOrEqual(t, p.Feature("task.greets"), 0)
	_, raw := document(t, "profile-genai-judge.json")
	_, err := scouter.Profile("Agent", raw)
	require.NoError(t, err, "by the other client's name")
}

func TestProfilesThatAreNone(t *testing.T) {
	t.Parallel()
	for kind, text := range map[string]string{
		"Spc": `{"features":{"a":{"id":"a"}},"config":{"space":"s","name":"n"}}`, "Custom": `{"metrics":{"a":1},"config":{"space":"s","name":"n","alert_config":{"alert_conditions":{"b":{"alert_threshold":"Above"}}}}}`,
		"Psi": `{"features":{"a":{"bins":[{"id":1,"lower_limit":"-inf","upper_limit":"inf","proportion":0.5}]}},"config":{"space":"s","name":"n"}}`, "GenAI": `[]`, "Other": `{}`,
	} {
		_, err := scouter.Profile(kind, []byte(text))
		require.Error(t, err, kind)
	}
}

// What is wrong with a profile is said by its field, in a few words.
func TestWhatIsWrongWithAProfileIsSaid(t *testing.T) {
	t.Parallel()
	spc := func(features string) string {
		return `{"features":{` + features + `},"config":{"space":"s","name":"n"}}`
	}
	for text, want := range map[string]string{
		`{"config":{"name":5}}`: "config.name: want a text, not number", `{"config":{"space":"s","name":"` + strings.Repeat("x", 1<<20) + `"}}`: "not 1 to 128 letters",
		spc(`"a":{"center":1e308,"three_ucl":-1e308}`): `"a": three_ucl lies below center`, spc(`"a":{"center":-1e308,"three_ucl":1e308}`): "out of reach", spc(`"a":{"center":2,"three_ucl":1}`): "three_ucl lies below center",
		spc(`"a":{"center":null,"three_ucl":1}`): "lacks its limits", spc(`"a":{"center":NaN}`): "no JSON at byte", spc(`"` + strings.Repeat("x", 1<<20) + `":{"center":1,"three_ucl":2}`): "cannot be kept",
	} {
		_, err := scouter.Profile("Spc", []byte(text))
		require.ErrorIs(t, err, fault.Invalid, clipped(text))
		require.Contains(t, err.Error(), want, clipped(text))
		require.Less(t, len(err.Error()), 700, clipped(text))
	}
}

func FuzzDecode(f *testing.F) {
	for _, name := range []string{"message-spc.json", "message-psi.json", "message-custom-null.json", "message-eval.json", "message-spans-edge.json"} {
		f.Add(sample(f, name))
	}
	f.Add([]byte(`{"entity_type":"trace","entity_id":"4bf9","key":"team","value":"search"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := scouter.Decode(raw)
		if err != nil {
			return
		}
		require.Len(t, m.Index, len(m.Records))
		again, err := scouter.Decode(raw)
		require.NoError(t, err)
		for i, r := range m.Records {
			require.True(t, proto.Equal(r, again.Records[i]))
			_, err := proto.Marshal(r)
			require.NoError(t, err)
		}
	})
}

func FuzzProfile(f *testing.F) {
	for _, kind := range []string{"spc", "psi", "custom", "genai", "genai-judge"} {
		var request struct {
			DriftType, Profile string
		}
		raw := sample(f, "profile-"+kind+".json")
		raw = bytes.Replace(raw, []byte(`"drift_type"`), []byte(`"DriftType"`), 1)
		require.NoError(f, json.Unmarshal(raw, &request))
		f.Add(request.DriftType, []byte(request.Profile))
	}
	f.Fuzz(func(t *testing.T, kind string, raw []byte) {
		if p, err := scouter.Profile(kind, raw); err == nil {
			require.NoError(t, p.Validate())
		}
	})
}

// What is wrong with an element is said by the name of the field and what it should be,
// in a few words however long it is, and hurts no neighbour.
func TestWhatIsWrongIsSaid(t *testing.T) {
	t.Parallel()
	const good = `{"Custom":{"created_at":"2026-05-01T10:00:00Z","uid":"u","metric":"mae","value":0.5}}`
	custom := func(fields string) string {
		return `{"Custom":{"created_at":"2026-05-01T10:00:00Z","uid":"u","metric":"mae"` + fields + `}}`
	}
	at := func(created string) string {
		return `{"Custom":{"created_at":` + created + `,"uid":"u","metric":"mae","value":1}}`
	}
	counted := func(bin, count string) string {
		return `{"Psi":{"created_at":"2026-05-01T10:00:00Z","uid":"u","feature":"age","bin_id":` + bin + `,"bin_count":` + count + `}}`
	}
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	for element, want := range map[string]string{
		`5`: "is not an object", `null`: "is not an object", `[]`: "is not an object", `{}`: "has 0 members", `{"Spc":5}`: "want an object, not number", `{"Spc":null}`: "value is null",
		`{"custom":{}}`: `"custom" is no kind`, `{"A":1,"B":2}`: "has 2 members", strings.Replace(good, "}}", `},"Custom":{}}`, 1): `has "Custom" twice`,
		custom(`,"value":"NaN"`): "value: want a number that a double can hold, not string", custom(`,"value":1e400`): "value: want a number that a double can hold, not number 1e400",
		custom(`,"value":` + strings.Repeat("9", 1<<20)): "value: want a number that a double can hold, not number 999", custom(`,"value":` + deep): "not array",
		custom(`,"value":1,"value":2`): `has "value" twice`, custom(`,"value":1,"VALUE":2`): `has "VALUE" twice`, custom(`,"value":1,"\u0076alue":2`): `has "value" twice`,
		custom(`,"value":null`): "null", custom(`,"value":1,"x":"` + "\xff" + `"`): "is not UTF-8", custom(manyMembers(100)): "has more than 64 members",
		at(`"2026-05-01"`): `created_at: want a time as in RFC 3339, with its zone, not "2026-05-01"`, at(`"2026-05-01T10:00:00"`): "created_at: want", at(`1795000000`): "not 1795000000",
		at(`"10000-01-01T00:00:00Z"`): "created_at: want", at(`null`): "created_at is missing", at(`"` + strings.Repeat("x", 1<<20) + `"`): "created_at: want", at(`{}`): "not {}",
		counted("1", "-5"): "bin_count: want a whole number of 64 bits that is not negative, not number -5", counted("1", "1.5"): "not number 1.5", counted("1", "18446744073709551616"): "bin_count: want",
		counted("1.5", "1"): "bin_id: want a whole number of 64 bits, not number 1.5", counted(`"1"`, "1"): "not string", counted("null", "1"): "bin_id or bin_count is missing",
		`{"GenAIEval":{}}`: "record is missing", `{"GenAIEval":{"record":5}}`: "want an object, not number", `{"GenAIEval":{"record":{"created_at":"2026-05-01T10:00:00Z"}}}`: "entity_uid is missing",
		`{"GenAIEval":{"record":{"created_at":"2026-05-01T10:00:00Z","entity_uid":"u","uid":"a","uid":"b"}}}`: `has "uid" twice`,
		`{"AgentTaskRecord":{"created_at":"x"}}`: "task_id is missing", `{"AgentTaskRecord":{"task_id":"t","created_at":"x"}}`: "created_at: want",
	} {
		m, err := scouter.Decode([]byte(`{"records":[` + good + `,` + element + `, ` + good + ` ]}`))
		require.NoError(t, err, clipped(element))
		require.Equal(t, []int{0, 2}, m.Index, clipped(element))
		require.Len(t, m.Refused, 1, clipped(element))
		require.Equal(t, 1, m.Refused[0].Index)
		require.Contains(t, m.Refused[0].Message, want, clipped(element))
		require.Less(t, len(m.Refused[0].Message), 200)
	}
	// The first moment that there is stays a time, for whoever bounds them.
	m, err := scouter.Decode([]byte(`{"records":[` + at(`"0001-01-01T00:00:00Z"`) + `]}`))
	require.NoError(t, err)
	require.Len(t, m.Records, 1)
}

func manyMembers(n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, `,"x%d":1`, i)
	}
	return out.String()
}

func clipped(text string) string { return text[:min(len(text), 200)] }

// What is no message at all is refused whole, in a few words.
func TestMessagesThatAreNone(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		``: "no JSON at byte 0", `   `: "no JSON", `[]`: "want", `{"records":[{"Custom":{"value":NaN}}]}`: "no JSON at byte 32: invalid character 'N'", `{"records":[{"Custom":{"value":-Infinity}}]}`: "invalid character 'I'",
		`{"records":[]}x`: "invalid character 'x'", "\xef\xbb\xbf{}": "no JSON", strings.Repeat("[", 1<<20): "want", strings.Repeat(`{"a":`, 1<<18): "want",
		`{"records":{}}`: "records is not a list", `{"records":"x"}`: "records is not a list", `{"records":null}`: "neither records", `{"records":[],"records":[]}`: `has "records" twice`,
		`{"records":[],"request":{},"Records":[]}`: `has "Records" twice`, `{"request":5}`: "request", `{"entity_type":5}`: "entity_type: want a text",
		`{"records":[` + strings.Repeat("1,", 100_000) + `1]}`: "more than 100000 elements",
	} {
		_, err := scouter.Decode([]byte(raw))
		require.ErrorIs(t, err, fault.Invalid, clipped(raw))
		require.Contains(t, err.Error(), want, clipped(raw))
		require.Less(t, len(err.Error()), 400)
	}
}

// Whatever is stored of a trace can be told to a client.
func FuzzTrace(f *testing.F) {
	for _, name := range []string{"message-spans.json", "message-spans-link.json", "message-spans-edge.json"} {
		m, err := scouter.Decode(sample(f, name))
		require.NoError(f, err)
		f.Add(m.Spans)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var data tracepb.TracesData
		if proto.Unmarshal(raw, &data) != nil {
			return
		}
		_, err := json.Marshal(scouter.TraceOf(&data))
		require.NoError(t, err)
	})
}
