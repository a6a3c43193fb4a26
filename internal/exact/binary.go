package exact

import (
	"encoding/binary"
	"errors"
	"math/big"
)

// ErrMalformed says that bytes are not those of a sum or of moments.
var ErrMalformed = errors.New("exact: malformed")

const (
	signBit   = 0x80
	orderBits = MaxOrder - 1
	// maxBytes bounds a sum that is read: 2^64 values of the greatest order, in
	// bytes from the least on.
	maxBytes = (MaxOrder*(maxPosition+precision) + 64 + 7) / 8
)

// AppendBinary appends the sum's compact form: a byte with sign and order, and,
// unless the sum is 0, the number of zero bytes below its first other and what
// stands above them. Equal sums have equal bytes.
func (s *Sum) AppendBinary(b []byte) ([]byte, error) {
	n, exponent := s.Int()
	head := byte(s.extra)
	if n.Sign() == 0 {
		return append(b, head), nil
	}
	if n.Sign() < 0 {
		head |= signBit
	}
	zeros := n.TrailingZeroBits() / 8
	n.Rsh(n, 8*zeros) // the bits are zero: exact for negative n as well
	b = append(b, head)
	b = binary.AppendUvarint(b, uint64(exponent+unit*s.Order())/8+uint64(zeros))
	return append(b, n.Bytes()...), nil
}

// MarshalBinary returns the sum's compact form.
func (s *Sum) MarshalBinary() ([]byte, error) { return s.AppendBinary(nil) }

// UnmarshalBinary reads the compact form.
func (s *Sum) UnmarshalBinary(b []byte) error {
	if len(b) == 0 || b[0]&^(signBit|orderBits) != 0 {
		return ErrMalformed
	}
	order := int(b[0]&orderBits) + 1
	*s = NewSum(order)
	if len(b) == 1 {
		if b[0]&signBit != 0 {
			return ErrMalformed
		}
		return nil
	}
	zeros, size := binary.Uvarint(b[1:])
	raw := b[1+max(size, 0):]
	if size <= 0 || len(raw) == 0 || raw[0] == 0 || raw[len(raw)-1] == 0 ||
		zeros > maxBytes || int(zeros)+len(raw) > maxBytes {
		return ErrMalformed
	}
	n := new(big.Int).SetBytes(raw)
	n.Lsh(n, uint(zeros%4)*8)
	if b[0]&signBit != 0 {
		n.Neg(n)
	}
	s.addInt(n, int(zeros/4))
	return nil
}

// AppendBinary appends the compact form of the moments: the count, and each sum
// behind its length.
func (m *Moments) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, byte(m.more))
	b = binary.AppendUvarint(b, m.n)
	for i := range m.Order() {
		raw, err := m.sums[i].MarshalBinary()
		if err != nil {
			return nil, err
		}
		b = binary.AppendUvarint(b, uint64(len(raw)))
		b = append(b, raw...)
	}
	return b, nil
}

// MarshalBinary returns the compact form of the moments.
func (m *Moments) MarshalBinary() ([]byte, error) { return m.AppendBinary(nil) }

// UnmarshalBinary reads the compact form.
func (m *Moments) UnmarshalBinary(b []byte) error {
	if len(b) == 0 || b[0] >= MaxOrder {
		return ErrMalformed
	}
	*m = *NewMoments(int(b[0]) + 1)
	n, size := binary.Uvarint(b[1:])
	if size <= 0 {
		return ErrMalformed
	}
	m.n, b = n, b[1+size:]
	for i := range m.Order() {
		length, size := binary.Uvarint(b)
		if size <= 0 || length > uint64(len(b)-size) {
			return ErrMalformed
		}
		end := size + int(length)
		if err := m.sums[i].UnmarshalBinary(b[size:end]); err != nil {
			return err
		}
		if m.sums[i].extra != i {
			return ErrMalformed
		}
		b = b[end:]
	}
	if len(b) != 0 {
		return ErrMalformed
	}
	return nil
}
