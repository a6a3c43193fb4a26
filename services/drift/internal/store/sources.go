package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/services/drift/internal/window"
)

// Source is an active profile whose observations are made of spans of a service.
type Source struct{ Profile, Service string }

// Sources lists those of a tenant.
func (s *State) Sources(ctx context.Context, tenant string) ([]Source, error) {
	found, err := sqlstate.All(ctx, s.db, func(rows *sql.Rows) (o Source, err error) {
		err = rows.Scan(&o.Profile, &o.Service)
		return o, err
	}, `SELECT uid, service FROM profiles WHERE tenant = ? AND service <> '' AND active = ?`, tenant, true)
	if err != nil {
		return nil, fmt.Errorf("list profiles of spans: %w", err)
	}
	return found, nil
}

// gather makes observations of the spans of minutes, or of what checks came to, for a
// profile that has them made.
func (c *Cells) gather(ctx context.Context, s *window.Statements, minutes []int64) error {
	for what, statement := range map[string]string{"spans": s.Gather(minutes), "checks": s.GatherChecked(minutes)} {
		if statement == "" {
			continue
		}
		if err := c.db.Exec(ctx, statement); err != nil {
			return fmt.Errorf("make observations of %s: %w", what, err)
		}
	}
	return nil
}

// Arrived is when the last span came of which observations in the minutes were made;
// zero when there is none, and for a profile that has none made.
func (c *Cells) Arrived(ctx context.Context, s *window.Statements, minutes []int64) (at time.Time, err error) {
	query := s.Arrived(minutes)
	if query == "" {
		return at, nil
	}
	if err := c.db.QueryRow(ctx, query).Scan(&at); err != nil {
		return at, fmt.Errorf("look when spans came: %w", err)
	}
	if at.Unix() <= 0 {
		return time.Time{}, nil
	}
	return at, nil
}

// Missing lists the minutes of a range with spans of which no observations were
// made; none for a profile that has none made.
func (c *Cells) Missing(ctx context.Context, s *window.Statements, first, last int64) (minutes []int64, err error) {
	query := s.Missing(first, last)
	if query == "" {
		return nil, nil
	}
	rows, err := c.db.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("look for spans without observations: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var minute int64
		if err := rows.Scan(&minute); err != nil {
			return nil, fmt.Errorf("read minutes of spans: %w", err)
		}
		minutes = append(minutes, minute)
	}
	return minutes, rows.Err()
}
