package drift_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

func small() *driftv1.Profile {
	return &driftv1.Profile{Space: "ml", Name: "churn", ReferenceRows: 10, Features: []*driftv1.FeatureProfile{
		{Name: "age", Type: "int", Kind: driftv1.FeatureKind_FEATURE_KIND_NUMERIC, Edges: []float64{30.5}, Counts: []uint64{5, 4}, Baseline: &driftv1.Baseline{Rows: 10, Missing: 1}},
		{Name: "color", Type: "string", Kind: driftv1.FeatureKind_FEATURE_KIND_CATEGORY, Categories: []string{"blue", "red"}, Counts: []uint64{3, 7}, Baseline: &driftv1.Baseline{Rows: 10}},
	}}
}

func TestProfileVersions(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	version := func(p *driftv1.Profile, request string) string {
		t.Helper()
		resp, err := r.CreateProfile(as(t, "acme"), &driftv1.CreateProfileRequest{Profile: p, RequestId: request})
		require.NoError(t, err)
		return resp.GetProfile().GetVersion()
	}
	require.Equal(t, "0.1.0", version(small(), ""))
	require.Equal(t, "0.2.0", version(small(), "once"))
	require.Equal(t, "0.2.0", version(small(), "once"), "a request that was done is not done again")
	p := small()
	p.Version = "2.10.3"
	require.Equal(t, "2.10.3", version(p, ""))
	require.Equal(t, "2.11.0", version(small(), ""))
	p.Version = "1.0.0"
	require.Equal(t, "1.0.0", version(p, ""))

	_, err := r.CreateProfile(as(t, "acme"), &driftv1.CreateProfileRequest{Profile: p})
	require.ErrorIs(t, err, fault.Exists)
	require.ErrorContains(t, err, "ml/churn/1.0.0")

	for ref, want := range map[string]string{"ml/churn": "2.11.0", "ml/churn/0.1.0": "0.1.0"} {
		resp, err := r.GetProfile(as(t, "acme"), &driftv1.GetProfileRequest{Profile: ref})
		require.NoError(t, err)
		require.Equal(t, want, resp.GetProfile().GetVersion())
		byUID, err := r.GetProfile(as(t, "acme"), &driftv1.GetProfileRequest{Profile: resp.GetProfile().GetUid()})
		require.NoError(t, err)
		require.True(t, proto.Equal(resp, byUID))
		_, err = r.GetProfile(as(t, "other"), &driftv1.GetProfileRequest{Profile: resp.GetProfile().GetUid()})
		require.ErrorIs(t, err, fault.NotFound)
	}
	var versions []string
	for token := ""; ; {
		resp, err := r.ListProfiles(as(t, "acme"), &driftv1.ListProfilesRequest{Space: "ml", PageSize: 2, PageToken: token})
		require.NoError(t, err)
		for _, p := range resp.GetProfiles() {
			require.Empty(t, p.GetFeatures())
			versions = append(versions, p.GetVersion())
		}
		if token = resp.GetNextPageToken(); token == "" {
			break
		}
	}
	require.Equal(t, []string{"1.0.0", "2.11.0", "2.10.3", "0.2.0", "0.1.0"}, versions)
}

