package scouter_test

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/driftmesh/driftmesh/internal/sqlstate"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// streamed is a run of stream.py through a recorder.
type streamed struct {
	t    *testing.T
	way  string
	r    *recorder
	s    *script
	sent struct {
		UIDs     []string
		Spans    int
		Profiles map[string]string
	}
	told drift
}

func stream(t *testing.T, way string, to mesh.Addresses, more ...string) *streamed {
	t.Helper()
	r := newRecorder(t, to)
	return &streamed{t: t, way: way, r: r, s: begin(t, "stream.py", append([]string{"--transport", way, "--run", "stream-" + way, "--http", "http://" + r.HTTP, "--grpc", r.GRPC}, more...)...)}
}

// goesOn waits until n more messages are acknowledged, all that the client sends: none
// of the last is refused.
func (s *streamed) goesOn(n int) {
	s.t.Helper()
	begun, _, _ := s.r.acknowledged()
	mesh.Await(s.t, time.Minute, func() error {
		select {
		case err := <-s.s.ended:
			s.s.ended <- err
			require.FailNow(s.t, "the client ended", "%v: %s", err, s.s.said.String())
		default:
		}
		if now, _, refused := s.r.acknowledged(); now-begun < n {
			return fmt.Errorf("%s: %d messages of %d were acknowledged, %d refused since it began", s.way, now-begun, n, refused)
		}
		return nil
	})
}

// Whatever is killed in mid-run, all that the client was told is accepted is there, and
// once; and the client, which logs in once for ever and is told nothing, goes on by
// itself with the token that it has, also when the key that signed it is gone.
func TestTheMeshIsKilled(t *testing.T) {
	t.Parallel()
	python(t)
	m := mesh.Start(t, "--auth.scouter-accounts")
	all := []*streamed{stream(t, "http", m.Addresses), stream(t, "grpc", m.Addresses)}
	for _, between := range []func(){func() {}, func() { forgetKeys(t, m) }} {
		for _, s := range all {
			s.goesOn(30)
		}
		m.Kill()
		for _, s := range all {
			s.r.cut()
		}
		between()
		m.Boot()
		for _, s := range all {
			s.r.open()
		}
	}
	for _, s := range all {
		s.goesOn(30)
		s.s.end(&s.sent)
	}
	m.Account(t, "records", func(a *ledgerv1.Account) bool { return mesh.AllSettled(a) && a.GetBalanced() })
	m.Account(t, "spans", func(a *ledgerv1.Account) bool { return mesh.AllSettled(a) && a.GetBalanced() })
	for _, s := range all {
		s.ask(m.HTTP)
	}
	m.Stop()
	requireAcknowledged(t, m.OpenStore(), all)
}

// forgetKeys is the passing of a month: the keys that signed tokens are gone.
func forgetKeys(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	state, err := sqlstate.Open(t.Context(), "sqlite:"+filepath.Join(m.Dir, "data", "state"), "auth")
	require.NoError(t, err)
	_, err = state.Exec(t.Context(), "DELETE FROM signing_keys")
	require.NoError(t, errors.Join(err, state.Close()))
}

// requireAcknowledged compares what was acknowledged with what is stored, by name, and
// what the client is told of drift with what that comes to.
func requireAcknowledged(t *testing.T, store string, all []*streamed) {
	t.Helper()
	db := openStore(t, store)
	stored, storedSpans := counts(t, db, records), counts(t, db, spans)
	maps.DeleteFunc(stored, func(key [2]string, _ uint64) bool {
		return !slices.ContainsFunc(all, func(s *streamed) bool { return slices.Contains(slices.Collect(maps.Values(s.sent.Profiles)), key[0]) })
	})
	acknowledged, sent := said{map[[2]string]*ingestv1.Record{}, map[[2]string]*tracepb.Span{}}, said{map[[2]string]*ingestv1.Record{}, map[[2]string]*tracepb.Span{}}
	for _, s := range all {
		heard, said := s.r.what(false), s.r.what(true)
		maps.Copy(acknowledged.records, heard.records)
		maps.Copy(acknowledged.spans, heard.spans)
		maps.Copy(sent.records, said.records)
		maps.Copy(sent.spans, said.spans)
		s.requireDrift(said, stored)
		n, renewed, refused := s.r.acknowledged()
		t.Logf("%s: %d messages acknowledged, %d not, %d tokens renewed; %d evaluation records and %d spans were made", s.way, n, refused, renewed, len(s.sent.UIDs), s.sent.Spans)
	}
	unknownRecords := requireOnce(t, "records", acknowledged.records, sent.records, stored)
	unknownSpans := requireOnce(t, "spans", acknowledged.spans, sent.spans, storedSpans)
	t.Logf("%d records and %d spans acknowledged; %d and %d more are stored whose answer nobody heard", len(acknowledged.records), len(acknowledged.spans), unknownRecords, unknownSpans)
}

// ask asks for the drift of a run, as the client does; the mesh must be up.
func (s *streamed) ask(web string) {
	s.t.Helper()
	c := login(s.t, web, "guest", "guest")
	for kind, answer := range map[string]any{"spc": &s.told.SPC, "psi": &s.told.PSI, "custom": &s.told.Custom} {
		require.Equal(s.t, http.StatusOK, c.call(http.MethodGet, "drift/"+kind+"?space=accept&time_interval=SevenDays&max_data_points=1&uid="+s.sent.Profiles[kind], nil, answer))
	}
}

// drift is what is told of it.
type drift struct {
	SPC struct {
		Features map[string]struct{ Values []float64 }
	}
	PSI struct {
		Features map[string]struct{ Bins map[string]float64 }
	}
	Custom struct {
		Metrics map[string]struct{ Stats []struct{ Avg float64 } }
	}
}

// requireDrift holds what was told of drift against the records that are stored.
func (s *streamed) requireDrift(said said, stored map[[2]string]uint64) {
	s.t.Helper()
	values, bins := map[string][]float64{}, map[string]map[string]float64{}
	for key, r := range said.records {
		if stored[key] == 0 {
			continue
		}
		for _, v := range r.GetFeatures().GetValues() {
			values[v.GetName()] = append(values[v.GetName()], v.GetFloat())
		}
		for _, v := range r.GetMetrics().GetValues() {
			values[v.GetName()] = append(values[v.GetName()], v.GetValue())
		}
		if c := r.GetCounted(); c != nil {
			if bins[c.GetFeature()] == nil {
				bins[c.GetFeature()] = map[string]float64{}
			}
			bins[c.GetFeature()][strconv.FormatInt(c.GetBin(), 10)] += float64(c.GetCount())
		}
	}
	mean := func(name string) float64 { return sum(slices.Values(values[name])) / float64(len(values[name])) }
	for _, name := range []string{"temperature", "requests"} {
		require.Len(s.t, s.told.SPC.Features[name].Values, 1)
		require.InEpsilon(s.t, mean(name), s.told.SPC.Features[name].Values[0], 1e-9, name)
		total := sum(maps.Values(bins[name]))
		require.Len(s.t, s.told.PSI.Features[name].Bins, len(bins[name]))
		for bin, share := range s.told.PSI.Features[name].Bins {
			require.InDelta(s.t, bins[name][bin]/total, share, 1e-12, "%s, bin %s", name, bin)
		}
	}
	require.InEpsilon(s.t, mean("mae"), s.told.Custom.Metrics["mae"].Stats[0].Avg, 1e-9)
}

func sum(values iter.Seq[float64]) (total float64) {
	for v := range values {
		total += v
	}
	return total
}
