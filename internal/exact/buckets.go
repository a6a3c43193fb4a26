package exact

import (
	"cmp"
	"math/big"
	"math/bits"
	"slices"
)

// Buckets sums values and their squares, a row per bucket of the exponent. It is for many sums at once, each of few values, that are to
// be stored and added up elsewhere; Moments reads them. The zero Buckets is
// empty.
type Buckets struct {
	rows []Bucket
	last int // of rows, that was added to
}

// Bucket is the sum of the values of one bucket in units of 2^(32·At − 1074), and
// of their squares in units of the square of that. Words are the least first, in
// two's complement.
type Bucket struct {
	At     uint16
	Sum    [2]uint64
	Square [4]uint64
}

// Add adds a value. It returns false and adds nothing when x is infinite or not a
// number. There is room for 2^43 values.
func (b *Buckets) Add(x float64) bool {
	m, position, negative, ok := split(x)
	if !ok {
		return false
	}
	if m == 0 {
		return true
	}
	row := b.row(uint16(position / digitBits)) //nolint:gosec // at most MaxBucket
	// value < 2^84
	shift := uint(position) % digitBits
	low, high := m<<(shift&63), m>>1>>((63-shift)&63)
	row.addSquare(m, shift)
	if negative {
		var c uint64
		row.Sum[0], c = bits.Sub64(row.Sum[0], low, 0)
		row.Sum[1], _ = bits.Sub64(row.Sum[1], high, c)
		return true
	}
	var c uint64
	row.Sum[0], c = bits.Add64(row.Sum[0], low, 0)
	row.Sum[1], _ = bits.Add64(row.Sum[1], high, c)
	return true
}

// row is the row of a bucket.
func (b *Buckets) row(at uint16) *Bucket {
	if b.last < len(b.rows) && b.rows[b.last].At == at {
		return &b.rows[b.last]
	}
	for i := range b.rows {
		if b.rows[i].At == at {
			b.last = i
			return &b.rows[i]
		}
	}
	b.rows = append(b.rows, Bucket{At: at})
	b.last = len(b.rows) - 1
	return &b.rows[b.last]
}

// addSquare adds (m·2^shift)², which has three words; m has 53 bits.
func (r *Bucket) addSquare(m uint64, shift uint) {
	high, low := bits.Mul64(m, m)
	shift *= 2 // at most 62
	var c uint64
	r.Square[0], c = bits.Add64(r.Square[0], low<<(shift&63), 0)
	r.Square[1], c = bits.Add64(r.Square[1], high<<(shift&63)|low>>1>>((63-shift)&63), c)
	r.Square[2], c = bits.Add64(r.Square[2], high>>1>>((63-shift)&63), c)
	r.Square[3] += c
}

// All lists the rows by bucket, ascending, whatever the order in which values came.
// They belong to b.
func (b *Buckets) All() []Bucket {
	slices.SortFunc(b.rows, func(x, y Bucket) int { return cmp.Compare(x.At, y.At) })
	return b.rows // b.last is a guess that row checks
}

// Reset makes b empty, and keeps its room.
func (b *Buckets) Reset() { b.rows, b.last = b.rows[:0], 0 }

// Moments is the moments of n values whose sums these are.
func (b *Buckets) Moments(n uint64) *Moments {
	m := NewMoments(2)
	for i := range b.rows {
		r := &b.rows[i]
		// A bucket that Add made is one that AddBucket takes.
		_ = m.AddBucket(int(r.At), 0, signed(r.Sum[:]), signed(r.Square[:]))
	}
	m.n = n
	return m
}

// signed reads words in two's complement, the least first.
func signed(words []uint64) *big.Int {
	n := new(big.Int)
	for i := len(words) - 1; i >= 0; i-- {
		n.Lsh(n, 64)
		n.Or(n, new(big.Int).SetUint64(words[i]))
	}
	if words[len(words)-1]>>63 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(64*len(words))))
	}
	return n
}
