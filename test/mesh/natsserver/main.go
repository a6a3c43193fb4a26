// Command natsserver is a NATS JetStream server for tests and benchmarks, as
// a process of its own that can be killed.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:4222", "address")
	dir := flag.String("dir", "", "directory of the streams")
	flag.Parse()
	if err := run(*listen, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "natsserver:", err)
		os.Exit(1)
	}
}

// memory that the server should stay below: it keeps what it has just read and
// written for as long as there is room.
const memory = 128 << 20

func run(listen, dir string) error {
	debug.SetMemoryLimit(memory)
	host, portText, err := net.SplitHostPort(listen)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return err
	}
	s, err := server.NewServer(&server.Options{
		Host: host, Port: port, JetStream: true, StoreDir: dir, MaxPayload: 8 << 20, MaxPending: 64 << 20, NoSigs: true,
		JetStreamMaxStore: 1 << 40, // streams reserve their MaxBytes
	})
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		return fmt.Errorf("not ready on %s", listen)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}
