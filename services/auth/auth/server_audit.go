package auth

import (
	"context"
	"strconv"

	"google.golang.org/grpc"

	"github.com/driftmesh/driftmesh/internal/audit"
	"github.com/driftmesh/driftmesh/internal/audit/wire"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/policy"
	auditv1 "github.com/driftmesh/driftmesh/proto/driftmesh/audit/v1"
	"github.com/driftmesh/driftmesh/services/auth/internal/store"
)

const (
	// maxRecorded bounds the entries of one call, auditPage and maxAuditPage those of
	// a page, and exportPage those that are read at a time for an export.
	maxRecorded             = 1000
	auditPage, maxAuditPage = 100, 1000
	exportPage              = 500
)

// auditServer answers the calls of AuditService.
type auditServer struct {
	auditv1.UnimplementedAuditServiceServer

	chain *chain
}

// Record implements AuditService.
func (s *auditServer) Record(ctx context.Context, req *auditv1.RecordRequest) (*auditv1.RecordResponse, error) {
	if _, err := authorize(ctx, policy.ServiceCall, ""); err != nil {
		return nil, err
	}
	if len(req.GetEntries()) > maxRecorded {
		return nil, fault.Invalid.New("entries: there are %d, at most %d go together", len(req.GetEntries()), maxRecorded).WithReason("FIELD_INVALID")
	}
	entries := make([]audit.Entry, len(req.GetEntries()))
	for i, e := range req.GetEntries() {
		entries[i] = wire.Entry(e)
		entries[i].Trim()
		if err := entries[i].Check(); err != nil {
			return nil, err
		}
	}
	return &auditv1.RecordResponse{}, s.chain.store.AppendAudit(ctx, entries)
}

// ListEntries implements AuditService.
func (s *auditServer) ListEntries(ctx context.Context, req *auditv1.ListEntriesRequest) (*auditv1.ListEntriesResponse, error) {
	who, err := authorize(ctx, policy.AuditRead, req.GetTenant())
	if err != nil {
		return nil, err
	}
	q := store.AuditQuery{Tenant: who.about, Actor: req.GetActor(), Action: req.GetAction(), Outcome: req.GetOutcome(), Limit: auditPage}
	if n := int(req.GetPageSize()); n != 0 {
		if n < 0 || n > maxAuditPage {
			return nil, fault.Invalid.New("page_size: want 1 to %d", maxAuditPage).WithReason("FIELD_INVALID")
		}
		q.Limit = n
	}
	if q.Start, err = optionalTime("start_time", req.GetStartTime()); err != nil {
		return nil, err
	}
	if q.End, err = optionalTime("end_time", req.GetEndTime()); err != nil {
		return nil, err
	}
	if token := req.GetPageToken(); token != "" {
		if q.Before, err = strconv.ParseUint(token, 10, 63); err != nil {
			return nil, fault.Invalid.New("page_token: is none of ours").WithReason("FIELD_INVALID")
		}
	}
	q.Limit++ // one more tells whether there is another page
	links, err := s.chain.store.Audit(ctx, q)
	if err != nil {
		return nil, err
	}
	resp := &auditv1.ListEntriesResponse{}
	if len(links) == q.Limit {
		links = links[:q.Limit-1]
		resp.NextPageToken = strconv.FormatUint(links[len(links)-1].Seq, 10)
	}
	resp.Entries = each(links, wire.MessageOf)
	return resp, nil
}

// ExportChain implements AuditService.
func (s *auditServer) ExportChain(req *auditv1.ExportChainRequest, out grpc.ServerStreamingServer[auditv1.ExportChainResponse]) error {
	ctx := out.Context()
	if _, err := authorize(ctx, policy.AuditExport, ""); err != nil {
		return err
	}
	if err := s.chain.sign(ctx); err != nil {
		return err
	}
	for after := req.GetAfterSequence(); ; {
		links, err := s.chain.store.AuditChain(ctx, after, exportPage)
		if err != nil || len(links) == 0 {
			return err
		}
		last := links[len(links)-1].Seq
		points, err := s.chain.store.Checkpoints(ctx, after, last)
		if err != nil {
			return err
		}
		for _, p := range points {
			upTo := int(p.Seq - after) //nolint:gosec // within a page: the numbers have no gaps, or the chain is broken
			if upTo > len(links) {
				return fault.Internal.New("the audit chain lacks entries before entry %d", p.Seq)
			}
			if err := out.Send(&auditv1.ExportChainResponse{Entries: each(links[:upTo], wire.MessageOf), Checkpoint: wire.Checkpoint(p)}); err != nil {
				return err
			}
			links, after = links[upTo:], p.Seq
		}
		if len(links) > 0 {
			if err := out.Send(&auditv1.ExportChainResponse{Entries: each(links, wire.MessageOf)}); err != nil {
				return err
			}
		}
		after = last
	}
}
