package table

import (
	"time"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// arrowType numbers the types of Arrow.
type arrowType byte

const (
	arrowNull arrowType = iota + 1
	arrowInt
	arrowFloat
	arrowBinary
	arrowUTF8
	arrowBool
	arrowDecimal
	arrowDate
	arrowTime
	arrowTimestamp
	arrowInterval
	arrowList
	arrowStruct
	arrowUnion
	arrowFixedBinary
	arrowFixedList
	arrowMap
	arrowDuration
	arrowLargeBinary
	arrowLargeUTF8
	arrowLargeList
	arrowRunEnd
	arrowBinaryView
	arrowUTF8View
	arrowListView
	arrowLargeListView
)

// layout is how many buffers a field of a type has, its children not counted.
var layout = map[arrowType]int{
	arrowNull: 0, arrowInt: 2, arrowFloat: 2, arrowBinary: 3, arrowUTF8: 3, arrowBool: 2, arrowDecimal: 2, arrowDate: 2, arrowTime: 2,
	arrowTimestamp: 2, arrowInterval: 2, arrowList: 2, arrowStruct: 1, arrowFixedBinary: 2, arrowFixedList: 1, arrowMap: 2, arrowDuration: 2,
	arrowLargeBinary: 3, arrowLargeUTF8: 3, arrowLargeList: 2, arrowRunEnd: 0, arrowBinaryView: 2, arrowUTF8View: 2, arrowListView: 3,
	arrowLargeListView: 3,
}

// arrowField is a column and where its buffers stand among those of a batch.
type arrowField struct {
	Field
	of arrowScalar
	// node, buffer and view are the positions of the field's rows, of its first
	// buffer, and of its number of further ones where it is a view.
	node, buffer, view int
	// dictionary is the values' type where the column has numbers of entries of
	// the dictionary with that id.
	dictionary *arrowScalar
	id         int64
}

// arrowScalar is the type of single values.
type arrowScalar struct {
	is       arrowType
	bits     int
	unsigned bool
	scale    int
	unit     time.Duration
	local    bool // times in no zone
}

// arrowFields are the fields of a schema.
func arrowFields(schema flat) []arrowField {
	fields := []arrowField{}
	var at position
	for _, f := range schema.tables(1) {
		field := arrowField{Field: Field{Name: f.text(0)}, node: at.node, buffer: at.buffer, view: at.view}
		at.pass(f, 0)
		field.of = scalarOf(f)
		values := field.of
		if dictionary, there := f.table(4); there {
			index, _ := dictionary.table(1)
			field.id, field.dictionary = dictionary.int64(0), &values
			field.of = arrowScalar{is: arrowInt, bits: int(index.int32(0, 32)), unsigned: !index.bool(1)}
			if _, there := dictionary.table(1); !there {
				field.of.unsigned = false // 32 bits with sign, unless it says otherwise
			}
		}
		field.Type, field.Time, field.Problem = values.read(field.Name)
		fields = append(fields, field)
	}
	return fields
}

// position counts nodes, buffers and views.
type position struct{ node, buffer, view int }

// Bounds of lists and structures: how deep they nest, and how many there are.
const (
	maxNesting = 64
	maxNodes   = 1 << 17
)

// pass moves behind a field and its children.
func (p *position) pass(f flat, depth int) {
	p.node++
	if _, encoded := f.table(4); encoded {
		p.buffer += 2
		return
	}
	is := arrowType(f.byte(2))
	if is == arrowUnion {
		of, _ := f.table(3)
		p.buffer += 1 + int(of.int16(0, 0)) // a dense one has offsets too
	}
	p.buffer += layout[is]
	if is == arrowUTF8View || is == arrowBinaryView {
		p.view++
	}
	if depth > maxNesting || p.node > maxNodes {
		f.message.damaged = true
	}
	if f.message.damaged {
		return
	}
	for _, child := range f.tables(5) {
		p.pass(child, depth+1)
	}
}

var arrowUnits = [...]time.Duration{time.Second, time.Millisecond, time.Microsecond, time.Nanosecond}

func unitAt(n int16) time.Duration {
	if n < 0 || int(n) >= len(arrowUnits) {
		return 0
	}
	return arrowUnits[n]
}

func scalarOf(f flat) arrowScalar {
	of, _ := f.table(3)
	s := arrowScalar{is: arrowType(f.byte(2))}
	switch s.is { //nolint:exhaustive // those that are read and have a size
	case arrowInt:
		s.bits, s.unsigned = int(of.int32(0, 0)), !of.bool(1)
	case arrowFloat:
		s.bits = 16 << min(max(of.int16(0, 0), 0), 2)
	case arrowDecimal:
		s.scale, s.bits = int(of.int32(1, 0)), int(of.int32(2, 128))
	case arrowDate:
		s.bits, s.unit, s.local = 32, 24*time.Hour, true
		if of.int16(0, 1) == 1 {
			s.bits, s.unit = 64, time.Millisecond
		}
	case arrowTimestamp:
		s.bits, s.unit, s.local = 64, unitAt(of.int16(0, 0)), of.text(1) == ""
	case arrowBool:
		s.bits = 1
	}
	return s
}

// read is what values are read as, or why they cannot be.
func (s arrowScalar) read(name string) (as profile.ValueType, isTime bool, problem error) {
	whole := s.bits == 8 || s.bits == 16 || s.bits == 32 || s.bits == 64
	switch {
	case s.is == arrowInt && whole:
		return profile.Int, false, nil
	case s.is == arrowFloat, s.is == arrowDecimal && s.bits >= 32 && s.bits <= 256 && s.bits%32 == 0:
		return profile.Float, false, nil
	case s.is == arrowUTF8, s.is == arrowLargeUTF8, s.is == arrowUTF8View, s.is == arrowNull:
		return profile.String, false, nil
	case s.is == arrowBool:
		return profile.Bool, false, nil
	case s.is == arrowDate, s.is == arrowTimestamp && s.unit > 0:
		return "", true, nil
	}
	return "", false, &profile.Error{Column: name, Rule: "ARROW_TYPE", Detail: "a column of Arrow type number " + number(int(s.is)) +
		" cannot be read; leave the column out or convert it"}
}

// values is the type of the values, by a dictionary or not.
func (f *arrowField) values() arrowScalar {
	if f.dictionary != nil {
		return *f.dictionary
	}
	return f.of
}

// empty is the column without rows, with the room of another.
func (f *arrowField) empty(room *Column) Column {
	return Column{
		Column: profile.Column{Name: f.Name, Type: f.Type, Numbers: room.Numbers[:0], Texts: room.Texts[:0]},
		Times:  room.Times[:0], Local: f.values().local,
	}
}
