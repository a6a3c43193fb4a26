package rabbitmq_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/server"
	"github.com/driftmesh/driftmesh/test/server/rabbitmq"
)

func TestServer(t *testing.T) {
	if os.Getenv("DRIFTMESH_TEST_RABBITMQ_CHILD") != "" {
		s := rabbitmq.Start(t, rabbitmq.Options{})
		_, _ = os.Stdout.WriteString("pid " + strconv.Itoa(s.PID()) + "\n")
		time.Sleep(time.Minute) // until we are killed
		return
	}
	cert := server.NewCertificate(t)
	s := rabbitmq.Start(t, rabbitmq.Options{
		TLS: cert,
		Users: map[string]rabbitmq.User{
			"all":  {Password: "a", Configure: ".*", Write: ".*", Read: ".*"},
			"read": {Password: "b", Read: ".*"},
		},
	})
	comm, err := os.ReadFile("/proc/" + strconv.Itoa(s.PID()) + "/comm")
	if err == nil {
		require.Equal(t, "beam.smp\n", string(comm), "signals reach the node itself")
	}
	_, err = amqp.Dial(s.URLOf("all", "wrong"))
	require.Error(t, err)
	conn, err := amqp.DialTLS("amqps://all:a@"+s.AddrTLS(), cert.Client)
	require.NoError(t, err)
	ch, err := conn.Channel()
	require.NoError(t, err)
	_, err = ch.QueueDeclare("q", true, false, false, false, amqp.Table{"x-queue-type": "quorum"})
	require.NoError(t, err)
	require.NoError(t, ch.Confirm(false))
	dc, err := ch.PublishWithDeferredConfirm("", "q", true, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("x")})
	require.NoError(t, err)
	require.True(t, dc.Wait())
	s.Settle()
	pid := s.PID()
	s.Kill()
	s.Restart()
	require.NotEqual(t, pid, s.PID())

	// A quorum queue takes a moment to elect its leader again.
	var found string
	require.Eventually(t, func() bool { found, err = get(s.URLOf("read", "b"), "q"); return err == nil && found != "" },
		30*time.Second, 100*time.Millisecond, "it is there after SIGKILL")
	require.Equal(t, "x", found)

	s.Freeze()
	_, err = amqp.DialConfig(s.URL(), amqp.Config{Dial: amqp.DefaultDial(300 * time.Millisecond)})
	require.Error(t, err)
	s.Thaw()
	s.Stop()
}

// get takes a message from a queue; "" when there is none.
func get(url, queue string) (string, error) {
	conn, err := amqp.Dial(url)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return "", err
	}
	m, _, err := ch.Get(queue, true)
	return string(m.Body), err
}

// Whatever becomes of the test process, the server and its port mapper end.
func TestNothingOutlivesTheTest(t *testing.T) {
	if os.Getenv("DRIFTMESH_TEST_RABBITMQ_CHILD") != "" {
		t.Skip("the child")
	}
	rabbitmq.Require(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestServer$", "-test.v")
	cmd.Env = append(os.Environ(), "DRIFTMESH_TEST_RABBITMQ_CHILD=1", "TMPDIR="+t.TempDir())
	out := &output{got: make(chan struct{})}
	cmd.Stdout = out
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-out.got:
	case err := <-ended:
		t.Fatalf("the child could not start a server: %v", err)
	case <-time.After(time.Minute):
		t.Fatal("no server within a minute")
	}
	require.NoError(t, cmd.Process.Kill())
	require.Eventually(t, func() bool {
		return syscall.Kill(out.pid, 0) != nil && !running(out.pid)
	}, 10*time.Second, 50*time.Millisecond, "the node ends")
	<-ended
}

// running looks for processes whose parent or group is pid, or whose
// environment names the node's directory.
func running(pid int) bool {
	list, err := exec.CommandContext(context.Background(), "ps", "-eo", "pid,pgid,comm").Output()
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(list)) {
		if f := strings.Fields(line); len(f) == 3 && f[1] == strconv.Itoa(pid) {
			return true
		}
	}
	return false
}

// output reads the node's process id from the child's output.
type output struct {
	b   bytes.Buffer
	pid int
	got chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.b.Write(p)
	if o.pid == 0 {
		if _, after, ok := strings.Cut(o.b.String(), "pid "); ok {
			if number, _, ok := strings.Cut(after, "\n"); ok {
				o.pid, _ = strconv.Atoi(number)
				close(o.got)
			}
		}
	}
	return len(p), nil
}
