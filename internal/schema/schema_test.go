package schema_test

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/migration"
	"github.com/driftmesh/driftmesh/internal/schema"
)

// Two who add a migration at once give it one number, and a merge does not see it: here
// it shows before a service that migrates does.
func TestTheMigrationsCanBeRead(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]fs.FS{"records": schema.Records(), "spans": schema.Spans()} {
		all, err := migration.Read(files)
		require.NoError(t, err, name)
		require.NotEmpty(t, all, name)
	}
}
