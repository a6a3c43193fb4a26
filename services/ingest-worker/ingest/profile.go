package ingest

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/profiles"
	"github.com/driftmesh/driftmesh/internal/record"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile/wire"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/normalize"
)

// loadFrom asks drift for profiles by their uid, on behalf of the tenant whose
// records name them.
func loadFrom(drift driftv1.DriftServiceClient) profiles.Load[*normalize.Profile] {
	return func(ctx context.Context, tenant, text string) (*normalize.Profile, error) {
		uid, err := uuid.Parse(text)
		if err != nil {
			return nil, fault.Internal.Wrap(err, "uid %q is malformed", text)
		}
		ctx = identity.With(ctx, identity.ForService(name, tenant))
		resp, err := drift.GetProfile(ctx, &driftv1.GetProfileRequest{Profile: uid.String()})
		if errors.Is(err, fault.Unauthenticated) || errors.Is(err, fault.Denied) { // about us, not about the records
			err = fault.Unavailable.Wrap(err, "drift does not know us")
		}
		if err != nil {
			return nil, fmt.Errorf("get profile %s: %w", uid, err)
		}
		p, err := profileOf(uid, resp.GetProfile())
		if err != nil {
			// Not the records' fault: perhaps drift is newer than we are.
			return nil, fault.Internal.Wrap(err, "profile %s cannot be understood", uid)
		}
		return p, nil
	}
}

// profileOf translates drift's profile.
func profileOf(uid uuid.UUID, p *driftv1.Profile) (*normalize.Profile, error) {
	features := make([]normalize.Feature, len(p.GetFeatures()))
	for i, f := range p.GetFeatures() {
		features[i] = normalize.Feature{Name: f.GetName(), Type: f.GetType(), Tolerant: wire.Tolerates(p, f.GetName()), Bins: record.BinsOf(f)}
		switch f.GetKind() {
		case driftv1.FeatureKind_FEATURE_KIND_NUMERIC:
			features[i].Kind = normalize.Numeric
		case driftv1.FeatureKind_FEATURE_KIND_CATEGORY:
			features[i].Kind = normalize.Category
		default: // NewProfile refuses it
		}
	}
	of := normalize.Features
	switch p.GetSource().GetOf() {
	case driftv1.SourceKind_SOURCE_KIND_METRICS:
		of = normalize.Metrics
	case driftv1.SourceKind_SOURCE_KIND_CONTEXTS:
		of = normalize.Context
	default: // spans are drift's to read
	}
	out, err := normalize.NewProfile(of, uid, features)
	if err == nil && len(p.GetChecks().GetAll()) > 0 {
		out = out.Checked()
	}
	return out, err
}
