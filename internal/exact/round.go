package exact

import (
	"math"
	"math/big"
	"math/bits"
)

const (
	precision = 53
	minNormal = -1022
)

// Float rounds the sum to the nearest float64, to even when two are as near. A
// sum of nothing, or of zeros of any sign, is +0.
func (s *Sum) Float() (float64, error) {
	n, exponent := s.Int()
	return ratio(n, big.NewInt(1), exponent)
}

// ratio is a/b·2^exponent, rounded once to nearest even; b > 0.
func ratio(a, b *big.Int, exponent int) (float64, error) {
	if a.Sign() == 0 {
		return 0, nil
	}
	q, exponent, inexact := quotient(a, b, exponent)
	top := bits.Len64(q) - 1 + exponent // 2^top ≤ |a/b| < 2^(top+1)
	keep := precision + min(0, top-minNormal)
	if keep < 0 {
		return 0, nil
	}
	m, drop := round(q, keep, inexact)
	f := math.Ldexp(float64(m), exponent+drop)
	if math.IsInf(f, 0) {
		return 0, ErrOverflow
	}
	return math.Copysign(f, float64(a.Sign())), nil
}

// root is the square root of a/b·2^exponent, whose own magnitude may be beyond
// float64; a ≥ 0, b > 0. It is within one unit of the last place.
func root(a, b *big.Int, exponent int) (float64, error) {
	if a.Sign() == 0 {
		return 0, nil
	}
	q, exponent, inexact := quotient(a, b, exponent)
	m, drop := round(q, precision, inexact)
	f, exponent := float64(m), exponent+drop
	if exponent%2 != 0 {
		f, exponent = 2*f, exponent-1
	}
	f = math.Ldexp(math.Sqrt(f), exponent/2)
	if math.IsInf(f, 0) {
		return 0, ErrOverflow
	}
	return f, nil
}

// quotient is |a|/b·2^exponent as q·2^exp with 63 or 64 bits of q, and whether
// something smaller than its last bit is left.
func quotient(a, b *big.Int, exponent int) (q uint64, exp int, inexact bool) {
	shift := 63 - a.BitLen() + b.BitLen()
	n, d := new(big.Int).Abs(a), b
	if shift >= 0 {
		n.Lsh(n, uint(shift))
	} else {
		d = new(big.Int).Lsh(b, uint(-shift))
	}
	n, rest := n.QuoRem(n, d, new(big.Int))
	return n.Uint64(), exponent - shift, rest.Sign() != 0
}

// round keeps the first keep bits of q, rounded to nearest even, and says how
// many it has dropped. inexact says that q itself is a little more.
func round(q uint64, keep int, inexact bool) (m uint64, drop int) {
	drop = bits.Len64(q) - keep
	m = q >> drop
	half := uint64(1) << (drop - 1)
	rest := q - m<<drop
	if rest > half || rest == half && (inexact || m&1 == 1) {
		m++
	}
	return m, drop
}