func TestProfileComesBackAsItWent(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	for _, threshold := range []*driftv1.Threshold{
		nil, {Kind: &driftv1.Threshold_Fixed{Fixed: 0.25}}, {Kind: &driftv1.Threshold_Significance{Significance: 0.01}},
		{Kind: &driftv1.Threshold_Budget{Budget: &driftv1.Budget{Pages: 1, Days: 30}}},
		{Kind: &driftv1.Threshold_Deviations{Deviations: &driftv1.Deviations{Sigmas: 3, Chunks: map[string]*driftv1.Chunks{"age": {Mean: 1, StdDev: 2, Number: 3}}}}},
	} {
		want := small()
		want.Schedule = &driftv1.Schedule{Cron: "*/5 * * * *", Zone: "Europe/Rome", OnClose: true, Lookback: durationpb.New(3600e9)}
		want.Monitors = []*driftv1.Monitor{{
			Name: "m", Detector: "psi", Threshold: threshold, MinSample: 77, Severity: driftv1.Severity_SEVERITY_CRITICAL,
			Persistence: &driftv1.Persistence{K: 2, N: 3}, Routes: []string{"console"},
		}}
		want.Features[0].Edges[0] = math.Nextafter(30.5, 31)
		got := create(t, r, "acme", want)
		require.Len(t, got.GetUid(), 36)
		require.Equal(t, noon, got.GetCreateTime().AsTime())
		if threshold == nil {
			want.Monitors[0].Threshold = &driftv1.Threshold{Kind: &driftv1.Threshold_Significance{Significance: 0.05}}
		}
		want.Uid, want.CreateTime, want.Version = got.GetUid(), got.GetCreateTime(), got.GetVersion()
		want.Correction, want.Binning = driftv1.Correction_CORRECTION_BENJAMINI_HOCHBERG, &driftv1.Binning{Rule: "Quantile", Bins: 10}
		require.True(t, proto.Equal(want, got), "%v\n%v", want, got)
		kept, err := r.GetProfile(as(t, "acme"), &driftv1.GetProfileRequest{Profile: got.GetUid()})
		require.NoError(t, err)
		require.True(t, proto.Equal(got, kept.GetProfile()))
	}
}

func TestBadProfilesAreRefused(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	for name, c := range map[string]struct {
		change func(p *driftv1.Profile)
		says   string
	}{
		"space":          {func(p *driftv1.Profile) { p.Space = "a b" }, "PROFILE_NAME"},
		"no features":    {func(p *driftv1.Profile) { p.Features = nil }, "FEATURE_COUNT"},
		"feature twice":  {func(p *driftv1.Profile) { p.Features[1].Name = "age" }, `column "age"`},
		"kind":           {func(p *driftv1.Profile) { p.Features[0].Kind = 0 }, "FEATURE_KIND"},
		"type":           {func(p *driftv1.Profile) { p.Features[0].Type = "decimal" }, "FEATURE_TYPE"},
		"text as number": {func(p *driftv1.Profile) { p.Features[0].Type = "string" }, "FEATURE_KIND"},
		"counts":         {func(p *driftv1.Profile) { p.Features[0].Counts = []uint64{1} }, "BIN_COUNT"},
		"no counts":      {func(p *driftv1.Profile) { p.Features[0].Counts = []uint64{0, 0} }, "BIN_PROPORTION"},
		"edges":          {func(p *driftv1.Profile) { p.Features[0].Edges[0] = math.NaN() }, "BIN_LIMITS"},
		"order":          {func(p *driftv1.Profile) { p.Features[1].Categories = []string{"red", "blue"} }, "BIN_ORDER"},
		"threshold": {func(p *driftv1.Profile) {
			p.Monitors = []*driftv1.Monitor{{Name: "m", Detector: "psi", Threshold: &driftv1.Threshold{Kind: &driftv1.Threshold_Fixed{Fixed: -1}}}}
		}, "THRESHOLD_VALUE"},
		"detector": {func(p *driftv1.Profile) { p.Monitors = []*driftv1.Monitor{{Name: "m", Detector: "telepathy"}} }, "there is no detector telepathy, but psi"},
		"schedule": {func(p *driftv1.Profile) { p.Schedule = &driftv1.Schedule{Cron: "0 25 * * *"} }, "field hour"},
		"zone":     {func(p *driftv1.Profile) { p.Schedule = &driftv1.Schedule{Zone: "Mars/Olympus"} }, "ZONE"},
		"lookback": {func(p *driftv1.Profile) { p.Schedule = &driftv1.Schedule{Lookback: durationpb.New(1e9)} }, "LOOKBACK"},
		"version":  {func(p *driftv1.Profile) { p.Version = "1.0" }, "X.Y.Z"},
	} {
		t.Run(name, func(t *testing.T) {
			p := small()
			c.change(p)
			_, err := r.CreateProfile(as(t, "acme"), &driftv1.CreateProfileRequest{Profile: p})
			require.ErrorIs(t, err, fault.Invalid)
			require.ErrorContains(t, err, c.says)
		})
	}
	_, err := r.CreateProfile(as(t, "acme"), &driftv1.CreateProfileRequest{})
	require.ErrorIs(t, err, fault.Invalid)
	_, err = r.CreateProfile(t.Context(), &driftv1.CreateProfileRequest{Profile: small()})
	require.ErrorIs(t, err, fault.Unauthenticated)
}

