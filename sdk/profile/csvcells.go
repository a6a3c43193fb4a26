package profile

import (
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"strconv"
)

// cells are the texts of one column, end to end with their lengths before them,
// until its type is known: full blocks and the one being filled.
type cells struct {
	name  string
	fixed ValueType
	full  []block
	open  []byte
}

// block is a part of a column in memory or, where that is nil, in the spill.
type block struct {
	text   []byte
	offset int64
	size   int
}

// How large blocks are: small enough that those being filled take no more than
// openBlocks together, large enough that reading one back is worth the seek.
const (
	openBlocks = 32 << 20
	minBlock   = 4 << 10
	maxBlock   = 64 << 10
)

// cellStore keeps full blocks in memory while there is room, then spills them.
type cellStore struct {
	spill     Spill
	room      int64
	blockSize int
	end       int64 // of the spill
	back      []byte
}

func newCellStore(opts CSVOptions, columns int) cellStore {
	return cellStore{spill: opts.Spill, room: opts.Memory, blockSize: min(max(openBlocks/columns, minBlock), maxBlock)}
}

func (s *cellStore) add(c *cells, text []byte) error {
	if len(c.open)+len(text)+binary.MaxVarintLen32 > s.blockSize && len(c.open) > 0 {
		if err := s.close(c); err != nil {
			return err
		}
	}
	if len(text) < 0x80 {
		c.open = append(c.open, byte(len(text)))
	} else {
		c.open = binary.AppendUvarint(c.open, uint64(len(text)))
	}
	c.open = append(c.open, text...)
	return nil
}

// close ends the block being filled.
func (s *cellStore) close(c *cells) error {
	size := len(c.open)
	if s.spill == nil || s.room >= int64(size) {
		s.room -= int64(size)
		c.full = append(c.full, block{text: c.open, size: size})
		c.open = make([]byte, 0, s.blockSize)
		return nil
	}
	if _, err := s.spill.Write(c.open); err != nil {
		return err
	}
	c.full = append(c.full, block{offset: s.end, size: size})
	s.end += int64(size)
	c.open = c.open[:0]
	return nil
}

// all are the texts of a column, each valid until the next, or an error at the
// end.
func (s *cellStore) all(c *cells) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for i := range len(c.full) + 1 {
			text := c.open
			if i < len(c.full) {
				var err error
				if text, err = s.read(c.full[i]); err != nil {
					yield(nil, err)
					return
				}
			}
			for len(text) > 0 {
				size, width := binary.Uvarint(text)
				end := width + int(size)
				if !yield(text[width:end], nil) {
					return
				}
				text = text[end:]
			}
		}
	}
}

func (s *cellStore) read(b block) ([]byte, error) {
	if b.text != nil {
		return b.text, nil
	}
	s.back = sized(s.back, b.size)
	if n, err := s.spill.ReadAt(s.back, b.offset); n < b.size {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return s.back, nil
}

// numberKind is what a text is as a number.
type numberKind int

const (
	notNumber numberKind = iota
	integer
	decimal
	outOfRange // a number, but none of a float's
)

// parseNumber reads a trimmed text. Whether long ones are integers it finds out
// only when asked.
func parseNumber(text []byte, integers bool) (float64, numberKind) {
	if v, kind := shortNumber(text); kind != notNumber {
		return v, kind
	}
	for _, c := range text {
		// Go's hexadecimal floats and digit separators are not numbers in data
		// files.
		if c == 'x' || c == 'X' || c == '_' {
			return 0, notNumber
		}
	}
	v, err := strconv.ParseFloat(string(text), 64)
	if errors.Is(err, strconv.ErrRange) {
		return v, outOfRange
	}
	if err != nil {
		return 0, notNumber
	}
	if integers {
		if _, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			return v, integer
		}
	}
	return v, decimal
}

// exactDigits is how many decimal digits a float holds exactly, whatever they
// are; so does it powers of ten up to that, and a quotient of two exact floats
// is the float next to the true one.
const exactDigits = 15

// shortNumber reads decimals that need no more than a division; others it says
// are no numbers.
func shortNumber(text []byte) (float64, numberKind) {
	if len(text) > exactDigits+2 { // with sign and point
		return 0, notNumber
	}
	rest := text
	negative := rest[0] == '-'
	if negative || rest[0] == '+' {
		rest = rest[1:]
	}
	whole, digits, point := uint64(0), 0, -1
	for _, c := range rest {
		switch {
		case c-'0' <= 9:
			whole = whole*10 + uint64(c-'0')
			digits++
		case c == '.' && point < 0:
			point = digits
		default:
			return 0, notNumber
		}
	}
	if digits == 0 || digits > exactDigits {
		return 0, notNumber
	}
	v, kind := float64(whole), integer
	if point >= 0 {
		v, kind = v/powersOfTen[digits-point], decimal
	}
	if negative {
		v = -v
	}
	return v, kind
}

var powersOfTen = [exactDigits + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}
