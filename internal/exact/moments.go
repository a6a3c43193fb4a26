package exact

import (
	"math"
	"math/big"
)

// Moments is the count of a sample and the exact sums of its powers, up to the
// order it was made for. The zero Moments is of order 1 and empty. It must not
// be copied after use. Reading it, and merging it into another, is safe while
// nothing is added to it.
type Moments struct {
	n    uint64
	sums [MaxOrder]Sum // sums[i] is of order i+1
	more int           // order − 1
}

// NewMoments returns empty moments with sums of the powers up to order, which is
// held between 1 and MaxOrder: 1 gives a mean, 2 a variance too, 3 skewness, 4
// kurtosis.
func NewMoments(order int) *Moments {
	m := &Moments{more: min(max(order, 1), MaxOrder) - 1}
	for i := range m.sums {
		m.sums[i].extra = i
	}
	return m
}

// Of returns the moments of values, without those that are not finite.
func Of(order int, values ...float64) *Moments {
	m := NewMoments(order)
	for _, x := range values {
		m.Add(x)
	}
	return m
}

// Order is the greatest power that is summed.
func (m *Moments) Order() int { return m.more + 1 }

// N is the number of values.
func (m *Moments) N() uint64 { return m.n }

// Sum returns the sum of a power, between 1 and the order. It belongs to m.
func (m *Moments) Sum(power int) *Sum { return &m.sums[power-1] }

// Add adds a value. It returns false and adds nothing when x is infinite or not
// a number.
func (m *Moments) Add(x float64) bool {
	if !m.sums[0].Add(x) {
		return false
	}
	for i := 1; i <= m.more; i++ {
		m.sums[i].Add(x)
	}
	m.n++
	return true
}

// AddTimes adds a value so many times.
func (m *Moments) AddTimes(x float64, times uint64) bool {
	one := NewMoments(m.Order())
	if !one.Add(x) {
		return false
	}
	many := new(big.Int).SetUint64(times)
	for i := range m.Order() {
		n, exponent := one.sums[i].Int()
		m.sums[i].addInt(n.Mul(n, many), (exponent+unit*(i+1))/digitBits)
	}
	m.n += times
	return true
}

// AddBucket adds what a database has summed of one bucket: n values, and the
// sums of their powers in units of 2^(power·(32·bucket − 1074)), as many as the
// order.
func (m *Moments) AddBucket(bucket int, n uint64, powers ...*big.Int) error {
	if len(powers) != m.Order() {
		return ErrOrder
	}
	for i, p := range powers {
		if err := m.sums[i].AddBucket(bucket*(i+1), p); err != nil {
			return err
		}
	}
	m.n += n
	return nil
}

// Merge adds the values of other moments of the same order.
func (m *Moments) Merge(o *Moments) error {
	if m.more != o.more {
		return ErrOrder
	}
	for i := range m.Order() {
		if err := m.sums[i].Merge(&o.sums[i]); err != nil {
			return err
		}
	}
	m.n += o.n
	return nil
}

// Mean is the mean, rounded once.
func (m *Moments) Mean() (float64, error) {
	if m.n == 0 {
		return 0, ErrEmpty
	}
	n, exponent := m.sums[0].Int()
	return ratio(n, m.count(), exponent)
}

// Variance is the variance of the sample (divided by n − 1), rounded once.
func (m *Moments) Variance() (float64, error) {
	if m.n < 2 || m.more < 1 {
		return 0, ErrEmpty
	}
	c, exponent := m.centred(2)
	return ratio(c, m.pairs(), exponent)
}

// StdDev is the square root of the variance. Unlike that it is there for all
// finite values, however large or small.
func (m *Moments) StdDev() (float64, error) {
	if m.n < 2 || m.more < 1 {
		return 0, ErrEmpty
	}
	c, exponent := m.centred(2)
	return root(c, m.pairs(), exponent)
}

