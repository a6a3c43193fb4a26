package sdk

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"
)

type address struct {
	Street string `json:"street"`
	Zip    int    `json:"zip,omitempty"`
}

type inner struct {
	Deep string
	More string `json:"more"`
}

type order struct {
	inner
	*address
	ID       int               `json:"id"`
	Name     string            `json:"name"`
	Tags     []string          `json:"tags"`
	Prices   map[string]any    `json:"prices"`
	Numbers  map[int]float32   `json:"numbers"`
	Raw      json.RawMessage   `json:"raw"`
	At       time.Time         `json:"at"`
	For      time.Duration     `json:"for"`
	Nothing  *int              `json:"nothing"`
	Array    [2]bool           `json:"array"`
	Any      any               `json:"any"`
	Bytes    []byte            `json:"bytes"`
	Skipped  string            `json:"-"`
	Empty    map[string]string `json:"empty,omitempty"`
	private  string
	Anything any
}

// What encoding/json can encode is encoded as it does.
func TestCaptureIsJSON(t *testing.T) {
	for _, v := range []any{
		nil, true, 1, -7, uint8(3), 1.5, 1e21, 1e-7, 0.0, math.Copysign(0, -1), float32(0.1), "", "a \"quoted\"\\ text\nof\tlines\r\x01\x7f é 世界 😀", []int(nil), []int{}, []int{1, 2},
		map[string]int{"b": 1, "a": 2}, map[int]string{2: "b", 10: "a"}, map[string]int(nil), [3]int{1, 2, 3}, []byte("bytes"), json.RawMessage(`{"a":[1,2]}`),
		time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), time.Second, json.Number("12"), &[]int{1}[0], []any{1, "a", nil, []any{}}, struct{}{},
		order{
			inner: inner{Deep: "d", More: "n"}, address: &address{Street: "s"}, ID: 3, Name: "n", Tags: []string{"x"}, Prices: map[string]any{"a": 1.5, "b": nil},
			Numbers: map[int]float32{3: 0.1}, Raw: json.RawMessage(`1`), At: time.Unix(3, 0).UTC(), For: 5, Any: address{Street: "é"}, Bytes: []byte{0, 255}, Skipped: "no", private: "no",
		},
		struct {
			A address `json:"a"`
			B *address
			C int `json:",omitempty"`
			D int `json:"d,omitzero"`
		}{},
	} {
		want, err := json.Marshal(v)
		require.NoError(t, err)
		// json.Marshal escapes what HTML would take for markup, and U+2028; none is here.
		got, cut := encodeJSON(v, 5000, nil)
		require.JSONEq(t, string(want), got, "%#v", v)
		require.False(t, cut)
	}
}

type panics struct{}

func (panics) MarshalJSON() ([]byte, error) { panic("no") } //nolint:forbidigo // as a user's may

type refuses struct{}

func (*refuses) MarshalJSON() ([]byte, error) { return nil, errors.New("will not") }

type lies struct{}

func (lies) MarshalJSON() ([]byte, error) { return []byte(`{"a":`), nil }

type badText struct{}

func (badText) MarshalText() ([]byte, error) { panic(errors.New("no text")) } //nolint:forbidigo // as a user's may

type badError struct{ *int }

func (e badError) Error() string { return fmt.Sprint(*e.int) }

type ring struct {
	Next *ring
	Map  map[string]any
}

// What it cannot encode is named, and the rest stands.
func TestCaptureOfWhatIsNoJSON(t *testing.T) {
	round := &ring{Map: map[string]any{}}
	round.Next, round.Map["self"] = round, round.Map
	var unset *refuses
	for want, v := range map[string]any{
		`"[chan int]"`: make(chan int),
		`{"F":"[func()]","N":1}`: struct {
			F func()
			N int
		}{func() {}, 1},
		`["NaN","+Inf","-Inf"]`:           []float64{math.NaN(), math.Inf(1), math.Inf(-1)},
		`"[complex128]"`:                  complex(1, 2),
		`["[sdk.panics: panic: no]",1]`:   []any{panics{}, 1},
		`"[*sdk.refuses: will not]"`:      &refuses{},
		`null`:                            unset,
		`"[sdk.lies: not JSON]"`:          lies{},
		`{"[sdk.badText]":1}`:             map[badText]int{{}: 1},
		`"[sdk.badText: panic: no text]"`: badText{},
		`"it broke"`:                      errors.New("it broke"),
		`"[sdk.badError: panic: runtime error: invalid memory address or nil pointer dereference]"`: badError{},
		"\"a\uFFFDb\"":           "a\xffb",
		`"1970-01-01T00:00:03Z"`: timestamppb.New(time.Unix(3, 0)),
	} {
		got, cut := encodeJSON(v, 5000, nil)
		require.Equal(t, want, got)
		require.False(t, cut)
	}
	got, _ := encodeJSON(round, 1_000_000, nil)
	require.Contains(t, got, "[too deep]")
	require.Less(t, len(got), 1_000_000)
}

