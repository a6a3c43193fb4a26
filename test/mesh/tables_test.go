package mesh_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// The same rows come to the same counts, whatever file they are in, at the times
// that the file says.
func requireAnyFile(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	dir := filepath.Join(mesh.Root(t), "cmd/driftmesh/internal/table/testdata")
	features := []string{"--features", "age,ratio,price,color,kind,member"}
	// The rows are a minute apart, so an hour has sixty of them.
	var first string
	for _, name := range []string{"table.csv", "table.parquet", "file.arrow", "stream.arrows", "lz4.feather"} {
		path, profile := filepath.Join(dir, name), strings.Split(name, ".")[0]
		made := append([]string{"profile", "create", "--reference", path, "--name", profile, "--null", "NA", "--detector", "psi_scouter", "--fixed", "0.2"}, features...)
		m.MustCLI(t, made...)
		sent := append([]string{"records", "send", path, "--profile", "default/" + profile, "--time", "seconds", "--id", "id", "--null", "NA"}, features...)
		for range 2 { // a record that is sent again counts once
			require.Equal(t, "accepted 200, rejected 0, not sent 0", m.MustCLI(t, sent...), name)
		}
		got := digits(t, evaluated(t, m.Addresses, "default/"+profile, time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC), 60))
		if first == "" {
			first = got
		}
		require.Equal(t, first, got, name)
	}
	m.MustCLI(t, append([]string{"profile", "create", "--reference", filepath.Join(dir, "table.parquet"), "--name", "shop"}, features...)...)
	out, err := m.CLI(t, append([]string{"records", "send", filepath.Join(dir, "table.csv"), "--profile", "default/shop", "--time", "at", "--null", "NA"}, features...)...)
	require.Error(t, err)
	require.Contains(t, out, "accepted 171, rejected 0, not sent 29\n  29 rows, the first is 4: column \"at\" holds no time\n")
	out, err = m.CLI(t, "records", "send", filepath.Join(dir, "table.csv"), "--profile", "default/shop")
	require.Error(t, err)
	require.Contains(t, out, `profile default/shop/0.1.0 has no feature "id", "big", "single", "half", "day", "day64", "at", "seconds"`)

	// What the server refuses is told by column and row.
	late := filepath.Join(t.TempDir(), "late.csv")
	require.NoError(t, os.WriteFile(late, []byte("age,at\nx,2026-01-01\n1,1999-01-01\n2,2026-01-01\n3,1999-01-01\n"), 0o600))
	out, err = m.CLI(t, "records", "send", late, "--profile", "default/shop", "--time", "at")
	require.Error(t, err)
	require.Contains(t, out, "counts as missing")
	_, told, _ := strings.Cut(out, "accepted 1, rejected 2, not sent 1\n")
	require.Contains(t, told, "row 1: column \"age\" is not a number: \"x\"\n")
	require.Contains(t, told, "2 rows, the first is 2: event_time: lies more than 3285 days back (event_time_out_of_range)\n")
}

