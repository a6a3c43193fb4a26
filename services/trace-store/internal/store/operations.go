package store

import (
	"context"
	"sync"
	"time"

	"github.com/ClickHouse/ch-go/proto"
)

// operationLog remembers which operations were written lately, so that a block
// writes only what is new. It is safe for concurrent use.
type operationLog struct {
	mu   sync.Mutex
	seen map[operationName]int64 // the hour in which it was last written
}

type operationName struct {
	tenant, service, name string
	kind                  int32
}

// maxOperations bounds the memory of an operationLog; beyond it everything is
// forgotten, and written again.
const maxOperations = 50_000

// news are the operations of cols that were not written in the hour of now.
func (l *operationLog) news(cols *Columns, now time.Time) []operationName {
	hour := now.Unix() / 3600
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []operationName
	for o := range cols.operations {
		n := operationName{
			tenant: string(cols.tenant.word(o.tenant)), service: string(cols.service.word(o.service)),
			name: string(cols.name.word(o.name)), kind: int32(o.kind),
		}
		if l.seen[n] != hour {
			out = append(out, n)
		}
	}
	return out
}

// wrote remembers operations that are stored.
func (l *operationLog) wrote(names []operationName, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil || len(l.seen)+len(names) > maxOperations {
		l.seen = make(map[operationName]int64, len(names))
	}
	for _, n := range names {
		l.seen[n] = now.Unix() / 3600
	}
}

// writeOperations stores the operations of cols that are new.
func (w *Writer) writeOperations(ctx context.Context, cols *Columns) error {
	now := time.Now()
	names := w.operations.news(cols, now)
	if len(names) == 0 {
		return nil
	}
	tenant, service, name := new(proto.ColStr).LowCardinality(), new(proto.ColStr).LowCardinality(), new(proto.ColStr)
	kind, seen := new(proto.ColInt32), new(proto.ColDateTime)
	for _, n := range names {
		tenant.Append(n.tenant)
		service.Append(n.service)
		name.Append(n.name)
		kind.Append(n.kind)
		seen.Append(now)
	}
	err := w.insert(ctx, operationsTable, proto.Input{
		{Name: "Tenant", Data: tenant}, {Name: "ServiceName", Data: service}, {Name: "SpanName", Data: name},
		{Name: "SpanKind", Data: kind}, {Name: "LastSeen", Data: seen},
	})
	if err == nil {
		w.operations.wrote(names, now)
	}
	return err
}
