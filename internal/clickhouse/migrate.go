package clickhouse

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/driftmesh/driftmesh/internal/clickhouse/sqltext"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/migration"
)

const (
	// lockStale is the age at which a lock counts as left behind by a worker
	// that died. A migration that takes longer runs twice, which it must bear
	// anyway.
	lockStale = time.Minute
	// lockPoll is how often a waiting worker looks.
	lockPoll = 200 * time.Millisecond
)

// Migrate brings the tables of a service up to date: it makes the database if
// it is absent and applies the .sql files at the root of files in the order of
// their names, each once, and records them with a checksum in the table
// migrations. Files may hold several statements. It is safe to call from many
// workers at once: one works, the others wait and find it done. A worker that
// dies half-way leaves a file half applied, which is then applied again, so
// every statement must bear being repeated (IF NOT EXISTS).
//
// The files are templates with
//
//	{{database}}    the database, quoted
//	{{guests}}      the database beside it that guests may read, quoted
//	{{cluster}}     the name of the cluster, "" without one
//	{{on_cluster}}  ON CLUSTER '…', or nothing
//	{{replicated}}  Replicated, or nothing: ENGINE = {{replicated}}MergeTree
//
// Errors: fault.Precondition when a file has changed after it was applied (its
// text before templates counts), fault.Unavailable when ClickHouse is away, and
// what Classify makes of a refused statement.
func (db *DB) Migrate(ctx context.Context, service string, files fs.FS) error {
	m := &migrator{db: db, service: service}
	steps, err := m.read(files)
	if err != nil {
		return fmt.Errorf("read migrations of %s: %w", service, err)
	}
	if m.admin, err = Open(ctx, db.adminConfig()); err != nil {
		return err
	}
	defer m.admin.Close() //nolint:errcheck // its statements are done
	if err := m.run(ctx, steps); err != nil {
		return fmt.Errorf("migrate %s: %w", service, err)
	}
	return nil
}

// adminConfig is for statements that must work before the database exists.
func (db *DB) adminConfig() Config {
	cfg := db.cfg.WithDatabase("default")
	cfg.Connections = 1
	return cfg
}

type migrator struct {
	db      *DB
	admin   *DB // in the database "default"
	service string
}

// step is one migration file, ready to run.
type step struct {
	migration.File
	statements []string
}

func (m *migrator) read(files fs.FS) ([]step, error) {
	found, err := migration.Read(files)
	if err != nil {
		return nil, err
	}
	steps := make([]step, 0, len(found))
	for _, f := range found {
		rendered, err := m.render(f.Name, f.Text)
		if err != nil {
			return nil, err
		}
		steps = append(steps, step{File: f, statements: sqltext.Split(rendered)})
	}
	return steps, nil
}

