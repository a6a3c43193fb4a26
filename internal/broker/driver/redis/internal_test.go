package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url    string
		addrs  []string
		db     int
		secure bool
		err    string
	}{
		{url: "redis://127.0.0.1:6379", addrs: []string{"127.0.0.1:6379"}},
		{url: "redis://a:1,b:2,c/3", addrs: []string{"a:1", "b:2", "c:6379"}, db: 3},
		{url: "redis://a/", addrs: []string{"a:6379"}},
		{url: "rediss://a", addrs: []string{"a:6379"}, secure: true},
		{url: "redis://a?ca=/x", addrs: []string{"a:6379"}, secure: true},
		{url: "redis://[::1]:1", addrs: []string{"[::1]:1"}},
		{url: "redis://[::1]", addrs: []string{"[::1]:6379"}},
		{url: "redis://user:p%40ss@a:1,b:2", addrs: []string{"a:1", "b:2"}},
		{url: "redis+sentinel://u:p@a,b:1/mesh?db=2&wait=1", addrs: []string{"a:26379", "b:1"}, db: 2},
		{url: "rediss+sentinel://a/mesh", addrs: []string{"a:26379"}, secure: true},
		{url: "redis+cluster://a,b:1", addrs: []string{"a:6379", "b:1"}},
		{url: "redis+sentinel://a", err: "name of the primary"},
		{url: "redis+sentinel://a/mesh/0", err: "name of the primary"},
		{url: "redis+cluster://a/1", err: "one only"},
		{url: "redis+cluster://a?db=1", err: "one only"},
		{url: "redis+cluster://a?wait=1", err: "not with a cluster"},
		{url: "redis+ring://a", err: "unknown scheme redis+ring"},
		{url: "redis://a?wait=x", err: "wait"},
		{url: "redis://a?sentinel-password-file=/does/not/exist", err: "sentinel-password-file"},
		{url: "a:6379", err: "no scheme"},
		{url: "redis://", err: "bad host"},
		{url: "redis://a,,b", err: "bad host"},
		{url: "redis://user:s3cret", err: "bad host"},
		{url: "redis://user:s3cret^%zz@a", err: "bad user or password"},
		{url: "redis://user:s3cret/x@a", err: "bad user or password"},
		{url: "redis://a/x", err: "bad database"},
		{url: "redis://a/-1", err: "bad database"},
		{url: "redis://a?publish-timeout=-1s", err: "publish-timeout"},
		{url: "redis://a?prefix={x}", err: "prefix"},
		{url: "redis://a?nonsense=1", err: "nonsense: not known"},
		{url: "redis://a?password-file=/does/not/exist", err: "password-file"},
	} {
		got, err := parse(c.url)
		if c.err != "" {
			require.ErrorContains(t, err, c.err, c.url)
			require.NotContains(t, err.Error(), "s3cret")
			continue
		}
		require.NoError(t, err, c.url)
		require.Equal(t, c.addrs, got.addrs, c.url)
		require.Equal(t, c.db, got.db, c.url)
		require.Equal(t, c.secure, got.secure, c.url)
	}
	got, err := parse("redis://user:p%40ss@a?prefix=other&publish-timeout=2s")
	require.NoError(t, err)
	require.Equal(t, "user", got.user)
	require.Equal(t, "p@ss", got.password)
	require.Equal(t, "other", got.prefix)
	require.Equal(t, 2*time.Second, got.timeout)
	got, err = parse("redis://:only@a")
	require.NoError(t, err)
	require.Equal(t, "only", got.password)
}

