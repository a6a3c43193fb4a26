package drift_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/sdk/profile/wire"
	"github.com/driftmesh/driftmesh/services/drift/internal/drifttest"
)

// normal is a profile of one feature of 2,500 normal values around ten.
func normal(t *testing.T, monitors ...profile.Monitor) *driftv1.Profile {
	t.Helper()
	random := rand.New(rand.NewPCG(5, 5))
	x := profile.Column{Name: "x", Type: profile.Float}
	for range 2500 {
		x.Numbers = append(x.Numbers, 10+2*random.NormFloat64())
	}
	p, err := profile.New([]profile.Column{x}, profile.Options{
		Space: "s", Name: "normal", Monitors: monitors, Schedule: profile.Schedule{Cron: "0 * * * *"}, ReferenceSpan: 100 * time.Minute,
	})
	require.NoError(t, err)
	m := wire.Message(p)
	m.Active = true
	return m
}

// stream is records of so many minutes, some of each, around a mean.
func stream(prefix string, first int64, minutes, each int, mean, sd float64) (records []drifttest.Record) {
	random := rand.New(rand.NewPCG(uint64(first), 7))
	for m := range minutes {
		for i := range each {
			records = append(records, drifttest.Record{
				ID: fmt.Sprintf("%s-%d-%d", prefix, m, i), Minute: first + int64(m), Hash: random.Uint64(), Nano: 1 + random.Int64N(6e10-1),
				Numbers: []float64{mean + sd*random.NormFloat64()},
			})
		}
	}
	return records
}

func atMinute(minute int64) *timestamppb.Timestamp { return timestamppb.New(time.Unix(minute*60, 0)) }

// evaluated is the score of each monitor over a range of minutes.
func (r *running) evaluated(uid string, first int64, minutes int) map[string]*driftv1.Score {
	r.t.Helper()
	resp, err := r.Evaluate(as(r.t, "acme"), &driftv1.EvaluateRequest{Profile: uid, StartTime: atMinute(first), EndTime: atMinute(first + int64(minutes))})
	require.NoError(r.t, err)
	scores := map[string]*driftv1.Score{}
	for _, s := range resp.GetEvaluation().GetScores() {
		scores[s.GetMonitor()] = s
	}
	return scores
}

