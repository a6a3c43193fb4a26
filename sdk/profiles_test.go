package sdk_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/sdk/sdktest"
)

func churn(t *testing.T) *profile.Profile {
	t.Helper()
	p, err := profile.New([]profile.Column{{Name: "age", Type: profile.Int, Numbers: []float64{30, 31, 44, 52}}}, profile.Options{
		Space: "ml", Name: "churn", Binning: profile.Binning{Rule: profile.Manual, Bins: 2},
		Monitors: []profile.Monitor{{Name: "a", Detector: "psi", Threshold: profile.AtMost(1, 30)}},
	})
	require.NoError(t, err)
	return p
}

// A profile is registered once, however often the answer is lost, and comes back
// as it went.
func TestProfilesAreRegisteredOnce(t *testing.T) {
	t.Parallel()
	gateway := sdktest.New(t)
	client := gateway.Client()
	p := churn(t)
	away := status.Error(codes.Unavailable, "drift is away")
	gateway.Fail(away, away)
	got, err := client.Register(t.Context(), p)
	require.NoError(t, err)
	require.Len(t, gateway.Profiles(), 1)
	require.True(t, gateway.Profiles()[0].GetActive())
	require.Equal(t, "0.1.0", got.Version)
	require.NotEmpty(t, got.UID)
	again, err := client.Register(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, "0.2.0", again.Version)

	newest, err := client.Profile(t.Context(), "ml/churn")
	require.NoError(t, err)
	require.Equal(t, again, newest)
	first, err := client.Profile(t.Context(), "ml/churn/0.1.0")
	require.NoError(t, err)
	require.Equal(t, got, first)
	want := *p
	want.UID, want.Version = got.UID, got.Version
	require.Equal(t, &want, got)
}

func TestRefusedProfilesAreNamed(t *testing.T) {
	t.Parallel()
	client := sdktest.New(t).Client()
	p := churn(t)
	p.Monitors[0].Detector = ""
	_, err := client.Register(t.Context(), p)
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.ErrorContains(t, err, `monitor "a"`)
	_, err = client.Profile(t.Context(), "ml/none")
	require.Equal(t, codes.NotFound, status.Code(err))
}
