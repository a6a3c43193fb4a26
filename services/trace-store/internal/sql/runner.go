package sql

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/fault"
)

// role is what a session with a user's statement may do; the embedded engine
// has it, on a server an administrator makes it (docs/sql.md).
const role = "driftmesh_sql"

// Limits bound one statement. Zero fields have defaults.
type Limits struct {
	// Text is how many bytes it may have. Default 64 KiB.
	Text int
	// Rows and Bytes are how much of the result is given; what is cut says so.
	// Default 100,000 and 64 MiB.
	Rows, Bytes int
	// Read is how many bytes of columns may be read. Default 64 GiB.
	Read int64
	// Memory is how much of the store's it may take. Default 256 MiB.
	Memory int64
	// Timeout is how long it may run. Default 30 s.
	Timeout time.Duration
}

func (l Limits) withDefaults() Limits {
	set := func(n *int, otherwise int) {
		if *n <= 0 {
			*n = otherwise
		}
	}
	set(&l.Text, 64<<10)
	set(&l.Rows, 100_000)
	set(&l.Bytes, 64<<20)
	if l.Read <= 0 {
		l.Read = 64 << 30
	}
	if l.Memory <= 0 {
		l.Memory = 256 << 20
	}
	if l.Timeout <= 0 {
		l.Timeout = 30 * time.Second
	}
	return l
}

// Column is one column of a result: its name and ClickHouse's type.
type Column struct{ Name, Type string }

// Result is told of a result as it comes. An error of either function ends the
// statement and is returned.
type Result struct {
	// Begin is called once, before the rows.
	Begin func([]Column) error
	// Row is called with each row, a JSON array of its values.
	Row func(json string) error
}

// Runner runs statements. It is safe for concurrent use.
type Runner struct {
	db, guests *clickhouse.DB
	limits     Limits
	tokens     tokens

	mu    sync.Mutex
	known *functions
}

// New makes a runner on db, which the caller closes. It does not dial.
func New(ctx context.Context, db *clickhouse.DB, limits Limits) (*Runner, error) {
	guests, err := db.OpenGuests(ctx)
	if err != nil {
		return nil, err
	}
	return &Runner{db: db, guests: guests, limits: limits.withDefaults(), tokens: tokens{db: db}}, nil
}

// Close closes what New opened.
func (r *Runner) Close() error { return r.guests.Close() }

// Run runs one SELECT on behalf of a tenant. cut says that there are more rows
// than were given. The error is fault.Invalid for what is wrong with the
// statement, fault.Denied for what it may not read, fault.Precondition where the
// store is not prepared for statements of users.
func (r *Runner) Run(ctx context.Context, tenant, text string, to Result) (cut bool, err error) {
	if tenant == "" {
		return false, fault.Denied.New("a statement needs a tenant")
	}
	if len(text) > r.limits.Text {
		return false, fault.Invalid.New("the statement is longer than %d bytes", r.limits.Text)
	}
	statement, err := r.canonical(ctx, text)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.limits.Timeout+time.Second)
	defer cancel()
	token, err := r.tokens.of(ctx, tenant)
	if err != nil {
		return false, err
	}
	ctx = r.asGuest(ctx, token)
	columns, err := r.columns(ctx, statement)
	if err != nil {
		return false, err
	}
	if err := to.Begin(columns); err != nil {
		return false, err
	}
	return r.rows(ctx, statement, to.Row)
}

// canonical is the statement as ClickHouse understood it, checked.
func (r *Runner) canonical(ctx context.Context, text string) (string, error) {
	known, err := r.functions(ctx)
	if err != nil {
		return "", err
	}
	var statement string
	err = r.db.QueryRow(ctx, "SELECT formatQuerySingleLine({statement:String})", clickhouse.Named("statement", text)).Scan(&statement)
	if err != nil {
		return "", explain(err)
	}
	return statement, check(statement, known)
}

// functions asks the store, once, which functions it has.
func (r *Runner) functions(ctx context.Context) (*functions, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known != nil {
		return r.known, nil
	}
	known := &functions{plain: map[string]bool{}, table: map[string]bool{}}
	for table, names := range map[string]map[string]bool{"functions": known.plain, "table_functions": known.table} {
		rows, err := r.db.Query(ctx, "SELECT DISTINCT lower(name) FROM system."+table)
		if err != nil {
			return nil, fmt.Errorf("list functions: %w", err)
		}
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return nil, errors.Join(fmt.Errorf("read function: %w", err), rows.Close())
			}
			names[name] = true
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, fmt.Errorf("list functions: %w", err)
		}
	}
	r.known = known
	return known, nil
}

