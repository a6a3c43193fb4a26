package drift_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// forSpaces is acme's operator who is for these spaces only.
func forSpaces(t *testing.T, spaces ...string) context.Context {
	t.Helper()
	ctx := as(t, "acme")
	for _, s := range spaces {
		ctx = metadata.AppendToOutgoingContext(ctx, "space", s) //nolint:fatcontext // a few
	}
	return ctx
}

// Whoever is for certain spaces sees and changes what is of these, and the rest
// does not exist for it.
func TestASpaceIsAllThatItsOwnSee(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	a := raise(t, m, r) // of the space examples
	until := timestamppb.New(noon.Add(time.Hour))
	theirs := r.silence(&driftv1.Silence{Space: "examples", EndTime: until, Reason: "theirs"})
	r.silence(&driftv1.Silence{EndTime: until, Reason: "everybody's"})
	in, out := forSpaces(t, "ml", "examples"), forSpaces(t, "ml", "exam")

	for name, call := range map[string]func(ctx context.Context) error{
		"GetProfile": func(ctx context.Context) error {
			_, err := r.GetProfile(ctx, &driftv1.GetProfileRequest{Profile: a.GetProfile()})
			return err
		},
		"GetProfile by name": func(ctx context.Context) error {
			_, err := r.GetProfile(ctx, &driftv1.GetProfileRequest{Profile: "examples/wine"})
			return err
		},
		"Evaluate": func(ctx context.Context) error {
			_, err := r.Evaluate(ctx, &driftv1.EvaluateRequest{Profile: a.GetProfile()})
			return err
		},
		"ListScores": func(ctx context.Context) error {
			_, err := r.ListScores(ctx, &driftv1.ListScoresRequest{Profile: a.GetProfile()})
			return err
		},
		"QuerySeries": func(ctx context.Context) error {
			_, err := r.QuerySeries(ctx, &driftv1.QuerySeriesRequest{Profile: a.GetProfile()})
			return err
		},
		"ListAlerts of a profile": func(ctx context.Context) error {
			_, err := r.ListAlerts(ctx, &driftv1.ListAlertsRequest{Profile: a.GetProfile()})
			return err
		},
		"GetAlert": func(ctx context.Context) error {
			_, err := r.GetAlert(ctx, &driftv1.GetAlertRequest{Id: a.GetId()})
			return err
		},
		"AcknowledgeAlert": func(ctx context.Context) error {
			_, err := r.AcknowledgeAlert(ctx, &driftv1.AcknowledgeAlertRequest{Id: a.GetId()})
			return err
		},
		"SetProfileActive": func(ctx context.Context) error {
			_, err := r.SetProfileActive(ctx, &driftv1.SetProfileActiveRequest{Profile: a.GetProfile(), Active: true})
			return err
		},
		"ExpireSilence": func(ctx context.Context) error {
			_, err := r.ExpireSilence(ctx, &driftv1.ExpireSilenceRequest{Id: theirs.GetId()})
			return err
		},
	} {
		require.ErrorIs(t, call(out), fault.NotFound, name)
		require.NoError(t, call(in), name)
	}
	require.ErrorIs(t, func() error {
		_, err := r.AcknowledgeAlert(out, &driftv1.AcknowledgeAlertRequest{Id: a.GetId()})
		return err
	}(), fault.NotFound, "nor when somebody did already")

	seen := func(ctx context.Context) (profiles, alerts, silences int) {
		p, err := r.ListProfiles(ctx, &driftv1.ListProfilesRequest{})
		require.NoError(t, err)
		l, err := r.ListAlerts(ctx, &driftv1.ListAlertsRequest{})
		require.NoError(t, err)
		_, err = r.ListDeliveries(ctx, &driftv1.ListDeliveriesRequest{})
		require.NoError(t, err)
		s, err := r.ListSilences(ctx, &driftv1.ListSilencesRequest{All: true})
		require.NoError(t, err)
		return len(p.GetProfiles()), len(l.GetAlerts()), len(s.GetSilences())
	}
	for _, row := range []struct {
		who  context.Context //nolint:containedctx // a row of a test
		want [3]int
	}{{as(t, "acme"), [3]int{1, 1, 2}}, {in, [3]int{1, 1, 1}}, {out, [3]int{}}} {
		profiles, alerts, silences := seen(row.who)
		require.Equal(t, row.want, [3]int{profiles, alerts, silences})
	}

	// Nor does it make what is another's.
	_, err := r.CreateProfile(out, &driftv1.CreateProfileRequest{Profile: small()})
	require.NoError(t, err)
	foreign := small()
	foreign.Space = "examples"
	_, err = r.CreateProfile(out, &driftv1.CreateProfileRequest{Profile: foreign})
	require.ErrorIs(t, err, fault.Denied)
	for _, space := range []string{"", "*", "m?", "examples"} {
		_, err = r.CreateSilence(out, &driftv1.CreateSilenceRequest{Silence: &driftv1.Silence{Space: space, EndTime: until, Reason: "x"}})
		require.ErrorIs(t, err, fault.Denied, space)
	}
	stream, err := r.Backtest(out, &driftv1.BacktestRequest{Profile: "ml/churn", Candidate: foreign})
	require.NoError(t, err)
	_, err = stream.Recv()
	require.ErrorIs(t, err, fault.Denied)
}

// A profile of spans shows what spans say: only who may read spans makes one.
func TestAProfileOfSpansIsForThoseWhoReadSpans(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	p := small()
	p.Source = &driftv1.Source{Of: driftv1.SourceKind_SOURCE_KIND_SPANS, Service: "shop"}
	_, err := r.CreateProfile(forSpaces(t, "ml"), &driftv1.CreateProfileRequest{Profile: p})
	require.ErrorIs(t, err, fault.Denied)
	require.ErrorContains(t, err, "traces.read")
}

// To evaluate is one thing, to store the result and alert people another.
func TestWhoMayComputeMayNotAlert(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	create(t, r, "acme", small())
	editor := metadata.AppendToOutgoingContext(as(t, "acme"), "role", "editor")
	_, err := r.Evaluate(editor, &driftv1.EvaluateRequest{Profile: "ml/churn"})
	require.NoError(t, err)
	_, err = r.Evaluate(editor, &driftv1.EvaluateRequest{Profile: "ml/churn", Alert: true})
	require.ErrorIs(t, err, fault.Denied)
	require.ErrorContains(t, err, "profiles.run")
}
