package scouter_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/scouter"
)

const created = "2026-11-26T23:34:36.694692282Z"

func custom(uid, metric string, value float64) string {
	return fmt.Sprintf(`{"Custom":{"created_at":%q,"uid":%q,"metric":%q,"value":%v,"entity_id":0}}`, created, uid, metric, value)
}

func message(elements ...string) []byte {
	return []byte(`{"records":[` + strings.Join(elements, ",") + `]}`)
}

// ids are those of the records of messages, with how often each came.
func ids(t testing.TB, messages ...[]byte) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, raw := range messages {
		m, err := scouter.Decode(raw)
		require.NoError(t, err)
		for _, r := range m.Records {
			out[r.GetProfile()+" "+r.GetId()]++
		}
		out["refused"] += len(m.Refused)
	}
	return out
}

func values(parts []scouter.Part) (out [][]byte) {
	for _, p := range parts {
		out = append(out, p.Value)
	}
	return out
}

// A message of one profile stays as it came, to the byte; the others come apart, and
// whatever the size, records keep their ids: also those that say the same.
func TestPartsKeepTheIDs(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"spc", "psi", "custom", "custom-null", "eval"} {
		whole := sample(t, "message-"+name+".json")
		require.Equal(t, []scouter.Part{{Value: whole}}, scouter.Parts(whole, len(whole)), name)
		small := values(scouter.Parts(whole, 600))
		require.Equal(t, ids(t, whole), ids(t, small...), name)
		for _, part := range small {
			require.LessOrEqual(t, len(part), 600, name)
		}
	}
	mixed := message(
		custom("p1", "mae", 1), custom("p2", "mae", 1), custom("p1", "mae", 1), `{"Custom":{"uid":"p2"}}`, `7`, custom("p1", "mae", 1), custom("p1", "f1", 1))
	parts := values(scouter.Parts(mixed, 1<<20))
	require.Equal(t, [][]byte{
		message(custom("p1", "mae", 1), custom("p1", "mae", 1), custom("p1", "mae", 1), custom("p1", "f1", 1)),
		message(custom("p2", "mae", 1), `{"Custom":{"uid":"p2"}}`), message(`7`),
	}, parts)
	require.Len(t, ids(t, mixed), 5+1)
	require.Equal(t, ids(t, mixed), ids(t, parts...))
	for size := range 1 << 10 {
		if size == 0 {
			size = math.MaxInt
		}
		require.Equal(t, ids(t, mixed), ids(t, values(scouter.Parts(mixed, size))...), size)
	}
}

// What a stranger sends makes neither many messages nor an error: what is not
// understood goes on as it came.
func TestPartsOfAnything(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		``, `{`, `[]`, `{}`, `{"records":7}`, `{"records":[]}`, `{"records":null}`, `{"entity_type":"trace","entity_id":"1","key":"k","value":"v"}`, "\x1f\x8b",
	} {
		require.Equal(t, []scouter.Part{{Value: []byte(raw)}}, scouter.Parts([]byte(raw), 1<<20), raw)
	}
	require.Equal(t, []scouter.Part{{Spans: true, Value: []byte(`{"resourceSpans":[]}`)}}, scouter.Parts([]byte(`{"request":{"resourceSpans":[]}}`), 4))
	var many []string
	for i := range 1000 {
		many = append(many, custom(fmt.Sprint("p", i), "mae", 1))
	}
	parts := values(scouter.Parts(message(many...), 1<<20))
	require.Len(t, parts, 256)
	require.Equal(t, ids(t, message(many...)), ids(t, parts...))
}

// Some of a message's records make messages of their own.
func TestByProfile(t *testing.T) {
	t.Parallel()
	whole := message(custom("p1", "mae", 1), custom("p2", "mae", 1), `{}`, custom("p3", "mae", 1), custom("p2", "f1", 2))
	parts, err := scouter.ByProfile(whole, []int{1, 3, 4}, 1<<20)
	require.NoError(t, err)
	require.Equal(t, [][]byte{message(custom("p2", "mae", 1), custom("p2", "f1", 2)), message(custom("p3", "mae", 1))}, values(parts))
	_, err = scouter.ByProfile([]byte(`{`), nil, 1)
	require.Error(t, err)
}

func FuzzParts(f *testing.F) {
	for _, name := range []string{"message-spc.json", "message-psi.json", "message-eval.json", "message-spans-link.json"} {
		f.Add(sample(f, name), 300)
	}
	f.Add(message(custom("p1", "mae", 1), `7`, custom("p1", "mae", 1)), 0)
	f.Fuzz(func(t *testing.T, raw []byte, size int) {
		parts := scouter.Parts(raw, size)
		require.NotEmpty(t, parts)
		if _, err := scouter.Decode(raw); err != nil || parts[0].Spans {
			return
		}
		require.True(t, json.Valid(bytes.Join(values(parts), []byte("\n"))) || len(parts) > 1)
		require.Equal(t, ids(t, raw), ids(t, values(parts)...))
	})
}
