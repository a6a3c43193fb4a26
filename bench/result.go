package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"
)

// Result is what a run measured. CPU is in seconds per million spans.
type Result struct {
	Config flags `json:"config"`

	Door                Phase              `json:"door"`
	Drain               map[string]float64 `json:"drain_cpu_seconds_per_million"`
	DrainSpansPerSecond float64            `json:"drain_spans_per_second"`

	Whole                Phase   `json:"whole"`
	StoredSpansPerSecond float64 `json:"stored_spans_per_second"`

	PeakMiB            map[string]float64 `json:"peak_mib"`
	BrokerBytesPerSpan float64            `json:"broker_bytes_per_span_written"` // in the door's phase
	BytesPerSpan       float64            `json:"bytes_per_span_on_disk"`
	LookupCold         Latency            `json:"trace_by_id_cold_ms"`
	LookupWarm         Latency            `json:"trace_by_id_warm_ms"`
}

// Phase is one load.
type Phase struct {
	Spans          int                `json:"spans"`
	SpansPerSecond float64            `json:"accepted_spans_per_second"`
	CPU            map[string]float64 `json:"cpu_seconds_per_million"`
	P50            float64            `json:"export_p50_ms"`
	P99            float64            `json:"export_p99_ms"`
}

// Latency is in milliseconds.
type Latency struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func sum(costs map[string]float64, names ...string) (total float64) {
	if len(names) == 0 {
		names = slices.Collect(maps.Keys(costs))
	}
	for _, n := range names {
		total += costs[n]
	}
	return total
}

func (r *Result) table(to io.Writer) {
	w := tabwriter.NewWriter(to, 0, 4, 2, ' ', tabwriter.AlignRight)
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\t\n", args...) }
	line("\twhole way\tdoor alone\tdrain")
	line("spans\t%d\t%d\t%d", r.Whole.Spans, r.Door.Spans, r.Door.Spans)
	line("accepted spans/s\t%.0f\t%.0f\t", r.Whole.SpansPerSecond, r.Door.SpansPerSecond)
	line("stored spans/s\t%.0f\t\t%.0f", r.StoredSpansPerSecond, r.DrainSpansPerSecond)
	line("export p50 ms\t%.1f\t%.1f\t", r.Whole.P50, r.Door.P50)
	line("export p99 ms\t%.1f\t%.1f\t", r.Whole.P99, r.Door.P99)
	for _, name := range []string{"gateway", "broker", "trace-store", "engine"} {
		line("CPU-s/M %s\t%.2f\t%.2f\t%.2f", name, r.Whole.CPU[name], r.Door.CPU[name], r.Drain[name])
	}
	line("CPU-s/M all\t%.2f\t%.2f\t%.2f", sum(r.Whole.CPU), sum(r.Door.CPU), sum(r.Drain))
	_ = w.Flush()
	fmt.Fprintf(to, "\nend to end: %.2f CPU-s/M", sum(r.Whole.CPU))
	if r.Door.Spans > 0 {
		fmt.Fprintf(to, "; door (gateway and broker): %.2f CPU-s/M; the broker wrote %.0f bytes a span",
			sum(r.Door.CPU, "gateway", "broker"), r.BrokerBytesPerSpan)
	}
	fmt.Fprintln(to)
	own := 0.0
	for _, name := range slices.Sorted(maps.Keys(r.PeakMiB)) {
		fmt.Fprintf(to, "peak memory %-14s %6.0f MiB\n", name, r.PeakMiB[name])
		if name != "engine" && name != "broker" {
			own += r.PeakMiB[name]
		}
	}
	fmt.Fprintf(to, "peak memory of our own processes %.0f MiB, with the broker %.0f MiB\n", own, own+r.PeakMiB["broker"])
	fmt.Fprintf(to, "on disk %.0f bytes a span\n", r.BytesPerSpan)
	fmt.Fprintf(to, "trace by id: cold p50 %.1f ms, p99 %.1f ms; warm p50 %.1f ms, p99 %.1f ms\n\n",
		r.LookupCold.P50, r.LookupCold.P99, r.LookupWarm.P50, r.LookupWarm.P99)
}
