package profile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// spillBuffer is a spill in memory, which fails when limit bytes were written.
type spillBuffer struct {
	bytes.Buffer
	limit int
}

var errFull = errors.New("disk full")

func (s *spillBuffer) Write(p []byte) (int, error) {
	if s.limit > 0 && s.Len()+len(p) > s.limit {
		return 0, errFull
	}
	return s.Buffer.Write(p)
}

func (s *spillBuffer) ReadAt(p []byte, offset int64) (int, error) {
	return bytes.NewReader(s.Bytes()).ReadAt(p, offset)
}

// randomCSV is text of columns of every kind and mixture, well-formed or not.
func randomCSV(r *rand.Rand, rows int, broken bool) string {
	kinds := []func() string{
		func() string { return fmt.Sprint(r.IntN(100) - 50) },
		func() string { return fmt.Sprint(r.NormFloat64()) },
		func() string { return fmt.Sprintf("%.2f", r.NormFloat64()) },
		func() string { return fmt.Sprint(math.Float64frombits(r.Uint64())) },
		func() string { return fmt.Sprint(int64(r.Uint64())) },
		func() string { return fmt.Sprint(r.Uint64()) },
		func() string { return []string{"true", "False", "TRUE"}[r.IntN(3)] },
		func() string {
			return []string{"red", "blå", `"a, b"`, `"two` + "\n" + `lines"`, `"say ""x"""`}[r.IntN(5)]
		},
		func() string {
			return []string{"-0", "+1", ".5", "1.", "007", "1e3", "NaN", "-inf", "5e-324"}[r.IntN(9)]
		},
		func() string {
			return []string{"1", "0x1p3", "1_000", "1e999", "x", "truE", "00000000000000000001"}[r.IntN(7)]
		},
		func() string { return strings.Repeat("long ", r.IntN(200)) + "x" },
		func() string { return "" },
	}
	columns := make([]func() string, 1+r.IntN(6))
	var b strings.Builder
	for i := range columns {
		columns[i] = kinds[r.IntN(len(kinds))]
		fmt.Fprintf(&b, "%sc%d", strings.Repeat(",", min(i, 1)), i)
	}
	newline := []string{"\n", "\r\n"}[r.IntN(2)]
	b.WriteString(newline)
	for range rows {
		for i, column := range columns {
			b.WriteString(strings.Repeat(",", min(i, 1)))
			switch cell := column(); {
			case r.IntN(20) == 0: // missing
			case broken && r.IntN(rows*4) == 0:
				b.WriteString([]string{`a"b`, "1,2", `"x" y`, `"`}[r.IntN(4)])
			case cell[:min(1, len(cell))] != `"` && r.IntN(10) == 0:
				b.WriteString(" " + cell + "\u00a0")
			default:
				b.WriteString(cell)
			}
		}
		b.WriteString(newline)
		if r.IntN(50) == 0 {
			b.WriteString(newline)
		}
	}
	return b.String()[:b.Len()-r.IntN(2)*len(newline)]
}

// sameColumns says how columns differ: in anything but whether an empty slice
// is nil, and by bits.
func sameColumns(got, want []Column) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d columns, want %d", len(got), len(want))
	}
	bits := func(values []float64) []uint64 {
		out := make([]uint64, len(values))
		for i, v := range values {
			out[i] = math.Float64bits(v)
		}
		return out
	}
	for i := range got {
		g, w := &got[i], &want[i]
		same := g.Name == w.Name && g.Type == w.Type && reflect.DeepEqual(bits(g.Numbers), bits(w.Numbers)) &&
			len(g.Texts) == len(w.Texts) && reflect.DeepEqual(append([]string{}, g.Texts...), append([]string{}, w.Texts...)) &&
			reflect.DeepEqual(g.Missing, w.Missing)
		if !same {
			return fmt.Errorf("column %d is\n%.500v, want\n%.500v", i, *g, *w)
		}
	}
	return nil
}

func agrees(text string, opts CSVOptions) error {
	want, wantErr := plainCSV(strings.NewReader(text), opts)
	got, err := ReadCSV(strings.NewReader(text), opts)
	if fmt.Sprint(err) != fmt.Sprint(wantErr) {
		return fmt.Errorf("error %w, want %w", err, wantErr)
	}
	return sameColumns(got, want)
}

// Rows that are cut here and rows that encoding/csv cuts, whatever their order,
// are the columns, or the error with its line, that encoding/csv alone gives.
func TestReadCSVAgreesWithThePlainWay(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	failed := 0
	for i := range 600 {
		text := randomCSV(r, r.IntN(60), i%2 == 1)
		opts := CSVOptions{}
		if i%5 == 4 {
			opts.Types = map[string]ValueType{"c0": []ValueType{Int, Float, String, Bool}[r.IntN(4)]}
		}
		if err := agrees(text, opts); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if _, err := ReadCSV(strings.NewReader(text), opts); err != nil {
			failed++
		}
	}
	if failed < 100 || failed > 400 {
		t.Errorf("%d of 600 texts are wrong: too few or too many to show anything", failed)
	}
}

