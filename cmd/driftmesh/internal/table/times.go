package table

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// TimeFormat says how the values of a column are read as times.
type TimeFormat struct {
	name    string
	layouts []string
	unit    time.Duration // of numbers since 1970; 0 for texts
	zone    *time.Location
}

// numbered are the formats that count from 1970.
var numbered = map[string]time.Duration{
	"unix": time.Second, "unix-ms": time.Millisecond, "unix-us": time.Microsecond, "unix-ns": time.Nanosecond,
}

// usual are the layouts that are tried when none is named. A fraction of seconds
// is read where it stands.
var usual = []string{
	time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02",
}

// NewTimeFormat reads the name of a format: empty for the usual forms of ISO
// 8601, rfc3339, unix, unix-ms, unix-us, unix-ns, a layout as strftime has it, or
// one as Go has it. Zone is that of times that name none.
func NewTimeFormat(format, zone string) (*TimeFormat, error) {
	f := &TimeFormat{name: format, unit: numbered[format]}
	var err error
	if f.zone, err = time.LoadLocation(zone); err != nil || zone == "Local" {
		return nil, fault.Invalid.New("time zone %q is no IANA name such as Europe/Rome", zone)
	}
	switch {
	case f.unit > 0:
	case format == "":
		f.layouts = usual
	case format == "rfc3339":
		f.layouts = []string{time.RFC3339}
	case strings.Contains(format, "%"):
		layout, err := strftime(format)
		if err != nil {
			return nil, err
		}
		f.layouts = []string{layout}
	case strings.Contains(format, "06"):
		f.layouts = []string{format}
	default:
		return nil, fault.Invalid.New("time format %q is not rfc3339, unix, unix-ms, unix-us or unix-ns, nor a layout such as %%d.%%m.%%Y or 02.01.2006", format)
	}
	return f, nil
}

// directives are what strftime writes, as Go does.
var directives = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'e': "_2", 'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'f': "000000", 'j': "002",
	'b': "Jan", 'B': "January", 'a': "Mon", 'A': "Monday", 'z': "-0700", 'Z': "MST", 'F': "2006-01-02", 'T': "15:04:05", 'R': "15:04",
	'D': "01/02/06", '%': "%", 'n': "\n", 't': "\t",
}

func strftime(format string) (string, error) {
	var layout strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			layout.WriteByte(format[i])
			continue
		}
		i++
		if i == len(format) {
			return "", fault.Invalid.New("time format %q ends in %%", format)
		}
		text, known := directives[format[i]]
		if !known {
			return "", fault.Invalid.New("time format %q has %%%c, which is not known", format, format[i])
		}
		layout.WriteString(text)
	}
	return layout.String(), nil
}

// Zone is that of times that name none.
func (f *TimeFormat) Zone() *time.Location { return f.zone }

// The range of times that fit into nanoseconds since 1970.
const (
	leastSecond = math.MinInt64 / 1_000_000_000
	mostSecond  = math.MaxInt64 / 1_000_000_000
)

// Time reads the value of a row, in nanoseconds since 1970; none says that the
// value is missing. Errors are a [profile.Error] of the row.
func (f *TimeFormat) Time(c *Column, row int) (nanos int64, none bool, err error) {
	refuse := func(what string) (int64, bool, error) {
		return 0, false, &profile.Error{Column: c.Name, Row: row + 1, Rule: "TIME", Detail: what}
	}
	switch {
	case c.Missing != nil && c.Missing[row]:
		return 0, true, nil
	case c.Type == "":
		if c.Local {
			wall := time.Unix(0, c.Times[row]).UTC()
			return time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), f.zone).UnixNano(), false, nil
		}
		return c.Times[row], false, nil
	case c.Type.Kind() == profile.Numeric:
		if f.unit == 0 {
			return refuse("the times are numbers: name their format, such as unix or unix-ms")
		}
		nanos, ok := f.count(c.Numbers[row])
		if !ok {
			return refuse(fmt.Sprintf("%v is no time of format %s", c.Numbers[row], f.name))
		}
		return nanos, false, nil
	}
	nanos, ok := f.parse(c.Texts[row])
	if !ok {
		return refuse(fmt.Sprintf("%.50q is no time of %s", c.Texts[row], f.describe()))
	}
	return nanos, false, nil
}

func (f *TimeFormat) describe() string {
	if f.name == "" {
		return "a usual format; name it, such as unix or %d.%m.%Y"
	}
	return "format " + f.name
}

// count makes a time of a number of units.
func (f *TimeFormat) count(v float64) (int64, bool) {
	whole, part := math.Modf(v)
	if seconds := v * f.unit.Seconds(); !(seconds > leastSecond && seconds < mostSecond) {
		return 0, false
	}
	return int64(whole)*int64(f.unit) + int64(math.Round(part*float64(f.unit))), true
}

func (f *TimeFormat) parse(text string) (int64, bool) {
	if f.unit > 0 {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			if n > math.MaxInt64/int64(f.unit) || n < math.MinInt64/int64(f.unit) {
				return 0, false
			}
			return n * int64(f.unit), true
		}
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0, false
		}
		return f.count(v)
	}
	for _, layout := range f.layouts {
		if t, err := time.ParseInLocation(layout, text, f.zone); err == nil {
			return t.UnixNano(), t.Unix() > leastSecond && t.Unix() < mostSecond
		}
	}
	return 0, false
}
