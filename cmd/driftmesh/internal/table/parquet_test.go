package table

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

type row struct {
	Age    int32    `parquet:"age"`
	Big    uint64   `parquet:"big"`
	Amount *float64 `parquet:"amount,optional"`
	Ratio  float32  `parquet:"ratio"`
	Color  *string  `parquet:"color,optional"`
	Member bool     `parquet:"member"`
}

func file[T any](t *testing.T, rows []T) *bytes.Reader {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, parquet.MaxRowsPerRowGroup(3))
	_, err := w.Write(rows)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return bytes.NewReader(b.Bytes())
}

func parquetColumns(ctx context.Context, r *bytes.Reader) (columns []profile.Column, err error) {
	t, err := openParquet(source{at: r, size: r.Size(), name: "it"}, Options{Report: ignore})
	if err != nil {
		return nil, err
	}
	for _, f := range t.Fields() {
		if err := f.Feature(); err != nil {
			return nil, err
		}
	}
	err = t.Columns(ctx, Names(t), func(c *Column) error {
		columns = append(columns, profile.Column{
			Name: c.Name, Type: c.Type, Numbers: append([]float64(nil), c.Numbers...), Texts: append([]string(nil), c.Texts...), Missing: append([]bool(nil), c.Missing...),
		})
		return nil
	})
	return columns, err
}

func TestParquet(t *testing.T) {
	t.Parallel()
	f := func(v float64) *float64 { return &v }
	s := func(v string) *string { return &v }
	r := file(t, []row{
		{1, 1 << 63, f(1.5), 0.5, s("red"), true}, {-2, 2, nil, 0.25, s(""), false},
		{3, 3, f(math.Inf(-1)), 0, nil, true}, {4, 4, f(4), 1, s("blue"), false},
	})
	columns, err := parquetColumns(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, []profile.Column{
		{Name: "age", Type: profile.Int, Numbers: []float64{1, -2, 3, 4}},
		{Name: "big", Type: profile.Int, Numbers: []float64{1 << 63, 2, 3, 4}},
		{Name: "amount", Type: profile.Float, Numbers: []float64{1.5, 0, math.Inf(-1), 4}, Missing: []bool{false, true, false, false}},
		{Name: "ratio", Type: profile.Float, Numbers: []float64{0.5, 0.25, 0, 1}},
		{Name: "color", Type: profile.String, Texts: []string{"red", "", "", "blue"}, Missing: []bool{false, false, true, false}},
		{Name: "member", Type: profile.Bool, Texts: []string{"true", "false", "true", "false"}},
	}, columns)
}

func TestParquetRefuses(t *testing.T) {
	t.Parallel()
	times := file(t, []struct {
		At time.Time `parquet:"at"`
	}{{time.Unix(1, 0)}})
	lists := file(t, []struct {
		Tags []string `parquet:"tags,list"`
	}{{[]string{"a"}}})
	for name, r := range map[string]*bytes.Reader{"at": times, "tags": lists} {
		_, err := parquetColumns(t.Context(), r)
		var broken *profile.Error
		require.ErrorAs(t, err, &broken, name)
		require.Equal(t, map[string]string{"at": "COLUMN_TYPE", "tags": "PARQUET_TYPE"}[name], broken.Rule)
		require.Equal(t, name, broken.Column)
	}
}

// The same data give the same profile from either kind of file.
func TestReadByEnding(t *testing.T) {
	t.Parallel()
	const wine = "../../../../examples/wine/winequality-red.csv"
	columns, err := wholeColumns(t.Context(), wine)
	require.NoError(t, err)
	type two struct {
		Alcohol float64 `parquet:"alcohol"`
		Quality int64   `parquet:"quality"`
	}
	rows := make([]two, columns[0].Len())
	for i := range rows {
		rows[i] = two{columns[10].Numbers[i], int64(columns[11].Numbers[i])}
	}
	path := filepath.Join(t.TempDir(), "wine.PARQUET")
	out, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, parquet.Write(out, rows))
	require.NoError(t, out.Close())
	fromParquet, err := wholeColumns(t.Context(), path)
	require.NoError(t, err)
	require.Equal(t, columns[10:], fromParquet)

	_, err = wholeColumns(t.Context(), filepath.Join(t.TempDir(), "none.csv"))
	require.ErrorIs(t, err, os.ErrNotExist)
	other := filepath.Join(t.TempDir(), "x.xlsx")
	require.NoError(t, os.WriteFile(other, nil, 0o600))
	_, err = wholeColumns(t.Context(), other)
	require.ErrorIs(t, err, fault.Invalid)
}

func FuzzParquet(f *testing.F) {
	var b bytes.Buffer
	w := parquet.NewGenericWriter[row](&b)
	_, _ = w.Write([]row{{Age: 1}, {Age: 2}})
	_ = w.Close()
	f.Add(b.Bytes())
	f.Add([]byte("PAR1PAR1"))
	f.Add(b.Bytes()[:b.Len()-9])
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		columns, err := parquetColumns(t.Context(), bytes.NewReader(data))
		var broken *profile.Error
		if err != nil && !errors.Is(err, fault.Invalid) && !errors.As(err, &broken) {
			t.Fatalf("error %v is neither invalid nor a broken rule", err)
		}
		_ = columns
	})
}
