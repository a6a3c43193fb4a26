package reference_test

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/reference"
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

func TestParquet(t *testing.T) {
	t.Parallel()
	f := func(v float64) *float64 { return &v }
	s := func(v string) *string { return &v }
	r := file(t, []row{
		{1, 1 << 63, f(1.5), 0.5, s("red"), true}, {-2, 2, nil, 0.25, s(""), false},
		{3, 3, f(math.Inf(-1)), 0, nil, true}, {4, 4, f(4), 1, s("blue"), false},
	})
	columns, err := reference.Parquet(t.Context(), r, r.Size())
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
		_, err := reference.Parquet(t.Context(), r, r.Size())
		var broken *profile.Error
		require.ErrorAs(t, err, &broken, name)
		require.Equal(t, "PARQUET_TYPE", broken.Rule)
		require.Equal(t, name, broken.Column)
	}
}

// The same data give the same profile from either kind of file.
func TestReadByEnding(t *testing.T) {
	t.Parallel()
	const wine = "../../../../examples/wine/winequality-red.csv"
	columns, err := reference.Read(t.Context(), wine)
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
	fromParquet, err := reference.Read(t.Context(), path)
	require.NoError(t, err)
	require.Equal(t, columns[10:], fromParquet)

	_, err = reference.Read(t.Context(), filepath.Join(t.TempDir(), "none.csv"))
	require.ErrorIs(t, err, os.ErrNotExist)
	other := filepath.Join(t.TempDir(), "x.txt")
	require.NoError(t, os.WriteFile(other, nil, 0o600))
	_, err = reference.Read(t.Context(), other)
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
		columns, err := reference.Parquet(t.Context(), bytes.NewReader(data), int64(len(data)))
		var broken *profile.Error
		if err != nil && !errors.Is(err, fault.Invalid) && !errors.As(err, &broken) {
			t.Fatalf("error %v is neither invalid nor a broken rule", err)
		}
		_ = columns
	})
}
