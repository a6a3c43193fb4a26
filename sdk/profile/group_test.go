package profile

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// three are columns of three numbers of which the third follows from the others,
// with holes, and a category.
func three(rows int) []Column {
	r := rand.New(rand.NewPCG(1, 2))
	c := []Column{
		{Name: "a", Type: Float, Missing: make([]bool, rows)}, {Name: "b", Type: Float}, {Name: "c", Type: Float}, {Name: "kind", Type: String},
	}
	for row := range rows {
		a, b := 1e6+r.NormFloat64(), math.Exp(r.NormFloat64())
		c[0].Numbers, c[1].Numbers, c[2].Numbers = append(c[0].Numbers, a), append(c[1].Numbers, b), append(c[2].Numbers, a-3*b)
		c[3].Texts = append(c[3].Texts, "x")
		switch row % 50 {
		case 7:
			c[0].Missing[row] = true
		case 9:
			c[1].Numbers[row] = math.Inf(1)
		}
	}
	return c
}

// joined has monitors of a detector of several features.
func joined(features ...string) Options {
	return Options{Space: "s", Name: "n", Monitors: []Monitor{{Name: "m", Detector: HotellingDetector, Features: features}}}
}

// Sums are integers: they are those of big ones, in any order and however parted.
func TestProductsAreExact(t *testing.T) {
	t.Parallel()
	p, err := New(three(500), joined())
	require.NoError(t, err)
	g := &p.Groups[0]
	require.Equal(t, []string{"a", "b", "c"}, g.Features)
	r := rand.New(rand.NewPCG(3, 4))
	var rows [][]float64
	for range 400 {
		row := make([]float64, 3)
		for i := range row {
			row[i] = p.Features[i].Baseline.Mean + p.Features[i].Baseline.StdDev*r.NormFloat64()*math.Exp(5*r.NormFloat64())
		}
		rows = append(rows, row)
	}
	rows = append(rows, []float64{math.MaxFloat64, -math.MaxFloat64, 0}, []float64{1, math.NaN(), 2}, []float64{math.Inf(1), 1, 2}, []float64{5e-324, math.Copysign(0, -1), 1})
	one, parts := NewProducts(p, g), []*Products{NewProducts(p, g), NewProducts(p, g)}
	want := make([]*big.Int, ProductSums(3))
	for i := range want {
		want[i] = new(big.Int)
	}
	for _, row := range rows {
		one.Add(row)
		units := make([]int64, 3)
		whole := true
		for i, x := range row {
			var ok bool
			units[i], ok = p.Features[i].Scale().Value(x)
			require.LessOrEqual(t, max(units[i], -units[i]), int64(1)<<48)
			whole = whole && ok
		}
		for i := range 3 {
			if !whole {
				continue
			}
			want[i].Add(want[i], big.NewInt(units[i]))
			at := 3
			for k := range 3 {
				for l := k; l < 3; l++ {
					if i == 0 {
						want[at].Add(want[at], new(big.Int).Mul(big.NewInt(units[k]), big.NewInt(units[l])))
					}
					at++
				}
			}
		}
	}
	r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	for i, row := range rows {
		parts[i%2].Add(row)
	}
	parts[0].Merge(parts[1])
	require.Equal(t, one.Sums, parts[0].Sums)
	require.Equal(t, [4]uint64{402, 2, 402, 2}, [4]uint64{one.Rows, one.Incomplete, parts[0].Rows, parts[0].Incomplete})
	for i := range want {
		require.Zero(t, want[i].Cmp(one.Sums[i].big()), "sum %d", i)
	}
	again := NewProducts(p, g)
	require.NoError(t, again.Take(one.Rows, one.Incomplete, want))
	require.Equal(t, one.Sums, again.Sums)
	require.Error(t, again.Take(1, 0, want[1:]))
	want[3] = new(big.Int).Lsh(big.NewInt(1), 127)
	require.Error(t, again.Take(1, 0, want))
	means, covariances := again.Like().Moments()
	require.Equal(t, [2]int{3, 6}, [2]int{len(means), len(covariances)})
}