// Values of another type are refused with their record, but where a monitor counts
// them: then they are, each record once, however often and in what order it is sent.
func requireWrongTypes(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, lines []string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte("age,city,at,id\n"+strings.Join(lines, "\n")+"\n"), 0o600))
		return path
	}
	var good, odd []string
	for i := range 300 {
		line := func(age string) string { return fmt.Sprintf("%s,Rome,2026-01-01T00:%02d:00Z,%d", age, i%50, i) }
		good, odd = append(good, line(strconv.Itoa(i%70))), append(odd, line(strconv.Itoa(i%70)))
		if i%10 == 3 {
			odd[i] = line("old")
		}
	}
	reference, first := write("reference.csv", good), write("first.csv", odd)
	slices.Reverse(odd)
	second := write("second.csv", odd)
	for _, name := range []string{"strict", "tolerant"} {
		detector := map[string]string{"strict": "missing", "tolerant": "wrong_type"}[name]
		m.MustCLI(t, "profile", "create", "--reference", reference, "--name", name, "--ignore", "at,id", "--detector", detector)
	}
	out, err := m.CLI(t, "records", "send", first, "--profile", "default/strict", "--time", "at", "--id", "id")
	require.Error(t, err)
	require.Contains(t, out, "accepted 270, rejected 0, not sent 30\n  30 rows, the first is 4: column \"age\" is not a number: \"old\"")
	for _, path := range []string{first, second, first} {
		require.Equal(t, "accepted 300, rejected 0, not sent 0", m.MustCLI(t, "records", "send", path, "--profile", "default/tolerant", "--time", "at", "--id", "id"))
	}
	e := evaluated(t, m.Addresses, "default/tolerant", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), 300)
	require.Len(t, e.GetScores(), 2)
	for _, s := range e.GetScores() {
		want, verdict := uint64(0), driftv1.Verdict_VERDICT_OK
		if s.GetFeature() == "age" {
			want, verdict = 30, driftv1.Verdict_VERDICT_DRIFT
		}
		state := s.GetStates()[len(s.GetStates())-1]
		require.Equal(t, "wrong_type", state.GetLabel())
		require.Equal(t, want, state.GetCount(), s.GetFeature())
		require.Equal(t, verdict, s.GetVerdict(), s.GetFeature())
		require.EqualValues(t, 300, s.GetSample())
	}
}

// What drift run says right after records or labels were sent counts them: labels of
// records from before too, and those that take the place of others.
func requireSentIsJudged(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	dir, begin := t.TempDir(), time.Now().UTC().Add(-2*time.Hour).Truncate(time.Minute)
	const n = 300
	write := func(name, columns string, line func(i int) string) string {
		lines := []string{columns}
		for i := range n {
			lines = append(lines, line(i))
		}
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
		return path
	}
	said := func(i int) string { return strconv.FormatBool(i%2 == 0) }
	reference := write("reference.csv", "said,came", func(i int) string { return said(i) + "," + strconv.FormatBool((i%2 == 0) != (i%10 == 0)) })
	m.MustCLI(t, "profile", "create", "--reference", reference, "--name", "loan", "--detector", "accuracy", "--target", "came", "--prediction", "said")
	records := write("records.csv", "said,at,id", func(i int) string {
		return fmt.Sprintf("%s,%s,%d", said(i), begin.Add(time.Duration(i%40)*time.Minute).Format(time.RFC3339), i)
	})
	m.MustCLI(t, "records", "send", records, "--profile", "default/loan", "--time", "at", "--id", "id")
	for round := range 8 { // one more of ten is wrong each time
		labels := write("labels.csv", "came,id", func(i int) string { return fmt.Sprintf("%t,%d", (i%2 == 0) != (i%10 < round), i) })
		m.MustCLI(t, "records", "send", labels, "--profile", "default/loan", "--labels", "--id", "id")
		var answer driftv1.EvaluateResponse
		require.NoError(t, protojson.Unmarshal([]byte(m.MustCLI(t, "drift", "run", "default/loan", "--since", "3h", "-o", "json")), &answer))
		require.EqualValues(t, n, answer.GetEvaluation().GetRecords())
		require.Len(t, answer.GetEvaluation().GetScores(), 1)
		s := answer.GetEvaluation().GetScores()[0]
		require.EqualValues(t, n, s.GetSample(), "round %d", round)
		p, q := 0.9, 1-float64(round)/10
		pooled := (p + q) / 2
		require.InDelta(t, (q-p)/math.Sqrt(pooled*(1-pooled)*2/n), s.GetValue(), 1e-9, "round %d", round)
	}
}

