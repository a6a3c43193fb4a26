package oidc_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/services/auth/internal/oidc"
)

func rules(t *testing.T, all ...oidc.Rule) oidc.Rules {
	t.Helper()
	r, err := oidc.NewRules(all)
	require.NoError(t, err)
	return r
}

func claims(t *testing.T, text string) map[string]any {
	t.Helper()
	var all map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &all))
	return all
}

// Who gets what by which claims: the first rule that matches, and nothing where none
// does. What is of an odd kind, or only contains what is asked for, is not it.
func TestRules(t *testing.T) {
	t.Parallel()
	r := rules(t,
		oidc.Rule{Condition: oidc.Condition{Claim: "groups", Value: "mesh-admins"}, And: []oidc.Condition{{Claim: "email_verified", Value: "true"}},
			Tenant: "driftmesh", Role: "admin", MeshAdmin: true},
		oidc.Rule{Condition: oidc.Condition{Claim: "groups", Value: "modellers"}, Tenant: "acme", Role: "editor", Spaces: []string{"risk", "fraud"}},
		oidc.Rule{Condition: oidc.Condition{Claim: "email", Pattern: `.*@acme\.com|boss`}, Tenant: "acme", Role: "viewer"},
		oidc.Rule{Condition: oidc.Condition{Claim: "realm_access.roles", Value: "loader"}, Tenant: "beta", Role: "ingest"},
		oidc.Rule{Condition: oidc.Condition{Claim: "kubernetes.io.pod.name", Value: "loader-0"}, Tenant: "beta", Role: "ingest"},
	)
	for text, want := range map[string]string{
		`{"groups": ["modellers"]}`:                                         "acme editor fraud,risk",
		`{"groups": "modellers"}`:                                           "acme editor fraud,risk",
		`{"groups": ["x", "mesh-admins"], "email_verified": true}`:          "driftmesh admin ",
		`{"groups": ["x", "mesh-admins"], "email_verified": "true"}`:        "driftmesh admin ",
		`{"groups": ["mesh-admins", "modellers"]}`:                          "acme editor fraud,risk",
		`{"groups": ["mesh-admins"], "email_verified": false}`:              "",
		`{"groups": ["mesh-admins"], "email_verified": 1}`:                  "",
		`{"groups": ["mesh-admins"], "email_verified": [[true]]}`:           "",
		`{"email": "ann@acme.com"}`:                                         "acme viewer ",
		`{"email": "boss"}`:                                                 "acme viewer ",
		`{"email": "ann@acme.com", "email_verified": true}`:                 "acme viewer ",
		`{"email": "ann@acme.com", "email_verified": "true"}`:               "acme viewer ",
		`{"email": "ann@acme.com", "email_verified": false}`:                "",
		`{"email": "ann@acme.com", "email_verified": "false"}`:              "",
		`{"email": "ann@acme.com", "email_verified": null}`:                 "",
		`{"email": "ann@acme.com", "email_verified": 1}`:                    "",
		`{"email": "bosses"}`:                                               "",
		`{"email": "ann@acme.com.evil.com"}`:                                "",
		`{"email": "x@evil.com\nann@acme.com"}`:                             "",
		`{"email": "ann@acme.com\n"}`:                                       "",
		`{"realm_access": {"roles": ["loader"]}}`:                           "beta ingest ",
		`{"realm_access.roles": ["loader"]}`:                                "beta ingest ",
		`{"realm_access.roles": [], "realm_access": {"roles": ["loader"]}}`: "",
		`{"realm_access": {"roles": {"loader": true}}}`:                     "",
		`{"kubernetes.io": {"pod": {"name": "loader-0"}}}`:                  "beta ingest ",
		`{"kubernetes": {"io": {"pod": {"name": "loader-0"}}}}`:             "beta ingest ",
		`{"kubernetes.io": {"pod": "loader-0"}}`:                            "",
		`{"kubernetes.io": "loader-0"}`:                                     "",
		`{"groups": "modellers,mesh-admins"}`:                               "",
		`{"groups": "[\"modellers\"]"}`:                                     "",
		`{"groups": {"modellers": true}}`:                                   "",
		`{"groups": {"value": "modellers"}}`:                                "",
		`{"groups": [["modellers"]]}`:                                       "",
		`{"groups": [{"name": "modellers"}]}`:                               "",
		`{"groups": ["Modellers", "modellers ", "modellers\u0000"]}`:        "",
		`{"groups": 7, "email": 7}`:                                         "",
		`{"groups": null, "email": null}`:                                   "",
		`{"Groups": ["modellers"]}`:                                         "",
		`{"groups.0": "modellers"}`:                                         "",
		`{}`:                                                                "",
	} {
		place, ok := r.Place(claims(t, text))
		got := ""
		if ok {
			got = place.Tenant + " " + string(place.Grant.Role) + " " + string(place.Grant.Spaces)
		}
		require.Equal(t, want, got, text)
	}
	_, ok := oidc.Rules{}.Place(claims(t, `{"groups": ["modellers"]}`))
	require.False(t, ok)
}

