package deadletter_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	deadletterv1 "github.com/driftmesh/driftmesh/proto/driftmesh/deadletter/v1"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/deadletter"
)

// The whole way, on a broker that drops what it has seen within two minutes:
// parked, listed, shown, redriven into a worker that is still broken, parked
// again, redriven and done. Twice is once.
func TestParkShowRedrive(t *testing.T) {
	t.Parallel()
	for name, open := range drivers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, open(t))
			m := message("acme", []byte("value"))
			m.Key = []byte{0, 1, 0xff}
			m.Headers = append(m.Headers,
				broker.Header{Key: "x-raw-bin", Value: []byte{0, 0xff}}, broker.Header{Key: "x-text", Value: []byte("grün\t")})
			w.setBroken(errBroken)
			w.publish(m)
			letter := w.parked("acme", 1)[0]
			require.Equal(t, "spans", letter.GetTopic())
			require.Equal(t, "not_today", letter.GetReason())
			require.Equal(t, errBroken.Error(), letter.GetError())
			require.Equal(t, event.GroupTraceStore, letter.GetGroup())
			require.Equal(t, "worker", letter.GetWorker())
			require.Equal(t, m.ID, letter.GetMessageId())
			require.Equal(t, event.TypeTraces, letter.GetType())
			require.Equal(t, []uint64{3, 5}, []uint64{letter.GetCount(), letter.GetValueBytes()})
			require.Equal(t, []uint32{1, 0}, []uint32{letter.GetAttempts(), letter.GetRedrives()})
			require.WithinDuration(t, m.Time, letter.GetFirstSeenTime().AsTime(), 0)
			require.WithinDuration(t, time.Now(), letter.GetDeadTime().AsTime(), patience)
			require.Nil(t, letter.GetRedriveTime())

			shown, err := w.GetDeadLetter(as("acme"), &deadletterv1.GetDeadLetterRequest{Id: letter.GetId()})
			require.NoError(t, err)
			require.Equal(t, m.Value, shown.GetValue())
			require.Equal(t, m.Key, shown.GetKey())
			headers := map[string]string{}
			for _, h := range shown.GetHeaders() {
				headers[h.GetKey()] = h.GetValue()
			}
			require.Equal(t, "AP8=", headers["x-raw-bin"])
			require.Equal(t, "grün\t", headers["x-text"])
			require.Equal(t, "gw:1", headers[event.HeaderSeq])
			require.Len(t, headers, len(m.Headers), "nothing of the parking")
			require.Contains(t, shown.GetPreviewNote(), "not otlp.traces.v1")

			// Still broken: it comes back, as the same letter.
			require.Equal(t, []string{"REDRIVEN"}, w.redrive("acme", letter.GetId()))
			var again *deadletterv1.DeadLetter
			require.Eventually(t, func() bool {
				all := w.list("acme", &deadletterv1.ListDeadLettersRequest{})
				if len(all) == 1 && all[0].GetRedrives() == 1 {
					again = all[0]
				}
				return again != nil
			}, patience, tick)
			require.Equal(t, letter.GetId(), again.GetId())
			require.Equal(t, m.ID, again.GetMessageId())
			require.Equal(t, "user:acme/ann", again.GetRedrivenBy())

			w.setBroken(nil)
			require.Equal(t, []string{"REDRIVEN", "REDRIVEN"}, w.redrive("acme", letter.GetId(), letter.GetId()), "the same letter named twice")
			require.Eventually(t, func() bool { return len(w.taken("acme")) == 1 }, patience, tick)
			require.Equal(t, []string{m.ID}, w.taken("acme"), "the ledger knows it by its first id")
			require.Equal(t, []string{"ALREADY_REDRIVEN"}, w.redrive("acme", letter.GetId()))
			w.settled(event.Spans, event.GroupTraceStore)
			w.settled(broker.DLQ(event.Spans), event.GroupDeadLetters)
			require.Len(t, w.taken("acme"), 1)
			require.Empty(t, w.list("acme", &deadletterv1.ListDeadLettersRequest{}))
			done := w.list("acme", &deadletterv1.ListDeadLettersRequest{States: []deadletterv1.DeadLetterState{deadletterv1.DeadLetterState_DEAD_LETTER_STATE_REDRIVEN}})
			require.Len(t, done, 1)
			require.Equal(t, uint32(2), done[0].GetRedrives())
			require.WithinDuration(t, time.Now(), done[0].GetRedriveTime().AsTime(), patience)
		})
	}
}