// writeRandom writes rows whose values are all that a value can be, and of which
// some have moved.
func writeRandom(t *testing.T, r *rand.Rand, rows int, moved bool) string {
	t.Helper()
	shift, other := 0.0, 0
	if moved {
		shift, other = 0.4, 3
	}
	pick := func(texts ...string) string { return texts[r.IntN(len(texts))] }
	var text strings.Builder
	text.WriteString("at,amount,ties,few,same,city,grade,member,chance,said,came,id\n")
	for i := range rows {
		amount := strconv.FormatFloat(r.NormFloat64()+shift, 'g', -1, 64)
		if r.IntN(20) == 0 {
			amount = pick("", "NaN", "Inf", "-Inf", "-0", "0")
		}
		ties := strconv.FormatFloat(math.Round(10*(r.ExpFloat64()+shift))/10, 'g', -1, 64)
		few := strconv.Itoa(int(r.ExpFloat64() * 2))
		if moved && r.IntN(9) == 0 {
			few += ".5" // where the reference has only whole numbers
		}
		city := pick("Rome", "Köln", "\"a, \"\"b\"\"\"", "東京", "")
		if r.IntN(5) < other {
			city = pick("new", "newer")
		}
		grade := strconv.Itoa(r.IntN(4 + other))
		if r.IntN(4) == 0 {
			grade = pick(grade+".0", "", "NaN")
		}
		chance := r.Float64()
		came := strconv.FormatBool(r.Float64() < chance-shift/2)
		if r.IntN(10) == 0 {
			came = ""
		}
		fmt.Fprintf(&text, "2026-01-01T00:%02d:%02dZ,%s,%s,%s,7,%s,%s,%s,%.3f,%t,%s,%d\n", i%60, i/60, amount, ties, few, city, grade, pick("true", "False", ""),
			chance, chance > 0.5, came, i)
	}
	path := filepath.Join(t.TempDir(), "random.csv")
	require.NoError(t, os.WriteFile(path, []byte(text.String()), 0o600))
	return path
}

// A comparison without a mesh and an evaluation in one come to the same, to the
// last digit: counts, statistics, p-values, thresholds, verdicts and what each
// bin adds; of charts and rates by the times in the file, and of predictions by
// what came true.
func requireCompareIsTheMesh(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	monitors := filepath.Join(t.TempDir(), "monitors.json")
	require.NoError(t, os.WriteFile(monitors, []byte(`[{"name": "psi", "detector": "psi"}, {"name": "ks", "detector": "ks", "threshold": {"significance": 0.01}},
		{"name": "fixed", "detector": "psi_scouter", "threshold": {"fixed": 0.1}}, {"name": "holes", "detector": "missing"},
		{"name": "unseen", "detector": "unseen_category"}, {"name": "mean", "detector": "mean"}, {"name": "spread", "detector": "spread"},
		{"name": "reach", "detector": "out_of_range"}, {"name": "constant", "detector": "constant"}, {"name": "few", "detector": "wasserstein", "features": ["few", "ties"], "min_sample": 100000},
		{"name": "right", "detector": "accuracy"}, {"name": "f1", "detector": "f1"}, {"name": "auc", "detector": "auc"}, {"name": "cal", "detector": "calibration"},
		{"name": "means", "detector": "xbar_s", "features": ["amount", "ties"]}, {"name": "scouter", "detector": "scouter_spc", "features": ["amount"]},
		{"name": "runs", "detector": "ewma", "features": ["amount"], "parameters": {"minutes": 5}}, {"name": "share", "detector": "p_chart", "features": ["city", "few"]},
		{"name": "rate", "detector": "volume"}, {"name": "pause", "detector": "freshness"}]`), 0o600))
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 1))
		reference, current := writeRandom(t, r, 3000, false), writeRandom(t, r, 2000, seed > 0)
		how := []string{"--monitors", monitors, "--categories", "grade", "--ignore", "id", "--time", "at", "--reference-span", "1h",
			"--target", "came", "--prediction", "said", "--score", "chance", "--positive", "true"}
		var found struct {
			Drift  bool
			Chunks []struct{ Evaluation json.RawMessage }
		}
		out, err := exec.Command(mesh.Binary(t, "./cmd/driftmesh"), append([]string{"drift", "compare", reference, current, "-o", "json", "--chunk", "hour"}, how...)...).Output()
		require.NoError(t, err, "%s", out)
		require.NoError(t, json.Unmarshal(out, &found))
		require.Len(t, found.Chunks, 1)
		var offline driftv1.Evaluation
		require.NoError(t, protojson.Unmarshal(found.Chunks[0].Evaluation, &offline))

		name := fmt.Sprintf("random-%d", seed)
		m.MustCLI(t, append([]string{"profile", "create", "--reference", reference, "--name", name}, how...)...)
		require.Equal(t, "accepted 2000, rejected 0, not sent 0",
			m.MustCLI(t, "records", "send", current, "--profile", "default/"+name, "--time", "at", "--id", "id"))
		online := evaluated(t, m.Addresses, "default/"+name, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), 2000)
		require.EqualValues(t, 2000, offline.GetRecords())
		require.Equal(t, plainScores(&offline), plainScores(online))
		moved := slices.ContainsFunc(online.GetScores(), func(s *driftv1.Score) bool { return s.GetVerdict() == driftv1.Verdict_VERDICT_DRIFT })
		require.Equal(t, moved, found.Drift)
		if seed > 0 {
			require.True(t, moved)
		}
	}
}

