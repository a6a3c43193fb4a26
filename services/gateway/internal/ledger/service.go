package ledger

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
)

// settledTimeout bounds the question to one service.
const settledTimeout = 10 * time.Second

// sendersTimeout bounds the question who sent something: a statement over all
// records of a range.
const sendersTimeout = 30 * time.Second

// Settlers are the services that settle messages, by signal. The one of records
// also answers for the inbox.
type Settlers struct {
	Spans, Records ledgerv1.LedgerServiceClient
}

// Service answers LedgerService for the gateway. It is safe for concurrent use.
type Service struct {
	ledgerv1.UnimplementedLedgerServiceServer
	settlers Settlers
}

var _ ledgerv1.LedgerServiceServer = (*Service)(nil)

// New makes the service.
func New(settlers Settlers) *Service { return &Service{settlers: settlers} }

// GetLedger adds up the caller's accounts, spans first. It fails with
// fault.Unavailable when one of the services cannot be asked: half a ledger
// would look like a loss.
func (s *Service) GetLedger(ctx context.Context, _ *ledgerv1.GetLedgerRequest) (*ledgerv1.GetLedgerResponse, error) {
	tenant, err := identity.Tenant(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, settledTimeout)
	defer cancel()
	signals := []struct {
		name   string
		client ledgerv1.LedgerServiceClient
	}{{event.SignalSpans, s.settlers.Spans}, {event.SignalRecords, s.settlers.Records}}
	inbox, err := s.inbox(ctx) // before the settled side: see Add
	if err != nil {
		return nil, err
	}
	accounts := make([]*ledgerv1.Account, len(signals))
	group, ctx := errgroup.WithContext(ctx)
	for i, signal := range signals {
		group.Go(func() error {
			settled, err := signal.client.GetSettled(ctx, &ledgerv1.GetSettledRequest{})
			if err != nil {
				return unavailable(err, signal.name)
			}
			settled.Signal = signal.name
			accounts[i] = Add(tenant, inbox[signal.name], settled)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return &ledgerv1.GetLedgerResponse{Accounts: accounts}, nil
}

// inbox asks what came in by the topic inbox, by signal.
func (s *Service) inbox(ctx context.Context) (map[string]Inbox, error) {
	admitted, err := s.settlers.Records.GetAdmitted(ctx, &ledgerv1.GetAdmittedRequest{ByDay: true})
	if errors.Is(err, fault.Unsupported) {
		return nil, nil // it is older than we are, and has no inbox
	}
	if err != nil {
		return nil, unavailable(err, event.Inbox)
	}
	bySignal := map[string]Inbox{}
	for _, signal := range []string{event.SignalSpans, event.SignalRecords} {
		inbox := Inbox{Pending: admitted.GetPendingMessages(), Unknown: admitted.GetPendingUnknown()}
		for _, a := range admitted.GetSignals() {
			if a.GetSignal() == signal {
				inbox.Days = append(inbox.Days, a)
			}
		}
		bySignal[signal] = inbox
	}
	return bySignal, nil
}

func unavailable(err error, what string) error {
	return fault.Unavailable.Wrap(err, "the ledger of %s cannot be read now", what).
		WithReason("LEDGER_UNAVAILABLE").WithRetryAfter(time.Second)
}

// ListSenders asks the service that has the data.
func (s *Service) ListSenders(ctx context.Context, req *ledgerv1.ListSendersRequest) (*ledgerv1.ListSendersResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, sendersTimeout)
	defer cancel()
	switch req.GetData().(type) {
	case *ledgerv1.ListSendersRequest_TraceId:
		return s.settlers.Spans.ListSenders(ctx, req)
	case *ledgerv1.ListSendersRequest_Records:
		return s.settlers.Records.ListSenders(ctx, req)
	}
	return nil, fault.Invalid.New("trace_id or records: one of them is needed")
}
