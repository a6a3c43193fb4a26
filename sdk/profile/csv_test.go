package profile_test

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

func TestReadCSV(t *testing.T) {
	t.Parallel()
	const text = "\ufeffi, f ,b,s,big,zip\r\n" +
		"1,1.5,TRUE,red,9223372036854775807,007\r\n" +
		"-2,NaN,false,\"a, b\",9223372036854775808,\r\n" +
		",-inf,,,1, 12 \r\n"
	columns, err := profile.ReadCSV(strings.NewReader(text), profile.CSVOptions{Types: map[string]profile.ValueType{"zip": profile.String}})
	if err != nil {
		t.Fatal(err)
	}
	want := []profile.Column{
		{Name: "i", Type: profile.Int, Numbers: []float64{1, -2, 0}, Missing: []bool{false, false, true}},
		{Name: "f", Type: profile.Float, Numbers: []float64{1.5, math.NaN(), math.Inf(-1)}},
		{Name: "b", Type: profile.Bool, Texts: []string{"true", "false", ""}, Missing: []bool{false, false, true}},
		{Name: "s", Type: profile.String, Texts: []string{"red", "a, b", ""}, Missing: []bool{false, false, true}},
		{Name: "big", Type: profile.Float, Numbers: []float64{9223372036854775807, 9223372036854775808, 1}},
		{Name: "zip", Type: profile.String, Texts: []string{"007", "", "12"}, Missing: []bool{false, true, false}},
	}
	if !math.IsNaN(columns[1].Numbers[1]) {
		t.Errorf("NaN is read as %v", columns[1].Numbers[1])
	}
	columns[1].Numbers[1], want[1].Numbers[1] = 0, 0
	if !reflect.DeepEqual(columns, want) {
		t.Errorf("got  %+v\nwant %+v", columns, want)
	}
}

func TestInference(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]profile.ValueType{
		"1\n2": profile.Int, "+1\n-2": profile.Int, "1\n2.0": profile.Float, "1e3\n2": profile.Float, "Infinity\nnan": profile.Float,
		"true\nFALSE": profile.Bool, "true\n1": profile.String, "0x10\n1": profile.String, "1_000\n1": profile.String,
		"1 000\n1": profile.String, "1,5": profile.String, "\n": profile.String, "2026-01-01": profile.String, "1p3": profile.String,
	} {
		columns, err := profile.ReadCSV(strings.NewReader("x\n"+strings.ReplaceAll(text, "1,5", `"1,5"`)+"\n"), profile.CSVOptions{})
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := columns[0].Type; got != want {
			t.Errorf("%q is of type %s, want %s", text, got, want)
		}
	}
}

func TestReadCSVRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		opts       profile.CSVOptions
		rule       string
		column     string
		row        int
	}{
		{"empty", "", profile.CSVOptions{}, "CSV_HEADER", "", 0},
		{"unnamed", "a,,b\n", profile.CSVOptions{}, "CSV_HEADER", "", 0},
		{"twice", "a,b,a\n", profile.CSVOptions{}, "CSV_HEADER", "a", 0},
		{"short row", "a,b\n1,2\n3\n", profile.CSVOptions{}, "CSV_FIELDS", "", 2},
		{"long row", "a,b\n1,2,3\n", profile.CSVOptions{}, "CSV_FIELDS", "", 1},
		{"range", "a\n1.5\n1e999\n", profile.CSVOptions{}, "NUMBER_RANGE", "a", 2},
		{"wrong type", "a\n1\nx\n", profile.CSVOptions{Types: map[string]profile.ValueType{"a": profile.Int}}, "CELL_TYPE", "a", 2},
		{"type of nothing", "a\n1\n", profile.CSVOptions{Types: map[string]profile.ValueType{"b": profile.Int}}, "CSV_TYPES", "b", 0},
		{"unknown type", "a\n1\n", profile.CSVOptions{Types: map[string]profile.ValueType{"a": "date"}}, "COLUMN_TYPE", "a", 0},
		{"too many", "a\n1\n2\n3\n", profile.CSVOptions{MaxRows: 2}, "MAX_ROWS", "", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := profile.ReadCSV(strings.NewReader(c.text), c.opts)
			var broken *profile.Error
			if !errors.As(err, &broken) || broken.Rule != c.rule || broken.Column != c.column || broken.Row != c.row {
				t.Errorf("error %v, want rule %s of column %q row %d", err, c.rule, c.column, c.row)
			}
		})
	}
	if _, err := profile.ReadCSV(strings.NewReader("a\n\"x\n"), profile.CSVOptions{}); err == nil {
		t.Error("an open quote is accepted")
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add([]byte("a,b\n1,x\n,y\n"))
	f.Add([]byte("\ufeffa\nNaN\n1e999\n"))
	f.Add([]byte("a\n\"x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		columns, err := profile.ReadCSV(bytes.NewReader(data), profile.CSVOptions{MaxRows: 1000})
		if err != nil {
			return
		}
		for i := range columns {
			if columns[i].Len() != columns[0].Len() {
				t.Fatalf("columns of %d and %d rows", columns[0].Len(), columns[i].Len())
			}
		}
		// Whatever can be read is either profiled or refused, never a panic.
		_, _ = profile.New(columns, profile.Options{Space: "s", Name: "n"})
	})
}
