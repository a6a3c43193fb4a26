package scouterdoor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/record"
	"github.com/driftmesh/driftmesh/internal/scouter"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/services/gateway/internal/records"
)

// Deps is what the door needs. Every field is required, except Now.
type Deps struct {
	// Records takes records, and Spans an OTLP request, of the caller in the context,
	// and answer when they are durable.
	Records func(ctx context.Context, f records.Foreign) (records.Taken, error)
	Spans   func(ctx context.Context, request []byte) (otlp.Report, error)
	// Later keeps messages of the caller in the context, of about PartBytes each,
	// whose profiles are not known, until they are; it answers when they are durable.
	Later     func(ctx context.Context, messages [][]byte) error
	PartBytes func() int
	// Login gives a token to a user of a tenant, and Renew the next for one that may
	// have run out.
	Login func(ctx context.Context, who Login) (token string, err error)
	Renew func(ctx context.Context, token string) (next string, err error)
	// Identify tells who calls, from the value of an authorization header.
	Identify func(ctx context.Context, authorization string) (identity.Identity, error)
	// Drift and Traces are clients of the gateway's own public API.
	Drift  driftv1.DriftServiceClient
	Traces tracev1.TraceServiceClient
	Auth   authv1.AuthServiceClient
	// Tags keeps tags of whoever is in the context.
	Tags driftv1.TagServiceClient
	Now  func() time.Time // nil for the real clock
}

// Login is somebody who wants to come in.
type Login struct {
	Tenant, Username, Password string
	Source                     string // the address that it comes from
}

// Door is the door. It is safe for concurrent use.
type Door struct{ Deps }

// New makes the door. It starts nothing.
func New(deps Deps) *Door {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	return &Door{deps}
}

// named takes the tenant out of a user's name: tenant/name, or name alone.
func named(username string) (tenant, name string) {
	if tenant, name, ok := strings.Cut(username, "/"); ok {
		return tenant, name
	}
	return "", username
}

// Renewed gives the authorization to go on with, and the token in it where that is a
// new one: the next of the session for a token that has run out, or for one that the
// gateway has lost faith in although its session stands. What cannot be renewed stays
// as it is, and is refused behind.
func (d *Door) Renewed(ctx context.Context, authorization string) (onward, token string) {
	old, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok || old == "" {
		return authorization, ""
	}
	if _, err := d.Identify(ctx, authorization); err == nil || !slices.Contains(renewable, fault.Of(err).Reason()) {
		return authorization, ""
	}
	next, err := d.Renew(ctx, old)
	if err != nil {
		return authorization, ""
	}
	return "Bearer " + next, next
}

// renewable are the reasons for which a token is refused whose session may stand: its
// time is up, its key is gone, or so much was revoked since that nobody remembers
// whether it was.
var renewable = []string{identity.ReasonExpired, identity.ReasonUnknownKey, identity.ReasonRevoked}

// take does what a message asks for, and tells in words what became of it.
func (d *Door) take(ctx context.Context, raw []byte) (string, error) {
	m, err := scouter.Decode(raw)
	if err != nil {
		return "", err
	}
	switch {
	case m.Spans != nil:
		return d.spans(ctx, m.Spans)
	case m.Tag != nil:
		if err := identity.Authorize(ctx, policy.SpansWrite); err != nil {
			return "", err
		}
		return "the tag is durable", d.setTags(ctx, []scouter.Tag{*m.Tag})
	}
	took, err := d.Records(ctx, records.Foreign{Records: m.Records, Bytes: len(raw), Apart: true, Refuse: func(t *record.Tally) {
		for _, no := range m.Refused {
			t.Refuse(no.Index, no.Reason, no.Message)
		}
	}})
	if err == nil && len(took.Unknown) > 0 {
		err = d.later(ctx, raw, m, took.Unknown)
	}
	if err != nil {
		return "", err
	}
	said := fmt.Sprintf("%d records are durable", took.Accepted)
	if n := len(took.Unknown); n > 0 {
		said += fmt.Sprintf(", %d are kept until their profile is registered and they are redriven", n)
	}
	if took.Rejected.Count == 0 {
		return said, nil
	}
	why := took.Rejected.Described[0]
	said += fmt.Sprintf(", %d were refused: %s: %s", took.Rejected.Count, why.GetReason(), why.GetMessage())
	if took.Accepted+len(took.Unknown) == 0 {
		return "", fault.Invalid.New("Invalid message format: %s", said).WithReason("SCOUTER_RECORDS")
	}
	return said, nil
}

// later keeps some records of a message, by their indexes, which name no profile that
// is known.
func (d *Door) later(ctx context.Context, raw []byte, m *scouter.Message, unknown []int) error {
	elements := make([]int, len(unknown))
	for k, i := range unknown {
		elements[k] = m.Index[i]
	}
	parts, err := scouter.ByProfile(raw, elements, d.PartBytes())
	if err != nil {
		return err
	}
	messages := make([][]byte, len(parts))
	for i, p := range parts {
		messages[i] = p.Value
	}
	return d.Later(ctx, messages)
}

func (d *Door) spans(ctx context.Context, request []byte) (string, error) {
	if err := identity.Authorize(ctx, policy.SpansWrite); err != nil {
		return "", err
	}
	report, err := d.Spans(ctx, request)
	if err != nil {
		return "", err
	}
	if report.Accepted() == 0 && report.Rejected > 0 {
		return "", fault.Invalid.New("Invalid message format: none of %d spans can be kept", report.Rejected).WithReason("SCOUTER_SPANS")
	}
	return fmt.Sprintf("%d spans are durable, %d were refused", report.Accepted(), report.Rejected), nil
}

// version of a profile that is to be registered: the one that is asked for, unless it
// is taken, and else the one after the highest that there is.
func (d *Door) version(ctx context.Context, space, name string, want versionRequest) (string, error) {
	found, err := d.Drift.GetProfile(ctx, &driftv1.GetProfileRequest{Profile: space + "/" + name})
	switch {
	case errors.Is(err, fault.NotFound):
		return want.Version, nil
	case err != nil:
		return "", err
	}
	if want.Version != "" {
		_, err := d.Drift.GetProfile(ctx, &driftv1.GetProfileRequest{Profile: space + "/" + name + "/" + want.Version})
		if errors.Is(err, fault.NotFound) {
			return want.Version, nil
		}
	}
	return next(found.GetProfile().GetVersion(), want.Type)
}

// next is the version after another.
func next(highest, kind string) (string, error) {
	var v [3]uint32
	if n, err := fmt.Sscanf(highest, "%d.%d.%d", &v[0], &v[1], &v[2]); err != nil || n != len(v) {
		return "", fault.Internal.New("version %q of a profile is none", highest)
	}
	switch kind {
	case "Major":
		v = [3]uint32{v[0] + 1, 0, 0}
	case "", "Minor":
		v = [3]uint32{v[0], v[1] + 1, 0}
	case "Patch":
		v[2]++
	default:
		return "", fault.Invalid.New("version_type %.40q is not supported: want Major, Minor or Patch", kind).WithReason("SCOUTER_PROFILE")
	}
	return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]), nil
}
