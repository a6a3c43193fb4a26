package ingest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/desk"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/pagetoken"
	"github.com/driftmesh/driftmesh/internal/profiles"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	recordv1 "github.com/driftmesh/driftmesh/proto/driftmesh/record/v1"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/normalize"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/store"
)

// Bounds of a page of records.
const (
	defaultRecords = 50
	// maxRecords keeps the names of a page within one statement.
	maxRecords = 200
	// maxRecordBytes keeps a page within one message; one record is always let in.
	maxRecordBytes = 2 << 20
	// maxTraceProfiles is of how many profiles a trace may have records.
	maxTraceProfiles = 100
)

// recordServer leads from traces to records and back.
type recordServer struct {
	recordv1.UnimplementedRecordServiceServer
	store    *store.Store
	drift    driftv1.DriftServiceClient
	profiles *profiles.Cache[*driftv1.Profile] // by uid
	*desk.Desk
}

func newRecordServer(s *store.Store, drift driftv1.DriftServiceClient, size int, d *desk.Desk) *recordServer {
	r := &recordServer{store: s, drift: drift, Desk: d}
	r.profiles = profiles.New(profiles.Config{Size: size, Absent: absentFor}, r.ask)
	return r
}

// ask asks drift for a profile. Whose records are seen is decided here; drift is
// asked as for any record.
func (s *recordServer) ask(ctx context.Context, tenant, ref string) (*driftv1.Profile, error) {
	resp, err := s.drift.GetProfile(identity.With(ctx, identity.ForService(name, tenant)), &driftv1.GetProfileRequest{Profile: ref})
	return resp.GetProfile(), err
}

