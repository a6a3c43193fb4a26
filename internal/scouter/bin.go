package scouter

import (
	"strconv"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// binName is what Scouter calls a bin of ours, by its place.
func binName(f *driftv1.FeatureProfile, i int) string {
	if categories := f.GetCategories(); i < len(categories) {
		return categories[i]
	}
	return strconv.Itoa(i + 1)
}
