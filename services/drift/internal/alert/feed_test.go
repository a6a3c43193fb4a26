package alert_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
)

// arrivals draws the time from one arrival to the next, of feeds of several kinds.
var arrivals = map[string]func(at time.Time, r *rand.Rand) time.Duration{
	"steady": func(time.Time, *rand.Rand) time.Duration { return 5 * time.Minute },
	"random": func(_ time.Time, r *rand.Rand) time.Duration { return exponential(r, 20*time.Minute) },
	"rare":   func(_ time.Time, r *rand.Rand) time.Duration { return exponential(r, 5*time.Hour) },
	"bursts": func(_ time.Time, r *rand.Rand) time.Duration {
		return exponential(r, []time.Duration{time.Second, 2 * time.Hour}[r.IntN(20)/19])
	},
	"heavy tail": func(_ time.Time, r *rand.Rand) time.Duration {
		return time.Duration(float64(time.Minute) * math.Pow(r.Float64(), -1/1.5))
	},
	"every night": func(_ time.Time, r *rand.Rand) time.Duration {
		return 23*time.Hour + time.Duration(r.IntN(7200))*time.Second
	},
	"working hours": workingHours,
}

func exponential(r *rand.Rand, mean time.Duration) time.Duration {
	return time.Duration(r.ExpFloat64() * float64(mean))
}

func workingHours(at time.Time, r *rand.Rand) time.Duration {
	next := at.Add(exponential(r, 5*time.Minute))
	for next.Hour() < 8 || next.Hour() >= 18 || next.Weekday() == time.Saturday || next.Weekday() == time.Sunday {
		next = next.Truncate(time.Hour).Add(time.Hour)
	}
	return next.Sub(at)
}

// Feeds that live are called dead about once in four weeks at most, once four weeks
// are known, and those whose arrivals have no heavy tail hardly ever; a feed that
// dies is noticed after twice its longest gap.
func TestSilence(t *testing.T) {
	t.Parallel()
	const floor = time.Hour
	for name, next := range arrivals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, uint64(len(name))))
			alarms, months := 0, 0.0
			for range 20 {
				var f alert.Feed
				begin := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
				at := begin
				for at.Before(begin.Add(20 * 7 * 24 * time.Hour)) {
					f.Came(at)
					at = at.Add(next(at, r))
					if at.Sub(begin) > 28*24*time.Hour && f.Silent(at, begin, floor) {
						alarms++
					}
				}
				months += 4 // of four weeks
				limit := f.Limit(floor)
				require.False(t, f.Silent(f.Last.Add(limit), begin, floor))
				require.True(t, f.Silent(f.Last.Add(limit+time.Second), begin, floor))
			}
			t.Logf("%d false alarms in %.0f times four weeks", alarms, months)
			require.LessOrEqual(t, float64(alarms), months, "what is stated of any feed")
			if name != "heavy tail" {
				require.LessOrEqual(t, alarms, 2)
			}
		})
	}
}

func TestWhatIsNoSilence(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	later := begin.Add(1000 * time.Hour)
	var f alert.Feed
	require.False(t, f.Silent(later, begin, time.Hour), "what never came")
	f.Came(begin)
	f.Came(begin.Add(30 * time.Minute))
	require.False(t, f.Silent(later, begin, time.Hour), "what was sent at once, and that was it")
	f.Came(begin.Add(90 * time.Minute))
	require.True(t, f.Silent(later, begin, time.Hour))
	require.False(t, f.Silent(later, later.Add(-time.Hour), time.Hour), "nobody would have noticed")
	require.False(t, f.Silent(later, begin, 0), "off")
	f.Watched = later
	require.False(t, f.Silent(later.Add(2*time.Hour), begin, time.Hour), "it was switched off")
	require.True(t, f.Silent(later.Add(2*time.Hour+1), begin, time.Hour))
}
