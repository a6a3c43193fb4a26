package profile

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"
)

const (
	sumDigitBits = 32
	// sumDigits are enough for the sum of 2^63 of the greatest float64s.
	sumDigits = (2046 + 53 + 64 + sumDigitBits - 1) / sumDigitBits
	// carryAfter is how many digits below 2^32 an int64 holds.
	carryAfter = 1<<31 - 2
)

// sums are Σx and Σx² of finite values without any rounding, so that they do not
// depend on the order of the values: integers in digits of 32 bits with room for
// carries (Neal 2015).
type sums struct {
	n    uint64
	used int
	one  [sumDigits + 1]int64
	two  [2*sumDigits + 1]int64
}

func (s *sums) add(x float64) {
	raw := math.Float64bits(x)
	m, at, negative := raw&(1<<52-1), int(raw>>52&0x7ff), raw>>63 != 0
	if at > 0 {
		m |= 1 << 52
		at--
	}
	if s.used++; s.used >= carryAfter {
		carry(s.one[:])
		carry(s.two[:])
		s.used = 1
	}
	s.n++
	place(s.one[:], at, negative, m)
	high, low := bits.Mul64(m, m)
	place(s.two[:], 2*at, false, low, high)
}

// place adds an integer of words, the least first, times 2^at.
func place(digits []int64, at int, negative bool, words ...uint64) {
	i, shift := at/sumDigitBits, uint(at%sumDigitBits)
	sign := int64(1)
	if negative {
		sign = -1
	}
	var spill uint64
	for _, w := range words {
		low := w<<shift | spill
		spill = w >> (64 - shift)
		digits[i] += sign * int64(low&math.MaxUint32)
		digits[i+1] += sign * int64(low>>sumDigitBits)
		i += 2
	}
	if spill != 0 {
		digits[i] += sign * int64(spill)
	}
}

func carry(digits []int64) {
	var over int64
	for i, d := range digits[:len(digits)-1] {
		d += over
		digits[i], over = d&math.MaxUint32, d>>sumDigitBits
	}
	digits[len(digits)-1] += over
}

// bytes is the compact form that a server reads: the greatest power less one, the
// count, and each sum behind its length.
func (s *sums) bytes() []byte {
	b := binary.AppendUvarint([]byte{1}, s.n)
	for power, digits := range [][]int64{s.one[:], s.two[:]} {
		raw := sumBytes(byte(power), digits)
		b = append(binary.AppendUvarint(b, uint64(len(raw))), raw...)
	}
	return b
}

// sumBytes is a byte with sign and power and, unless the sum is 0, the number of
// zero bytes below the first other, and what stands above them.
func sumBytes(power byte, digits []int64) []byte {
	n := new(big.Int)
	for i := len(digits) - 1; i >= 0; i-- {
		n.Lsh(n, sumDigitBits)
		n.Add(n, big.NewInt(digits[i]))
	}
	if n.Sign() == 0 {
		return []byte{power}
	}
	if n.Sign() < 0 {
		power |= 0x80
	}
	zeros := n.TrailingZeroBits() / 8
	n.Rsh(n.Abs(n), 8*zeros)
	return append(binary.AppendUvarint([]byte{power}, uint64(zeros)), n.Bytes()...)
}
