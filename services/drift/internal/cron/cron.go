// Package cron reads the schedules of profiles.
package cron

import (
	"strings"
	"time"
	_ "time/tzdata" // the same zones on every machine

	"github.com/robfig/cron/v3"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Schedule says when a profile is evaluated. It is immutable.
type Schedule struct {
	of   cron.Schedule
	zone *time.Location
}

// The fields of an expression, in order.
var fields = [6]string{"second", "minute", "hour", "day of month", "month", "day of week"}

// ReasonInvalid is the reason of every fault of Parse.
const ReasonInvalid = "INVALID_SCHEDULE"

// Parse reads a cron expression: five fields (minute, hour, day of month,
// month, day of week), or six with seconds first; a seventh field for the year
// is accepted when it is *. Lists, ranges, steps and English names work as
// usual, Sunday is 0 or SUN. Where day of month and day of week are both
// restricted, either may match. Times are those of the zone, an IANA name or ""
// for UTC: what its clocks skip is no slot, and what they show twice is two. It
// is fault.Invalid otherwise, naming the field.
func Parse(spec, zone string) (Schedule, error) {
	location, err := time.LoadLocation(zone)
	if err != nil {
		return Schedule{}, fault.Invalid.Wrap(err, "time zone %.100q is not known", zone).WithReason(ReasonInvalid)
	}
	parts := strings.Fields(spec)
	if len(parts) == 7 && parts[6] == "*" {
		parts = parts[:6]
	}
	if len(parts) == 5 {
		parts = append([]string{"0"}, parts...)
	}
	if len(parts) != 6 {
		return Schedule{}, invalid("schedule %.100q has %d fields: want 5, or 6 with seconds first", spec, len(parts))
	}
	// The parser does not say which field it dislikes, so each is tried alone.
	for i, part := range parts {
		alone := [6]string{"*", "*", "*", "*", "*", "*"}
		alone[i] = part
		if _, err := parse(alone[:]); err != nil || strings.Contains(part, "=") {
			return Schedule{}, invalid("schedule %.100q: field %s: %.50q is not understood", spec, fields[i], part)
		}
	}
	schedule, err := parse(parts)
	if err != nil {
		return Schedule{}, fault.Invalid.Wrap(err, "schedule %.100q is not understood", spec).WithReason(ReasonInvalid)
	}
	s := Schedule{of: schedule, zone: location}
	if s.Next(time.Unix(0, 0)).IsZero() {
		return Schedule{}, invalid("schedule %.100q: fields day of month and month never meet", spec)
	}
	return s, nil
}

func parse(parts []string) (schedule cron.Schedule, err error) {
	parser := cron.NewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	return parser.Parse(strings.Join(parts, " "))
}

func invalid(format string, args ...any) error {
	return fault.Invalid.New(format, args...).WithReason(ReasonInvalid)
}

// Next returns the first slot after t, in UTC.
func (s Schedule) Next(t time.Time) time.Time { return s.of.Next(t.In(s.zone)).UTC() }

// Following returns the first slot after t that has a range of its own: data are
// counted by minutes, so a slot judges the minutes that are over by then and were
// not at t. Slots without any, such as all but the first of each minute of a
// schedule in seconds, are passed over. A minute so belongs to exactly one slot.
func (s Schedule) Following(t time.Time) time.Time {
	return s.Next(t.UTC().Truncate(time.Minute).Add(time.Minute - 1))
}

// Shortest is the least time between two slots, over a year or over the first
// thousands of them; 0 where there is only one.
func (s Schedule) Shortest() (shortest time.Duration) {
	const enough = 5000
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	end, at := start.AddDate(1, 0, 0), s.Next(start)
	for n := 0; n < enough; n++ {
		next := s.Next(at)
		if at.IsZero() || next.IsZero() || next.After(end) {
			return shortest
		}
		if gap := next.Sub(at); shortest == 0 || gap < shortest {
			shortest = gap
		}
		at = next
	}
	return shortest
}

// PerDay is about how many evaluations a day has: over a year, or over the first
// thousands of them.
func (s Schedule) PerDay() float64 {
	const enough = 5000
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	end, at, n := start.AddDate(1, 0, 0), start, 0
	for ; n < enough; n++ {
		next := s.Following(at)
		if next.IsZero() || next.After(end) {
			at = end
			break
		}
		at = next
	}
	return float64(n) / (at.Sub(start).Hours() / 24)
}
