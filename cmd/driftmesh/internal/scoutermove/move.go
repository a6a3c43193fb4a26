package scoutermove

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/scouter"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile/wire"
)

// Outcome is what became of a profile.
type Outcome string

// The outcomes.
const (
	Moved  Outcome = "moved"  // it is registered now, or would be
	There  Outcome = "there"  // it was before, under the same uid and saying the same
	Failed Outcome = "failed" // it is not, or not as it is at the source
)

// Result is the outcome for one profile, and why.
type Result struct {
	Found
	Outcome Outcome
	Note    string
}

// Sort puts lower versions before higher ones: an active version takes the place of
// all lower ones.
func Sort(all []Found) {
	slices.SortStableFunc(all, func(a, b Found) int {
		return cmp.Or(cmp.Compare(a.Space, b.Space), cmp.Compare(a.Name, b.Name), cmp.Compare(a.DriftType, b.DriftType), compareVersions(a.Version, b.Version))
	})
}

func compareVersions(a, b string) int {
	left, right := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(left), len(right)) {
		x, errX := strconv.Atoi(left[i])
		y, errY := strconv.Atoi(right[i])
		if errX != nil || errY != nil {
			break
		}
		if x != y {
			return cmp.Compare(x, y)
		}
	}
	return cmp.Compare(a, b)
}

// Move registers a profile in the mesh with its uid and its document, unless it is
// there. With dry nothing is changed, and the answer says what would become of it.
func Move(ctx context.Context, drift driftv1.DriftServiceClient, f Found, dry bool) Result {
	note, outcome, err := move(ctx, drift, &f, dry)
	if err != nil {
		return Result{f, Failed, fault.Of(err).Message()}
	}
	return Result{f, outcome, note}
}

func move(ctx context.Context, drift driftv1.DriftServiceClient, f *Found, dry bool) (note string, outcome Outcome, err error) {
	kind, err := scouter.ParseKind(f.DriftType) // which the mesh has in its name
	if err != nil {
		return "", Failed, err
	}
	if f.UID == "" {
		return "", Failed, fault.Invalid.New("it has no uid")
	}
	there, err := drift.GetProfile(ctx, &driftv1.GetProfileRequest{Profile: f.UID, Origin: true})
	switch {
	case err == nil && scouter.SameDocument(there.GetOrigin().GetDocument(), f.Document):
		return "", There, nil
	case err == nil:
		return "", Failed, fault.Exists.New("another profile is registered under its uid")
	case !errors.Is(err, fault.NotFound):
		return "", Failed, err
	}
	p, err := scouter.Profile(f.DriftType, f.Document)
	if err != nil {
		return "", Failed, err
	}
	if p.Version == "" || strings.ContainsAny(p.Version, "-+") {
		return "", Failed, fault.Invalid.New("its version %q has not the form X.Y.Z", f.Version)
	}
	taken, err := drift.GetProfile(ctx, &driftv1.GetProfileRequest{Profile: p.Space + "/" + kind.Name(f.Name) + "/" + p.Version})
	switch {
	case err == nil:
		return "", Failed, fault.Exists.New("the version is registered here under the uid %s, which the applications that send to %s do not know", taken.GetProfile().GetUid(), f.UID)
	case !errors.Is(err, fault.NotFound):
		return "", Failed, err
	}
	if !f.Active {
		note = "inactive"
	}
	if dry {
		return note, Moved, nil
	}
	message := wire.Message(p)
	message.Active = f.Active
	_, err = drift.CreateProfile(ctx, &driftv1.CreateProfileRequest{
		Profile: message, Uid: f.UID, RequestId: "scouter-import-" + f.UID,
		Origin: &driftv1.Origin{Format: scouter.FormatPrefix + f.DriftType, Document: f.Document},
	})
	if err != nil {
		return "", Failed, fmt.Errorf("register: %w", err)
	}
	return note, Moved, nil
}
