package profile

import (
	"math"
	"slices"
	"strconv"
)

// ValueType is the type of the values of a column.
type ValueType string

// The types of values. Int and Float are numbers; String and Bool are
// categories.
const (
	Int    ValueType = "int"
	Float  ValueType = "float"
	String ValueType = "string"
	Bool   ValueType = "bool"
)

// Kind is how a feature is binned.
type Kind string

// The kinds of features. Their text is Scouter's bin_type.
const (
	Numeric  Kind = "Numeric"
	Category Kind = "Category"
)

// Kind returns how values of this type are binned unless told otherwise.
func (t ValueType) Kind() Kind {
	if t == Int || t == Float {
		return Numeric
	}
	return Category
}

func (t ValueType) valid() bool {
	return t == Int || t == Float || t == String || t == Bool
}

// Column is one column of reference data. [New] reads it and keeps no part.
type Column struct {
	// Name is the feature's name.
	Name string
	// Type decides which of Numbers and Texts holds the values.
	Type ValueType
	// Numbers holds the values of an Int or Float column, one for each row.
	// NaN and the infinities are values, not missing ones. Integers beyond
	// 2^53 lose their last digits.
	Numbers []float64
	// Texts holds the values of a String or Bool column, one for each row; a
	// bool is "true" or "false".
	Texts []string
	// Missing marks rows without a value. Nil means that every row has one;
	// otherwise it has one element for each row.
	Missing []bool
}

// Len returns the number of rows.
func (c *Column) Len() int {
	if c.Type.Kind() == Numeric {
		return len(c.Numbers)
	}
	return len(c.Texts)
}

// text is a value as a category.
func (c *Column) text(row int) string {
	if c.Type.Kind() == Category {
		return c.Texts[row]
	}
	return strconv.FormatInt(int64(c.Numbers[row]), 10)
}

func (c *Column) missing(row int) bool { return c.Missing != nil && c.Missing[row] }

func (c *Column) check() error {
	if c.Name == "" {
		return &Error{Rule: "COLUMN_NAME", Detail: "a column has no name"}
	}
	if !c.Type.valid() {
		return &Error{Column: c.Name, Rule: "COLUMN_TYPE", Detail: "type " + string(c.Type) + " is not int, float, string or bool"}
	}
	if c.Missing != nil && len(c.Missing) != c.Len() {
		return &Error{Column: c.Name, Rule: "COLUMN_LENGTH", Detail: "the missing marks and the values differ in number"}
	}
	return nil
}

// finite reports whether v can lie in a regular bin.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func allFinite(values []float64) bool {
	return !slices.ContainsFunc(values, func(v float64) bool { return !finite(v) })
}
