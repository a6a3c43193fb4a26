package wire_test

import (
	"math"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/sdk/profile/wire"
)

func through(t *testing.T, p *profile.Profile) *profile.Profile {
	t.Helper()
	data, err := proto.Marshal(wire.Message(p))
	require.NoError(t, err)
	var m driftv1.Profile
	require.NoError(t, proto.Unmarshal(data, &m))
	back, err := wire.Profile(&m)
	require.NoError(t, err)
	return back
}

// Nothing of a profile is lost on the way, neither a digit nor a setting.
func TestProfilesComeBackAsTheyWent(t *testing.T) {
	t.Parallel()
	p, err := profile.New([]profile.Column{
		{Name: "age", Type: profile.Int, Numbers: []float64{30, 31, 30, 31, 77}, Missing: []bool{4: true}},
		{Name: "balance", Type: profile.Float, Numbers: []float64{0.1, 1e-300, math.NaN(), math.Inf(1), math.Inf(-1)}},
		{Name: "color", Type: profile.String, Texts: []string{"red", "blue", "red", "röd", "red"}},
	}, profile.Options{
		Space: "ml", Name: "churn", Version: "1.2.0", Binning: profile.Binning{Rule: profile.Manual, Bins: 3}, Correction: profile.Holm,
		Schedule: profile.Schedule{Cron: "*/5 * * * *", Zone: "Europe/Rome", Lookback: time.Hour, OnClose: true},
		Monitors: []profile.Monitor{
			{Name: "a", Detector: "psi", Parameters: map[string]float64{"smoothing": 0.1}, Routes: []string{"pager"}, Severity: profile.Critical},
			{Name: "b", Detector: "ks", Features: []string{"age"}, Threshold: profile.Above(0.2), MinSample: 7, Persistence: profile.Persistence{K: 2, N: 3}},
			{Name: "c", Detector: "psi", Threshold: profile.AtMost(1, 30), Severity: profile.Info},
			{Name: "d", Detector: "psi", Threshold: profile.Beyond(3, map[string]profile.Chunks{"age": {Mean: 1, StdDev: 0.5, Number: 9}})},
			{Name: "e", Detector: "psi", Threshold: profile.Significant(0)},
		},
	})
	require.NoError(t, err)
	p.UID = "01970f4e-6c1a-7b32-9d55-0c2f6f1f5d11"
	require.Equal(t, p, through(t, p))
	p.Outcome = &profile.Outcome{Target: "color", Score: "balance", Positive: "red", Reference: &profile.Comparison{
		Right: 1, Wrong: 2, TruePositive: 3, FalsePositive: 4, FalseNegative: 5, TrueNegative: 6, Positives: []uint64{1, 2, 3}, Negatives: []uint64{4, 5, 6},
		Absolute: profile.Spread{Number: 7, Mean: 8, StdDev: 9}, Squared: profile.Spread{Number: 10, Mean: 11, StdDev: 12},
		ErrorEdges: []float64{13}, ErrorCounts: []uint64{14, 15},
	}}
	require.Equal(t, p, through(t, p))
	p.Outcome = nil
	p.Source = &profile.Source{Of: profile.ContextRecords}
	require.Equal(t, p, through(t, p))
	p.Source = &profile.Source{Of: profile.Spans, Service: "checkout", Operation: "POST /pay", Kind: "server", Attributes: map[string]string{"region": "eu"}}
	require.Equal(t, p, through(t, p))
	p.Source = nil
	p.Groups = []profile.Group{{
		Features: []string{"age", "balance"}, Rows: 1, Incomplete: 2, Means: []float64{3, 4}, Covariances: []float64{5, 6, 7}, Components: [][]float64{{0, 1}},
		Kurtosis: 1.5, Residual: profile.Residual{Number: 8, Mean: 9, StdDev: 10, Skewness: 11},
	}}
	require.Equal(t, p, through(t, p))
	p.Groups = nil

	for _, c := range []profile.Correction{profile.BenjaminiHochberg, profile.Bonferroni, profile.Uncorrected} {
		p.Correction = c
		require.Equal(t, c, through(t, p).Correction)
	}
	// An imported profile may know shares alone.
	for i := range p.Features {
		for k := range p.Features[i].Bins {
			p.Features[i].Bins[k].Count = 0
		}
	}
	require.Equal(t, p, through(t, p))

	text, err := os.ReadFile("../testdata/format1-fixed.json")
	require.NoError(t, err)
	old, err := profile.Parse(text)
	require.NoError(t, err)
	require.Equal(t, old, through(t, old))
}

func TestWhatIsNotSaidHasItsDefault(t *testing.T) {
	t.Parallel()
	m := &driftv1.Profile{Space: "ml", Name: "churn", ReferenceRows: 10, Features: []*driftv1.FeatureProfile{
		{Name: "age", Type: "int", Kind: driftv1.FeatureKind_FEATURE_KIND_NUMERIC, Edges: []float64{30.5}, Counts: []uint64{5, 4}},
	}}
	p, err := wire.Profile(m)
	require.NoError(t, err)
	require.Equal(t, []profile.Monitor{profile.DefaultMonitor()}, p.Monitors)
	require.Equal(t, profile.Schedule{Cron: profile.DefaultCron, Zone: "UTC"}, p.Schedule)
	require.Equal(t, profile.BenjaminiHochberg, p.Correction)
	require.EqualValues(t, 10, p.Features[0].Baseline.Rows)
	require.Nil(t, wire.Outline(p).GetFeatures())
	require.EqualValues(t, 10, wire.Outline(p).GetReferenceRows())
}

func TestBadMessagesAreRefused(t *testing.T) {
	t.Parallel()
	for rule, change := range map[string]func(m *driftv1.Profile){
		"CORRECTION":    func(m *driftv1.Profile) { m.Correction = 9 },
		"SEVERITY":      func(m *driftv1.Profile) { m.Monitors = []*driftv1.Monitor{{Name: "a", Detector: "psi", Severity: 9}} },
		"BINNING_RULE":  func(m *driftv1.Profile) { m.Binning = &driftv1.Binning{Rule: "Knuth"} },
		"BIN_COUNT":     func(m *driftv1.Profile) { m.Features[0].Counts = []uint64{1} },
		"FEATURE_KIND":  func(m *driftv1.Profile) { m.Features[0].Kind = 0 },
		"MONITOR_NAME":  func(m *driftv1.Profile) { m.Monitors = []*driftv1.Monitor{nil} },
		"FEATURE_COUNT": func(m *driftv1.Profile) { m.Features = nil },
	} {
		m := &driftv1.Profile{Space: "ml", Name: "churn", Features: []*driftv1.FeatureProfile{
			{Name: "age", Type: "int", Kind: driftv1.FeatureKind_FEATURE_KIND_NUMERIC, Edges: []float64{30.5}, Counts: []uint64{5, 4}},
		}}
		change(m)
		_, err := wire.Profile(m)
		var broken *profile.Error
		require.ErrorAs(t, err, &broken, rule)
		require.ErrorContains(t, err, rule)
	}
	_, err := wire.Profile(nil)
	require.Error(t, err)
}
