package scouter_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/mesh"
)

// One mesh, two tenants. What the client is told of drift is what it computes itself;
// what it puts in just before it ends is there; it goes on when its token runs out, when
// the key is another, and not when its user is disabled; and nothing of it is anybody
// else's.
func TestOneMesh(t *testing.T) {
	python(t)
	m := mesh.Start(t, "--auth.bootstrap-password", mesh.AdminPassword, "--auth.token-life", "1m")
	ours, theirs := m.Tenant(t, "ours"), m.Tenant(t, "theirs")
	as := func(user string) []string {
		return []string{"--username", "ours/" + user, "--password", mesh.AdminPassword}
	}
	ours.MustCLI(t, "user", "create", "bob", "--role", "editor", "--password", "bobs own password")
	bob := []string{"--username", "ours/bob", "--password", "bobs own password"}

	uids := requireBursts(t, m, as("ann")) // before others take the machine
	t.Parallel()
	streams := []*streamed{stream(t, "http", m.Addresses, append(bob, "--pause", "0.5")...), stream(t, "grpc", m.Addresses, append(bob, "--pause", "0.5")...)}
	var numbers numbers
	begin(t, "same.py", append(as("ann"), "--http", "http://"+m.HTTP, "--transport", "grpc", "--grpc", m.GRPC)...).end(&numbers)
	t.Logf("%d numbers compared, the worst is %.1g apart; seed %d", numbers.Compared, numbers.Worst, numbers.Seed)
	ann, eve := login(t, m.HTTP, "ours/ann", mesh.AdminPassword), login(t, m.HTTP, "theirs/ann", mesh.AdminPassword)
	alert := requireAlerts(t, ann, &numbers)
	ours.Token, theirs.Token = ann.token, eve.token // the first have run out
	requireTokens(t, m, ours, streams)
	requireNobodyElses(t, theirs, ann, eve, &numbers, alert, streams[0])
	m.Stop()
	db := openStore(t, m.OpenStore())
	require.Subset(t, row[string](t, db, "SELECT groupArray(RecordId) FROM contexts FINAL WHERE Tenant = 'ours'"), uids)
}

// requireBursts puts a thousand records into a queue and shuts it down at once, and some
// into each of twenty that log in at the same moment. It gives the uids of all.
func requireBursts(t *testing.T, m *mesh.Mesh, as []string) (uids []string) {
	t.Helper()
	var made struct {
		UIDs  []string
		Login float64 `json:"login_seconds"`
	}
	// The client gives up half a second after it is told to shut down, whatever else the
	// machine does: all must be in by one of some runs, and what was acknowledged is held
	// against the store in any case.
	burst := func(way string, want int, more ...string) {
		for attempt := 1; ; attempt++ {
			r := newRecorder(t, m.Addresses)
			begin(t, "burst.py", slices.Concat(as, []string{"--transport", way, "--run", way, "--http", "http://" + r.HTTP, "--grpc", r.GRPC}, more)...).end(&made)
			require.Len(t, made.UIDs, want)
			heard := r.what(false).records
			for key := range heard {
				uids = append(uids, key[1])
			}
			require.Zero(t, r.refused, "of those who waited for the answer")
			if len(heard) == want {
				return
			}
			t.Logf("%s: %d of %d were acknowledged, the load is %.1f", way, len(heard), want, load(t))
			if attempt == 5 {
				require.Greater(t, load(t), float64(runtime.NumCPU()), "a machine with time for it: want all in one of the runs")
				return
			}
		}
	}
	for _, way := range []string{"http", "grpc"} {
		burst(way, 1000)
		burst(way, 500, "--aliases", "20", "--records", "25")
		t.Logf("%s: twenty were in after %.2f s", way, made.Login)
	}
	return uids
}

// load is how many processes want a core.
func load(t *testing.T) (of float64) {
	t.Helper()
	raw, err := os.ReadFile("/proc/loadavg")
	require.NoError(t, err)
	_, err = fmt.Sscan(string(raw), &of)
	require.NoError(t, err)
	return of
}

// numbers is the report of same.py.
type numbers struct {
	Seed     int
	Compared int
	Worst    float64
	Profiles map[string]string
	Alerts   map[string][]map[string]map[string]any
}

type alertPage struct {
	Items []struct {
		ID        int
		CreatedAt time.Time `json:"created_at"`
		Entity    string    `json:"entity_name"`
		Alert     map[string]map[string]any
		Active    bool
	}
	HasNext bool `json:"has_next"`
}

