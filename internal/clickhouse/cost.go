package clickhouse

import (
	"context"
	"errors"
	"math"
	"time"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Cost bounds what one statement may cost ClickHouse. Zero fields are no bound.
type Cost struct {
	// Time is how long it may run, and Read how many bytes of columns it may read.
	Time time.Duration
	Read int64
	// For says for whom it is, in log_comment, so that system.processes and
	// system.query_log tell. Empty is nobody.
	For string
	// Over makes the error for a statement that cost more than Read or Time allows;
	// nil leaves ClickHouse's.
	Over func(read bool) error
}

type costKey struct{}

// WithCost returns a context whose statements are bounded, where those who make them
// use QueryWithin or ask CostOf.
func WithCost(ctx context.Context, c Cost) context.Context {
	return context.WithValue(ctx, costKey{}, c)
}

// CostOf is the bound of a context.
func CostOf(ctx context.Context) Cost {
	c, _ := ctx.Value(costKey{}).(Cost)
	return c
}

// Bound adds the bound to the settings of a statement; those that are tighter stay.
func (c Cost) Bound(s clickhousego.Settings) {
	if c.Time > 0 {
		seconds := math.Ceil(c.Time.Seconds())
		if has, ok := s["max_execution_time"].(float64); !ok || has == 0 || has > seconds {
			s["max_execution_time"] = seconds
		}
	}
	if c.Read > 0 {
		if has, ok := s["max_bytes_to_read"].(int64); !ok || has == 0 || has > c.Read {
			s["max_bytes_to_read"] = c.Read
		}
	}
	if _, has := s["log_comment"]; !has && c.For != "" {
		s["log_comment"] = c.For
	}
}

// Explain makes of ClickHouse's error, for too much time or too much read, what the
// bound says.
func (c Cost) Explain(err error) error {
	if c.Over == nil || err == nil {
		return err
	}
	e, ok := errors.AsType[*Error](err)
	switch {
	case ok && e.Code == codeTooManyBytes && c.Read > 0:
		return c.Over(true)
	case ok && e.Code == CodeTimeout && c.Time > 0:
		return c.Over(false)
	}
	return err
}

// QueryWithin is Query with settings, for no more than the context says that it may cost.
func (db *DB) QueryWithin(ctx context.Context, settings clickhousego.Settings, query string, args ...any) (driver.Rows, error) {
	cost := CostOf(ctx)
	cost.Bound(settings)
	rows, err := db.Query(clickhousego.Context(ctx, clickhousego.WithSettings(settings)), query, args...)
	if err != nil {
		return nil, cost.Explain(err)
	}
	return boundedRows{rows, cost}, nil
}

// boundedRows are rows of a statement that may cost only so much.
type boundedRows struct {
	driver.Rows
	cost Cost
}

// Err implements driver.Rows.
func (b boundedRows) Err() error { return b.cost.Explain(b.Rows.Err()) }

// codeTooManyBytes is that of a statement that would read too much.
const codeTooManyBytes = 307
