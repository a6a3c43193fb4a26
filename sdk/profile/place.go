package profile

import (
	"fmt"
	"math"
	"strconv"
)

// Placer finds the places of a column's values among the bins of a feature: in
// the count arrays that a server has of records with these values. It is for one
// goroutine.
type Placer struct {
	feature *Feature
	column  *Column
	texts   map[string]int // of categories
}

// NewPlacer returns a placer. It refuses a column whose values no record may
// carry for the feature.
func NewPlacer(f *Feature, c *Column) (*Placer, error) {
	fits := c.Type == f.Type
	if f.Type.Kind() == Numeric {
		fits = c.Type.Kind() == Numeric // whether each is whole is another question
	}
	if !fits {
		return nil, &Error{Column: c.Name, Rule: "CELL_TYPE", Detail: fmt.Sprintf("the values are of type %s, those of the reference of type %s", c.Type, f.Type)}
	}
	p := &Placer{feature: f, column: c}
	if f.Kind == Category {
		p.texts = make(map[string]int, len(f.Bins))
		for i := range f.Bins {
			p.texts[f.Bins[i].Category] = i
		}
	}
	return p, nil
}

// Place is the place of a row's value. It refuses a number that is not whole
// where the feature's categories are whole numbers.
func (p *Placer) Place(row int) (int, error) {
	f, c := p.feature, p.column
	if c.missing(row) {
		return f.SpecialCell(Missing), nil
	}
	if f.Kind == Numeric {
		return f.NumberCell(c.Numbers[row]), nil
	}
	var text string
	if f.Type != Int {
		text = c.Texts[row]
	} else {
		v := c.Numbers[row]
		if math.IsNaN(v) { // how floats say that an int is missing
			return f.SpecialCell(Missing), nil
		}
		if v != math.Trunc(v) || math.Abs(v) > maxWhole {
			return 0, &Error{Column: c.Name, Row: row + 1, Rule: "CELL_TYPE", Detail: number(v) + " is no whole number, as the categories of the reference are"}
		}
		text = strconv.FormatInt(int64(v), 10)
	}
	if at, known := p.texts[text]; known {
		return at, nil
	}
	return f.SpecialCell(Other), nil
}

// maxWhole is up to where floats hold every whole number.
const maxWhole = 1 << 53