// requireAlerts requires the alerts that follow from what the client computed, to every
// number, and acknowledges one. It gives its id.
func requireAlerts(t *testing.T, c *caller, n *numbers) (id int) {
	t.Helper()
	fired := 0
	for name, want := range n.Alerts {
		var page alertPage
		require.Equal(t, http.StatusOK, c.call(http.MethodPost, "alerts", fmt.Appendf(nil, `{"uid":%q,"active":true,"limit":1000}`, n.Profiles[name]), &page), name)
		require.Len(t, page.Items, len(want), name)
		for _, item := range page.Items {
			require.Equal(t, name, item.Entity)
			require.True(t, slices.ContainsFunc(want, func(w map[string]map[string]any) bool { return sameAlert(w, item.Alert) }), "%s: %v is none of %v", name, item.Alert, want)
			id = item.ID
		}
		fired += len(want)
		if len(want) == 0 {
			continue
		}
		require.Equal(t, http.StatusOK, c.call(http.MethodPut, "alerts", fmt.Appendf(nil, `{"id":%d,"active":false,"space":"numbers"}`, id), nil), name)
		var left alertPage
		require.Equal(t, http.StatusOK, c.call(http.MethodPost, "alerts", fmt.Appendf(nil, `{"uid":%q,"active":true,"limit":1000}`, n.Profiles[name]), &left), name)
		require.Less(t, len(left.Items), len(want), "one is acknowledged")
	}
	require.Greater(t, fired, 15)
	return id
}

// sameAlert compares alerts of one kind member by member, numbers to 1e-9.
func sameAlert(want, got map[string]map[string]any) bool {
	return maps.EqualFunc(want, got, func(a, b map[string]any) bool {
		return maps.EqualFunc(a, b, func(x, y any) bool {
			u, isNumber := x.(float64)
			v, too := y.(float64)
			return isNumber && too && math.Abs(u-v) <= 1e-9*math.Max(1, math.Abs(u)) || x == y
		})
	})
}

// requireTokens lets streams go on until their tokens have run out, changes the key, and
// disables their user: nothing is refused before that, and all within five seconds after.
func requireTokens(t *testing.T, m, ours *mesh.Mesh, streams []*streamed) {
	t.Helper()
	for _, s := range streams {
		mesh.Await(t, 2*time.Minute, func() error {
			if n, renewed, _ := s.r.acknowledged(); renewed == 0 {
				return fmt.Errorf("%s: no token was renewed with %d messages", s.way, n)
			}
			return nil
		})
	}
	boss := m.Addresses
	boss.Token = m.Login(t, "driftmesh", "admin", mesh.AdminPassword)
	boss.MustCLI(t, "auth", "rotate-keys")
	for _, s := range streams {
		s.goesOn(10)
		n, renewed, refused := s.r.acknowledged()
		require.Zero(t, refused, s.way)
		t.Logf("%s: %d messages, %d tokens renewed, nothing refused", s.way, n, renewed)
	}
	ours.MustCLI(t, "user", "disable", "bob")
	begun := time.Now()
	for _, s := range streams {
		mesh.Await(t, 5*time.Second-time.Since(begun), func() error {
			if _, _, refused := s.r.acknowledged(); refused == 0 {
				return fmt.Errorf("%s: bob is still let in", s.way)
			}
			return nil
		})
	}
	for _, s := range streams {
		s.s.end(&s.sent)
		require.False(t, s.r.messages[len(s.r.messages)-1].acknowledged)
	}
}

