package table_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/table"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// rows are those of the files that testdata/make.py makes.
const rows = 200

// value is what a cell of the test tables holds; nil for a missing one.
func value(name string, i int) any {
	gap := i%7 == 3
	at := time.Date(2026, 1, 1, 0, i, 0, i*1000, time.UTC).UnixNano()
	day := time.Date(2026, 1, 1+i%60, 0, 0, 0, 0, time.UTC).UnixNano()
	switch name {
	case "id":
		return fmt.Sprintf("row-%d", i)
	case "big":
		return float64(1<<40 + i)
	case "single":
		return float64(i) / 8
	case "half":
		return float64(i % 100)
	case "day64":
		return day
	case "seconds":
		return at
	case "last", "age", "ratio", "price", "day", "at", "color", "kind", "member":
		if gap {
			return nil
		}
	default:
		return nil
	}
	switch name {
	case "last":
		return fmt.Sprintf("the last text of all, number %d", i%9)
	case "age":
		return float64(18 + i%60)
	case "ratio":
		return float64(i) / 7
	case "price":
		return float64(i-1000) / 100
	case "day":
		return day
	case "at":
		return at
	case "color":
		return []string{"red", "green", "a color with a long name"}[i%3]
	case "kind":
		return []string{"x", "y"}[i%2]
	}
	return fmt.Sprint(i%3 == 0)
}

// read is what a column holds, in the form of value.
func read(c *table.Column) []any {
	out := make([]any, c.Len())
	for i := range out {
		switch {
		case c.Missing != nil && c.Missing[i]:
		case c.Type == "":
			out[i] = c.Times[i]
		case c.Type.Kind() == profile.Numeric:
			out[i] = c.Numbers[i]
		default:
			out[i] = c.Texts[i]
		}
	}
	return out
}

func open(t testing.TB, path string, opts table.Options) table.Table {
	t.Helper()
	tab, err := table.Open(t.Context(), path, nil, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tab.Close()) })
	return tab
}

// readable are the names of the columns that can be read.
func readable(tab table.Table) (names []string) {
	for _, f := range tab.Fields() {
		if f.Problem == nil {
			names = append(names, f.Name)
		}
	}
	return names
}

// Every kind of file gives the same values, column by column and row by row,
// whatever it packs, from a file and from a stream.
func TestAllKindsOfFilesHoldTheSame(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"file.arrow", "stream.arrows", "views.arrow", "zstd.arrow", "lz4.feather", "table.parquet", "int96.parquet"} {
		path := filepath.Join("testdata", name)
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, stream := range []bool{false, true} {
			again := func() table.Table {
				if !stream {
					return open(t, path, table.Options{})
				}
				tab, err := table.Open(t.Context(), table.Stdin, io.MultiReader(bytes.NewReader(content)), table.Options{})
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, tab.Close()) })
				return tab
			}
			tab := again()
			wanted := readable(tab)
			require.NotEmpty(t, wanted)
			if name != "int96.parquet" {
				require.Len(t, tab.Fields(), len(wanted)+1, "the nested column cannot be read")
			}
			seen := 0
			require.NoError(t, tab.Columns(t.Context(), wanted, func(c *table.Column) error {
				require.Equal(t, wanted[seen], c.Name)
				seen++
				got := read(c)
				require.Len(t, got, rows, c.Name)
				for i := range got {
					require.Equal(t, value(c.Name, i), got[i], "%s: %s, row %d", name, c.Name, i)
				}
				return nil
			}))
			require.Equal(t, len(wanted), seen)
			all := make([][]any, len(wanted))
			slices.Reverse(wanted) // in any order
			require.NoError(t, again().Rows(t.Context(), wanted, func(columns []table.Column) error {
				for i := range columns {
					require.Equal(t, wanted[i], columns[i].Name)
					all[i] = append(all[i], read(&columns[i])...)
				}
				return nil
			}))
			for i, column := range wanted {
				require.Len(t, all[i], rows, "%s: %s", name, column)
				for k := range all[i] {
					require.Equal(t, value(column, k), all[i][k], "%s: %s, row %d", name, column, k)
				}
			}
		}
	}
}

// A dictionary that grows along a stream.
func TestDictionariesGrow(t *testing.T) {
	t.Parallel()
	require.NoError(t, open(t, "testdata/deltas.arrows", table.Options{}).Columns(t.Context(), []string{"kind"}, func(c *table.Column) error {
		require.Equal(t, strings.Split("ababcabcd", ""), c.Texts)
		return nil
	}))
}

func packed(t *testing.T, content []byte, ending string) string {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&out)
	if ending == ".zst" {
		z, err := zstd.NewWriter(&out)
		require.NoError(t, err)
		w = z
	}
	_, err := w.Write(content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return write(t, "table.csv"+ending, out.Bytes())
}

func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

