package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
)

// Origin is the document of another system that a profile was made from.
type Origin struct {
	Format   string
	Document []byte // as it came
}

// insertOrigin keeps what a profile was made from, if it was made from something.
func insertOrigin(ctx context.Context, tx *sqlstate.Tx, uid string, o *Origin) error {
	if o == nil {
		return nil
	}
	_, err := tx.Exec(ctx, `INSERT INTO profile_origins (profile, format, document) VALUES (?, ?, ?)`, uid, o.Format, o.Document)
	return err
}

// Origin is what a profile was made from; nil when that is no document.
func (s *State) Origin(ctx context.Context, uid string) (*Origin, error) {
	o := &Origin{}
	err := s.db.QueryRow(ctx, `SELECT format, document FROM profile_origins WHERE profile = ?`, uid).Scan(&o.Format, &o.Document)
	switch {
	case errors.Is(err, fault.NotFound):
		return nil, nil //nolint:nilnil // it was made from none
	case err != nil:
		return nil, fmt.Errorf("read a profile's origin: %w", err)
	}
	return o, nil
}
