package table

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

type record struct {
	Age    uint32   `parquet:"age,dict"`
	Big    uint64   `parquet:"big"`
	Small  int32    `parquet:"small,delta"`
	Wide   *int64   `parquet:"wide,optional,dict"`
	Amount *float64 `parquet:"amount,optional"`
	Ratio  float32  `parquet:"ratio,dict"`
	Plain  *float32 `parquet:"plain,optional"`
	Color  *string  `parquet:"color,optional,dict"`
	Note   string   `parquet:"note"`
	Member *bool    `parquet:"member,optional"`
	Late   *float64 `parquet:"late,optional"`
	At     []string `parquet:"at,list"`
}

// records have gaps, states and repetitions in every column; late has its first
// gap in a later row group.
func records(n int) []record {
	r := rand.New(rand.NewPCG(1, 2))
	rows := make([]record, n)
	maybe := func(set func()) {
		if r.IntN(5) > 0 {
			set()
		}
	}
	for i := range rows {
		row := &rows[i]
		row.Age, row.Big, row.Small = r.Uint32N(90)+math.MaxUint32-100, r.Uint64(), r.Int32()-math.MaxInt32/2
		row.Ratio, row.Note = float32(r.IntN(30))/7, fmt.Sprint("note ", r.IntN(50))
		maybe(func() { v := r.Int64N(40) - 20; row.Wide = &v })
		maybe(func() {
			v := []float64{r.NormFloat64(), math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1)}[r.IntN(5)]
			row.Amount = &v
		})
		maybe(func() { v := r.Float32(); row.Plain = &v })
		maybe(func() { v := fmt.Sprint("color ", r.IntN(9)); row.Color = &v })
		maybe(func() { v := r.IntN(2) == 0; row.Member = &v })
		if v := r.Float64(); i < n/2 || r.IntN(2) == 0 {
			row.Late = &v
		}
	}
	return rows
}

// columnsOf are the columns that the rows should be read as.
func columnsOf(rows []record) []profile.Column {
	number := func(name string, t profile.ValueType, of func(record) *float64) profile.Column {
		c := profile.Column{Name: name, Type: t}
		for i, row := range rows {
			v := of(row)
			if v == nil && c.Missing == nil {
				c.Missing = make([]bool, len(rows))
			}
			if v == nil {
				c.Missing[i] = true
				v = new(float64)
			}
			c.Numbers = append(c.Numbers, *v)
		}
		return c
	}
	text := func(name string, t profile.ValueType, of func(record) *string) profile.Column {
		c := profile.Column{Name: name, Type: t}
		for i, row := range rows {
			v := of(row)
			if v == nil && c.Missing == nil {
				c.Missing = make([]bool, len(rows))
			}
			if v == nil {
				c.Missing[i] = true
				v = new(string)
			}
			c.Texts = append(c.Texts, *v)
		}
		return c
	}
	f := func(v float64) *float64 { return &v }
	return []profile.Column{
		number("age", profile.Int, func(r record) *float64 { return f(float64(r.Age)) }),
		number("big", profile.Int, func(r record) *float64 { return f(float64(r.Big)) }),
		number("small", profile.Int, func(r record) *float64 { return f(float64(r.Small)) }),
		number("wide", profile.Int, func(r record) *float64 {
			if r.Wide == nil {
				return nil
			}
			return f(float64(*r.Wide))
		}),
		number("amount", profile.Float, func(r record) *float64 { return r.Amount }),
		number("ratio", profile.Float, func(r record) *float64 { return f(float64(r.Ratio)) }),
		number("plain", profile.Float, func(r record) *float64 {
			if r.Plain == nil {
				return nil
			}
			return f(float64(*r.Plain))
		}),
		text("color", profile.String, func(r record) *string { return r.Color }),
		text("note", profile.String, func(r record) *string { return &r.Note }),
		text("member", profile.Bool, func(r record) *string {
			if r.Member == nil {
				return nil
			}
			v := fmt.Sprint(*r.Member)
			return &v
		}),
		number("late", profile.Float, func(r record) *float64 { return r.Late }),
	}
}

func names(columns []profile.Column) []string {
	out := make([]string, len(columns))
	for i := range columns {
		out[i] = columns[i].Name
	}
	return out
}

func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

func writeParquet[T any](t *testing.T, rows []T, options ...parquet.WriterOption) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.parquet")
	out, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, parquet.Write(out, rows, options...))
	require.NoError(t, out.Close())
	return path
}

// profileOf makes a profile of the file at path.
func profileOf(ctx context.Context, path string, opts profile.Options, report func(Progress)) (*profile.Profile, error) {
	t, err := Open(ctx, path, nil, Options{Report: report})
	if err != nil {
		return nil, err
	}
	p, err := Profile(ctx, t, opts, nil, nil)
	return p, errors.Join(err, t.Close())
}

// wholeColumns reads all columns of the file at path.
func wholeColumns(ctx context.Context, path string) (columns []profile.Column, err error) {
	t, err := Open(ctx, path, nil, Options{})
	if err != nil {
		return nil, err
	}
	err = t.Columns(ctx, Names(t), func(c *Column) error {
		columns = append(columns, profile.Column{
			Name: c.Name, Type: c.Type, Numbers: append([]float64(nil), c.Numbers...), Texts: append([]string(nil), c.Texts...), Missing: append([]bool(nil), c.Missing...),
		})
		return nil
	})
	return columns, errors.Join(err, t.Close())
}

