package window_test

import (
	"fmt"
	"math"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
	"github.com/driftmesh/driftmesh/services/drift/internal/window"
)

// BenchmarkLayout is the measurement behind ADR 006: a row per record with
// arrays, as observations is, against a row per value. CPU is the engine's own
// count of its threads' time, so that other work on the machine does not show.
//
//	go test -run '^$' -bench Layout -benchtime 1x ./services/drift/internal/window
func BenchmarkLayout(b *testing.B) {
	for _, size := range []struct{ numbers, categories, stored int }{{16, 4, 50_000}, {160, 40, 10_000}} {
		name := fmt.Sprintf("features=%d", size.numbers+size.categories)
		b.Run(name+"/insert/layout=record", func(b *testing.B) {
			db := tables(b)
			for b.Loop() {
				measureInsert(b, db, "observations", size.numbers, size.categories, size.stored)
			}
		})
		b.Run(name+"/insert/layout=value", func(b *testing.B) {
			db := tables(b)
			for b.Loop() {
				measureInsert(b, db, "per_value", size.numbers, size.categories, size.stored)
			}
		})
		for _, records := range []int{1000, 10_000, 100_000, 1_000_000} {
			if records*(size.numbers+size.categories) > 20_000_000 {
				continue
			}
			b.Run(fmt.Sprintf("%s/recompute/layout=record/records=%d", name, records), func(b *testing.B) {
				benchmarkRecompute(b, size.numbers, size.categories, records)
			})
			if records*(size.numbers+size.categories) > 4_000_000 {
				continue // the rows of values would take longer to make than to tell
			}
			b.Run(fmt.Sprintf("%s/recompute/layout=value/records=%d", name, records), func(b *testing.B) {
				benchmarkValues(b, size.numbers, size.categories, records)
			})
		}
	}
}

// columnsOfSource are those that every layout stores of a record.
const columnsOfSource = "Tenant, Profile, RecordId, EventTime, TraceId, SpanId, ReceivedAt, ContentHash"

// chunk is how many records are made and inserted at a time.
const chunk = 10_000

// fillSource makes the records from number first on, of one minute, in a table
// in memory: numbers with two decimals around ten, categories of eight texts,
// ids like UUIDs.
func fillSource(b *testing.B, db *clickhouse.DB, numbers, categories, first, records int, minute int64) {
	b.Helper()
	exec(b, db, "DROP TABLE IF EXISTS source")
	exec(b, db, "CREATE TABLE source ENGINE = Memory EMPTY AS SELECT "+columnsOfSource+", Numbers, NumberStates, Categories, CategoryStates FROM observations")
	exec(b, db, fmt.Sprintf(`INSERT INTO source SELECT '%s', '%s', lower(hex(sipHash128(number, %d))), toDateTime64(%d, 9, 'UTC') + toIntervalNanosecond(number * 100),
		sipHash128(number, 1), reinterpretAsFixedString(cityHash64(number)), toDateTime64(%d, 9, 'UTC'), cityHash64(number, 3),
		arrayMap(i -> round(randNormal(10, 2, number * 1000 + i) + i, 2), range(%d)), arrayWithConstant(%d, 0),
		arrayMap(i -> concat('text', toString(cityHash64(number, i) %% 8)), range(%d)), arrayWithConstant(%d, 0) FROM numbers(%d, %d)`,
		tenant, uid, minute, (day+minute)*60, day*60, numbers, numbers, categories, categories, first, records))
}

// explode makes the rows of values of the source.
func explode(b *testing.B, db *clickhouse.DB, numbers, categories int) {
	b.Helper()
	exec(b, db, "DROP TABLE IF EXISTS exploded")
	exec(b, db, fmt.Sprintf(`CREATE TABLE exploded ENGINE = Memory AS SELECT %s, toUInt16(f) AS Feature, toUInt8(0) AS State,
		if(f < %d, Numbers[f + 1], 0.) AS Number, CAST(if(f < %d, '', Categories[f - %d]), 'LowCardinality(String)') AS Category
		FROM source ARRAY JOIN range(%d) AS f`, columnsOfSource, numbers, numbers, numbers-1, numbers+categories))
}

