package tracestore

import (
	"time"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/quota"
)

// costOf is what one statement of a tenant may cost. What is over it does not fit
// later either: whoever asks has to ask for less.
func costOf(t *quota.Tenant) clickhouse.Cost {
	l := t.Limits()
	return clickhouse.Cost{
		Time: time.Duration(l[quota.QueryTime]) * time.Second, Read: l[quota.QueryRead], For: "tenant " + t.Name(),
		Over: func(read bool) error {
			if read {
				return t.Refuse(quota.QueryRead, "the query would read more; ask for a shorter time or fewer columns", 0)
			}
			return t.Refuse(quota.QueryTime, "the query takes longer; ask for a shorter time", 0)
		},
	}
}
