package drift_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/sdk/profile/wire"
	"github.com/driftmesh/driftmesh/services/drift/internal/drifttest"
)

// loan is one decision; in a bad one all that was said is a guess.
type loan struct {
	chance, guess, price float64
	said, came, region   string
}

func decide(r *rand.Rand, bad bool) loan {
	word := func(yes bool) string { return map[bool]string{true: "yes", false: "no"}[yes] }
	l := loan{chance: r.Float64(), price: 100 + 10*r.NormFloat64()}
	l.guess, l.said, l.came = l.price+r.NormFloat64(), word(l.chance > 0.5), word(r.Float64() < l.chance)
	if bad {
		l.guess, l.came = l.price+6*r.NormFloat64(), word(r.Float64() < 0.5)
	}
	return l
}

// ofLoans is a profile of decisions.
func ofLoans(t *testing.T, o profile.Outcome, detectors ...string) *driftv1.Profile {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	chance, guess, price := profile.Column{Name: "chance", Type: profile.Float}, profile.Column{Name: "guess", Type: profile.Float}, profile.Column{Name: "price", Type: profile.Float}
	said, came, region := profile.Column{Name: "said", Type: profile.String}, profile.Column{Name: "came", Type: profile.String}, profile.Column{Name: "region", Type: profile.String}
	for i := range 3000 {
		l := decide(r, false)
		chance.Numbers, guess.Numbers, price.Numbers = append(chance.Numbers, l.chance), append(guess.Numbers, l.guess), append(price.Numbers, l.price)
		said.Texts, came.Texts, region.Texts = append(said.Texts, l.said), append(came.Texts, l.came), append(region.Texts, []string{"eu", "us", "asia"}[i%3])
	}
	var monitors []profile.Monitor
	for _, d := range detectors {
		monitors = append(monitors, profile.Monitor{Name: d, Detector: d})
	}
	p, err := profile.New([]profile.Column{chance, guess, price, said, came, region}, profile.Options{Space: "bank", Name: "loan", Outcome: &o, Monitors: monitors})
	require.NoError(t, err)
	return wire.Message(p)
}

// loans are records of which one region has gone bad, and their labels, which come
// later; of some nothing is known yet.
func loans(first int64) (records, labels []drifttest.Record, all map[string]loan) {
	r := rand.New(rand.NewPCG(3, 4))
	all = map[string]loan{}
	for i := range 2400 {
		l := decide(r, i%3 == 1)
		l.region = []string{"eu", "us", "asia"}[i%3]
		id := fmt.Sprintf("l%04d", i)
		records = append(records, drifttest.Record{
			ID: id, Minute: first + int64(i%10), Hash: r.Uint64(), Trace: true,
			Numbers: []float64{l.chance, l.guess, 0}, Missing: []bool{false, false, true}, Categories: []string{l.said, "", l.region},
		})
		if i%7 == 0 {
			continue
		}
		labels = append(labels, drifttest.Record{
			ID: id, Minute: first + 100, Hash: r.Uint64(), Numbers: []float64{0, 0, l.price}, Missing: []bool{true, true, false}, Categories: []string{"", l.came, ""},
		})
		all[id] = l
	}
	return records, labels, all
}

