package profile

import (
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"sort"
	"testing"
)

// distributions are the kinds of numbers that features have, and worse.
func distributions(r *rand.Rand) map[string]func() float64 {
	return map[string]func() float64{
		"normal":     func() float64 { return r.NormFloat64()*7 + 5 },
		"skewed":     func() float64 { return math.Exp(3 * r.NormFloat64()) },
		"binary":     func() float64 { return float64(r.IntN(2)) },
		"rating":     func() float64 { return float64(1 + r.IntN(20)) },
		"counts":     func() float64 { return math.Floor(r.ExpFloat64() * 12) },
		"mostly 0":   func() float64 { return max(0, math.Floor(r.NormFloat64()*3)) * r.Float64() },
		"at the top": func() float64 { return min(1, r.Float64()*1.5) },
		"constant":   func() float64 { return 0.1 },
		"any bits":   func() float64 { return math.Float64frombits(r.Uint64()) },
		"denormal":   func() float64 { return math.Float64frombits(r.Uint64N(1 << 40)) },
		"widest":     func() float64 { return (r.Float64()*2 - 1) * math.MaxFloat64 },
		"zeros":      func() float64 { return []float64{0, math.Copysign(0, -1), 1}[r.IntN(3)] },
		"states":     func() float64 { return []float64{math.NaN(), math.Inf(1), math.Inf(-1), 2, 3}[r.IntN(5)] },
		"clustered": func() float64 {
			return []float64{math.Nextafter(1e9, float64(r.IntN(1000))), 1e9 + float64(r.IntN(1000))*1e-6, -1}[r.IntN(3)]
		},
	}
}

// plainFeature is the feature of a column by sorting with comparisons and
// putting every value in its bin.
func plainFeature(c *Column, binning Binning) (Feature, error) {
	f := Feature{Name: c.Name, Kind: Numeric, Type: c.Type}
	f.Baseline.Rows = uint64(c.Len())
	var values []float64
	for row, v := range c.Numbers {
		switch {
		case c.missing(row):
			f.Baseline.Special[Missing]++
		case math.IsNaN(v):
			f.Baseline.Special[NaN]++
		case math.IsInf(v, 1):
			f.Baseline.Special[PosInf]++
		case math.IsInf(v, -1):
			f.Baseline.Special[NegInf]++
		default:
			values = append(values, v+0)
		}
	}
	sort.Float64s(values)
	edges, err := binning.cells(values)
	if err != nil {
		return f, err
	}
	f.Baseline.Min, f.Baseline.Max = values[0], values[len(values)-1]
	f.Baseline.Mean, f.Baseline.StdDev = moments(values)
	lower := math.Inf(-1)
	for i, upper := range append(slices.Clone(edges), math.Inf(1)) {
		f.Bins = append(f.Bins, Bin{ID: i + 1, Lower: lower, Upper: upper})
		lower = upper
	}
	for _, v := range values {
		f.Bins[f.NumberCell(v)].Count++
	}
	f.setProportions(uint64(len(values)))
	return f, nil
}

func TestFeaturesAgreeWithThePlainWay(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	binnings := []Binning{
		{}, {Rule: Quantile, Bins: 7}, {Rule: Manual, Bins: 12}, {Rule: SquareRoot}, {Rule: Sturges}, {Rule: Rice}, {Rule: Doane}, {Rule: Scott},
		{Rule: TerrellScott}, {Rule: FreedmanDiaconis},
	}
	for name, draw := range distributions(r) {
		for _, rows := range []int{1, 2, 21, 1000, radixMin, 20_000} {
			c := Column{Name: name, Type: Float, Numbers: make([]float64, rows)}
			for i := range c.Numbers {
				c.Numbers[i] = draw()
			}
			if rows%2 == 0 {
				c.Missing = make([]bool, rows)
				c.Missing[r.IntN(rows)] = true
			}
			for _, binning := range binnings {
				b, err := NewBuilder([]string{name}, Options{Space: "s", Name: "n", Binning: binning})
				if err != nil {
					t.Fatal(err)
				}
				got, err := b.feature(&c)
				want, wantErr := plainFeature(&c, b.profile.Binning)
				// Held against package exact, which can read them.
				got.Baseline.Median, got.Baseline.Moments, got.Baseline.Deviations, got.Baseline.Subgroups, got.Baseline.Scouter = 0, nil, nil, nil, nil
				if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(got, want) {
					t.Errorf("%d of %s by %v:\n%+v %v, want\n%+v %v", rows, name, binning, got, err, want, wantErr)
				}
			}
		}
	}
}

