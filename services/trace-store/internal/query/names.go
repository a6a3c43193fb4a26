package query

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Operation is a span name of a service with a kind.
type Operation struct{ Name, Kind string }

// maxNames bounds the lists of services and operations.
const maxNames = 10_000

// Services gives the names of the services that sent spans, sorted; at most
// 10,000, and whether there are more.
func (q *Reader) Services(ctx context.Context, tenant string) (names []string, truncated bool, err error) {
	w := newWhere(tenant)
	w.arg("n", uint64(maxNames)+1)
	w.arg("missing", MissingService)
	rows, err := q.query(ctx, "SELECT DISTINCT if(ServiceName = '', {missing:String}, ServiceName) AS Name FROM operations "+w.any()+" ORDER BY Name LIMIT {n:UInt64}", w.args)
	if err != nil {
		return nil, false, fmt.Errorf("list services: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, false, fmt.Errorf("read service: %w", err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		return nil, false, fmt.Errorf("list services: %w", err)
	}
	return names[:min(len(names), maxNames)], len(names) > maxNames, nil
}

// Operations gives the span names of a service, sorted by name, then kind; at
// most 10,000, and whether there are more. kind is a name of KindName, or ""
// for all.
func (q *Reader) Operations(ctx context.Context, tenant, service, kind string) (names []Operation, truncated bool, err error) {
	w := newWhere(tenant)
	w.service(service)
	if kind != "" {
		i, err := kindNumber(kind)
		if err != nil {
			return nil, false, err
		}
		w.add("SpanKind = {kind:Int32}")
		w.arg("kind", i)
	}
	w.arg("n", uint64(maxNames)+1)
	rows, err := q.query(ctx, "SELECT DISTINCT SpanName, SpanKind FROM operations "+w.any()+
		" ORDER BY SpanName, SpanKind LIMIT {n:UInt64}", w.args)
	if err != nil {
		return nil, false, fmt.Errorf("list operations: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var o Operation
		var number int32
		if err := rows.Scan(&o.Name, &number); err != nil {
			return nil, false, fmt.Errorf("read operation: %w", err)
		}
		o.Kind = KindName(number)
		names = append(names, o)
	}
	if err := rows.Err(); err != nil {
		return nil, false, fmt.Errorf("list operations: %w", err)
	}
	return names[:min(len(names), maxNames)], len(names) > maxNames, nil
}

func kindNumber(name string) (int32, error) {
	i := slices.Index(kinds, strings.ToLower(name))
	if i < 0 {
		return 0, fault.Invalid.New("span_kind %q is none of %s", name, strings.Join(kinds, ", "))
	}
	return int32(i), nil
}
