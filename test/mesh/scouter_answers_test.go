package mesh_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"

	scouterv1 "github.com/driftmesh/driftmesh/proto/scouter/grpc/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// must makes a call that has to succeed, with an object as its body, or none.
func (c *scouterClient) must(verb, path string, body, answer any) {
	c.t.Helper()
	require.Equal(c.t, http.StatusOK, c.try(verb, path, body, answer), "%s %s: %s", verb, path, said{c})
}

func (c *scouterClient) try(verb, path string, body, answer any) int {
	c.t.Helper()
	var raw []byte
	if body != nil {
		var err error
		raw, err = json.Marshal(body)
		require.NoError(c.t, err)
	}
	return c.call(verb, path, raw, answer)
}

// said is what was answered last, read when the test fails.
type said struct{ c *scouterClient }

func (s said) String() string { return s.c.said }

type object = map[string]any

const (
	soon = 30 * time.Second // what was sent is stored by then
	tick = 50 * time.Millisecond
)

// requireScouterAnswers asks what Scouter's clients and its other users can ask, beside
// the run of the client that requireScouter replays.
func requireScouterAnswers(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	c := &scouterClient{t: t, m: m}
	require.Equal(t, http.StatusOK, c.login("scouter-answers/ann", mesh.AdminPassword))
	read := func(name string) []byte {
		raw, err := os.ReadFile(filepath.Join(mesh.Root(t), "internal/scouter/testdata", name))
		require.NoError(t, err)
		return raw
	}
	uids := requireScouterProfiles(t, c, read)
	c.drifting(uids)
	c.must(http.MethodPost, "message", json.RawMessage(read("message-spans.json")), nil)
	c.must(http.MethodPost, "message", json.RawMessage(read("message-spans-link.json")), nil)
	requireScouterTags(t, c, uids["psi"])
	requireScouterPages(t, c)
	requireScouterUsers(t, c)
	requireScouterMovesHere(t, c, "scouter-answers")
	requireScouterAlerts(t, c, uids)
}

// requireScouterProfiles registers the profiles of the client, to be judged each minute,
// and asks for them by every key.
func requireScouterProfiles(t *testing.T, c *scouterClient, read func(string) []byte) map[string]string {
	t.Helper()
	uids := map[string]string{}
	for kind, driftType := range map[string]string{"spc": "Spc", "psi": "Psi", "custom": "Custom", "genai": "GenAI"} {
		var request object
		require.NoError(t, json.Unmarshal(read("profile-"+kind+".json"), &request))
		text, ok := request["profile"].(string)
		require.True(t, ok)
		request["profile"] = strings.Replace(text, "0 0 0 * * *", "0 * * * * *", 1)
		var made struct{ UID string }
		c.must(http.MethodPost, "profile", request, &made)
		uids[kind] = made.UID
		c.must(http.MethodPut, "profile", request, nil)
		request["profile"] = text
		if driftType != "GenAI" {
			require.Equal(t, http.StatusNotImplemented, c.try(http.MethodPut, "profile", request, nil), "a profile does not change")
		}
		for _, version := range []string{"&version=0.1.0", ""} {
			var got map[string]struct{ Config struct{ UID, Version string } }
			c.must(http.MethodGet, "profile?space=accept&name=accept-http&drift_type="+driftType+version, nil, &got)
			require.Equal(t, made.UID, got[driftType].Config.UID)
			require.Equal(t, "0.1.0", got[driftType].Config.Version)
		}
		require.Equal(t, http.StatusNotFound, c.try(http.MethodGet, "profile?space=accept&name=accept-http&version=0.2.0&drift_type="+driftType, nil, nil))
	}
	for _, asked := range []object{{"space": "accept", "name": "accept-http", "version": "0.1.0"}, {"space": "accept", "name": "accept-http"}, {"space": "accept"}, {}} {
		var listed []struct {
			Profile map[string]json.RawMessage
			Active  bool
		}
		c.must(http.MethodPost, "profiles", asked, &listed)
		require.Len(t, listed, len(uids), asked)
	}
	require.Equal(t, http.StatusNotFound, c.try(http.MethodPost, "profiles", object{"space": "accept", "name": "accept"}, nil))
	status := object{"space": "accept", "name": "accept-http", "version": "0.1.0", "active": false, "drift_type": "GenAI", "deactivate_others": false}
	c.must(http.MethodPut, "profile/status", status, nil)
	var listed []struct {
		Profile map[string]json.RawMessage
		Active  bool
	}
	c.must(http.MethodPost, "profiles", object{"space": "accept", "name": "accept-http", "version": "0.1.0"}, &listed)
	for _, one := range listed {
		_, eval := one.Profile["GenAI"]
		require.Equal(t, !eval, one.Active)
	}
	return uids
}

