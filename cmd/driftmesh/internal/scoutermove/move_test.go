package scoutermove_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/scoutermove"
	"github.com/driftmesh/driftmesh/internal/fault"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// drift keeps what is registered, by uid and by name.
type drift struct {
	driftv1.DriftServiceClient
	made map[string]*driftv1.CreateProfileRequest
}

func (d *drift) GetProfile(_ context.Context, req *driftv1.GetProfileRequest, _ ...grpc.CallOption) (*driftv1.GetProfileResponse, error) {
	for uid, m := range d.made {
		if p := m.GetProfile(); req.GetProfile() == uid || req.GetProfile() == p.GetSpace()+"/"+p.GetName()+"/"+p.GetVersion() {
			return &driftv1.GetProfileResponse{Profile: &driftv1.Profile{Uid: uid}, Origin: m.GetOrigin()}, nil
		}
	}
	return nil, fault.NotFound.New("no profile")
}

func (d *drift) CreateProfile(_ context.Context, req *driftv1.CreateProfileRequest, _ ...grpc.CallOption) (*driftv1.CreateProfileResponse, error) {
	d.made[req.GetUid()] = req
	return &driftv1.CreateProfileResponse{Profile: req.GetProfile()}, nil
}

func document(t *testing.T, change ...string) []byte {
	t.Helper()
	raw, err := os.ReadFile("../../../../internal/scouter/testdata/profile-custom.json")
	require.NoError(t, err)
	var request struct{ Profile string }
	require.NoError(t, json.Unmarshal(raw, &request))
	return []byte(strings.NewReplacer(change...).Replace(request.Profile))
}

const uid = "01a21a35-ff59-7252-9b50-937bb812f2e0"

func found(t *testing.T, version, uid string, change ...string) scoutermove.Found {
	t.Helper()
	return scoutermove.Found{
		DriftType: "Custom", Document: document(t, change...), Active: true, UID: uid, Space: "accept", Name: "accept-http", Version: version,
	}
}

func TestMove(t *testing.T) {
	t.Parallel()
	d := &drift{made: map[string]*driftv1.CreateProfileRequest{}}
	one := found(t, "0.1.0", uid)
	move := func(f scoutermove.Found, dry bool) scoutermove.Result {
		return scoutermove.Move(t.Context(), d, f, dry)
	}
	require.Equal(t, scoutermove.Moved, move(one, true).Outcome)
	require.Empty(t, d.made)
	require.Equal(t, scoutermove.Moved, move(one, false).Outcome)
	made := d.made[uid]
	require.Equal(t, []any{"accept-http.custom", "0.1.0", true, "scouter/Custom"}, []any{made.GetProfile().GetName(), made.GetProfile().GetVersion(), made.GetProfile().GetActive(), made.GetOrigin().GetFormat()})
	require.Equal(t, one.Document, made.GetOrigin().GetDocument(), "byte for byte")
	require.Equal(t, scoutermove.There, move(one, false).Outcome)

	// What cannot move says why.
	for note, f := range map[string]scoutermove.Found{
		"another profile is registered under its uid": found(t, "0.1.0", uid, "12.4", "12.5"),
		"under the uid " + uid:                        found(t, "0.1.0", "01a21a35-ff59-7252-9b50-937bb812f2e1"),
		"has not the form X.Y.Z":                      found(t, "0.2.0-rc1", "01a21a35-ff59-7252-9b50-937bb812f2e2", `"0.1.0"`, `"0.2.0-rc1"`),
		"it has no uid":                               found(t, "0.1.0", ""),
	} {
		r := move(f, false)
		require.Equal(t, scoutermove.Failed, r.Outcome, note)
		require.Contains(t, r.Note, note)
	}
	require.Len(t, d.made, 1)
}

// An active version takes the place of all lower ones, so they come first.
func TestLowerVersionsFirst(t *testing.T) {
	t.Parallel()
	all := []scoutermove.Found{{Version: "0.10.0"}, {Version: "1.0.0"}, {Version: "0.2.0"}, {Name: "a", Version: "3.0.0"}, {Version: "0.2.0-rc"}}
	scoutermove.Sort(all)
	var order []string
	for _, f := range all {
		order = append(order, f.Name+f.Version)
	}
	require.Equal(t, []string{"0.2.0", "0.2.0-rc", "0.10.0", "1.0.0", "a3.0.0"}, order)
}

func TestASourceThatIsNone(t *testing.T) {
	t.Parallel()
	answers := map[string]string{"/scouter/auth/login": `{"token":"t"}`, "/scouter/profiles": `{"not":"a list"}`}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(answers[r.URL.Path])) }))
	t.Cleanup(s.Close)
	from, err := scoutermove.Open(t.Context(), s.URL+"/scouter/", "a", "b")
	require.NoError(t, err)
	_, err = from.Profiles(t.Context(), "a/b/1.0.0")
	require.ErrorContains(t, err, "not understood")
	answers["/scouter/profiles"] = `[]`
	_, err = from.Profiles(t.Context(), "a/b/1.0.0")
	require.ErrorIs(t, err, scoutermove.ErrNotFound)
	answers["/scouter/auth/login"] = `{}`
	_, err = scoutermove.Open(t.Context(), s.URL, "a", "b")
	require.ErrorContains(t, err, "no token")
	_, err = scoutermove.Open(t.Context(), "http://127.0.0.1:1", "a", "b")
	require.Error(t, err)
}
