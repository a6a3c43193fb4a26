package sql

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/clickhouse/sqltext"
)

const (
	// tokenAge is how long a token is used; the store forgets it some time after.
	tokenAge = 12 * time.Hour
	// maxTokens bounds the memory of tokens; beyond it all are made anew.
	maxTokens = 10_000
)

// tokens are what the views know tenants by. One is made when a tenant first
// asks, and stored before it is used. It is safe for concurrent use.
type tokens struct {
	db *clickhouse.DB

	mu   sync.Mutex
	made map[string]token
}

type token struct {
	text string
	at   time.Time
}

func (t *tokens) of(ctx context.Context, tenant string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k, ok := t.made[tenant]; ok && time.Since(k.at) < tokenAge {
		return k.text, nil
	}
	k := token{text: rand.Text(), at: time.Now()}
	err := t.db.Exec(ctx, "INSERT INTO sql_tokens (Token, Tenant, At) SELECT {token:String}, {tenant:String}, now()",
		clickhouse.Named("token", k.text), clickhouse.Named("tenant", tenant))
	if err != nil {
		return "", fmt.Errorf("store token: %w", err)
	}
	if cluster := t.db.Cluster(); cluster != "" {
		// A replica that has not heard of the token would show no rows.
		if err := t.db.Exec(ctx, "SYSTEM SYNC REPLICA ON CLUSTER "+sqltext.Quote(cluster)+" "+sqltext.Identifier(t.db.Database())+".sql_tokens"); err != nil {
			return "", fmt.Errorf("spread token: %w", err)
		}
	}
	if t.made == nil || len(t.made) >= maxTokens {
		t.made = map[string]token{}
	}
	t.made[tenant] = k
	return k.text, nil
}