func TestCSVAtTheEdges(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"a", "a\n", "a\r", "\n\na\n\n1\n\n", "a,b\n1,\r\n", "a\n1\r\r\n", "a;b\n1;2\n", "a\n\x00\n", "\ufeffa\n1", "\ufeff\"a\"\n1\n\"2",
		"a\n" + strings.Repeat("1", 3*lineBuffer) + "\n2\n", "a,b\n\"" + strings.Repeat("x\n", lineBuffer) + "\",1\n2,3\n",
	} {
		for _, comma := range []rune{0, ';', '\t', '→', '"', '\n'} {
			if err := agrees(text, CSVOptions{Comma: comma}); err != nil {
				t.Errorf("%.100q at %q: %v", text, comma, err)
			}
		}
	}
}

func FuzzCSVAgrees(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		f.Add(randomCSV(r, 5, true), "int")
	}
	f.Fuzz(func(t *testing.T, text, fixed string) {
		opts := CSVOptions{MaxRows: 100}
		if i := strings.IndexAny(text, ",\n"); i > 0 && ValueType(fixed).valid() {
			opts.Types = map[string]ValueType{text[:i]: ValueType(fixed)}
		}
		if err := agrees(text, opts); err != nil {
			t.Fatal(err)
		}
	})
}

// One column after another, partly from the spill, is what all at once is.
func TestColumnsFromTheSpill(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 8))
	spilled := 0
	for i := range 4 {
		text := randomCSV(r, 20_000, false)
		want, err := plainCSV(strings.NewReader(text), CSVOptions{})
		if err != nil {
			continue // a number out of range, say
		}
		spill := &spillBuffer{}
		table, err := NewCSV(strings.NewReader(text), CSVOptions{Spill: spill, Memory: int64(i % 2 * 200_000)})
		if err != nil {
			t.Fatal(err)
		}
		if err := table.Read(func(name string) bool { return name != "c1" }); err != nil {
			t.Fatal(err)
		}
		spilled += spill.Len()
		var c Column
		for k := len(want) - 1; k >= 0; k-- {
			if want[k].Name == "c1" {
				continue
			}
			if err := table.Column(want[k].Name, &c); err != nil {
				t.Fatal(err)
			}
			if err := sameColumns([]Column{c}, want[k:k+1]); err != nil {
				t.Error(err)
			}
		}
	}
	if spilled == 0 {
		t.Error("nothing was spilled")
	}
}

func TestTheSpillFails(t *testing.T) {
	t.Parallel()
	text := "a\n" + strings.Repeat("0.123456789\n", 50_000)
	table, err := NewCSV(strings.NewReader(text), CSVOptions{Spill: &spillBuffer{limit: 200_000}})
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Read(func(string) bool { return true }); !errors.Is(err, errFull) || !strings.Contains(err.Error(), "row ") {
		t.Errorf("a full spill gives %v", err)
	}
	spill := &spillBuffer{}
	table, _ = NewCSV(strings.NewReader(text), CSVOptions{Spill: spill})
	if err := table.Read(func(string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	spill.Truncate(100_000)
	if err := table.Column("a", new(Column)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a spill cut short gives %v", err)
	}
}

// An id for each of a million rows is refused where it always was, and its texts
// are not kept.
func TestAMillionCategories(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	text.WriteString("id\n")
	for i := range 1_000_000 {
		fmt.Fprintf(&text, "id-%d\n", i)
	}
	table, err := NewCSV(&text, CSVOptions{Spill: &spillBuffer{}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewBuilder(table.Names(), Options{Space: "s", Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Read(b.Wants); err != nil {
		t.Fatal(err)
	}
	var c Column
	if err := table.Column("id", &c); err != nil {
		t.Fatal(err)
	}
	if c.Len() != 1_000_000 || c.Texts[MaxBins] != "id-1000" || c.Texts[999_999] != "id-1000" {
		t.Errorf("%d texts, the last %q", c.Len(), c.Texts[len(c.Texts)-1])
	}
	if err := b.Add(&c); err != nil {
		t.Fatal(err)
	}
	var broken *Error
	if _, err := b.Profile(); !errors.As(err, &broken) || broken.Rule != "CATEGORY_COUNT" || broken.Column != "id" || broken.Row != MaxBins+1 {
		t.Errorf("error %v", err)
	}
}
