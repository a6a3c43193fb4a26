package query

import "github.com/driftmesh/driftmesh/internal/clickhouse"

// Sent selects the spans of a trace that stand in the store, for receipt.Book's
// Senders.
func Sent(id TraceID) (items string, args []any) {
	return `SELECT 'span' AS Kind, ReceivedAt FROM spans FINAL
    PREWHERE Tenant = {tenant:String} AND TraceId = toFixedString(unhex({trace:String}), 16)`, []any{clickhouse.Named("trace", id.String())}
}
