package brokertest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
)

func groupCases() []testCase {
	return []testCase{
		{name: "SecondMemberJoins", run: secondMemberJoins},
		{name: "MemberLeavesGracefully", run: memberLeavesGracefully},
		{name: "ScaleBeyondLanes", run: scaleBeyondLanes},
		{name: "KeyOrder", slow: true, run: keyOrder},
		{name: "TwoGroups", run: twoGroups},
		{name: "GroupBeforePublish", run: groupBeforePublish},
		{name: "GroupLate", run: groupLate},
		{name: "Forget", slow: true, run: forget},
	}
}

// load publishes until it is told to stop, and then says how many.
func (e *env) load() (stop func() int) {
	done, ended := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-done:
				ended <- n
				return
			default:
			}
			msgs := make([]broker.Message, 20)
			for i := range msgs {
				v := fmt.Sprint("load", n+i)
				msgs[i] = broker.Message{Topic: e.topic, Value: []byte(v), ID: v}
			}
			if err := e.pub.Publish(e.ctx, msgs); err != nil {
				e.Errorf("publish under load: %v", err)
			}
			n += len(msgs)
			time.Sleep(2 * time.Millisecond) // steady load, not a flood
		}
	}()
	return func() int {
		close(done)
		return <-ended
	}
}

// member works the group until stopped.
func (e *env) member(all *tally) (own *tally, stop func() error) {
	own = &tally{}
	return own, e.runner(runner.Config{
		Broker:   e.dial(),
		Consumer: broker.ConsumerConfig{MaxMessages: 20, Linger: 10 * time.Millisecond},
		Handler: func(_ context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
			own.add(ds...)
			all.add(ds...)
			return nil, nil
		},
	})
}

func secondMemberJoins(e *env) {
	e.provision(broker.TopicSpec{})
	var all tally
	first, _ := e.member(&all)
	stop := e.load()
	require.True(e, within(5*time.Second, func() bool { return first.len() > 50 }))
	second, _ := e.member(&all)
	at := first.len()
	require.True(e, within(10*time.Second, func() bool { return second.len() > 50 && first.len() > at+50 }), "both make progress")
	n := stop()
	require.True(e, within(10*time.Second, func() bool { return all.len() == n }), "%d of %d came", all.len(), n)
	e.lag(0, 0)
	dup := 0
	for _, c := range all.count {
		dup += c - 1
	}
	require.Zero(e, dup, "duplicates")
}

func memberLeavesGracefully(e *env) {
	e.provision(broker.TopicSpec{})
	var all tally
	_, leave := e.member(&all)
	second, _ := e.member(&all)
	stop := e.load()
	require.True(e, within(5*time.Second, func() bool { return all.len() > 200 }))
	require.NoError(e, leave())
	at := second.len()
	require.True(e, within(5*time.Second, func() bool { return second.len() > at+100 }), "the other takes over")
	n := stop()
	require.True(e, within(5*time.Second, func() bool { return all.len() == n }), "%d of %d came", all.len(), n)
	e.lag(0, 0)
	for v, c := range all.count {
		require.Equal(e, 1, c, "message %q", v)
	}
}

func scaleBeyondLanes(e *env) {
	e.provision(broker.TopicSpec{})
	const workers = 12
	var all tally
	var stops []func() error
	for range workers {
		_, stop := e.member(&all)
		stops = append(stops, stop)
	}
	e.publish(e.messages("a", 100)...)
	require.True(e, within(10*time.Second, func() bool { return all.len() == 100 }))
	for _, stop := range stops[:workers-1] {
		require.NoError(e, stop())
	}
	e.publish(e.messages("b", 100)...)
	require.True(e, within(10*time.Second, func() bool { return all.len() == 200 }), "the last one does it all")
}

func keyOrder(e *env) {
	require.True(e, e.b.Capabilities().Ordered, "the broker orders by key")
	e.provision(broker.TopicSpec{})
	var all tally
	last := make([]atomic.Int64, 100)
	var wrong atomic.Int64
	for range 2 {
		e.runner(runner.Config{
			Broker:   e.dial(),
			Consumer: broker.ConsumerConfig{MaxMessages: 50, Linger: 10 * time.Millisecond},
			Handler: func(_ context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
				for _, d := range ds {
					var key int
					var n int64
					if _, err := fmt.Sscanf(string(d.Value), "%d/%d", &key, &n); err != nil {
						return nil, err
					}
					if last[key].Swap(n) != n-1 {
						wrong.Add(1)
					}
				}
				all.add(ds...)
				return nil, nil
			},
		})
	}
	for n := 1; n <= 100; n++ {
		msgs := make([]broker.Message, 100)
		for k := range msgs {
			v := fmt.Sprintf("%d/%d", k, n)
			msgs[k] = broker.Message{Topic: e.topic, Key: fmt.Append(nil, "key", k), Value: []byte(v), ID: v}
		}
		e.publish(msgs...)
	}
	require.True(e, within(30*time.Second, func() bool { return all.len() == 100*100 }))
	require.Zero(e, wrong.Load(), "out of order")
}