// Of a message that did not fit into its DLQ the head is kept: it is shown for
// what it is, and never redriven.
func TestStandInsAreShownAndStay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, drivers["memory"](t))
	m := message("acme", bytes.Repeat([]byte("x"), 5000))
	whole := runner.Parked(&broker.Delivery{Message: m}, runner.Park{Reason: runner.ReasonTooLarge, Err: errBroken, Group: event.GroupTraceStore})
	w.publish(runner.StandIn(&whole, 4096), runner.Parked(&broker.Delivery{Message: message("acme", []byte("fits"))}, runner.Park{Reason: runner.ReasonTooLarge}))
	letters := w.parked("acme", 2)
	cut, fits := letters[0], letters[1]
	if cut.GetValueBytes() < fits.GetValueBytes() {
		cut, fits = fits, cut
	}
	require.EqualValues(t, 5000, cut.GetValueBytes(), "the size it had")
	require.Contains(t, cut.GetError(), "only a part of it is kept")
	require.Contains(t, cut.GetError(), errBroken.Error())
	shown, err := w.GetDeadLetter(as("acme"), &deadletterv1.GetDeadLetterRequest{Id: cut.GetId()})
	require.NoError(t, err)
	require.Less(t, len(shown.GetValue()), 4096)
	require.True(t, bytes.HasPrefix(m.Value, shown.GetValue()))
	require.Contains(t, shown.GetPreviewNote(), "only a part")

	require.Equal(t, []string{"REFUSED"}, w.redrive("acme", cut.GetId()))
	resp, err := w.RedriveDeadLetters(as("acme"), &deadletterv1.RedriveDeadLettersRequest{
		Filter: &deadletterv1.DeadLetterFilter{Reason: string(runner.ReasonTooLarge)}, Limit: 1,
	})
	require.NoError(t, err)
	require.Len(t, resp.GetResults(), 1)
	require.Equal(t, fits.GetId(), resp.GetResults()[0].GetId(), "it does not stand in the way of others")
	require.False(t, resp.GetMore())
	require.Len(t, w.list("acme", &deadletterv1.ListDeadLettersRequest{}), 1, "it stays")
}

// What comes back from a redrive is the message that was sent, but for its id.
func TestRedrivenMessageIsTheOneThatWas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, drivers["memory"](t))
	tail, err := w.broker.Tail(t.Context(), event.Spans)
	require.NoError(t, err)
	defer tail.Close()
	m := message("acme", []byte("value"))
	m.Key = []byte("k")
	w.setBroken(errBroken)
	w.publish(m)
	first, err := tail.Next(t.Context())
	require.NoError(t, err)
	w.redrive("acme", w.parked("acme", 1)[0].GetId())
	second, err := tail.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, first.Value, second.Value)
	require.Equal(t, first.Key, second.Key)
	require.True(t, first.Time.Equal(second.Time))
	require.NotEqual(t, first.ID, second.ID)
	require.Equal(t, m.ID, second.Header(event.HeaderOrigin))
	require.Equal(t, "1", second.Header(event.HeaderRedriven))
	require.Len(t, second.Headers, len(first.Headers)+2)
	for _, h := range first.Headers {
		require.Equal(t, string(h.Value), second.Header(h.Key))
	}
}

