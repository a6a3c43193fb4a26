package query

import (
	"context"
	"fmt"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
)

// Values are those of an attribute of spans, or of events of them.
type Values struct {
	Attribute string
	Texts     []string
	Range     Range // of when the spans start
}

// maxValues bounds what is looked for at a time.
const maxValues = 1000

// Links finds the trace of each value: of the span that has it and began first. Values
// that no span has are left out.
func (q *Reader) Links(ctx context.Context, tenant string, v Values) (map[string]TraceID, error) {
	if v.Attribute == "" || len(v.Texts) == 0 || len(v.Texts) > maxValues {
		return nil, fault.Invalid.New("want an attribute, and 1 to %d values", maxValues).WithReason("FIELD_INVALID")
	}
	tokens := make([]uint32, len(v.Texts))
	for i, text := range v.Texts {
		tokens[i] = store.Token(v.Attribute, text)
	}
	w := newWhere(tenant)
	w.arg("attribute", v.Attribute)
	w.arg("texts", v.Texts)
	w.arg("tokens", tokens)
	w.timeRange("Timestamp", v.Range)
	// Tokens can collide, so the spans that the index finds are looked at.
	rows, err := q.query(ctx, `SELECT arrayJoin(arrayIntersect(arrayConcat([SpanAttributes[{attribute:String}]],
		arrayMap(m -> m[{attribute:String}], `+"`Events.Attributes`"+`)), {texts:Array(String)})) AS Text,
	argMin(TraceId, (Timestamp, TraceId)) AS Trace
FROM spans
`+w.any()+` AND (TraceId, SpanId) IN (SELECT TraceId, SpanId FROM span_index `+w.any()+` AND hasAny(Tags, {tokens:Array(UInt32)}))
GROUP BY Text`, w.args)
	if err != nil {
		return nil, fmt.Errorf("link traces: %w", err)
	}
	defer rows.Close()
	found := map[string]TraceID{}
	for rows.Next() {
		var text, id string
		if err := rows.Scan(&text, &id); err != nil {
			return nil, fmt.Errorf("read links: %w", err)
		}
		var trace TraceID
		copy(trace[:], id)
		found[text] = trace
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("link traces: %w", err)
	}
	return found, nil
}
