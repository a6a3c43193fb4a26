package exact

import (
	"fmt"
	"math/big"
	"strings"
)

// SQL is ClickHouse text that sums Float64s as this package does: a row per
// bucket, which Read understands.
type SQL struct {
	// Bucket is the bucket of a value, a UInt16 to group by.
	Bucket string
	// Sums are aggregate expressions, Int128 the first and Int256 the others.
	Sums []string

	terms []term
}

// term is what one of the sums stands for: Σ of a part of x^power, which is to
// be multiplied by 2^shift.
type term struct {
	power int
	shift uint
}

// SQLOf returns the text that sums the powers up to order of an expression of
// type Float64 whose values are finite. The expression is repeated, so that it
// should be a column or an alias:
//
//	SELECT feature, <Bucket> AS bucket, count(), <Sums…> FROM … GROUP BY feature, bucket
//
// A value in units of its bucket, 2^(32·bucket − 1074), is an integer of at most
// 84 bits and its square one of 168, so that Int128 holds 2^43 of the one and
// Int256 holds 2^87 of the other. The cube and the fourth power are summed in
// two and three parts, which have room for 2^31 values.
func SQLOf(x string, order int) SQL {
	bits := "reinterpretAsUInt64(" + x + ")"
	exponent := "bitAnd(bitShiftRight(" + bits + ", 52), 2047)"
	position := "(greatest(" + exponent + ", 1) - 1)" // a denormal has the exponent of the least normal number
	digits := fmt.Sprintf("(bitAnd(%s, 4503599627370495) + (%s > 0) * 4503599627370496)", bits, exponent)
	sign := "(1 - 2 * toInt64(bitShiftRight(" + bits + ", 63)))"
	value := fmt.Sprintf("toInt128(toInt64(%s) * %s) * bitShiftLeft(toUInt64(1), bitAnd(%s, 31))", digits, sign, position)
	wide := "toInt256(" + value + ")"
	square := wide + " * " + wide

	s := SQL{Bucket: fmt.Sprintf("toUInt16(intDiv(%s, 32))", position)}
	add := func(power int, shift uint, text string) {
		s.Sums = append(s.Sums, "sum("+text+")")
		s.terms = append(s.terms, term{power, shift})
	}
	add(1, 0, value)
	if order >= 2 {
		add(2, 0, square)
	}
	if order >= 3 { // x = high·2^42 + low, high rounded down
		add(3, 0, fmt.Sprintf("%s * bitAnd(%s, toInt256(4398046511103))", square, wide))
		add(3, 42, fmt.Sprintf("%s * bitShiftRight(%s, 42)", square, wide))
	}
	if order >= MaxOrder { // x² in three digits of 56 bits
		for shift := uint(0); shift < 168; shift += 56 {
			add(4, shift, fmt.Sprintf("%s * bitAnd(bitShiftRight(%s, %d), toInt256(72057594037927935))", square, square, shift))
		}
	}
	return s
}

// Select is the list of what Read wants: bucket, count and sums.
func (s SQL) Select() string {
	return s.Bucket + " AS bucket, count(), " + strings.Join(s.Sums, ", ")
}

// Read adds a row to m: n values of a bucket, and the sums of them. m must be of
// the order that the text was made for.
func (s SQL) Read(m *Moments, bucket int, n uint64, sums []*big.Int) error {
	if len(sums) != len(s.terms) {
		return ErrOrder
	}
	powers := make([]*big.Int, m.Order())
	for i := range powers {
		powers[i] = new(big.Int)
	}
	for i, t := range s.terms {
		if t.power > len(powers) {
			return ErrOrder
		}
		p := powers[t.power-1]
		p.Add(p, new(big.Int).Lsh(sums[i], t.shift))
	}
	return m.AddBucket(bucket, n, powers...)
}
