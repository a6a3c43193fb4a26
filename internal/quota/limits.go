package quota

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/settings"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

// Name is one limit.
type Name int

// The limits; auth.proto says what each is of. Their order is that of its fields.
const (
	IngestRate Name = iota
	IngestBurst
	IngestItems
	IngestItemsBurst
	InFlight
	BacklogBytes
	Tails
	Profiles
	ShortestSchedule
	Queries
	QueryTime
	QueryRead
	Retained
	names // how many there are
)

type unit int

const (
	count unit = iota
	bytes
	seconds
)

// table has what people call a limit, and what its numbers are.
var table = [names]struct {
	name string
	unit unit
}{
	IngestRate: {"ingest-rate", bytes}, IngestBurst: {"ingest-burst", bytes},
	IngestItems: {"ingest-items", count}, IngestItemsBurst: {"ingest-items-burst", count},
	InFlight: {"in-flight", bytes}, BacklogBytes: {"backlog", bytes}, Tails: {"tails", count}, Profiles: {"profiles", count},
	ShortestSchedule: {"shortest-schedule", seconds}, Queries: {"queries", count}, QueryTime: {"query-time", seconds},
	QueryRead: {"query-read", bytes}, Retained: {"retained", bytes},
}

// Names are all limits, in order.
func Names() []Name {
	out := make([]Name, names)
	for i := range out {
		out[i] = Name(i)
	}
	return out
}

// ParseName gives the limit that is called so, by people (ingest-rate) or in the
// API (ingest_rate).
func ParseName(name string) (Name, error) {
	for n := range names {
		if name == n.String() || name == string(field(&authv1.Limits{}, n).Name()) {
			return n, nil
		}
	}
	return 0, fault.Invalid.New("limit %.100q does not exist", name).WithReason("LIMIT_UNKNOWN")
}

// String is what people call the limit.
func (n Name) String() string { return table[n].name }

// Format writes a value of the limit with its unit.
func (n Name) Format(value int64) string {
	switch table[n].unit {
	case bytes:
		return settings.Size(value).String()
	case seconds:
		return (time.Duration(value) * time.Second).String()
	case count:
	}
	return strconv.FormatInt(value, 10)
}

// examples are values that could be meant, by unit: 8 MiB, a minute, four.
var examples = map[unit]int64{bytes: 8 << 20, seconds: 60, count: 4}

// Parse reads a value of the limit as Format writes it.
func (n Name) Parse(text string) (value int64, err error) {
	switch table[n].unit {
	case bytes:
		var size settings.Size
		err = size.UnmarshalText([]byte(text))
		value = int64(size)
	case seconds:
		var d time.Duration
		d, err = time.ParseDuration(text)
		value = int64(d / time.Second)
		if err == nil && d%time.Second != 0 {
			err = fmt.Errorf("%q is not whole seconds", text)
		}
	case count:
		value, err = strconv.ParseInt(text, 10, 64)
	}
	if err == nil && value < 0 {
		err = errors.New("it is less than 0")
	}
	if err != nil {
		return 0, fault.Invalid.Wrap(err, "limit %s: %.100q cannot be its value; %s could", n, text, n.Format(examples[table[n].unit])).WithReason("LIMIT_INVALID")
	}
	return value, nil
}

// Limits are what a tenant may use, by Name; 0 is no limit.
type Limits [names]int64

// Own are limits that a tenant has of its own; the others are the defaults.
type Own map[Name]int64

// With gives the limits with those of a tenant.
func (l Limits) With(own Own) Limits {
	for name, value := range own {
		if name >= 0 && name < names {
			l[name] = value
		}
	}
	return l
}