const createPerValue = `CREATE TABLE per_value (Tenant LowCardinality(String), Profile UUID, Feature UInt16,
	Minute DateTime('UTC') MATERIALIZED toStartOfMinute(toDateTime(EventTime, 'UTC')) CODEC(Delta(4), ZSTD(1)),
	RecordId String CODEC(ZSTD(1)), EventTime DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)), TraceId FixedString(16) CODEC(ZSTD(1)),
	SpanId FixedString(8) CODEC(ZSTD(1)), State UInt8, Number Float64 CODEC(ZSTD(1)), Category LowCardinality(String),
	ReceivedAt DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)), ContentHash UInt64 CODEC(NONE))
	ENGINE = ReplacingMergeTree(ContentHash) PARTITION BY toYYYYMM(ReceivedAt) ORDER BY (Tenant, Profile, Minute, Feature, RecordId)`

func exec(b *testing.B, db *clickhouse.DB, query string) {
	b.Helper()
	require.NoError(b, db.Exec(b.Context(), query))
}

// cpu is the time that the engine's threads have worked, in microseconds.
func cpu(b *testing.B, db *clickhouse.DB) (used uint64) {
	b.Helper()
	require.NoError(b, db.QueryRow(b.Context(), "SELECT sum(value) FROM system.events WHERE event IN ('UserTimeMicroseconds', 'SystemTimeMicroseconds')").Scan(&used))
	return used
}

