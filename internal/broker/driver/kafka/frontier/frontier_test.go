package frontier

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var start = time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)

// deliver gives a worker n messages from l.Next on.
func deliver(l *Lane, n int) []*Message {
	var out []*Message
	for range n {
		m := &Message{Offset: l.Next()}
		l.Deliver(m)
		out = append(out, m)
	}
	return out
}

// there says that the partition has every offset.
func there(int64) (uint64, bool) { return 0, true }

func TestFrontierWaitsForTheOldest(t *testing.T) {
	t.Parallel()
	l := New(10)
	ms := deliver(l, 4)
	l.Ack(ms[1])
	l.Ack(ms[3])
	at, s, acked := l.Snapshot()
	require.EqualValues(t, 10, at)
	require.Equal(t, []bool{false, true, false, true}, s.Settled)
	l.Committed(acked)
	l.Ack(ms[0])
	at, s, acked = l.Snapshot()
	require.EqualValues(t, 12, at)
	require.Equal(t, []bool{false, true}, s.Settled)
	l.Committed(acked)
	l.Ack(ms[2])
	at, s, _ = l.Snapshot()
	require.EqualValues(t, 14, at)
	require.Empty(t, s.Settled)
	require.False(t, l.Changed())
}

func TestWhatCouldNotBeCommittedIsHeldAgain(t *testing.T) {
	t.Parallel()
	l := New(0)
	m := deliver(l, 1)[0]
	l.Ack(m)
	_, _, acked := l.Snapshot()
	require.True(t, l.Unack(m), "the commit failed")
	require.EqualValues(t, 0, l.Frontier())
	l.Committed(acked) // and a late answer says that it did not
	require.EqualValues(t, 0, l.Frontier(), "what was taken back is not done")
	l.Ack(m)
	_, _, acked = l.Snapshot()
	l.Committed(acked)
	require.False(t, l.Unack(m), "what is committed can not be taken back")
	l.Return(m, start)
	first, _ := l.Due(start)
	require.Nil(t, first, "nor given back")
}

func TestReturnedComesAgainWhenDue(t *testing.T) {
	t.Parallel()
	l := New(0)
	ms := deliver(l, 3)
	l.Return(ms[2], start)
	l.Return(ms[0], start.Add(time.Second))
	first, next := l.Due(start)
	require.Same(t, ms[2], first)
	require.Equal(t, start.Add(time.Second), next)
	again, missing := l.Find(0, 3, start, there)
	require.Equal(t, []*Message{ms[2]}, again, "not before its time")
	require.Zero(t, missing)
	first, _ = l.Due(start.Add(time.Hour))
	require.Nil(t, first, "one lot after the other")
	l.Redeliver(ms[2])
	require.Equal(t, 2, ms[2].Attempt)
	first, _ = l.Due(start.Add(time.Hour))
	require.Same(t, ms[0], first)
	again, missing = l.Find(0, 3, start.Add(time.Hour), func(int64) (uint64, bool) { return 0, false })
	require.Empty(t, again)
	require.EqualValues(t, 1, missing, "retention took it")
	require.EqualValues(t, 1, l.Frontier(), "and it holds up nothing")
}

func TestWhatTheWorkerNeverSawIsNoAttempt(t *testing.T) {
	t.Parallel()
	l := New(0)
	m := deliver(l, 1)[0]
	l.Undeliver(m, start)
	require.Zero(t, m.Attempt)
	l.Find(0, 1, start, there)
	l.Lose(m)
	first, _ := l.Due(start)
	require.Same(t, m, first, "a copy that is lost is fetched again")
	l.Find(0, 1, start, there)
	l.Redeliver(m)
	require.Equal(t, 1, m.Attempt)
}

func TestOneKeyIsWithOneWorker(t *testing.T) {
	t.Parallel()
	l := New(0)
	a, b := &Message{Offset: 0, Key: 7}, &Message{Offset: 1, Key: 7}
	require.False(t, l.Busy(7))
	l.Deliver(a)
	l.Deliver(b)
	l.Return(b, start)
	require.True(t, l.Busy(7))
	l.Ack(a)
	require.True(t, l.Busy(7), "until it is committed")
	_, _, acked := l.Snapshot()
	l.Committed(acked)
	require.False(t, l.Busy(7))
	require.False(t, l.Busy(0), "no key is never busy")
}

