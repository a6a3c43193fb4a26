package receipt

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"time"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
)

//go:embed senders.sql
var sendersSQL string

// sendersTimeout bounds the statement.
const sendersTimeout = 25 * time.Second

// Senders tells who sent what a statement selects of a tenant's data, who sent most
// first: the statement gives the Kind of each item and the time ReceivedAt at which
// it was accepted, and may use the parameter tenant beside its own. It costs no more than
// the context allows (clickhouse.WithCost).
func (b *Book) Senders(ctx context.Context, tenant, items string, args ...any) (*ledgerv1.ListSendersResponse, error) {
	rows, err := b.db.QueryWithin(ctx, clickhousego.Settings{"max_execution_time": sendersTimeout.Seconds()},
		strings.Replace(sendersSQL, "{{items}}", items, 1), append(args, clickhouse.Named("tenant", tenant))...)
	if err != nil {
		return nil, fmt.Errorf("look for senders: %w", err)
	}
	defer rows.Close()
	resp := &ledgerv1.ListSendersResponse{}
	for rows.Next() {
		sent := &ledgerv1.Sent{}
		var first, last time.Time
		if err := rows.Scan(&sent.Sender, &sent.Kind, &sent.Items, &first, &last); err != nil {
			return nil, fmt.Errorf("read senders: %w", err)
		}
		sent.FirstTime, sent.LastTime = timestamppb.New(first), timestamppb.New(last)
		resp.Sent = append(resp.Sent, sent)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look for senders: %w", err)
	}
	return resp, nil
}
