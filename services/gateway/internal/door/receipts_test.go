package door_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	"github.com/driftmesh/driftmesh/services/gateway/internal/door"
)

// ledger is a broker that keeps what a store would: of messages their numbers,
// of receipts the highest.
type ledger struct {
	mu       sync.Mutex
	settled  map[string]map[uint64]int // spans by lane and number
	recorded map[string][2]uint64      // messages and spans by lane
	receipts int
	fate     func(m *broker.Message) (stored bool, err error)
}

func newLedger() *ledger {
	return &ledger{
		settled: map[string]map[uint64]int{}, recorded: map[string][2]uint64{},
		fate: func(*broker.Message) (bool, error) { return true, nil },
	}
}

func (l *ledger) Publish(_ context.Context, msgs []broker.Message) error {
	errs := make([]error, len(msgs))
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range msgs {
		stored, err := l.fate(&msgs[i])
		errs[i] = err
		if !stored {
			continue
		}
		if err := l.store(&msgs[i]); err != nil {
			return err
		}
	}
	return broker.Published(errs)
}

func (l *ledger) store(m *broker.Message) error {
	stamp := envelope.Of(m)
	if m.Topic == event.Spans {
		lane, n, _ := envelope.SplitSeq(stamp.Seq)
		if l.settled[lane] == nil {
			l.settled[lane] = map[uint64]int{}
		}
		l.settled[lane][n] = stamp.Count
		return nil
	}
	var r eventv1.Receipt
	if err := proto.Unmarshal(m.Value, &r); err != nil {
		return err
	}
	if m.ID != "" {
		return errors.New("a receipt has an id, which the broker would have to remember")
	}
	l.receipts++
	for _, a := range r.GetAccounts() {
		for _, x := range a.GetLanes() {
			lane := fmt.Sprintf("%s/%d", r.GetInstance(), x.GetLane())
			had := l.recorded[lane]
			l.recorded[lane] = [2]uint64{max(had[0], x.GetMessages()), max(had[1], x.GetItems())}
		}
	}
	return nil
}

func (l *ledger) Close(context.Context) error { return nil }

// unsettled is what is on record and not stored: messages and spans.
func (l *ledger) unsettled() (messages, spans int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for lane, top := range l.recorded {
		messages, spans = messages+int(top[0]), spans+int(top[1])
		for n, count := range l.settled[lane] {
			if n <= top[0] {
				messages, spans = messages-1, spans-count
			}
		}
	}
	return messages, spans
}

func newIntake(publisher broker.Publisher) *door.Intake {
	return door.NewIntake(door.IntakeConfig{Topic: event.Spans, Type: event.TypeTraces, Receipts: event.SpanReceipts}, "gw-1", publisher)
}

// TestNoLossIsMadeUpFor has many callers at a broker that fails in every way,
// and looks at what it holds after every message as if the process had been
// killed right there. What is on record is stored, with the very numbers of
// spans, whatever else is stored that nobody knows of; and everything that a
// caller was told is on record.
func TestNoLossIsMadeUpFor(t *testing.T) {
	t.Parallel()
	l := newLedger()
	calls := 0
	l.fate = func(m *broker.Message) (bool, error) {
		calls++
		switch calls % 7 {
		case 1:
			return false, broker.ErrUnavailable
		case 3:
			return false, broker.ErrUnknownOutcome
		case 5:
			return true, broker.ErrUnknownOutcome
		}
		return true, nil
	}
	x := newIntake(l)
	var told atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 40 {
				n, err := x.Take(context.Background(), load(1+i%3, 2))
				if err == nil {
					told.Add(int64(n))
				}
				messages, spans := l.unsettled()
				if messages != 0 || spans != 0 {
					t.Errorf("%d messages with %d spans are on record and not stored", messages, spans)
				}
			}
		})
	}
	all.Wait()
	require.Positive(t, told.Load())
	_, err := takeOnceWell(l, x)
	require.NoError(t, err)
	onRecord := uint64(0)
	for _, top := range l.recorded {
		onRecord += top[1]
	}
	require.GreaterOrEqual(t, onRecord, uint64(told.Load())+1)

	// Of the stored messages one is lost: nothing hides it.
	for lane := range l.recorded {
		if l.recorded[lane][0] > 1 {
			delete(l.settled[lane], 1)
			break
		}
	}
	messages, spans := l.unsettled()
	require.Equal(t, 1, messages)
	require.Positive(t, spans)
}

func takeOnceWell(l *ledger, x *door.Intake) (int, error) {
	l.mu.Lock()
	l.fate = func(*broker.Message) (bool, error) { return true, nil }
	l.mu.Unlock()
	return x.Take(context.Background(), load(1))
}

