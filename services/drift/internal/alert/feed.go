package alert

import (
	"slices"
	"time"
)

// Feed is what is known of the times at which rows of a profile came.
type Feed struct {
	// First and Last are when rows came for the first and the last time, zero while
	// none have; Watched is from when on their absence counts.
	First, Last, Watched time.Time
	// Gaps has, for each of the last days with any, the longest time between rows, in
	// seconds. Days are since 1970.
	Gaps map[int64]int64
}

// feedDays is for how long gaps are remembered: four times every weekday.
const feedDays = 28

// gapFactor is how many times the longest remembered gap is silence.
const gapFactor = 2

func dayOf(t time.Time) int64 { return t.Unix() / int64(24*time.Hour/time.Second) }

// Came takes in that rows came. Times that are not after the last one say nothing.
func (f *Feed) Came(at time.Time) {
	if f.First.IsZero() {
		f.First, f.Last = at, at
		if f.Watched.IsZero() {
			f.Watched = at
		}
		return
	}
	if !at.After(f.Last) {
		return
	}
	if f.Gaps == nil {
		f.Gaps = map[int64]int64{}
	}
	day := dayOf(at)
	f.Gaps[day] = max(f.Gaps[day], int64(at.Sub(f.Last)/time.Second))
	for d := range f.Gaps {
		if d <= day-feedDays {
			delete(f.Gaps, d)
		}
	}
	f.Last = at
}

// Limit is how long a silence must be to be an alert: longer than floor, and than
// twice the longest one that there was in four weeks.
//
// Where gaps are alike, whatever their distribution, the next one is longer than all
// of the last m with a chance of at most 1/(m+1), so about once in the time that is
// remembered; that it is twice as long is rarer, by m for arrivals at random. Before
// four weeks have passed the time that is remembered is shorter, and the first quiet
// night or weekend may be a false alarm, once.
func (f *Feed) Limit(floor time.Duration) time.Duration {
	longest := int64(0)
	for _, gap := range f.Gaps {
		longest = max(longest, gap)
	}
	return max(floor, gapFactor*time.Duration(longest)*time.Second)
}

// Unfed reports whether nothing ever came, for longer than most, in which somebody
// would have noticed, since when. 0 is never.
func (f *Feed) Unfed(now, since time.Time, most time.Duration) bool {
	return most > 0 && f.First.IsZero() && now.Sub(slices.MaxFunc([]time.Time{f.Watched, since}, time.Time.Compare)) > most
}

// Silent reports whether a feed has died: rows came for at least floor, and have not
// for longer than the limit, in which somebody would have noticed, since when.
func (f *Feed) Silent(now, since time.Time, floor time.Duration) bool {
	if floor <= 0 || f.First.IsZero() || f.Last.Sub(f.First) < floor {
		return false
	}
	from := slices.MaxFunc([]time.Time{f.Last, f.Watched, since}, time.Time.Compare)
	return now.Sub(from) > f.Limit(floor)
}
