package clickhouse_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
)

// leanSpans is a table like that of the spans: binary ids, two attribute maps
// of ten entries, events and links as arrays.
const leanSpans = `CREATE TABLE spans (
	Tenant LowCardinality(String), TraceId FixedString(16), SpanId FixedString(8), ParentSpanId FixedString(8),
	Timestamp DateTime64(9) CODEC(Delta, ZSTD(1)), Duration UInt64 CODEC(ZSTD(1)),
	ServiceName LowCardinality(String), SpanName LowCardinality(String), SpanKind LowCardinality(String),
	StatusCode LowCardinality(String), StatusMessage String CODEC(ZSTD(1)),
	ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
	SpanAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
	ScopeName LowCardinality(String), ScopeVersion LowCardinality(String),
	EventNames Array(LowCardinality(String)) CODEC(ZSTD(1)), EventTimes Array(DateTime64(9)) CODEC(ZSTD(1)),
	ReceivedAt DateTime
) ENGINE = ReplacingMergeTree ORDER BY (Tenant, TraceId, SpanId) PARTITION BY toDate(ReceivedAt)`

// spanBlock is a block of made-up spans, ten a trace.
func spanBlock(rows int, seed uint64) proto.Input {
	r := rand.New(rand.NewPCG(seed, 1))
	text := func() *proto.ColStr { return new(proto.ColStr) }
	low := func() *proto.ColLowCardinality[string] { return text().LowCardinality() }
	var (
		tenant, service, name, kind, status, scope, version = low(), low(), low(), low(), low(), low(), low()
		trace                                               = &proto.ColFixedStr{Size: 16}
		span, parent                                        = &proto.ColFixedStr{Size: 8}, &proto.ColFixedStr{Size: 8}
		stamp                                               = new(proto.ColDateTime64).WithPrecision(9)
		duration                                            = new(proto.ColUInt64)
		message                                             = text()
		resource, attributes                                = proto.NewMap(low(), text()), proto.NewMap(low(), text())
		events                                              = proto.NewArray(low())
		eventTimes                                          = proto.NewArray(new(proto.ColDateTime64).WithPrecision(9))
		received                                            = new(proto.ColDateTime)
		now                                                 = time.Now()
		id                                                  [16]byte
		spanID                                              [8]byte
	)
	for i := range rows {
		if i%10 == 0 {
			binary.LittleEndian.PutUint64(id[:], r.Uint64())
			binary.LittleEndian.PutUint64(id[8:], r.Uint64())
		}
		binary.LittleEndian.PutUint64(spanID[:], r.Uint64())
		tenant.Append("default")
		trace.Append(id[:])
		parent.Append(spanID[:])
		span.Append(spanID[:])
		at := now.Add(time.Duration(i) * time.Microsecond)
		stamp.Append(at)
		duration.Append(r.Uint64N(1e9))
		service.Append("service-" + strconv.Itoa(i%4))
		name.Append("operation-" + strconv.Itoa(i%40))
		kind.Append("SPAN_KIND_SERVER")
		status.Append("STATUS_CODE_OK")
		message.Append("")
		scope.Append("scope")
		version.Append("1.0")
		var res, attr []proto.KV[string, string]
		for k := range 10 {
			key := strconv.Itoa(k)
			res = append(res, proto.KV[string, string]{Key: "resource.key." + key, Value: "resource value " + key})
			attr = append(attr, proto.KV[string, string]{Key: "span.key." + key, Value: "value " + strconv.Itoa(r.IntN(10000))})
		}
		resource.AppendKV(res)
		attributes.AppendKV(attr)
		events.Append([]string{"event"})
		eventTimes.Append([]time.Time{at})
		received.Append(now)
	}
	return proto.Input{
		{Name: "Tenant", Data: tenant}, {Name: "TraceId", Data: trace}, {Name: "SpanId", Data: span}, {Name: "ParentSpanId", Data: parent},
		{Name: "Timestamp", Data: stamp}, {Name: "Duration", Data: duration}, {Name: "ServiceName", Data: service}, {Name: "SpanName", Data: name},
		{Name: "SpanKind", Data: kind}, {Name: "StatusCode", Data: status}, {Name: "StatusMessage", Data: message},
		{Name: "ResourceAttributes", Data: resource}, {Name: "SpanAttributes", Data: attributes},
		{Name: "ScopeName", Data: scope}, {Name: "ScopeVersion", Data: version},
		{Name: "EventNames", Data: events}, {Name: "EventTimes", Data: eventTimes}, {Name: "ReceivedAt", Data: received},
	}
}