// requireNobodyElses requires that eve, of another tenant, neither reads nor changes
// anything of ann's, by whatever name she has heard, and that no token makes her ann.
func requireNobodyElses(t *testing.T, theirs *mesh.Mesh, ann, eve *caller, n *numbers, alert int, s *streamed) {
	t.Helper()
	trace := ""
	for key := range s.r.what(false).spans {
		trace = key[0]
	}
	var whole struct{ Spans []any }
	require.Equal(t, http.StatusOK, ann.call(http.MethodGet, "trace/spans?trace_id="+trace, nil, &whole))
	require.NotEmpty(t, whole.Spans)
	uid := n.Profiles["alerts-custom"]
	message := fmt.Appendf(nil, `{"records":[{"Custom":{"created_at":%q,"uid":%q,"metric":"m0","value":99}}]}`, time.Now().UTC().Format(time.RFC3339), uid)
	register := fmt.Appendf(nil, `{"space":"accept","drift_type":"Custom","active":true,"version_request":{"version":"0.1.0","version_type":"Minor"},"profile":%q}`,
		`{"config":{"space":"numbers","name":"alerts-custom","version":"0.1.0","uid":"`+uid+`","alert_config":{"alert_conditions":{}}},"metrics":{"m0":1}}`)
	for _, one := range []struct {
		verb, path, body string
		empty            string // "" where she is refused
	}{
		{http.MethodGet, "drift/custom?time_interval=OneHour&max_data_points=1&space=numbers&uid=" + uid, "", ""},
		{http.MethodGet, "drift/psi?time_interval=OneHour&max_data_points=1&space=numbers&uid=" + n.Profiles["alerts-fixed"], "", ""},
		{http.MethodGet, "drift/spc?time_interval=OneHour&max_data_points=1&space=numbers&uid=" + n.Profiles["alerts-spc"], "", ""},
		{http.MethodGet, "profile?space=numbers&name=alerts-custom&version=0.1.0&drift_type=Custom", "", ""},
		{http.MethodPost, "profiles", `{"space":"numbers","name":"alerts-custom","version":"0.1.0"}`, ""},
		{http.MethodPut, "profile/status", `{"space":"numbers","name":"alerts-custom","version":"0.1.0","active":false,"drift_type":"Custom","deactivate_others":true}`, ""},
		{http.MethodPost, "alerts", `{"uid":"` + uid + `"}`, ""},
		{http.MethodPut, "alerts", fmt.Sprintf(`{"id":%d,"active":false,"space":"numbers"}`, alert), ""},
		{http.MethodGet, "trace/spans?trace_id=" + trace, "", `{"spans":[]}`},
		{http.MethodGet, "trace/baggage?trace_id=" + trace, "", `{"baggage":[]}`},
		{http.MethodGet, "tags?entity_type=trace&entity_id=" + trace, "", `{"tags":[]}`},
		{http.MethodPost, "trace/paginated", `{"service_name":"drive-stream-http"}`, `"items":[]`},
		{http.MethodPost, "trace/paginated", `{"cursor_start_time":"2099-01-01T00:00:00Z","cursor_trace_id":"` + trace + `"}`, `"items":[]`},
		{http.MethodPost, "trace/paginated", `{"trace_ids":["` + trace + `"]}`, `"items":[]`},
		{http.MethodPost, "trace/spans/filters", `{"trace_ids":["` + trace + `"]}`, `{"spans":[]}`},
		{http.MethodPost, "trace/spans/filters", `{"entity_uid":"` + s.sent.Profiles["eval"] + `"}`, `{"spans":[]}`},
	} {
		status, answer := eve.raw(one.verb, one.path, []byte(one.body))
		if one.empty == "" {
			require.Contains(t, []int{http.StatusNotFound, http.StatusBadRequest}, status, "%s %s: %s", one.verb, one.path, answer)
			continue
		}
		require.Equal(t, http.StatusOK, status, "%s %s: %s", one.verb, one.path, answer)
		require.Contains(t, answer, one.empty, "%s %s", one.verb, one.path)
	}
	// What she sends and registers by those names is hers, if anything.
	drift := func() (got string) {
		_, got = ann.raw(http.MethodGet, "drift/custom?time_interval=OneHour&max_data_points=1&space=numbers&uid="+uid, nil)
		return got
	}
	_, _ = eve.raw(http.MethodPost, "message", message)
	_, _ = eve.raw(http.MethodPost, "profile", register)
	theirs.Settled(t, "records")
	var now struct {
		Metrics map[string]struct{ Stats []struct{ Avg float64 } }
	}
	require.NoError(t, json.Unmarshal([]byte(drift()), &now))
	require.InDelta(t, 12, now.Metrics["m0"].Stats[0].Avg, 1e-9)
	_, profile := ann.raw(http.MethodGet, "profile?space=numbers&name=alerts-custom&version=0.1.0&drift_type=Custom", nil)
	require.Contains(t, profile, uid)
	requireForged(t, ann, eve)
}

// requireForged requires that tokens made from good ones are refused, and make nobody
// more than who he is.
func requireForged(t *testing.T, ann, eve *caller) {
	t.Helper()
	claims := func(c *caller) map[string]any {
		raw, err := base64.RawURLEncoding.DecodeString(strings.Split(c.token, ".")[1])
		require.NoError(t, err)
		var all map[string]any
		require.NoError(t, json.Unmarshal(raw, &all))
		return all
	}
	hers, changed := claims(ann), map[string]map[string]any{}
	for name, change := range map[string]func(map[string]any){
		"another tenant":       func(c map[string]any) { c["tenant"] = hers["tenant"] },
		"another user":         func(c map[string]any) { c["sub"] = "bob" },
		"another mark":         func(c map[string]any) { c["rnw"] = hers["rnw"] },
		"another session":      func(c map[string]any) { c["sid"] = hers["sid"] },
		"a mark of the length": func(c map[string]any) { c["rnw"] = strings.Repeat("A", len(fmt.Sprint(c["rnw"]))) },
		"no mark":              func(c map[string]any) { delete(c, "rnw") },
	} {
		changed[name] = claims(eve)
		change(changed[name])
		require.NotEqual(t, claims(eve), changed[name], name)
	}
	parts := strings.Split(eve.token, ".")
	for name, c := range changed {
		raw, err := json.Marshal(c)
		require.NoError(t, err)
		body := base64.RawURLEncoding.EncodeToString(raw)
		for _, head := range []string{parts[0], base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)), base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"x"}`))} {
			for _, signature := range []string{parts[2], "", "AAAA"} {
				mallory := &caller{t: t, url: eve.url, token: head + "." + body + "." + signature}
				status, answer := mallory.raw(http.MethodPost, "message", []byte(`{"records":[]}`))
				require.Equal(t, http.StatusUnauthorized, status, "%s: %s", name, answer)
				status, answer = mallory.raw(http.MethodGet, "auth/refresh", nil)
				require.Equal(t, http.StatusUnauthorized, status, "%s: %s", name, answer)
			}
		}
	}
}
