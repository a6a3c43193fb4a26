package oidc

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
)

// Condition is true of claims of which one has a value.
type Condition struct {
	// Claim is the claim's name; a.b is the claim b inside of a, where there is none
	// called a.b.
	Claim string `yaml:"claim"`
	// Value is what it must be, or have among its values.
	Value string `yaml:"value"`
	// Pattern is a regular expression (RE2) of all of it, instead of Value.
	Pattern string `yaml:"pattern"`
}

// Rule says what somebody gets of whom its conditions are true.
type Rule struct {
	Condition `yaml:",inline"`
	// And are further conditions.
	And []Condition `yaml:"and"`

	Tenant string   `yaml:"tenant"`
	Role   string   `yaml:"role"`
	Spaces []string `yaml:"spaces"`
	// MeshAdmin says that it is meant: whoever the rule is about administers the
	// mesh.
	MeshAdmin bool `yaml:"mesh-admin"`
}

// Place is what somebody gets.
type Place struct {
	Tenant string
	Grant  policy.Grant
}

func (r Rule) check() error {
	var errs []error
	for _, c := range append([]Condition{r.Condition}, r.And...) {
		errs = append(errs, c.check())
	}
	if r.Tenant == identity.MeshTenant {
		if !r.MeshAdmin || policy.Role(r.Role) != policy.Admin || len(r.Spaces) > 0 {
			errs = append(errs, fmt.Errorf("the tenant %s is the mesh's own: it has administrators alone, and the rule must say mesh-admin: true", r.Tenant))
		}
	} else {
		if r.MeshAdmin {
			errs = append(errs, fmt.Errorf("mesh-admin: is about the tenant %s", identity.MeshTenant))
		}
		errs = append(errs, identity.ValidTenant(r.Tenant))
	}
	_, err := policy.ParseRole(r.Role)
	errs = append(errs, err)
	_, err = policy.ParseSpaces(r.Spaces)
	return errors.Join(append(errs, err)...)
}

func (c Condition) check() error {
	switch {
	case c.Claim == "":
		return errors.New("claim: is missing")
	case (c.Value == "") == (c.Pattern == ""):
		return fmt.Errorf("claim %s: give a value or a pattern", c.Claim)
	}
	_, err := c.pattern()
	return err
}

// pattern matches whole values: part of one may be what a user chose.
func (c Condition) pattern() (*regexp.Regexp, error) {
	if c.Pattern == "" {
		return nil, nil //nolint:nilnil // a value is to be compared
	}
	if _, err := regexp.Compile(c.Pattern); err != nil { // alone: it must not close our parenthesis
		return nil, fmt.Errorf("claim %s: pattern: %w", c.Claim, err)
	}
	return regexp.Compile(`\A(?:` + c.Pattern + `)\z`)
}

// Rules are rules that were checked.
type Rules struct{ all []rule }

type rule struct {
	conditions []condition
	place      Place
}

type condition struct {
	claim, value string
	pattern      *regexp.Regexp // nil for value
}

// NewRules makes rules ready.
func NewRules(all []Rule) (Rules, error) {
	var out Rules
	for i, r := range all {
		if err := r.check(); err != nil {
			return Rules{}, fmt.Errorf("rule %d: %w", i, err)
		}
		made := rule{place: Place{Tenant: r.Tenant, Grant: policy.Grant{Role: policy.Role(r.Role)}}}
		made.place.Grant.Spaces, _ = policy.ParseSpaces(r.Spaces) // checked
		for _, c := range append([]Condition{r.Condition}, r.And...) {
			pattern, _ := c.pattern() // checked
			made.conditions = append(made.conditions, condition{c.Claim, c.Value, pattern})
		}
		out.all = append(out.all, made)
	}
	return out, nil
}

// Place gives what the first rule gives that matches; ok is false where none does.
func (r Rules) Place(claims map[string]any) (_ Place, ok bool) {
	for _, one := range r.all {
		if one.matches(claims) {
			return one.place, true
		}
	}
	return Place{}, false
}

func (r rule) matches(claims map[string]any) bool {
	for _, c := range r.conditions {
		if c.claim == emailClaim && unverified(claims) || !c.matches(claims) {
			return false
		}
	}
	return true
}

// emailClaim is an address that users may choose at some providers, which say then
// whether it is theirs (OpenID Connect Core, 5.1).
const emailClaim = "email"

// unverified reports whether a provider says that an address need not be the user's. One
// that never says anything of it is believed, as Kubernetes does.
func unverified(claims map[string]any) bool {
	v, said := claims["email_verified"]
	return said && v != true && v != "true"
}

func (c condition) matches(claims map[string]any) bool {
	for _, text := range texts(find(claims, c.claim)) {
		if c.pattern != nil && c.pattern.MatchString(text) || c.pattern == nil && text == c.value {
			return true
		}
	}
	return false
}

// find gives a claim, nil when there is none. Names have dots themselves.
func find(claims map[string]any, name string) any {
	if v, ok := claims[name]; ok {
		return v
	}
	for i := range name {
		if inside, ok := claims[name[:i]].(map[string]any); ok && name[i] == '.' {
			return find(inside, name[i+1:])
		}
	}
	return nil
}

// texts are the values of a claim that a rule can be about: a text, true or false,
// or those in a list. What is of another kind has none: a number or an object that
// somebody takes for a name is nobody's group.
func texts(claim any) []string {
	switch v := claim.(type) {
	case string:
		return []string{v}
	case bool:
		if v {
			return []string{"true"}
		}
		return []string{"false"}
	case []any:
		var out []string
		for _, one := range v {
			if text, ok := one.(string); ok {
				out = append(out, text)
			}
		}
		return out
	}
	return nil
}
