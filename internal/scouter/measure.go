package scouter

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// TraceBucket is what the traces that began in a time come to.
type TraceBucket struct {
	Start     time.Time `json:"bucket_start"`
	Traces    int       `json:"trace_count"`
	Avg       float64   `json:"avg_duration_ms"`
	P50       float64   `json:"p50_duration_ms"`
	P95       float64   `json:"p95_duration_ms"`
	P99       float64   `json:"p99_duration_ms"`
	ErrorRate float64   `json:"error_rate"`
}

// TraceMeasure is one trace.
type TraceMeasure struct {
	Start    time.Time
	Duration time.Duration
	Failed   bool
}

// units are those of bucket intervals.
var units = map[string]time.Duration{
	"second": time.Second, "minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour, "week": 7 * 24 * time.Hour,
}

// BucketWidth reads an interval: a unit, such as hour, or a number of them, such as
// 5 minutes. It gives fault.Invalid for one that is not known.
func BucketWidth(text string) (time.Duration, error) {
	number, unit, counted := strings.Cut(strings.TrimSpace(text), " ")
	n := int64(1)
	if counted {
		var err error
		if n, err = strconv.ParseInt(number, 10, 32); err != nil || n < 1 {
			return 0, errRequest("bucket_interval %.40q is not understood", text)
		}
	} else {
		unit = number
	}
	of, ok := units[strings.TrimSuffix(strings.ToLower(strings.TrimSpace(unit)), "s")]
	if !ok {
		return 0, errRequest("bucket_interval %.40q is none of second, minute, hour, day and week", text)
	}
	return time.Duration(n) * of, nil
}

// BucketsOf sums traces up in buckets, which begin at multiples of their width since
// 1970.
func BucketsOf(all []TraceMeasure, width time.Duration) []TraceBucket {
	by := map[int64][]TraceMeasure{}
	for _, one := range all {
		at := one.Start.UnixNano() / int64(width)
		by[at] = append(by[at], one)
	}
	out := make([]TraceBucket, 0, len(by))
	for at, traces := range by {
		b := TraceBucket{Start: time.Unix(0, at*int64(width)).UTC(), Traces: len(traces)}
		durations := make([]float64, len(traces))
		for i, one := range traces {
			durations[i] = float64(one.Duration) / float64(time.Millisecond)
			b.Avg += durations[i] / float64(len(traces))
			if one.Failed {
				b.ErrorRate += 1 / float64(len(traces))
			}
		}
		slices.Sort(durations)
		b.P50, b.P95, b.P99 = quantile(durations, 0.50), quantile(durations, 0.95), quantile(durations, 0.99)
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b TraceBucket) int { return a.Start.Compare(b.Start) })
	return out
}

// quantile is that of Hyndman and Fan's type 7 of sorted values.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(math.Floor(at))
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}
