package window_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/exact"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/drifttest"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
	"github.com/driftmesh/driftmesh/services/drift/internal/window"
)

// loan has a class to predict, a score, and a number to predict; its outcome is
// for the test to choose.
func loan(t *testing.T, o profile.Outcome) *profile.Profile {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	columns := []profile.Column{
		{Name: "chance", Type: profile.Float}, {Name: "paid", Type: profile.String}, {Name: "guess", Type: profile.Float},
		{Name: "said", Type: profile.String}, {Name: "sum", Type: profile.Float},
	}
	for range 300 {
		columns[0].Numbers = append(columns[0].Numbers, random.Float64())
		columns[1].Texts = append(columns[1].Texts, answers[random.IntN(3)])
		columns[2].Numbers = append(columns[2].Numbers, random.NormFloat64())
		columns[3].Texts = append(columns[3].Texts, answers[random.IntN(3)])
		columns[4].Numbers = append(columns[4].Numbers, random.NormFloat64())
	}
	p, err := profile.New(columns, profile.Options{Space: "s", Name: "n", Outcome: &o})
	require.NoError(t, err)
	return p
}

var answers = []string{"it's\\ paid", "late", "never"}

// predictions are records of which some come with their outcome, and labels of
// some of them, several of one record, with the time that decides.
func predictions(n int) (records, labels []record) {
	random := rand.New(rand.NewPCG(7, 8))
	text := func() string {
		if i := random.IntN(5); i < 3 {
			return answers[i]
		}
		return ""
	}
	number := func() float64 {
		return []float64{random.NormFloat64() * 1e3, math.NaN(), math.Inf(1), 1e308, -1e308, 5e-324, random.Float64()}[random.IntN(7)]
	}
	for i := range n {
		r := record{
			ID: fmt.Sprint("r", i), Minute: day + int64(i%3), Hash: random.Uint64(),
			Numbers: []float64{random.Float64(), number(), number()}, Missing: []bool{i%11 == 0, i%13 == 0, i%5 == 0},
			Categories: []string{text(), text()},
		}
		records = append(records, r)
		if i%9 == 0 { // the same record in another minute: one of them is lost
			r.Minute, r.Hash = day+int64((i+1)%3), random.Uint64()
			records = append(records, r)
		}
		for k := range random.IntN(3) {
			labels = append(labels, record{
				ID: r.ID, Minute: day + 100 + int64(k), Hash: random.Uint64(),
				Numbers: []float64{0, 0, number()}, Missing: []bool{true, true, i%4 == 0}, Categories: []string{text(), ""},
			})
		}
	}
	return records, labels
}

// merged are the records with their labels, of which the latest counts.
func merged(records, labels []record) []record {
	latest := map[string]record{}
	for _, l := range labels {
		if old, ok := latest[l.ID]; !ok || l.Minute > old.Minute {
			latest[l.ID] = l
		}
	}
	all := slices.Clone(records)
	for i := range all {
		r := &all[i]
		l, ok := latest[r.ID]
		if !ok {
			continue
		}
		r.Numbers, r.Missing, r.Categories = slices.Clone(r.Numbers), slices.Clone(r.Missing), slices.Clone(r.Categories)
		if l.Categories[0] != "" {
			r.Categories[0] = l.Categories[0]
		}
		if v := l.Numbers[2]; !l.Missing[2] && !math.IsNaN(v) && !math.IsInf(v, 0) {
			r.Numbers[2], r.Missing[2] = v, false
		}
	}
	return all
}

