package mesh_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// oldScouter answers as Scouter's own server does, with profiles that its client made:
// it has no list of all, and another token for every answer.
func oldScouter(t *testing.T) (at string, uids map[string]string) {
	t.Helper()
	type listed struct {
		Profile object `json:"profile"`
		Active  bool   `json:"active"`
	}
	var all []listed
	uids = map[string]string{}
	for _, file := range []string{"spc", "psi", "custom", "genai"} {
		raw, err := os.ReadFile(filepath.Join(mesh.Root(t), "internal/scouter/testdata/profile-"+file+".json"))
		require.NoError(t, err)
		var request struct {
			DriftType string `json:"drift_type"`
			Profile   string
		}
		require.NoError(t, json.Unmarshal(raw, &request))
		var profile struct{ Config struct{ UID string } }
		require.NoError(t, json.Unmarshal([]byte(request.Profile), &profile))
		uids[file] = profile.Config.UID
		all = append(all, listed{object{request.DriftType: json.RawMessage(request.Profile)}, file != "custom"})
	}
	given := 0
	good := func(r *http.Request) bool { return r.Header.Get("Authorization") == fmt.Sprintf("Bearer t%d", given) }
	mux := http.NewServeMux()
	mux.HandleFunc("GET /scouter/auth/login", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Username") != "admin" || r.Header.Get("Password") != "secret" {
			http.Error(w, `{"error":"Invalid password"}`, http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"token":"t%d"}`, given)
	})
	mux.HandleFunc("POST /scouter/profiles", func(w http.ResponseWriter, r *http.Request) {
		if !good(r) {
			http.Error(w, `{"error":"Unauthorized"}`, http.StatusUnauthorized)
			return
		}
		given++
		w.Header().Set("Authorization", fmt.Sprintf("Bearer t%d", given))
		var asked struct{ Space, Name, Version string }
		if json.NewDecoder(r.Body).Decode(&asked) != nil || asked.Space != "accept" || asked.Name != "accept-http" || asked.Version != "0.1.0" {
			http.Error(w, `{"error":"Failed to list profiles"}`, http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(all)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL, uids
}

// The profiles of a running Scouter move in with their uids, and what its applications
// send goes on.
func requireScouterMovesIn(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	from, uids := oldScouter(t)
	password := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(password, []byte("secret"), 0o600))
	command := func(more ...string) (string, error) {
		return m.CLI(t, append([]string{"scouter", "import", "--from", from, "--password=file:" + password}, more...)...)
	}
	out, err := command()
	require.Error(t, err)
	require.Contains(t, out, "scouter.drift_entities", "it says where the names are found")
	out, err = command("--dry-run", "accept/accept-http/0.1.0")
	require.NoError(t, err, out)
	require.Contains(t, out, "4 would be moved, 0 were there, 0 failed")
	c := &scouterClient{t: t, m: m, token: m.Token}
	require.Equal(t, http.StatusNotFound, c.try(http.MethodPost, "profiles", object{}, nil), "nothing was done")

	list := filepath.Join(t.TempDir(), "list")
	require.NoError(t, os.WriteFile(list, []byte("accept/accept-http/0.1.0\n\naccept/gone/1.0.0\n"), 0o600))
	out, err = command("--list", list)
	require.Error(t, err, "one is not there")
	require.Contains(t, out, "4 moved, 0 were there, 1 failed")
	require.Contains(t, out, "accept/gone/1.0.0: there is no such profile")
	out, err = command("accept/accept-http/0.1.0")
	require.NoError(t, err, out)
	require.Contains(t, out, "0 moved, 4 were there, 0 failed")

	for kind, driftType := range map[string]string{"spc": "Spc", "psi": "Psi", "custom": "Custom", "genai": "GenAI"} {
		var got map[string]struct{ Config struct{ UID string } }
		c.must(http.MethodGet, "profile?space=accept&name=accept-http&version=0.1.0&drift_type="+driftType, nil, &got)
		require.Equal(t, uids[kind], got[driftType].Config.UID)
	}
	var listed []struct {
		Profile map[string]json.RawMessage
		Active  bool
	}
	c.must(http.MethodPost, "profiles", object{"space": "accept", "name": "accept-http", "version": "0.1.0"}, &listed)
	for _, one := range listed {
		_, custom := one.Profile["Custom"]
		require.Equal(t, !custom, one.Active)
	}
	c.must(http.MethodPost, "message", object{"records": []object{{"Spc": object{
		"created_at": time.Now().UTC().Format(time.RFC3339Nano), "uid": uids["spc"], "feature": "requests", "value": 250.0, "entity_id": 0,
	}}}}, nil)
	m.Account(t, "records", func(a *ledgerv1.Account) bool { return a.GetStored() == 1 && a.GetBalanced() })
	var drift struct {
		Features map[string]struct{ Values []float64 }
	}
	require.Eventually(t, func() bool {
		c.must(http.MethodGet, "drift/spc?uid="+uids["spc"]+"&space=accept&time_interval=OneHour&max_data_points=1", nil, &drift)
		return len(drift.Features["requests"].Values) == 1 && drift.Features["requests"].Values[0] == 250
	}, soon, tick)
}

// requireScouterMovesHere moves the profiles of the mesh to where they are already.
func requireScouterMovesHere(t *testing.T, c *scouterClient, tenant string) {
	t.Helper()
	password := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(password, []byte(mesh.AdminPassword), 0o600))
	out, err := c.m.CLI(t, "scouter", "import", "--from", c.m.URL(c.m.HTTP, ""), "--username", tenant+"/ann", "--password=file:"+password)
	require.NoError(t, err, out)
	require.Contains(t, out, "0 moved, 4 were there, 0 failed", out)
}
