package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/table"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/sdk/profile/wire"
)

type profileCmd struct {
	Create     profileCreateCmd     `cmd:"" help:"Make a profile from reference data and register it."`
	Register   profileRegisterCmd   `cmd:"" help:"Register a profile from its JSON form."`
	List       profileListCmd       `cmd:"" help:"List profiles, the newest first."`
	Show       profileShowCmd       `cmd:"" help:"Show a profile."`
	Activate   profileActivateCmd   `cmd:"" help:"Evaluate a profile on its schedule."`
	Deactivate profileDeactivateCmd `cmd:"" help:"Stop evaluating a profile on its schedule."`
}

type profileCreateCmd struct {
	clientFlags
	Reference string `help:"Reference data: CSV (.csv, .tsv or .txt, also .gz and .zst), Parquet, Arrow or Feather; - is standard input." placeholder:"FILE"`
	referenceFlags
	Spans    spanFlags     `embed:""`
	Space    string        `help:"Groups profiles, such as a team." default:"default"`
	Name     string        `help:"Names the model." required:""`
	ModelVer string        `help:"Semantic version; the next minor one when not given." name:"profile-version" placeholder:"X.Y.Z"`
	Schedule string        `help:"Cron expression of five fields, or six with seconds first." default:"0 0 0 * * *"`
	Zone     string        `help:"Time zone of the schedule, such as Europe/Rome." default:"UTC"`
	OnClose  bool          `help:"Evaluate also as each minute of event time closes."`
	Lookback time.Duration `help:"How much event time an evaluation covers; 0 means back to the one before." default:"0"`
	Inactive bool          `help:"Register without a schedule for now."`
}

// monitorFlags make one monitor, or read several.
type monitorFlags struct {
	Monitors     string             `help:"JSON file with a list of monitors, instead of the one that the other flags make." type:"existingfile" xor:"threshold" placeholder:"FILE"`
	Detector     string             `help:"What judges: ${enum}; see drift detectors." enum:"${detectors}" default:"psi"`
	Param        map[string]float64 `help:"Parameter of the detector." placeholder:"NAME=VALUE"`
	Fixed        *float64           `help:"Alert when the statistic is above this number." xor:"threshold" placeholder:"VALUE"`
	Significance *float64           `help:"Alert when the statistic would be so unlikely where nothing moved; 0.05 when no threshold is given." xor:"threshold" placeholder:"ALPHA"`
	Sigmas       *float64           `help:"Alert when the statistic is more than so many standard deviations away from its mean over the chunks of the reference." xor:"threshold" placeholder:"K"`
	Budget       *float64           `help:"Alert so that where nothing moved there are about so many alerts in 30 days, and no more." xor:"threshold" placeholder:"ALERTS"`
	MinSample    uint64             `help:"Fewer values than this make the verdict insufficient; 0 leaves it to the detector, and means ten for each bin with --fixed." default:"0"`
	Persist      string             `help:"Alert when K of the last N evaluations found drift." default:"1/1" placeholder:"K/N"`
	Severity     string             `help:"How much an alert matters." enum:"info,warning,critical" default:"warning"`
	Routes       []string           `help:"Where alerts go; everywhere when not given."`
}

// budgetDays is the time of --budget.
const budgetDays = 30

func (f monitorFlags) monitors() ([]profile.Monitor, error) {
	if f.Monitors != "" {
		data, err := os.ReadFile(f.Monitors)
		if err != nil {
			return nil, err
		}
		return profile.ParseMonitors(data)
	}
	m := profile.Monitor{
		Name: f.Detector, Detector: f.Detector, Parameters: f.Param, MinSample: f.MinSample, Severity: profile.Severity(f.Severity), Routes: f.Routes,
	}
	if n, err := fmt.Sscanf(f.Persist, "%d/%d", &m.Persistence.K, &m.Persistence.N); n != 2 || err != nil {
		return nil, fmt.Errorf("--persist %q is not of the form K/N", f.Persist)
	}
	switch {
	case f.Fixed != nil:
		m.Threshold = profile.Above(*f.Fixed)
	case f.Significance != nil:
		m.Threshold = profile.Significant(*f.Significance)
	case f.Sigmas != nil:
		m.Threshold = profile.Beyond(*f.Sigmas, nil)
	case f.Budget != nil:
		m.Threshold = profile.AtMost(*f.Budget, budgetDays)
	}
	return []profile.Monitor{m}, nil
}

