package profile_test

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Whole floats make the categories that the same ints make, with NaN for missing;
// and each value has the place among the bins in which it was counted.
func TestWholeFloatsAreCategories(t *testing.T) {
	t.Parallel()
	opts := profile.Options{Space: "s", Name: "n", Categories: []string{"x"}}
	floats := profile.Column{Name: "x", Type: profile.Float, Numbers: []float64{3, 1, math.NaN(), 3, 0}, Missing: []bool{false, false, false, false, true}}
	ints := profile.Column{Name: "x", Type: profile.Int, Numbers: []float64{3, 1, 0, 3, 0}, Missing: []bool{false, false, true, false, true}}
	fromFloats, err := profile.New([]profile.Column{floats}, opts)
	if err != nil {
		t.Fatal(err)
	}
	fromInts, err := profile.New([]profile.Column{ints}, opts)
	if err != nil {
		t.Fatal(err)
	}
	f := fromFloats.Features[0]
	if f.Type != profile.Int || !slices.Equal(f.Bins, fromInts.Features[0].Bins) || !reflect.DeepEqual(f.Baseline, fromInts.Features[0].Baseline) {
		t.Errorf("floats give %+v, ints %+v", f, fromInts.Features[0])
	}
	for _, c := range []profile.Column{floats, ints} {
		p, err := profile.NewPlacer(&f, &c)
		if err != nil {
			t.Fatal(err)
		}
		for row, want := range []int{1, 0, f.SpecialCell(profile.Missing), 1, f.SpecialCell(profile.Missing)} {
			if got, err := p.Place(row); err != nil || got != want {
				t.Errorf("row %d is at %d (%v), want %d", row, got, err, want)
			}
		}
	}
	other := profile.Column{Name: "x", Type: profile.Float, Numbers: []float64{7, 0.5, math.Inf(1)}}
	p, err := profile.NewPlacer(&f, &other)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := p.Place(0); got != f.SpecialCell(profile.Other) {
		t.Errorf("an unknown category is at %d", got)
	}
	for _, row := range []int{1, 2} {
		var broken *profile.Error
		if _, err := p.Place(row); !errors.As(err, &broken) || broken.Row != row+1 || broken.Rule != "CELL_TYPE" {
			t.Errorf("row %d: %v", row, err)
		}
	}
	if _, err := profile.NewPlacer(&f, &profile.Column{Name: "x", Type: profile.String}); err == nil {
		t.Error("texts have a place among whole numbers")
	}
}
