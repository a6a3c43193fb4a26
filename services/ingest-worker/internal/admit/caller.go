package admit

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/seal"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/away"
)

// Sender is whose a message is, and who sent it.
type Sender = seal.Sender

// Caller tells who sent a message. The error is fault.Unauthenticated when its
// sender does not prove to be anybody, fault.Denied when its sender may not send
// such a message, and fault.Unavailable when that cannot be found out now. It is safe for concurrent use.
type Caller func(ctx context.Context, m *broker.Message) (Sender, error)

// Identify tells who calls from the values of the authorization and x-api-key
// headers, "" for one that was not sent.
type Identify func(ctx context.Context, authorization, apiKey string) (identity.Identity, error)

// ByCredentials believes the credentials that a message carries in its headers,
// as the gateway's door does. Who cannot be identified now is not asked about
// again for a moment.
func ByCredentials(identify Identify) Caller {
	var failed away.Memory[[sha256.Size]byte] // by hash: no credentials lie about in memory
	return func(ctx context.Context, m *broker.Message) (Sender, error) {
		authorization, apiKey := m.Header(event.HeaderAuthorization), m.Header(event.HeaderAPIKey)
		h := sha256.New()
		seal.WriteParts(h, []byte(authorization), []byte(apiKey))
		var id identity.Identity
		err := failed.Ask(ctx, [sha256.Size]byte(h.Sum(nil)), func() (err error) {
			id, err = identify(ctx, authorization, apiKey)
			return err
		})
		if err == nil {
			err = maySend(id, m)
		}
		if err != nil {
			return Sender{}, err
		}
		return Sender{Tenant: id.Tenant, Principal: id.Principal()}, nil
	}
}

// maySend is what the doors ask too. Whoever is for certain spaces sends through
// them: a message that was parked no longer says who sent it.
func maySend(id identity.Identity, m *broker.Message) error {
	if id.Spaces != "" {
		return fault.Denied.New("who is for certain spaces only sends through the gateway").WithReason(identity.ReasonDenied)
	}
	p := policy.SpansWrite
	if t, err := TypeOf(m); err == nil && SignalOf(t) == event.SignalRecords {
		p = policy.RecordsWrite
	}
	return id.Authorize(p)
}

// ByBroker believes the broker, which has verified its users; tenants says to
// whom each belongs. It asks for a driver with Capabilities.VerifiedUser.
func ByBroker(tenants map[string]string) Caller {
	return func(_ context.Context, m *broker.Message) (Sender, error) {
		user := m.Header(event.HeaderBrokerUser)
		if user == "" {
			return Sender{}, fault.Unauthenticated.New("the message does not say which user of the broker published it: set the property user-id").
				WithReason(identity.ReasonMissing)
		}
		tenant, ok := tenants[user]
		if !ok {
			return Sender{}, fault.Unauthenticated.New("the broker's user %.100q belongs to no tenant", user).WithReason("BROKER_USER_UNKNOWN")
		}
		return Sender{Tenant: tenant, Principal: "broker:" + user}, nil
	}
}

// ParseUsers reads a list of USER=TENANT for ByBroker. It gives fault.Invalid
// for one of another form.
func ParseUsers(list []string) (map[string]string, error) {
	tenants := make(map[string]string, len(list))
	for _, entry := range list {
		user, tenant, ok := strings.Cut(entry, "=")
		if !ok || user == "" {
			return nil, fault.Invalid.New("%q is not USER=TENANT", entry)
		}
		if err := identity.ValidTenant(tenant); err != nil {
			return nil, fmt.Errorf("%q: %w", entry, err)
		}
		if _, twice := tenants[user]; twice {
			return nil, fault.Invalid.New("user %q stands twice", user)
		}
		tenants[user] = tenant
	}
	return tenants, nil
}

// Sealer takes messages in that were here before: see package seal.
type Sealer struct{ *seal.Sealer }

// NewSealer makes a sealer from the mesh secret.
func NewSealer(secrets *identity.Secrets) *Sealer { return &Sealer{seal.New(secrets)} }

// Caller believes a good seal, and else asks next.
func (s *Sealer) Caller(next Caller) Caller {
	return func(ctx context.Context, m *broker.Message) (Sender, error) {
		if of, ok := s.Sender(m); ok {
			return of, nil
		}
		return next(ctx, m)
	}
}
