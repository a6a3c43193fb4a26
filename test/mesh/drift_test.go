package mesh_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	winedata "github.com/driftmesh/driftmesh/examples/wine"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// golden is what numpy says of the wine data (see its script).
type golden map[string]struct {
	Samples map[string]struct {
		Counts        []uint64
		Contributions []float64
		PSI           float64
	}
}

type wineData struct {
	names []string
	rows  [][]string
	want  golden
}

func readWine(t *testing.T) wineData {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(mesh.Root(t), "services/drift/internal/score/testdata/wine.json"))
	require.NoError(t, err)
	var d wineData
	require.NoError(t, json.Unmarshal(raw, &d.want))
	f, err := os.Open(wine(t))
	require.NoError(t, err)
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	d.names, d.rows = rows[0], rows[1:]
	return d
}

// reference writes the even rows to a file; moved gives the odd rows of more
// than 11 % alcohol: the split that the golden file is made from.
func (d wineData) reference(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "reference.csv")
	f, err := os.Create(path)
	require.NoError(t, err)
	w := csv.NewWriter(f)
	require.NoError(t, w.Write(d.names))
	for i := 0; i < len(d.rows); i += 2 {
		require.NoError(t, w.Write(d.rows[i]))
	}
	w.Flush()
	require.NoError(t, w.Error())
	require.NoError(t, f.Close())
	return path
}

func (d wineData) moved(t *testing.T) (rows []int) {
	t.Helper()
	for column, name := range d.names {
		if name != "alcohol" {
			continue
		}
		for i := 1; i < len(d.rows); i += 2 {
			v, err := strconv.ParseFloat(d.rows[i][column], 64)
			require.NoError(t, err)
			if v > 11 {
				rows = append(rows, i)
			}
		}
	}
	require.NotEmpty(t, rows)
	return rows
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(text, 64)
	require.NoError(t, err)
	return v
}

func (d wineData) record(t *testing.T, row int, profile string, at time.Time) *ingestv1.Record {
	t.Helper()
	features := &ingestv1.Features{}
	for column, name := range d.names {
		v := number(t, d.rows[row][column])
		feature := &ingestv1.Feature{Name: name, Value: &ingestv1.Feature_Float{Float: v}}
		if name == "quality" {
			feature.Value = &ingestv1.Feature_Int{Int: int64(v)}
		}
		features.Values = append(features.Values, feature)
	}
	return &ingestv1.Record{
		Id: fmt.Sprintf("row-%d", row), Profile: profile, EventTime: timestamppb.New(at),
		Traceparent: fmt.Sprintf("00-%032x-%016x-00", row+1, row+1),
		Body:        &ingestv1.Record_Features{Features: features},
	}
}

// Promise 3: the mathematics of the reference to 1e-9, and not a digit of
// difference with 1, 2 and 7 drift workers, whatever the order and however
// often a record comes.
func TestDriftIsExactWithAnyNumberOfWorkers(t *testing.T) {
	t.Parallel()
	data := readWine(t)
	reference, rows := data.reference(t), data.moved(t)
	kills := newKillRounds(t, data, rows)
	f := mesh.StartFive(t, kills.env()...)
	kills.f = f
	begin := time.Now().UTC().Add(-30 * time.Minute).Truncate(time.Minute)
	var first string
	for _, want := range []int{1, 2, 7} {
		for len(kills.joined) < want-1 {
			kills.joined = append(kills.joined, f.Join("drift"))
		}
		name := fmt.Sprintf("wine-%d", want)
		f.MustCLI(t, "profile", "create", "--reference", reference, "--name", name, "--detector", "psi_scouter")
		random := rand.New(rand.NewPCG(uint64(want), 5)) //nolint:gosec // small and positive
		sendShuffled(t, f.Addresses, data, rows, "default/"+name, begin, random)
		evaluation := evaluated(t, f.Addresses, "default/"+name, begin, len(rows))
		requireGolden(t, data, evaluation)
		got := digits(t, evaluation)
		if first == "" {
			first = got
		}
		require.Equal(t, first, got, "with %d workers", want)
		kills.run(t, fmt.Sprintf("killed-%d", want), random)
	}
	account := f.Settled(t, "records")
	require.EqualValues(t, 6*len(rows), account.GetStored())
	require.EqualValues(t, 6*2*len(rows), account.GetDuplicate())
}

// sendShuffled sends every record three times in an order of its own, in
// batches of odd sizes.
func sendShuffled(t *testing.T, m mesh.Addresses, data wineData, rows []int, profile string, begin time.Time, random *rand.Rand) {
	t.Helper()
	client := ingestv1.NewIngestServiceClient(m.Conn(t))
	for range 3 {
		order := random.Perm(len(rows))
		for len(order) > 0 {
			n := min(1+random.IntN(97), len(order))
			req := &ingestv1.PublishRecordsRequest{}
			for _, i := range order[:n] {
				req.Records = append(req.Records, data.record(t, rows[i], profile, begin.Add(time.Duration(i)*5*time.Second)))
			}
			order = order[n:]
			answer, err := client.PublishRecords(t.Context(), req)
			require.NoError(t, err)
			require.EqualValues(t, n, answer.GetAccepted(), answer)
		}
	}
}

