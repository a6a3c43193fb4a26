package main

import (
	"context"
	"io"
	"maps"
	"slices"

	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
)

type ledgerCmd struct{ clientFlags }

// Run shows the tenant's ledger.
func (c ledgerCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, ledgerv1.NewLedgerServiceClient, ledgerv1.LedgerServiceClient.GetLedger,
		&ledgerv1.GetLedgerRequest{}, func(w io.Writer, r *ledgerv1.GetLedgerResponse) {
			row(w, "SIGNAL", "ACCEPTED", "= STORED", "+ DUPLICATE", "+ REJECTED", "+ SAMPLED", "+ DEAD", "+ IN FLIGHT", "MISSING", "BALANCED")
			for _, a := range r.GetAccounts() {
				row(w, a.GetSignal(), a.GetAccepted(), a.GetStored(), a.GetDuplicate(), total(a.GetRejected()), a.GetSampled(),
					a.GetDeadLettered(), a.GetInFlight(), a.GetMissingMessages(), yesNo(a.GetBalanced()))
			}
			for _, a := range r.GetAccounts() {
				reasons(w, a.GetSignal()+" rejected", a.GetRejected())
				reasons(w, a.GetSignal()+" dead", a.GetDeadLetteredReasons())
			}
		})
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

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "NO"
}
