package deadletter

import (
	"context"
	"encoding/base64"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	deadletterv1 "github.com/driftmesh/driftmesh/proto/driftmesh/deadletter/v1"
)

// Sizes of pages and requests.
const (
	defaultPage    = 50
	defaultRedrive = 100
	maxPage        = 1000
	// maxShown is the largest value in an answer. Brokers may take larger ones,
	// but calls between services are bounded; a redrive does not depend on it.
	maxShown = 32 << 20
)

// server answers the gateway for the caller's tenant.
type server struct {
	deadletterv1.UnimplementedDeadLetterServiceServer
	store    *Store
	redriver *redriver
}

// ListDeadLetters gives a page.
func (s *server) ListDeadLetters(ctx context.Context, req *deadletterv1.ListDeadLettersRequest) (*deadletterv1.ListDeadLettersResponse, error) {
	tenant, err := identity.Tenant(ctx)
	if err != nil {
		return nil, err
	}
	filter, err := filterOf(req)
	if err != nil {
		return nil, err
	}
	for _, state := range req.GetStates() {
		known, ok := stateOf(state)
		if !ok {
			return nil, fault.Invalid.New("states: %s is not a state", state).WithReason("DEAD_LETTER_STATE_INVALID")
		}
		filter.States = append(filter.States, known)
	}
	after, err := ParsePlace(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	limit := bounded(req.GetPageSize(), defaultPage)
	letters, err := s.store.List(ctx, tenant, filter, Page{After: after, Limit: limit + 1})
	if err != nil {
		return nil, err
	}
	resp := &deadletterv1.ListDeadLettersResponse{}
	if len(letters) > limit {
		letters = letters[:limit]
		last := &letters[limit-1]
		resp.NextPageToken = Place{last.DeadAt, last.ID}.Token()
	}
	for i := range letters {
		resp.DeadLetters = append(resp.DeadLetters, wire(&letters[i]))
	}
	return resp, nil
}

// GetDeadLetter gives one letter with its content.
func (s *server) GetDeadLetter(ctx context.Context, req *deadletterv1.GetDeadLetterRequest) (*deadletterv1.GetDeadLetterResponse, error) {
	tenant, err := identity.Tenant(ctx)
	if err != nil {
		return nil, err
	}
	id, err := ParseID(req.GetId())
	if err != nil {
		return nil, err
	}
	letters, contents, err := s.store.Load(ctx, tenant, []ID{id})
	if err != nil {
		return nil, err
	}
	if len(letters) == 0 {
		return nil, fault.NotFound.New("there is no dead letter %s", id).WithReason("DEAD_LETTER_NOT_FOUND")
	}
	resp := &deadletterv1.GetDeadLetterResponse{DeadLetter: wire(&letters[0]), Key: contents[0].Key}
	if len(contents[0].Value) <= maxShown {
		resp.Value = contents[0].Value
	}
	for _, h := range contents[0].Headers {
		resp.Headers = append(resp.Headers, &deadletterv1.Header{Key: h.Key, Value: shown(&h)})
	}
	if l := &letters[0]; l.partial() {
		resp.PreviewNote = "only a part of the message is kept (" + l.lack() + ")"
	} else {
		resp.Preview, resp.PreviewNote = preview(l.Type, l.Topic, contents[0].Value)
	}
	return resp, nil
}

// shown is a header's value as people may see it.
func shown(h *broker.Header) string {
	switch {
	case runner.Secret(h.Key) || h.Key == event.HeaderSeal: // the seal stands for credentials
		return "***"
	case strings.HasSuffix(h.Key, "-bin"):
		return base64.StdEncoding.EncodeToString(h.Value)
	}
	return strings.ToValidUTF8(string(h.Value), "\uFFFD")
}

// RedriveDeadLetters publishes letters again.
func (s *server) RedriveDeadLetters(ctx context.Context, req *deadletterv1.RedriveDeadLettersRequest) (*deadletterv1.RedriveDeadLettersResponse, error) {
	tenant, err := identity.Tenant(ctx)
	if err != nil {
		return nil, err
	}
	if (len(req.GetIds()) > 0) == (req.GetFilter() != nil) {
		return nil, fault.Invalid.New("want either ids or filter").WithReason("DEAD_LETTERS_NOT_NAMED")
	}
	resp := &deadletterv1.RedriveDeadLettersResponse{}
	var results []Result
	if req.GetFilter() != nil {
		results, resp.More, err = s.redriveFilter(ctx, tenant, req)
	} else {
		results, err = s.redriveIDs(ctx, tenant, req.GetIds())
	}
	if err != nil {
		return nil, err
	}
	for _, r := range results {
		resp.Results = append(resp.Results, &deadletterv1.RedriveResult{Id: r.ID.String(), Outcome: outcomes[r.Outcome], Message: r.Message})
	}
	return resp, nil
}

func (s *server) redriveIDs(ctx context.Context, tenant string, texts []string) ([]Result, error) {
	if len(texts) > maxPage {
		return nil, fault.Invalid.New("ids: %d, want at most %d", len(texts), maxPage).WithReason("TOO_MANY_DEAD_LETTERS")
	}
	ids := make([]ID, len(texts))
	for i, text := range texts {
		var err error
		if ids[i], err = ParseID(text); err != nil {
			return nil, err
		}
	}
	return s.redriver.byID(ctx, tenant, caller(ctx), ids)
}

func (s *server) redriveFilter(ctx context.Context, tenant string, req *deadletterv1.RedriveDeadLettersRequest) ([]Result, bool, error) {
	filter, err := filterOf(req.GetFilter())
	if err != nil {
		return nil, false, err
	}
	if filter.Topic == "" && filter.Reason == "" && filter.Start.IsZero() && filter.End.IsZero() {
		return nil, false, fault.Invalid.New("filter: nothing is set, which would be everything").WithReason("DEAD_LETTERS_NOT_NAMED")
	}
	return s.redriver.byFilter(ctx, tenant, caller(ctx), filter, bounded(req.GetLimit(), defaultRedrive))
}

// caller is who redrives, as it stands beside the letter.
func caller(ctx context.Context) string {
	id, _ := identity.From(ctx)
	return id.Principal()
}

func bounded(n uint32, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return int(min(n, maxPage))
}

// filterOf reads what both requests have.
func filterOf(req interface {
	GetTopic() string
	GetReason() string
	GetStartTime() *timestamppb.Timestamp
	GetEndTime() *timestamppb.Timestamp
},
) (Filter, error) {
	f := Filter{Topic: strings.TrimSuffix(req.GetTopic(), broker.DLQ("")), Reason: req.GetReason()}
	for _, t := range []struct {
		name string
		from *timestamppb.Timestamp
		to   *time.Time
	}{{"start_time", req.GetStartTime(), &f.Start}, {"end_time", req.GetEndTime(), &f.End}} {
		if t.from == nil {
			continue
		}
		if err := t.from.CheckValid(); err != nil {
			return Filter{}, fault.Invalid.New("%s: not a time", t.name).WithReason("TIME_INVALID")
		}
		*t.to = t.from.AsTime()
	}
	return f, nil
}

func stateOf(s deadletterv1.DeadLetterState) (State, bool) {
	switch s {
	case deadletterv1.DeadLetterState_DEAD_LETTER_STATE_PARKED:
		return Parked, true
	case deadletterv1.DeadLetterState_DEAD_LETTER_STATE_REDRIVEN:
		return Redriven, true
	case deadletterv1.DeadLetterState_DEAD_LETTER_STATE_UNSPECIFIED:
	}
	return 0, false
}

var states = map[State]deadletterv1.DeadLetterState{
	Parked:   deadletterv1.DeadLetterState_DEAD_LETTER_STATE_PARKED,
	Redriven: deadletterv1.DeadLetterState_DEAD_LETTER_STATE_REDRIVEN,
}

var outcomes = map[Outcome]deadletterv1.RedriveOutcome{
	Done:     deadletterv1.RedriveOutcome_REDRIVE_OUTCOME_REDRIVEN,
	Already:  deadletterv1.RedriveOutcome_REDRIVE_OUTCOME_ALREADY_REDRIVEN,
	NotFound: deadletterv1.RedriveOutcome_REDRIVE_OUTCOME_NOT_FOUND,
	Refused:  deadletterv1.RedriveOutcome_REDRIVE_OUTCOME_REFUSED,
	TryAgain: deadletterv1.RedriveOutcome_REDRIVE_OUTCOME_TRY_AGAIN,
}

// wire is a letter as callers see it.
func wire(l *Letter) *deadletterv1.DeadLetter {
	text := func(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
	out := &deadletterv1.DeadLetter{
		Id: l.ID.String(), State: states[l.State], Topic: l.Topic, Group: text(l.Group), MessageId: text(l.MessageID),
		Reason: text(string(l.Reason)), Error: text(l.Error), Attempts: uint32(max(l.Attempts, 0)), Lane: text(l.Lane), Position: text(l.Position),
		FirstSeenTime: timestamppb.New(l.FirstSeen), DeadTime: timestamppb.New(l.DeadAt), Worker: text(l.Worker),
		Type: text(l.Type), Count: uint64(l.Count), ValueBytes: uint64(l.Bytes), Redrives: uint32(l.Redrives), RedrivenBy: l.RedrivenBy,
	}
	if l.State == Redriven {
		out.Redrives++
	}
	if !l.RedrivenAt.IsZero() {
		out.RedriveTime = timestamppb.New(l.RedrivenAt)
	}
	return out
}