func (m *migrator) render(name, text string) (string, error) {
	t, err := template.New(name).Funcs(template.FuncMap{
		"database":   func() string { return sqltext.Identifier(m.db.Database()) },
		"guests":     func() string { return sqltext.Identifier(m.db.GuestDatabase()) },
		"cluster":    m.db.Cluster,
		"on_cluster": m.onCluster,
		"replicated": m.replicated,
	}).Parse(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := t.Execute(&b, nil); err != nil {
		return "", err
	}
	return b.String(), nil
}

func (m *migrator) onCluster() string {
	if m.db.Cluster() == "" {
		return ""
	}
	return "ON CLUSTER " + sqltext.Quote(m.db.Cluster())
}

func (m *migrator) replicated() string {
	if m.db.Cluster() == "" {
		return ""
	}
	return "Replicated"
}

func (m *migrator) run(ctx context.Context, steps []step) error {
	if err := m.prepare(ctx); err != nil {
		return err
	}
	if pending, err := m.pending(ctx, steps); err != nil || len(pending) == 0 {
		return err
	}
	unlock, err := m.lock(ctx)
	if err != nil {
		return err
	}
	return errors.Join(m.apply(ctx, steps), unlock())
}

// prepare makes the database and the table of migrations.
func (m *migrator) prepare(ctx context.Context) error {
	database := sqltext.Identifier(m.db.Database())
	if err := m.admin.Exec(ctx, fmt.Sprintf("CREATE DATABASE IF NOT EXISTS %s %s", database, m.onCluster())); err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	err := m.admin.Exec(ctx, fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s.migrations %s
		(Service String, Name String, Checksum String, AppliedAt DateTime64(3) DEFAULT now64(3))
		ENGINE = %sReplacingMergeTree(AppliedAt) ORDER BY (Service, Name)`, database, m.onCluster(), m.replicated()))
	if err != nil {
		return fmt.Errorf("create table of migrations: %w", err)
	}
	return nil
}

// pending are the steps not applied yet.
func (m *migrator) pending(ctx context.Context, steps []step) ([]step, error) {
	var applied []struct {
		Name     string `ch:"Name"`
		Checksum string `ch:"Checksum"`
	}
	err := m.db.Select(ctx, &applied, "SELECT Name, Checksum FROM migrations FINAL WHERE Service = {service:String}", Named("service", m.service))
	if err != nil {
		return nil, fmt.Errorf("read applied migrations: %w", err)
	}
	known := map[string]string{}
	for _, a := range applied {
		known[a.Name] = a.Checksum
	}
	var out []step
	for _, s := range steps {
		ran, err := s.Ran(known)
		if err != nil {
			return nil, err
		}
		if !ran {
			out = append(out, s)
		}
	}
	return out, nil
}

// apply applies what is pending now, with the lock held.
func (m *migrator) apply(ctx context.Context, steps []step) error {
	pending, err := m.pending(ctx, steps)
	if err != nil {
		return err
	}
	for _, s := range pending {
		for i, sql := range s.statements {
			if err := m.db.Exec(ctx, sql); err != nil {
				return fmt.Errorf("apply %s, statement %d: %w", s.Name, i+1, err)
			}
		}
		err := m.db.Exec(ctx, "INSERT INTO migrations (Service, Name, Checksum) SELECT {service:String}, {name:String}, {checksum:String}",
			Named("service", m.service), Named("name", s.Name), Named("checksum", s.Checksum))
		if err != nil {
			return fmt.Errorf("record %s: %w", s.Name, err)
		}
	}
	return nil
}

// lock keeps other workers from migrating the same service. ClickHouse has no
// locks, but of many CREATE TABLE of one name just one succeeds. The tables are
// numbered: who finds a lock left behind makes the one with the next number,
// so that two who find it cannot both win, and the one who left it, if it
// should live after all, cannot remove the new one.
func (m *migrator) lock(ctx context.Context) (unlock func() error, err error) {
	again := time.NewTicker(lockPoll)
	defer again.Stop()
	for {
		number, age, err := m.newestLock(ctx)
		if err != nil {
			return nil, fmt.Errorf("look for the lock: %w", err)
		}
		if number == 0 || age > lockStale {
			err := m.db.Exec(ctx, fmt.Sprintf("CREATE TABLE %s (Owner String) ENGINE = Memory COMMENT %s", m.lockName(number+1), sqltext.Quote(rand.Text())))
			if err == nil {
				return func() error { return m.unlock(ctx, number+1) }, nil
			}
			if !errors.Is(err, fault.Exists) {
				return nil, fmt.Errorf("take the lock: %w", err)
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, Classify(ctx.Err())
		}
	}
}

const lockPrefix = "migrations_lock_"

func (m *migrator) lockName(number int) string {
	return sqltext.Identifier(lockPrefix + m.service + "_" + strconv.Itoa(number))
}

// newestLock is the number of the newest lock and its age, 0 without one.
func (m *migrator) newestLock(ctx context.Context) (number int, age time.Duration, err error) {
	var locks []struct {
		Name string `ch:"name"`
		Age  int64  `ch:"age"`
	}
	err = m.db.Select(ctx, &locks, `SELECT name, toInt64(now() - metadata_modification_time) AS age FROM system.tables
		WHERE database = {database:String} AND startsWith(name, {prefix:String})`,
		Named("database", m.db.Database()), Named("prefix", lockPrefix+m.service+"_"))
	if err != nil {
		return 0, 0, err
	}
	for _, l := range locks {
		n, err := strconv.Atoi(strings.TrimPrefix(l.Name, lockPrefix+m.service+"_"))
		if err == nil && n > number {
			number, age = n, time.Duration(l.Age)*time.Second
		}
	}
	return number, age, nil
}

// unlock removes the lock and those left behind before it, own last. It does so
// also when ctx has ended.
func (m *migrator) unlock(ctx context.Context, number int) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockStale/2)
	defer cancel()
	for n := 1; n <= number; n++ {
		if err := m.db.Exec(ctx, "DROP TABLE IF EXISTS "+m.lockName(n)+" SYNC"); err != nil {
			return fmt.Errorf("give back the lock: %w", err)
		}
	}
	return nil
}
