package mesh_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server"
	"github.com/driftmesh/driftmesh/test/server/oidc"
)

// away is a mesh at which users of a real provider log in.
type away struct {
	*mesh.Mesh
	provider *oidc.Server
	port     int    // of the provider
	http     string // of the mesh
	dir      string
}

func (a *away) start(provider, back string) string {
	return "http://" + a.HTTP + "/login/start/" + provider + "?return=" + url.QueryEscape(back)
}

// whoami is who the cookies of a browser are to the mesh.
func (a *away) whoami(b *oidc.Browser) (who map[string]any, status int) {
	page := b.Get("http://" + a.HTTP + "/api/v1/whoami")
	_ = json.Unmarshal([]byte(page.Body), &who) // an error is no answer
	return who, page.Status
}

// atCallback stops a browser that is sent back to the mesh.
func (a *away) atCallback(u *url.URL) bool { return u.Host == a.HTTP && u.Path == "/login/callback" }

// atProvider are flags of a mesh whose users log in at a provider that is not there yet.
func atProvider(t *testing.T) (*away, []string) {
	t.Helper()
	a := &away{dir: t.TempDir(), port: server.FreePort(t), http: server.FreeAddress(t)}
	file := filepath.Join(a.dir, "oidc.yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `
corp:
  issuer: http://127.0.0.1:%d
  client-id: mesh
  client-secret: a secret of the mesh
  scopes: [openid, groups]
  userinfo: true
  redirect: http://%s/login/callback
  audiences: [driftmesh-workloads]
  rules:
    - {claim: groups, value: modellers, tenant: acme, role: editor, spaces: [fraud]}
    - {claim: groups, pattern: on-.*, tenant: acme, role: operator}
    - {claim: groups, value: mesh-admins, tenant: driftmesh, role: admin, mesh-admin: true}
    - {claim: sub, value: loader, and: [{claim: scope, value: ingest}], tenant: acme, role: ingest}
`, a.port, a.http), 0o600))
	return a, []string{"--gateway.http", a.http, "--auth.oidc", "file:" + file}
}

// run starts the provider, a process of its own, which is restarted and given other keys on
// the way, and lets its users in.
func (a *away) run(t *testing.T, m *mesh.Mesh) {
	a.provider = oidc.Start(t, oidc.Options{
		Port: a.port, Audience: "driftmesh-workloads",
		Clients: []oidc.Client{
			{ID: "mesh", Secret: "a secret of the mesh", Kind: "native", Responses: []string{"code"}, Grants: []string{"authorization_code", oidc.DeviceGrant},
				Redirects: []string{"http://127.0.0.1/login/callback", "http://127.0.0.1/callback"}},
			{ID: "loader", Secret: "a secret of the loader", Responses: []string{}, Grants: []string{"client_credentials"}, Redirects: []string{}},
		},
		Accounts: map[string]map[string]any{
			"ann": {"groups": []string{"everybody", "modellers"}}, "bob": {"groups": []string{"on-call"}},
			"carl": {"groups": []string{"modellers"}}, "mallory": {"groups": "the modellers", "email": "modellers"},
			"root": {"groups": []string{"mesh-admins"}},
		},
	})
	seen := *m
	a.Mesh = &seen
	a.Token = m.Login(t, "driftmesh", "admin", adminPassword)
	a.MustCLI(t, "tenant", "create", "acme")
	t.Run("with a browser", a.browser)
	t.Run("somebody else's answer", a.foreignAnswers)
	t.Run("who has no place", a.noPlace)
	t.Run("keys of the provider change", a.rotate)
	t.Run("with the command line", a.commandLine)
	t.Run("a workload", a.workload)
	t.Run("the provider is away", a.providerAway)
	t.Run("the account of it", a.account)
}

func (a *away) browser(t *testing.T) {
	b := oidc.NewBrowser(t)
	page := b.Walk(a.start("corp", "/traces?service=x"), "ann", nil)
	require.Equal(t, http.StatusOK, page.Status, page.Body)
	require.Equal(t, "http://"+a.HTTP+"/traces?service=x", page.URL.String())
	who, _ := a.whoami(b)
	require.Equal(t, "acme", who["tenant"])
	require.Equal(t, "oidc:corp:ann", who["subject"])
	require.Equal(t, "editor", who["role"])
	require.Equal(t, []any{"fraud"}, who["spaces"])

	resp, err := b.Client.Post("http://"+a.HTTP+"/login/refresh", "", nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusNoContent, resp.StatusCode)
	_, status := a.whoami(b)
	require.Equal(t, http.StatusOK, status)

	operator := oidc.NewBrowser(t)
	require.Equal(t, http.StatusOK, operator.Walk(a.start("corp", "/api/v1/whoami"), "bob", nil).Status)
	list := a.MustCLI(t, "user", "list", "--token", a.adminOfAcme(t))
	require.Regexp(t, `oidc:corp:ann\s+acme\s+editor\s+fraud\s+user\s+active.*`+regexp.QuoteMeta(a.provider.Issuer)+`\s+ann`, list)
	require.Regexp(t, `oidc:corp:bob\s+acme\s+operator\s+all`, list)

	// Whoever is disabled is out within five seconds, and does not come in again.
	a.MustCLI(t, "user", "disable", "oidc:corp:ann", "--tenant", "acme")
	began := time.Now()
	mesh.Await(t, 5*time.Second, func() error {
		if _, status := a.whoami(b); status != http.StatusUnauthorized {
			return fmt.Errorf("still let in: %d", status)
		}
		return nil
	})
	t.Logf("out after %v", time.Since(began))
	page = oidc.NewBrowser(t).Walk(a.start("corp", "/"), "ann", nil)
	require.Equal(t, http.StatusForbidden, page.Status)
	require.Contains(t, page.Body, "ACCOUNT_DISABLED")
	_, status = a.whoami(operator)
	require.Equal(t, http.StatusOK, status)

	a.MustCLI(t, "user", "create", "dora", "--tenant", "acme", "--password", adminPassword)
	require.Equal(t, "dora  of tenant  acme  is  operator", a.MustCLI(t, "user", "set-role", "dora", "operator", "--tenant", "acme"))
	require.Regexp(t, `SetUserRole.*username=dora role=operator`, a.MustCLI(t, "audit", "list", "--tenant", "acme"))

	resp, err = operator.Client.Post("http://"+a.HTTP+"/login/logout", "", nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusNoContent, resp.StatusCode)
	_, status = a.whoami(operator)
	require.Equal(t, http.StatusUnauthorized, status)
}

func (a *away) adminOfAcme(t *testing.T) string {
	t.Helper()
	if out, err := a.CLI(t, "user", "create", "boss", "--tenant", "acme", "--admin", "--password", adminPassword); err != nil {
		require.Contains(t, out, "exists already")
	}
	return a.Login(t, "acme", "boss", adminPassword)
}

// An answer of the provider is good in the browser that asked, once.
func (a *away) foreignAnswers(t *testing.T) {
	carl, victim := oidc.NewBrowser(t), oidc.NewBrowser(t)
	answer := carl.Walk(a.start("corp", "/"), "carl", a.atCallback)
	require.Contains(t, answer.URL.RawQuery, "code=")
	page := victim.Get(answer.URL.String())
	require.Equal(t, http.StatusUnauthorized, page.Status, "without a login of its own")
	require.Contains(t, page.Body, "LOGIN_UNKNOWN")
	victim.Walk(a.start("corp", "/"), "bob", a.atCallback)
	page = victim.Get(answer.URL.String())
	require.Equal(t, http.StatusUnauthorized, page.Status, "with one")
	require.Contains(t, page.Body, "LOGIN_STATE_INVALID")
	_, status := a.whoami(victim)
	require.Equal(t, http.StatusUnauthorized, status)

	// The browser forgets its login with the first answer; somebody who kept the cookie
	// gets no further.
	kept := carl.Client.Jar.Cookies(answer.URL)
	page = carl.Get(answer.URL.String())
	require.Equal(t, http.StatusOK, page.Status, page.Body)
	page = carl.Get(answer.URL.String())
	require.Contains(t, page.Body, "LOGIN_UNKNOWN")
	thief := oidc.NewBrowser(t)
	thief.Client.Jar.SetCookies(answer.URL, kept)
	page = thief.Get(answer.URL.String())
	require.Equal(t, http.StatusUnauthorized, page.Status)
	require.Contains(t, page.Body, "LOGIN_FINISHED")
}

func (a *away) noPlace(t *testing.T) {
	b := oidc.NewBrowser(t)
	page := b.Walk(a.start("corp", "/"), "mallory", nil)
	require.Equal(t, http.StatusForbidden, page.Status)
	require.Contains(t, page.Body, "no rule here gives you a place")
	require.Contains(t, page.Body, "mallory")
	_, status := a.whoami(b)
	require.Equal(t, http.StatusUnauthorized, status)

	root := oidc.NewBrowser(t)
	root.Walk(a.start("corp", "/"), "root", nil)
	who, _ := a.whoami(root)
	require.Equal(t, "driftmesh", who["tenant"])
	require.Contains(t, who["permissions"], "tenants.write")
}

func (a *away) rotate(t *testing.T) {
	a.provider.Rotate()
	b := oidc.NewBrowser(t)
	page := b.Walk(a.start("corp", "/api/v1/whoami"), "carl", nil)
	require.Equal(t, http.StatusOK, page.Status, page.Body)
}

// cli is a command that keeps its login in a file of the test.
func (a *away) cli(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), mesh.Binary(t, "./cmd/driftmesh"), append(args, "--addr", a.GRPC)...)
	cmd.Env = append(os.Environ(), "DRIFTMESH_CREDENTIALS="+filepath.Join(a.dir, "credentials.json"))
	return cmd
}

// mustCLI is what one that must succeed says.
func (a *away) mustCLI(t *testing.T, args ...string) string {
	t.Helper()
	out, err := a.cli(t, args...).CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

func (a *away) commandLine(t *testing.T) {
	for way, args := range map[string][]string{"browser": {"login", "--oidc"}, "device": {"login", "corp", "--device"}} {
		t.Run(way, func(t *testing.T) {
			cmd := a.cli(t, args...)
			pipe, err := cmd.StderrPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			said := bufio.NewReader(pipe)
			var text, at string
			for at == "" {
				line, err := said.ReadString('\n')
				text += line
				require.NoError(t, err, text)
				if line = strings.TrimSpace(line); way == "browser" && strings.HasPrefix(line, "http") || strings.Contains(line, "user_code=") {
					at = line
				}
			}
			page := oidc.NewBrowser(t).Walk(at, "carl", nil)
			require.Equal(t, http.StatusOK, page.Status, page.Body)
			rest, err := io.ReadAll(said)
			require.NoError(t, err)
			require.NoError(t, cmd.Wait(), text+string(rest))
			require.Contains(t, text+string(rest), "as oidc:corp:carl of tenant acme until")
			require.Regexp(t, `subject\s+oidc:corp:carl`, a.mustCLI(t, "whoami"))
			a.mustCLI(t, "logout")
		})
	}
}

func (a *away) workload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	token := a.provider.Token("loader", "a secret of the loader")
	require.NoError(t, os.WriteFile(file, []byte(token+"\n"), 0o600))
	require.Contains(t, a.mustCLI(t, "login", "--workload-token-file", file), "as oidc:corp:loader of tenant acme")
	require.Regexp(t, `role\s+ingest`, a.mustCLI(t, "whoami"))
	kept, err := os.ReadFile(filepath.Join(a.dir, "credentials.json"))
	require.NoError(t, err)
	require.NotContains(t, string(kept), token)
	require.Contains(t, string(kept), `"refresh": ""`, "there is nothing to get more tokens with")

	// When the mesh's token ends, the file is read again: by then it has another, or the
	// login waits for one.
	ring := filepath.Join(a.dir, "credentials.json")
	end := func() {
		raw, err := os.ReadFile(ring)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(ring, regexp.MustCompile(`"expires": "[^"]+"`).ReplaceAll(raw, []byte(`"expires": "2020-01-01T00:00:00Z"`)), 0o600))
	}
	end()
	require.NoError(t, os.WriteFile(file, []byte("a.b.c"), 0o600))
	out, err := a.cli(t, "whoami").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "you are not logged in any more (the token is malformed)")
	require.NoError(t, os.WriteFile(file, []byte(a.provider.Token("loader", "a secret of the loader")), 0o600))
	require.Regexp(t, `role\s+ingest`, a.mustCLI(t, "whoami"))

	resp, err := http.Post("http://"+a.HTTP+"/api/v1/token:exchange", "application/json",
		strings.NewReader(`{"grant_type":"urn:ietf:params:oauth:grant-type:token-exchange","subject_token_type":"urn:ietf:params:oauth:token-type:access_token","subject_token":"`+token+`"}`))
	require.NoError(t, err)
	defer resp.Body.Close()
	var got map[string]any
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&got))
	require.Equal(t, http.StatusOK, resp.StatusCode, got)
	require.Equal(t, "Bearer", got["token_type"])
	require.LessOrEqual(t, got["expires_in"], 600.0, "as long as ours live")
	require.Greater(t, got["expires_in"], 300.0, "and the provider's, which is a moment old")
	require.NotContains(t, got, "refresh_token")
	a.mustCLI(t, "logout")
}