// Under the default binning no bin is empty whatever repeats, and up to twenty
// distinct values have a bin each.
func TestTiesMakeNoEmptyBins(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 10))
	for name, draw := range distributions(r) {
		for _, rows := range []int{2, 40, 3000} {
			c := Column{Name: name, Type: Float}
			distinct := map[float64]uint64{}
			for range rows {
				v := draw()
				c.Numbers = append(c.Numbers, v)
				if finite(v) {
					distinct[v+0]++
				}
			}
			p, err := New([]Column{c}, Options{Space: "s", Name: "n"})
			if len(distinct) == 0 {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			f := &p.Features[0]
			if len(distinct) == 1 {
				if len(f.Bins) != 3 || f.Bins[1].Proportion != 1 {
					t.Errorf("%d of %s: bins %+v", rows, name, f.Bins)
				}
				continue
			}
			for _, b := range f.Bins {
				if b.Count == 0 {
					t.Errorf("%d of %s: bin (%v, %v] is empty", rows, name, b.Lower, b.Upper)
				}
			}
			if len(distinct) <= fewValues && len(f.Bins) != len(distinct) || len(f.Bins) > fewValues {
				t.Errorf("%d of %s: %d bins of %d distinct values", rows, name, len(f.Bins), len(distinct))
			}
			for v, n := range distinct {
				if len(distinct) <= fewValues && f.Bins[f.NumberCell(v)].Count != n {
					t.Errorf("%d of %s: %v shares its bin", rows, name, v)
				}
			}
		}
	}
}

// A binning that was asked for is not changed, and a constant is told from what
// is not it.
func TestFewValuesAreForTheDefault(t *testing.T) {
	t.Parallel()
	binary := Column{Name: "x", Type: Int, Numbers: []float64{0, 1, 1, 0, 1}}
	for _, c := range []struct {
		binning Binning
		numbers []float64
		want    []float64
	}{
		{Binning{}, binary.Numbers, []float64{0}},
		{Binning{Rule: Quantile, Bins: 4}, binary.Numbers, []float64{0, 1, 1}},
		{Binning{Rule: Manual, Bins: 4}, binary.Numbers, []float64{0.25, 0.5, 0.75}},
		{Binning{}, []float64{5, 5}, []float64{math.Nextafter(5, 0), 5}},
		{Binning{}, []float64{-math.MaxFloat64}, []float64{-math.MaxFloat64}},
		{Binning{}, []float64{math.MaxFloat64}, []float64{math.Nextafter(math.MaxFloat64, 0), math.MaxFloat64}},
	} {
		binary.Numbers = c.numbers
		p, err := New([]Column{binary}, Options{Space: "s", Name: "n", Binning: c.binning})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Features[0].Edges(); !slices.Equal(got, c.want) {
			t.Errorf("edges of %v by %v are %v, want %v", c.numbers, c.binning, got, c.want)
		}
	}
}

// Held against exact fractions: an edge at a whole place is the value there, and
// any other is within two units in the last place.
func TestQuantileEdgesByPlace(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(11, 12))
	whole := 0
	for name, draw := range distributions(r) {
		for range 20 {
			values := make([]float64, 0, 400)
			for range 1 + r.IntN(400) {
				if v := draw(); finite(v) {
					values = append(values, v+0)
				}
			}
			if len(values) == 0 {
				continue
			}
			sort.Float64s(values)
			bins := 2 + r.IntN(30)
			for i, got := range quantileEdges(values, bins) {
				at := (len(values) - 1) * (i + 1)
				low := new(big.Rat).SetFloat64(values[at/bins])
				if at%bins == 0 {
					whole++
					if got != values[at/bins] {
						t.Errorf("%s: edge %d of %d in %d is %v, not the value %v", name, i+1, bins, len(values), got, values[at/bins])
					}
					continue
				}
				step := new(big.Rat).SetFloat64(values[at/bins+1])
				step.Sub(step, low).Mul(step, big.NewRat(int64(at%bins), int64(bins)))
				want, _ := step.Add(step, low).Float64()
				// Rounding is by the size of the two values, which may cancel.
				unit := math.Nextafter(max(math.Abs(values[at/bins]), math.Abs(values[at/bins+1])), math.Inf(1)) -
					max(math.Abs(values[at/bins]), math.Abs(values[at/bins+1]))
				if !(math.Abs(got-want) <= 2*unit) {
					t.Errorf("%s: edge %d of %d in %d is %v, want %v", name, i+1, bins, len(values), got, want)
				}
			}
		}
	}
	if whole < 100 {
		t.Errorf("only %d edges at whole places", whole)
	}
}