// ListRecords gives a page of the records of a trace, or of one id.
func (s *recordServer) ListRecords(ctx context.Context, req *recordv1.ListRecordsRequest) (*recordv1.ListRecordsResponse, error) {
	ctx, tenant, leave, err := s.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	q, err := searchOf(req)
	if err != nil {
		return nil, err
	}
	q.Tenant = tenant
	after, err := parseAfter(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	known, err := s.seen(ctx, &q, req.GetProfile())
	if err != nil || len(known) == 0 {
		return &recordv1.ListRecordsResponse{}, err
	}
	limit := defaultRecords
	if n := req.GetPageSize(); n > 0 {
		limit = int(min(n, maxRecords))
	}
	names, err := s.store.Find(ctx, q, after, limit+1)
	if err != nil {
		return nil, err
	}
	resp := &recordv1.ListRecordsResponse{}
	if n := fitting(names, limit); n < len(names) {
		names = names[:n]
		resp.NextPageToken = token(names[n-1])
	}
	stored, err := s.store.Load(ctx, tenant, names)
	if err != nil {
		return nil, err
	}
	for i := range stored {
		resp.Records = append(resp.Records, recordOf(&stored[i], known[stored[i].Profile]))
	}
	return resp, nil
}

// searchOf reads what is looked for.
func searchOf(req *recordv1.ListRecordsRequest) (q store.Search, err error) {
	trace, span := strings.ToLower(req.GetTraceId()), strings.ToLower(req.GetSpanId())
	if trace == "" {
		if req.GetProfile() == "" || req.GetRecordId() == "" || span != "" {
			return q, fault.Invalid.New("trace_id is needed, or profile and record_id").WithReason("FIELD_INVALID")
		}
		return store.Search{ID: req.GetRecordId()}, nil
	}
	if req.GetRecordId() != "" {
		return q, fault.Invalid.New("record_id: is not asked for together with trace_id").WithReason("FIELD_INVALID")
	}
	const digits = 32 // of a trace id; a span id has half
	if len(trace) == digits/2 {
		trace = strings.Repeat("0", digits/2) + trace
	}
	for _, id := range []struct {
		field, text string
		digits      int
	}{{"trace_id", trace, digits}, {"span_id", span, digits / 2}} {
		_, err := hex.DecodeString(id.text)
		if id.text != "" && (err != nil || len(id.text) != id.digits || strings.Trim(id.text, "0") == "") {
			return q, fault.Invalid.New("%s: must be %d hex digits, not all zero", id.field, id.digits).WithReason("FIELD_INVALID")
		}
	}
	return store.Search{Trace: trace, Span: span}, nil
}

// seen gives the profiles whose records the caller may see, by uid, and puts them
// into the search.
func (s *recordServer) seen(ctx context.Context, q *store.Search, ref string) (map[string]*driftv1.Profile, error) {
	who, _ := identity.From(ctx)
	if ref != "" {
		p, err := s.ask(ctx, q.Tenant, ref)
		if err == nil && !who.Spaces.Has(p.GetSpace()) { // nor does the caller learn that there is one
			err = fault.NotFound.New("there is no profile %.200q", ref).WithReason("PROFILE_NOT_FOUND")
		}
		if err != nil {
			return nil, err
		}
		return map[string]*driftv1.Profile{p.GetUid(): p}, look(q, p)
	}
	uids, err := s.store.ProfilesOf(ctx, q.Tenant, q.Trace, maxTraceProfiles+1)
	if err != nil {
		return nil, err
	}
	if len(uids) > maxTraceProfiles {
		return nil, fault.Invalid.New("the trace has records of more than %d profiles: name one", maxTraceProfiles).WithReason("TOO_MANY_PROFILES")
	}
	out := make(map[string]*driftv1.Profile, len(uids))
	for _, uid := range uids {
		p, err := s.profiles.Get(ctx, q.Tenant, uid.String())
		if errors.Is(err, fault.NotFound) {
			continue // its records can no longer be read
		}
		if err != nil {
			return nil, fmt.Errorf("get profile %s: %w", uid, err)
		}
		if !who.Spaces.Has(p.GetSpace()) {
			continue
		}
		out[p.GetUid()] = p
		if err := look(q, p); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// look adds a profile to a search.
func look(q *store.Search, p *driftv1.Profile) error {
	uid, err := uuid.Parse(p.GetUid())
	if err != nil {
		return fault.Internal.Wrap(err, "the profile's uid is malformed")
	}
	q.Profiles = append(q.Profiles, uid)
	if p.GetSource().GetOf() != driftv1.SourceKind_SOURCE_KIND_UNSPECIFIED {
		q.Derived = append(q.Derived, uid)
	}
	return nil
}

// fitting is how many of the records make a page.
func fitting(names []store.Name, limit int) int {
	bytes := uint64(0)
	for i, n := range names {
		if bytes += n.Bytes; i > 0 && bytes > maxRecordBytes || i == limit {
			return i
		}
	}
	return len(names)
}

// token says where a page ended.
func token(n store.Name) string {
	return pagetoken.Of(n.At, string(n.Kind), n.Profile, n.ID)
}

// parseAfter reads what token writes.
func parseAfter(token string) (*store.Name, error) {
	if token == "" {
		return nil, nil //nolint:nilnil // before the first there is none
	}
	at, part, err := pagetoken.Parse(token, 3)
	if err != nil {
		return nil, err
	}
	return &store.Name{At: at, Kind: store.Kind(part[0]), Profile: part[1], ID: part[2]}, nil
}

// recordOf is a stored record as callers see it.
func recordOf(r *store.Stored, p *driftv1.Profile) *recordv1.StoredRecord {
	record := &ingestv1.Record{Id: r.ID, Profile: r.Profile, EventTime: timestamppb.New(time.Unix(0, r.At))}
	switch r.Kind {
	case store.KindFeatures:
		record.Body = &ingestv1.Record_Features{Features: featuresOf(r, p, true)}
	case store.KindLabels:
		record.Body = &ingestv1.Record_Labels{Labels: featuresOf(r, p, false)}
	case store.KindMetrics:
		metrics := &ingestv1.Metrics{}
		for i, name := range r.Names {
			metrics.Values = append(metrics.Values, &ingestv1.Metric{Name: name, Value: r.Values[i]})
		}
		record.Body = &ingestv1.Record_Metrics{Metrics: metrics}
	case store.KindContext:
		record.Body = &ingestv1.Record_Context{Context: &ingestv1.Context{Json: r.JSON}}
	}
	if r.Trace != "" && r.Span != "" {
		record.Traceparent = "00-" + r.Trace + "-" + r.Span + "-01"
	}
	return &recordv1.StoredRecord{
		Record: record, ProfileName: p.GetSpace() + "/" + p.GetName() + "/" + p.GetVersion(),
		TraceId: r.Trace, SpanId: r.Span, ReceivedTime: timestamppb.New(r.Received),
	}
}

// featuresOf gives the arrays of a row their names again. Of labels, only what they
// say.
func featuresOf(r *store.Stored, p *driftv1.Profile, all bool) *ingestv1.Features {
	out := &ingestv1.Features{}
	numbers, categories := 0, 0
	for _, f := range p.GetFeatures() {
		value := &ingestv1.Feature{Name: f.GetName()}
		state := normalize.Missing
		if f.GetKind() == driftv1.FeatureKind_FEATURE_KIND_CATEGORY {
			if i := categories; i < len(r.Categories) {
				if state = normalize.State(r.CategoryStates[i]); state == normalize.Present {
					category(value, r.Categories[i], f.GetType())
				}
			}
			categories++
		} else {
			if i := numbers; i < len(r.Numbers) {
				state = normalize.State(r.NumberStates[i])
				numeric(value, r.Numbers[i], state, f.GetType())
			}
			numbers++
		}
		if value.Value == nil {
			value.Value = &ingestv1.Feature_Missing{Missing: &ingestv1.Missing{}}
		}
		if all || state != normalize.Missing {
			out.Values = append(out.Values, value)
		}
	}
	return out
}

// maxWhole is the largest number up to which every whole one is a float64.
const maxWhole = 1 << 53

func numeric(to *ingestv1.Feature, v float64, state normalize.State, typ string) {
	switch state {
	case normalize.Present:
		if typ == "int" && v == math.Trunc(v) && math.Abs(v) <= maxWhole {
			to.Value = &ingestv1.Feature_Int{Int: int64(v)}
			return
		}
	case normalize.NaN:
		v = math.NaN()
	case normalize.PosInf:
		v = math.Inf(1)
	case normalize.NegInf:
		v = math.Inf(-1)
	default:
		return
	}
	to.Value = &ingestv1.Feature_Float{Float: v}
}

func category(to *ingestv1.Feature, text, typ string) {
	switch typ {
	case "int":
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			to.Value = &ingestv1.Feature_Int{Int: n}
			return
		}
	case "bool":
		if b, err := strconv.ParseBool(text); err == nil {
			to.Value = &ingestv1.Feature_Bool{Bool: b}
			return
		}
	}
	to.Value = &ingestv1.Feature_String_{String_: text}
}
