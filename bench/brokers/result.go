package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// Result is what was measured.
type Result struct {
	Config  flags    `json:"config"`
	Brokers []Broker `json:"brokers"`
}

// Broker is what was measured on one broker. Publish and Consume are medians
// over the rounds.
type Broker struct {
	Name    string     `json:"name"`
	Publish Comparison `json:"publish"`
	Consume Comparison `json:"consume"`
	PeakMiB float64    `json:"server_peak_mib"`
	Bare    []Round    `json:"bare_rounds"`
	Driver  []Round    `json:"driver_rounds"`
}

// Comparison is one part of the work, done by both.
type Comparison struct {
	Bare   Cost `json:"bare"`
	Driver Cost `json:"driver"`
	// Ratio of the throughputs: 1 is as fast as the bare library.
	Ratio float64 `json:"ratio"`
}

// Round is one round of one side.
type Round struct {
	Publish Cost `json:"publish"`
	Consume Cost `json:"consume"`
}

// Cost is what one part of the work took.
type Cost struct {
	Messages  int     `json:"messages"`
	PerSecond float64 `json:"messages_per_second"`
	CPU       float64 `json:"client_cpu_seconds_per_million"`
	ServerCPU float64 `json:"server_cpu_seconds_per_million"`
	// Written is what the server wrote to storage, and Resident what its memory
	// grew, both in bytes per message.
	Written  float64 `json:"server_bytes_written_per_message"`
	Resident float64 `json:"server_memory_growth_per_message"`
}

func (b *Broker) summarize() {
	publish, consume := func(r Round) Cost { return r.Publish }, func(r Round) Cost { return r.Consume }
	b.Publish = compare(medians(b.Bare, publish), medians(b.Driver, publish))
	b.Consume = compare(medians(b.Bare, consume), medians(b.Driver, consume))
}

func compare(bare, driver Cost) Comparison {
	return Comparison{Bare: bare, Driver: driver, Ratio: driver.PerSecond / bare.PerSecond}
}

// medians are those of each number on its own.
func medians(rounds []Round, part func(Round) Cost) Cost {
	of := func(number func(Cost) float64) float64 {
		all := make([]float64, len(rounds))
		for i, r := range rounds {
			all[i] = number(part(r))
		}
		slices.Sort(all)
		return (all[len(all)/2] + all[(len(all)-1)/2]) / 2
	}
	return Cost{
		Messages:  int(of(func(c Cost) float64 { return float64(c.Messages) })),
		PerSecond: of(func(c Cost) float64 { return c.PerSecond }),
		CPU:       of(func(c Cost) float64 { return c.CPU }),
		ServerCPU: of(func(c Cost) float64 { return c.ServerCPU }),
		Written:   of(func(c Cost) float64 { return c.Written }),
		Resident:  of(func(c Cost) float64 { return c.Resident }),
	}
}

func (r *Result) table(to io.Writer) {
	w := tabwriter.NewWriter(to, 0, 4, 2, ' ', tabwriter.AlignRight)
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\t\n", args...) }
	line("\t\tmessages/s\t\t\tclient CPU-s/M\t\tserver CPU-s/M\t\tserver B/msg\t")
	line("broker\t\tbare\tdriver\tratio\tbare\tdriver\tbare\tdriver\tdisk\tmemory")
	for _, b := range r.Brokers {
		for _, part := range []struct {
			name string
			Comparison
		}{{"publish", b.Publish}, {"consume", b.Consume}} {
			line("%s\t%s\t%.0f\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.0f\t%.0f", b.Name, part.name,
				part.Bare.PerSecond, part.Driver.PerSecond, part.Ratio, part.Bare.CPU, part.Driver.CPU,
				part.Bare.ServerCPU, part.Driver.ServerCPU, part.Driver.Written, part.Driver.Resident)
		}
	}
	_ = w.Flush()
	fmt.Fprintf(to, "\n%d callers publish batches of %d × %d B, one worker consumes them; medians of %d rounds. "+
		"Server columns of the driver's rounds.\n", r.Config.Callers, r.Config.Batch, r.Config.Size, r.Config.Rounds)
	for _, b := range r.Brokers {
		fmt.Fprintf(to, "peak memory of %s %.0f MiB\n", b.Name, b.PeakMiB)
	}
}

// check names every part that a driver does too slowly.
func (r *Result) check(least float64) error {
	var errs []error
	for _, b := range r.Brokers {
		for part, ratio := range map[string]float64{"publish": b.Publish.Ratio, "consume": b.Consume.Ratio} {
			if ratio < least {
				errs = append(errs, fmt.Errorf("the driver of %s reaches %.2f of the bare library's throughput in %s, less than %.2f",
					b.Name, ratio, part, least))
			}
		}
	}
	return errors.Join(errs...)
}
