package detect_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/detect"
)

// TestPower finds a shift of a quarter and of half a standard deviation about as
// often as SciPy's tests do on the same samples: those of shares on the same
// deciles, those of ranks on the raw values, of which we have twenty cells.
func TestPower(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/power.json")
	require.NoError(t, err)
	var sets []struct {
		Shift  float64
		N, M   uint64
		Counts [][]uint64
		Found  map[string]int
	}
	require.NoError(t, json.Unmarshal(text, &sets))
	for _, set := range sets {
		for _, c := range []struct {
			name, scipy string
			cells       int
			slack       float64 // in windows of a hundred
		}{
			{"psi", "chi2_contingency", 10, 4}, // the p-value of SciPy's g is too small at 100 rows
			{"chi_square", "chi2_contingency", 10, 2},
			{"g", "g", 10, 5},
			{"jensen_shannon", "g", 10, 5},
			{"hellinger", "g", 10, 6},
			{"ks", "ks_2samp", 20, 4},
			{"cramer_von_mises", "cramervonmises_2samp", 20, 2},
			{"anderson_darling", "anderson_ksamp", 20, 3},
			{"wasserstein", "cramervonmises_2samp", 20, 8},
		} {
			found := 0
			for i, counts := range set.Counts {
				in := sides(detect.Quantiles, make([]uint64, c.cells), make([]uint64, c.cells))
				for k, v := range counts {
					in.Reference.Counts[k*c.cells/len(counts)] += set.N / uint64(len(counts))
					in.Current.Counts[k*c.cells/len(counts)] += v
				}
				in.Seed = uint64(i)
				if c.cells == 10 {
					in.Params = map[string]float64{detect.Replicates: 199, detect.Alpha: 0.1}
				}
				if detect.Find(c.name).Judge(in).P <= 0.05 {
					found++
				}
			}
			windows := len(set.Counts)
			t.Logf("shift %.2f: %-17s %5.1f %%, SciPy's %s %5.1f %%", set.Shift, c.name, 100*float64(found)/float64(windows),
				c.scipy, 100*float64(set.Found[c.scipy])/float64(windows))
			require.Greater(t, float64(found), float64(set.Found[c.scipy])-c.slack*float64(windows)/100, c.name)
		}
	}
}
