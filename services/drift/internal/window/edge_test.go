package window_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
	"github.com/driftmesh/driftmesh/services/drift/internal/window"
)

// watched is a profile of a number and a category with a monitor for every
// detector that can judge it.
func watched(t *testing.T, numbers []float64) *profile.Profile {
	t.Helper()
	texts := make([]string, len(numbers))
	for i := range texts {
		texts[i] = strconv.Itoa(i % 3)
	}
	p, err := profile.New([]profile.Column{{Name: "x", Type: profile.Float, Numbers: numbers}, {Name: "c", Type: profile.String, Texts: texts}},
		profile.Options{Space: "s", Name: "n", ReferenceSpan: time.Hour})
	require.NoError(t, err)
	var monitors []profile.Monitor
	for _, d := range score.Detectors() {
		p.Monitors = []profile.Monitor{{Name: d.Name, Detector: d.Name, Parameters: map[string]float64{}}}
		for _, spec := range d.Params {
			if spec.Name == "baseline" {
				p.Monitors[0].Parameters[spec.Name] = 2
			}
		}
		if p.FillDefaults(); len(score.Check(p)) == 0 {
			monitors = append(monitors, p.Monitors...)
		}
	}
	p.Monitors = monitors
	require.NoError(t, p.Validate())
	return p
}

// Whatever comes, there is a verdict, and no number that JSON cannot say: records,
// cells, sums, charts, through the engine.
func TestWhateverComesHasAVerdict(t *testing.T) {
	references := map[string][]float64{"ordinary": nil, "constant": nil, "extreme": nil}
	for i := range 300 {
		references["ordinary"] = append(references["ordinary"], float64(i%97)/7)
		references["constant"] = append(references["constant"], 5)
		references["extreme"] = append(references["extreme"], []float64{1e308, -1e308, 5e-324, 0, math.NaN(), math.Inf(1)}[i%6])
	}
	repeat := func(n int, values ...float64) (all []float64) {
		for i := range n {
			all = append(all, values[i%len(values)])
		}
		return all
	}
	cases := []struct {
		name   string
		values []float64
	}{
		{"empty", nil}, {"one row", []float64{3}}, {"two rows", []float64{3, 3}}, {"constant", repeat(120, 5)}, {"NaN", repeat(120, math.NaN())},
		{"infinite", repeat(120, math.Inf(1), math.Inf(-1))}, {"denormal", repeat(120, 5e-324, -5e-324, 1e-310)}, {"huge", repeat(120, 1e308, -1e308)},
		{"largest", repeat(120, math.MaxFloat64)}, {"negative zero", repeat(120, math.Copysign(0, -1))}, {"everything", repeat(400, nasty...)},
	}
	for name, reference := range references {
		p := watched(t, reference)
		db, wants := tables(t), score.Wants(p)
		kept := store.NewCells(db)
		s := window.New(tenant, uid.String(), p, []window.Extra{{Deviations: true, Sample: wants[0].Sample}, {}})
		for k, c := range cases {
			for _, missing := range []bool{false, true} {
				t.Run(fmt.Sprint(name, "/", c.name, "/missing=", missing), func(t *testing.T) {
					first := day + int64(100*k)
					if missing {
						first += 50
					}
					var records []record
					for i, v := range c.values {
						records = append(records, record{
							ID: fmt.Sprint(first, "-", i), Minute: first + int64(i%5), Hash: uint64(i), Numbers: []float64{v}, Missing: []bool{missing},
							Categories: []string{map[bool]string{false: strconv.Itoa(i % 4)}[missing]},
						})
					}
					require.NoError(t, work(t.Context(), db, s, records))
					found := verdicts(t, kept, p, first)
					switch {
					case len(c.values) == 0:
						require.Equal(t, score.Drift, found["no_data x"])
						require.Equal(t, score.Insufficient, found["psi x"])
					case missing && len(c.values) > 2:
						require.Equal(t, score.Drift, found["missing x"])
					case name == "ordinary" && c.name == "NaN":
						require.Equal(t, score.Drift, found["nan x"])
					case name == "ordinary" && (c.name == "huge" || c.name == "largest"):
						require.Equal(t, score.Drift, found["out_of_range x"])
						require.NotEqual(t, score.OK, found["spread x"])
					case name == "constant" && c.name == "constant":
						require.Equal(t, score.OK, found["mean x"])
					}
				})
			}
		}
	}
}

// verdicts judges five minutes.
func verdicts(t *testing.T, cells *store.Cells, p *profile.Profile, first int64) map[string]score.Verdict {
	t.Helper()
	r := store.Range{Tenant: tenant, Profile: uid.String(), Start: first, End: first + 5}
	sum, err := cells.Sum(t.Context(), r, len(p.Features), score.Wants(p))
	require.NoError(t, err)
	require.True(t, sum.Measured)
	for i := range p.Features {
		if sum.Counts[i] == nil {
			sum.Counts[i] = make([]uint64, p.Features[i].Cells())
		}
	}
	at := func(minute int64) time.Time { return time.Unix(minute*60, 0) }
	scores, err := score.Evaluate(p, score.Sample{
		Counts: sum.Counts, Measures: sum.Measures, Timing: &score.Timing{Start: at(first), End: at(first + 5), Last: sum.Last, Known: true},
	}, 24)
	require.NoError(t, err)
	require.Greater(t, len(scores), 30)
	all := map[string]score.Verdict{}
	for i := range scores {
		report := scores[i].Report(p, nil)
		require.Contains(t, []score.Verdict{score.OK, score.Drift, score.Insufficient}, report.Verdict)
		_, err := json.Marshal(report)
		require.NoError(t, err, report.Monitor)
		for _, v := range []*float64{report.Value, report.P, report.Adjusted} {
			require.False(t, v != nil && (math.IsNaN(*v) || math.IsInf(*v, 0)), report.Monitor)
		}
		if report.Verdict == score.Drift {
			require.NotNil(t, report.Value, "%s says drift of nothing", report.Monitor)
		}
		all[report.Monitor+" "+report.Feature] = report.Verdict
	}
	return all
}

// A million different categories are one bin: others.
func TestAMillionCategories(t *testing.T) {
	db, p := tables(t), watched(t, []float64{1, 2, 3, 4, 5, 6})
	require.NoError(t, db.Exec(t.Context(), fmt.Sprintf(`INSERT INTO observations (Tenant, Profile, RecordId, EventTime, ReceivedAt, ContentHash, Numbers, NumberStates, Categories, CategoryStates)
		SELECT '%s', '%s', toString(number), toDateTime64(%d, 9, 'UTC'), now(), cityHash64(number), [number / 7.], [0], [toString(number + 10)], [0] FROM numbers(1000000)
		SETTINGS max_threads = 1, max_insert_threads = 1`, tenant, uid, day*60)))
	s := window.New(tenant, uid.String(), p, nil)
	require.NoError(t, recompute(t.Context(), db, s, []int64{day}))
	got := cells(t, db)["0/1"]
	require.Equal(t, []uint64{0, 0, 0, 0, 0, 0, 0, 1_000_000, 0, 1_000_000}, got)
}
