package ingest

import (
	"context"
	"errors"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/receipt"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/store"
)

// server answers the gateway.
type server struct {
	ledgerv1.UnimplementedLedgerServiceServer
	store *store.Store
	book  *receipt.Book
	lag   receipt.Lag
}

// GetSettled gives what became of the tenant's records here. It is
// fault.Unavailable while the broker cannot say how many messages are pending.
func (s *server) GetSettled(ctx context.Context, _ *ledgerv1.GetSettledRequest) (*ledgerv1.GetSettledResponse, error) {
	tenant, err := identity.Tenant(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := s.book.Settled(ctx, tenant)
	if err != nil {
		return nil, err
	}
	// After what was settled: whatever was written is in the store by now.
	resp.Stored, err = s.store.Stored(ctx, tenant)
	return resp, err
}

// GetAdmitted gives what came in for the tenant by the topic inbox. It is
// fault.Unavailable while the broker cannot say how many messages are there.
func (s *server) GetAdmitted(ctx context.Context, req *ledgerv1.GetAdmittedRequest) (*ledgerv1.GetAdmittedResponse, error) {
	tenant, err := identity.Tenant(ctx)
	if err != nil {
		return nil, err
	}
	// Entered before pending: a message that is entered in between is still
	// there, or is already with the services behind, which are asked later.
	admitted, err := s.store.Admitted(ctx, tenant, req.GetByDay())
	if err != nil {
		return nil, err
	}
	pending, err := s.lag.Pending(ctx, event.GroupIngest, event.Inbox, event.Retry(event.Inbox))
	if err != nil && !errors.Is(err, broker.ErrNoGroup) { // no topic, nothing pending
		return nil, err
	}
	resp := &ledgerv1.GetAdmittedResponse{PendingMessages: pending.Messages, PendingUnknown: pending.Unknown}
	for _, a := range admitted {
		resp.Signals = append(resp.Signals, &ledgerv1.Admitted{
			Signal: a.Signal, Accepted: a.Accepted, Messages: a.Forwarded, Rejected: a.Rejected, DeadLettered: a.DeadLettered, Day: a.Day,
		})
	}
	return resp, nil
}