// evaluated waits until all records are in the windows and returns the scores.
func evaluated(t *testing.T, m mesh.Addresses, profile string, begin time.Time, records int) *driftv1.Evaluation {
	t.Helper()
	var evaluation *driftv1.Evaluation
	mesh.Await(t, 60*time.Second, func() error {
		answer, err := driftv1.NewDriftServiceClient(m.Conn(t)).Evaluate(t.Context(), &driftv1.EvaluateRequest{
			Profile: profile, StartTime: timestamppb.New(begin), EndTime: timestamppb.New(begin.Add(time.Hour)),
		})
		require.NoError(t, err)
		evaluation = answer.GetEvaluation()
		if n := evaluation.GetRecords(); n != uint64(records) { //nolint:gosec // positive
			return fmt.Errorf("%d records of %d are in the windows", n, records)
		}
		return nil
	})
	return evaluation
}

func requireGolden(t *testing.T, data wineData, e *driftv1.Evaluation) {
	t.Helper()
	require.Len(t, e.GetScores(), len(data.names))
	for _, s := range e.GetScores() {
		want := data.want[s.GetFeature()].Samples["moved"]
		require.InDelta(t, want.PSI, s.GetValue(), 1e-9, s.GetFeature())
		require.Len(t, s.GetBins(), len(want.Counts), s.GetFeature())
		for i, bin := range s.GetBins() {
			require.Equal(t, want.Counts[i], bin.GetCount(), "%s bin %d", s.GetFeature(), i)
			require.InDelta(t, want.Contributions[i], bin.GetContribution(), 1e-9)
			if s.GetVerdict() == driftv1.Verdict_VERDICT_DRIFT {
				require.Equal(t, bin.GetCount() > 0, len(bin.GetExemplars()) > 0, "exemplars of %s bin %d", s.GetFeature(), i)
			}
		}
	}
}

// digits is everything about an evaluation that must not differ by a digit.
func digits(t *testing.T, e *driftv1.Evaluation) string {
	t.Helper()
	var all strings.Builder
	for _, s := range e.GetScores() {
		fmt.Fprintf(&all, "%s %v %v %v %v %d\n", s.GetFeature(), s.GetVerdict(), s.GetValue(), s.GetThreshold(), s.GetAdjustedPValue(), s.GetSample())
		for _, b := range s.GetBins() {
			fmt.Fprintf(&all, "  %v %d", b.GetContribution(), b.GetCount())
			for _, x := range b.GetExemplars() {
				fmt.Fprintf(&all, " %s", x.GetRecordId())
			}
			all.WriteByte('\n')
		}
	}
	return all.String()
}

// From the reference to an alert with exemplars, with the command line alone:
// requireAlert sends records that have moved from their reference and requires
// the alerts that numpy would raise.
func requireAlert(t *testing.T, m mesh.Addresses, log func() string) {
	t.Helper()
	data := readWine(t)
	m.MustCLI(t, "profile", "create", "--reference", data.reference(t), "--name", "moved", "--detector", "psi_scouter", "--fixed", "0.2")
	begin := time.Now().UTC().Add(-30 * time.Minute)
	rows := data.moved(t)
	sendShuffled(t, m, data, rows, "default/moved", begin, rand.New(rand.NewPCG(3, 4)))
	evaluated(t, m, "default/moved", begin.Truncate(time.Minute), len(rows))
	m.MustCLI(t, "drift", "run", "default/moved", "--alert")

	var list struct {
		Alerts []struct {
			ID               string   `json:"id"`
			ExemplarTraceIDs []string `json:"exemplar_trace_ids"`
			Monitor          string
			Moved            []struct{ Feature string }
			MovedCount       int `json:"moved_count"`
			Occurrences      int
		}
	}
	m.JSON(t, &list, "alerts", "list", "--open")
	require.Len(t, list.Alerts, 1, "one for all that moved")
	a := list.Alerts[0]
	require.Equal(t, "psi_scouter", a.Monitor)
	require.NotEmpty(t, a.ExemplarTraceIDs)
	require.Equal(t, 1, a.Occurrences)
	require.Equal(t, "alcohol", a.Moved[0].Feature, "the worst first")
	features := map[string]bool{}
	for _, s := range a.Moved {
		features[s.Feature] = true
	}
	for name, feature := range data.want {
		require.Equal(t, feature.Samples["moved"].PSI > 0.2, features[name], name)
	}
	require.Equal(t, len(features), a.MovedCount)
	told := fmt.Sprintf("drift in default/moved/0.1.0 raised (monitor psi_scouter): %d features moved: alcohol psi_scouter", len(features))
	require.Eventually(t, func() bool { return strings.Contains(log(), told) }, 20*time.Second, 50*time.Millisecond)

	// The same again is a repetition, not an alert.
	m.MustCLI(t, "drift", "run", "default/moved", "--alert")
	m.JSON(t, &list, "alerts", "list", "--open")
	require.Len(t, list.Alerts, 1)
	require.Equal(t, 2, list.Alerts[0].Occurrences)
	require.Contains(t, m.MustCLI(t, "alerts", "ack", list.Alerts[0].ID), "acknowledged")
}