func TestCaptureIsCutAtACharacter(t *testing.T) {
	for _, text := range []string{strings.Repeat("é", 100), strings.Repeat("世", 100), "a" + strings.Repeat("😀", 100), strings.Repeat("x", 100)} {
		for limit := 1; limit < 30; limit++ {
			got, cut := encodeJSON(text, limit, nil)
			require.True(t, cut)
			require.True(t, utf8.ValidString(got))
			kept := strings.TrimSuffix(got, truncated)
			require.NotEqual(t, got, kept, "it says so")
			require.Equal(t, limit, utf8.RuneCountInString(kept))
			require.True(t, strings.HasPrefix(`"`+text, kept))
		}
		got, cut := encodeJSON(text, utf8.RuneCountInString(text)+2, nil)
		require.False(t, cut)
		require.Equal(t, `"`+text+`"`, got)
	}
	got, cut := cutText("éé", 2)
	require.False(t, cut)
	require.Equal(t, "éé", got)
}

type counting struct{ n *int }

func (c counting) MarshalText() ([]byte, error) { *c.n++; return []byte("x"), nil }

// A large value costs no more than what is kept of it.
func TestCaptureStopsAtTheLimit(t *testing.T) {
	n := 0
	list := make([]counting, 1_000_000)
	for i := range list {
		list[i] = counting{&n}
	}
	_, cut := encodeJSON(list, 100, nil)
	require.True(t, cut)
	require.Less(t, n, 100)
	large := map[string]string{}
	for i := range 1000 {
		large[fmt.Sprint(i)] = strings.Repeat("y", 10000)
	}
	got, cut := encodeJSON(large, 100, nil)
	require.True(t, cut)
	require.Len(t, got, 100+len(truncated))
}

func TestCaptureLeavesOutWhatIsSecret(t *testing.T) {
	type login struct {
		User     string
		Password string
		Token    string `driftmesh:"redact"`
		Cookie   string `driftmesh:"-"`
		More     map[string]any
		Raw      json.RawMessage
	}
	v := login{"ann", "p1", "t1", "c1", map[string]any{"PASSWORD": "p2", "x": map[string]any{"api_key": "k1"}}, json.RawMessage(`{"a":{"password":"p3"},"n":1.50}`)}
	keys := map[string]struct{}{"password": {}, "api_key": {}}
	got, _ := encodeJSON(v, 5000, keys)
	require.JSONEq(t, `{"User":"ann","Password":"[redacted]","Token":"[redacted]","More":{"PASSWORD":"[redacted]","x":{"api_key":"[redacted]"}},"Raw":{"a":{"password":"[redacted]"},"n":1.50}}`, got)
	got, _ = encodeJSON(v, 5000, nil)
	require.NotContains(t, got, "t1")
	require.NotContains(t, got, "c1")
}

func TestRedaction(t *testing.T) {
	seen := []Capture{}
	c := capturing{on: true, span: "work", captureSettings: captureSettings{limit: 100, redact: both(
		func(c Capture) any { seen = append(seen, c); return strings.ToUpper(fmt.Sprint(c.Value)) },
		func(c Capture) any { return fmt.Sprint(c.Value, "!") },
	)}}
	text, _, ok := c.text(CaptureEvent, "e", "a")
	require.True(t, ok)
	require.Equal(t, `"A!"`, text)
	require.Equal(t, []Capture{{Kind: CaptureEvent, Span: "work", Event: "e", Value: "a"}}, seen)
	for _, f := range []Redaction{func(Capture) any { return nil }, func(Capture) any { panic("no") }} { //nolint:forbidigo // as a user's may
		c.redact = both(f, nil)
		_, _, ok = c.text(CaptureInput, "", "secret")
		require.False(t, ok, "nothing, rather than the value")
	}
}

func TestCaptureByTheEnvironment(t *testing.T) {
	clean(t)
	cfg := defaults()
	t.Setenv("DRIFTMESH_CAPTURE_LIMIT", "12")
	t.Setenv("DRIFTMESH_REDACTED_KEYS", "password, API_Key ,")
	cfg.fromEnvironment()
	require.Equal(t, 12, cfg.capture.limit)
	require.Equal(t, map[string]struct{}{"password": {}, "api_key": {}}, cfg.capture.keys)
	t.Setenv("DRIFTMESH_CAPTURE_LIMIT", "many")
	cfg.fromEnvironment()
	require.ErrorContains(t, cfg.check(), "DRIFTMESH_CAPTURE_LIMIT")
	cfg = defaults()
	WithCaptureLimit(-1)(&cfg)
	require.Error(t, cfg.check())
}

func FuzzCapture(f *testing.F) {
	f.Add("a \"é\x00\xff", 3)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = max(1, limit%1000)
		got, cut := encodeJSON(map[string]any{s: s}, limit, nil)
		require.True(t, utf8.ValidString(got))
		if cut {
			require.Equal(t, limit, utf8.RuneCountInString(strings.TrimSuffix(got, truncated)))
			return
		}
		want, err := json.Marshal(map[string]any{s: s})
		require.NoError(t, err)
		require.JSONEq(t, string(want), got)
	})
}