func ignore(Progress) {}

// A profile of a file, column by column, is that of its columns, with dictionary
// and without, whatever is missing and where; a column of a type that cannot be
// a feature does no harm while it is not used.
func TestProfileOfParquet(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 7, 5000} {
		rows := records(n)
		want := columnsOf(rows)
		opts := profile.Options{Space: "s", Name: "n", Features: names(want)}
		path := writeParquet(t, rows, parquet.MaxRowsPerRowGroup(1100), parquet.PageBufferSize(2000))
		whole, err := profile.New(want, opts)
		got, gotErr := profileOf(t.Context(), path, opts, ignore)
		require.Equal(t, fmt.Sprint(err), fmt.Sprint(gotErr))
		require.Equal(t, whole, got)
	}
	opts := profile.Options{Space: "s", Name: "n"}
	path := writeParquet(t, records(3))
	_, err := profileOf(t.Context(), path, opts, ignore)
	var broken *profile.Error
	require.ErrorAs(t, err, &broken)
	require.Equal(t, [2]string{"PARQUET_TYPE", "at"}, [2]string{broken.Rule, broken.Column})
}

func TestProfileOfCSV(t *testing.T) {
	const wine = "../../../../examples/wine/winequality-red.csv"
	opts := profile.Options{Space: "s", Name: "n", Categories: []string{"quality"}}
	columns, err := wholeColumns(t.Context(), wine)
	require.NoError(t, err)
	want, err := profile.New(columns, opts)
	require.NoError(t, err)
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	for _, cellsInMemory = range []int64{1 << 20, 0} {
		got, err := profileOf(t.Context(), wine, opts, ignore)
		require.NoError(t, err)
		require.Equal(t, want, got)
		left, err := os.ReadDir(temp)
		require.NoError(t, err)
		require.Empty(t, left)
	}
}

// large is a CSV file that is spilled; the last column cannot be a feature.
func large(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	text.WriteString("x,y,id\n")
	for i := range 50_000 {
		fmt.Fprintf(&text, "%v,%d,id-%d\n", float64(i)/7, i, i)
	}
	return write(t, "large.csv", []byte(text.String()))
}

// The temporary file is there while it is needed and has no name even then; an
// interrupted run ends with the context's error at any stage.
func TestNothingIsLeftOfASpill(t *testing.T) {
	path, temp := large(t), t.TempDir()
	t.Setenv("TMPDIR", temp)
	cellsInMemory = 0
	open := func() (n int) {
		fds, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		for _, fd := range fds {
			to, _ := os.Readlink("/proc/self/fd/" + fd.Name())
			if strings.HasPrefix(to, temp) {
				n++
			}
		}
		return n
	}
	opts := profile.Options{Space: "s", Name: "n"}
	for _, stage := range []Stage{Bytes, Columns} {
		ctx, cancel := context.WithCancel(t.Context())
		spilled := 0
		_, err := profileOf(ctx, path, opts, func(now Progress) {
			if now.Stage == stage && now.Done > 0 {
				spilled = max(spilled, open())
				left, err := os.ReadDir(temp)
				require.NoError(t, err)
				require.Empty(t, left)
				cancel()
			}
		})
		cancel()
		require.ErrorIs(t, err, context.Canceled, stage)
		require.Equal(t, stage == Columns, spilled == 1, "the spill is open in stage %s", stage)
		require.Zero(t, open())
	}
	_, err := profileOf(t.Context(), path, opts, ignore)
	var broken *profile.Error
	require.ErrorAs(t, err, &broken)
	require.Equal(t, profile.Error{Column: "id", Row: profile.MaxBins + 1, Rule: "CATEGORY_COUNT", Detail: broken.Detail}, *broken)
	require.Zero(t, open())

	t.Setenv("TMPDIR", filepath.Join(temp, "none"))
	_, err = profileOf(t.Context(), path, opts, ignore)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestParquetStops(t *testing.T) {
	t.Parallel()
	type two struct{ A, B float64 }
	ctx, cancel := context.WithCancel(t.Context())
	var last Progress
	_, err := profileOf(ctx, writeParquet(t, make([]two, 100)), profile.Options{Space: "s", Name: "n"}, func(now Progress) {
		last = now
		if now.Done == 1 {
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, Progress{Stage: Columns, Done: 1, Total: 2}, last)
}

// What is unknown is refused before anything is read.
func TestProfileRefusesEarly(t *testing.T) {
	t.Parallel()
	opts := profile.Options{Space: "s", Name: "n", Features: []string{"z"}}
	csv := write(t, "x.csv", []byte("a,b\n1,2\n1\n"))
	for _, path := range []string{csv, writeParquet(t, []struct{ A float64 }{{1}})} {
		var broken *profile.Error
		_, err := profileOf(t.Context(), path, opts, ignore)
		require.ErrorAs(t, err, &broken)
		require.Equal(t, "FEATURES", broken.Rule)
	}
	_, err := profileOf(t.Context(), write(t, "x.parquet", []byte("PAR1PAR1")), opts, ignore)
	require.ErrorIs(t, err, fault.Invalid)
	opts.Features = nil
	_, err = profileOf(t.Context(), csv, opts, ignore)
	var broken *profile.Error
	require.True(t, errors.As(err, &broken) && broken.Row == 2 && broken.Rule == "CSV_FIELDS", err)
}
