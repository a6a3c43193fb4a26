package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

func TestRejectionsAreToldByKind(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	printRejections(&out, &ingestv1.StreamRecordsResponse{Rejected: 7, Rejections: []*ingestv1.Rejection{
		{Index: 1, Field: "features.values[0].string", Message: "is no number", Reason: "type_mismatch"},
		{Index: 2, Field: "id", Message: "is too long", Reason: "invalid_id"},
		{Index: 4, Field: "features.values[0].string", Message: "is no number", Reason: "type_mismatch"},
	}})
	require.Equal(t, `  2 rows, the first is 2: features.values[0].string: is no number (type_mismatch)
  row 3: id: is too long (invalid_id)
  and 4 more
`, out.String())
}
