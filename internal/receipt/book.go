package receipt

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
)

// Config says which books are kept.
type Config struct {
	Signal       string // spans or records
	Topic, Group string // of the messages that are settled; the group reads the receipts too
	Retry        string // the topic's retry topic; "" where it has none
	Source       string // the topic of receipts
	Receipts     string // the table of receipts
	Settled      string // the table of settled messages
	Written      string // its column of what was written to the store
	// Retention is how long the tables are kept; 0 is for ever.
	Retention time.Duration
}

// Lag tells how far a group is behind; it is broker.Admin's.
type Lag func(ctx context.Context, topic, group string) (broker.Lag, error)

// Book is the books of one signal. Make it with New; it is safe for concurrent
// use.
type Book struct {
	cfg Config
	db  *clickhouse.DB
	lag Lag
	now func() time.Time

	settled, acknowledged, refused statement
	retained                       string
}

// New makes books over tables that a migration of the service has made. db
// stays the caller's.
func New(cfg Config, db *clickhouse.DB, lag Lag) *Book {
	b := &Book{cfg: cfg, db: db, lag: lag, now: time.Now}
	b.settled, b.acknowledged, b.refused = b.statement(settledSQL), b.statement(acknowledgedSQL), b.statement(refusedSQL)
	b.retained = strings.ReplaceAll(retainedSQL, "{{receipts}}", cfg.Receipts)
	return b
}

var (
	//go:embed settled.sql
	settledSQL string
	//go:embed acknowledged.sql
	acknowledgedSQL string
	//go:embed refused.sql
	refusedSQL string
	//go:embed retained.sql
	retainedSQL string
)

// statement is SQL about one tenant, and about all.
type statement struct{ one, all string }

func (b *Book) statement(sql string) statement {
	with := func(tenant string) string {
		return strings.NewReplacer("{{settled}}", b.cfg.Settled, "{{receipts}}", b.cfg.Receipts,
			"{{written}}", b.cfg.Written, "{{tenant}}", tenant).Replace(sql)
	}
	return statement{one: with("Tenant = {tenant:String}"), all: with("1")}
}

// about is the statement and its arguments for a tenant, "" for all of them.
func (s statement) about(tenant string, since time.Time) (sql string, args []any) {
	args = []any{clickhouse.Named("since", since.UTC().Format("2006-01-02 15:04:05"))}
	if tenant == "" {
		return s.all, args
	}
	return s.one, append(args, clickhouse.Named("tenant", tenant))
}

const day = 24 * time.Hour

// Since is the start of the first day that the books are about: the first that
// is kept whole, and today at the latest. The zero Unix time is for ever.
func (b *Book) Since() time.Time {
	if b.cfg.Retention == 0 {
		return time.Unix(0, 0).UTC()
	}
	now := b.now().UTC()
	first := now.Add(-b.cfg.Retention).Truncate(day).Add(day)
	if today := now.Truncate(day); first.After(today) {
		return today
	}
	return first
}

// How often it is looked again whether what seems to be lost is, and how long
// between. What a broker tells is of a moment: a message on its way from the
// broker to a worker may be in neither count. A loss stays.
const (
	looks = 3
	pause = 100 * time.Millisecond
)

// Settled gives what became of a tenant's messages, but for what is in the
// store. It is fault.Unavailable while the broker cannot say how many messages
// are pending: without that a message on its way would look lost.
func (b *Book) Settled(ctx context.Context, tenant string) (*ledgerv1.GetSettledResponse, error) {
	return b.settledSince(ctx, tenant, b.Since())
}

