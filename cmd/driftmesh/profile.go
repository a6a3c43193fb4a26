package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/reference"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/drift"
)

type profileCmd struct {
	Create     profileCreateCmd     `cmd:"" help:"Make a profile from reference data and register it."`
	List       profileListCmd       `cmd:"" help:"List profiles, the newest first."`
	Show       profileShowCmd       `cmd:"" help:"Show a profile."`
	Activate   profileActivateCmd   `cmd:"" help:"Evaluate a profile on its schedule."`
	Deactivate profileDeactivateCmd `cmd:"" help:"Stop evaluating a profile on its schedule."`
}

type profileCreateCmd struct {
	clientFlags
	Reference  string        `help:"Reference data: a .csv file with a header, or a .parquet file." required:"" type:"existingfile" placeholder:"FILE"`
	Space      string        `help:"Groups profiles, such as a team." default:"default"`
	Name       string        `help:"Names the model." required:""`
	ModelVer   string        `help:"Semantic version; the next minor one when not given." name:"profile-version" placeholder:"X.Y.Z"`
	Features   []string      `help:"Columns to compare; all when not given."`
	Categories []string      `help:"Integer columns that are categories."`
	Bins       int           `help:"Quantile bins of a number." default:"10"`
	Rule       string        `help:"How numbers are binned." enum:"Quantile,Manual,SquareRoot,Sturges,Rice,Doane,Scott,TerrellScott,FreedmanDiaconis" default:"Quantile"`
	Schedule   string        `help:"Cron expression of five fields, or six with seconds first; UTC." default:"0 0 0 * * *"`
	OnClose    bool          `help:"Evaluate also as each minute of event time closes."`
	Lookback   time.Duration `help:"How much event time an evaluation covers; 0 means back to the one before." default:"0"`
	Fixed      *float64      `help:"Alert when the index is above this number." xor:"threshold" placeholder:"PSI"`
	Normal     *float64      `help:"Alert above the normal approximation at this significance." xor:"threshold" placeholder:"ALPHA"`
	ChiSquare  *float64      `help:"Alert above the chi-square quantile at this significance; 0.05 when no threshold is given." xor:"threshold" placeholder:"ALPHA"`
	MinSample  uint64        `help:"Fewer values than this make the verdict insufficient; 0 means ten for each bin." default:"0"`
	Inactive   bool          `help:"Register without a schedule for now."`
}

// Run makes the profile here and registers it there.
func (c profileCreateCmd) Run(ctx context.Context, con console) error {
	columns, err := reference.Read(c.Reference)
	if err != nil {
		return fmt.Errorf("read reference: %w", err)
	}
	binning := profile.Binning{Rule: profile.Rule(c.Rule)}
	if binning.Rule == profile.Quantile || binning.Rule == profile.Manual {
		binning.Bins = c.Bins
	}
	made, err := profile.New(columns, profile.Options{
		Space: c.Space, Name: c.Name, Version: c.ModelVer, Binning: binning, Features: c.Features, Categories: c.Categories,
		Alert: profile.Alert{
			Schedule: c.Schedule, OnClose: c.OnClose, Lookback: c.Lookback, MinSample: c.MinSample, Threshold: c.threshold(),
		},
	})
	if err != nil {
		return fmt.Errorf("make profile: %w", err)
	}
	req := &driftv1.CreateProfileRequest{Profile: drift.ProfileMessage(made)}
	req.Profile.Active = !c.Inactive
	return call(ctx, con, c.clientFlags, driftv1.NewDriftServiceClient, driftv1.DriftServiceClient.CreateProfile,
		req, func(w io.Writer, r *driftv1.CreateProfileResponse) { profileTable(w, r.GetProfile()) })
}

func (c profileCreateCmd) threshold() profile.Threshold {
	switch {
	case c.Fixed != nil:
		return profile.Threshold{Limit: profile.Fixed, Value: *c.Fixed}
	case c.Normal != nil:
		return profile.Threshold{Limit: profile.Normal, Alpha: *c.Normal}
	case c.ChiSquare != nil:
		return profile.Threshold{Limit: profile.ChiSquare, Alpha: *c.ChiSquare}
	}
	return profile.Threshold{}
}

func profileTable(w io.Writer, p *driftv1.Profile) {
	row(w, "profile", p.GetSpace()+"/"+p.GetName()+"/"+p.GetVersion())
	row(w, "uid", p.GetUid())
	row(w, "active", p.GetActive())
	row(w, "schedule", p.GetSchedule())
	row(w, "reference rows", p.GetReferenceRows())
	row(w, "FEATURE", "TYPE", "KIND", "BINS")
	for _, f := range p.GetFeatures() {
		kind := "numeric"
		if f.GetKind() == driftv1.FeatureKind_FEATURE_KIND_CATEGORY {
			kind = "category"
		}
		row(w, f.GetName(), f.GetType(), kind, len(f.GetCounts()))
	}
}

type profileListCmd struct {
	clientFlags
	Space string `help:"Only of this space."`
	Limit uint32 `help:"How many." default:"50"`
}

// Run lists profiles.
func (c profileListCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, driftv1.NewDriftServiceClient, driftv1.DriftServiceClient.ListProfiles,
		&driftv1.ListProfilesRequest{Space: c.Space, PageSize: c.Limit}, func(w io.Writer, r *driftv1.ListProfilesResponse) {
			row(w, "PROFILE", "UID", "ACTIVE", "SCHEDULE", "MADE")
			for _, p := range r.GetProfiles() {
				row(w, p.GetSpace()+"/"+p.GetName()+"/"+p.GetVersion(), p.GetUid(), p.GetActive(), p.GetSchedule(), stamp(p.GetCreateTime()))
			}
		})
}

type profileShowCmd struct {
	clientFlags
	Profile string `arg:"" help:"uid, space/name or space/name/version."`
}

// Run shows a profile.
func (c profileShowCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, driftv1.NewDriftServiceClient, driftv1.DriftServiceClient.GetProfile,
		&driftv1.GetProfileRequest{Profile: c.Profile}, func(w io.Writer, r *driftv1.GetProfileResponse) { profileTable(w, r.GetProfile()) })
}

type profileActivateCmd struct{ profileSwitch }

// Run switches the schedule on.
func (c profileActivateCmd) Run(ctx context.Context, con console) error { return c.set(ctx, con, true) }

type profileDeactivateCmd struct{ profileSwitch }

// Run switches the schedule off.
func (c profileDeactivateCmd) Run(ctx context.Context, con console) error {
	return c.set(ctx, con, false)
}

type profileSwitch struct {
	clientFlags
	Profile string `arg:"" help:"uid, space/name or space/name/version."`
}

func (c profileSwitch) set(ctx context.Context, con console, active bool) error {
	return call(ctx, con, c.clientFlags, driftv1.NewDriftServiceClient, driftv1.DriftServiceClient.SetProfileActive,
		&driftv1.SetProfileActiveRequest{Profile: c.Profile, Active: active}, func(w io.Writer, r *driftv1.SetProfileActiveResponse) {
			p := r.GetProfile()
			row(w, p.GetSpace()+"/"+p.GetName()+"/"+p.GetVersion(), "active:", p.GetActive())
		})
}