func twoGroups(e *env) {
	e.provision(broker.TopicSpec{}, broker.GroupSpec{Name: "g"}, broker.GroupSpec{Name: "h"})
	e.publish(e.messages("m", 20)...)
	g := e.consumer(e.b, broker.ConsumerConfig{Group: "g", MaxMessages: 20, Linger: 5 * time.Second})
	h := e.consumer(e.b, broker.ConsumerConfig{Group: "h"})
	b := e.receive(g, 20*time.Second)
	require.Len(e, b.Deliveries, 20)
	require.Len(e, e.drain(h, 20, 5*time.Second), 20)
	lag, err := e.b.Admin().Lag(e.ctx, e.topic, "h")
	require.NoError(e, err)
	require.Zero(e, lag.Total())
	require.NoError(e, b.Settle(e.ctx, []int{0, 1, 2}, 0))
	require.Len(e, e.drain(g, 3, 40*time.Second), 3)
	e.quiet(h, 200*time.Millisecond)
}

func groupBeforePublish(e *env) {
	e.provision(broker.TopicSpec{}, broker.GroupSpec{Name: "g", Start: broker.Latest})
	e.publish(e.messages("m", 10)...)
	require.Len(e, e.drain(e.consumer(e.b, broker.ConsumerConfig{}), 10, 5*time.Second), 10)
}

func groupLate(e *env) {
	e.provision(broker.TopicSpec{}, broker.GroupSpec{Name: "early"})
	e.publish(e.messages("m", 10)...)
	admin := e.b.Admin()
	late := func(name string, start broker.Place) broker.Consumer {
		require.NoError(e, admin.EnsureGroup(e.ctx, broker.GroupSpec{Topic: e.topic, Name: name, Start: start}))
		return e.consumer(e.b, broker.ConsumerConfig{Group: name})
	}
	earliest := late("earliest", broker.Earliest)
	if e.b.Capabilities().Replay {
		require.Len(e, e.drain(earliest, 10, 5*time.Second), 10)
	} else {
		e.quiet(earliest, 200*time.Millisecond)
	}
	latest := late("latest", broker.Latest)
	e.quiet(latest, 200*time.Millisecond)
	e.publish(e.messages("n", 5)...)
	require.Len(e, e.drain(latest, 5, 5*time.Second), 5)
}

// What all groups are done with is gone within seconds where one of them asks for
// that, and nothing sooner.
func forget(e *env) {
	e.provision(broker.TopicSpec{}, broker.GroupSpec{Name: e.group}, broker.GroupSpec{Name: "slow"})
	e.publish(e.messages("m", 10)...)
	require.Len(e, e.drain(e.consumer(e.b, broker.ConsumerConfig{Forget: true}), 10, 10*time.Second), 10)
	admin := e.b.Admin()
	require.NoError(e, admin.EnsureGroup(e.ctx, broker.GroupSpec{Topic: e.topic, Name: "careless", MayLose: true}))
	left := func() int64 {
		lag, err := admin.Lag(e.ctx, e.topic, "careless")
		require.NoError(e, err)
		return lag.Total()
	}
	if e.b.Capabilities().Replay {
		require.EqualValues(e, 10, left(), "one group is not done")
	}
	slow := e.consumer(e.b, broker.ConsumerConfig{Group: "slow"})
	require.Len(e, e.drain(slow, 10, 10*time.Second), 10)
	require.True(e, within(40*time.Second, func() bool { return left() == 0 }), "%d are still there", left())
	e.publish(e.messages("n", 3)...)
	require.Len(e, e.drain(slow, 3, 10*time.Second), 3)
}

// eventually a publish must succeed again; unknown outcomes count as tried.
func isPassing(err error) bool {
	return errors.Is(err, broker.ErrUnavailable) || errors.Is(err, broker.ErrUnknownOutcome) ||
		errors.Is(err, broker.ErrBackpressure)
}