// drifting sends records that no condition of the profiles lets pass.
func (c *scouterClient) drifting(uids map[string]string) {
	var records []object
	add := func(kind string, more object) {
		more["created_at"], more["entity_id"] = time.Now().UTC().Format(time.RFC3339Nano), 0
		records = append(records, object{kind: more})
	}
	for range 3 {
		add("Spc", object{"uid": uids["spc"], "feature": "temperature", "value": 500.0})
		add("Spc", object{"uid": uids["spc"], "feature": "requests", "value": 249.5})
		add("Custom", object{"uid": uids["custom"], "metric": "mae", "value": 30.0})
		add("Custom", object{"uid": uids["custom"], "metric": "accuracy", "value": 0.9})
	}
	for bin := range 10 {
		count := 10
		if bin == 0 {
			count = 1000
		}
		add("Psi", object{"uid": uids["psi"], "feature": "temperature", "bin_id": bin + 1, "bin_count": count})
	}
	c.must(http.MethodPost, "message", object{"records": records}, nil)
}

func requireScouterTags(t *testing.T, c *scouterClient, uid string) {
	t.Helper()
	type tag struct {
		EntityType string `json:"entity_type"`
		EntityID   string `json:"entity_id"`
		Key        string `json:"key"`
		Value      string `json:"value"`
	}
	tags := func(kind, id string) (got []tag) {
		var answer struct{ Tags []tag }
		c.must(http.MethodGet, "tags?entity_type="+kind+"&entity_id="+id, nil, &answer)
		return answer.Tags
	}
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736" // of which there are no spans
	// By themselves, over both transports, and in a list.
	c.must(http.MethodPost, "message", tag{"Agent", uid, "team", "search"}, nil)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+c.token)
	nobody := c.m.Addresses
	nobody.Token = ""
	raw, err := json.Marshal(tag{"trace", strings.ToUpper(trace), "team", "search"})
	require.NoError(t, err)
	took, err := scouterv1.NewMessageServiceClient(nobody.Conn(t)).InsertMessage(ctx, &scouterv1.InsertMessageRequest{MessageRecord: raw})
	require.NoError(t, err)
	require.Equal(t, "success", took.GetStatus())
	c.must(http.MethodPost, "tags", object{"tags": []tag{{"Agent", uid, "stage", "live"}, {"Agent", "other", "team", "search"}}}, nil)
	require.Equal(t, []tag{{"Agent", uid, "stage", "live"}, {"Agent", uid, "team", "search"}}, tags("Agent", uid))
	require.Equal(t, []tag{{"trace", trace, "team", "search"}}, tags("trace", trace))
	require.Empty(t, tags("Agent", "nobody"))

	entities := func(kind string, all bool, asked ...object) (ids []string) {
		var answer struct {
			IDs []string `json:"entity_id"`
		}
		c.must(http.MethodPost, "tags/entity", object{"entity_type": kind, "tags": asked, "match_all": all}, &answer)
		return answer.IDs
	}
	team, stage := object{"key": "team", "value": "search"}, object{"key": "stage", "value": "live"}
	both := []string{uid, "other"}
	slices.Sort(both)
	require.Equal(t, both, entities("Agent", false, team, stage))
	require.Equal(t, []string{uid}, entities("Agent", true, team, stage))
	require.Empty(t, entities("Agent", true, team, object{"key": "stage", "value": "test"}))

	// The trace of the client that carries team=search on a span, and the one above.
	var carrying string
	require.Eventually(t, func() bool {
		ids := slices.DeleteFunc(entities("trace", false, team), func(id string) bool { return id == trace })
		if len(ids) == 1 {
			carrying = ids[0]
		}
		return len(ids) == 1
	}, soon, tick)
	require.Contains(t, tags("trace", carrying), tag{"trace", carrying, "team", "search"})
	c.must(http.MethodPost, "message", tag{"trace", carrying, "reviewed", "yes"}, nil)
	reviewed := object{"key": "reviewed", "value": "yes"}
	require.Equal(t, []string{carrying}, entities("trace", true, team, reviewed), "one on a span, one by itself")
	spans := func(service string) int {
		var answer struct{ Spans []object }
		c.must(http.MethodPost, "trace/spans/tags", object{"entity_type": "trace", "tag_filters": []object{team, reviewed}, "match_all": true, "service_name": service}, &answer)
		return len(answer.Spans)
	}
	require.Equal(t, 2, spans(""), "the span with the tag and the one inside")
	require.Equal(t, 2, spans("drive-http"))
	require.Zero(t, spans("another"))
}

