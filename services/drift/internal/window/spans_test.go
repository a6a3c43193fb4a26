package window_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/clickhouse/sqltext"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
	"github.com/driftmesh/driftmesh/services/drift/internal/window"
)

// span is one as trace-store keeps it, in short.
type span struct {
	id, minute           int64
	service, name        string
	kind, status         int
	duration             uint64
	attributes, resource map[string]string
}

func storeSpans(t *testing.T, db *clickhouse.DB, spans []span) {
	t.Helper()
	var rows, index []string
	for _, s := range spans {
		pairs := func(m map[string]string, form, separator string) string {
			var all []string
			for k, v := range m {
				all = append(all, fmt.Sprintf(form, k, v))
			}
			return strings.Join(all, separator)
		}
		common := fmt.Sprintf("'acme', toDateTime64(%d, 9), sipHash128(%d, 1)::FixedString(16), reinterpretAsFixedString(toUInt64(%d)), %s, %d, %s, toDateTime64(%d, 9), %d, %d",
			s.minute*60+1, s.id, s.id+1, sqltext.Quote(s.name), s.kind, sqltext.Quote(s.service), s.minute*60+s.id%60, s.duration, s.status)
		index = append(index, "("+common+")")
		rows = append(rows, "("+common+", map("+pairs(s.attributes, "'%s', '%s'", ", ")+"), "+sqltext.Quote("["+pairs(s.resource, `["%s","%s"]`, ",")+"]")+")")
	}
	const columns = "Tenant, ReceivedAt, TraceId, SpanId, SpanName, SpanKind, ServiceName, Timestamp, Duration, StatusCode"
	require.NoError(t, db.Exec(t.Context(), "INSERT INTO spans ("+columns+", SpanAttributes, ResourceAttributes) VALUES "+strings.Join(rows, ", ")))
	require.NoError(t, db.Exec(t.Context(), "INSERT INTO span_index ("+columns+") VALUES "+strings.Join(index, ", ")))
}

// calls makes spans of two services and operations.
func calls(n int) []span {
	random := rand.New(rand.NewPCG(11, 12))
	var all []span
	for i := range n {
		s := span{
			id: int64(i), minute: day + int64(i%3), service: []string{"it's \\ shop", "other"}[i%7/6], name: []string{"pay", "list"}[random.IntN(2)],
			kind: 1 + random.IntN(5), status: random.IntN(3), duration: random.Uint64N(5e9),
			attributes: map[string]string{"region": []string{"eu", "us"}[random.IntN(2)]}, resource: map[string]string{"service.version": strconv.Itoa(random.IntN(3))},
		}
		if text := []string{"", "12", "1e3", "many", "NaN", "inf", "-inf"}[random.IntN(7)]; text != "" {
			s.attributes["tokens"] = text
		}
		all = append(all, s)
	}
	return all
}

// observation is what should be made of a span.
func (s span) observation(p *profile.Profile) record {
	r := record{ID: fmt.Sprint(s.id), Minute: s.minute, Hash: 1}
	for i := range p.Features {
		switch f := p.Features[i].Name; f {
		case "duration_ms":
			r.Numbers, r.Missing = append(r.Numbers, float64(s.duration)/1e6), append(r.Missing, false)
		case "tokens":
			text, there := s.attributes[f]
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				v = math.NaN()
			}
			r.Numbers, r.Missing = append(r.Numbers, v), append(r.Missing, !there)
		case "error":
			r.Categories = append(r.Categories, strconv.FormatBool(s.status == 2))
		case "status":
			r.Categories = append(r.Categories, []string{"unset", "ok", "error"}[s.status])
		case "span_kind":
			r.Categories = append(r.Categories, profile.SpanKinds[s.kind])
		case "span_name":
			r.Categories = append(r.Categories, s.name)
		case "resource.service.version":
			r.Categories = append(r.Categories, s.resource["service.version"])
		default:
			r.Categories = append(r.Categories, s.attributes[f])
		}
	}
	return r
}

// Windows of spans count what one counts by hand, whenever and however often that
// is done, and spans that come late are found.
func TestWindowsOfSpans(t *testing.T) {
	text := func(name string, texts ...string) profile.Column {
		return profile.Column{Name: name, Type: profile.String, Texts: append(texts, texts[0])}
	}
	intrinsic := []profile.Column{
		{Name: "duration_ms", Type: profile.Float, Numbers: []float64{1, 1000, 2000, 3000}}, text("status", "ok", "unset", "error"),
		{Name: "error", Type: profile.Bool, Texts: []string{"true", "false", "false", "false"}}, text("span_kind", "server", "client", "server"), text("span_name", "pay", "pay", "list"),
	}
	attributes := append([]profile.Column{
		{Name: "tokens", Type: profile.Float, Numbers: []float64{1, 10, 100, 1000}}, text("region", "eu", "us", "eu"), text("resource.service.version", "0", "1", "1"),
		text("nowhere", "x", "y", "z"),
	}, intrinsic...)
	const service = "it's \\ shop"
	for name, c := range map[string]struct {
		columns []profile.Column
		source  profile.Source
		chosen  func(s span) bool
	}{
		"by the index": {intrinsic, profile.Source{Service: service}, func(s span) bool { return s.service == service }},
		"an operation": {intrinsic, profile.Source{Service: service, Operation: "pay", Kind: "client"}, func(s span) bool {
			return s.service == service && s.name == "pay" && s.kind == 3
		}},
		"texts for numbers": {attributes, profile.Source{Service: service}, func(s span) bool { return s.service == service }},
		"attributes": {attributes, profile.Source{Service: service, Attributes: map[string]string{"region": "eu"}}, func(s span) bool {
			return s.service == service && s.attributes["region"] == "eu"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			db := tables(t)
			p, err := profile.New(c.columns, profile.Options{Space: "s", Name: "n", Source: &c.source})
			require.NoError(t, err)
			require.Equal(t, profile.Spans, p.Source.Of)
			if name == "texts for numbers" {
				p.Monitors = []profile.Monitor{{Name: "types", Detector: profile.WrongTypeDetector, Features: []string{"tokens"}}}
			}
			s, cellsOf := window.New(tenant, uid.String(), p, nil), store.NewCells(db)
			spans := calls(300)
			var want []record
			for _, one := range spans {
				if c.chosen(one) {
					want = append(want, one.observation(p))
				}
			}
			require.Greater(t, len(want), 10)
			minutes := []int64{day, day + 1, day + 2}
			for _, part := range [][]span{spans[:200], spans[150:], spans[:1]} { // some come twice, some late
				storeSpans(t, db, part)
				missing, err := cellsOf.Missing(t.Context(), s, day, day+3)
				require.NoError(t, err)
				for range 2 {
					require.NoError(t, recompute(t.Context(), db, s, minutes))
				}
				after, err := cellsOf.Missing(t.Context(), s, day, day+3)
				require.NoError(t, err)
				require.Empty(t, after)
				require.Equal(t, len(part) > 1, len(missing) > 0)
			}
			counted := expected(p, want)
			for _, one := range spans { // a text is NaN, but where a monitor tells them apart
				if i := p.Feature("tokens"); p.Tolerates("tokens") && c.chosen(one) && one.attributes["tokens"] == "many" {
					at := counted[fmt.Sprintf("%d/%d", one.minute-day, i)]
					at[p.Features[i].SpecialCell(profile.NaN)]--
					at[p.Features[i].SpecialCell(profile.WrongType)]++
				}
			}
			require.Equal(t, counted, cells(t, db))
		})
	}
}