// A packed message is kept and redriven as it was before; one that cannot be
// unpacked as it came, or nobody could see what is wrong with it.
func TestPackedMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, drivers["memory"](t))
	value := bytes.Repeat([]byte("value"), 1000)
	good, bad := message("good", value), message("bad", []byte("torn"))
	bad.Headers = append(bad.Headers, broker.Header{Key: event.HeaderEncoding, Value: []byte("snappy")})
	envelope.Pack(&good, make([]byte, envelope.PackRoom(len(value))))
	w.setBroken(errBroken)
	w.publish(good, bad)
	for tenant, want := range map[string]struct{ value, encoding string }{"good": {string(value), ""}, "bad": {"torn", "snappy"}} {
		letter := w.parked(tenant, 1)[0]
		shown, err := w.GetDeadLetter(as(tenant), &deadletterv1.GetDeadLetterRequest{Id: letter.GetId()})
		require.NoError(t, err)
		require.Equal(t, want.value, string(shown.GetValue()))
		tail, err := w.broker.Tail(t.Context(), event.Spans)
		require.NoError(t, err)
		defer tail.Close()
		w.redrive(tenant, letter.GetId())
		again, err := tail.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, want.value, string(again.Value))
		require.Equal(t, want.encoding, again.Header(event.HeaderEncoding))
	}
}

func TestTenantsAreApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, drivers["memory"](t))
	w.setBroken(errBroken)
	nobody := message("", []byte("n"))
	odd := message("No Tenant!", []byte("o"))
	w.publish(message("red", []byte("r")), message("blue", []byte("b")), nobody, odd)
	red, blue := w.parked("red", 1)[0], w.parked("blue", 1)[0]
	require.NotEqual(t, red.GetId(), blue.GetId())
	_, err := w.GetDeadLetter(as("blue"), &deadletterv1.GetDeadLetterRequest{Id: red.GetId()})
	require.ErrorIs(t, err, fault.NotFound)
	require.Equal(t, []string{"NOT_FOUND", "REDRIVEN"}, w.redrive("blue", red.GetId(), blue.GetId()))
	require.Equal(t, uint32(0), w.parked("red", 1)[0].GetRedrives())
	// What belongs to no tenant is for the administrators of the mesh.
	require.Len(t, w.parked("driftmesh", 2), 2)

	_, err = w.ListDeadLetters(t.Context(), &deadletterv1.ListDeadLettersRequest{})
	require.ErrorIs(t, err, fault.Unauthenticated)
	_, err = w.GetDeadLetter(t.Context(), &deadletterv1.GetDeadLetterRequest{Id: red.GetId()})
	require.ErrorIs(t, err, fault.Unauthenticated)
	_, err = w.RedriveDeadLetters(t.Context(), &deadletterv1.RedriveDeadLettersRequest{Ids: []string{red.GetId()}})
	require.ErrorIs(t, err, fault.Unauthenticated)
}