func judged(scores map[string]*driftv1.Score, verdict driftv1.Verdict) (names []string) {
	for name, s := range scores {
		if s.GetVerdict() == verdict {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Moments, charts and rates judge real records: quiet where nothing moved, and
// loud where something did, each on what it is for. Alerts are raised.
func TestMeasuresAndChartsJudgeRecords(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	var monitors []profile.Monitor
	for _, name := range []string{"mean", "spread", "variance", "xbar_s", "i_mr", "ewma", "cusum", "page_hinkley", "scouter_spc", "p_chart", "c_chart", "out_of_range", "volume", "freshness", "constant", "no_data"} {
		monitors = append(monitors, profile.Monitor{Name: name, Detector: name, Threshold: profile.Significant(1e-6)})
	}
	monitors[3].Parameters = map[string]float64{"sample_size": 25}
	monitors[5].Parameters, monitors[6].Parameters = map[string]float64{"run_length": 1e6}, map[string]float64{"run_length": 1e6}
	monitors[9].Parameters, monitors[10].Parameters = map[string]float64{"cell": 9}, map[string]float64{"cell": 9}
	p := create(t, r, "acme", normal(t, monitors...))
	quiet, shifted, wide := noon.Unix()/60-1000, noon.Unix()/60-500, noon.Unix()/60-200
	m.store("acme", p.GetUid(), stream("q", quiet, 60, 25, 10, 2))
	m.store("acme", p.GetUid(), stream("b", shifted-60, 60, 25, 10, 2))
	m.store("acme", p.GetUid(), stream("s", shifted, 60, 25, 16, 2))
	m.store("acme", p.GetUid(), stream("w", wide, 60, 100, 10, 8))

	scores := r.evaluated(p.GetUid(), quiet, 60)
	require.Len(t, scores, len(monitors))
	require.Empty(t, judged(scores, driftv1.Verdict_VERDICT_DRIFT), "%v", scores)
	require.Empty(t, judged(scores, driftv1.Verdict_VERDICT_INSUFFICIENT), "%v", scores)
	require.EqualValues(t, 1500, scores["mean"].GetSample())
	require.EqualValues(t, 2500, scores["mean"].GetReference())
	require.InDelta(t, 1e-6, scores["cusum"].GetFalseAlarmRate(), 1e-12)

	scores = r.evaluated(p.GetUid(), shifted, 60)
	require.Equal(t, []string{"c_chart", "cusum", "ewma", "i_mr", "mean", "out_of_range", "p_chart", "scouter_spc", "spread", "xbar_s"},
		judged(scores, driftv1.Verdict_VERDICT_DRIFT))
	// Page and Hinkley's is against the mean of the sample itself: of a change within.
	scores = r.evaluated(p.GetUid(), shifted-60, 120)
	require.Contains(t, judged(scores, driftv1.Verdict_VERDICT_DRIFT), "page_hinkley")
	scores = r.evaluated(p.GetUid(), wide, 60)
	require.Subset(t, judged(scores, driftv1.Verdict_VERDICT_DRIFT), []string{"out_of_range", "spread", "variance", "volume", "xbar_s"})
	require.NotContains(t, judged(scores, driftv1.Verdict_VERDICT_DRIFT), "mean")

	// Nothing came: no number is judged, and the silence is.
	scores = r.evaluated(p.GetUid(), noon.Unix()/60-3000, 60)
	require.Equal(t, []string{"freshness", "no_data", "volume"}, judged(scores, driftv1.Verdict_VERDICT_DRIFT))
	require.Contains(t, judged(scores, driftv1.Verdict_VERDICT_INSUFFICIENT), "mean")
	for name, s := range scores {
		require.NotContains(t, s.GetCaveats(), "unmeasured", name)
	}

	_, err := r.Evaluate(as(t, "acme"), &driftv1.EvaluateRequest{Profile: p.GetUid(), StartTime: atMinute(shifted), EndTime: atMinute(shifted + 60), Alert: true})
	require.NoError(t, err)
	raised := map[string]bool{}
	for _, a := range r.alerts("acme", true) {
		raised[a.GetMonitor()] = true
	}
	for _, name := range []string{"mean", "cusum", "scouter_spc"} {
		require.True(t, raised[name], name)
	}
}

// scouterCases are the series of zones of Scouter's own tests, with what it finds
// in them.
var scouterCases = []struct {
	name   string
	zones  []float64
	alerts []string
	off    []string // parameters that are 0
}{
	{"default rule", []float64{0, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, -2, 2, 0, 0, 3, 3, 3, 4, 0, -4, 3, -3, 3, -3, 3, -3},
		[]string{"Zone1 Consecutive", "Zone3 Alternating", "Zone3 Consecutive", "Zone4 OutOfBounds"}, nil},
	{"zones 1 and 4", []float64{0, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, -2, 2, 0, 0, 3, 3, 3, 4, 0, -4, 3, -3, 3, -3, 3, -3},
		[]string{"Zone1 Consecutive", "Zone4 OutOfBounds"}, []string{"zone_2", "zone_3"}},
	{"none", []float64{0, 0, 1, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0, 1}, nil, nil},
	{"beyond and consecutive", []float64{4, 1, -1, 2, -2, 1, 1, 1, 1, 1, 1, 1, 1, 1}, []string{"Zone1 Consecutive", "Zone4 OutOfBounds"}, nil},
	{"trend", []float64{-3, -2, -1, 0, 1, 2, 3}, []string{"NotApplicable Trend"}, nil},
	{"zone 3 twice", []float64{3, 3}, []string{"Zone3 Consecutive"}, nil},
	{"the last is not the zone", []float64{2, 2, 2, 3}, nil, nil},
	{"a larger one between", []float64{2, 2, 3, 2}, []string{"Zone2 Consecutive"}, nil},
	{"1, 2 again and again", []float64{1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2}, []string{"Zone1 Consecutive"}, nil},
	{"and one more", []float64{1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1}, []string{"Zone1 Alternating", "Zone1 Consecutive"}, nil},
}

// Scouter's vectors hold through the whole path: reference rows, profile, records
// that arrive in any order, cells, evaluation.
func TestScouterVectorsThroughTheWholePath(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	x := profile.Column{Name: "x", Type: profile.Float}
	for i := range 50 {
		x.Numbers = append(x.Numbers, float64(i+1))
	}
	random := rand.New(rand.NewPCG(1, 3))
	for k, c := range scouterCases {
		t.Run(c.name, func(t *testing.T) {
			for _, size := range []int{1, 25} {
				monitor := profile.Monitor{Name: "m", Detector: "scouter_spc", Parameters: map[string]float64{"sample_size": float64(size)}}
				for _, name := range c.off {
					monitor.Parameters[name] = 0
				}
				p, err := profile.New([]profile.Column{x}, profile.Options{Space: "s", Name: fmt.Sprint("v", k, "-", size), Monitors: []profile.Monitor{monitor}})
				require.NoError(t, err)
				limits := p.Features[0].Baseline.Scouter
				require.Equal(t, profile.ScouterLimits{Center: 25.5, Sigma: 7.436465317410578}, *limits)
				require.Equal(t, "47.80939595223173", fmt.Sprint(limits.Center+3*limits.Sigma))
				uid := create(t, r, "acme", wire.Message(p)).GetUid()
				first := noon.Unix()/60 - 100
				var records []drifttest.Record
				for i, zone := range c.zones {
					value := limits.Center
					if zone != 0 {
						value += math.Copysign(math.Abs(zone)-0.5, zone) * limits.Sigma
					}

					for n := range size {
						records = append(records, drifttest.Record{
							ID: fmt.Sprint("r", k, "-", i, "-", n), Minute: first + int64(i/3), Hash: random.Uint64(), Nano: int64(1 + i*size + n),
							Numbers: []float64{value + 10*(float64(n)-float64(size-1)/2)},
						})
					}
				}
				random.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
				for part := range slices.Chunk(append(records, records[:len(records)/2]...), 1+len(records)/3) {
					m.store("acme", uid, part)
				}
				s := r.evaluated(uid, first, 60)["m"]
				var found []string
				for _, caveat := range s.GetCaveats() {
					if name, ok := strings.CutPrefix(caveat, "pattern "); ok {
						found = append(found, name)
					}
				}
				require.Equal(t, c.alerts, found)
				require.InDelta(t, len(c.alerts), s.GetValue(), 0)
				require.Equal(t, len(c.alerts) > 0, s.GetVerdict() == driftv1.Verdict_VERDICT_DRIFT)
			}
		})
	}
}

// Cells from before there were measures are not taken for zeros: they are counted
// again, and where their records are gone the verdict says that it is not known.
func TestCellsFromBeforeMeasures(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	p := create(t, r, "acme", normal(t, profile.Monitor{Name: "mean", Detector: "mean"}, profile.Monitor{Name: "psi", Detector: "psi"}, profile.Monitor{Name: "late", Detector: "freshness"}))
	first := noon.Unix()/60 - 500
	m.store("acme", p.GetUid(), stream("s", first, 10, 25, 16, 2))
	fresh := r.evaluated(p.GetUid(), first, 10)
	require.Equal(t, driftv1.Verdict_VERDICT_DRIFT, fresh["mean"].GetVerdict())
	forget := func() {
		require.NoError(t, m.db.Exec(t.Context(), `ALTER TABLE cells UPDATE Measured = 0, Counts = arrayPopBack(Counts), Buckets = [], Sums = [], Squares = [], Last = toDateTime64(0, 9, 'UTC') WHERE 1 SETTINGS mutations_sync = 1`))
	}
	forget()
	require.EqualValues(t, 10, m.count("SELECT count() FROM cells FINAL WHERE Measured = 0"))
	again := r.evaluated(p.GetUid(), first, 10)
	require.InDelta(t, fresh["mean"].GetValue(), again["mean"].GetValue(), 0)
	require.InDelta(t, fresh["late"].GetValue(), again["late"].GetValue(), 0)
	require.EqualValues(t, 10, m.count("SELECT count() FROM cells FINAL WHERE Measured = 1"))

	forget()
	require.NoError(t, m.db.Exec(t.Context(), "TRUNCATE TABLE observations"))
	gone := r.evaluated(p.GetUid(), first, 10)
	for _, name := range []string{"mean", "late"} {
		require.Equal(t, driftv1.Verdict_VERDICT_INSUFFICIENT, gone[name].GetVerdict(), name)
		require.Contains(t, gone[name].GetCaveats(), "unmeasured", name)
	}
	require.InDelta(t, fresh["psi"].GetValue(), gone["psi"].GetValue(), 0, "what was counted stays")
}

// A profile is refused whose monitors need what it does not hold, with the reason.
func TestRefusesDetectorsThatLackTheirInput(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	ask := func(change func(*driftv1.Profile)) string {
		p := normal(t, profile.Monitor{Name: "m", Detector: "mean"})
		change(p)
		_, err := r.CreateProfile(as(t, "acme"), &driftv1.CreateProfileRequest{Profile: p})
		require.ErrorIs(t, err, fault.Invalid)
		return fault.Of(err).Error()
	}
	detector := func(p *driftv1.Profile, name string) { p.Monitors[0].Detector = name }
	baseline := func(p *driftv1.Profile) *driftv1.Baseline { return p.Features[0].Baseline }
	for _, c := range []struct {
		says   string
		change func(*driftv1.Profile)
	}{
		{"log_variance cannot be used: it needs sums of third and fourth powers", func(p *driftv1.Profile) { detector(p, "log_variance") }},
		{"duplicates cannot be used: their share grows with the number of rows", func(p *driftv1.Profile) { detector(p, "duplicates") }},
		{"hotelling judges features together, and the profile has no sums of products of these", func(p *driftv1.Profile) { detector(p, "hotelling") }},
		{"the profile has no reference_span", func(p *driftv1.Profile) { detector(p, "volume"); p.ReferenceSpan = nil }},
		{"detector mean can judge no feature", func(p *driftv1.Profile) { baseline(p).Moments = nil }},
		{"no sums of the reference's values: the profile was made before they were kept", func(p *driftv1.Profile) {
			baseline(p).Moments, p.Monitors[0].Features = []byte("nonsense"), []string{"x"}
		}},
		{"no sub-groups of the reference", func(p *driftv1.Profile) {
			detector(p, "cusum")
			baseline(p).Subgroups, p.Monitors[0].Features = nil, []string{"x"}
		}},
		{"no limits of Scouter's", func(p *driftv1.Profile) {
			detector(p, "scouter_spc")
			baseline(p).ScouterLimits, p.Monitors[0].Features = nil, []string{"x"}
		}},
		{"sample_size is 9 where monitor m has 25", func(p *driftv1.Profile) {
			detector(p, "scouter_spc")
			p.Monitors = append(p.Monitors, &driftv1.Monitor{Name: "n", Detector: "ewma", Parameters: map[string]float64{"sample_size": 9}})
		}},
	} {
		require.Contains(t, ask(c.change), c.says)
	}
}