// tracePage is what the client reads of a page.
type tracePage struct {
	Items []struct {
		TraceID   string   `json:"trace_id"`
		Operation string   `json:"root_operation"`
		Entities  []string `json:"entity_ids"`
	}
	HasNext     bool    `json:"has_next"`
	HasPrevious bool    `json:"has_previous"`
	Next        *cursor `json:"next_cursor"`
	Previous    *cursor `json:"previous_cursor"`
}

type cursor struct {
	Start   string `json:"start_time"`
	TraceID string `json:"trace_id"`
}

func (p *tracePage) ids() (ids []string) {
	for _, i := range p.Items {
		ids = append(ids, i.TraceID)
	}
	return ids
}

func requireScouterPages(t *testing.T, c *scouterClient) {
	t.Helper()
	page := func(filters object) (p tracePage) {
		c.must(http.MethodPost, "trace/paginated", filters, &p)
		return p
	}
	var all tracePage
	require.Eventually(t, func() bool { all = page(object{"service_name": "drive-http"}); return len(all.Items) == 7 }, soon, tick)
	require.False(t, all.HasNext || all.HasPrevious)

	// Forth and back it is the same.
	for limit := 1; limit <= 8; limit++ {
		var forth [][]string
		at := object{"service_name": "drive-http", "limit": limit}
		for {
			p := page(at)
			require.Equal(t, len(forth) > 0, p.HasPrevious)
			require.Equal(t, p.HasNext, p.Next != nil)
			forth = append(forth, p.ids())
			if p.Next == nil {
				break
			}
			at["cursor_start_time"], at["cursor_trace_id"], at["direction"] = p.Next.Start, p.Next.TraceID, "next"
		}
		require.Equal(t, all.ids(), slices.Concat(forth...), limit)
		last := page(at)
		for i := len(forth) - 2; i >= 0; i-- {
			require.NotNil(t, last.Previous)
			at["cursor_start_time"], at["cursor_trace_id"], at["direction"] = last.Previous.Start, last.Previous.TraceID, "previous"
			last = page(at)
			require.Equal(t, forth[i], last.ids(), limit)
			require.True(t, last.HasNext)
			require.Equal(t, i > 0, last.HasPrevious)
		}
	}
	some := []string{all.Items[1].TraceID, all.Items[4].TraceID}
	require.Equal(t, some, func() []string { p := page(object{"trace_ids": some}); return p.ids() }())
	found := func(filters object) (names []string) {
		p := page(filters)
		for _, i := range p.Items {
			names = append(names, i.Operation)
		}
		slices.Sort(names)
		return names
	}
	require.Equal(t, []string{"manual", "sync"}, found(object{"attribute_filters": []string{"shop:one", "text=t", "none:of it"}}), "one of several is enough")
	require.Equal(t, []string{"sync"}, found(object{"attribute_filters": []string{"team:search"}}), "a tag")
	require.Equal(t, []string{"manual"}, found(object{"attribute_filters": []string{"user:bob"}}), "baggage")
	require.Equal(t, []string{"risky"}, found(object{"has_errors": true, "service_name": "drive-http"}))
	require.NotContains(t, found(object{"has_errors": false}), "risky")
	require.Equal(t, http.StatusBadRequest, c.try(http.MethodPost, "trace/paginated", object{"attribute_filters": []string{"no separator"}}, nil))
	linked := all.Items[slices.IndexFunc(all.Items, func(i struct {
		TraceID   string   `json:"trace_id"`
		Operation string   `json:"root_operation"`
		Entities  []string `json:"entity_ids"`
	}) bool {
		return i.Operation == "linked"
	})]
	require.NotEmpty(t, linked.Entities)
	require.Equal(t, []string{"linked"}, found(object{"entity_uid": linked.Entities[0], "service_name": "drive-http"}))
	metrics := func(more object) (traces int) {
		asked := object{"start_time": "2026-11-01T00:00:00Z", "end_time": "2027-01-01T00:00:00Z", "bucket_interval": "hour"}
		for k, v := range more {
			asked[k] = v
		}
		var answer struct {
			Metrics []struct {
				Traces int `json:"trace_count"`
			}
		}
		c.must(http.MethodPost, "trace/metrics", asked, &answer)
		for _, b := range answer.Metrics {
			traces += b.Traces
		}
		return traces
	}
	require.Equal(t, 7, metrics(object{"service_name": "drive-http"}))
	require.Equal(t, 1, metrics(object{"service_name": "drive-http", "entity_uid": linked.Entities[0]}))
	require.Equal(t, 2, metrics(object{"attribute_filters": []string{"shop:one", "text:t"}}))
	require.Zero(t, metrics(object{"service_name": "another", "entity_uid": linked.Entities[0]}))
	var spans struct{ Spans []object }
	c.must(http.MethodGet, "v1/traces/"+linked.TraceID+"/spans", nil, &spans)
	require.Len(t, spans.Spans, 1)
	require.Len(t, func() []string {
		var p tracePage
		c.must(http.MethodGet, "trace/debug/recent", nil, &p)
		return p.ids()
	}(), 7)
}