func TestPagesAndFilters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, drivers["memory"](t))
	// Letters straight on the DLQs, many in the same nanosecond.
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	var msgs []broker.Message
	for i := range 57 {
		topic, reason := event.Spans, runner.ReasonDecode
		if i%3 == 0 {
			topic = event.Records
		}
		if i%2 == 0 {
			reason = `odd 'reason' \ with	tab`
		}
		m := message("acme", fmt.Appendf(nil, "%d", i))
		m.Topic = topic
		msgs = append(msgs, runner.Parked(&broker.Delivery{Message: m, Position: fmt.Sprint(i)}, runner.Park{
			Reason: reason, Attempts: 1, Group: "g", At: at.Add(time.Duration(i/5) * time.Minute),
		}))
	}
	rand.Shuffle(len(msgs), func(i, j int) { msgs[i], msgs[j] = msgs[j], msgs[i] })
	w.publish(msgs...)
	all := w.parked("acme", 57)
	require.True(t, slices.IsSortedFunc(all, func(a, b *deadletterv1.DeadLetter) int {
		if c := b.GetDeadTime().AsTime().Compare(a.GetDeadTime().AsTime()); c != 0 {
			return c
		}
		return strings.Compare(b.GetId(), a.GetId())
	}))
	for _, size := range []uint32{1, 10, 19, 57, 100} {
		var pages []*deadletterv1.DeadLetter
		for token := ""; ; {
			resp, err := w.ListDeadLetters(as("acme"), &deadletterv1.ListDeadLettersRequest{PageSize: size, PageToken: token})
			require.NoError(t, err)
			require.LessOrEqual(t, len(resp.GetDeadLetters()), int(size))
			pages = append(pages, resp.GetDeadLetters()...)
			if token = resp.GetNextPageToken(); token == "" {
				break
			}
		}
		require.Equal(t, ids(all), ids(pages), size)
	}
	count := func(req *deadletterv1.ListDeadLettersRequest) int {
		req.PageSize = 1000
		return len(w.list("acme", req))
	}
	require.Len(t, w.list("acme", &deadletterv1.ListDeadLettersRequest{}), 50, "the default page")
	require.Equal(t, 19, count(&deadletterv1.ListDeadLettersRequest{Topic: "records"}))
	require.Equal(t, 19, count(&deadletterv1.ListDeadLettersRequest{Topic: "records.dlq"}))
	require.Equal(t, 28, count(&deadletterv1.ListDeadLettersRequest{Reason: "decode"}))
	require.Equal(t, 29, count(&deadletterv1.ListDeadLettersRequest{Reason: `odd 'reason' \ with	tab`}))
	require.Equal(t, 57-10, count(&deadletterv1.ListDeadLettersRequest{StartTime: timestamppb.New(at.Add(2 * time.Minute))}))
	require.Equal(t, 10, count(&deadletterv1.ListDeadLettersRequest{EndTime: timestamppb.New(at.Add(2 * time.Minute))}))
	require.Zero(t, count(&deadletterv1.ListDeadLettersRequest{Topic: "nothing"}))

	// By a filter, the first parked first, as many as one wants.
	filter := &deadletterv1.DeadLetterFilter{Topic: "spans", Reason: "decode"}
	resp, err := w.RedriveDeadLetters(as("acme"), &deadletterv1.RedriveDeadLettersRequest{Filter: filter, Limit: 15})
	require.NoError(t, err)
	require.True(t, resp.GetMore())
	require.Equal(t, slices.Repeat([]string{"REDRIVEN"}, 15), outcomes(resp))
	resp, err = w.RedriveDeadLetters(as("acme"), &deadletterv1.RedriveDeadLettersRequest{Filter: filter, Limit: 15})
	require.NoError(t, err)
	require.False(t, resp.GetMore())
	require.Len(t, outcomes(resp), 4)
	require.Eventually(t, func() bool { return len(w.taken("acme")) == 19 }, patience, tick)
	require.Len(t, w.parked("acme", 57-19), 57-19)
	both := []deadletterv1.DeadLetterState{deadletterv1.DeadLetterState_DEAD_LETTER_STATE_PARKED, deadletterv1.DeadLetterState_DEAD_LETTER_STATE_REDRIVEN}
	require.Equal(t, 57, count(&deadletterv1.ListDeadLettersRequest{States: both}))
	require.Equal(t, 19, count(&deadletterv1.ListDeadLettersRequest{States: both[1:]}))
}

func ids(letters []*deadletterv1.DeadLetter) []string {
	var out []string
	for _, l := range letters {
		out = append(out, l.GetId())
	}
	return out
}

