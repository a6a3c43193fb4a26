package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const usage = `usage: sensors COMMAND [flags]

  server               take readings, and tell the mesh of them
  client KIND          make calls: single, stream, get or chat
  show                 run a mesh, the server and the clients, and wait for the alert
  probe                ask whether the server is healthy

sensors COMMAND -h lists the flags. Each is also a variable: SENSORS_ADDRESS is -address.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sensors:", err)
		stop()
		os.Exit(1)
	}
}

// options are what the flags of all commands say.
type options struct {
	address       string
	ca, cert, key string
	metrics       string
	seed          uint64
	every, after  time.Duration
	faulty        string
	by            float64
	driftmesh     string
	within        time.Duration
	atOnce        bool
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	command, args := args[0], args[1:]
	kind := ""
	if command == "client" {
		if len(args) == 0 || kinds[args[0]].call == nil {
			return errors.New("client: say which calls to make: single, stream, get or chat")
		}
		kind, args = args[0], args[1:]
	}
	o, err := parse(command, args)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	switch command {
	case "server":
		return serve(ctx, o)
	case "client":
		return call(ctx, kind, o)
	case "probe":
		return probe(ctx, o)
	case "show":
		return show(ctx, o, os.Stdout)
	}
	return errors.New(usage)
}

// parse reads the flags of a command. What the command line does not say, a
// variable may.
func parse(command string, args []string) (o options, err error) {
	flags := flag.NewFlagSet("sensors "+command, flag.ContinueOnError)
	flags.StringVar(&o.address, "address", "127.0.0.1:50071", "`HOST:PORT` of the server")
	switch command {
	case "server":
		flags.StringVar(&o.cert, "cert", "certs/sensors/sensors.pem", "PEM `file` of the server's certificate")
		flags.StringVar(&o.key, "key", "certs/sensors/sensors.key", "PEM `file` of its private key")
		flags.StringVar(&o.metrics, "metrics", "", "`HOST:PORT` of /metrics; none when empty")
	case "client":
		flags.StringVar(&o.ca, "ca", "certs/sensors/ca.pem", "PEM `file` of the authority that signed the server's certificate")
		flags.StringVar(&o.metrics, "metrics", "", "`HOST:PORT` of /metrics; none when empty")
		flags.Uint64Var(&o.seed, "seed", 1, "what readings and pauses are made from")
		flags.DurationVar(&o.every, "every", 150*time.Millisecond, "mean pause between two readings, or two calls")
		flags.StringVar(&o.faulty, "faulty", "attic", "the sensor that loses its calibration")
		flags.Float64Var(&o.by, "by", 6, "by how many degrees it is wrong then")
		flags.DurationVar(&o.after, "after", time.Minute, "when; never with less than 0")
	case "probe":
		flags.StringVar(&o.ca, "ca", "certs/sensors/ca.pem", "PEM `file` of the authority that signed the server's certificate")
	case "show":
		flags.StringVar(&o.driftmesh, "driftmesh", ".bin/driftmesh", "the `program` driftmesh")
		flags.StringVar(&o.ca, "ca", "certs/sensors/ca.pem", "as of client")
		flags.StringVar(&o.cert, "cert", "certs/sensors/sensors.pem", "as of server")
		flags.StringVar(&o.key, "key", "certs/sensors/sensors.key", "as of server")
		flags.DurationVar(&o.after, "after", 20*time.Second, "when the sensor loses its calibration")
		flags.DurationVar(&o.within, "within", 3*time.Minute, "give up after this time")
		flags.BoolVar(&o.atOnce, "at-once", false, "evaluate as soon as there is enough, rather than when the minute is over")
	}
	flags.VisitAll(func(f *flag.Flag) {
		name := "SENSORS_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if value, set := os.LookupEnv(name); set {
			if e := f.Value.Set(value); e != nil {
				err = fmt.Errorf("%s: %s: %w", name, strconv.Quote(value), e)
			}
		}
	})
	if err != nil {
		return o, err
	}
	if err = flags.Parse(args); err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("%s: what is %q?", command, flags.Arg(0))
	}
	return o, err
}
