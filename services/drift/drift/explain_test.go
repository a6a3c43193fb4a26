package drift_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
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

// shopProfile is of amounts, app versions, regions and sizes that have nothing to
// do with one another.
func shopProfile(t *testing.T) *driftv1.Profile {
	t.Helper()
	random := rand.New(rand.NewPCG(3, 4))
	columns := []profile.Column{
		{Name: "amount", Type: profile.Float}, {Name: "version", Type: profile.String}, {Name: "region", Type: profile.String}, {Name: "size", Type: profile.Float},
	}
	for range 2000 {
		columns[0].Numbers = append(columns[0].Numbers, random.NormFloat64())
		columns[1].Texts = append(columns[1].Texts, []string{"1.0", "2.0"}[random.IntN(2)])
		columns[2].Texts = append(columns[2].Texts, []string{"asia", "eu", "us"}[random.IntN(3)])
		columns[3].Numbers = append(columns[3].Numbers, random.Float64())
	}
	p, err := profile.New(columns, profile.Options{Space: "shop", Name: "orders", Monitors: []profile.Monitor{{Name: "shape", Detector: "psi"}}})
	require.NoError(t, err)
	m := wire.Message(p)
	m.Active = true
	return m
}

// orders are records of the shop, of which those of a new version have amounts of
// their own; the last few have odd amounts.
func orders(first int64, newVersion func(amount float64) float64) []drifttest.Record {
	random := rand.New(rand.NewPCG(5, 6))
	var records []drifttest.Record
	for i := range 3000 {
		r := drifttest.Record{
			ID: fmt.Sprintf("o%04d", i), Minute: first + int64(i%10), Hash: random.Uint64(), Trace: true,
			Numbers:    []float64{random.NormFloat64(), random.Float64()},
			Categories: []string{[]string{"1.0", "2.0", "3.0-beta"}[min(random.IntN(6)/2, 2)], []string{"asia", "eu", "us", ""}[min(random.IntN(40)/13, 3)]},
			Missing:    []bool{false, false},
		}
		if r.Categories[0] == "3.0-beta" {
			r.Numbers[0] = newVersion(r.Numbers[0])
		}
		switch i % 500 {
		case 1:
			r.Numbers[0] = math.NaN()
		case 2:
			r.Numbers[0] = math.Inf(1)
		case 3:
			r.Numbers[0] = math.Inf(-1)
		case 4:
			r.Missing[0] = true
		}
		records = append(records, r)
	}
	return records
}

