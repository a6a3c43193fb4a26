package clickhouse_test

import (
	"fmt"
	"testing"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

func TestInsertAndRead(t *testing.T) {
	db := clickhousetest.Open(t)
	ctx := t.Context()
	require.NoError(t, db.Ping(ctx))
	require.NoError(t, db.Exec(ctx, "CREATE TABLE t (id UInt64, name LowCardinality(String), tags Map(LowCardinality(String), String)) ENGINE = MergeTree ORDER BY id"))
	var id proto.ColUInt64
	name := new(proto.ColStr).LowCardinality()
	tags := proto.NewMap(new(proto.ColStr).LowCardinality(), new(proto.ColStr))
	for i := range 1000 {
		id.Append(uint64(i))
		name.Append(fmt.Sprintf("n%d", i%7))
		tags.Append(map[string]string{"k": fmt.Sprint(i)})
	}
	require.NoError(t, db.Insert(ctx, "t", proto.Input{{Name: "id", Data: &id}, {Name: "name", Data: name}, {Name: "tags", Data: tags}}))
	var n, sum uint64
	require.NoError(t, db.QueryRow(ctx, "SELECT count(), sum(id) FROM t WHERE tags['k'] = toString(id) AND name = concat('n', toString(id % 7))").Scan(&n, &sum))
	require.EqualValues(t, 1000, n)
	require.EqualValues(t, 499500, sum)
}
