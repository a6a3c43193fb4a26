package exact

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"slices"
)

const (
	// MaxOrder is the largest number of factors of the terms of a Sum.
	MaxOrder = 4
	// MaxBucket is the greatest bucket a value can fall into: that of 2^1023.
	MaxBucket = maxPosition / digitBits

	digitBits   = 32
	digitMask   = 1<<digitBits - 1
	unit        = 1074 // the least exponent of a float64
	mantissa    = 52   // bits stored of it
	maxPosition = 2045 // the greatest exponent, from the least on
	// room is how often digits below 2^32 may be added to one before it has to
	// be carried: an int64 holds 2^31 of them.
	room = 1<<31 - 2
	// maxBucketBits is more than the sum of a bucket can have.
	maxBucketBits = 512
)

// Errors of this package.
var (
	// ErrOverflow says that a result is beyond the largest float64.
	ErrOverflow = errors.New("exact: result overflows float64")
	// ErrOrder says that sums of different orders cannot be added.
	ErrOrder = errors.New("exact: sums of different orders")
	// ErrEmpty says that a moment needs more values than there are.
	ErrEmpty = errors.New("exact: not enough values")
)

// Sum is an exact sum of float64s, or of products of as many of them as its
// order says. The zero Sum is 0, of order 1. A Sum must not be copied after it
// has been used. Reading it, and merging it into another, is safe while nothing
// is added to it.
type Sum struct {
	extra int     // order − 1, so that the zero value is of order 1
	low   int     // the index of digits[0]: its weight is 2^(32·low − 1074·order)
	used  int     // additions since the last carry
	digit []int64 // least first
}

// NewSum returns an empty sum of terms of the given number of factors, which is
// held between 1 and MaxOrder.
func NewSum(order int) Sum {
	return Sum{extra: min(max(order, 1), MaxOrder) - 1}
}

// Order is the number of factors of each term.
func (s *Sum) Order() int { return s.extra + 1 }

// Add adds x raised to the order. It returns false and adds nothing when x is
// infinite or not a number.
func (s *Sum) Add(x float64) bool {
	m, at, negative, ok := split(x)
	if !ok {
		return false
	}
	if s.extra == 0 {
		s.addWord(m, at, negative)
		return true
	}
	words, position := [MaxOrder]uint64{m}, at
	for i := range s.extra {
		multiply(&words, i+1, m)
		position += at
	}
	s.addWords(words[:s.extra+1], position, negative && s.extra%2 == 0)
	return true
}

// AddBucket adds what a database has summed: n·2^(32·bucket − 1074·order).
// bucket is the bucket of the value for a sum of values, and the sum of the
// buckets of the factors for a sum of products: twice that of x for x².
func (s *Sum) AddBucket(bucket int, n *big.Int) error {
	if bucket < 0 || bucket > MaxBucket*s.Order() || n.BitLen() > maxBucketBits {
		return fmt.Errorf("exact: no such bucket: %d of a sum of order %d, with %d bits", bucket, s.Order(), n.BitLen())
	}
	s.addInt(n, bucket)
	return nil
}

// Merge adds another sum of the same order, whose value does not change.
func (s *Sum) Merge(o *Sum) error {
	if s.extra != o.extra {
		return ErrOrder
	}
	c := o.carried()
	if len(c.digit) == 0 {
		return nil
	}
	i := s.prepare(c.low, len(c.digit))
	for k, d := range c.digit {
		s.digit[i+k] += d
	}
	return nil
}

// Sign is −1, 0 or 1.
func (s *Sum) Sign() int {
	n, _ := s.Int()
	return n.Sign()
}

// Int returns the sum as an integer times a power of two.
func (s *Sum) Int() (n *big.Int, exponent int) {
	c := s.carried()
	n = new(big.Int)
	for _, d := range slices.Backward(c.digit) {
		n.Lsh(n, digitBits)
		n.Add(n, big.NewInt(d))
	}
	return n, c.low*digitBits - unit*s.Order()
}

// split takes a finite float64 apart: |x| = m·2^(at−1074).
func split(x float64) (m uint64, at int, negative, ok bool) {
	b := math.Float64bits(x)
	m, at = b&(1<<mantissa-1), int(b>>mantissa&0x7ff)
	switch at {
	case 0x7ff:
		return 0, 0, false, false
	case 0: // zero and denormals: no hidden bit, the exponent of the least
	default:
		m |= 1 << mantissa
		at--
	}
	return m, at, b>>63 != 0, true
}