// TestReceiptsAreShared: while receipts are under way, all who come share the
// next one, and none is answered before its own.
func TestReceiptsAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		slow := slowReceipts{l, time.Second}
		x := newIntake(&slow)
		var all sync.WaitGroup
		begin := time.Now()
		for range 1000 {
			all.Go(func() {
				_, err := x.Take(context.Background(), load(1))
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		require.LessOrEqual(t, l.receipts, 4)
		require.LessOrEqual(t, time.Since(begin), 2*time.Second)
		messages, _ := l.unsettled()
		require.Zero(t, messages)
		sum := uint64(0)
		for _, top := range l.recorded {
			sum += top[1]
		}
		require.EqualValues(t, 1000, sum)
	})
}

// slowReceipts takes its time for receipts.
type slowReceipts struct {
	*ledger
	pause time.Duration
}

func (s *slowReceipts) Publish(ctx context.Context, msgs []broker.Message) error {
	if msgs[0].Topic == event.SpanReceipts {
		select {
		case <-ctx.Done():
			return broker.Published([]error{broker.ErrUnknownOutcome})
		case <-time.After(s.pause):
		}
	}
	return s.ledger.Publish(ctx, msgs)
}

// TestAReceiptThatFails: its callers are told to try again, and what it was
// about is on record with the next.
func TestAReceiptThatFails(t *testing.T) {
	t.Parallel()
	for name, cause := range map[string]error{"full": broker.ErrBackpressure, "away": broker.ErrUnavailable, "no topic": broker.ErrUnroutable} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLedger()
			l.fate = func(m *broker.Message) (bool, error) {
				if m.Topic == event.SpanReceipts {
					return false, cause
				}
				return true, nil
			}
			x := newIntake(l)
			for range 3 {
				_, err := x.Take(t.Context(), load(5))
				require.ErrorIs(t, err, cause)
			}
			_, err := takeOnceWell(l, x)
			require.NoError(t, err)
			sum := uint64(0)
			for _, top := range l.recorded {
				sum += top[1]
			}
			require.EqualValues(t, 16, sum)
		})
	}
}

// TestMuchToSay: what does not fit into one message goes in several.
func TestMuchToSay(t *testing.T) {
	t.Parallel()
	l := newLedger()
	l.fate = func(m *broker.Message) (bool, error) {
		if m.Topic == event.SpanReceipts {
			return false, broker.ErrUnavailable
		}
		return true, nil
	}
	x := newIntake(l)
	const tenants = 200
	for i := range tenants {
		one := load(3)
		one.Tenant = fmt.Sprintf("%03000d", i)
		_, err := x.Take(t.Context(), one)
		require.ErrorIs(t, err, broker.ErrUnavailable)
	}
	_, err := takeOnceWell(l, x)
	require.NoError(t, err)
	require.Equal(t, 3, l.receipts, "of 256 KiB")
	sum := uint64(0)
	for _, top := range l.recorded {
		sum += top[1]
	}
	require.EqualValues(t, 3*tenants+1, sum)
}

// TestASlowReceiptIsNoHang: the broker takes messages and swallows receipts.
func TestASlowReceiptIsNoHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := newIntake(&slowReceipts{newLedger(), time.Hour})
		begin := time.Now()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if _, err := x.Take(context.Background(), load(1)); !errors.Is(err, broker.ErrUnknownOutcome) {
					t.Errorf("got %v", err)
				}
			})
		}
		all.Wait()
		require.LessOrEqual(t, time.Since(begin), 13*time.Second)
	})
}

// TestADayHasLanesOfItsOwn: what a store forgets by the day is forgotten on both
// sides.
func TestADayHasLanesOfItsOwn(t *testing.T) {
	t.Parallel()
	publisher := &scripted{scripts: [][]error{{}}}
	x := newIntake(publisher)
	for _, at := range []time.Time{
		time.Date(2026, 11, 21, 23, 59, 59, 0, time.UTC), time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC),
		time.Date(2026, 11, 21, 23, 59, 59, 0, time.UTC),
	} {
		l := load(1)
		l.Time = at
		_, err := x.Take(t.Context(), l)
		require.NoError(t, err)
	}
	days, lanes := map[uint32]bool{}, map[uint32]uint32{}
	for _, r := range publisher.receipts {
		for _, a := range r.GetAccounts() {
			days[a.GetDay()] = true
			for _, l := range a.GetLanes() {
				if day, known := lanes[l.GetLane()]; known {
					require.Equal(t, day, a.GetDay())
				}
				lanes[l.GetLane()] = a.GetDay()
			}
		}
	}
	require.Len(t, days, 2)
	require.Len(t, lanes, 2)
}
