package window

import "github.com/ClickHouse/ch-go/proto"

// Rows are the columns that the statement Rows gives, one block of them.
type Rows struct {
	minute         proto.ColDateTime
	time           proto.ColDateTime64
	key, hash      proto.ColUInt64
	lost           proto.ColUInt8
	numbers        proto.ColArr[float64]
	numberValues   proto.ColFloat64
	numberStates   proto.ColArr[uint8]
	stateOfNumber  proto.ColUInt8
	categories     texts
	categoryStates proto.ColArr[uint8]
	stateOfText    proto.ColUInt8
	countedFeature proto.ColUInt16 // position from 1; 0 for rows with values
	countedBin     proto.ColUInt16
	counted        proto.ColUInt64
	label          proto.ColUInt128 // what the row's labels add to the version
	labelled       bool             // there is that column
}

func newRows(labelled bool) *Rows {
	r := &Rows{labelled: labelled}
	r.time.WithPrecision(proto.PrecisionNano)
	r.numbers.Data, r.numberStates.Data, r.categoryStates.Data = &r.numberValues, &r.stateOfNumber, &r.stateOfText
	r.categories.codes.Index = &r.categories.words
	return r
}

// Results are the columns in their order.
func (r *Rows) Results() proto.Results {
	all := proto.Results{
		{Name: "Minute", Data: &r.minute}, {Name: "EventTime", Data: &r.time}, {Name: "Key", Data: &r.key}, {Name: "ContentHash", Data: &r.hash},
		{Name: "Lost", Data: &r.lost}, {Name: "Numbers", Data: &r.numbers}, {Name: "NumberStates", Data: &r.numberStates},
		{Name: "Categories", Data: &r.categories}, {Name: "CategoryStates", Data: &r.categoryStates},
		{Name: "CountedFeature", Data: &r.countedFeature}, {Name: "CountedBin", Data: &r.countedBin}, {Name: "Counted", Data: &r.counted},
	}
	if r.labelled {
		all = append(all, proto.ResultColumn{Name: "Label", Data: &r.label})
	}
	return all
}

// positive is the code of a word among the categories of the block, −1 when it is
// not there.
func (r *Rows) positive(word string) int {
	for i := range r.categories.words.Rows() {
		if word != "" && r.categories.words.Row(i) == word {
			return i
		}
	}
	return -1
}

// texts is an array column of texts that leaves them as codes of a dictionary:
// there are far fewer words than values.
type texts struct {
	ends  proto.ColUInt64
	codes proto.ColLowCardinalityRaw
	words proto.ColStr
	of    []uint32 // the codes in one width
}

// Type implements proto.ColResult.
func (t *texts) Type() proto.ColumnType { return proto.ColumnTypeArray.Sub(t.codes.Type()) }

// Rows implements proto.ColResult.
func (t *texts) Rows() int { return t.ends.Rows() }

// Reset implements proto.ColResult.
func (t *texts) Reset() {
	t.ends.Reset()
	t.codes.Reset()
	t.of = t.of[:0]
}

// DecodeState implements proto.StateDecoder.
func (t *texts) DecodeState(r *proto.Reader) error { return t.codes.DecodeState(r) }

// DecodeColumn implements proto.ColResult.
func (t *texts) DecodeColumn(r *proto.Reader, rows int) error {
	if err := t.ends.DecodeColumn(r, rows); err != nil || rows == 0 || t.ends[rows-1] == 0 {
		return err
	}
	if err := t.codes.DecodeColumn(r, int(t.ends[rows-1])); err != nil { //nolint:gosec // the decoder bounds it
		return err
	}
	switch t.codes.Key {
	case proto.KeyUInt8:
		t.of = widen(t.of, t.codes.Keys8)
	case proto.KeyUInt16:
		t.of = widen(t.of, t.codes.Keys16)
	case proto.KeyUInt32:
		t.of = widen(t.of, t.codes.Keys32)
	default:
		t.of = widen(t.of, t.codes.Keys64)
	}
	return nil
}

func widen[K ~uint8 | ~uint16 | ~uint32 | ~uint64](to []uint32, from []K) []uint32 {
	for _, k := range from {
		to = append(to, uint32(k))
	}
	return to
}

// begin is where a row's part of an array column begins.
func begin(ends proto.ColUInt64, row int) uint64 {
	if row == 0 {
		return 0
	}
	return ends[row-1]
}