// What cannot be meant stops the start, and administrators of the mesh are made by rules
// that say so alone.
func TestSettingsThatCannotBeMeant(t *testing.T) {
	t.Parallel()
	good := func() oidc.Config {
		return oidc.Config{
			Issuer: "https://login.example.com/realm", ClientID: "mesh", Redirect: "https://mesh.example.com/login/callback",
			Rules: []oidc.Rule{{Condition: oidc.Condition{Claim: "groups", Value: "x"}, Tenant: "acme", Role: "viewer"}},
		}
	}
	require.NoError(t, oidc.Configs{"corp": good()}.Check("auth.oidc"))
	for want, change := range map[string]func(*oidc.Config){
		"corp.issuer: want https":         func(c *oidc.Config) { c.Issuer = "http://login.example.com" },
		"corp.issuer: want":               func(c *oidc.Config) { c.Issuer = "https://ann:pw@login.example.com" },
		"corp.redirect: want":             func(c *oidc.Config) { c.Redirect = "http://mesh.example.com/login/callback" },
		"corp.redirect: ":                 func(c *oidc.Config) { c.Redirect = "https://mesh.example.com/elsewhere" },
		"corp.client-id: users need":      func(c *oidc.Config) { c.ClientID, c.Redirect = "", "" },
		"corp.scopes: openid":             func(c *oidc.Config) { c.Scopes = []string{"email"} },
		"corp.rules: there are none":      func(c *oidc.Config) { c.Rules = nil },
		"give a value or a pattern":       func(c *oidc.Config) { c.Rules[0].Pattern = "y" },
		"claim: is missing":               func(c *oidc.Config) { c.Rules[0].Claim = "" },
		"pattern: error parsing":          func(c *oidc.Config) { c.Rules[0].Value, c.Rules[0].Pattern = "", "x)|(.*" },
		`role "superuser" does not exist`: func(c *oidc.Config) { c.Rules[0].Role = "superuser" },
		`role "service" does not exist`:   func(c *oidc.Config) { c.Rules[0].Role = "service" },
		"tenant name: want":               func(c *oidc.Config) { c.Rules[0].Tenant = "" },
		"the rule must say mesh-admin":    func(c *oidc.Config) { c.Rules[0].Tenant, c.Rules[0].Role = "driftmesh", "admin" },
		"it has administrators alone":     func(c *oidc.Config) { c.Rules[0].Tenant, c.Rules[0].MeshAdmin = "driftmesh", true },
		"mesh-admin: is about the tenant": func(c *oidc.Config) { c.Rules[0].MeshAdmin = true },
		"spaces: there are 33":            func(c *oidc.Config) { c.Rules[0].Spaces = make([]string, 33) },
		"corp.session-life: must not":     func(c *oidc.Config) { c.SessionLife = -1 },
		"corp.audiences: one is empty":    func(c *oidc.Config) { c.Audiences = []string{""} },
		"rules[0]: claim g: give a value": func(c *oidc.Config) { c.Rules[0].Condition = oidc.Condition{Claim: "g"} },
	} {
		c := good()
		change(&c)
		require.ErrorContains(t, oidc.Configs{"corp": c}.Check("auth.oidc"), want)
	}
	own := good()
	own.Redirect += "/corp"
	require.NoError(t, oidc.Configs{"corp": own}.Check("auth.oidc"))
	require.ErrorContains(t, oidc.Configs{"other": own}.Check("auth.oidc"), "other.redirect: want")
	require.ErrorContains(t, oidc.Configs{"Corp/1": good()}.Check("auth.oidc"), "a provider's name has")
	require.ErrorContains(t, oidc.Configs{"a": good(), "b": good()}.Check("auth.oidc"), "b.issuer: is that of a")
	place, ok := rules(t, good().Rules...).Place(map[string]any{"groups": "x"})
	require.True(t, ok)
	require.Equal(t, policy.As(policy.Viewer), place.Grant)
}
