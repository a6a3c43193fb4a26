package clickhouse

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	clickhousego "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// DB is a ClickHouse. It is safe for concurrent use. Its query methods are
// those of clickhouse-go, and their errors are faults.
type DB struct {
	cfg    Config
	target target
	conn   driver.Conn
	web    *http.Client
	turn   atomic.Uint64 // of the hosts, for inserts
	bufs   sync.Pool     // *proto.Buffer
}

// Open makes a DB. It does not dial: a ClickHouse that is not there yet shows
// in the first call, or in Ping. The error is fault.Invalid and names what is
// wrong with cfg.
func Open(_ context.Context, cfg Config) (*DB, error) {
	target, err := cfg.parse()
	if err != nil {
		return nil, err
	}
	if target.scheme == "https" {
		if cfg.TLS, err = target.files.Config(cfg.TLS); err != nil {
			return nil, fault.Invalid.Wrap(err, "clickhouse.url")
		}
	}
	if cfg.Connections <= 0 {
		cfg.Connections = 8
	}
	if cfg.DialTimeout <= 0 {
		cfg.DialTimeout = 5 * time.Second
	}
	conn, err := clickhousego.Open(options(cfg, target))
	if err != nil {
		return nil, fmt.Errorf("open clickhouse: %w", err)
	}
	db := &DB{cfg: cfg, target: target, conn: conn, web: &http.Client{Transport: transport(cfg)}}
	db.bufs.New = func() any { return new(proto.Buffer) }
	return db, nil
}

func options(cfg Config, t target) *clickhousego.Options {
	o := &clickhousego.Options{
		Protocol:        clickhousego.HTTP,
		Addr:            t.hosts,
		Auth:            clickhousego.Auth{Database: t.database, Username: t.user, Password: t.password},
		DialTimeout:     cfg.DialTimeout,
		MaxOpenConns:    cfg.Connections,
		MaxIdleConns:    cfg.Connections,
		ConnMaxLifetime: 10 * time.Minute,
		Settings:        clickhousego.Settings{},
		// A result is read while the next block is on its way.
		BlockBufferSize:  2,
		ConnOpenStrategy: clickhousego.ConnOpenRoundRobin,
	}
	for name := range t.settings {
		o.Settings[name] = t.settings.Get(name)
	}
	if t.scheme == "https" {
		o.TLS = cfg.TLS
	}
	if !t.loopback {
		o.Compression = &clickhousego.Compression{Method: clickhousego.CompressionLZ4}
	}
	return o
}

func transport(cfg Config) *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: cfg.DialTimeout, KeepAlive: 15 * time.Second}).DialContext,
		MaxIdleConns:        0,
		MaxIdleConnsPerHost: cfg.Connections,
		MaxConnsPerHost:     cfg.Connections,
		IdleConnTimeout:     90 * time.Second,
		TLSClientConfig:     cfg.TLS,
		DisableCompression:  true,
		// One write per column is plenty; the default of 4 KiB is many.
		WriteBufferSize: 64 << 10,
	}
}

// Database is the database that statements run in unless they name another.
func (db *DB) Database() string { return db.target.database }

// GuestDatabase is the database beside it whose views are for statements that
// others wrote.
func (db *DB) GuestDatabase() string { return "sql_" + db.target.database }

// OpenGuests makes a DB of the same ClickHouse in GuestDatabase.
func (db *DB) OpenGuests(ctx context.Context) (*DB, error) {
	return Open(ctx, db.cfg.WithDatabase(db.GuestDatabase()))
}

// Cluster is the name of the cluster, "" without one.
func (db *DB) Cluster() string { return db.cfg.Cluster }

// Conn is clickhouse-go's own connection, for what DB does not offer, such as
// PrepareBatch. Its errors are clickhouse-go's; Classify makes faults of them.
func (db *DB) Conn() driver.Conn { return db.conn }

// Ping asks ClickHouse whether it is there, without opening a session.
func (db *DB) Ping(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, db.target.scheme+"://"+db.host()+"/ping", nil)
	if err != nil {
		return fmt.Errorf("make ping: %w", err)
	}
	resp, err := db.web.Do(req)
	if err != nil {
		return Classify(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(io.LimitReader(resp.Body, 256)); resp.StatusCode != http.StatusOK {
		return Classify(&Error{Code: CodeUnknownException, Status: http.StatusServiceUnavailable, Message: string(text)})
	}
	return nil
}

// Exec runs a statement that returns nothing. Arguments bind to {name:Type}
// (clickhouse.Named) or to ? and $1 placeholders.
func (db *DB) Exec(ctx context.Context, query string, args ...any) error {
	return Classify(db.conn.Exec(ctx, query, args...))
}

// Query runs a SELECT. The rows must be closed; Err tells after the last
// whether all came.
func (db *DB) Query(ctx context.Context, query string, args ...any) (driver.Rows, error) {
	rows, err := db.conn.Query(ctx, query, args...)
	if err != nil {
		return nil, Classify(err)
	}
	return faultRows{rows}, nil
}

// QueryRow runs a SELECT for its first row. Scan returns sql.ErrNoRows when
// there is none.
func (db *DB) QueryRow(ctx context.Context, query string, args ...any) driver.Row {
	return faultRow{db.conn.QueryRow(ctx, query, args...)}
}

// Select runs a SELECT and scans all its rows into dest, a pointer to a slice
// of structs with `ch` tags. Use it only where the result is known to be small.
func (db *DB) Select(ctx context.Context, dest any, query string, args ...any) error {
	return Classify(db.conn.Select(ctx, dest, query, args...))
}

// Named is the argument for a {name:Type} placeholder.
func Named(name string, value any) driver.NamedValue { return clickhousego.Named(name, value) }

// Close closes the connections. Statements still running fail.
func (db *DB) Close() error {
	db.web.CloseIdleConnections()
	return db.conn.Close()
}

// host is the next of the hosts.
func (db *DB) host() string {
	return db.target.hosts[db.turn.Add(1)%uint64(len(db.target.hosts))]
}

// faultRows makes faults of a result's errors.
type faultRows struct{ driver.Rows }

func (r faultRows) Err() error             { return Classify(r.Rows.Err()) }
func (r faultRows) Close() error           { return Classify(r.Rows.Close()) }
func (r faultRows) Scan(dest ...any) error { return Classify(r.Rows.Scan(dest...)) }

// faultRow makes faults of a row's errors.
type faultRow struct{ driver.Row }

func (r faultRow) Err() error                { return Classify(r.Row.Err()) }
func (r faultRow) Scan(dest ...any) error    { return Classify(r.Row.Scan(dest...)) }
func (r faultRow) ScanStruct(dest any) error { return Classify(r.Row.ScanStruct(dest)) }
