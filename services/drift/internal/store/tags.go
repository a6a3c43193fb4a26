package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
)

// Tag is a word about a thing.
type Tag struct{ EntityType, EntityID, Key, Value string }

// SetTags sets a tenant's tags, all or none, each in the place of the one of the same
// key. It is fault.Exhausted when the tenant would have more than most.
func (s *State) SetTags(ctx context.Context, tenant string, tags []Tag, most int64, now time.Time) error {
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		for _, t := range tags {
			if _, err := tx.Exec(ctx, `INSERT INTO tags (tenant, entity_type, entity_id, tag, value, set_at) VALUES (?, ?, ?, ?, ?, ?)
				ON CONFLICT (tenant, entity_type, entity_id, tag) DO UPDATE SET value = excluded.value, set_at = excluded.set_at`,
				tenant, t.EntityType, t.EntityID, t.Key, t.Value, micros(now)); err != nil {
				return err
			}
		}
		var kept int64
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM tags WHERE tenant = ?`, tenant).Scan(&kept); err != nil {
			return err
		}
		if kept > most {
			return fault.Exhausted.New("there would be %d tags, and %d are kept at most", kept, most).WithReason("TOO_MANY_TAGS")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("set tags: %w", err)
	}
	return nil
}

// Tags lists the tags of a thing by key.
func (s *State) Tags(ctx context.Context, tenant, entityType, entityID string) ([]Tag, error) {
	return sqlstate.All(ctx, s.db, func(rows *sql.Rows) (t Tag, err error) {
		return t, rows.Scan(&t.EntityType, &t.EntityID, &t.Key, &t.Value)
	}, `SELECT entity_type, entity_id, tag, value FROM tags WHERE tenant = ? AND entity_type = ? AND entity_id = ? ORDER BY tag`, tenant, entityType, entityID)
}

// Tagged lists at most limit things, by id, that have at least so many of the tags,
// whose keys and values alone are looked at; they must differ.
func (s *State) Tagged(ctx context.Context, tenant, entityType string, tags []Tag, atLeast, limit int) ([]string, error) {
	var either []string
	args := []any{tenant, entityType}
	for _, t := range tags {
		either = append(either, "tag = ? AND value = ?")
		args = append(args, t.Key, t.Value)
	}
	return sqlstate.All(ctx, s.db, func(rows *sql.Rows) (id string, err error) { return id, rows.Scan(&id) },
		`SELECT entity_id FROM tags WHERE tenant = ? AND entity_type = ? AND (`+strings.Join(either, " OR ")+`)
		GROUP BY entity_id HAVING COUNT(*) >= ? ORDER BY entity_id LIMIT ?`, append(args, atLeast, limit)...)
}

// ForgetTags forgets what was said before the given time about things of a type.
func (s *State) ForgetTags(ctx context.Context, entityType string, before time.Time) error {
	if _, err := s.db.Exec(ctx, `DELETE FROM tags WHERE entity_type = ? AND set_at < ?`, entityType, micros(before)); err != nil {
		return fmt.Errorf("forget tags: %w", err)
	}
	return nil
}