// asGuest makes the statements of ctx those of a guest: in the role, for the
// tenant of the token, bounded, and unable to change any of that.
func (r *Runner) asGuest(ctx context.Context, token string) context.Context {
	l := r.limits
	settings := clickhousego.Settings{
		"role": role, "readonly": 1, "log_comment": token,
		"max_execution_time": math.Ceil(l.Timeout.Seconds()), "max_memory_usage": l.Memory, "max_bytes_to_read": l.Read,
		"allow_introspection_functions": 0, "allow_ddl": 0,
		"output_format_json_quote_64bit_integers": 0, "output_format_json_quote_denormals": 1,
		"output_format_json_validate_utf8": 1, "output_format_json_escape_forward_slashes": 0,
	}
	clickhouse.CostOf(ctx).Bound(settings)
	return clickhousego.Context(ctx, clickhousego.WithSettings(settings))
}

func (r *Runner) columns(ctx context.Context, statement string) ([]Column, error) {
	rows, err := r.guests.Query(ctx, "DESCRIBE TABLE ("+statement+")")
	if err != nil {
		return nil, explain(clickhouse.CostOf(ctx).Explain(err))
	}
	defer rows.Close()
	var out []Column
	for rows.Next() {
		var c Column
		rest := make([]any, len(rows.Columns()))
		for i := range rest {
			rest[i] = new(string)
		}
		rest[0], rest[1] = &c.Name, &c.Type
		if err := rows.Scan(rest...); err != nil {
			return nil, fmt.Errorf("read column: %w", err)
		}
		out = append(out, c)
	}
	if err := rows.Err(); err != nil {
		return nil, explain(clickhouse.CostOf(ctx).Explain(err))
	}
	return out, nil
}

func (r *Runner) rows(ctx context.Context, statement string, row func(string) error) (cut bool, err error) {
	rows, err := r.guests.Query(ctx, fmt.Sprintf("SELECT formatRowNoNewline('JSONCompactEachRow', *) FROM (%s) LIMIT %d", statement, r.limits.Rows+1))
	if err != nil {
		return false, explain(clickhouse.CostOf(ctx).Explain(err))
	}
	defer rows.Close()
	n, bytes := 0, 0
	for rows.Next() {
		var json string
		if err := rows.Scan(&json); err != nil {
			return false, fmt.Errorf("read row: %w", err)
		}
		n++
		if bytes += len(json); n > r.limits.Rows || bytes > r.limits.Bytes {
			return true, nil
		}
		if err := row(json); err != nil {
			return false, err
		}
	}
	if err := rows.Err(); err != nil {
		return false, explain(clickhouse.CostOf(ctx).Explain(err))
	}
	return false, nil
}

// Codes whose messages speak of the statement and not of what is in rows:
// unknown or wrong names, numbers and types of arguments, syntax.
var told = []int{34, 35, 42, 43, 46, 47, 48, 53, 60, 62, 70, 81, 179, 184, 207, 215, 352, 386, 403}

// Codes that mean something of their own here.
const (
	codeReadonly      = 164
	codeTooManyBytes  = 307
	codeAccessDenied  = 497
	codeUnknownRole   = 511
	codeRoleNotGiven  = 512
	codeTimeExceeded  = clickhouse.CodeTimeout
	codeMemoryLimit   = clickhouse.CodeMemoryLimit
	maxToldCharacters = 400
)

// scope is what ClickHouse adds of the statement around a mistake, ours
// included.
var scope = regexp.MustCompile(`(?s)([:.] In scope .*|: while executing .*|: While processing .*|\(version [0-9.]+.*)$`)

// explain makes of ClickHouse's error what the author of a statement may know.
func explain(err error) error {
	e, ok := errors.AsType[*clickhouse.Error](err)
	if !ok {
		return err
	}
	switch e.Code {
	case codeReadonly, codeAccessDenied:
		return fault.Denied.Wrap(err, "the statement asks for what is not offered")
	case codeUnknownRole, codeRoleNotGiven:
		return fault.Precondition.Wrap(err, "the store has no role %s: docs/sql.md has the statements that make it", role).WithReason("SQL_NOT_PREPARED")
	case codeTimeExceeded:
		return fault.Timeout.Wrap(err, "the statement took too long")
	case codeMemoryLimit:
		return fault.Exhausted.Wrap(err, "the statement needs too much memory").WithReason("SQL_MEMORY")
	case codeTooManyBytes:
		return fault.Exhausted.Wrap(err, "the statement reads too much").WithReason("SQL_READ")
	}
	if slices.Contains(told, e.Code) {
		message := strings.TrimSpace(scope.ReplaceAllString(e.Message, ""))
		if len(message) > maxToldCharacters {
			message = strings.ToValidUTF8(message[:maxToldCharacters], "") + "…"
		}
		return fault.Invalid.Wrap(err, "%s", message)
	}
	if fault.KindOf(err).Retryable() && fault.KindOf(err) != fault.Internal {
		return err
	}
	return fault.Invalid.Wrap(err, "the statement failed: %s", e.Name)
}
