// Command brokers measures what the mesh's own drivers cost beside the bare
// client libraries: on every broker the same messages, published and consumed
// in batches, once through the library used well and once through the driver,
// turn by turn in the same run. It prints a table, and the same as JSON.
//
// Absolute numbers depend on the machine; the ratio and the CPU time per
// message say what a driver adds.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"time"

	"github.com/alecthomas/kong"

	"github.com/driftmesh/driftmesh/bench/harness"
	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server/nats"
)

type flags struct {
	Broker     []string `help:"Broker to measure: nats, kafka, rabbitmq or redis; may be repeated. Default: all that are on this machine." enum:"nats,kafka,rabbitmq,redis"`
	Seconds    float64  `help:"How long each side publishes in a round; what it published is consumed after." default:"3"`
	Rounds     int      `help:"Rounds that count, of both sides in turn; medians are shown. One more goes before." default:"5"`
	Callers    int      `help:"Callers that publish at a time, each a batch." default:"2"`
	Batch      int      `help:"Messages in a batch." default:"500"`
	Size       int      `help:"Bytes of a payload." default:"1024"`
	Least      float64  `help:"Fail when a driver reaches less than this part of the bare library's throughput; 0 never fails." default:"0.7"`
	JSON       string   `help:"Write the result as JSON to this file; - for standard output." placeholder:"FILE"`
	CPUProfile string   `name:"cpuprofile" help:"Write CPU profiles of the driver's rounds to FILE.BROKER.publish and FILE.BROKER.consume." placeholder:"FILE"`
}

// Validate is called by kong.
func (f flags) Validate() error {
	if f.Rounds < 1 || f.Callers < 1 || f.Batch < 1 || f.Size < 8 || f.Seconds <= 0 {
		return errors.New("rounds, callers, batch and seconds must be positive, and size at least 8")
	}
	return nil
}

func (f flags) duration() time.Duration { return time.Duration(f.Seconds * float64(time.Second)) }

func main() {
	nats.Child()
	var f flags
	kong.Parse(&f, kong.Name("brokers"), kong.Description("Measure the broker drivers against the bare client libraries."))
	err := run(f)
	if err != nil {
		fmt.Fprintln(os.Stderr, "brokers:", err)
		os.Exit(1)
	}
}

func run(f flags) error {
	names, result := f.Broker, Result{Config: f}
	if len(names) == 0 {
		names = mesh.Brokers
	}
	var failed []error // one broker's failure spoils no other's measurement
	for _, name := range names {
		b := harness.New()
		err := b.Run(func() error {
			r, err := measure(b, f, name)
			if err == nil {
				result.Brokers = append(result.Brokers, r)
			}
			return err
		})
		switch {
		case errors.Is(err, harness.ErrSkipped) && !slices.Contains(f.Broker, name):
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		case err != nil:
			failed = append(failed, fmt.Errorf("%s: %w", name, err))
		}
	}
	result.table(os.Stdout)
	return errors.Join(append(failed, harness.WriteJSON(f.JSON, result), result.check(f.Least))...)
}

// profile writes a CPU profile of what f does, where one is wanted.
func (f flags) profile(broker, part string, do func() error) error {
	if f.CPUProfile == "" {
		return do()
	}
	out, err := os.Create(f.CPUProfile + "." + broker + "." + part)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(out); err != nil {
		return err
	}
	err = do()
	pprof.StopCPUProfile()
	return errors.Join(err, out.Close())
}