// The primary is the one that all agree on; where two may be meant, none is.
func TestChoose(t *testing.T) {
	t.Parallel()
	writable := func(addr, id, from string) view {
		return view{primary: primary{addr: addr, id: id, from: from}, writable: true}
	}
	replica := func(addr, id string) view { return view{primary: primary{addr: addr, id: id}} }
	silent := view{err: errors.New("silent")}
	inUse := primary{addr: "a", id: "1"}
	for name, c := range map[string]struct {
		views []view
		last  primary
		want  string // "" for none
		err   string
	}{
		"one primary":                       {views: []view{writable("a", "1", ""), replica("b", "1")}, want: "a"},
		"the other is away":                 {views: []view{silent, writable("b", "2", "1")}, want: "b"},
		"none":                              {views: []view{silent, replica("b", "1")}, err: "none of the hosts"},
		"all away":                          {views: []view{silent, silent}, err: "silent"},
		"two":                               {views: []view{writable("a", "1", ""), writable("b", "2", "")}, err: "a and b all say"},
		"two, one promoted from the other":  {views: []view{writable("a", "1", ""), writable("b", "2", "1")}, want: "b"},
		"two, each from the other":          {views: []view{writable("a", "1", "2"), writable("b", "2", "1")}, err: "all say"},
		"two, one is followed":              {views: []view{writable("a", "1", ""), writable("b", "2", ""), replica("c", "2")}, want: "b"},
		"two, both are followed":            {views: []view{writable("a", "1", ""), replica("d", "1"), writable("b", "2", ""), replica("c", "2")}, err: "all say"},
		"promoted":                          {views: []view{silent, writable("b", "2", "1")}, last: inUse, want: "b"},
		"restarted":                         {views: []view{writable("a", "9", ""), silent}, last: inUse, want: "a"},
		"a stranger while one is away":      {views: []view{silent, writable("b", "2", "7")}, last: inUse, err: "does not go on where a was"},
		"a stranger, and everybody answers": {views: []view{replica("a", "2"), writable("b", "2", "7")}, last: inUse, want: "b"},
	} {
		got, err := choose(c.views, c.last)
		if c.err != "" {
			require.ErrorContains(t, err, c.err, name)
			require.ErrorIs(t, err, broker.ErrUnavailable, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, c.want, got.addr, name)
	}
}

// A topic that fills is looked at the sooner the less time is left.
func TestGuardsPace(t *testing.T) {
	t.Parallel()
	g := &guarded{}
	now := time.Now()
	for _, c := range []struct {
		bytes int64
		want  time.Duration
	}{
		{0, guardMax},                    // nothing grows
		{50, guardMax},                   // full in 1.9 s
		{300, 70 * time.Millisecond},     // full in 280 ms
		{900, guardTick},                 // full in 17 ms
		{1100, guardMax},                 // too late
		{900, guardMax}, {800, guardMax}, // it is worked off
	} {
		now = now.Add(100 * time.Millisecond)
		g.pace(now, c.bytes, 1000)
		require.Equal(t, c.want, g.every, "%d bytes", c.bytes)
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("redis://user:pass@a:1,b/3?prefix=x")
	f.Add("rediss://[::1]?ca=x&cert=y")
	f.Fuzz(func(t *testing.T, raw string) {
		if got, err := parse(raw); err == nil {
			require.NotEmpty(t, got.addrs)
		}
	})
}

// Close loses the leases that there are. A batch that Receive has ready at that
// very moment must not get one after it: nobody would take it back.
func TestNothingIsLeasedOnceClosed(t *testing.T) {
	t.Parallel()
	k := newConsumer(nil, broker.ConsumerConfig{Topic: "spans", Group: "g", MaxInFlight: 1})
	k.group.ackWait = time.Minute
	es := []entry{{id: "1-0", since: time.Now()}, {id: "2-0", since: time.Now()}}
	k.carry = []entry{{id: "3-0", since: time.Now()}}
	k.close()
	require.Nil(t, k.lease(es))
	require.Empty(t, k.leases)
	require.Len(t, k.carry, 3, "to be given back")
	_, err := k.Receive(t.Context())
	require.ErrorIs(t, err, broker.ErrClosed)
}

func TestEntryID(t *testing.T) {
	t.Parallel()
	ascending := []string{"0-0", "0-1", "4-18446744073709551615", "5-0", "5-3", "18446744073709551615-0"}
	for i, s := range ascending {
		id, err := parseID(s)
		require.NoError(t, err)
		for j, o := range ascending {
			other, err := parseID(o)
			require.NoError(t, err)
			require.Equal(t, i < j, id.less(other), "%s < %s", s, o)
		}
	}
	id, err := parseID("7")
	require.NoError(t, err)
	require.Equal(t, entryID{ms: 7}, id)
	for _, bad := range []string{"", "-", "x-1", "1-x", "1-1-1"} {
		_, err := parseID(bad)
		require.Error(t, err, bad)
	}
	require.Equal(t, 2262, entryID{ms: math.MaxUint64}.time().UTC().Year())
}

func TestClassify(t *testing.T) {
	t.Parallel()
	reply := func(s string) error { return replyError(s) }
	for _, c := range []struct {
		err    error
		class  error
		breaks bool
		unsent bool
	}{
		{reply("NOAUTH Authentication required."), broker.ErrDenied, true, true},
		{reply("WRONGPASS invalid"), broker.ErrDenied, true, true},
		{reply("NOPERM this user"), broker.ErrDenied, false, true},
		{reply("ERR The user executing the script can't run this command or subcommand script: x"), broker.ErrDenied, false, true},
		{reply("OOM command not allowed when used memory > 'maxmemory'."), broker.ErrBackpressure, false, true},
		{reply("ERR The stream has exhausted the last possible ID, unable to add more items"), connect.ErrFull, false, true},
		{reply("LOADING Redis is loading the dataset in memory"), broker.ErrUnavailable, true, true},
		{reply("READONLY You can't write against a read only replica."), broker.ErrUnavailable, true, true},
		{reply("MISCONF Errors writing to the AOF file"), broker.ErrUnavailable, false, true},
		{reply("NOREPLICAS Not enough good replicas to write."), broker.ErrUnavailable, false, true},
		{reply("NOGROUP No such key"), broker.ErrNoGroup, false, true},
		{reply("WRONGTYPE Operation against a key"), broker.ErrUnroutable, false, true},
		{reply("ERR no such key script: x"), broker.ErrUnroutable, false, true},
		{reply("UNBLOCKED the stream key no longer exists"), broker.ErrUnroutable, false, true},
		{reply("CLUSTERDOWN The cluster is down"), broker.ErrUnavailable, true, true},
		{dialError{errors.New("refused")}, broker.ErrUnavailable, true, true},
		{dialError{&tls.CertificateVerificationError{Err: errors.New("x")}}, broker.ErrDenied, true, true},
		{goredis.ErrPoolTimeout, broker.ErrUnavailable, false, true},
		{goredis.ErrClosed, broker.ErrClosed, true, true},
		{io.EOF, broker.ErrUnavailable, true, false},
		{context.Canceled, broker.ErrUnavailable, false, false},
		{context.DeadlineExceeded, broker.ErrUnavailable, true, false},
		{broker.ErrLeaseLost, broker.ErrLeaseLost, true, false},
	} {
		require.ErrorIs(t, classify(c.err), c.class, "%v", c.err)
		require.Equal(t, c.breaks, breaks(c.err), "%v", c.err)
		require.Equal(t, c.unsent, unsent(c.err), "%v", c.err)
	}
	require.NoError(t, classify(nil))
	require.ErrorIs(t, outcome(io.EOF, "t"), broker.ErrUnknownOutcome)
	require.ErrorIs(t, outcome(goredis.Nil, "t"), broker.ErrUnroutable)
}

// replyError is an error that a server answered.
type replyError string

func (e replyError) Error() string { return string(e) }
func (replyError) RedisError()     {}

func TestDecode(t *testing.T) {
	t.Parallel()
	es := entries([]any{
		[]any{"1700000000000-1", []any{
			"v", "value", "k", "", "i", "id", "t", "1600000000000000000", "other", "x",
			"h:Upper", "from foreign", "h:upper", "exact", "h:bad key", "dropped", "h:text", "a\nb\xff", "h:raw-bin", "\x00\xff", "odd",
		}},
		[]any{"1700000000001-0", []any{"h:driftmesh-time", "1650000000000000000", "i", " spaced "}, int64(3)},
		[]any{"1-1", nil}, []any{"1"}, "nonsense",
	}, time.Time{})
	require.Len(t, es, 3)
	var d broker.Delivery
	es[0].delivery("spans", &d)
	require.Equal(t, "value", string(d.Value))
	require.Equal(t, []byte{}, d.Key)
	require.Equal(t, "id", d.ID)
	require.Equal(t, 1, d.Attempt)
	require.Equal(t, "1700000000000-1", d.Position)
	require.True(t, time.Unix(1600000000, 0).Equal(d.Time))
	require.Equal(t, "exact", d.Header("upper"))
	require.Equal(t, "a b\uFFFD", d.Header("text"))
	require.Equal(t, "\x00\xff", d.Header("raw-bin"))
	require.Len(t, d.Headers, 3)
	require.NoError(t, broker.ValidMessage(&d.Message, 0))

	d = broker.Delivery{}
	es[1].delivery("spans", &d)
	require.True(t, time.Unix(1650000000, 0).Equal(d.Time), "the header's time wins")
	require.Equal(t, 3, d.Attempt)
	require.Nil(t, d.Key)
	require.NotNil(t, d.Value)
	require.Empty(t, d.ID, "an id that nobody may publish")

	require.Empty(t, streamed(nil, time.Time{}))
	require.Empty(t, streamed([]any{"x"}, time.Time{}))
	require.Empty(t, streamed([]any{[]any{"x"}}, time.Time{}))
}

// Whatever is in an entry, what comes out can be published again.
func FuzzDecode(f *testing.F) {
	f.Add("1-1", "v", "value", "h:Some-Header", "x")
	f.Add("", "i", "a\nb", "h:\xff", "\x00")
	f.Add("x", "t", "99999999999999999999", "k", "")
	f.Fuzz(func(t *testing.T, id, n1, v1, n2, v2 string) {
		e := entry{id: id, fields: []any{n1, v1, n2, v2}}
		var d broker.Delivery
		e.delivery("spans", &d)
		require.NoError(t, broker.ValidMessage(&d.Message, 0))
		args := encode(&d.Message, "s")
		var again broker.Delivery
		back := entry{id: id}
		for _, a := range args[4:] {
			switch a := a.(type) {
			case string:
				back.fields = append(back.fields, a)
			case []byte:
				back.fields = append(back.fields, string(a))
			}
		}
		back.delivery("spans", &again)
		require.Equal(t, d.Message, again.Message)
	})
}