// load inserts records of a minute, a chunk at a time, and returns the CPU of
// the inserts in microseconds.
func load(b *testing.B, db *clickhouse.DB, table string, numbers, categories, records int, minute int64) (used uint64) {
	b.Helper()
	for first := 0; first < records; first += chunk {
		fillSource(b, db, numbers, categories, first, min(chunk, records-first), minute)
		source := "source"
		list := columnsOfSource + ", Numbers, NumberStates, Categories, CategoryStates"
		if table == "per_value" {
			explode(b, db, numbers, categories)
			source, list = "exploded", columnsOfSource+", Feature, State, Number, Category"
		}
		before := cpu(b, db)
		exec(b, db, fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s SETTINGS max_threads = 1, min_insert_block_size_bytes = 100000000", table, list, list, source))
		used += cpu(b, db) - before
	}
	return used
}

func measureInsert(b *testing.B, db *clickhouse.DB, table string, numbers, categories, records int) {
	b.Helper()
	if table == "per_value" {
		exec(b, db, "DROP TABLE IF EXISTS per_value")
		exec(b, db, createPerValue)
	}
	exec(b, db, "TRUNCATE TABLE "+table)
	exec(b, db, "TRUNCATE TABLE observation_ids")
	exec(b, db, "SYSTEM STOP MERGES "+table)
	used := load(b, db, table, numbers, categories, records, 0)
	b.ReportMetric(float64(used)/float64(records), "insert-cpu-us/record")
	exec(b, db, "SYSTEM START MERGES "+table)
	before := cpu(b, db)
	exec(b, db, "OPTIMIZE TABLE "+table+" FINAL")
	b.ReportMetric(float64(cpu(b, db)-before)/float64(records), "merge-cpu-us/record")
	b.ReportMetric(float64(onDisk(b, db, table))/float64(records), "disk-bytes/record")
	if table == "observations" {
		b.ReportMetric(float64(onDisk(b, db, "observation_ids"))/float64(records), "ids-bytes/record")
	}
	b.ReportMetric(0, "ns/op")
}

func onDisk(b *testing.B, db *clickhouse.DB, table string) (bytes uint64) {
	b.Helper()
	require.NoError(b, db.QueryRow(b.Context(), "SELECT sum(bytes_on_disk) FROM system.parts WHERE database = currentDatabase() AND active AND table = '"+table+"'").Scan(&bytes))
	return bytes
}

// wide is a profile of the source's shape.
func wide(b *testing.B, numbers, categories int) *profile.Profile {
	b.Helper()
	return wideOf(b, numbers, categories, 100)
}

// wideOf is wide from a reference of so many rows.
func wideOf(b *testing.B, numbers, categories, rows int) *profile.Profile {
	b.Helper()
	var columns []profile.Column
	for i := range numbers + categories {
		c := profile.Column{Name: fmt.Sprintf("f%d", i), Type: profile.Float}
		if i >= numbers {
			c.Type = profile.String
		}
		for k := range rows {
			c.Numbers = append(c.Numbers, float64(i)+7+float64(k)/float64(rows)*6.25)
			c.Texts = append(c.Texts, fmt.Sprintf("text%d", k%8))
		}
		columns = append(columns, c)
	}
	p, err := profile.New(columns, profile.Options{Space: "s", Name: "n"})
	require.NoError(b, err)
	return p
}

func benchmarkRecompute(b *testing.B, numbers, categories, records int) {
	db := tables(b)
	// Twice as many records of other minutes stand around the window.
	for _, minute := range []int64{0, 1, 2} {
		load(b, db, "observations", numbers, categories, records, minute)
	}
	settled(b, db)
	s := window.New(tenant, uid.String(), wide(b, numbers, categories), nil)
	kept := store.NewCells(db)
	measured(b, db, 1, "window", func() { require.NoError(b, kept.Recompute(b.Context(), s, []int64{day + 1})) })
}

// BenchmarkPlain counts the numbers of a window by the plainest statement: bins
// alone, without exemplars, sums and records that moved to another window.
//
//	go test -run '^$' -bench Plain -benchtime 5x ./services/drift/internal/window
func BenchmarkPlain(b *testing.B) {
	for _, size := range []struct{ numbers, categories int }{{16, 4}, {160, 40}} {
		b.Run(fmt.Sprintf("features=%d/records=100000", size.numbers+size.categories), func(b *testing.B) {
			db := tables(b)
			load(b, db, "observations", size.numbers, size.categories, 100_000, 1)
			settled(b, db)
			query := fmt.Sprintf(`SELECT feature, arrayCount(e -> e + feature < value, range(6, 15)) AS bin, count() FROM observations FINAL
				ARRAY JOIN Numbers AS value, arrayEnumerate(Numbers) AS feature WHERE Tenant = '%s' AND Profile = '%s' AND Minute = %d GROUP BY feature, bin FORMAT Null`,
				tenant, uid, (day+1)*60)
			measured(b, db, 1, "window", func() { exec(b, db, query) })
		})
	}
}

// measured reports what work costs the engine and this process, for each of so
// many units in it. The engine's count is itself a query, whose cost is taken off.
func measured(b *testing.B, db *clickhouse.DB, units float64, unit string, work func()) {
	b.Helper()
	var idle uint64 = math.MaxUint64
	for range 5 {
		before := cpu(b, db)
		idle = min(idle, cpu(b, db)-before)
	}
	var engine uint64
	var own time.Duration
	loops := 0.0
	for b.Loop() {
		before, began := cpu(b, db), ownCPU(b)
		work()
		own += ownCPU(b) - began
		engine += cpu(b, db) - before - idle
		loops++
	}
	b.ReportMetric(float64(engine)/1000/loops/units, "engine-cpu-ms/"+unit)
	b.ReportMetric(own.Seconds()*1000/loops/units, "own-cpu-ms/"+unit)
	b.ReportMetric(0, "ns/op")
}

// BenchmarkBackfill recomputes windows of a record each, as an import of old
// records leaves them.
//
//	go test -run '^$' -bench Backfill -benchtime 1x ./services/drift/internal/window
func BenchmarkBackfill(b *testing.B) {
	const windows = 14_000
	db := tables(b)
	fillSource(b, db, 16, 4, 0, windows, 0)
	exec(b, db, fmt.Sprintf(`INSERT INTO observations (%[1]s, Numbers, NumberStates, Categories, CategoryStates)
		SELECT %[1]s, Numbers, NumberStates, Categories, CategoryStates FROM (SELECT * REPLACE (EventTime + toIntervalMinute(rowNumberInAllBlocks()) AS EventTime) FROM source)`, columnsOfSource))
	settled(b, db)
	s := window.New(tenant, uid.String(), wide(b, 16, 4), nil)
	kept := store.NewCells(db)
	minutes := make([]int64, windows)
	for i := range minutes {
		minutes[i] = day + int64(i)
	}
	measured(b, db, windows, "window", func() {
		parts, err := kept.Parts(b.Context(), s, minutes)
		require.NoError(b, err)
		for _, part := range parts {
			require.NoError(b, kept.Recompute(b.Context(), s, part))
		}
	})
	var rows uint64
	require.NoError(b, db.QueryRow(b.Context(), "SELECT count() FROM cells FINAL").Scan(&rows))
	require.EqualValues(b, 20*windows, rows)
}

// settled merges the tables, and lets no merge fall into what is measured.
func settled(b *testing.B, db *clickhouse.DB) {
	b.Helper()
	for _, table := range []string{"observations", "observation_ids"} {
		exec(b, db, "OPTIMIZE TABLE "+table+" FINAL")
		exec(b, db, "SYSTEM STOP MERGES "+table)
	}
	exec(b, db, "SYSTEM STOP MERGES cells")
}

// ownCPU is the time that this process has worked; the engine is another one.
func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// benchmarkValues recomputes a window from rows of values: the same counts and
// exemplars, by the simplest statement that could do it.
func benchmarkValues(b *testing.B, numbers, categories, records int) {
	db := tables(b)
	exec(b, db, createPerValue)
	for _, minute := range []int64{0, 1, 2} {
		load(b, db, "per_value", numbers, categories, records, minute)
	}
	query := fmt.Sprintf(`SELECT Feature, cell, count(), groupArraySorted(4)(cityHash64(RecordId)) FROM (
		SELECT Feature, RecordId, if(Feature < %d, toUInt16(arrayCount(e -> e < Number, range(7, 16))), toUInt16(cityHash64(Category) %% 8)) AS cell
		FROM per_value FINAL WHERE Tenant = '%s' AND Profile = '%s' AND Minute = %d) GROUP BY Feature, cell FORMAT Null`, numbers, tenant, uid, (day+1)*60)
	before, loops := cpu(b, db), 0.0
	for b.Loop() {
		exec(b, db, query)
		loops++
	}
	b.ReportMetric(float64(cpu(b, db)-before)/1000/loops, "cpu-ms/window")
}

// BenchmarkWeek judges a week of minutes of 200 features by the population
// stability index, Kolmogorov–Smirnov and Jensen–Shannon: the engine adds up two
// million cells, and this process judges.
//
//	go test -run '^$' -bench Week -benchtime 3x ./services/drift/internal/window
func BenchmarkWeek(b *testing.B) {
	const features, minutes, days = 200, 24 * 60, 7
	db := tables(b)
	p := wideOf(b, features, 0, 10_000)
	p.Monitors = []profile.Monitor{{Name: "psi", Detector: "psi"}, {Name: "ks", Detector: "ks"}, {Name: "js", Detector: "jensen_shannon"}}
	p.FillDefaults()
	for day := range days {
		exec(b, db, fmt.Sprintf(`INSERT INTO cells (Tenant, Profile, Minute, Feature, Counts, Records, Version, Measured)
			SELECT '%s', '%s', toDateTime((%d + intDiv(number, %d)) * 60, 'UTC'), number %% %d,
			arrayMap(i -> if(i < 10, 5 + cityHash64(number, i) %% 10, 0), range(15)), 100, 1, 1 FROM numbers(%d) SETTINGS max_threads = 1, max_insert_threads = 1`,
			tenant, uid, int64(day*minutes)+windowsFrom, features, features, features*minutes))
	}
	exec(b, db, "OPTIMIZE TABLE cells FINAL")
	exec(b, db, "SYSTEM STOP MERGES cells")
	kept := store.NewCells(db)
	r := store.Range{Tenant: tenant, Profile: uid.String(), Start: windowsFrom, End: windowsFrom + days*minutes}
	measured(b, db, 1, "week", func() {
		sum, err := kept.Sum(b.Context(), r, features, score.Wants(p))
		require.NoError(b, err)
		require.Greater(b, sum.Records, uint64(90*days*minutes))
		scores, err := score.Evaluate(p, score.Sample{Counts: sum.Counts}, 24)
		require.NoError(b, err)
		require.Len(b, scores, 3*features)
	})
}

// windowsFrom is the first minute of the week.
const windowsFrom = day + 1000