func TestRestore(t *testing.T) {
	t.Parallel()
	l := New(100)
	ms := deliver(l, 5)
	l.Ack(ms[1])
	l.Ack(ms[2])
	l.Return(ms[3], start)
	l.Find(100, 105, start, there)
	l.Redeliver(ms[3])
	at, s, _ := l.Snapshot()
	require.Equal(t, map[int]int{3: 2}, s.Attempts)
	heir := Restore(at, s, start)
	require.EqualValues(t, 105, heir.Next())
	require.True(t, heir.Changed(), "that it has a new owner goes on record")
	again, missing := heir.Find(100, 105, start, there)
	require.Zero(t, missing)
	require.Len(t, again, 3, "the acknowledged ones do not come again")
	for _, m := range again {
		heir.Redeliver(m)
	}
	require.Equal(t, []int{2, 3, 2}, []int{again[0].Attempt, again[1].Attempt, again[2].Attempt})
}

func TestMoveToAnotherTopic(t *testing.T) {
	t.Parallel()
	l := New(500)
	ms := deliver(l, 3)
	ms[0].Key = 0
	l.Return(ms[1], start)
	require.EqualValues(t, 1, l.Move(0, true), "what workers have is not lost")
	require.EqualValues(t, 0, l.Frontier())
	l.Ack(ms[0])
	l.Return(ms[2], start)
	at, s, acked := l.Snapshot()
	require.EqualValues(t, 0, at)
	require.Empty(t, s.Settled)
	require.Empty(t, acked, "offsets of the old topic say nothing about the new one")
	first, _ := l.Due(start)
	require.Nil(t, first)
	require.Equal(t, 1, deliver(l, 1)[0].Attempt)
}

func TestSkip(t *testing.T) {
	t.Parallel()
	l := New(0)
	m := deliver(l, 1)[0]
	l.Skip(40)
	at, s, _ := l.Snapshot()
	require.Zero(t, at)
	require.Len(t, s.Settled, 40)
	require.Equal(t, []bool{false, true, true}, s.Settled[:3], "gaps are nobody's work")
	l.Ack(m)
	require.EqualValues(t, 40, l.Frontier())
	l.Skip(30)
	require.EqualValues(t, 40, l.Frontier(), "never back")
}

func TestRoom(t *testing.T) {
	t.Parallel()
	l := New(0)
	deliver(l, 1)
	require.True(t, l.Room(Span-1))
	require.False(t, l.Room(Span))
}

// Whatever workers, commits and crashes do in whatever order: what was committed
// as acknowledged never comes again, and all else does.
func TestNothingIsLostAndNothingDoneComesAgain(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		const n = 60
		l, now := New(0), start
		done := map[int64]bool{} // committed as acknowledged
		var with []*Message      // of workers
		var at int64             // what Kafka has
		text := ""
		commit := func() {
			offset, s, acked := l.Snapshot()
			for _, m := range acked {
				done[m.Offset] = true
			}
			l.Committed(acked)
			at, text = offset, s.Encode()
		}
		for l.Frontier() < n {
			now = now.Add(time.Second)
			pick := func() *Message { return with[r.IntN(len(with))] }
			switch r.IntN(7) {
			case 0:
				if l.Next() < n {
					require.False(t, done[l.Next()], "seed %d: %d was done", seed, l.Next())
					with = append(with, deliver(l, 1)...)
				}
			case 1:
				if m, _ := l.Due(now); m != nil {
					again, missing := l.Find(m.Offset, m.Offset+int64(r.IntN(8))+1, now, there)
					require.Zero(t, missing)
					for _, m := range again {
						require.False(t, done[m.Offset], "seed %d: %d was done", seed, m.Offset)
						l.Redeliver(m)
						with = append(with, m)
					}
				}
			case 2, 3:
				if len(with) > 0 {
					l.Ack(pick())
				}
			case 4:
				if len(with) > 0 {
					l.Return(pick(), now.Add(time.Duration(r.IntN(5))*time.Second))
				}
			case 5:
				commit()
			case 6: // the owner dies, and another takes over from what is committed
				if r.IntN(4) == 0 {
					s, err := Decode(text)
					require.NoError(t, err)
					l, with = Restore(at, s, now), nil
				}
			}
		}
		commit()
		require.Len(t, done, n, "seed %d", seed)
	}
}