// What a monitor of predictions found is explained by what it judges: cells are of
// right and wrong predictions, of scores by what became of them, or of sizes of
// errors; each with its share of the shift and with records that are truly in it; and
// the slice where predictions went bad is told of.
func TestExplainPredictions(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	first := noon.Unix()/60 - 20
	classes := profile.Outcome{Target: "came", Prediction: "said", Score: "chance", Positive: "yes"}
	numbers := profile.Outcome{Target: "price", Prediction: "guess"}
	hits := func(l loan) int { return map[bool]int{true: 0, false: 1}[l.said == l.came] }
	for _, c := range []struct {
		outcome profile.Outcome
		cells   map[string]func(f *profile.Profile, l loan) int // by detector; −1 is none
	}{
		{classes, map[string]func(*profile.Profile, loan) int{
			"accuracy": func(_ *profile.Profile, l loan) int { return hits(l) },
			"precision": func(_ *profile.Profile, l loan) int {
				if l.said != "yes" {
					return -1
				}
				return hits(l)
			},
			"recall": func(_ *profile.Profile, l loan) int {
				if l.came != "yes" {
					return -1
				}
				return hits(l)
			},
			"f1": func(_ *profile.Profile, l loan) int {
				return map[string]int{"yesyes": 0, "yesno": 1, "noyes": 2, "nono": -1}[l.said+l.came]
			},
			"auc": func(p *profile.Profile, l loan) int {
				f := &p.Features[p.Feature("chance")]
				return f.NumberCell(l.chance) + map[string]int{"yes": 0, "no": len(f.Bins)}[l.came]
			},
		}},
		{numbers, map[string]func(*profile.Profile, loan) int{
			"mae": func(p *profile.Profile, l loan) int {
				e := max(l.guess-l.price, l.price-l.guess)
				n := 0
				for _, edge := range p.Outcome.Reference.ErrorEdges {
					if edge < e {
						n++
					}
				}
				return n
			},
		}},
	} {
		detectors := []string{}
		for d := range c.cells {
			detectors = append(detectors, d)
		}
		slices.Sort(detectors)
		tenant := "acme-" + c.outcome.Target
		made := create(t, r, tenant, ofLoans(t, c.outcome, detectors...))
		p, err := wire.Profile(made)
		require.NoError(t, err)
		records, labels, all := loans(first)
		require.NoError(t, drifttest.Label(t.Context(), m.db, tenant, uuid.MustParse(made.GetUid()), labels))
		m.store(tenant, made.GetUid(), records)
		for _, detector := range detectors {
			e, err := r.Explain(as(t, tenant), &driftv1.ExplainRequest{Profile: "bank/loan", Feature: c.outcome.Target, Monitor: detector})
			require.NoError(t, err, detector)
			require.Equal(t, detector, e.GetMonitor())
			require.True(t, e.GetMoved(), detector)
			cellOf, want := c.cells[detector], make([]uint64, len(e.GetCells()))
			for _, l := range all {
				if cell := cellOf(p, l); cell >= 0 {
					want[cell]++
				}
			}
			moved, total := 0.0, uint64(0)
			for i, cell := range e.GetCells() {
				require.Equal(t, want[i], cell.GetCount(), "%s: %s", detector, cell.GetLabel())
				require.Len(t, cell.GetExemplars(), int(min(want[i], 4)), "%s: %s", detector, cell.GetLabel())
				for _, x := range cell.GetExemplars() {
					l, known := all[x.GetRecordId()]
					require.True(t, known)
					require.Equal(t, i, cellOf(p, l), "%s: %s is in %s", detector, x.GetRecordId(), cell.GetLabel())
					trace, _ := drifttest.TraceOf(x.GetRecordId())
					require.Equal(t, fmt.Sprintf("%x", trace), x.GetTraceId())
				}
				moved, total = moved+cell.GetContribution(), total+cell.GetCount()
			}
			require.InDelta(t, e.GetShift(), moved, 1e-12)
			require.Positive(t, total)
			found := slices.ContainsFunc(e.GetSlices(), func(s *driftv1.Slice) bool {
				return s.GetFeature() == "region" && s.GetValue() == "us" && s.GetLift() > 1.3
			})
			require.True(t, found, "%s: %v", detector, e.GetSlices())
			require.False(t, slices.ContainsFunc(e.GetSlices(), func(s *driftv1.Slice) bool { return s.GetFeature() == "region" && s.GetValue() != "us" }), detector)
		}
		_, err = r.Explain(as(t, tenant), &driftv1.ExplainRequest{Profile: "bank/loan", Feature: c.outcome.Target, Monitor: "none"})
		require.ErrorContains(t, err, `monitor "none" does not judge feature`)
		first, err := r.Explain(as(t, tenant), &driftv1.ExplainRequest{Profile: "bank/loan", Feature: c.outcome.Target})
		require.NoError(t, err)
		require.Contains(t, detectors, first.GetMonitor())
	}
}
