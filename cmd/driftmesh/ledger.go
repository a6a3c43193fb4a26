package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc"

	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
)

type ledgerCmd struct{ clientFlags }

// Run shows the tenant's ledger. It fails when something is missing or the sum
// does not hold, so that a script sees it.
func (c ledgerCmd) Run(ctx context.Context, con console) error {
	var wrong []string
	err := call(ctx, con, c.clientFlags, ledgerv1.NewLedgerServiceClient,
		func(client ledgerv1.LedgerServiceClient, ctx context.Context, req *ledgerv1.GetLedgerRequest, opts ...grpc.CallOption) (*ledgerv1.GetLedgerResponse, error) {
			r, err := client.GetLedger(ctx, req, opts...)
			for _, a := range r.GetAccounts() {
				if !a.GetBalanced() {
					wrong = append(wrong, a.GetSignal()+": "+standing(a))
				}
			}
			return r, err
		}, &ledgerv1.GetLedgerRequest{}, showLedger)
	if err == nil && wrong != nil {
		err = fmt.Errorf("the ledger does not balance: %s", strings.Join(wrong, "; "))
	}
	return err
}

func showLedger(w io.Writer, r *ledgerv1.GetLedgerResponse) {
	row(w, "SIGNAL", "ACCEPTED", "= STORED", "+ DUPLICATE", "+ REJECTED", "+ SAMPLED", "+ DEAD", "+ IN FLIGHT", "+ MISSING", "PENDING", "VERDICT")
	for _, a := range r.GetAccounts() {
		row(w, a.GetSignal(), a.GetAccepted(), a.GetStored(), a.GetDuplicate(), total(a.GetRejected()), a.GetSampled(),
			a.GetDeadLettered(), a.GetInFlight(), a.GetMissing(), pending(a), standing(a))
	}
	for _, a := range r.GetAccounts() {
		reasons(w, a.GetSignal()+" rejected", a.GetRejected())
		reasons(w, a.GetSignal()+" dead", a.GetDeadLetteredReasons())
		reasons(w, a.GetSignal()+" requests turned away", a.GetRefusedRequests())
	}
}

// pending is how many messages the broker still holds, of all tenants.
func pending(a *ledgerv1.Account) string {
	if a.GetPendingUnknown() {
		return fmt.Sprintf("unknown, at least %d", a.GetPendingMessages())
	}
	return strconv.FormatUint(a.GetPendingMessages(), 10)
}

// standing says in words how the books stand.
func standing(a *ledgerv1.Account) string {
	switch {
	case a.GetMissing() > 0:
		return fmt.Sprintf("MISSING: %d in %d messages are lost", a.GetMissing(), a.GetMissingMessages())
	case a.GetMissingMessages() > 0:
		return fmt.Sprintf("MISSING: at least %d messages are lost", a.GetMissingMessages())
	case !a.GetBalanced():
		return "WRONG: the sum does not hold"
	case a.GetInFlight() > 0:
		return "balanced, not all settled"
	}
	return "balanced"
}

func reasons(w io.Writer, what string, counts map[string]uint64) {
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		row(w, what, counts[reason], reason)
	}
}

func total(counts map[string]uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}
