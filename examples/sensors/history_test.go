package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func TestAveragesOfAllTimeAndOfTheLastMinute(t *testing.T) {
	t.Parallel()
	now := noon
	h := NewHistory(func() time.Time { return now })
	add := func(at time.Time, temperature float64) Averages {
		got, err := h.Add("attic", Reading{at, temperature})
		require.NoError(t, err)
		return got
	}
	require.Equal(t, Averages{All: 10, Readings: 1, Minute: 10, MinuteCount: 1}, add(noon, 10))
	require.Equal(t, Averages{All: 15, Readings: 2, Minute: 15, MinuteCount: 2}, add(noon, 20))
	now = noon.Add(59 * time.Second)
	require.Equal(t, Averages{All: 20, Readings: 3, Minute: 20, MinuteCount: 3}, add(now, 30))
	now = noon.Add(time.Minute)
	require.Equal(t, Averages{All: 25, Readings: 4, Minute: 35, MinuteCount: 2}, add(now, 40), "the first two are a minute old")
	require.Equal(t, Averages{All: 21, Readings: 5, Minute: 35, MinuteCount: 2}, add(noon, 5), "late for the minute")
	require.Equal(t, Averages{All: 17.5, Readings: 6, Minute: 70.0 / 3, MinuteCount: 3}, add(noon.Add(time.Hour), 0), "of the future")
	now = noon.Add(10 * time.Minute)
	require.Equal(t, map[string]Averages{"attic": {All: 17.5, Readings: 6}}, h.Averages())
}

func TestAHistoryIsBounded(t *testing.T) {
	t.Parallel()
	h := NewHistory(func() time.Time { return noon })
	for i := range 10 * maxReadings {
		_, err := h.Add("attic", Reading{noon.Add(time.Duration(i) * time.Second), float64(i)})
		require.NoError(t, err)
	}
	kept := h.Readings("attic")
	require.Len(t, kept, maxReadings)
	for i, r := range kept {
		require.InDelta(t, 9*maxReadings+i, r.Temperature, 0, "in order, the newest")
	}
	for i := range maxSensors - 1 {
		_, err := h.Add(fmt.Sprint(i), Reading{noon, 1})
		require.NoError(t, err)
	}
	_, err := h.Add("one more", Reading{noon, 1})
	require.ErrorIs(t, err, errTooMany)
	_, err = h.Add("attic", Reading{noon, 1})
	require.NoError(t, err, "it is known")
	require.Empty(t, h.Readings("nobody"))
}
