package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// kept is a sink that can be away.
type kept struct {
	mu      sync.Mutex
	away    bool
	entries []Entry
}

func (k *kept) take(_ context.Context, entries []Entry) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.away {
		return errors.New("away")
	}
	k.entries = append(k.entries, entries...)
	return nil
}

func (k *kept) set(away bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.away = away
}

func TestNothingIsChangedThatCannotBeRecorded(t *testing.T) {
	var k kept
	r := NewRecorder(k.take, slog.New(slog.DiscardHandler))
	ctx := t.Context()
	require.NoError(t, r.Begin(ctx))
	r.Record(ctx, Entry{Action: "a", Outcome: OK})
	require.Len(t, k.entries, 1)

	// The first that is not taken is owed; nothing more is begun until it was.
	k.set(true)
	require.NoError(t, r.Begin(ctx))
	r.Record(ctx, Entry{Action: "b", Outcome: OK})
	err := r.Begin(ctx)
	require.ErrorIs(t, err, fault.Unavailable)
	require.Equal(t, "AUDIT_UNAVAILABLE", fault.Of(err).Reason())
	k.set(false)
	require.NoError(t, r.Begin(ctx))
	require.Len(t, k.entries, 2)
	require.Equal(t, "b", k.entries[1].Action)

	// Whoever called may be gone by then.
	gone, cancel := context.WithCancel(ctx)
	cancel()
	r.Record(gone, Entry{Action: "c", Outcome: OK})
	require.Len(t, k.entries, 3)
}

func TestAFloodOfRefusalsIsAFewEntries(t *testing.T) {
	var k kept
	r := NewRecorder(k.take, slog.New(slog.DiscardHandler))
	for i := range 100_000 {
		r.Count(Entry{Tenant: "acme", Source: fmt.Sprint(i % 3), Action: "login", Outcome: Denied, Reason: "PASSWORD_WRONG"})
	}
	require.Len(t, r.gathered, 3)
	for i := range 100_000 {
		r.Count(Entry{Tenant: fmt.Sprint("t", i), Source: fmt.Sprint(i), Action: fmt.Sprint("a", i), Outcome: Denied})
	}
	require.LessOrEqual(t, len(r.gathered), 3*maxGathered+3)
	for len(r.gathered) > 0 {
		r.settle(t.Context())
	}
	total := uint64(0)
	for i := range k.entries {
		total += k.entries[i].Count
	}
	require.EqualValues(t, 200_000, total, "all are counted")
}

// Who tries many names, tenants and methods from one place fills no disk: the account
// keeps a few entries of it, and says where they came from and how many there were.
func TestOneSourceIsAFewEntriesWhateverItNames(t *testing.T) {
	var k kept
	r := NewRecorder(k.take, slog.New(slog.DiscardHandler))
	for i := range 10_000 {
		name := fmt.Sprint("name", i)
		r.Count(Entry{Tenant: name, Actor: name, Home: name, Source: "192.0.2.1", Action: name, Outcome: Failed, Reason: name})
	}
	r.Count(Entry{Tenant: "acme", Actor: "ann", Source: "192.0.2.2", Action: "login", Outcome: Denied, Reason: "PASSWORD_WRONG"})
	r.settle(t.Context())
	require.LessOrEqual(t, len(k.entries), 3*fromSource+2)
	total := uint64(0)
	for i := range k.entries {
		total += k.entries[i].Count
		if k.entries[i].Actor != "ann" {
			require.Equal(t, "192.0.2.1", k.entries[i].Source)
		}
	}
	require.EqualValues(t, 10_001, total)
	require.True(t, slices.ContainsFunc(k.entries, func(e Entry) bool { return e.Actor == "ann" && e.Source == "192.0.2.2" }), "another source has room")
	for i := range 10_000 { // begun anew with every round
		r.Count(Entry{Actor: fmt.Sprint(i), Source: "192.0.2.1", Action: "login", Outcome: Failed})
	}
	r.settle(t.Context())
	require.LessOrEqual(t, len(k.entries), 6*fromSource+2)
	require.Empty(t, r.sources)
}

// At the end what was counted is recorded.
func TestRunEndsWithAllRecorded(t *testing.T) {
	var k kept
	r := NewRecorder(k.take, slog.New(slog.DiscardHandler))
	r.Count(Entry{Action: "login", Outcome: Denied})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, r.Run(ctx))
	require.Len(t, k.entries, 1)
	require.NotEmpty(t, k.entries[0].ID)
	require.NoError(t, k.entries[0].Check())
}
