package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// command runs the program in this process.
func command(t *testing.T, args ...string) (out, errs string, code int) {
	t.Helper()
	var o, e strings.Builder
	code = run(t.Context(), args, console{out: safeWriter{&o}, err: safeWriter{&e}})
	return o.String(), e.String(), code
}

// months writes six months of rows, two a day; moved says from which month on
// what moves.
func months(t *testing.T, name string, begin time.Time, number, moved int) string {
	t.Helper()
	r := rand.New(rand.NewPCG(7, 8))
	var text strings.Builder
	text.WriteString("day,steady,moves,kind\n")
	for month := range number {
		first := begin.AddDate(0, month, 0)
		for day := first; day.Month() == first.Month(); day = day.AddDate(0, 0, 1) {
			for range 10 {
				moves := r.NormFloat64()
				if month >= moved {
					moves += 2
				}
				fmt.Fprintf(&text, "%s,%.4f,%.4f,%s\n", day.Format("02/01/2006"), r.NormFloat64(), moves, []string{"a", "b"}[r.IntN(2)])
			}
		}
	}
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text.String()), 0o600))
	return path
}

// pairedTable writes rows of three numbers, the second of which goes with the first,
// or against it in rows after so many.
func pairedTable(t *testing.T, name string, rows, turned int) string {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(rows), 8))
	var text strings.Builder
	text.WriteString("size,weight,depth\n")
	for row := range rows {
		x := r.NormFloat64()
		y := x
		if row >= turned {
			y = -x
		}
		weight := fmt.Sprintf("%.4f", 1000*(y+.3*r.NormFloat64()))
		if row%50 == 0 {
			weight = ""
		}
		fmt.Fprintf(&text, "%.4f,%s,%.4f\n", x, weight, r.NormFloat64())
	}
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text.String()), 0o600))
	return path
}

// Features that go apart are found together, and by none alone; by significance, and
// by how the statistic varies over chunks of the reference.
func TestCompareTogether(t *testing.T) {
	t.Parallel()
	reference, current := pairedTable(t, "reference.csv", 4000, 4000), pairedTable(t, "current.csv", 800, 400)
	out, errs, code := command(t, "drift", "compare", reference, current, "--detector", "ks", "--exit-code")
	require.Equal(t, exitOK, code, out+errs)
	out, errs, code = command(t, "drift", "compare", reference, current, "--detector", "pca_reconstruction", "--chunk", "400", "--exit-code")
	require.Equal(t, exitDrift, code, errs)
	require.Regexp(t, `pca_reconstruction +size, weight, depth +[▁▂▃]█ +\S+ +\S+ +rows 401 to 800\n`, out)
	out, errs, code = command(t, "drift", "compare", reference, current, "--detector", "pca_reconstruction", "--chunk", "400", "--sigmas", "4", "--plot", "--exit-code")
	require.Equal(t, exitDrift, code, errs)
	require.Regexp(t, `pca_reconstruction +size, weight, depth +[▁▂▃]█ +\S+ +\S+ to \S+ +rows 401 to 800\n`, out)
	require.Regexp(t, `size, weight, depth in rows 401 to 800: pca_reconstruction \S+, threshold \S+ to \S+, 392 values`, out)
	require.Regexp(t, `weight +1\.9%`, out)
	out, errs, code = command(t, "drift", "compare", reference, current, "--detector", "hotelling", "--features", "size,depth", "--exit-code")
	require.Equal(t, exitOK, code, errs)
	require.Regexp(t, `hotelling +size, depth +ok`, out)
	_, errs, code = command(t, "drift", "compare", reference, current, "--detector", "wrong_type")
	require.Equal(t, exitError, code)
	require.Contains(t, errs, "all of a table's column are of one type")
	_, errs, code = command(t, "drift", "compare", reference, current, "--detector", "hotelling", "--features", "size")
	require.Equal(t, exitError, code)
	require.Contains(t, errs, "hotelling judges 2 to 32 numbers together, and these are 1")
}

