package score_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
)

// wide is a profile of n equal features, each of ten bins of reference values.
func wide(t *testing.T, n, reference int, by profile.Correction, monitors ...profile.Monitor) *profile.Profile {
	t.Helper()
	columns := make([]profile.Column, n)
	for i := range columns {
		columns[i] = profile.Column{Name: fmt.Sprintf("f%d", i), Type: profile.Float}
		for k := range reference {
			columns[i].Numbers = append(columns[i].Numbers, float64(k))
		}
	}
	p, err := profile.New(columns, profile.Options{Space: "s", Name: "n", Correction: by, Monitors: monitors})
	require.NoError(t, err)
	return p
}

// Where nothing moved, an evaluation of forty features finds any drift about as
// often as the significance says; without correction nearly always.
func TestTheFamilyKeepsItsSignificance(t *testing.T) {
	t.Parallel()
	const features, rounds, sample = 40, 250, 1000
	p := wide(t, features, 100_000, "")
	random := rand.New(rand.NewPCG(7, 7))
	found := map[profile.Correction]int{}
	for range rounds {
		counts := make([][]uint64, features)
		for i := range counts {
			counts[i] = make([]uint64, p.Features[i].Cells())
			for range sample {
				counts[i][random.IntN(10)]++
			}
		}
		for _, by := range corrections {
			p.Correction = by
			scores, err := score.Evaluate(p, score.Sample{Counts: counts}, 1)
			require.NoError(t, err)
			moved := false
			for i := range scores {
				require.InDelta(t, 0.05, scores[i].Rate, 0)
				require.Equal(t, scores[i].Verdict == score.Drift, judged(&scores[i]) > scores[i].Threshold, "the threshold says the same")
				moved = moved || scores[i].Verdict == score.Drift
			}
			if moved {
				found[by]++
			}
		}
	}
	for _, by := range corrections[:3] {
		require.Less(t, float64(found[by])/rounds, 0.05+4*0.0138, by) // four standard errors
	}
	require.Greater(t, float64(found[profile.Uncorrected])/rounds, 0.75)
}

// judged is what the threshold belongs to.
func judged(s *score.Score) float64 {
	if math.IsNaN(s.Judged) {
		return s.Value
	}
	return s.Judged
}

var corrections = []profile.Correction{profile.BenjaminiHochberg, profile.Holm, profile.Bonferroni, profile.Uncorrected}

// Several that moved are found by each correction, and the threshold in the unit
// of the index says the same as the adjusted p-value.
func TestThresholdsSayTheSameAsAdjustedValues(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, by := range corrections {
		p := wide(t, 20, 1000, by, profile.DefaultMonitor(), profile.Monitor{Name: "strict", Detector: "psi", Threshold: profile.Significant(0.001)},
			profile.Monitor{Name: "fixed", Detector: "psi", Threshold: profile.Above(0.1)})
		for range 50 {
			counts := make([][]uint64, 20)
			for i := range counts {
				counts[i] = make([]uint64, p.Features[i].Cells())
				for range 400 {
					counts[i][random.IntN(10-i/8)]++
				}
			}
			scores, err := score.Evaluate(p, score.Sample{Counts: counts}, 1)
			require.NoError(t, err)
			require.Len(t, scores, 60)
			drift := map[string]int{}
			for i := range scores {
				s := &scores[i]
				require.Equal(t, s.Verdict == score.Drift, judged(s) > s.Threshold, "%s %s %v %v", by, s.Monitor, s.Value, s.Threshold)
				if s.Monitor == "fixed" {
					require.True(t, math.IsNaN(s.Adjusted) && math.IsNaN(s.Rate))
				} else {
					require.GreaterOrEqual(t, s.Adjusted, s.P*(1-1e-15))
				}
				if s.Verdict == score.Drift {
					drift[s.Monitor]++
				}
			}
			require.GreaterOrEqual(t, drift["strict"], 4)
			require.GreaterOrEqual(t, drift["psi"], drift["strict"])
		}
	}
}

// A budget of one false page in thirty days of hourly evaluations is a
// significance of 1/720; with persistence each evaluation may be wrong more often.
func TestBudgets(t *testing.T) {
	t.Parallel()
	rate := func(perDay float64, m profile.Monitor) float64 {
		m.Name, m.Detector = "m", "psi"
		p := wide(t, 1, 1000, "", m)
		scores, err := score.Evaluate(p, score.Sample{Counts: [][]uint64{{20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 0, 0, 0, 0, 0, 0}}}, perDay)
		require.NoError(t, err)
		return scores[0].Rate
	}
	require.InEpsilon(t, 1.0/720, rate(24, profile.Monitor{Threshold: profile.AtMost(1, 30)}), 1e-12)
	require.InEpsilon(t, 2.0/7, rate(1, profile.Monitor{Threshold: profile.AtMost(2, 7)}), 1e-12)
	require.InDelta(t, 0.5, rate(1, profile.Monitor{Threshold: profile.AtMost(5, 1)}), 0, "never more than half")
	// Two in a row: a² = 1/720.
	require.InEpsilon(t, math.Sqrt(1.0/720), rate(24, profile.Monitor{Threshold: profile.AtMost(1, 30), Persistence: profile.Persistence{K: 2, N: 2}}), 1e-12)
	// Two of three: a(1-(1-a)²) = 1/720.
	a := rate(24, profile.Monitor{Threshold: profile.AtMost(1, 30), Persistence: profile.Persistence{K: 2, N: 3}})
	require.InEpsilon(t, 1.0/720, a*(1-(1-a)*(1-a)), 1e-12)
}

// Small samples are judged by draws, and those of many features with as many
// draws as their correction needs.
func TestSmallSamplesOfMany(t *testing.T) {
	t.Parallel()
	p := wide(t, 200, 1000, profile.BenjaminiHochberg)
	random := rand.New(rand.NewPCG(3, 4))
	counts := make([][]uint64, len(p.Features))
	for i := range counts {
		counts[i] = make([]uint64, p.Features[i].Cells())
		for range 60 {
			counts[i][random.IntN(10)]++
		}
	}
	counts[7] = []uint64{40, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	scores, err := score.Evaluate(p, score.Sample{Counts: counts}, 1)
	require.NoError(t, err)
	for i := range scores {
		require.Equal(t, "monte_carlo", scores[i].Method)
		require.Equal(t, i == 7, scores[i].Verdict == score.Drift, "%+v", scores[i])
	}
	require.Less(t, scores[7].P, 0.05/200)
}

func BenchmarkEvaluate(b *testing.B) {
	columns := make([]profile.Column, 200)
	for i := range columns {
		columns[i] = profile.Column{Name: fmt.Sprint(i), Type: profile.Float}
		for k := range 10_000 {
			columns[i].Numbers = append(columns[i].Numbers, float64(k))
		}
	}
	p, err := profile.New(columns, profile.Options{Space: "s", Name: "n"})
	require.NoError(b, err)
	for _, detector := range []string{"psi", "ks", "jensen_shannon", "anderson_darling"} {
		for _, sample := range []int{60, 1000} {
			counts := make([][]uint64, len(p.Features))
			random := rand.New(rand.NewPCG(3, 4))
			for i := range counts {
				counts[i] = make([]uint64, p.Features[i].Cells())
				for range sample {
					counts[i][random.IntN(10)]++
				}
			}
			p.Monitors[0].Detector = detector
			b.Run(fmt.Sprintf("%s/%d", detector, sample), func(b *testing.B) {
				for b.Loop() {
					if _, err := score.Evaluate(p, score.Sample{Counts: counts}, 1); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
