package scouterdoor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/scouter"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile/wire"
)

type versionRequest struct {
	Version string `json:"version"`
	Type    string `json:"version_type"`
	Pre     string `json:"pre_tag"`
	Build   string `json:"build_tag"`
}

// register keeps a profile: what it comes to, and the document beside it.
func (d *Door) register(r *http.Request) (any, error) {
	req, err := asked[struct {
		DriftType        string          `json:"drift_type"`
		Profile          string          `json:"profile"`
		Version          *versionRequest `json:"version_request"`
		Active           bool            `json:"active"`
		DeactivateOthers bool            `json:"deactivate_others"`
	}](r)
	if err == nil && (req.Version == nil || req.Version.Pre != "" || req.Version.Build != "" || strings.ContainsAny(req.Version.Version, "-+")) {
		err = fault.Invalid.New("version_request is required, and a version has the form X.Y.Z").WithReason("SCOUTER_PROFILE")
	}
	if err != nil {
		return nil, err
	}
	p, err := scouter.Profile(req.DriftType, []byte(req.Profile))
	if err != nil {
		return nil, err
	}
	ctx := asCaller(r.Context(), r)
	want := *req.Version
	if p.Version, err = d.version(ctx, p.Space, p.Name, want); err != nil {
		return nil, err
	}
	message := wire.Message(p)
	message.Active = req.Active
	made, err := d.Drift.CreateProfile(ctx, &driftv1.CreateProfileRequest{
		Profile: message, Origin: &driftv1.Origin{Format: scouter.FormatPrefix + req.DriftType, Document: []byte(req.Profile)},
	})
	if err != nil {
		return nil, err
	}
	got := made.GetProfile()
	if req.DeactivateOthers {
		if err := d.deactivateOthers(ctx, got); err != nil {
			return nil, err
		}
	}
	kind, _ := scouter.ParseKind(req.DriftType) // Profile has seen it
	return map[string]any{
		"space": got.GetSpace(), "name": kind.Trim(got.GetName()), "version": got.GetVersion(), "uid": got.GetUid(), "status": success, "active": got.GetActive(),
		"warnings": made.GetWarnings(),
	}, nil
}

// update is asked to change a profile. It does not change here; what is the same is as
// it is to be.
func (d *Door) update(r *http.Request) (any, error) {
	req, err := asked[struct {
		DriftType string `json:"drift_type"`
		Profile   string `json:"profile"`
	}](r)
	if err != nil {
		return nil, err
	}
	p, err := scouter.Profile(req.DriftType, []byte(req.Profile))
	if err != nil {
		return nil, err
	}
	found, err := d.Drift.GetProfile(asCaller(r.Context(), r), &driftv1.GetProfileRequest{Profile: title(p.Space, p.Name, p.Version), Origin: true})
	if err != nil {
		return nil, err
	}
	if !scouter.SameDocument(found.GetOrigin().GetDocument(), []byte(req.Profile)) {
		return nil, fault.Unsupported.New("a profile does not change here, since what was judged by it stays true: register it with POST /scouter/profile, as its next version").WithReason("NOT_SERVED")
	}
	return done("the profile is as it is to be"), nil
}

// title names a profile; without a version it is the highest.
func title(space, name, version string) string {
	return strings.TrimSuffix(space+"/"+name+"/"+version, "/")
}

// deactivateOthers switches off all other versions of a profile.
func (d *Door) deactivateOthers(ctx context.Context, but *driftv1.Profile) error {
	return d.eachProfile(ctx, but.GetSpace(), func(p *driftv1.Profile) error {
		if p.GetName() != but.GetName() || p.GetUid() == but.GetUid() || !p.GetActive() {
			return nil
		}
		_, err := d.Drift.SetProfileActive(ctx, &driftv1.SetProfileActiveRequest{Profile: p.GetUid()})
		return err
	})
}

// eachProfile calls do with the profiles of a space, or of all.
func (d *Door) eachProfile(ctx context.Context, space string, do func(p *driftv1.Profile) error) error {
	for token := ""; ; {
		page, err := d.Drift.ListProfiles(ctx, &driftv1.ListProfilesRequest{Space: space, PageSize: 1000, PageToken: token})
		if err != nil {
			return err
		}
		for _, p := range page.GetProfiles() {
			if err := do(p); err != nil {
				return err
			}
		}
		if token = page.GetNextPageToken(); token == "" {
			return nil
		}
	}
}

// tagged is a profile under the name of its kind.
type tagged map[string]json.RawMessage

// driftTypeOf is the kind of the document that a profile was made from.
func driftTypeOf(uid string, origin *driftv1.Origin) (string, error) {
	driftType, ok := strings.CutPrefix(origin.GetFormat(), scouter.FormatPrefix)
	if !ok {
		return "", fault.NotFound.New("profile %.200q was not registered by a client of Scouter's", uid).WithReason("SCOUTER_PROFILE")
	}
	return driftType, nil
}

