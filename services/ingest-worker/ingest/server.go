package ingest

import (
	"context"
	"errors"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/store"
)

// server answers the gateway.
type server struct {
	ledgerv1.UnimplementedLedgerServiceServer
	store *store.Store
	lag   func(ctx context.Context, topic, group string) (broker.Lag, error)
}

// GetSettled gives what became of the tenant's records here. It is
// fault.Unavailable while the broker cannot say how many messages are pending:
// without that a message on its way would look lost.
func (s *server) GetSettled(ctx context.Context, _ *ledgerv1.GetSettledRequest) (*ledgerv1.GetSettledResponse, error) {
	tenant, err := identity.Tenant(ctx)
	if err != nil {
		return nil, err
	}
	resp := &ledgerv1.GetSettledResponse{Signal: event.SignalRecords}
	// Pending before settled: what is settled in between counts in both, which
	// is better than in neither.
	lag, err := s.lag(ctx, event.Records, event.GroupIngest)
	if err != nil {
		return nil, fault.Unavailable.Wrap(err, "pending messages cannot be counted now")
	}
	resp.PendingMessages, resp.PendingUnknown = uint64(max(lag.Total(), 0)), !lag.Known
	settled, err := s.store.Settled(ctx, tenant)
	if err != nil {
		return nil, err
	}
	resp.Stored = settled.Stored
	for _, i := range settled.Instances {
		resp.Instances = append(resp.Instances, &ledgerv1.InstanceSettled{
			Instance: i.Name, Messages: i.Messages, Accepted: i.Accepted, Written: i.Written,
			Rejected: i.Rejected, DeadLettered: i.DeadLettered, MissingMessages: i.Missing,
		})
	}
	return resp, nil
}

// GetAdmitted gives what came in for the tenant by the topic inbox. It is
// fault.Unavailable while the broker cannot say how many messages are there.
func (s *server) GetAdmitted(ctx context.Context, _ *ledgerv1.GetAdmittedRequest) (*ledgerv1.GetAdmittedResponse, error) {
	tenant, err := identity.Tenant(ctx)
	if err != nil {
		return nil, err
	}
	// Entered before pending: a message that is entered in between is still
	// there, or is already with the services behind, which are asked later.
	admitted, err := s.store.Admitted(ctx, tenant)
	if err != nil {
		return nil, err
	}
	lag, err := s.lag(ctx, event.Inbox, event.GroupIngest)
	if err != nil && !errors.Is(err, broker.ErrNoGroup) { // no topic, nothing pending
		return nil, fault.Unavailable.Wrap(err, "pending messages cannot be counted now")
	}
	resp := &ledgerv1.GetAdmittedResponse{
		PendingMessages: uint64(max(lag.Total(), 0)), PendingUnknown: err == nil && !lag.Known,
	}
	for _, a := range admitted {
		resp.Signals = append(resp.Signals, &ledgerv1.Admitted{
			Signal: a.Signal, Accepted: a.Accepted, Messages: a.Forwarded, Rejected: a.Rejected, DeadLettered: a.DeadLettered,
		})
	}
	return resp, nil
}
