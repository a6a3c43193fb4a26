package exact

import (
	"encoding/binary"
	"math"
)

// MaxColumns bounds a Matrix that is read.
const MaxColumns = 4096

// Matrix is the count of rows, the exact sums of their columns and of the
// products of every two: what means, covariances and correlations are made of.
// Reading it, and merging it into another, is safe while nothing is added to it.
type Matrix struct {
	columns []*Moments
	cross   []Sum // those of i < j, row by row
}

// NewMatrix returns an empty matrix.
func NewMatrix(columns int) *Matrix {
	m := &Matrix{columns: make([]*Moments, columns), cross: make([]Sum, columns*(columns-1)/2)}
	for i := range m.columns {
		m.columns[i] = NewMoments(2)
	}
	for i := range m.cross {
		m.cross[i].extra = 1
	}
	return m
}

// Columns is the number of columns.
func (m *Matrix) Columns() int { return len(m.columns) }

// N is the number of rows.
func (m *Matrix) N() uint64 {
	if len(m.columns) == 0 {
		return 0
	}
	return m.columns[0].n
}

// Column is the moments of a column. It belongs to m.
func (m *Matrix) Column(i int) *Moments { return m.columns[i] }

// Product is the sum of the products of two different columns. It belongs to m.
func (m *Matrix) Product(i, j int) *Sum {
	i, j = min(i, j), max(i, j)
	return &m.cross[i*(2*len(m.columns)-i-1)/2+j-i-1]
}

// Add adds a row. It returns false and adds nothing when a value is infinite or
// not a number, or the row has another length.
func (m *Matrix) Add(row []float64) bool {
	if len(row) != len(m.columns) {
		return false
	}
	for _, x := range row {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return false
		}
	}
	for i, x := range row {
		m.columns[i].Add(x)
		for j := i + 1; j < len(row); j++ {
			m.Product(i, j).AddProduct(x, row[j])
		}
	}
	return true
}

// Merge adds the rows of another matrix of as many columns.
func (m *Matrix) Merge(o *Matrix) error {
	if len(m.columns) != len(o.columns) {
		return ErrOrder
	}
	for i := range m.columns {
		if err := m.columns[i].Merge(o.columns[i]); err != nil {
			return err
		}
	}
	for i := range m.cross {
		if err := m.cross[i].Merge(&o.cross[i]); err != nil {
			return err
		}
	}
	return nil
}

// Correlation is that of two columns, and 0 when one of them is constant.
func (m *Matrix) Correlation(i, j int) float64 {
	a, b := m.columns[i], m.columns[j]
	if a.Constant() || b.Constant() {
		return 0
	}
	if i == j {
		return 1
	}
	products, exponent := m.Product(i, j).Int()
	products.Lsh(products, uint(exponent+2*unit))
	c := product(1, a.count(), products) // n²·covariance, in units
	c.Sub(c, product(1, a.raw(1), b.raw(1)))
	x, ex := a.centred(2)
	y, ey := b.centred(2)
	square, _ := ratio(product(1, c, c), product(1, x, y), -4*unit-ex-ey) // at most 1
	return math.Copysign(math.Sqrt(min(1, square)), float64(c.Sign()))
}

// AppendBinary appends the matrix's compact form: the number of columns, and
// moments and sums behind their lengths.
func (m *Matrix) AppendBinary(b []byte) ([]byte, error) {
	b = binary.AppendUvarint(b, uint64(len(m.columns)))
	add := func(raw []byte, err error) error {
		b = append(binary.AppendUvarint(b, uint64(len(raw))), raw...)
		return err
	}
	for _, c := range m.columns {
		if err := add(c.MarshalBinary()); err != nil {
			return nil, err
		}
	}
	for i := range m.cross {
		if err := add(m.cross[i].MarshalBinary()); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// MarshalBinary returns the compact form.
func (m *Matrix) MarshalBinary() ([]byte, error) { return m.AppendBinary(nil) }

// UnmarshalBinary reads the compact form.
func (m *Matrix) UnmarshalBinary(b []byte) error {
	columns, size := binary.Uvarint(b)
	// A column takes 5 bytes at least and a product 2, so that a short text does
	// not make a large matrix.
	if size <= 0 || columns > MaxColumns || 5*columns+columns*(max(columns, 1)-1) > uint64(len(b)) {
		return ErrMalformed
	}
	b = b[size:]
	*m = *NewMatrix(int(columns))
	next := func() ([]byte, bool) {
		length, size := binary.Uvarint(b)
		if size <= 0 || length > uint64(len(b)-size) {
			return nil, false
		}
		raw := b[size : size+int(length)]
		b = b[size+int(length):]
		return raw, true
	}
	for _, c := range m.columns {
		if raw, ok := next(); !ok || c.UnmarshalBinary(raw) != nil || c.Order() != 2 || c.n != m.columns[0].n {
			return ErrMalformed
		}
	}
	for i := range m.cross {
		if raw, ok := next(); !ok || m.cross[i].UnmarshalBinary(raw) != nil || m.cross[i].Order() != 2 {
			return ErrMalformed
		}
	}
	if len(b) != 0 {
		return ErrMalformed
	}
	return nil
}