// The slice that carries the shift, a category that the reference never saw, ranks
// first, with its numbers; a shift of all is nobody's, and without a shift there is
// nothing to explain.
func TestExplain(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	p := create(t, r, "acme", shopProfile(t))
	records := orders(noon.Unix()/60-20, func(v float64) float64 { return v + 2 })
	m.store("acme", p.GetUid(), records)
	// One record that came before, in another minute and with another value, is none.
	lost := records[0]
	lost.Minute, lost.Hash, lost.Numbers = lost.Minute+3, 0, []float64{50, 0.5}
	records[0].Hash = math.MaxUint64
	m.store("acme", p.GetUid(), []drifttest.Record{lost, records[0]})
	_, err := r.Evaluate(as(t, "acme"), &driftv1.EvaluateRequest{Profile: p.GetUid(), Alert: true})
	require.NoError(t, err)
	open := r.alerts("acme", true)
	require.NotEmpty(t, open)

	e, err := r.Explain(as(t, "acme"), &driftv1.ExplainRequest{Profile: "shop/orders", Feature: "amount"})
	require.NoError(t, err)
	require.True(t, e.GetMoved())
	require.EqualValues(t, 3000, e.GetRecords())
	require.Len(t, e.GetScores(), 1)
	require.NotEmpty(t, e.GetSlices())
	top := e.GetSlices()[0]
	require.Equal(t, "version", top.GetFeature())
	require.Equal(t, "3.0-beta", top.GetValue())
	require.True(t, top.GetUnseen())
	beta := uint64(0)
	for i := range records {
		if records[i].Categories[0] == "3.0-beta" {
			beta++
		}
	}
	require.Equal(t, beta, top.GetRecords())
	require.InDelta(t, float64(beta)/3000, top.GetShare(), 1e-12)
	require.Greater(t, top.GetShiftShare(), 0.7)
	require.InDelta(t, top.GetShiftShare()/top.GetShare(), top.GetLift(), 1e-9)
	require.Less(t, top.GetAdjustedPValue(), 1e-20)
	require.GreaterOrEqual(t, e.GetTried(), uint32(15))
	for _, s := range e.GetSlices() {
		require.Equal(t, "version", s.GetFeature(), "the others have nothing to do with it")
	}

	// The cells are those of the profile's own arithmetic, odd values included.
	of, err := wire.Profile(p)
	require.NoError(t, err)
	amount := &of.Features[0]
	want := make([]uint64, amount.Cells())
	for i := range records {
		cell := amount.NumberCell(records[i].Numbers[0])
		if records[i].Missing[0] {
			cell = amount.SpecialCell(profile.Missing)
		}
		want[cell]++
	}
	for i, c := range e.GetCells() {
		require.Equal(t, want[i], c.GetCount(), c.GetLabel())
	}

	byAlert, err := r.Explain(as(t, "acme"), &driftv1.ExplainRequest{Alert: open[0].GetId(), Feature: "amount", Limit: 1})
	require.NoError(t, err)
	require.Len(t, byAlert.GetSlices(), 1)
	require.Equal(t, "3.0-beta", byAlert.GetSlices()[0].GetValue())
	// The other way around: the new category is what moved, and amounts carry it.
	e, err = r.Explain(as(t, "acme"), &driftv1.ExplainRequest{Profile: "shop/orders", Feature: "version"})
	require.NoError(t, err)
	require.Equal(t, "amount", e.GetSlices()[0].GetFeature())

	e, err = r.Explain(as(t, "acme"), &driftv1.ExplainRequest{Profile: "shop/orders", Feature: "size"})
	require.NoError(t, err)
	require.False(t, e.GetMoved())
	require.Empty(t, e.GetSlices())
	require.Len(t, e.GetCells(), len(p.GetFeatures()[3].GetCounts())+profile.Specials)

	for want, req := range map[string]*driftv1.ExplainRequest{
		"has no feature":      {Profile: "shop/orders", Feature: "none"},
		"there is no profile": {Profile: "shop/none", Feature: "size"},
		"there is no alert":   {Alert: "none"},
		"longer than 31 days": {Profile: "shop/orders", Feature: "size", StartTime: timestamppb.New(noon.Add(-32 * 24 * time.Hour))},
	} {
		_, err := r.Explain(as(t, "acme"), req)
		require.ErrorContains(t, err, want)
	}
	_, err = r.Explain(as(t, "other"), &driftv1.ExplainRequest{Alert: open[0].GetId()})
	require.ErrorIs(t, err, fault.NotFound)
}

// Exemplars are truly in their bins, in those that gained and in those that lost,
// and are the records that count.
func TestExemplarsAreInTheirBins(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	p := create(t, r, "acme", shopProfile(t))
	records := orders(noon.Unix()/60-20, func(v float64) float64 { return v + 2 })
	m.store("acme", p.GetUid(), records)
	e, err := r.Evaluate(as(t, "acme"), &driftv1.EvaluateRequest{Profile: p.GetUid()})
	require.NoError(t, err)
	values := map[string]drifttest.Record{}
	for _, x := range records {
		values[x.ID] = x
	}
	of, err := wire.Profile(p)
	require.NoError(t, err)
	amount := &of.Features[0]
	gained, lost, seen := 0, 0, 0
	for _, s := range e.GetEvaluation().GetScores() {
		if s.GetFeature() != "amount" {
			continue
		}
		for cell, b := range slices.Concat(s.GetBins(), s.GetStates()) {
			require.Len(t, b.GetExemplars(), int(min(b.GetCount(), 4)), "%s of %d", b.GetLabel(), b.GetCount())
			for _, x := range b.GetExemplars() {
				record, ok := values[x.GetRecordId()]
				require.True(t, ok)
				in := amount.NumberCell(record.Numbers[0])
				if record.Missing[0] {
					in = amount.SpecialCell(profile.Missing)
				}
				require.Equal(t, cell, in, "%s is in %s", strconv.FormatFloat(record.Numbers[0], 'g', -1, 64), b.GetLabel())
				trace, _ := drifttest.TraceOf(x.GetRecordId())
				require.Equal(t, fmt.Sprintf("%x", trace), x.GetTraceId())
				seen++
			}
			if len(b.GetExemplars()) > 0 && b.GetObserved() > b.GetExpected() {
				gained++
			} else if len(b.GetExemplars()) > 0 {
				lost++
			}
		}
	}
	require.Positive(t, gained)
	require.Positive(t, lost)
	require.Greater(t, seen, 40)
}