// document is what a profile was made from, with what the registration gave it.
func document(p *driftv1.Profile, origin *driftv1.Origin) (tagged, error) {
	driftType, err := driftTypeOf(p.GetUid(), origin)
	if err != nil {
		return nil, err
	}
	var whole struct {
		Config map[string]json.RawMessage `json:"config"`
	}
	var members map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(origin.GetDocument(), &members), json.Unmarshal(origin.GetDocument(), &whole)); err != nil {
		return nil, fault.Internal.Wrap(err, "a profile's document cannot be read")
	}
	for name, value := range map[string]string{"uid": p.GetUid(), "version": p.GetVersion()} {
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, fault.Internal.Wrap(err, "a profile's document cannot be written")
		}
		whole.Config[name] = raw
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(whole.Config); err != nil {
		return nil, fault.Internal.Wrap(err, "a profile's document cannot be written")
	}
	members["config"] = out.Bytes()
	raw, err := json.Marshal(members)
	return tagged{driftType: raw}, err
}

func (d *Door) download(r *http.Request) (any, error) {
	q := r.URL.Query()
	kind, err := scouter.ParseKind(q.Get("drift_type"))
	if err != nil {
		return nil, err
	}
	found, err := d.Drift.GetProfile(asCaller(r.Context(), r), &driftv1.GetProfileRequest{
		Profile: title(q.Get("space"), kind.Name(q.Get("name")), q.Get("version")), Origin: true,
	})
	if err != nil {
		return nil, err
	}
	answer, err := document(found.GetProfile(), found.GetOrigin())
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// listed is a profile in a list.
type listed struct {
	Profile tagged `json:"profile"`
	Active  bool   `json:"active"`
}

// versions are the profiles of all kinds of one version. Scouter asks for space, name
// and version; what is left out here is any.
func (d *Door) versions(r *http.Request) (any, error) {
	req, err := asked[struct{ Space, Name, Version string }](r)
	if err != nil {
		return nil, err
	}
	ctx, all := asCaller(r.Context(), r), []listed{}
	add := func(profile string) error {
		found, err := d.Drift.GetProfile(ctx, &driftv1.GetProfileRequest{Profile: profile, Origin: true})
		if err != nil || !strings.HasPrefix(found.GetOrigin().GetFormat(), scouter.FormatPrefix) {
			return err
		}
		one, err := document(found.GetProfile(), found.GetOrigin())
		all = append(all, listed{one, found.GetProfile().GetActive()})
		return err
	}
	if req.Space != "" && req.Name != "" && req.Version != "" {
		for _, kind := range scouter.Kinds() {
			if err := add(title(req.Space, kind.Name(req.Name), req.Version)); err != nil && !errors.Is(err, fault.NotFound) {
				return nil, err
			}
		}
	} else {
		err := d.eachProfile(ctx, req.Space, func(p *driftv1.Profile) error {
			if req.Name != "" && !scouter.Named(p.GetName(), req.Name) || req.Version != "" && p.GetVersion() != req.Version {
				return nil
			}
			return add(p.GetUid())
		})
		if err != nil {
			return nil, err
		}
	}
	if len(all) == 0 {
		return nil, fault.NotFound.New("there is no such profile").WithReason("PROFILE_NOT_FOUND")
	}
	return all, nil
}

// status switches a profile on or off; without a kind, those of all kinds.
func (d *Door) status(r *http.Request) (any, error) {
	req, err := asked[struct {
		Space            string  `json:"space"`
		Name             string  `json:"name"`
		Version          string  `json:"version"`
		Active           bool    `json:"active"`
		DriftType        *string `json:"drift_type"`
		DeactivateOthers bool    `json:"deactivate_others"`
	}](r)
	if err != nil {
		return nil, err
	}
	kinds := scouter.Kinds()
	if req.DriftType != nil {
		kind, err := scouter.ParseKind(*req.DriftType)
		if err != nil {
			return nil, err
		}
		kinds = []scouter.Kind{kind}
	}
	ctx, switched := asCaller(r.Context(), r), 0
	for _, kind := range kinds {
		changed, err := d.Drift.SetProfileActive(ctx, &driftv1.SetProfileActiveRequest{
			Profile: req.Space + "/" + kind.Name(req.Name) + "/" + req.Version, Active: req.Active,
		})
		if errors.Is(err, fault.NotFound) {
			continue
		}
		if err == nil && req.DeactivateOthers {
			err = d.deactivateOthers(ctx, changed.GetProfile())
		}
		if err != nil {
			return nil, err
		}
		switched++
	}
	if switched == 0 {
		return nil, fault.NotFound.New("there is no such profile").WithReason("PROFILE_NOT_FOUND")
	}
	return done("Profile status updated"), nil
}