func TestWhatIsAskedWrongly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, drivers["memory"](t))
	unknown := strings.Repeat("0", 32)
	for name, call := range map[string]func() error{
		"token": func() error {
			_, err := w.ListDeadLetters(as("acme"), &deadletterv1.ListDeadLettersRequest{PageToken: "xx"})
			return err
		},
		"state": func() error {
			_, err := w.ListDeadLetters(as("acme"), &deadletterv1.ListDeadLettersRequest{States: []deadletterv1.DeadLetterState{7}})
			return err
		},
		"time": func() error {
			_, err := w.ListDeadLetters(as("acme"), &deadletterv1.ListDeadLettersRequest{StartTime: &timestamppb.Timestamp{Nanos: -1}})
			return err
		},
		"id": func() error {
			_, err := w.GetDeadLetter(as("acme"), &deadletterv1.GetDeadLetterRequest{Id: "x"})
			return err
		},
		"no letters": func() error {
			_, err := w.RedriveDeadLetters(as("acme"), &deadletterv1.RedriveDeadLettersRequest{})
			return err
		},
		"everything": func() error {
			_, err := w.RedriveDeadLetters(as("acme"), &deadletterv1.RedriveDeadLettersRequest{Filter: &deadletterv1.DeadLetterFilter{}})
			return err
		},
		"both": func() error {
			_, err := w.RedriveDeadLetters(as("acme"), &deadletterv1.RedriveDeadLettersRequest{Ids: []string{unknown}, Filter: &deadletterv1.DeadLetterFilter{Topic: "spans"}})
			return err
		},
		"too many": func() error {
			_, err := w.RedriveDeadLetters(as("acme"), &deadletterv1.RedriveDeadLettersRequest{Ids: slices.Repeat([]string{unknown}, 1001)})
			return err
		},
	} {
		require.ErrorIs(t, call(), fault.Invalid, name)
		require.NotEmpty(t, fault.Of(call()).Reason(), name)
	}
	_, err := w.GetDeadLetter(as("acme"), &deadletterv1.GetDeadLetterRequest{Id: unknown})
	require.ErrorIs(t, err, fault.NotFound)
	require.Equal(t, []string{"NOT_FOUND"}, w.redrive("acme", unknown))
}

// The largest message that the broker takes is parked whole, with room for the
// reason, shown whole and redriven; one that leaves no room for the redrive's
// own headers is refused by name, and stays.
func TestOversizedValues(t *testing.T) {
	t.Parallel()
	for name, open := range drivers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, open(t))
			limit := w.broker.Capabilities().MaxMessageBytes
			large := message("acme", nil)
			large.Value = bytes.Repeat([]byte{0xa5}, limit-large.Size()-4<<10) // what the door leaves to headers
			full := message("acme", nil)
			full.Value = bytes.Repeat([]byte{0x5a}, limit-full.Size())
			w.setBroken(errors.New(strings.Repeat("much to say ", 200)))
			w.publish(large, full)
			for _, l := range w.parked("acme", 2) {
				shown, err := w.GetDeadLetter(as("acme"), &deadletterv1.GetDeadLetterRequest{Id: l.GetId()})
				require.NoError(t, err)
				require.Empty(t, shown.GetPreview())
				require.Contains(t, shown.GetPreviewNote(), "too many for a preview")
				if l.GetMessageId() == large.ID {
					require.True(t, bytes.Equal(large.Value, shown.GetValue()))
					w.setBroken(nil)
					require.Equal(t, []string{"REDRIVEN"}, w.redrive("acme", l.GetId()))
					continue
				}
				resp, err := w.RedriveDeadLetters(as("acme"), &deadletterv1.RedriveDeadLettersRequest{Ids: []string{l.GetId()}})
				require.NoError(t, err)
				require.Equal(t, []string{"REFUSED"}, outcomes(resp))
				require.Contains(t, resp.GetResults()[0].GetMessage(), "too large")
			}
			require.Eventually(t, func() bool { return len(w.taken("acme")) == 1 }, patience, tick)
			require.Equal(t, full.ID, w.parked("acme", 1)[0].GetMessageId())
		})
	}
}

// Everybody presses the button at once: the letter is done once.
func TestRedrivenByManyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, drivers["nats"](t))
	w.setBroken(errBroken)
	m := message("acme", []byte("v"))
	w.publish(m)
	id := w.parked("acme", 1)[0].GetId()
	w.setBroken(nil)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { w.redrive("acme", id) })
	}
	all.Wait()
	require.Eventually(t, func() bool { return len(w.taken("acme")) > 0 }, patience, tick)
	w.settled(event.Spans, event.GroupTraceStore)
	require.Equal(t, []string{m.ID}, w.taken("acme"), "one id, which the broker delivers once")
}

