package sqlstate

import (
	"context"
	"database/sql/driver"
	"errors"
)

// mostKept is how many statements a connection keeps. A service has some dozens, and
// of those with lists one for each length.
const mostKept = 256

// keeping makes connections that keep their statements. To read the text of one and
// plan it is most of the work of a small statement, and database/sql does it anew each
// time; pgx keeps those of PostgreSQL by itself.
type keeping struct{ driver.Connector }

// Connect implements driver.Connector.
func (k keeping) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := k.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	whole, ok := c.(wholeConn)
	if !ok {
		return nil, errors.Join(errors.New("the driver of SQLite lacks a part of its interface"), c.Close())
	}
	return &keeper{whole, map[string]*kept{}}, nil
}

// wholeConn is all that database/sql may ask of a connection, which SQLite's has.
type wholeConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// keeper is a connection. database/sql lets one goroutine at a time use it.
type keeper struct {
	wholeConn
	statements map[string]*kept
}

// kept is a statement, which is busy while rows of it are read.
type kept struct {
	keptStmt
	busy bool
}

type keptStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// statement is the one of a text; nil where that cannot be kept: without arguments it
// may be a script, and while its rows are read it cannot be run.
func (k *keeper) statement(ctx context.Context, query string, args []driver.NamedValue) (*kept, error) {
	if len(args) == 0 {
		return nil, nil
	}
	if s := k.statements[query]; s != nil {
		if s.busy {
			return nil, nil
		}
		return s, nil
	}
	if len(k.statements) >= mostKept {
		if err := k.forget(); err != nil {
			return nil, err
		}
	}
	prepared, err := k.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s, ok := prepared.(keptStmt)
	if !ok {
		return nil, prepared.Close()
	}
	k.statements[query] = &kept{keptStmt: s}
	return k.statements[query], nil
}

// forget closes what is not busy.
func (k *keeper) forget() (err error) {
	for query, s := range k.statements {
		if !s.busy {
			err = errors.Join(err, s.Close())
			delete(k.statements, query)
		}
	}
	return err
}

// ExecContext implements driver.ExecerContext.
func (k *keeper) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := k.statement(ctx, query, args)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return k.wholeConn.ExecContext(ctx, query, args)
	}
	return s.ExecContext(ctx, args)
}

// QueryContext implements driver.QueryerContext.
func (k *keeper) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := k.statement(ctx, query, args)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return k.wholeConn.QueryContext(ctx, query, args)
	}
	rows, err := s.QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	s.busy = true
	return &keptRows{rows, s}, nil
}

// Close closes the statements too.
func (k *keeper) Close() error {
	for _, s := range k.statements {
		s.busy = false
	}
	return errors.Join(k.forget(), k.wholeConn.Close())
}

// keptRows are rows of a statement that is kept.
type keptRows struct {
	driver.Rows
	of *kept
}

// Close implements driver.Rows.
func (r *keptRows) Close() error {
	r.of.busy = false
	return r.Rows.Close()
}
