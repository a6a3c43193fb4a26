package ledger_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/services/gateway/internal/ledger"
)

func TestAdd(t *testing.T) {
	t.Parallel()
	type (
		settled  = ledgerv1.GetSettledResponse
		instance = ledgerv1.InstanceSettled
		account  = ledgerv1.Account
		reasons  = map[string]uint64
	)
	type unsettled = ledgerv1.Unsettled
	days := func(list ...*ledgerv1.Admitted) ledger.Inbox { return ledger.Inbox{Days: list} }
	tests := map[string]struct {
		inbox   ledger.Inbox
		settled *settled
		want    *account
	}{
		"nothing ever came": {
			settled: &settled{}, want: &account{Balanced: true},
		},
		"all stored": {
			settled: &settled{Stored: 10, Unsettled: &unsettled{}, Instances: []*instance{{Instance: "a", Accepted: 10, Written: 10, Messages: 2}}},
			want:    &account{Accepted: 10, Stored: 10, Balanced: true},
		},
		"every process counts": {
			settled: &settled{Stored: 16, Instances: []*instance{
				{Instance: "a", Accepted: 10, Written: 10}, {Instance: "b", Accepted: 6, Written: 6},
			}},
			want: &account{Accepted: 16, Stored: 16, Balanced: true},
		},
		"some under way": {
			settled: &settled{
				Stored: 4, PendingMessages: 3, Unsettled: &unsettled{Items: 6, Messages: 2},
				Instances: []*instance{{Instance: "a", Accepted: 4, Written: 4, Messages: 1}},
			},
			want: &account{Accepted: 10, Stored: 4, InFlight: 6, PendingMessages: 3, Balanced: true},
		},
		"acknowledged only after the pending ones were counted": {
			settled: &settled{Unsettled: &unsettled{Items: 6, Messages: 2, LateMessages: 2}},
			want:    &account{Accepted: 6, InFlight: 6, Balanced: true},
		},
		"receipts on their way are pending, and carry nothing": {
			settled: &settled{Unsettled: &unsettled{Items: 6, Messages: 1, PendingReceipts: 2}},
			want:    &account{Accepted: 6, Missing: 6, MissingMessages: 1, PendingMessages: 2},
		},
		"lost while the broker cannot tell what is under way": {
			settled: &settled{
				Stored: 4, PendingUnknown: true, Unsettled: &unsettled{Items: 6, Messages: 2},
				Instances: []*instance{{Instance: "a", Accepted: 4, Written: 4}},
			},
			want: &account{Accepted: 10, Stored: 4, InFlight: 6, PendingUnknown: true, Balanced: true},
		},
		"everything at once": {
			settled: &settled{
				Stored: 70, Unsettled: &unsettled{Rejected: reasons{"unknown_profile": 5, "type_mismatch": 2}},
				Instances: []*instance{
					{Instance: "a", Accepted: 93, Written: 80, Sampled: 4, Rejected: reasons{"unknown_profile": 3}, DeadLettered: reasons{"decode": 6}},
				},
			},
			want: &account{
				Accepted: 100, Stored: 70, Duplicate: 10, Sampled: 4, DeadLettered: 6,
				Rejected: reasons{"unknown_profile": 8, "type_mismatch": 2}, DeadLetteredReasons: reasons{"decode": 6},
				Balanced: true,
			},
		},
		"lost, and nothing under way": {
			settled: &settled{
				Stored: 4, Unsettled: &unsettled{Items: 500, Messages: 5},
				Instances: []*instance{{Instance: "a", Accepted: 4, Written: 4, Messages: 4}},
			},
			want: &account{Accepted: 504, Stored: 4, Missing: 500, MissingMessages: 5},
		},
		"lost in the middle of traffic": {
			settled: &settled{
				Stored: 4, PendingMessages: 3, Unsettled: &unsettled{Items: 900, Messages: 9, LateMessages: 1},
				Instances: []*instance{{Instance: "a", Accepted: 4, Written: 4, Messages: 4}},
			},
			want: &account{Accepted: 904, Stored: 4, InFlight: 900, MissingMessages: 5, PendingMessages: 3},
		},
		"the inbox beside the door": {
			inbox: ledger.Inbox{Pending: 2, Days: []*ledgerv1.Admitted{
				{Day: 9, Accepted: 1000, Messages: 7}, // forgotten
				{Day: 10, Accepted: 15, Rejected: reasons{"x": 2, "y": 3}, Messages: 2},
				{Day: 11, Accepted: 5, DeadLettered: reasons{"decode": 1}, Messages: 1},
			}},
			settled: &settled{
				Stored: 12, SinceDay: 10, PendingMessages: 1, Unsettled: &unsettled{Rejected: reasons{"x": 1}},
				Instances: []*instance{
					{Instance: "a", Accepted: 4, Written: 4}, {Instance: "inbox", Accepted: 9, Written: 8, DeadLettered: reasons{"decode": 1}, Messages: 2},
				},
			},
			want: &account{
				Accepted: 25, Stored: 12, Rejected: reasons{"x": 3, "y": 3}, DeadLettered: 2, DeadLetteredReasons: reasons{"decode": 2},
				InFlight: 5, PendingMessages: 3, Balanced: true,
			},
		},
		"a message from the inbox that is lost": {
			inbox:   days(&ledgerv1.Admitted{Accepted: 20, Messages: 3}),
			settled: &settled{Stored: 15, Instances: []*instance{{Instance: "inbox", Accepted: 15, Written: 15, Messages: 2}}},
			want:    &account{Accepted: 20, Stored: 15, Missing: 5, MissingMessages: 1},
		},
		"settled twice although the inbox knows of one": {
			inbox:   days(&ledgerv1.Admitted{Accepted: 12, Messages: 1}),
			settled: &settled{Stored: 12, Instances: []*instance{{Instance: "inbox", Accepted: 22, Written: 22, Messages: 2}}},
			want:    &account{Accepted: 22, Stored: 12, Duplicate: 10, Balanced: true},
		},
		"a row nobody settled": {
			settled: &settled{Stored: 5, Instances: []*instance{{Instance: "a", Accepted: 4, Written: 4}}},
			want:    &account{Accepted: 4, Stored: 5},
		},
		"a settled message that does not add up": {
			settled: &settled{Stored: 3, Instances: []*instance{{Instance: "a", Accepted: 4, Written: 3}}},
			want:    &account{Accepted: 4, Stored: 3},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.settled.Signal = "spans"
			tt.want.Tenant, tt.want.Signal = "acme", "spans"
			got := ledger.Add("acme", tt.inbox, tt.settled)
			require.Truef(t, proto.Equal(tt.want, got), "want %v\ngot  %v", tt.want, got)
		})
	}
}

