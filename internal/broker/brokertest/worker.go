package brokertest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/event"
)

const workerEnv = "DRIFTMESH_TEST_BROKER_WORKER"

// workerOrder is what a child process is to do.
type workerOrder struct {
	URL, Topic, Group, Mode string
	MaxAttempts, MaxCrashes int
}

// Modes of a worker process.
const (
	modeHold  = "hold"  // receive all, acknowledge some, hang
	modeCrash = "crash" // run a Runner whose handler crashes on "poison"
)

// Main is what TestMain calls in packages that run the suite: the process is a
// worker when it was started as one; else it runs the tests, which must leave no
// goroutine behind. It does not return.
func Main(m *testing.M, open Open) {
	if conf := os.Getenv(workerEnv); conf != "" {
		var o workerOrder
		err := json.Unmarshal([]byte(conf), &o)
		if err == nil {
			err = o.work(open)
		}
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func (o workerOrder) work(open Open) error {
	ctx, cancel := context.WithTimeout(context.Background(), caseTime)
	defer cancel()
	b, err := open(ctx, o.URL, nil)
	if err != nil {
		return err
	}
	if o.Mode == modeCrash {
		r, err := runner.New(runner.Config{
			Broker: b, MaxAttempts: o.MaxAttempts, MaxCrashes: o.MaxCrashes,
			Consumer: broker.ConsumerConfig{Topic: o.Topic, Group: o.Group, Linger: 50 * time.Millisecond},
			Handler: func(_ context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
				for _, d := range ds {
					if string(d.Value) == "poison" {
						os.Exit(3)
					}
				}
				return nil, nil
			},
		})
		if err != nil {
			return err
		}
		fmt.Println("ready")
		return r.Run(ctx)
	}
	c, err := b.Consumer(broker.ConsumerConfig{Topic: o.Topic, Group: o.Group, MaxMessages: 500, Linger: 500 * time.Millisecond})
	if err != nil {
		return err
	}
	batch, err := c.Receive(ctx)
	if err != nil {
		return err
	}
	some := make([]int, 200)
	for i := range some {
		some[i] = i
	}
	if err := batch.SettleSome(ctx, some, nil, 0); err != nil {
		return err
	}
	fmt.Println("ready", len(batch.Deliveries))
	<-ctx.Done()
	return ctx.Err()
}

// worker starts a worker process and waits for its first line.
func (e *env) worker(o workerOrder) (cmd *exec.Cmd, line string) {
	e.Helper()
	o.URL, o.Topic, o.Group = e.server.URL(), e.topic, e.group
	conf, err := json.Marshal(o)
	require.NoError(e, err)
	cmd = exec.CommandContext(e.ctx, os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), workerEnv+"="+string(conf))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(e, err)
	require.NoError(e, cmd.Start())
	line, err = bufio.NewReader(out).ReadString('\n')
	require.NoError(e, err)
	return cmd, strings.TrimSpace(line)
}

func consumerKill9MidBatch(e *env) {
	const wait = 3 * time.Second
	e.provision(broker.TopicSpec{}, broker.GroupSpec{Name: e.group, AckWait: wait})
	e.publish(e.messages("m", 500)...)
	cmd, line := e.worker(workerOrder{Mode: modeHold})
	require.Equal(e, "ready 500", line)
	require.NoError(e, cmd.Process.Kill())
	_ = cmd.Wait() // its error says that it was killed
	if e.h.ConnectionLease {
		e.lag(300, 0)
	} else {
		e.lag(0, 300)
	}
	c := e.consumer(e.b, broker.ConsumerConfig{})
	start := time.Now()
	for n := 0; n < 300; {
		b := e.receive(c, wait+5*time.Second)
		for _, d := range b.Deliveries {
			if e.b.Capabilities().CountsAttempts {
				require.GreaterOrEqual(e, d.Attempt, 2)
			}
		}
		n += len(b.Deliveries)
		require.LessOrEqual(e, n, 300, "none of the 200 comes again")
		require.NoError(e, b.Ack(e.ctx))
	}
	e.Logf("taken over after %v", time.Since(start))
	e.lag(0, 0)
}

func poisonCrashLoop(e *env) {
	const wait = 700 * time.Millisecond
	e.provision(broker.TopicSpec{}, broker.GroupSpec{Name: e.group, AckWait: wait})
	msgs := e.messages("m", 20)
	msgs[11].Value = []byte("poison")
	e.publish(msgs...)
	dlq := e.dlqGroup()
	parked := make(chan *broker.Batch, 1)
	go func() {
		if b, err := dlq.Receive(e.ctx); err == nil {
			parked <- b
		}
	}()
	crashes := 0
	for {
		cmd, _ := e.worker(workerOrder{Mode: modeCrash, MaxAttempts: 1, MaxCrashes: 14})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = cmd.Wait()
		}()
		select {
		case <-ended:
			crashes++
			require.Less(e, crashes, 30, "it is dead-lettered at last")
			continue
		case b := <-parked:
			require.Equal(e, []string{"poison"}, values(b))
			require.Equal(e, "max_deliveries", b.Deliveries[0].Header(event.HeaderDLQReason))
		case <-e.ctx.Done():
			e.Fatal("not dead-lettered in time")
		}
		e.lag(0, 0)
		e.Logf("parked after %d crashes", crashes)
		_ = cmd.Process.Kill()
		<-ended
		return
	}
}