// Run makes the profile here and registers it there.
func (c profileCreateCmd) Run(ctx context.Context, con console) error {
	if err := c.Spans.check(c.Reference, c.Features); err != nil {
		return fmt.Errorf("make profile: %w", err)
	}
	path, in := c.Reference, io.Reader(os.Stdin)
	if path == "" {
		spans := c.Spans.read(ctx, c.connectFlags, c.Features)
		defer spans.Close()
		path, in = table.Stdin, spans
	}
	m, err := c.make(ctx, con, path, in, profile.Options{
		Space: c.Space, Name: c.Name, Version: c.ModelVer,
		Schedule: profile.Schedule{Cron: c.Schedule, Zone: c.Zone, OnClose: c.OnClose, Lookback: c.Lookback},
		Source:   c.Spans.source(),
	})
	if err != nil {
		return fmt.Errorf("make profile: %w", err)
	}
	return register(ctx, con, c.clientFlags, m.profile, !c.Inactive)
}

func register(ctx context.Context, con console, flags clientFlags, p *profile.Profile, active bool) error {
	req := &driftv1.CreateProfileRequest{Profile: wire.Message(p)}
	req.Profile.Active = active
	return call(ctx, con, flags, driftv1.NewDriftServiceClient, driftv1.DriftServiceClient.CreateProfile,
		req, func(w io.Writer, r *driftv1.CreateProfileResponse) {
			profileTable(w, r.GetProfile())
			for _, warning := range r.GetWarnings() {
				fmt.Fprintln(con.err, warning)
			}
		})
}

type profileRegisterCmd struct {
	clientFlags
	File     string `arg:"" help:"The JSON form of a profile." type:"existingfile"`
	Inactive bool   `help:"Register without a schedule for now."`
}

// Run registers a profile that was made elsewhere, as a new version.
func (c profileRegisterCmd) Run(ctx context.Context, con console) error {
	data, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	p, err := profile.Parse(data)
	if err != nil {
		return err
	}
	return register(ctx, con, c.clientFlags, p, !c.Inactive)
}

func profileTable(w io.Writer, p *driftv1.Profile) {
	row(w, "profile", p.GetSpace()+"/"+p.GetName()+"/"+p.GetVersion())
	row(w, "uid", p.GetUid())
	row(w, "active", p.GetActive())
	row(w, "schedule", scheduleText(p.GetSchedule()))
	row(w, "correction", enumText(p.GetCorrection(), "CORRECTION_"))
	row(w, "reference rows", p.GetReferenceRows())
	row(w, "MONITOR", "DETECTOR", "THRESHOLD", "FEATURES", "SEVERITY")
	for _, m := range p.GetMonitors() {
		features := "all"
		if len(m.GetFeatures()) > 0 {
			features = strings.Join(m.GetFeatures(), ", ")
		}
		row(w, m.GetName(), m.GetDetector(), thresholdText(m), features, enumText(m.GetSeverity(), "SEVERITY_"))
	}
	row(w, "FEATURE", "TYPE", "KIND", "BINS")
	for _, f := range p.GetFeatures() {
		row(w, f.GetName(), f.GetType(), enumText(f.GetKind(), "FEATURE_KIND_"), len(f.GetCounts()))
	}
}

func scheduleText(s *driftv1.Schedule) string {
	text := s.GetCron() + " " + s.GetZone()
	if s.GetOnClose() {
		text += ", and as each minute closes"
	}
	return text
}

func thresholdText(m *driftv1.Monitor) string {
	var text string
	switch kind := m.GetThreshold().GetKind().(type) {
	case *driftv1.Threshold_Fixed:
		text = "above " + number(kind.Fixed)
	case *driftv1.Threshold_Significance:
		text = "significance " + number(kind.Significance)
	case *driftv1.Threshold_Budget:
		text = number(kind.Budget.GetPages()) + " false alerts in " + number(kind.Budget.GetDays()) + " days"
	case *driftv1.Threshold_Deviations:
		text = number(kind.Deviations.GetSigmas()) + " standard deviations of chunks"
	}
	if p := m.GetPersistence(); p.GetN() > 1 {
		text += fmt.Sprintf(", %d of %d times", p.GetK(), p.GetN())
	}
	return text
}

// enumText is a value of an enum in a word.
func enumText(v fmt.Stringer, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(v.String(), prefix))
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
				row(w, p.GetSpace()+"/"+p.GetName()+"/"+p.GetVersion(), p.GetUid(), p.GetActive(), scheduleText(p.GetSchedule()), stamp(p.GetCreateTime()))
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
