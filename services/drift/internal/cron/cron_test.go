package cron_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/drift/internal/cron"
)

func TestNext(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 5, 1, 10, 7, 30, 5, time.FixedZone("elsewhere", 7200)) // a Friday, 08:07:30 UTC
	for spec, want := range map[string]string{
		"0 0 0 * * *":                       "2026-05-02T00:00:00Z",
		"0 0 * * *":                         "2026-05-02T00:00:00Z",
		"*/5 * * * *":                       "2026-05-01T08:10:00Z",
		"*/20 * * * * *":                    "2026-05-01T08:07:40Z",
		"0 * * * * * *":                     "2026-05-01T08:08:00Z",
		"0 0,5,10,15,20,25,30,35 * * * * *": "2026-05-01T08:10:00Z",
		"0 0 */6 * * *":                     "2026-05-01T12:00:00Z",
		"0 0 0 * * SUN":                     "2026-05-03T00:00:00Z",
		"0 0 0 * * 0":                       "2026-05-03T00:00:00Z",
		"0 0 29 2 *":                        "2028-02-29T00:00:00Z",
	} {
		s, err := cron.Parse(spec, "UTC")
		require.NoError(t, err, spec)
		require.Equal(t, want, s.Next(from).Format(time.RFC3339), spec)
	}
}

func TestNextInAZone(t *testing.T) {
	t.Parallel()
	s, err := cron.Parse("30 2 * * *", "Europe/Rome")
	require.NoError(t, err)
	at := time.Date(2026, 3, 27, 12, 0, 0, 0, time.UTC)
	for _, want := range []string{
		"2026-03-28T01:30:00Z", // winter time
		"2026-03-30T00:30:00Z", // on the 29th there is no half past two
		"2026-03-31T00:30:00Z",
	} {
		at = s.Next(at)
		require.Equal(t, want, at.Format(time.RFC3339))
	}
	_, err = cron.Parse("30 2 * * *", "Mars/Olympus")
	require.ErrorIs(t, err, fault.Invalid)
}

func TestPerDay(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]float64{"0 0 * * *": 1, "*/5 * * * *": 288, "* * * * * *": 1440, "*/20 * * * * *": 1440, "30 */2 * * * *": 720, "0 0 29 2 *": 1.0 / 366, "0 0 * * SUN": 52.0 / 366} {
		s, err := cron.Parse(spec, "")
		require.NoError(t, err)
		require.InEpsilon(t, want, s.PerDay(), 0.01, spec)
	}
}

// expression is a random cron expression with seconds.
func expression(r *rand.Rand) string {
	field := func(size int) string {
		switch r.IntN(4) {
		case 0:
			return "*"
		case 1:
			return fmt.Sprintf("*/%d", 1+r.IntN(size))
		case 2:
			return strconv.Itoa(r.IntN(size))
		default:
			return fmt.Sprintf("%d,%d,%d", r.IntN(size), r.IntN(size), r.IntN(size))
		}
	}
	return fmt.Sprintf("%s %s %s * * %s", field(60), field(60), field(24), []string{"*", "1-5", "0"}[r.IntN(3)])
}

// Whatever the schedule, also over a change of the clocks, every minute is judged
// by exactly one slot: the first one that comes when it is over.
func TestEveryMinuteBelongsToOneSlot(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		spec, zone := expression(r), []string{"UTC", "Europe/Rome", "Australia/Lord_Howe"}[r.IntN(3)]
		s, err := cron.Parse(spec, zone)
		require.NoError(t, err, spec)
		at := time.Date(2026, 3, 27, r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(1e9), time.UTC)
		minute := at.Unix() / 60 // the first that belongs to the next slot
		for range 200 {
			slot := s.Following(at)
			end := slot.Unix() / 60
			require.Greater(t, end, minute, "%s %s: a slot at %s after %s judges nothing", spec, zone, slot, at)
			first := s.Next(time.Unix((minute+1)*60-1, 999_999_999))
			require.Equal(t, first, slot, "%s %s: minute %d could be judged before", spec, zone, minute)
			at, minute = slot, end
		}
	}
}

func TestParseNamesTheField(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"":                     "has 0 fields",
		"* * * *":              "has 4 fields",
		"* * * * * * 2026":     "has 7 fields",
		"@daily":               "has 1 fields",
		"TZ=Europe/Rome * * *": "has 4 fields",
		"TZ=UTC * * * *":       "field minute",
		"61 * * * * *":         "field second",
		"61 * * * *":           "field minute",
		"0 24 * * *":           "field hour",
		"0 0 0 * *":            "field day of month",
		"0 0 1 13 *":           "field month",
		"0 0 * * 8":            "field day of week",
		"0 0 * * FRIDAYS":      "field day of week",
		"5-1 * * * *":          "field minute",
		"*/0 * * * *":          "field minute",
		"0 0 30 2 *":           "never meet",
	} {
		_, err := cron.Parse(spec, "UTC")
		require.ErrorIs(t, err, fault.Invalid, spec)
		require.ErrorContains(t, err, want, spec)
		require.Equal(t, cron.ReasonInvalid, fault.Of(err).Reason())
	}
}

func FuzzParse(f *testing.F) {
	f.Add("*/5 1-3,7 * JAN-MAR MON#2")
	f.Add("0 0 0 31 2 *")
	f.Fuzz(func(t *testing.T, spec string) {
		s, err := cron.Parse(spec, "UTC")
		if err != nil {
			return
		}
		from := time.Unix(1_700_000_000, 0)
		if next := s.Next(from); !next.IsZero() && !next.After(from) {
			t.Fatalf("%q: %v is not after %v", spec, next, from)
		}
	})
}
