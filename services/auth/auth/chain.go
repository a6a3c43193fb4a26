package auth

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"log/slog"
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/internal/audit"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/telemetry"
	"github.com/driftmesh/driftmesh/services/auth/internal/store"
)

const (
	// auditPurpose separates the key that signs checkpoints from other uses of the
	// mesh secret. It is made of the secret, so that the database holds nothing that
	// could sign.
	auditPurpose = "audit checkpoints v1"
	// signEvery is how often the end of the chain is signed while it grows.
	signEvery = time.Minute
	// lastSign bounds the signing when the service stops.
	lastSign = 5 * time.Second
)

// chain is the audit chain and what signs it. It is safe for concurrent use.
type chain struct {
	store *store.Store
	keys  *identity.Keys
	log   *slog.Logger

	mu     sync.Mutex
	signed audit.Head // by this process
}

func newChain(s *store.Store, secrets *identity.Secrets, log *slog.Logger) *chain {
	return &chain{store: s, keys: secrets.Keys(auditPurpose), log: log}
}

// run signs the end of the chain now and then until ctx ends, and once more then.
func (c *chain) run(ctx context.Context) error {
	tick := time.NewTicker(signEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSign)
			defer cancel()
			if err := c.sign(ctx); err != nil {
				c.log.Warn("the end of the audit chain is not signed", telemetry.Err(err))
			}
			return nil
		}
		if err := c.sign(ctx); err != nil {
			c.log.Warn("will sign the audit chain later", telemetry.Err(err))
		}
	}
}

// sign makes a checkpoint of the end of the chain, if that has none. It is logged
// too: a log that is kept elsewhere shows an end that was cut off. What does not follow
// from what this process signed before is not signed: whoever can write the database
// could make another chain, and would only have to wait.
func (c *chain) sign(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	head, err := c.store.AuditHead(ctx)
	if err != nil || head == c.signed || head.Seq == 0 {
		return err
	}
	if err := c.follows(ctx, head); err != nil {
		return err
	}
	point := audit.Sign(head, time.Now(), ed25519.NewKeyFromSeed(c.keys.All()[0][:ed25519.SeedSize]))
	if err := c.store.AddCheckpoint(ctx, point); err != nil {
		return err
	}
	c.signed = head
	c.log.Info("audit checkpoint", slog.Uint64("sequence", point.Seq), slog.String("hash", point.Hash.String()), slog.Time("time", point.Time),
		slog.String("key", audit.Fingerprint(point.Key)), slog.String("signature", base64.StdEncoding.EncodeToString(point.Signature)))
	return nil
}

// followPage is how many entries are read at a time.
const followPage = 500

// follows gives fault.Internal unless a head follows from what was signed last, which is
// still there and signed.
func (c *chain) follows(ctx context.Context, head audit.Head) error {
	at := c.signed
	if at.Seq == 0 {
		return nil
	}
	changed := func(seq uint64) error {
		c.log.Error("the audit chain was changed", slog.Uint64("sequence", seq), slog.Uint64("signed", c.signed.Seq))
		return fault.Internal.New("the audit chain is not the one that was signed at entry %d: it was changed at entry %d", c.signed.Seq, seq).WithReason("AUDIT_CHANGED")
	}
	points, err := c.store.Checkpoints(ctx, at.Seq-1, at.Seq)
	if err != nil {
		return err
	}
	links, err := c.store.AuditChain(ctx, at.Seq-1, 1)
	if err != nil {
		return err
	}
	if len(points) != 1 || points[0].Head != at || len(links) != 1 || links[0].Hash != at.Hash {
		return changed(at.Seq)
	}
	for at.Seq < head.Seq {
		if links, err = c.store.AuditChain(ctx, at.Seq, followPage); err != nil {
			return err
		}
		if len(links) == 0 {
			return changed(at.Seq + 1)
		}
		for _, l := range links {
			if next := at.Add(l.Entry); next.Seq != l.Seq || next.Hash != l.Hash {
				return changed(l.Seq)
			}
		}
	}
	if at.Seq == head.Seq && at != head {
		return changed(head.Seq)
	}
	return nil
}