// multiply multiplies the first n words by m, into n+1 words.
func multiply(words *[MaxOrder]uint64, n int, m uint64) {
	var carry uint64
	for i := range n {
		high, low := bits.Mul64(words[i], m)
		sum, c := bits.Add64(low, carry, 0)
		words[i], carry = sum, high+c
	}
	words[n] = carry
}

// addWord adds ±m·2^position, in units.
func (s *Sum) addWord(m uint64, position int, negative bool) {
	if m == 0 {
		return
	}
	index, shift := position/digitBits, uint(position%digitBits)
	i := s.prepare(index, 3)
	low, high := m<<shift, m>>(64-shift)
	d := s.digit[i : i+3 : i+3]
	if negative {
		d[0] -= int64(low & digitMask)
		d[1] -= int64(low >> digitBits)
		d[2] -= int64(high)
		return
	}
	d[0] += int64(low & digitMask)
	d[1] += int64(low >> digitBits)
	d[2] += int64(high)
}

// addWords adds an integer of several words, least first, times 2^position.
func (s *Sum) addWords(words []uint64, position int, negative bool) {
	index, shift := position/digitBits, uint(position%digitBits)
	i := s.prepare(index, 2*len(words)+1)
	sign := int64(1)
	if negative {
		sign = -1
	}
	var spill uint64
	for _, w := range words {
		low, high := w<<shift|spill, w>>(64-shift)
		s.digit[i] += sign * int64(low&digitMask)
		s.digit[i+1] += sign * int64(low>>digitBits)
		i, spill = i+2, high
	}
	s.digit[i] += sign * int64(spill)
}

// addInt adds n·2^(32·index), in units.
func (s *Sum) addInt(n *big.Int, index int) {
	if n.Sign() == 0 {
		return
	}
	raw := n.Bytes() // big endian
	i := s.prepare(index, (len(raw)+3)/4)
	sign := int64(n.Sign())
	for end := len(raw); end > 0; end -= 4 {
		var d int64
		for _, b := range raw[max(0, end-4):end] {
			d = d<<8 | int64(b)
		}
		s.digit[i] += sign * d
		i++
	}
}

// prepare makes room for an addition to n digits from index on and returns
// where in s.digit they begin.
func (s *Sum) prepare(index, n int) int {
	if s.used >= room {
		s.carry()
	}
	s.used++
	if index < s.low || index+n > s.low+len(s.digit) {
		s.cover(index, n)
	}
	return index - s.low
}

// cover widens the digits to those from index to index+n.
func (s *Sum) cover(index, n int) {
	if len(s.digit) == 0 {
		s.low = index
	}
	low, high := min(s.low, index), max(s.low+len(s.digit), index+n)
	wide := make([]int64, high-low)
	copy(wide[s.low-low:], s.digit)
	s.low, s.digit = low, wide
}

// carried is the sum in canonical form, s itself when it is that already.
func (s *Sum) carried() *Sum {
	if s.used == 0 {
		return s
	}
	c := &Sum{extra: s.extra, low: s.low, used: s.used, digit: slices.Clone(s.digit)}
	c.carry()
	return c
}

// carry brings the sum into its one canonical form: digits from 0 to 2^32 − 1
// but for the last, which has the sign, and none at either end that says
// nothing.
func (s *Sum) carry() {
	if s.used == 0 {
		return
	}
	s.used = 0
	var over int64
	for i, d := range s.digit {
		d += over
		s.digit[i] = d & digitMask
		over = d >> digitBits
	}
	for ; over != 0 && over != -1; over >>= digitBits {
		s.digit = append(s.digit, over&digitMask)
	}
	if over == -1 {
		s.digit = append(s.digit, -1)
	}
	s.trim()
}

func (s *Sum) trim() {
	d := s.digit
	for len(d) > 0 && d[len(d)-1] == 0 {
		d = d[:len(d)-1]
	}
	// −1 above the greatest digit is that digit less 2^32.
	for n := len(d); n > 1 && d[n-1] == -1 && d[n-2] == digitMask; n-- {
		d = d[:n-1]
		d[n-2] = -1
	}
	for len(d) > 0 && d[0] == 0 {
		d, s.low = d[1:], s.low+1
	}
	if len(d) == 0 {
		s.low = 0
	}
	s.digit = d
}
