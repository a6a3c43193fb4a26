package record

import (
	"strconv"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile/wire"
)

// Kind is what a feature of a profile holds.
type Kind int

// The kinds.
const (
	Int Kind = iota // a whole number, whose values are its categories
	Float
	Text
	Bool
	Number   // the profile only says that it is numeric
	Category // the profile only says that it is a category
)

var kindNames = [...]string{"int", "float", "string", "bool", "number", "category"}

// String names the kind as a profile does.
func (k Kind) String() string { return kindNames[k] }

// Profile is what a door needs to know of a profile. It is immutable.
type Profile struct {
	UID      string
	Space    string
	Features map[string]Kind
	// Tolerant are the features whose values of another kind are counted, because a
	// monitor judges how many there are.
	Tolerant map[string]bool
	// Bins are those of features that can come counted.
	Bins map[string]Bins
}

// Bins are the bins of a feature by their numbers.
type Bins struct {
	// Number of a numeric feature, whose bins are numbered from 1.
	Number int
	// Categories of a category of whole numbers, with their positions.
	Categories map[int64]int
}

// Position is that of the bin of a number among the feature's, from 0; there may be
// none.
func (b Bins) Position(n int64) (at int, ok bool) {
	if b.Categories != nil {
		at, ok = b.Categories[n]
		return at, ok
	}
	return int(n - 1), n >= 1 && n <= int64(b.Number)
}

// BinsOf are those of a feature, none where it has no numbered ones.
func BinsOf(f *driftv1.FeatureProfile) Bins {
	switch kind := kindOf(f); {
	case f.GetKind() == driftv1.FeatureKind_FEATURE_KIND_NUMERIC:
		return Bins{Number: len(f.GetEdges()) + 1}
	case kind != Int:
		return Bins{}
	}
	b := Bins{Categories: make(map[int64]int, len(f.GetCategories()))}
	for i, text := range f.GetCategories() {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			b.Categories[n] = i
		}
	}
	return b
}

// ProfileOf reads the proto form.
func ProfileOf(p *driftv1.Profile) *Profile {
	out := &Profile{UID: p.GetUid(), Space: p.GetSpace(), Features: make(map[string]Kind, len(p.GetFeatures())), Bins: map[string]Bins{}}
	for _, f := range p.GetFeatures() {
		out.Features[f.GetName()] = kindOf(f)
		out.Bins[f.GetName()] = BinsOf(f)
		if wire.Tolerates(p, f.GetName()) {
			if out.Tolerant == nil {
				out.Tolerant = map[string]bool{}
			}
			out.Tolerant[f.GetName()] = true
		}
	}
	return out
}

func kindOf(f *driftv1.FeatureProfile) Kind {
	switch f.GetType() {
	case "int":
		// What a reference held only whole numbers of may hold others later: they
		// have their place among the bins, and to refuse them would hide them.
		if f.GetKind() == driftv1.FeatureKind_FEATURE_KIND_NUMERIC {
			return Number
		}
		return Int
	case "float":
		return Float
	case "string":
		return Text
	case "bool":
		return Bool
	}
	if f.GetKind() == driftv1.FeatureKind_FEATURE_KIND_CATEGORY {
		return Category
	}
	return Number
}