// Chunks of the current data are held against how the statistic varies over
// chunks of the reference.
func TestCompareByMonth(t *testing.T) {
	t.Parallel()
	reference := months(t, "reference.csv", time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), 12, 99)
	current := months(t, "current.csv", time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), 6, 4)
	args := []string{"drift", "compare", reference, current, "--chunk", "month", "--time", "day", "--time-format", "%d/%m/%Y", "--detector", "jensen_shannon", "--sigmas", "3"}
	out, errs, code := command(t, append(args, "--exit-code")...)
	require.Equal(t, exitDrift, code, errs)
	require.Regexp(t, `current.csv against .*reference.csv: 6 chunks, 2025-01 to 2025-06`, out)
	require.Regexp(t, `jensen_shannon +steady +\S+ +\S+ +\S+ to \S+ +-`, out)
	require.Regexp(t, `jensen_shannon +moves +▁▁▁▁[▇█]{2} +\S+ +\S+ to \S+ +2025-05, 2025-06`, out)

	out, errs, code = command(t, append(args, "-o", "json")...)
	require.Equal(t, exitOK, code, errs)
	var found struct {
		Drift  bool
		Chunks []struct {
			Label      string
			Start      time.Time `json:"start_time"`
			Rows       int
			Evaluation struct {
				Records string
				Scores  []struct {
					Feature, Verdict string
					Value, Threshold float64
					Lower            *float64 `json:"lower_threshold"`
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &found), out)
	require.True(t, found.Drift)
	require.Len(t, found.Chunks, 6)
	require.Equal(t, 310, found.Chunks[0].Rows)
	require.Equal(t, "310", found.Chunks[0].Evaluation.Records)
	require.Equal(t, time.Date(2025, 2, 1, 0, 0, 0, 0, time.UTC), found.Chunks[1].Start)
	for i, c := range found.Chunks {
		require.Len(t, c.Evaluation.Scores, 3)
		for _, s := range c.Evaluation.Scores {
			require.NotNil(t, s.Lower)
			want := "VERDICT_OK"
			if s.Feature == "moves" && i >= 4 {
				want = "VERDICT_DRIFT"
			}
			require.Equal(t, want, s.Verdict, "%s in %s: %v against %v", s.Feature, c.Label, s.Value, s.Threshold)
		}
	}
	out, _, code = command(t, append(args, "--all", "--plot")...)
	require.Equal(t, exitOK, code)
	require.Regexp(t, `2025-05 +310 +jensen_shannon +moves +drift`, out)
	require.Contains(t, out, "\nmoves in 2025-06: jensen_shannon ")
}

// Moments of chunks have thresholds like any other statistic.
func TestCompareMeansByMonth(t *testing.T) {
	t.Parallel()
	reference := months(t, "reference.csv", time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), 12, 99)
	current := months(t, "current.csv", time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), 6, 4)
	out, errs, code := command(t, "drift", "compare", reference, current, "--chunk", "month", "--time", "day", "--time-format", "%d/%m/%Y",
		"--detector", "mean", "--sigmas", "4", "--features", "steady,moves")
	require.Equal(t, exitOK, code, errs)
	require.Regexp(t, `mean +steady +\S+ +\S+ +-\S+ to \S+ +-`, out)
	require.Regexp(t, `mean +moves +\S+ +\S+ +-\S+ to \S+ +2025-05, 2025-06`, out)
}

func TestCompareSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	good, empty, wrong, other := file("good.csv", "x,y\n1,a\n2,b\n"), file("empty.csv", "x,y\n"), file("wrong.csv", "x,y\n1,a\nmany,b\n"), file("other.csv", "z\n1\n")
	for says, args := range map[string][]string{
		"none.csv: no such file":                            {filepath.Join(dir, "none.csv"), good},
		`column "x": row 2: "many" is not of type float`:    {good, wrong},
		`there is no column "x", but z`:                     {good, other},
		"read the reference: column":                        {empty, good},
		`--chunk month: needs the column of event times`:    {good, good, "--chunk", "month"},
		"needs chunks of the reference: --chunk":            {good, good, "--sigmas", "3"},
		"at least 2 are needed":                             {good, good, "--sigmas", "3", "--chunk", "2"},
		`chunk "fortnight" is not hour, day, week, month`:   {good, good, "--chunk", "fortnight"},
		`there is no column "w", but x, y`:                  {good, good, "--ignore", "w"},
		`there is no detector telepathy, but psi`:           {good, good, "--monitors", file("m.json", `[{"name": "a", "detector": "telepathy"}]`)},
		"--separator: is one character, or tab":             {good, good, "--separator", "::"},
		`time zone "Mars" is no IANA name such as`:          {good, good, "--time-zone", "Mars"},
		"is neither Parquet nor Arrow, and does not end in": {file("x.xls", "x"), good},
	} {
		_, errs, code := command(t, append([]string{"drift", "compare"}, args...)...)
		require.Equal(t, exitError, code, says)
		require.Contains(t, errs, says)
	}
	out, errs, code := command(t, "drift", "compare", good, file("half.csv", "x\n1\n2\n"), "--detector", "missing", "--significance", "0.5")
	require.Equal(t, exitOK, code, errs)
	require.Contains(t, errs, "half.csv has no column of y: counts as missing")
	require.Regexp(t, `missing +y +ok +missing +2 +- +0.6667 +2 +2 +2 `, out)
	out, _, code = command(t, "drift", "compare", good, empty)
	require.Equal(t, exitOK, code)
	require.Regexp(t, `psi +x +insufficient`, out)
}