func requireScouterUsers(t *testing.T, c *scouterClient) {
	t.Helper()
	type user struct {
		Username  string
		Active    bool
		Role      string
		May       []string `json:"permissions"`
		Groups    []string `json:"group_permissions"`
		Favorites []string `json:"favorite_spaces"`
	}
	var made struct {
		User  user
		Codes []string `json:"recovery_codes"`
	}
	const password = "a good password of bob's"
	c.must(http.MethodPost, "user", object{"username": "bob", "password": password, "email": "bob@example.org", "permissions": []string{"read:ml", "write:ml"}}, &made)
	want := user{"bob", true, "editor", []string{"read:ml", "write:ml"}, []string{"user"}, []string{}}
	require.Equal(t, want, made.User)
	require.Equal(t, http.StatusConflict, c.try(http.MethodPost, "user", object{"username": "bob", "password": password}, nil))
	for _, wrong := range [][]string{{"read:all", "write:ml"}, {"write:ml"}, {"admin:ml"}} {
		require.Equal(t, http.StatusBadRequest, c.try(http.MethodPost, "user", object{"username": "eve", "password": password, "permissions": wrong}, nil), wrong)
	}
	bob := &scouterClient{t: t, m: c.m}
	require.Equal(t, http.StatusOK, bob.login("scouter-answers/bob", password))
	var got user
	bob.must(http.MethodGet, "user/bob", nil, &got)
	require.Equal(t, want, got, "anybody sees itself")
	require.Equal(t, http.StatusNotFound, bob.try(http.MethodGet, "user/ann", nil, nil))
	require.Equal(t, http.StatusForbidden, bob.try(http.MethodGet, "user", nil, nil))
	require.Equal(t, http.StatusForbidden, bob.try(http.MethodPut, "user/bob", object{"group_permissions": []string{"admin"}}, nil))
	require.Equal(t, http.StatusForbidden, bob.try(http.MethodDelete, "user/bob", nil, nil))

	c.must(http.MethodPut, "user/bob", object{"permissions": []string{"read:all"}, "favorite_spaces": []string{"ml", "risk"}}, &got)
	require.Equal(t, user{"bob", true, "viewer", []string{"read:all"}, []string{"user"}, []string{"ml", "risk"}}, got)
	c.must(http.MethodPut, "user/bob", object{"active": false}, &got)
	require.False(t, got.Active)
	require.Equal(t, http.StatusForbidden, bob.login("scouter-answers/bob", password), "who is disabled")
	require.Equal(t, http.StatusNotImplemented, c.try(http.MethodPut, "user/bob", object{"password": password}, nil))
	var list struct{ Users []user }
	c.must(http.MethodGet, "user", nil, &list)
	require.Len(t, list.Users, 2)
	require.Equal(t, user{"ann", true, "admin", []string{"read:all", "write:all", "delete:all"}, []string{"admin"}, []string{}}, list.Users[0])
	c.must(http.MethodDelete, "user/bob", nil, nil)
	require.Equal(t, http.StatusNotFound, c.try(http.MethodGet, "user/bob", nil, nil))
	require.GreaterOrEqual(t, c.try(http.MethodDelete, "user/ann", nil, nil), http.StatusBadRequest, "the last administrator")
}

