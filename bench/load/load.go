// Package load drives an OTLP/gRPC door with many connections. Every span has
// an id that follows from its number, so that whoever sent a load can say
// exactly which spans must be in the store.
//
// The load is that of docs/performance.md: requests of 100 spans in 10 traces
// of 4 services, 10 attributes a span and 10 a resource, about 47 KB.
package load

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // lets a load ask for gzip
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// Config says how much to send and how.
type Config struct {
	Target      string        // OTLP/gRPC address
	Connections int           // 0 means 4
	InFlight    int           // requests at a time on one connection; 0 means 2
	Requests    int           // how many; 0 means until Duration is over, or Until is closed
	Duration    time.Duration // how long, when Requests is 0
	Until       <-chan struct{}
	Rate        float64 // spans per second; 0 means as fast as answers come
	Gzip        bool
	Retry       bool   // send again, with the same ids, what was answered with a retryable code
	Seed        uint64 // loads of different seeds have different ids
	Metadata    map[string]string
	Timeout     time.Duration // of one attempt; 0 means 15 s
	Observe     func(Attempt) // hears of every attempt, from many goroutines; may be nil
}

// Attempt is one request and how it was answered.
type Attempt struct {
	Begin time.Time
	Took  time.Duration
	Code  codes.Code
}

// Result is what became of a load.
type Result struct {
	Acknowledged []int // numbers of the requests that were answered OK, ascending
	Failures     map[codes.Code]int
	Retries      int
	Elapsed      time.Duration
	Latencies    []time.Duration // of acknowledged attempts, ascending
	Bytes        int64           // of acknowledged requests, before compression
}

// Spans is how many spans were acknowledged.
func (r *Result) Spans() int { return len(r.Acknowledged) * SpansPerRequest }

// Quantile of the latencies, q from 0 to 1.
func (r *Result) Quantile(q float64) time.Duration {
	if len(r.Latencies) == 0 {
		return 0
	}
	return r.Latencies[min(int(q*float64(len(r.Latencies))), len(r.Latencies)-1)]
}

// retryAtMost bounds how often one request is sent again.
const retryAtMost = 600

type worker struct {
	cfg    *Config
	conn   *grpc.ClientConn
	result Result
}

// Run sends the load and waits for the last answer, or until ctx ends.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	cfg.Connections, cfg.InFlight = orDefault(cfg.Connections, 4), orDefault(cfg.InFlight, 2)
	cfg.Timeout = orDefault(cfg.Timeout, 15*time.Second)
	var next atomic.Int64
	begin := time.Now()
	take := func() (int, bool) {
		n := int(next.Add(1)) - 1
		if cfg.Requests > 0 {
			return n, n < cfg.Requests
		}
		if cfg.Until != nil {
			select {
			case <-cfg.Until:
				return n, false
			default:
				return n, true
			}
		}
		return n, time.Since(begin) < cfg.Duration
	}
	var workers []*worker
	for range cfg.Connections {
		conn, err := grpc.NewClient(cfg.Target, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})), grpc.WithPerRPCCredentials(metadata(cfg.Metadata)),
			grpc.WithInitialWindowSize(1<<20), grpc.WithInitialConnWindowSize(1<<20))
		if err != nil {
			return nil, fmt.Errorf("dial: %w", err)
		}
		defer conn.Close()
		for range cfg.InFlight {
			workers = append(workers, &worker{cfg: &cfg, conn: conn, result: Result{Failures: map[codes.Code]int{}}})
		}
	}
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(func() { w.run(ctx, begin, take) })
	}
	wg.Wait()
	total := &Result{Failures: map[codes.Code]int{}, Elapsed: time.Since(begin)}
	for _, w := range workers {
		total.add(&w.result)
	}
	slices.Sort(total.Acknowledged)
	slices.Sort(total.Latencies)
	return total, nil
}

func (r *Result) add(o *Result) {
	r.Acknowledged = append(r.Acknowledged, o.Acknowledged...)
	r.Latencies = append(r.Latencies, o.Latencies...)
	r.Retries += o.Retries
	r.Bytes += o.Bytes
	for code, n := range o.Failures {
		r.Failures[code] += n
	}
}

func (w *worker) run(ctx context.Context, begin time.Time, take func() (int, bool)) {
	body := newBody()
	for ctx.Err() == nil {
		n, ok := take()
		if !ok {
			return
		}
		due := time.Now()
		if w.cfg.Rate > 0 {
			due = begin.Add(time.Duration(float64(n*SpansPerRequest) / w.cfg.Rate * float64(time.Second)))
			if !sleepUntil(ctx, due) {
				return
			}
		}
		w.send(ctx, n, body.fill(w.cfg.Seed, n, time.Now()), due)
	}
}

// send sends one request, again and again if it may be retried.
func (w *worker) send(ctx context.Context, n int, request []byte, due time.Time) {
	wait := 20 * time.Millisecond
	for attempt := 0; ; attempt++ {
		code := w.observed(ctx, request)
		if code == codes.OK {
			w.result.Acknowledged = append(w.result.Acknowledged, n)
			w.result.Latencies = append(w.result.Latencies, time.Since(due))
			w.result.Bytes += int64(len(request))
			return
		}
		w.result.Failures[code]++
		if !w.cfg.Retry || !retryable(code) || attempt >= retryAtMost {
			return
		}
		w.result.Retries++
		if !sleepUntil(ctx, time.Now().Add(wait)) {
			return
		}
		wait = min(2*wait, 500*time.Millisecond)
		due = time.Now()
	}
}

const exportMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

func (w *worker) observed(ctx context.Context, request []byte) codes.Code {
	begin := time.Now()
	code := w.once(ctx, request)
	if w.cfg.Observe != nil {
		w.cfg.Observe(Attempt{Begin: begin, Took: time.Since(begin), Code: code})
	}
	return code
}

func (w *worker) once(ctx context.Context, request []byte) codes.Code {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Timeout)
	defer cancel()
	var options []grpc.CallOption
	if w.cfg.Gzip {
		options = append(options, grpc.UseCompressor("gzip"))
	}
	var response []byte
	err := w.conn.Invoke(ctx, exportMethod, request, &response, options...)
	if err == nil && len(response) > 0 {
		return codes.InvalidArgument // partial success: this load has no bad spans
	}
	return status.Code(err)
}

// retryable codes of the OTLP specification.
func retryable(code codes.Code) bool {
	switch code {
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		return true
	default:
		return false
	}
}

func sleepUntil(ctx context.Context, at time.Time) bool {
	wait := time.Until(at)
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// raw sends and receives bytes as they are.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("raw codec: cannot send %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("raw codec: cannot receive %T", v)
	}
	*b = data.Materialize()
	return nil
}

type metadata map[string]string

func (m metadata) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return m, nil
}
func (metadata) RequireTransportSecurity() bool { return false }

// TraceID of a trace of a load: a bijection of its number, spread evenly.
func TraceID(seed uint64, request, trace int) [16]byte {
	number := uint64(request)*TracesPerRequest + uint64(trace) //nolint:gosec // small and positive
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], mix(number^seed<<40))
	binary.BigEndian.PutUint64(id[8:], mix(number+seed<<40+1<<62))
	return id
}

// SpanID of a span of a load.
func SpanID(seed uint64, request, span int) [8]byte {
	var id [8]byte
	binary.BigEndian.PutUint64(id[:], mix(uint64(request)*SpansPerRequest+uint64(span)+seed<<40+1)) //nolint:gosec // small and positive
	return id
}

// mix is the finaliser of splitmix64 (Steele, Lea and Flood 2014), a bijection.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