// A constant is measured in its last digit: any other value is told.
func TestScaleOfConstants(t *testing.T) {
	t.Parallel()
	for _, constant := range []float64{7, -1e300, 0, 5e-324} {
		f := &Feature{Baseline: Baseline{Mean: constant}}
		same, ok := f.Scale().Value(constant)
		require.True(t, ok)
		require.Zero(t, same)
		other, ok := f.Scale().Value(math.Nextafter(constant, 8))
		require.True(t, ok)
		require.Equal(t, constant != 0 && math.Abs(constant) > 1e-300, other != 0, "%v: %d", constant, other)
		far, _ := f.Scale().Value(constant + 1)
		require.Equal(t, math.Abs(constant) < 1e300, far != 0, constant)
	}
	_, ok := (&Feature{Baseline: Baseline{Mean: math.Inf(1), StdDev: math.NaN()}}).Scale().Value(1)
	require.True(t, ok)
}

// The components leave nothing of what follows from others, and the group is the
// same whatever the order of features that are asked for.
func TestGroup(t *testing.T) {
	t.Parallel()
	columns := three(5000)
	p, err := New(columns, joined("c", "a", "b"))
	require.NoError(t, err)
	g := p.Groups[0]
	require.Equal(t, []string{"a", "b", "c"}, g.Features)
	require.Equal(t, [2]uint64{4800, 200}, [2]uint64{g.Rows, g.Incomplete})
	require.NoError(t, p.Validate())
	require.Equal(t, 0, p.Group(&p.Monitors[0]))
	require.Len(t, g.Components, 2)
	require.InDelta(t, 2400, float64(g.Residual.Number), 200, "about half of the rows")
	require.Less(t, g.Residual.Mean, .01)

	raw, err := p.MarshalJSON()
	require.NoError(t, err)
	back, err := Parse(raw)
	require.NoError(t, err)
	require.Equal(t, p.Groups, back.Groups)

	opts := joined()
	opts.Monitors[0].Detector = PCADetector
	opts.Monitors = append(opts.Monitors, Monitor{Name: "too", Detector: HotellingDetector}, Monitor{Name: "two", Detector: HotellingDetector, Features: []string{"b", "a"}})
	p, err = New(columns, opts)
	require.NoError(t, err)
	require.Len(t, p.Groups, 2, "one for each set of features")
	require.Equal(t, g, p.Groups[0])
	require.Equal(t, "a, b", p.Groups[1].Name())
	require.False(t, p.Monitors[0].Watches("a"), "none by itself")

	// What came true comes later, so it is in no group that nobody asked for.
	opts.Outcome = &Outcome{Target: "c", Prediction: "a"}
	p, err = New(columns, opts)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, p.Groups[0].Features)
}

