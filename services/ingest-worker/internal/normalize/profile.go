package normalize

import (
	"fmt"

	"github.com/google/uuid"

	rules "github.com/driftmesh/driftmesh/internal/record"
)

// Kind is how a profile bins a feature.
type Kind uint8

// The kinds of features.
const (
	Numeric  Kind = iota + 1 // by edges
	Category                 // one bin per value
)

// Feature is what normalizing needs to know of one feature of a profile.
type Feature struct {
	Name string
	Kind Kind
	// Type is what the reference column held: int, float, string or bool. Empty
	// takes whatever the kind can hold.
	Type string
	// Tolerant says that a value of another type is counted, and no reason to
	// reject its record.
	Tolerant bool
	// Bins are those that values may come counted into.
	Bins rules.Bins
}

// Profile says where each feature's value goes. It is immutable and safe for
// concurrent use.
type Profile struct {
	uid      uuid.UUID
	slots    []slot
	byName   map[string]int
	numbers  int
	category int
	of       Body // whose values are the features
	checked  bool // contexts are
}

type slot struct {
	name  string
	kind  Kind
	at    int // in Row.Numbers or Row.Categories
	takes [formBool + 1]bool
	// tolerant: others are of state WrongType.
	tolerant bool
	bins     rules.Bins
}

// NewProfile prepares a profile with the features in its order, which are those of
// records of Features, the values of Metrics, or members of a Context. It returns
// an error for a feature without a name, one twice, or one of unknown kind or type.
func NewProfile(of Body, uid uuid.UUID, features []Feature) (*Profile, error) {
	p := &Profile{uid: uid, of: of, byName: make(map[string]int, len(features))}
	for i, f := range features {
		s := slot{name: f.Name, kind: f.Kind, tolerant: f.Tolerant, bins: f.Bins}
		switch f.Kind {
		case Numeric:
			s.at = p.numbers
			p.numbers++
		case Category:
			s.at = p.category
			p.category++
		default:
			return nil, fmt.Errorf("feature %q: kind %d is unknown", f.Name, f.Kind)
		}
		if !s.accept(f.Type) {
			return nil, fmt.Errorf("feature %q: type %q does not fit its kind", f.Name, f.Type)
		}
		if _, twice := p.byName[f.Name]; twice || f.Name == "" {
			return nil, fmt.Errorf("feature %d: name %q is empty or taken", i, f.Name)
		}
		p.byName[f.Name] = i
		p.slots = append(p.slots, s)
	}
	return p, nil
}

// accept sets which forms of values the slot takes; false for a type that does
// not go with the kind.
func (s *slot) accept(typ string) bool {
	s.takes[formMissing] = true
	switch {
	case typ == "int" && s.kind == Category, s.kind == Numeric && (typ == "int" || typ == "float" || typ == ""):
		s.takes[formInt], s.takes[formFloat] = true, true // of a category, whole ones
	case typ == "string" && s.kind == Category:
		s.takes[formString] = true
	case typ == "bool" && s.kind == Category:
		s.takes[formBool] = true
	case typ == "" && s.kind == Category:
		s.takes[formInt], s.takes[formString], s.takes[formBool] = true, true, true
	default:
		return false
	}
	return true
}

// Checked is the same profile with contexts that are checked: they touch windows.
func (p *Profile) Checked() *Profile {
	out := *p
	out.checked = true
	return &out
}

// UID is the profile's uid.
func (p *Profile) UID() uuid.UUID { return p.uid }

// Numbers is how many numeric features the profile has.
func (p *Profile) Numbers() int { return p.numbers }

// Categories is how many category features the profile has.
func (p *Profile) Categories() int { return p.category }

// find returns the slot of a feature. Clients usually keep to the profile's
// order, so hint is looked at first.
func (p *Profile) find(name []byte, hint int) (int, bool) {
	if hint < len(p.slots) && p.slots[hint].name == string(name) {
		return hint, true
	}
	i, ok := p.byName[string(name)]
	return i, ok
}