type settler struct {
	ledgerv1.LedgerServiceClient
	stored, unsettled uint64
	err               error
	inbox             *ledgerv1.GetAdmittedResponse // nil: an old one
}

func (s settler) GetAdmitted(context.Context, *ledgerv1.GetAdmittedRequest, ...grpc.CallOption) (*ledgerv1.GetAdmittedResponse, error) {
	if s.inbox == nil {
		return nil, fault.Unsupported.New("unknown method")
	}
	return s.inbox, nil
}

func (s settler) GetSettled(context.Context, *ledgerv1.GetSettledRequest, ...grpc.CallOption) (*ledgerv1.GetSettledResponse, error) {
	if s.err != nil {
		return nil, s.err
	}
	return &ledgerv1.GetSettledResponse{
		Stored: s.stored, Unsettled: &ledgerv1.Unsettled{Items: s.unsettled, Messages: s.unsettled},
		PendingMessages: s.unsettled, Instances: []*ledgerv1.InstanceSettled{{Instance: "a", Accepted: s.stored, Written: s.stored}},
	}, nil
}

func TestGetLedger(t *testing.T) {
	t.Parallel()
	svc := ledger.New(ledger.Settlers{Spans: settler{stored: 3}, Records: settler{stored: 7, unsettled: 2}})

	_, err := svc.GetLedger(context.Background(), &ledgerv1.GetLedgerRequest{})
	require.ErrorIs(t, err, fault.Unauthenticated)

	ctx := identity.With(context.Background(), identity.Identity{Tenant: "acme", Subject: "u", Kind: identity.User})
	got, err := svc.GetLedger(ctx, &ledgerv1.GetLedgerRequest{})
	require.NoError(t, err)
	require.Len(t, got.GetAccounts(), 2)
	require.Equal(t, "spans", got.GetAccounts()[0].GetSignal())
	require.Equal(t, uint64(3), got.GetAccounts()[0].GetStored())
	require.Equal(t, "records", got.GetAccounts()[1].GetSignal())
	require.Equal(t, uint64(9), got.GetAccounts()[1].GetAccepted())
	require.Equal(t, uint64(2), got.GetAccounts()[1].GetInFlight())
	require.True(t, got.GetAccounts()[1].GetBalanced())
}

func TestGetLedgerAddsTheInbox(t *testing.T) {
	t.Parallel()
	svc := ledger.New(ledger.Settlers{
		Spans: settler{stored: 3}, Records: settler{inbox: &ledgerv1.GetAdmittedResponse{
			PendingMessages: 1, Signals: []*ledgerv1.Admitted{{Signal: "records", Accepted: 4, Rejected: map[string]uint64{"unknown_profile": 4}}},
		}},
	})
	ctx := identity.With(context.Background(), identity.Identity{Tenant: "acme", Subject: "u", Kind: identity.User})
	got, err := svc.GetLedger(ctx, &ledgerv1.GetLedgerRequest{})
	require.NoError(t, err)
	spans, records := got.GetAccounts()[0], got.GetAccounts()[1]
	require.EqualValues(t, 1, spans.GetPendingMessages())
	require.EqualValues(t, 3, spans.GetAccepted())
	require.EqualValues(t, 4, records.GetAccepted())
	require.EqualValues(t, 4, records.GetRejected()["unknown_profile"])
	require.True(t, records.GetBalanced())
}

func TestHalfALedgerIsNone(t *testing.T) {
	t.Parallel()
	svc := ledger.New(ledger.Settlers{
		Spans: settler{stored: 3}, Records: settler{err: fault.Unavailable.New("away")},
	})
	ctx := identity.With(context.Background(), identity.Identity{Tenant: "acme", Subject: "u", Kind: identity.User})
	_, err := svc.GetLedger(ctx, &ledgerv1.GetLedgerRequest{})
	require.ErrorIs(t, err, fault.Unavailable)
	require.Positive(t, fault.Of(err).RetryAfter())
}