// came computes in Go what should be counted.
func came(p *profile.Profile, records []record) *score.Outcomes {
	winners := map[string]record{}
	for _, r := range records {
		if w, ok := winners[r.ID]; !ok || r.Hash > w.Hash {
			winners[r.ID] = r
		}
	}
	o, f := p.Outcome, &p.Features[0]
	out := &score.Outcomes{Absolute: exact.NewMoments(2), Squared: exact.NewMoments(2)}
	if o.Score != "" {
		out.Positives, out.Negatives = make([]uint64, len(f.Bins)), make([]uint64, len(f.Bins))
	}
	for _, r := range winners {
		if o.Target == "sum" {
			if e := r.Numbers[1] - r.Numbers[2]; !r.Missing[1] && !r.Missing[2] && !math.IsNaN(e*e) && !math.IsInf(e*e, 0) {
				out.Absolute.Add(math.Abs(e))
				out.Squared.Add(e * e)
			}
			continue
		}
		paid, said := r.Categories[0], r.Categories[1]
		if paid == "" {
			continue
		}
		if said != "" && o.Prediction != "" {
			count(out, o.Positive, said, paid)
		}
		if o.Score != "" && !r.Missing[0] {
			if paid == o.Positive {
				out.Positives[f.NumberCell(r.Numbers[0])]++
			} else {
				out.Negatives[f.NumberCell(r.Numbers[0])]++
			}
		}
	}
	return out
}

func count(out *score.Outcomes, positive, said, paid string) {
	if said == paid {
		out.Right++
	} else {
		out.Wrong++
	}
	switch {
	case said == positive && paid == positive:
		out.TruePositive++
	case said == positive:
		out.FalsePositive++
	case paid == positive:
		out.FalseNegative++
	default:
		out.TrueNegative++
	}
}

// Whatever comes first, records or labels, and however often, the outcomes are
// those that one gets by hand.
func TestOutcomes(t *testing.T) {
	for name, o := range map[string]profile.Outcome{
		"classes and a score": {Target: "paid", Prediction: "said", Score: "chance", Positive: answers[0]},
		"classes alike":       {Target: "paid", Prediction: "said"},
		"a score alone":       {Target: "paid", Score: "chance", Positive: "late"},
		"numbers":             {Target: "sum", Prediction: "guess"},
	} {
		t.Run(name, func(t *testing.T) {
			db, p := tables(t), loan(t, o)
			records, labels := predictions(600)
			all := merged(records, labels)
			want := came(p, all)
			require.Equal(t, o.Target == "sum", want.Absolute.N() > 100, "something is compared")
			require.Equal(t, o.Target == "paid" && o.Prediction != "", want.Right > 50 && want.Wrong > 50, "something is compared")
			s := window.New(tenant, uid.String(), p, nil)
			random := rand.New(rand.NewPCG(9, 9))
			minutes := []int64{day, day + 1, day + 2}
			for range 2 {
				random.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
				random.Shuffle(len(labels), func(i, j int) { labels[i], labels[j] = labels[j], labels[i] })
				for _, part := range []int{1, 2} {
					require.NoError(t, drifttest.Label(t.Context(), db, tenant, uid, labels[len(labels)*(part-1)/2:len(labels)*part/2]))
					require.NoError(t, insert(t.Context(), db, tenant, records[len(records)*(part-1)/2:len(records)*part/2]))
					require.NoError(t, recompute(t.Context(), db, s, minutes))
				}
			}
			got, err := store.NewCells(db).Outcomes(t.Context(), store.Range{Tenant: tenant, Profile: uid.String(), Start: day, End: day + 3})
			require.NoError(t, err)
			for i, pair := range [][2]*exact.Moments{{want.Absolute, got.Absolute}, {want.Squared, got.Squared}} {
				require.Equal(t, pair[0].N(), pair[1].N(), i)
				for power := 1; power <= 2; power++ {
					wanted, unit := pair[0].Sum(power).Int()
					sum, same := pair[1].Sum(power).Int()
					require.Equal(t, fmt.Sprint(wanted, unit), fmt.Sprint(sum, same), "moments %d, power %d", i, power)
				}
			}
			want.Absolute, want.Squared, got.Absolute, got.Squared = nil, nil, nil, nil
			require.Len(t, got.Positives, len(want.Positives))
			if o.Score == "" {
				want.Positives, want.Negatives, got.Positives, got.Negatives = nil, nil, nil, nil
			}
			if o.Positive == "" {
				want.TruePositive, want.FalsePositive, want.FalseNegative, want.TrueNegative = 0, 0, 0, 0
				got.TruePositive, got.FalsePositive, got.FalseNegative, got.TrueNegative = 0, 0, 0, 0
			}
			require.Equal(t, want, got)
			require.Equal(t, expected(p, all), cells(t, db), "drift of the target is judged by labels too")
		})
	}
}