// CSV is read plain and packed, whatever its separator and what stands for
// nothing, with a header and without, quoted or not.
func TestCSV(t *testing.T) {
	t.Parallel()
	plain, err := os.ReadFile("testdata/table.csv")
	require.NoError(t, err)
	header, body, _ := strings.Cut(string(plain), "\n")
	names := strings.Split(header, ",")
	quoted := strings.ReplaceAll(strings.ReplaceAll(string(plain), "a color with a long name", `"a color
with; a ""long"" name"`), ",", ";")
	for name, c := range map[string]struct {
		path string
		opts table.Options
		long string
	}{
		"plain":     {path: "testdata/table.csv"},
		"gzip":      {path: packed(t, plain, ".gz")},
		"zstd":      {path: packed(t, plain, ".zst")},
		"headless":  {path: write(t, "x.csv", []byte(body)), opts: table.Options{Names: names}},
		"semicolon": {path: write(t, "x.txt", []byte(quoted)), opts: table.Options{Separator: ';'}, long: "a color\nwith; a \"long\" name"},
		"tabs":      {path: write(t, "x.tsv", []byte(strings.ReplaceAll(string(plain), ",", "\t")))},
	} {
		c.opts.Null = []string{"NA", "null"}
		texts := map[string][]any{}
		require.NoError(t, open(t, c.path, c.opts).Rows(t.Context(), names, func(columns []table.Column) error {
			for i := range columns {
				texts[columns[i].Name] = append(texts[columns[i].Name], read(&columns[i])...)
			}
			return nil
		}), name)
		require.NoError(t, open(t, c.path, c.opts).Columns(t.Context(), names, func(col *table.Column) error {
			got := read(col)
			require.Len(t, got, rows, "%s: %s", name, col.Name)
			for i := range got {
				want := value(col.Name, i)
				switch {
				case want == nil:
					require.Nil(t, texts[col.Name][i], "%s: %s, row %d", name, col.Name, i)
				case strings.HasPrefix(col.Name, "day"):
					want = time.Unix(0, want.(int64)).UTC().Format("2006-01-02")
				case col.Name == "at" || col.Name == "seconds":
					want = time.Unix(0, want.(int64)).UTC().Format("2006-01-02T15:04:05.000000Z")
				case want == "a color with a long name" && c.long != "":
					want = c.long
				}
				require.Equal(t, want, got[i], "%s: %s, row %d", name, col.Name, i)
			}
			return nil
		}), name)
	}
	// What is a number by its looks can be a text.
	require.NoError(t, open(t, "testdata/table.csv", table.Options{Null: []string{"NA"}, Types: map[string]profile.ValueType{"big": profile.String, "none": profile.Int}}).
		Columns(t.Context(), []string{"big"}, func(c *table.Column) error {
			require.Equal(t, "1099511627776", c.Texts[0])
			return nil
		}))
}

func TestWhatIsNoTable(t *testing.T) {
	t.Parallel()
	for path, says := range map[string]string{
		write(t, "x.xlsx", []byte("PK\x03\x04")):           "is neither Parquet nor Arrow",
		write(t, "x.parquet", []byte("PAR1PAR1")):          "not a readable Parquet file",
		write(t, "x.csv.gz", []byte("\x1f\x8b\x00")):       "begins as gzip",
		write(t, "x.arrow", []byte("ARROW1\x00\x00 what")): "Arrow",
		t.TempDir(): "is a directory",
	} {
		_, err := table.Open(t.Context(), path, nil, table.Options{})
		require.ErrorIs(t, err, fault.Invalid, path)
		require.ErrorContains(t, err, says)
	}
	_, err := table.Open(t.Context(), "/does/not/exist.csv", nil, table.Options{})
	require.ErrorIs(t, err, os.ErrNotExist)
	tab := open(t, "testdata/file.arrow", table.Options{})
	err = tab.Columns(t.Context(), []string{"nested"}, nil)
	require.ErrorContains(t, err, "ARROW_TYPE")
	err = tab.Columns(t.Context(), []string{"x"}, nil)
	require.EqualError(t, err, `there is no column "x", but id, nested, age, big, ratio, single, half, price, day, day64, at, seconds, color, kind, member, none`)
}

// Whatever stands in a file, reading it ends with columns or with an error.
func TestDamage(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"stream.arrows", "zstd.arrow", "views.arrow", "deltas.arrows", "table.parquet"} {
		content, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(t, err)
		read := 0
		for at := 0; at < len(content); at += 1 + len(content)/1500 {
			damaged := bytes.Clone(content)
			damaged[at] ^= byte(1 + 37*at)
			tab, err := table.Open(t.Context(), table.Stdin, bytes.NewReader(damaged), table.Options{})
			if err != nil {
				continue
			}
			if tab.Columns(t.Context(), readable(tab), func(*table.Column) error { return nil }) == nil {
				read++
			}
			require.NoError(t, tab.Close())
		}
		require.NotZero(t, read, "%s: nothing was read", name)
	}
}
