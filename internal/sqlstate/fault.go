package sqlstate

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Reasons of this package's faults.
const (
	ReasonExists   = "STATE_ROW_EXISTS"
	ReasonMissing  = "STATE_ROW_MISSING"
	ReasonBroken   = "STATE_REFERENCE_BROKEN"
	ReasonConflict = "STATE_CONFLICT"
	ReasonAway     = "STATE_UNAVAILABLE"
)

// retryAfter is the hint given while the database is away.
const retryAfter = time.Second

// classify gives an error of a statement its kind. What it does not know it
// returns as it is, and so becomes fault.Internal.
func classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		// The database says "interrupted" or worse; the caller's end is why.
		return ctx.Err()
	}
	if errors.Is(err, sql.ErrNoRows) {
		return fault.NotFound.Wrap(err, "no such row").WithReason(ReasonMissing)
	}
	var f *fault.Fault
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		f = sqliteFault(e)
	} else if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		f = postgresFault(e)
	} else if errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || away(err) {
		f = unavailable(err)
	}
	if f == nil {
		return err
	}
	return f
}

func exists(cause error) *fault.Fault {
	return fault.Exists.Wrap(cause, "it exists already").WithReason(ReasonExists)
}

func broken(cause error) *fault.Fault {
	return fault.Precondition.Wrap(cause, "something it refers to does not exist, or something refers to it").
		WithReason(ReasonBroken)
}

func conflict(cause error) *fault.Fault {
	return fault.Conflict.Wrap(cause, "somebody else changed it at the same time").WithReason(ReasonConflict)
}

func unavailable(cause error) *fault.Fault {
	return fault.Unavailable.Wrap(cause, "the state store does not answer").
		WithReason(ReasonAway).WithRetryAfter(retryAfter)
}