// Detectors of moments judge a table too; charts need windows of time.
func TestCompareByMoments(t *testing.T) {
	t.Parallel()
	begin := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	args := []string{"drift", "compare", months(t, "reference.csv", begin, 12, 99), months(t, "current.csv", begin.AddDate(1, 0, 0), 6, 0), "--ignore", "day", "--exit-code"}
	for _, detector := range []string{"mean", "spread", "out_of_range"} {
		out, errs, code := command(t, append(args, "--detector", detector)...)
		require.Equal(t, exitDrift, code, "%s: %s", detector, errs)
		require.Regexp(t, detector+` +moves .*drift`, out)
		require.NotRegexp(t, detector+` +steady .*drift`, out)
		require.NotContains(t, out, "unmeasured")
	}
	_, errs, code := command(t, append(args, "--detector", "cusum")...)
	require.NotZero(t, code)
	require.Contains(t, errs, "detector cusum judges windows of time: name the column of event times")
}

// predictions writes rows a minute apart, of which one in so many is predicted
// wrongly, by class and by a number that is off by as much.
func predictions(t *testing.T, name string, rows, wrong int, off float64) string {
	t.Helper()
	var text strings.Builder
	text.WriteString("at,said,came,guess,price\n")
	begin := time.Date(2026, 3, 2, 0, 0, 30, 0, time.UTC)
	for i := range rows {
		came := i%2 == 0
		said := came != (i%wrong == 0)
		fmt.Fprintf(&text, "%s,%t,%t,%g,%g\n", begin.Add(time.Duration(i)*time.Minute).Format(time.RFC3339), said, came, 100+off*float64(i%3), 100.0)
	}
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text.String()), 0o600))
	return path
}

// Predictions are judged by what came true, of classes and of numbers, also by how
// that varies over chunks of the reference; charts and rates by the times of rows.
func TestCompareWithLabelsAndTimes(t *testing.T) {
	t.Parallel()
	reference, same, worse := predictions(t, "reference.csv", 2880, 10, 1), predictions(t, "same.csv", 960, 10, 1), predictions(t, "worse.csv", 960, 4, 2)
	classes := []string{"--detector", "accuracy", "--target", "came", "--prediction", "said", "--exit-code"}
	numbers := []string{"--detector", "mae", "--target", "price", "--prediction", "guess", "--exit-code"}
	for name, c := range map[string]struct {
		current string
		args    []string
		code    int
		out     string
	}{
		"right as often":    {same, append(classes, "--ignore", "at"), exitOK, `accuracy +came +ok +accuracy +0 `},
		"wrong more often":  {worse, append(classes, "--ignore", "at"), exitDrift, `accuracy +came +drift +accuracy +-11\.69 `},
		"errors as large":   {same, append(numbers, "--ignore", "at"), exitOK, `mae +price +ok`},
		"errors larger":     {worse, append(numbers, "--ignore", "at"), exitDrift, `mae +price +drift`},
		"by its chunks":     {worse, append(classes, "--time", "at", "--chunk", "hour", "--sigmas", "4"), exitDrift, `accuracy +came .* all\n`},
		"chunks as before":  {same, append(classes, "--time", "at", "--chunk", "hour", "--sigmas", "4"), exitOK, `accuracy +came .* -\n`},
		"a chart":           {worse, []string{"--detector", "xbar_s", "--time", "at", "--features", "guess", "--param", "minutes=30", "--exit-code"}, exitDrift, `xbar_s +guess +drift`},
		"a chart, the same": {same, []string{"--detector", "xbar_s", "--time", "at", "--features", "guess", "--param", "minutes=30", "--exit-code"}, exitOK, `xbar_s +guess +ok`},
		"a rate":            {same, []string{"--detector", "volume", "--time", "at", "--features", "guess", "--reference-span", "48h", "--exit-code"}, exitOK, `volume +guess +ok +volume +1 `},
		"another rate":      {same, []string{"--detector", "volume", "--time", "at", "--features", "guess", "--reference-span", "24h", "--exit-code"}, exitDrift, `volume +guess +drift +volume +0\.5 `},
		"silence":           {same, []string{"--detector", "freshness", "--time", "at", "--features", "guess", "--reference-span", "48h", "--exit-code"}, exitOK, `freshness +guess +ok +freshness +30 `},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, errs, code := command(t, append([]string{"drift", "compare", reference, c.current}, c.args...)...)
			require.Equal(t, c.code, code, out+errs)
			require.Regexp(t, c.out, out)
		})
	}
	_, errs, code := command(t, "drift", "compare", reference, same, "--detector", "xbar_s", "--ignore", "at")
	require.Equal(t, exitError, code)
	require.Contains(t, errs, "name the column of event times")
	_, errs, code = command(t, "drift", "compare", reference, same, "--detector", "accuracy", "--ignore", "at")
	require.Equal(t, exitError, code)
	require.Contains(t, errs, "needs an outcome")
}