// settledSince looks several times where something seems to be lost, and
// returns the look that saw the least of it.
func (b *Book) settledSince(ctx context.Context, tenant string, since time.Time) (least *ledgerv1.GetSettledResponse, err error) {
	for look := 1; ; look++ {
		resp, err := b.look(ctx, tenant, since)
		if err != nil {
			return nil, err
		}
		if least == nil || lost(resp) < lost(least) {
			least = resp
		}
		if lost(least) == 0 || look == looks {
			return least, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func lost(r *ledgerv1.GetSettledResponse) uint64 {
	if r.GetPendingUnknown() {
		return 0
	}
	u := r.GetUnsettled()
	return Lost(u.GetMessages(), u.GetLateMessages()+r.GetPendingMessages())
}

func (b *Book) look(ctx context.Context, tenant string, since time.Time) (*ledgerv1.GetSettledResponse, error) {
	resp := &ledgerv1.GetSettledResponse{
		Signal: b.cfg.Signal, SinceDay: uint32(since.Unix() / int64(day.Seconds())),
		Unsettled: &ledgerv1.Unsettled{Rejected: map[string]uint64{}, RefusedRequests: map[string]uint64{}},
	}
	// What is on record, then what is pending, then what is settled: see the
	// package. Receipts that wait come before all: where there are none, all
	// that was acknowledged until now is on record.
	receipts, err := b.lag.Pending(ctx, b.cfg.Group, b.cfg.Source)
	if err != nil {
		return nil, err
	}
	before, err := b.onRecord(ctx, tenant, since)
	if err != nil {
		return nil, err
	}
	topics := []string{b.cfg.Topic}
	if b.cfg.Retry != "" {
		topics = append(topics, b.cfg.Retry)
	}
	messages, err := b.lag.Pending(ctx, b.cfg.Group, topics...)
	if err != nil {
		return nil, err
	}
	resp.PendingMessages, resp.PendingUnknown = messages.Messages, messages.Unknown || receipts.Unknown
	resp.Unsettled.PendingReceipts = receipts.Messages
	after, err := b.readSettled(ctx, tenant, since, resp)
	if err != nil {
		return nil, err
	}
	resp.Unsettled.LateMessages = after - min(before, after)
	return resp, b.readRefused(ctx, tenant, since, resp.GetUnsettled())
}

// Pending is how many messages a group has still to settle; there may be more if
// Unknown.
type Pending struct {
	Messages uint64
	Unknown  bool
}

// Pending counts what is pending for a group in some topics. Where messages move
// from one topic to another, as to a retry topic, that one comes first: a message
// is there before it is gone from here, so it is counted at least once. In a retry
// topic that does not exist nothing waits. It is fault.Unavailable while the broker
// cannot say.
func (l Lag) Pending(ctx context.Context, group string, topics ...string) (sum Pending, err error) {
	for _, topic := range topics {
		lag, err := l(ctx, topic, group)
		switch {
		case event.IsRetry(topic) && errors.Is(err, broker.ErrNoGroup):
		case err != nil:
			return Pending{}, fault.Unavailable.Wrap(err, "pending messages cannot be counted now")
		default:
			sum.Messages += uint64(max(lag.Total(), 0))
			sum.Unknown = sum.Unknown || !lag.Known
		}
	}
	return sum, nil
}

// onRecord is how many messages are acknowledged by receipts.
func (b *Book) onRecord(ctx context.Context, tenant string, since time.Time) (messages uint64, err error) {
	sql, args := b.acknowledged.about(tenant, since)
	if err := b.db.QueryRow(ctx, sql, args...).Scan(&messages); err != nil {
		return 0, fmt.Errorf("read receipts: %w", err)
	}
	return messages, nil
}

func (b *Book) readSettled(ctx context.Context, tenant string, since time.Time, resp *ledgerv1.GetSettledResponse) (acknowledged uint64, err error) {
	sql, args := b.settled.about(tenant, since)
	rows, err := b.db.Query(ctx, sql, args...)
	if err != nil {
		return 0, fmt.Errorf("read ledger: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		i := &ledgerv1.InstanceSettled{}
		var top, messages, items uint64
		err := rows.Scan(&i.Instance, &i.Messages, &i.Accepted, &i.Written, &i.Rejected, &i.DeadLettered, &top, &messages, &items)
		if err != nil {
			return 0, fmt.Errorf("read ledger: %w", err)
		}
		resp.Instances = append(resp.Instances, i)
		resp.Unsettled.Messages += messages
		resp.Unsettled.Items += items
		acknowledged += top
	}
	if err := rows.Err(); err != nil {
		return 0, fmt.Errorf("read ledger: %w", err)
	}
	return acknowledged, nil
}

func (b *Book) readRefused(ctx context.Context, tenant string, since time.Time, u *ledgerv1.Unsettled) error {
	sql, args := b.refused.about(tenant, since)
	rows, err := b.db.Query(ctx, sql, args...)
	if err != nil {
		return fmt.Errorf("read refusals: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var reason string
		var n uint64
		if err := rows.Scan(&reason, &n); err != nil {
			return fmt.Errorf("read refusals: %w", err)
		}
		switch limit, turned := strings.CutPrefix(reason, refusedPrefix); {
		case turned:
			u.RefusedRequests[limit] = n
		case reason != bytesReason:
			u.Rejected[reason] = n
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read refusals: %w", err)
	}
	return nil
}

// Retained gives how many bytes are kept of each tenant, of the days that are kept
// whole: what the doors acknowledged, as it was sent. It reads a row for each tenant,
// day and gateway process.
func (b *Book) Retained(ctx context.Context) (map[string]uint64, error) {
	rows, err := b.db.Query(ctx, b.retained, clickhouse.Named("since", b.Since().UTC().Format("2006-01-02 15:04:05")), clickhouse.Named("reason", bytesReason))
	if err != nil {
		return nil, fmt.Errorf("read what is kept: %w", err)
	}
	defer rows.Close()
	kept := map[string]uint64{}
	for rows.Next() {
		var tenant string
		var bytes uint64
		if err := rows.Scan(&tenant, &bytes); err != nil {
			return nil, fmt.Errorf("read what is kept: %w", err)
		}
		kept[tenant] = bytes
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read what is kept: %w", err)
	}
	return kept, nil
}

// ErrPendingUnknown says that the broker cannot tell what is pending.
var ErrPendingUnknown = errors.New("the broker cannot tell what is pending")

// Missing is how many messages of all tenants that arrived since yesterday are
// lost for certain. It is ErrPendingUnknown where nobody can say.
func (b *Book) Missing(ctx context.Context) (uint64, error) {
	since := b.Since()
	if yesterday := b.now().UTC().Truncate(day).Add(-day); since.Before(yesterday) {
		since = yesterday
	}
	resp, err := b.settledSince(ctx, "", since)
	if err != nil {
		return 0, err
	}
	if resp.GetPendingUnknown() {
		return 0, ErrPendingUnknown
	}
	return lost(resp), nil
}

// Lost is how many of the unsettled messages are lost for certain, when at most
// so many may be on their way.
func Lost(unsettled, onTheirWay uint64) uint64 { return unsettled - min(onTheirWay, unsettled) }