// Config are the limits of tenants that have none of their own.
type Config struct {
	IngestRate       settings.Size `help:"Bytes of spans and records a second, unpacked, that one tenant may send to each gateway; 0 is no limit." default:"0"`
	IngestBurst      settings.Size `help:"Bytes of them at once; 0 is what may come in a second." default:"0"`
	IngestItems      int64         `help:"Spans and records a second that one tenant may send to each gateway; 0 is no limit." default:"0"`
	IngestItemsBurst int64         `help:"Spans and records at once; 0 is what may come in a second." default:"0"`
	InFlight         settings.Size `help:"Bytes of one tenant's requests and live tails in the memory of a gateway; 0 is its share." default:"0"`
	Backlog          settings.Size `help:"Bytes of one tenant that a gateway has put on a topic and that are not stored yet; 0 is its share of the topic." default:"0"`
	Tails            int64         `help:"Live tails of one tenant at each gateway; 0 is no limit." default:"32"`
	Profiles         int64         `help:"Profiles of one tenant whose schedule is on; 0 is no limit." default:"1000"`
	ShortestSchedule time.Duration `help:"Least time between two slots of a profile's schedule, in whole seconds; 0 is no limit." default:"0s"`
	Queries          int64         `help:"Queries of one tenant answered at a time, by each trace-store and each drift; 0 is no limit." default:"6"`
	QueryTime        time.Duration `help:"How long one statement of a tenant's query may take, in whole seconds; 0 is what trace-store says." default:"0s"`
	QueryRead        settings.Size `help:"Bytes of columns that one statement of a tenant's query may read; 0 is no limit." default:"0"`
	Retained         settings.Size `help:"Bytes of spans and records that are kept of one tenant, as they were sent, unpacked; more is refused; 0 is no limit." default:"0"`
}

// Limits are those of the settings.
func (c Config) Limits() Limits {
	return Limits{
		IngestRate: int64(c.IngestRate), IngestBurst: int64(c.IngestBurst), IngestItems: c.IngestItems, IngestItemsBurst: c.IngestItemsBurst,
		InFlight: int64(c.InFlight), BacklogBytes: int64(c.Backlog), Tails: c.Tails, Profiles: c.Profiles,
		ShortestSchedule: int64(c.ShortestSchedule / time.Second), Queries: c.Queries, QueryTime: int64(c.QueryTime / time.Second),
		QueryRead: int64(c.QueryRead), Retained: int64(c.Retained),
	}
}

// Defaults are what the settings say unless they say something else: the limits of a
// process that has not heard from auth yet.
func Defaults() Limits { return settings.Filled(Config{}).Limits() }

// Check reports every limit that cannot work.
func (c Config) Check(prefix string) error {
	var bad []string
	for name, value := range c.Limits() {
		if value < 0 {
			bad = append(bad, prefix+Name(name).String()+": must not be negative")
		}
	}
	for name, d := range map[Name]time.Duration{ShortestSchedule: c.ShortestSchedule, QueryTime: c.QueryTime} {
		if d%time.Second != 0 {
			bad = append(bad, prefix+name.String()+": must be whole seconds")
		}
	}
	if len(bad) == 0 {
		return nil
	}
	slices.Sort(bad)
	return errors.New(strings.Join(bad, "; "))
}

// Message says limits in the words of the API.
func (l Limits) Message() *authv1.Limits {
	own := Own{}
	for name, value := range l {
		own[Name(name)] = value
	}
	return own.Message()
}

// Message says a tenant's own limits in the words of the API.
func (o Own) Message() *authv1.Limits {
	m := &authv1.Limits{}
	for name, value := range o {
		if f := field(m, name); f != nil && value >= 0 {
			m.ProtoReflect().Set(f, protoreflect.ValueOfUint64(uint64(value)))
		}
	}
	return m
}

// most is what a limit may say: far from where sums and rates overflow.
const most = int64(1) << 53

// OwnOf reads what is set of a message. It gives fault.Invalid for a value that is
// none.
func OwnOf(m *authv1.Limits) (Own, error) {
	own := Own{}
	for name := range names {
		f := field(m, name)
		if m == nil || f == nil || !m.ProtoReflect().Has(f) {
			continue
		}
		value := m.ProtoReflect().Get(f).Uint()
		if value > uint64(most) {
			return nil, fault.Invalid.New("limit %s: %d is more than %d", name, value, most).WithReason("LIMIT_INVALID")
		}
		own[name] = int64(value)
	}
	return own, nil
}

// field is that of a limit.
func field(m *authv1.Limits, name Name) protoreflect.FieldDescriptor {
	return m.ProtoReflect().Descriptor().Fields().ByNumber(protoreflect.FieldNumber(name + 1))
}

// MarshalText writes a tenant's own limits for the state.
func (o Own) MarshalText() ([]byte, error) {
	byName := make(map[string]int64, len(o))
	for name, value := range o {
		byName[name.String()] = value
	}
	return json.Marshal(byName)
}

// UnmarshalText reads them. Those that only a newer release knows are left out.
func (o *Own) UnmarshalText(text []byte) error {
	var byName map[string]int64
	if err := json.Unmarshal(text, &byName); err != nil {
		return fmt.Errorf("read limits: %w", err)
	}
	*o = Own{}
	for name, value := range byName {
		if known, err := ParseName(name); err == nil {
			(*o)[known] = value
		}
	}
	return nil
}
