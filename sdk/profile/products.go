package profile

import (
	"fmt"
	"math"
	"math/big"
	"math/bits"
)

const (
	// fraction is how many binary digits of a standardised value are kept.
	fraction = 32
	// farthest is the greatest standardised value, in units: 65,536 standard
	// deviations. Products of two then leave room for 2^31 rows of such values.
	farthest = 1 << (16 + fraction)
)

// Scale turns the values of a feature into whole numbers: the distance from the
// reference's mean in its standard deviations, in units of 2^-32, and at most 65,536
// of them. It is the same to the last digit on every machine.
type Scale struct{ center, unit float64 }

// Scale is that of a numeric feature. Of one that is constant in the reference the
// unit is the last digit of its value, so that any other can be told.
func (f *Feature) Scale() Scale {
	b := &f.Baseline
	s := Scale{b.Mean, math.Ldexp(b.StdDev, -fraction)}
	if !finite(s.center) {
		s.center = 0
	}
	if !(s.unit > 0) || !finite(s.unit) {
		s.unit = math.Ldexp(math.Abs(s.center), -52)
	}
	if !(s.unit > 0) || !finite(s.unit) {
		s.unit = math.Ldexp(1, -fraction)
	}
	return s
}

// Value is a finite number in whole units; it is not ok for others.
func (s Scale) Value(x float64) (units int64, ok bool) {
	if !finite(x) {
		return 0, false
	}
	// A difference and a quotient: nothing that a compiler may fuse.
	return int64(math.RoundToEven(min(max((x-s.center)/s.unit, -farthest), farthest))), true
}

// Int128 is an integer of 128 bits in two's complement.
type Int128 struct {
	Low  uint64
	High int64
}

func (n *Int128) add(o Int128) {
	var carry uint64
	n.Low, carry = bits.Add64(n.Low, o.Low, 0)
	n.High += o.High + int64(carry) //nolint:gosec // 0 or 1
}

func product(x, y int64) Int128 {
	high, low := bits.Mul64(uint64(x), uint64(y)) //nolint:gosec // as bits
	// What a negative factor, read without its sign, has too much: 2^64 times the other.
	return Int128{low, int64(high) - x>>63&y - y>>63&x} //nolint:gosec // as bits
}

func whole(x int64) Int128 { return Int128{uint64(x), x >> 63} } //nolint:gosec // as bits

func (n Int128) big() *big.Int {
	b := new(big.Int).Lsh(big.NewInt(n.High), 64)
	return b.Add(b, new(big.Int).SetUint64(n.Low))
}

// Products are the sums of standardised values of several features over complete
// rows, and of the products of every two: what means and covariances are made of.
// They are exact, so that they do not depend on the order of rows, nor on how these
// are parted. Reading them is safe from many goroutines.
type Products struct {
	// Rows are complete; the rest lacks a finite value of one feature at least.
	Rows, Incomplete uint64
	// Sums are those of the values of each feature, in units, and then those of the
	// products of the first with itself and each after it, of the second, and so on.
	Sums   []Int128
	scales []Scale
	row    []int64
}

// NewProducts are those of no rows of the features of a group of p.
func NewProducts(p *Profile, g *Group) *Products {
	n := len(g.Features)
	made := &Products{Sums: make([]Int128, ProductSums(n)), scales: make([]Scale, n), row: make([]int64, n)}
	for i, name := range g.Features {
		made.scales[i] = p.Features[p.Feature(name)].Scale()
	}
	return made
}

// Like are those of no rows of the same features.
func (s *Products) Like() *Products {
	return &Products{Sums: make([]Int128, len(s.Sums)), scales: s.scales, row: make([]int64, len(s.row))}
}

// ProductSums is how many sums there are of so many features.
func ProductSums(features int) int { return features + features*(features+1)/2 }

// Add adds a row: a value of each feature, NaN where there is none.
func (s *Products) Add(values []float64) {
	for i, x := range values {
		units, ok := s.scales[i].Value(x)
		if !ok {
			s.Incomplete++
			return
		}
		s.row[i] = units
	}
	s.Rows++
	at := len(s.row)
	for i, x := range s.row {
		s.Sums[i].add(whole(x))
		for _, y := range s.row[i:] {
			s.Sums[at].add(product(x, y))
			at++
		}
	}
}

// Merge adds the rows of others of the same group.
func (s *Products) Merge(o *Products) {
	s.Rows += o.Rows
	s.Incomplete += o.Incomplete
	for i := range s.Sums {
		s.Sums[i].add(o.Sums[i])
	}
}

// Take makes s that of so many rows, with sums that somebody added up. It fails
// where they are not as many as there must be, or too large.
func (s *Products) Take(rows, incomplete uint64, sums []*big.Int) error {
	if len(sums) != len(s.Sums) {
		return &Error{Rule: "GROUP", Detail: fmt.Sprintf("%d sums of products where there are %d", len(sums), len(s.Sums))}
	}
	for i, n := range sums {
		high := new(big.Int).Rsh(n, 64)
		if !high.IsInt64() {
			return &Error{Rule: "GROUP", Detail: "a sum of products has more than 128 bits"}
		}
		s.Sums[i] = Int128{new(big.Int).Sub(n, new(big.Int).Lsh(high, 64)).Uint64(), high.Int64()}
	}
	s.Rows, s.Incomplete = rows, incomplete
	return nil
}

// Moments are the means of the features and, in the order of Sums, their covariances
// (population), in standard deviations of the reference, each rounded once. Without
// rows they are 0.
func (s *Products) Moments() (means, covariances []float64) {
	p := len(s.row)
	means, covariances = make([]float64, p), make([]float64, len(s.Sums)-p)
	if s.Rows == 0 {
		return means, covariances
	}
	n := new(big.Int).SetUint64(s.Rows)
	square := new(big.Int).Mul(n, n)
	sums := make([]*big.Int, p)
	for i := range sums {
		sums[i] = s.Sums[i].big()
		means[i] = ratio(sums[i], n, fraction)
	}
	at := 0
	for i := range p {
		for j := i; j < p; j++ {
			c := new(big.Int).Mul(n, s.Sums[p+at].big())
			covariances[at] = ratio(c.Sub(c, new(big.Int).Mul(sums[i], sums[j])), square, 2*fraction)
			at++
		}
	}
	return means, covariances
}

// ratio is a/b·2^-shift, rounded once.
func ratio(a, b *big.Int, shift uint) float64 {
	v, _ := new(big.Rat).SetFrac(a, new(big.Int).Lsh(b, shift)).Float64()
	return v
}