// Summary is the mean and the standard deviation of the sample: 0 where there are
// too few values, and cut off at what a float64 holds.
func (m *Moments) Summary() (mean, sd float64) {
	mean, _ = m.Mean() // 0 without values
	if m.n < 2 {
		return mean, 0
	}
	sd, err := m.StdDev()
	if err != nil {
		sd = math.MaxFloat64
	}
	return mean, sd
}

// Constant says that all values are the same.
func (m *Moments) Constant() bool {
	if m.more < 1 {
		return false
	}
	c, _ := m.centred(2)
	return c.Sign() == 0
}

// Skewness is m3/m2^1.5 of the population moments.
func (m *Moments) Skewness() (float64, error) {
	if m.more < 2 || m.Constant() {
		return 0, ErrEmpty
	}
	c2, _ := m.centred(2)
	c3, _ := m.centred(3)
	square, err := ratio(new(big.Int).Mul(c3, c3), power(c2, 3), 0)
	return math.Copysign(math.Sqrt(square), float64(c3.Sign())), err
}

// Kurtosis is m4/m2² of the population moments: 3 for a normal distribution.
func (m *Moments) Kurtosis() (float64, error) {
	if m.more < 3 || m.Constant() {
		return 0, ErrEmpty
	}
	c2, _ := m.centred(2)
	c4, _ := m.centred(4)
	return ratio(c4, power(c2, 2), 0)
}

// Difference is the mean of b less that of a, rounded once.
func Difference(a, b *Moments) (float64, error) {
	if a.n == 0 || b.n == 0 {
		return 0, ErrEmpty
	}
	x, y := a.raw(1), b.raw(1)
	na, nb := a.count(), b.count()
	d := new(big.Int).Sub(y.Mul(y, na), x.Mul(x, nb))
	return ratio(d, na.Mul(na, nb), -unit)
}

func (m *Moments) count() *big.Int { return new(big.Int).SetUint64(m.n) }

// pairs is n·(n−1).
func (m *Moments) pairs() *big.Int {
	return new(big.Int).Mul(m.count(), new(big.Int).SetUint64(m.n-1))
}

// raw is the sum of a power in units of 2^(−1074·power).
func (m *Moments) raw(power int) *big.Int {
	n, exponent := m.sums[power-1].Int()
	return n.Lsh(n, uint(exponent+unit*power))
}

// centred is n^order times the population moment of the order about the mean,
// as an integer times a power of two.
func (m *Moments) centred(order int) (c *big.Int, exponent int) {
	s := make([]*big.Int, order+1)
	at := make([]int, order+1) // the exponents of those, from the least on
	s[0] = m.count()
	shift := maxPosition
	for i := 1; i <= order; i++ {
		s[i], at[i] = m.sums[i-1].Int()
		at[i] += unit * i
		shift = min(shift, at[i]/i) // all in units of the smallest in use
	}
	for i := 1; i <= order; i++ {
		s[i].Lsh(s[i], uint(at[i]-i*shift))
	}
	mean := s[1]
	switch order {
	case 2: // nΣx² − (Σx)²
		c = product(1, s[0], s[2])
		c.Sub(c, product(1, mean, mean))
	case 3: // n²Σx³ − 3nΣxΣx² + 2(Σx)³
		c = product(1, s[0], s[0], s[3])
		c.Sub(c, product(3, s[0], mean, s[2]))
		c.Add(c, product(2, mean, mean, mean))
	default: // n³Σx⁴ − 4n²ΣxΣx³ + 6n(Σx)²Σx² − 3(Σx)⁴
		c = product(1, s[0], s[0], s[0], s[4])
		c.Sub(c, product(4, s[0], s[0], mean, s[3]))
		c.Add(c, product(6, s[0], mean, mean, s[2]))
		c.Sub(c, product(3, mean, mean, mean, mean))
	}
	return c, order * (shift - unit)
}

// product multiplies a factor and integers.
func product(factor int64, of ...*big.Int) *big.Int {
	t := big.NewInt(factor)
	for _, n := range of {
		t.Mul(t, n)
	}
	return t
}

func power(n *big.Int, p int64) *big.Int { return new(big.Int).Exp(n, big.NewInt(p), nil) }