func TestGroupsThatAreNone(t *testing.T) {
	t.Parallel()
	wide := make([]Column, 40)
	for i := range wide {
		wide[i] = Column{Name: string(rune('A' + i)), Type: Int, Numbers: []float64{1, 2, 3}}
	}
	many := joined("A", "B")
	for i := range 5 {
		many.Monitors = append(many.Monitors, Monitor{Name: "m" + wide[i].Name, Detector: PCADetector, Features: []string{wide[i].Name, "Z"}})
	}
	for want, make := range map[string]func() (*Profile, error){
		`monitor "m": feature "kind" is a category, and hotelling judges numbers`: func() (*Profile, error) { return New(three(9), joined("a", "kind")) },
		`judges 2 to 32 numbers together, and these are 1`:                        func() (*Profile, error) { return New(three(9), joined("a")) },
		`and these are 40: name those that belong together`:                       func() (*Profile, error) { return New(wide, joined()) },
		`more than 4 different sets of features`:                                  func() (*Profile, error) { return New(wide, many) },
	} {
		_, err := make()
		require.ErrorContains(t, err, want)
	}
	p, err := New(three(100), joined())
	require.NoError(t, err)
	for want, spoil := range map[string]func(g *Group){
		"out of its order":                func(g *Group) { g.Features = []string{"b", "a", "c"} },
		"1; 2 to 32 are allowed":          func(g *Group) { g.Features = []string{"b"} },
		"2 means":                         func(g *Group) { g.Means = g.Means[1:] },
		"a standard deviation -1":         func(g *Group) { g.Residual.StdDev = -1 },
		"no unit vectors":                 func(g *Group) { g.Components = [][]float64{{1, 1, 1}} },
		"all finite":                      func(g *Group) { g.Covariances = append([]float64{math.NaN()}, g.Covariances[1:]...) },
		"right angles":                    func(g *Group) { g.Components = [][]float64{{1, 0, 0}, {1, 0, 0}} },
		"is no number of the prof":        func(g *Group) { g.Features = []string{"a", "kind"} },
		"5 groups of features; at most 4": func(*Group) {},
	} {
		bad := *p
		bad.Groups = []Group{p.Groups[0]}
		spoil(&bad.Groups[0])
		if strings.HasPrefix(want, "5") {
			bad.Groups = slices.Repeat(bad.Groups, 5)
		}
		require.ErrorContains(t, bad.Validate(), want)
	}
}

// However many rows there are, a bounded number of values is kept: the same rows of
// every column.
func TestRowsOfGroupsAreDrawn(t *testing.T) {
	t.Parallel()
	k := NewRows([]Monitor{{Detector: PCADetector}, {Detector: HotellingDetector}, {Detector: PCADetector}, {Detector: PCADetector}})
	c := Column{Name: "a", Type: Float, Numbers: make([]float64, 300_000)}
	for i := range c.Numbers {
		c.Numbers[i] = float64(i)
	}
	k.Keep(&c)
	c.Name = "b"
	k.Keep(&c)
	rows, odd := 0, 0
	k.Each([]string{"a", "b", "c"}, func(row int, values []float64) {
		require.Equal(t, [2]float64{float64(row), float64(row)}, [2]float64(values[:2]))
		require.True(t, math.IsNaN(values[2]))
		rows, odd = rows+1, odd+row%2
	})
	require.InDelta(t, mostKept/mostColumns, rows, 2000)
	require.InDelta(t, .5, float64(odd)/float64(rows), .01)
}

// The eigenvectors are those that they say they are.
func TestEigen(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{1, 2, 3, 10, 32} {
		root := make([][]float64, n)
		for i := range root {
			root[i] = make([]float64, n)
			for k := range root[i] {
				root[i][k] = r.NormFloat64()
			}
		}
		var triangle []float64
		full := make([][]float64, n)
		for i := range n {
			for j := range n {
				full[i] = append(full[i], dot(root[i], root[j]))
				if j >= i {
					triangle = append(triangle, full[i][j])
				}
			}
		}
		values, vectors := eigen(n, triangle)
		for k, v := range vectors {
			for i := range n {
				require.InDelta(t, values[k]*v[i], dot(full[i], v), 1e-12*float64(n*n))
			}
			require.InDelta(t, 1, dot(v, v), 1e-13)
		}
	}
}

func BenchmarkProducts(b *testing.B) {
	columns, row := make([]Column, MaxTogether), make([]float64, MaxTogether)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range columns {
		columns[i] = Column{Name: string(rune('A' + i)), Type: Float, Numbers: []float64{1, 2, 4, 3}}
		row[i] = r.NormFloat64()
	}
	p, err := New(columns, joined())
	require.NoError(b, err)
	s := NewProducts(p, &p.Groups[0])
	for b.Loop() {
		s.Add(row)
	}
}