// A letter that the store refuses holds nobody up, and is there when the store
// takes it; a store that is away is waited for.
func TestLettersWaitForTheStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, drivers["memory"](t))
	require.NoError(t, w.db.Exec(t.Context(), "ALTER TABLE dead_letters ADD CONSTRAINT no_poison CHECK Value != 'poison'"))
	w.setBroken(errBroken)
	w.publish(message("acme", []byte("one")), message("acme", []byte("poison")), message("acme", []byte("two")))
	w.parked("acme", 2)
	dlq := broker.DLQ(event.Spans)
	lag, err := w.broker.Admin().Lag(t.Context(), dlq, event.GroupDeadLetters)
	require.NoError(t, err)
	require.Equal(t, int64(1), lag.Total(), "it is on the DLQ still")

	require.NoError(t, w.db.Exec(t.Context(), "RENAME TABLE dead_letters TO away"))
	w.publish(message("acme", []byte("three")))
	require.Eventually(t, func() bool {
		lag, err := w.broker.Admin().Lag(t.Context(), dlq, event.GroupDeadLetters)
		return err == nil && lag.Total() == 2
	}, patience, tick)
	require.NoError(t, w.db.Exec(t.Context(), "RENAME TABLE away TO dead_letters"))
	w.parked("acme", 3)
}

// A copy of a letter that is delivered again, after it was redriven, does not
// bring it back; the same message sent and parked anew does.
func TestOldCopiesChangeNothing(t *testing.T) {
	t.Parallel()
	server := memory.NewServer()
	w := newWorld(t, server.Open(memory.Options{}))
	w.setBroken(errBroken)
	m := message("acme", []byte("v"))
	w.publish(m)
	letter := w.parked("acme", 1)[0]
	w.setBroken(nil)
	require.Equal(t, []string{"REDRIVEN"}, w.redrive("acme", letter.GetId()))
	dlq := broker.DLQ(event.Spans)
	require.NoError(t, server.Replay(dlq, event.GroupDeadLetters))
	w.settled(dlq, event.GroupDeadLetters)
	require.Empty(t, w.list("acme", &deadletterv1.ListDeadLettersRequest{}))

	anew := runner.Parked(&broker.Delivery{Message: m, Position: "9"}, runner.Park{
		Reason: runner.ReasonDecode, Group: event.GroupTraceStore, At: time.Now().Add(time.Minute),
	})
	require.Eventually(t, func() bool { // until the broker has forgotten the id
		w.publish(anew)
		return len(w.list("acme", &deadletterv1.ListDeadLettersRequest{})) == 1
	}, patience, broker.DLQDedupe)
	back := w.parked("acme", 1)[0]
	require.Equal(t, letter.GetId(), back.GetId())
	require.Equal(t, "decode", back.GetReason())
}

func TestCredentialsAreNotShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, drivers["memory"](t))
	m := message("acme", []byte(`{"resourceSpans":[]}`))
	m.Topic = broker.DLQ(event.Inbox)
	m.Headers = append(m.Headers[:1:1], // the tenant alone
		broker.Header{Key: "authorization", Value: []byte("Bearer hush")}, broker.Header{Key: "x-api-key", Value: []byte("hush")},
		broker.Header{Key: event.HeaderSeal, Value: []byte("hush")})
	w.publish(m)
	shown, err := w.GetDeadLetter(as("acme"), &deadletterv1.GetDeadLetterRequest{Id: w.parked("acme", 1)[0].GetId()})
	require.NoError(t, err)
	require.NotContains(t, shown.String(), "hush")
	require.JSONEq(t, `{"resourceSpans":[]}`, shown.GetPreview())
}

func TestRetention(t *testing.T) {
	t.Parallel()
	db := clickhousetest.Open(t)
	s := deadletter.NewStore(db)
	require.NoError(t, s.Migrate(t.Context(), 48*time.Hour))
	ttl := func(table string) (engine string) {
		require.NoError(t, db.QueryRow(t.Context(), "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = '"+table+"'").Scan(&engine))
		return engine
	}
	require.Contains(t, ttl("dead_letters"), "TTL toDateTime(DeadAt) + toIntervalSecond(172800)")
	require.Contains(t, ttl("dead_letter_redrives"), "TTL toDateTime(RedrivenAt) + toIntervalSecond(345600)", "marks outlive their letters")
	require.NoError(t, s.Migrate(t.Context(), 0))
	require.NotContains(t, ttl("dead_letters")+ttl("dead_letter_redrives"), " TTL ")
}
