package table

import (
	"bufio"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

var scaleRows = flag.Int("scale.rows", 500, "rows of TestScale")

// scaleColumns is how many features TestScale has; of 20 each 17 are floats with
// all their digits, some with gaps, and the others counts, amounts and texts.
const scaleColumns = 200

// scaleFiles writes the same random data as Parquet and as CSV.
func scaleFiles(t *testing.T, rows int) (paths [2]string) {
	t.Helper()
	group := parquet.Group{}
	var header []string
	for i := range scaleColumns {
		name := fmt.Sprintf("f%03d", i)
		header = append(header, name)
		switch i % 20 {
		case 7:
			group[name] = parquet.Int(64)
		case 13:
			group[name] = parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
		default:
			group[name] = parquet.Optional(parquet.Leaf(parquet.DoubleType))
		}
	}
	dir := t.TempDir()
	paths = [2]string{filepath.Join(dir, "scale.parquet"), filepath.Join(dir, "scale.csv")}
	columnar, err := os.Create(paths[0])
	require.NoError(t, err)
	w := parquet.NewWriter(columnar, parquet.NewSchema("scale", group), parquet.MaxRowsPerRowGroup(100_000), parquet.Compression(&parquet.Snappy))
	text, err := os.Create(paths[1])
	require.NoError(t, err)
	lines := bufio.NewWriter(text)
	fmt.Fprintln(lines, strings.Join(header, ","))
	r := rand.New(rand.NewPCG(1, 2))
	row, line := make(parquet.Row, scaleColumns), []byte(nil)
	for range rows {
		line = line[:0]
		for i := range row {
			switch v := math.Exp(r.NormFloat64()); {
			case i%20 == 7:
				n := r.Int64N(int64(2 + 50*i))
				row[i], line = parquet.Int64Value(n).Level(0, 0, i), strconv.AppendInt(line, n, 10)
			case i%20 == 13:
				s := "city-" + strconv.Itoa(r.IntN(40))
				row[i], line = parquet.ByteArrayValue([]byte(s)).Level(0, 0, i), append(line, s...)
			case i%20 == 18 && r.IntN(50) == 0:
				row[i] = parquet.NullValue().Level(0, 0, i)
			default:
				if i%20 == 17 {
					v = math.Round(1000*v) / 100
				}
				row[i], line = parquet.DoubleValue(v).Level(0, 1, i), strconv.AppendFloat(line, v, 'g', -1, 64)
			}
			line = append(line, ',')
		}
		line[len(line)-1] = '\n'
		_, err := lines.Write(line)
		require.NoError(t, err)
		_, err = w.WriteRows([]parquet.Row{row})
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, columnar.Close())
	require.NoError(t, lines.Flush())
	require.NoError(t, text.Close())
	return paths
}

// The same data give the same profile from either kind of file. With many rows
// it measures: see docs/performance.md.
func TestScale(t *testing.T) {
	var made [2]*profile.Profile
	for i, path := range scaleFiles(t, *scaleRows) {
		debug.FreeOSMemory()
		_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // the peak begins anew
		before := cpu(t)
		var err error
		made[i], err = profileOf(t.Context(), path, profile.Options{Space: "s", Name: "n"}, ignore)
		require.NoError(t, err)
		t.Logf("%s: %.1f CPU-s, peak memory %s", filepath.Base(path), (cpu(t) - before).Seconds(), peak(t))
	}
	require.Len(t, made[0].Features, scaleColumns)
	require.Equal(t, made[0], made[1])
}

func cpu(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func peak(t *testing.T) string {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}
