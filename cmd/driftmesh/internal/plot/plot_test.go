package plot_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/plot"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

func moved() *driftv1.Score {
	return &driftv1.Score{Verdict: driftv1.Verdict_VERDICT_DRIFT, Bins: []*driftv1.BinScore{
		{Label: "(-inf, 9.500000000001]", Expected: 0.5, Observed: 0.125, Contribution: 0.2}, {Label: "東京", Expected: 0.25, Observed: 1, Contribution: 0.4},
		{Label: "a label that is longer than there is room", Expected: 0.25},
	}, States: []*driftv1.BinScore{{Label: "missing", Observed: 0.01}, {Label: "nan"}}}
}

func TestHistogram(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.NoError(t, plot.Style{Width: 60}.Histogram(&out, moved()))
	require.Equal(t, `  ≤ 9.5                  50.0% ░░░░░░░░░░░░░░░
                         12.5% ███▋
◆ 東京                   25.0% ░░░░░░░
                        100.0% █████████████████████████████
  a label that is lon…   25.0% ░░░░░░░
                          0.0% 
  missing                 0.0% 
                          1.0% ▎
`, out.String())
	// No line is wider than it may be, however narrow or wide that is.
	for _, width := range []int{0, 1, 40, 97, 200} {
		out.Reset()
		require.NoError(t, plot.Style{Width: width}.Histogram(&out, moved()))
		for line := range strings.Lines(out.String()) {
			require.LessOrEqual(t, len([]rune(strings.TrimRight(line, "\n"))), max(width, 40, 80*(1-min(width, 1))))
		}
	}
	out.Reset()
	require.NoError(t, plot.Style{Color: true, Safe: func(s string) string { return strings.ReplaceAll(s, "東京", "Tokyo") }}.Histogram(&out, moved()))
	require.Contains(t, out.String(), "\x1b[33m◆\x1b[0m Tokyo")
	require.Contains(t, out.String(), "\x1b[34m█")
}

func TestLine(t *testing.T) {
	t.Parallel()
	points := []plot.Point{{Value: 0}, {Value: 0.5}, {Value: math.NaN()}, {Value: 1, Drift: true}, {Value: 0.7, Insufficient: true}}
	require.Equal(t, "▁▅ █·", plot.Style{}.Line(points, 80))
	require.Equal(t, "▅█", plot.Style{}.Line(points, 2), "the worst of each part")
	require.Equal(t, "▁▁", plot.Style{}.Line(make([]plot.Point, 2), 80))
	require.Contains(t, plot.Style{Color: true}.Line(points, 80), "\x1b[33m█\x1b[0m")
}

func TestShortLabels(t *testing.T) {
	t.Parallel()
	for label, want := range map[string]string{
		"(-inf, 4.600000000001]": "≤ 4.6", "(4.600000000001, 12345.678]": "(4.6, 12346]", "(1e-07, +inf)": "> 1e-07", "(-inf, +inf)": "any",
		"(a, b]": "(a, b]", "red": "red", "": "", "(1, 2": "(1, 2", "(": "(",
	} {
		require.Equal(t, want, plot.Short(label))
	}
}