// requireScouterAlerts waits until the profiles were judged on their schedule, and asks
// for what was found in every way.
func requireScouterAlerts(t *testing.T, c *scouterClient, uids map[string]string) {
	t.Helper()
	type item struct {
		CreatedAt time.Time `json:"created_at"`
		Entity    string    `json:"entity_name"`
		Alert     map[string]object
		ID        int32
		Active    bool
	}
	type alertPage struct {
		Items       []item
		HasNext     bool `json:"has_next"`
		HasPrevious bool `json:"has_previous"`
		Next        *struct {
			CreatedAt time.Time `json:"created_at"`
			ID        int32
		} `json:"next_cursor"`
	}
	alerts := func(asked object) (p alertPage) {
		c.must(http.MethodPost, "alerts", asked, &p)
		return p
	}
	for kind, want := range map[string]map[string]object{
		"spc":    {"Spc": {"feature": "temperature", "kind": "OutOfBounds", "zone": "Zone4"}},
		"psi":    {"Psi": {"feature": "temperature", "threshold": 0.25}},
		"custom": {"Custom": {"metric_name": "mae", "baseline_value": 12.4, "observed_value": 30.0, "delta": 2.3, "alert_threshold": "Above"}},
	} {
		var got alertPage
		require.Eventually(t, func() bool { got = alerts(object{"uid": uids[kind]}); return len(got.Items) > 0 }, 3*time.Minute, time.Second, kind)
		require.Len(t, got.Items, 1)
		one := got.Items[0]
		require.Equal(t, "accept-http", one.Entity)
		require.True(t, one.Active)
		for variant, fields := range want {
			for name, value := range fields {
				require.Equal(t, value, one.Alert[variant][name], "%s: %s", kind, name)
			}
		}
		if kind == "psi" {
			drift, _ := one.Alert["Psi"]["drift"].(float64)
			require.Greater(t, drift, 0.25)
		}
	}
	psi := alerts(object{"uid": uids["psi"], "limit": 1, "active": true})
	require.False(t, psi.HasNext || psi.HasPrevious)
	one := psi.Items[0]
	require.Len(t, alerts(object{"uid": uids["psi"], "start_datetime": one.CreatedAt, "end_datetime": one.CreatedAt}).Items, 1)
	require.Empty(t, alerts(object{"uid": uids["psi"], "start_datetime": one.CreatedAt.Add(time.Second)}).Items)
	require.Empty(t, alerts(object{"uid": uids["psi"], "end_datetime": one.CreatedAt.Add(-time.Second)}).Items)
	at := object{"uid": uids["psi"], "cursor_created_at": one.CreatedAt.Add(-time.Hour), "cursor_id": 1}
	require.Empty(t, alerts(at).Items)
	at["direction"] = "previous"
	back := alerts(at)
	require.Len(t, back.Items, 1)
	require.False(t, back.HasPrevious)

	var done struct{ Updated bool }
	c.must(http.MethodPut, "alerts", object{"id": one.ID, "active": false, "space": "accept"}, &done)
	require.True(t, done.Updated)
	require.Empty(t, alerts(object{"uid": uids["psi"], "active": true}).Items)
	require.Len(t, alerts(object{"uid": uids["psi"], "active": false}).Items, 1)
	require.Equal(t, http.StatusBadRequest, c.try(http.MethodPut, "alerts", object{"id": one.ID ^ 1<<20, "active": false, "space": "accept"}, nil))
	require.Equal(t, http.StatusNotFound, c.try(http.MethodPost, "alerts", object{"uid": fmt.Sprintf("%036d", 0)}, nil))
}