// Edges of the wine data as its decimals say them. By t = N·p + (1-p) in floats
// the first three, which are values, were up to 5e-14 off, and those that lie
// between values up to 5e-14.
func TestWineEdges(t *testing.T) {
	t.Parallel()
	file, err := os.Open("../../examples/wine/winequality-red.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	columns, err := ReadCSV(file, CSVOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		column     string
		edge, bins int // 1599 values: 1598 = 2·17·47
		want       float64
	}{
		{"volatile_acidity", 24, 47, 0.53}, {"chlorides", 42, 94, 0.078}, {"free_sulfur_dioxide", 12, 47, 8},
		{"total_sulfur_dioxide", 6, 10, 45.8}, {"total_sulfur_dioxide", 9, 10, 93.2}, {"citric_acid", 3, 10, 0.124}, {"citric_acid", 9, 10, 0.522},
	} {
		i := slices.IndexFunc(columns, func(col Column) bool { return col.Name == c.column })
		sort.Float64s(columns[i].Numbers)
		if got := quantileEdges(columns[i].Numbers, c.bins)[c.edge-1]; got != c.want {
			t.Errorf("edge %d of %d of %s is %.17g, want %v", c.edge, c.bins, c.column, got, c.want)
		}
	}
}

func TestSortFloats(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(13, 14))
	for name, draw := range distributions(r) {
		for _, n := range []int{0, 1, radixMin - 1, radixMin, 30_000} {
			values := make([]float64, 0, n)
			for len(values) < n {
				if v := draw(); finite(v) {
					values = append(values, v+0)
				}
			}
			want := slices.Clone(values)
			sort.Float64s(want)
			if got := sortFloats(values, make([]float64, n)); !slices.Equal(got, want) {
				t.Errorf("%d of %s are not in order", n, name)
			}
		}
	}
}

// The digits that are sorted by say nothing of values that differ far below.
func TestSortFloatsThatDigitsDoNotTellApart(t *testing.T) {
	t.Parallel()
	values := []float64{-1}
	for v := 1.0; len(values) < 50_000; v = math.Nextafter(v, 2) {
		values = append(values, v)
	}
	slices.Reverse(values)
	want := slices.Clone(values)
	sort.Float64s(want)
	if got := sortFloats(values, make([]float64, len(values))); !slices.Equal(got, want) {
		t.Error("not in order")
	}
}

func TestBuilder(t *testing.T) {
	t.Parallel()
	x := Column{Name: "x", Type: Float, Numbers: []float64{1, 2, 3}}
	y := Column{Name: "y", Type: String, Texts: []string{"a", "b", "a"}}
	opts := Options{Space: "s", Name: "n", Features: []string{"y", "x"}}
	b, err := NewBuilder([]string{"x", "z", "y"}, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []Column{x, {Name: "z", Type: "date"}, y} { // z is not looked at
		if err := b.Add(&c); err != nil {
			t.Fatal(err)
		}
	}
	got, err := b.Profile()
	if err != nil {
		t.Fatal(err)
	}
	want, err := New([]Column{x, y}, opts)
	if err != nil || !reflect.DeepEqual(got, want) || got.Features[0].Name != "y" {
		t.Errorf("got %+v, want %+v %v", got, want, err)
	}
	var broken *Error
	if err := b.Add(&Column{Name: "x", Type: Int, Numbers: []float64{1}}); !errors.As(err, &broken) || broken.Rule != "COLUMN_LENGTH" {
		t.Errorf("another length gives %v", err)
	}
	b, _ = NewBuilder([]string{"x", "y"}, opts)
	if err := b.Add(&x); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Profile(); !errors.As(err, &broken) || broken.Rule != "FEATURES" || broken.Column != "y" {
		t.Errorf("a column that never came gives %v", err)
	}
}
