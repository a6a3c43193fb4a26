package query

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/telemetry"
)

// where is a PREWHERE and a WHERE clause in the making: fixed text and
// parameters.
type where struct {
	keys, conditions []string
	args             []any
}

func newWhere(tenant string) *where {
	w := &where{}
	w.key("Tenant = {tenant:String}")
	w.arg("tenant", tenant)
	return w
}

// newWhereWithHops selects also the spans of the mesh itself that are about
// the tenant: how its telemetry passed through the mesh.
func newWhereWithHops(tenant string) *where {
	w := &where{}
	w.key("Tenant IN ({tenant:String}, {mesh:String})")
	w.add("(Tenant = {tenant:String} OR SpanAttributes[{about:String}] = {tenant:String})")
	w.arg("tenant", tenant)
	w.arg("mesh", event.Mesh)
	w.arg("about", telemetry.AttrTenant)
	return w
}

func (w *where) key(condition string)   { w.keys = append(w.keys, condition) }
func (w *where) add(condition string)   { w.conditions = append(w.conditions, condition) }
func (w *where) arg(name string, v any) { w.args = append(w.args, clickhouse.Named(name, v)) }

func (w *where) sql() string {
	sql := "PREWHERE " + strings.Join(w.keys, " AND ")
	if len(w.conditions) > 0 {
		sql += "\nWHERE " + strings.Join(w.conditions, "\n  AND ")
	}
	return sql
}

// any is the same without PREWHERE, for where ClickHouse may choose itself.
func (w *where) any() string {
	return "WHERE " + strings.Join(slices.Concat(w.keys, w.conditions), "\n  AND ")
}

// service selects the spans of one service, by the name that answers give it.
func (w *where) service(name string) {
	if name == MissingService {
		w.add("ServiceName IN ('', {service:String})")
	} else {
		w.add("ServiceName = {service:String}")
	}
	w.arg("service", name)
}

// services selects the spans of some services, by the names that answers give
// them.
func (w *where) services(names []string) {
	if slices.Contains(names, MissingService) {
		names = append(slices.Clone(names), "")
	}
	w.add("ServiceName IN {services:Array(String)}")
	w.arg("services", names)
}

func (w *where) traceIDs(ids []TraceID) {
	hexes := make([]string, len(ids))
	for i, id := range ids {
		hexes[i] = id.String()
	}
	// As a subquery, since only constants and sets find granules by key.
	w.key("TraceId IN (SELECT toFixedString(unhex(arrayJoin({ids:Array(String)})), 16))")
	w.arg("ids", hexes)
}

// timeRange adds the bounds that r has. Times travel as nanoseconds, since
// text would be rounded.
func (w *where) timeRange(column string, r Range) {
	if !r.Start.IsZero() {
		w.add(column + " >= fromUnixTimestamp64Nano({start:Int64})")
		w.arg("start", nanos(r.Start))
	}
	if !r.End.IsZero() {
		w.add(column + " < fromUnixTimestamp64Nano({end:Int64})")
		w.arg("end", nanos(r.End))
	}
}

// nanos is t in Unix nanoseconds, kept within what DateTime64(9) can hold.
func nanos(t time.Time) int64 {
	const limit = math.MaxInt64 / int64(time.Second)
	switch s := t.Unix(); {
	case s < 0:
		return 0
	case s >= limit:
		return math.MaxInt64
	}
	return t.UnixNano()
}

// since is w from a time on.
func (w *where) since(from time.Time) *where {
	of := &where{keys: w.keys, conditions: slices.Clone(w.conditions), args: slices.Clone(w.args)}
	of.add("Timestamp >= fromUnixTimestamp64Nano({from:Int64})")
	of.arg("from", nanos(from))
	return of
}

// The place of a trace, as place gives it.
const placeTime, placeID = "fromUnixTimestamp64Nano({at:Int64})", "toFixedString(unhex({last:String}), 16)"

func (w *where) place(h hit) {
	w.arg("at", h.at)
	w.arg("last", h.id.String())
}

// after leaves out what earlier pages gave: traces whose newest match comes
// before the token's.
func (w *where) after(token string) error {
	if token == "" {
		return nil
	}
	h, err := parseToken(token)
	if err != nil {
		return err
	}
	w.place(h)
	const at, last = placeTime, placeID
	earlier := "SELECT TraceId FROM span_index " + w.any() +
		" AND (Timestamp > " + at + " OR Timestamp = " + at + " AND TraceId >= " + last + ")"
	w.add("(Timestamp < " + at + " OR Timestamp = " + at + " AND TraceId < " + last + ")")
	w.add("TraceId NOT IN (" + earlier + ")")
	return nil
}