// A program registers what it watches through the client, and finds it as it went.
func requireRegistration(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	client, err := sdk.New(m.GRPC, sdk.WithToken(m.Token))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Shutdown(context.Background())) })
	columns, err := winedata.Columns()
	require.NoError(t, err)
	made, err := profile.New(columns, profile.Options{
		Space: "cellar", Name: "wine", Schedule: profile.Schedule{Cron: "0 6 * * *", Zone: "Europe/Lisbon"},
		Monitors: []profile.Monitor{
			{Name: "shifts", Detector: "ks", Features: []string{"alcohol", "pH"}, Threshold: profile.AtMost(1, 30), Severity: profile.Critical},
			{Name: "holes", Detector: "missing", Persistence: profile.Persistence{K: 2, N: 3}},
		},
	})
	require.NoError(t, err)
	got, err := client.Register(t.Context(), made)
	require.NoError(t, err)
	kept, err := client.Profile(t.Context(), "cellar/wine")
	require.NoError(t, err)
	require.Equal(t, got, kept)
	made.UID, made.Version = got.UID, "0.1.0"
	require.Equal(t, made, got)
	require.Contains(t, m.MustCLI(t, "profile", "show", "cellar/wine"), "1 false alerts in 30 days")

	// A file from before there were monitors has one.
	old := filepath.Join(mesh.Root(t), "sdk/profile/testdata/format1-default.json")
	require.Regexp(t, `psi +psi +significance 0.05 +all +warning`, m.MustCLI(t, "profile", "register", old))

	made.Monitors[0].Detector = "telepathy"
	_, err = client.Register(t.Context(), made)
	require.ErrorContains(t, err, "there is no detector telepathy, but psi")
}

// Labels that come after their records are judged with them, by their id.
func requirePerformance(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	client, err := sdk.New(m.GRPC, sdk.WithToken(m.Token))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Shutdown(context.Background())) })
	said, came := profile.Column{Name: "said", Type: profile.Bool}, profile.Column{Name: "came", Type: profile.Bool}
	chance := profile.Column{Name: "chance", Type: profile.Float}
	for i := range 2000 { // right nine times of ten
		chance.Numbers = append(chance.Numbers, float64(i%100)/100)
		said.Texts = append(said.Texts, strconv.FormatBool(i%100 >= 50))
		came.Texts = append(came.Texts, strconv.FormatBool((i%100 >= 50) != (i%10 == 0)))
	}
	made, err := profile.New([]profile.Column{said, came, chance}, profile.Options{
		Space: "bank", Name: "loan", Outcome: &profile.Outcome{Target: "came", Prediction: "said", Score: "chance", Positive: "true"},
		Monitors: []profile.Monitor{{Name: "right", Detector: "accuracy"}, {Name: "ranks", Detector: "auc"}},
	})
	require.NoError(t, err)
	registered, err := client.Register(t.Context(), made)
	require.NoError(t, err)
	require.Equal(t, made.Outcome, registered.Outcome)

	begin := time.Now().UTC().Add(-30 * time.Minute).Truncate(time.Minute)
	const n = 400
	for i := range n {
		require.NoError(t, client.Send(t.Context(), sdk.Features("bank/loan",
			sdk.Bool("said", i%100 >= 50), sdk.Float("chance", float64(i%100)/100),
		).WithID(fmt.Sprint("loan-", i)).WithTime(begin.Add(time.Duration(i%7)*time.Minute))))
	}
	require.NoError(t, client.Flush(t.Context()))
	for _, s := range evaluated(t, m.Addresses, "bank/loan", begin, n).GetScores() {
		require.Equal(t, driftv1.Verdict_VERDICT_INSUFFICIENT, s.GetVerdict(), "%s: nothing is known yet", s.GetMonitor())
	}

	for i := range n { // and then it is right half the time, as tossing a coin
		require.NoError(t, client.Send(t.Context(), sdk.Labels("bank/loan", fmt.Sprint("loan-", i), sdk.Bool("came", i%2 == 0))))
	}
	require.NoError(t, client.Flush(t.Context()))
	mesh.Await(t, 60*time.Second, func() error {
		for _, s := range evaluated(t, m.Addresses, "bank/loan", begin, n).GetScores() {
			if s.GetFeature() != "came" || s.GetVerdict() != driftv1.Verdict_VERDICT_DRIFT || s.GetMonitor() == "right" && s.GetSample() != n {
				return fmt.Errorf("%s judges %s by %d: %s", s.GetMonitor(), s.GetFeature(), s.GetSample(), s.GetVerdict())
			}
			if s.GetMonitor() == "right" {
				// From 1800 of 2000 to 200 of 400: z with the pooled share of 5/6.
				require.InDelta(t, -0.4/math.Sqrt(5.0/36*(1.0/2000+1.0/400)), s.GetValue(), 1e-9)
			}
		}
		return nil
	})
}