// plainScores are the scores without exemplars, which only a mesh has, in JSON.
func plainScores(e *driftv1.Evaluation) []string {
	all := make([]string, 0, len(e.GetScores()))
	for _, s := range e.GetScores() {
		for _, b := range slices.Concat(s.GetBins(), s.GetStates()) {
			b.Exemplars = nil
		}
		all = append(all, strings.Join(strings.Fields(protojson.Format(s)), " "))
	}
	return all
}

// What a profile's evaluations found is drawn in a terminal and in a page, from
// slots of its schedule and from chunks of its records.
func requireViews(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	reference, current := writeRandom(t, r, 2000, false), writeRandom(t, r, 1000, true)
	m.MustCLI(t, "profile", "create", "--reference", reference, "--name", "shop", "--features", "amount,city", "--schedule", "* * * * * *", "--lookback", "100000h")
	m.MustCLI(t, "records", "send", current, "--profile", "default/shop", "--time", "at", "--id", "id", "--ignore-others")
	var answer struct {
		Series []struct {
			Monitor, Feature string
			Points           []struct {
				Verdict string
				Slots   int
				Sample  string
			}
		}
	}
	mesh.Await(t, time.Minute, func() error { // for a slot after the records
		if status := m.Get(t, "/api/v1/series?profile=default/shop&monitor=psi&points=1", &answer); status != http.StatusOK {
			return fmt.Errorf("status %d", status)
		}
		if len(answer.Series) != 2 || len(answer.Series[0].Points) != 1 || answer.Series[0].Points[0].Verdict != "VERDICT_DRIFT" {
			return fmt.Errorf("series %+v", answer.Series)
		}
		return nil
	})
	require.Equal(t, "amount", answer.Series[0].Feature)
	out := m.MustCLI(t, "drift", "show", "default/shop", "--start", "2026-01-01T00:00:00Z", "--end", "2026-01-02T00:00:00Z")
	require.Regexp(t, `amount: drift by psi: psi 0\.\d+, threshold`, out)
	require.Regexp(t, `◆ other +0\.0%`, out)
	out = m.MustCLI(t, "drift", "show", "default/shop", "--since", "24h", "--all", "--feature", "amount")
	require.Regexp(t, `\n  20\S+Z [▁-█]+ 20\S+Z\n`, out, "the statistic over slots")

	page := filepath.Join(t.TempDir(), "report.html")
	m.MustCLI(t, "drift", "report", "default/shop", "-o", page)
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Contains(t, string(text), "psi of amount over time, by monitor psi")
	m.MustCLI(t, "drift", "report", "default/shop", "-o", page, "--chunk", "day", "--start", "2025-12-31T00:00:00Z", "--end", "2026-01-03T00:00:00Z")
	text, err = os.ReadFile(page)
	require.NoError(t, err)
	require.Contains(t, string(text), "<h1>2 of 2 features have moved.</h1>")
	require.Contains(t, string(text), "<th>2025-12-31<td>")
	require.Regexp(t, `<th>2026-01-01<td>\S+<td>\S+<td>\S+<td>drift`, string(text))
}
