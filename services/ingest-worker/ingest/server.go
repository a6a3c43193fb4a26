package ingest

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/desk"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/receipt"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/store"
)

// server answers the gateway.
type server struct {
	ledgerv1.UnimplementedLedgerServiceServer
	store *store.Store
	book  *receipt.Book
	lag   receipt.Lag
	drift driftv1.DriftServiceClient

	*desk.Desk
}

// GetSettled gives what became of the tenant's records here. It is
// fault.Unavailable while the broker cannot say how many messages are pending.
func (s *server) GetSettled(ctx context.Context, _ *ledgerv1.GetSettledRequest) (*ledgerv1.GetSettledResponse, error) {
	ctx, tenant, leave, err := s.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
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
	ctx, tenant, leave, err := s.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
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

// ListSenders tells who sent records of a profile.
func (s *server) ListSenders(ctx context.Context, req *ledgerv1.ListSendersRequest) (*ledgerv1.ListSendersResponse, error) {
	ctx, tenant, leave, err := s.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	start, end, err := during(req.GetRecords())
	if err != nil {
		return nil, err
	}
	// Whose records these are was decided above; drift is asked as for any record.
	asking := identity.With(ctx, identity.ForService(name, tenant))
	found, err := s.drift.GetProfile(asking, &driftv1.GetProfileRequest{Profile: req.GetRecords().GetProfile()})
	if err != nil {
		return nil, err
	}
	uid, err := uuid.Parse(found.GetProfile().GetUid())
	if err != nil {
		return nil, fault.Internal.Wrap(err, "the profile's uid is malformed")
	}
	items, args := store.Sent(uid, req.GetRecords().GetRecordId(), start, end)
	return s.book.Senders(ctx, tenant, items, args...)
}

// during is the time that is asked about: all of it, where one record is named
// without any.
func during(r *ledgerv1.RecordsSent) (start, end time.Time, err error) {
	start, end = time.Unix(0, 0), time.Unix(math.MaxUint32, 0)
	if r.GetStartTime() == nil && r.GetEndTime() == nil && r.GetRecordId() != "" {
		return start, end, nil
	}
	if err := errors.Join(r.GetStartTime().CheckValid(), r.GetEndTime().CheckValid()); err != nil {
		return start, end, fault.Invalid.Wrap(err, "records: a record_id is needed, or start_time and end_time")
	}
	from, to := r.GetStartTime().AsTime(), r.GetEndTime().AsTime()
	switch {
	case !from.Before(to):
		return start, end, fault.Invalid.New("records.end_time: must be after start_time")
	case from.Before(start), to.After(end):
		return start, end, fault.Invalid.New("records.start_time and end_time: must be from 1970 to 2106")
	}
	return from, to, nil
}

// GetRetained gives how many bytes are kept of each tenant.
func (s *server) GetRetained(ctx context.Context, _ *ledgerv1.GetRetainedRequest) (*ledgerv1.GetRetainedResponse, error) {
	kept, err := s.book.Retained(ctx)
	return &ledgerv1.GetRetainedResponse{Bytes: kept}, err
}
