package table_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/table"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

func TestTimes(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for _, c := range []struct {
		format, zone, text string
		want               time.Time
	}{
		{"", "UTC", "2026-03-04T05:06:07Z", at},
		{"", "UTC", "2026-03-04T06:06:07.25+01:00", at.Add(250 * time.Millisecond)},
		{"", "Europe/Rome", "2026-03-04 06:06:07", at},
		{"", "Europe/Rome", "2026-07-01", time.Date(2026, 6, 30, 22, 0, 0, 0, time.UTC)},
		{"rfc3339", "UTC", "2026-03-04T05:06:07Z", at},
		{"unix", "UTC", "1772600767", at},
		{"unix", "Europe/Rome", "1772600767.5", at.Add(500 * time.Millisecond)},
		{"unix-ms", "UTC", "1772600767250", at.Add(250 * time.Millisecond)},
		{"unix-us", "UTC", "1772600767000001", at.Add(time.Microsecond)},
		{"unix-ns", "UTC", "1772600767000000001", at.Add(1)},
		{"%d.%m.%Y %H:%M:%S", "Europe/Rome", "04.03.2026 06:06:07", at},
		{"%Y-%m-%dT%H:%M:%S.%f%z", "UTC", "2026-03-04T05:06:07.000001+0000", at.Add(time.Microsecond)},
		{"02/01/2006 15:04:05", "UTC", "04/03/2026 05:06:07", at},
	} {
		f, err := table.NewTimeFormat(c.format, c.zone)
		require.NoError(t, err)
		column := table.Column{Column: profile.Column{Name: "at", Type: profile.String, Texts: []string{c.text}}}
		got, none, err := f.Time(&column, 0)
		require.NoError(t, err)
		require.False(t, none)
		require.Equal(t, c.want, time.Unix(0, got).UTC(), "%s %s", c.format, c.text)
	}
	rome, err := table.NewTimeFormat("unix-ms", "Europe/Rome")
	require.NoError(t, err)
	numbers := table.Column{Column: profile.Column{Name: "at", Type: profile.Float, Numbers: []float64{float64(at.UnixMilli()), 1e300}, Missing: []bool{false, false}}}
	got, _, err := rome.Time(&numbers, 0)
	require.NoError(t, err)
	require.Equal(t, at.UnixNano(), got)
	_, _, err = rome.Time(&numbers, 1)
	require.EqualError(t, err, `column "at": row 2: 1e+300 is no time of format unix-ms (TIME)`)
	// Times of a table that names no zone are those of a clock in the one given.
	stored := table.Column{Column: profile.Column{Name: "at", Missing: []bool{false, true}}, Times: []int64{at.UnixNano(), 0}, Local: true}
	got, _, err = rome.Time(&stored, 0)
	require.NoError(t, err)
	require.Equal(t, at.Add(-time.Hour), time.Unix(0, got).UTC())
	_, none, err := rome.Time(&stored, 1)
	require.NoError(t, err)
	require.True(t, none)

	plain, err := table.NewTimeFormat("", "UTC")
	require.NoError(t, err)
	_, _, err = plain.Time(&numbers, 0)
	require.ErrorContains(t, err, "name their format")
	_, _, err = plain.Time(&table.Column{Column: profile.Column{Name: "at", Type: profile.String, Texts: []string{"soon"}}}, 0)
	require.EqualError(t, err, `column "at": row 1: "soon" is no time of a usual format; name it, such as unix or %d.%m.%Y (TIME)`)
	for _, wrong := range [][2]string{{"epoch", "UTC"}, {"%Q", "UTC"}, {"%", "UTC"}, {"", "Rome"}, {"", "Local"}} {
		_, err := table.NewTimeFormat(wrong[0], wrong[1])
		require.ErrorIs(t, err, fault.Invalid, wrong)
	}
}