// While the provider is away nobody logs in there, and sessions go on.
func (a *away) providerAway(t *testing.T) {
	b := oidc.NewBrowser(t)
	b.Walk(a.start("corp", "/"), "bob", nil)
	late := oidc.NewBrowser(t)
	answer := late.Walk(a.start("corp", "/"), "carl", a.atCallback)
	a.provider.Kill()
	page := late.Get(answer.URL.String())
	require.Equal(t, http.StatusServiceUnavailable, page.Status, page.Body)
	require.Contains(t, page.Body, "the OpenID provider corp ("+a.provider.Issuer+")")
	_, status := a.whoami(b)
	require.Equal(t, http.StatusOK, status)
	resp, err := b.Client.Post("http://"+a.HTTP+"/login/refresh", "", nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusNoContent, resp.StatusCode)

	a.provider.Boot() // with another key
	page = oidc.NewBrowser(t).Walk(a.start("corp", "/api/v1/whoami"), "bob", nil)
	require.Equal(t, http.StatusOK, page.Status, page.Body)
}

// Every login, failure and exchange is on the account with issuer and subject, and no
// token is anywhere.
func (a *away) account(t *testing.T) {
	var export string
	want := []string{
		`FinishLogin.*ok.*way=browser provider=corp issuer=` + a.provider.Issuer + ` subject=ann`,
		`FinishLogin.*ok.*way=cli provider=corp.* subject=carl`,
		`PollDeviceLogin.*ok.*way=device provider=corp.* subject=carl`,
		`ExchangeToken.*ok.*way=exchange provider=corp.* subject=loader`,
		`FinishLogin.*denied.*subject=mallory`, `FinishLogin.*denied.*LOGIN_STATE_INVALID`, `FinishLogin.*denied.*LOGIN_FINISHED`,
		`FinishLogin.*denied.*ACCOUNT_DISABLED`, `FinishLogin.*failed.*PROVIDER_UNAVAILABLE`,
	}
	var file string
	mesh.Await(t, 15*time.Second, func() error { // failures are counted for five seconds
		file = filepath.Join(t.TempDir(), "chain.jsonl")
		a.MustCLI(t, "audit", "export", "-o", file)
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		export = string(raw)
		for _, one := range want {
			if !flat(export, one) {
				return fmt.Errorf("%s is missing in\n%s", one, export)
			}
		}
		return nil
	})
	a.MustCLI(t, "audit", "verify", file)
	for _, all := range []string{export, a.Log()} {
		require.NotRegexp(t, `eyJ[A-Za-z0-9_-]{10,}\.`, all, "a token")
		require.NotContains(t, all, "code=")
		require.NotContains(t, all, "a secret of the mesh")
	}
}

// flat reports whether a line of an export has what an expression names in the order
// of action, outcome, object and reason.
func flat(export, expression string) bool {
	for line := range strings.Lines(export) {
		var e struct {
			Entry struct{ Action, Outcome, Object, Reason string } `json:"entry"`
		}
		if json.Unmarshal([]byte(line), &e) == nil &&
			regexp.MustCompile(expression).MatchString(e.Entry.Action+" "+e.Entry.Outcome+" "+e.Entry.Object+" "+e.Entry.Reason) {
			return true
		}
	}
	return false
}