// A profile may come from a mesh with other routes: it is taken, and its sender
// hears of those that are not here.
func TestUnknownRoutesAreWarnedOf(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	p := small()
	p.Monitors = []*driftv1.Monitor{{Name: "m", Detector: "psi", Routes: []string{"pigeon", "console"}}}
	resp, err := r.CreateProfile(as(t, "acme"), &driftv1.CreateProfileRequest{Profile: p})
	require.NoError(t, err)
	require.Equal(t, []string{"monitor m: there is no route pigeon here, but console"}, resp.GetWarnings())
	require.Equal(t, []string{"pigeon", "console"}, resp.GetProfile().GetMonitors()[0].GetRoutes(), "it keeps them")
}

func TestBadQuestionsAreRefused(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	p := create(t, r, "acme", small())
	ctx := as(t, "acme")
	for _, ref := range []string{"", "a/b/c/d", "ml/churn/9"} {
		_, err := r.GetProfile(ctx, &driftv1.GetProfileRequest{Profile: ref})
		require.Contains(t, []fault.Kind{fault.Invalid, fault.NotFound}, fault.KindOf(err), ref)
	}
	for name, req := range map[string]*driftv1.EvaluateRequest{
		"empty":    {StartTime: timestamppb.New(noon), EndTime: timestamppb.New(noon)},
		"reversed": {StartTime: timestamppb.New(noon.AddDate(0, 0, 1)), EndTime: timestamppb.New(noon)},
		"long":     {StartTime: timestamppb.New(noon.AddDate(-3, 0, 0))},
		"ancient":  {StartTime: timestamppb.New(noon.AddDate(-100, 0, 0)), EndTime: timestamppb.New(noon.AddDate(-100, 0, 1))},
		"no time":  {StartTime: &timestamppb.Timestamp{Nanos: -1}},
	} {
		req.Profile = p.GetUid()
		_, err := r.Evaluate(ctx, req)
		require.ErrorIs(t, err, fault.Invalid, name)
	}
	_, err := r.ListScores(ctx, &driftv1.ListScoresRequest{Profile: p.GetUid(), PageToken: "?"})
	require.ErrorIs(t, err, fault.Invalid)
	_, err = r.AcknowledgeAlert(ctx, &driftv1.AcknowledgeAlertRequest{Id: "x"})
	require.ErrorIs(t, err, fault.NotFound)
}

func TestInactiveProfilesAreNotEvaluated(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	of := small()
	of.Active, of.Schedule = true, &driftv1.Schedule{Cron: "0 * * * *"}
	p := create(t, r, "acme", of)
	set := func(active bool) {
		resp, err := r.SetProfileActive(as(t, "acme"), &driftv1.SetProfileActiveRequest{Profile: p.GetUid(), Active: active})
		require.NoError(t, err)
		require.Equal(t, active, resp.GetProfile().GetActive())
	}
	set(false)
	other := create(t, r, "acme", of)
	m.clock.set(noon.AddDate(0, 0, 0).Add(2*3600e9 + 60e9))
	require.Eventually(t, func() bool { return len(r.scores("acme", other.GetUid())) == 2 }, patience, tick)
	require.Empty(t, r.scores("acme", p.GetUid()))
	set(true)
	m.clock.set(noon.Add(3*3600e9 + 60e9))
	require.Eventually(t, func() bool { return len(r.scores("acme", p.GetUid())) == 1 }, patience, tick)
	e := r.scores("acme", p.GetUid())[0]
	require.Equal(t, noon.Add(3*3600e9), e.GetSlot().AsTime())
	require.Equal(t, noon.Add(2*3600e9+60e9), e.GetStartTime().AsTime(), "the range begins where it was switched on")
}