// BenchmarkInsert inserts blocks of spans, two at a time, and waits for the
// merges; CPU seconds are per million rows. Run it with -benchtime=20x or so.
func BenchmarkInsert(b *testing.B) {
	for _, rows := range []int{1000, 10_000, 20_000, 50_000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			db := clickhousetest.Open(b)
			ctx := context.Background()
			require.NoError(b, db.Exec(ctx, leanSpans))
			blocks := make([]proto.Input, 4)
			for i := range blocks {
				blocks[i] = spanBlock(rows, uint64(i))
			}
			engine := clickhousetest.Engine(b)
			clientCPU, engineCPU := ownCPU(b), processCPU(b, engine.PID())
			began := time.Now()
			var wait sync.WaitGroup
			work := make(chan int)
			for range 2 {
				wait.Go(func() {
					for i := range work {
						if err := db.Insert(ctx, "spans", blocks[i%len(blocks)]); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for i := range b.N {
				work <- i
			}
			close(work)
			wait.Wait()
			took := time.Since(began)
			inserted := processCPU(b, engine.PID()) - engineCPU
			clientCPU = ownCPU(b) - clientCPU
			waitForMerges(b, db)
			merged := processCPU(b, engine.PID()) - engineCPU
			million := float64(b.N) * float64(rows) / 1e6
			b.ReportMetric(million*1e6/took.Seconds(), "rows/s")
			b.ReportMetric(clientCPU/million, "client-cpu-s/M")
			b.ReportMetric(inserted/million, "engine-cpu-s/M")
			b.ReportMetric(merged/million, "with-merges-cpu-s/M")
			b.ReportMetric(memory(b, engine.PID(), "RssAnon"), "engine-anon-MiB")
			b.ReportMetric(memory(b, engine.PID(), "VmHWM"), "engine-peak-rss-MiB")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkSelect1 is the least a query costs.
func BenchmarkSelect1(b *testing.B) {
	db := clickhousetest.Open(b)
	engine := clickhousetest.Engine(b)
	cpu := processCPU(b, engine.PID())
	var one uint8
	for b.Loop() {
		if err := db.QueryRow(context.Background(), "SELECT 1").Scan(&one); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((processCPU(b, engine.PID())-cpu)/float64(b.N)*1e6, "engine-cpu-us/op")
}

// waitForMerges waits until the engine has been idle for a second.
func waitForMerges(b *testing.B, db *clickhouse.DB) {
	idle := time.Now()
	for time.Since(idle) < time.Second {
		var running uint64
		require.NoError(b, db.QueryRow(context.Background(), "SELECT count() FROM system.merges").Scan(&running))
		if running > 0 {
			idle = time.Now()
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func ownCPU(b *testing.B) float64 {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// processCPU is the CPU time of a process in seconds.
func processCPU(b *testing.B, pid int) float64 {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(b, err)
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+2:]))
	user, err := strconv.ParseFloat(fields[11], 64)
	require.NoError(b, err)
	system, err := strconv.ParseFloat(fields[12], 64)
	require.NoError(b, err)
	const ticksPerSecond = 100
	return (user + system) / ticksPerSecond
}

// memory is a field of a process's status, in MiB.
func memory(t testing.TB, pid int, field string) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			require.NoError(t, err)
			return kib / 1024
		}
	}
	t.Fatalf("no %s in the status of process %d", field, pid)
	return 0
}
