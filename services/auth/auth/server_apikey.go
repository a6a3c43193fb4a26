package auth

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
	"github.com/driftmesh/driftmesh/services/auth/internal/token"
)

// CheckAPIKey implements AuthService. A key that is not good is NOT_FOUND, so
// that the gateway can tell it from being refused itself.
func (s *server) CheckAPIKey(ctx context.Context, req *authv1.CheckAPIKeyRequest) (_ *authv1.CheckAPIKeyResponse, err error) {
	if _, err := authorize(ctx, policy.ServiceCall, ""); err != nil {
		return nil, err
	}
	defer func() { s.metrics.keyChecks.WithLabelValues(result(err)).Inc() }()
	id, secret, err := identity.ParseAPIKey(req.GetKey())
	if err != nil {
		return nil, errKey()
	}
	key, err := s.store.Key(ctx, id)
	if err != nil && !errors.Is(err, fault.NotFound) {
		return nil, err
	}
	// An unknown key has no hash, which no secret has.
	if !token.SameSecret(secret, key.Hash) || !key.Good(time.Now()) {
		return nil, errKey()
	}
	said := identity.ClaimsOf(key.Grant)
	s.used.note(key.ID)
	return &authv1.CheckAPIKeyResponse{
		Tenant: key.Tenant, KeyId: key.ID, Admin: said.Admin, ExpireTime: optional(key.Expires),
		Role: said.Role, Permissions: said.Permissions, Spaces: said.Spaces,
	}, nil
}

func errKey() error {
	return fault.NotFound.New("the API key is unknown, revoked or expired").WithReason(identity.ReasonAPIKeyRefused)
}

// CreateAPIKey implements AuthService.
func (s *server) CreateAPIKey(ctx context.Context, req *authv1.CreateAPIKeyRequest) (*authv1.CreateAPIKeyResponse, error) {
	who, err := authorize(ctx, policy.KeysWrite, req.GetTenant())
	if err != nil {
		return nil, err
	}
	now := moment()
	expires, err := s.keyEnd(req, now)
	if err != nil {
		return nil, err
	}
	if err := account.All(checkTenant(who.about), account.CheckKeyName(req.GetName()),
		account.CheckExpiry(expires, now)); err != nil {
		return nil, err
	}
	grant, err := who.grant(asked{
		role: req.GetRole(), admin: req.GetAdmin(), permissions: req.GetPermissions(), spaces: req.GetSpaces(),
	}, policy.Ingest)
	if err != nil {
		return nil, err
	}
	id, text, hash := token.NewAPIKey()
	key := account.Key{
		ID: id, Name: req.GetName(), Tenant: who.about, Grant: grant, Hash: hash, Created: now, Expires: expires,
		Account: req.GetServiceAccount(), CreatedBy: who.name(),
	}
	if err := s.store.AddKey(ctx, key); err != nil {
		return nil, err
	}
	return &authv1.CreateAPIKeyResponse{ApiKey: keyToProto(key), Key: text}, nil
}

// keyEnd is when a key ends that is to be made: when it is said, else after the
// life that is set.
func (s *server) keyEnd(req *authv1.CreateAPIKeyRequest, now time.Time) (time.Time, error) {
	expires, err := optionalTime("expire_time", req.GetExpireTime())
	switch {
	case err != nil:
		return time.Time{}, err
	case req.GetNoExpiry() && !expires.IsZero():
		return time.Time{}, fault.Invalid.New("no_expiry: contradicts expire_time").WithReason("FIELD_INVALID")
	case expires.IsZero() && !req.GetNoExpiry() && s.cfg.KeyLife > 0:
		return now.Add(s.cfg.KeyLife), nil
	}
	return expires, nil
}

const (
	// defaultOverlap is how long a key stays good that another took the place of.
	defaultOverlap = 24 * time.Hour
	// maxOverlap is as long as whoever needs longer should make a second key.
	maxOverlap = 30 * 24 * time.Hour
)

// RotateAPIKey implements AuthService. The new key may do what the old one may,
// and lives as long as that was made for.
func (s *server) RotateAPIKey(ctx context.Context, req *authv1.RotateAPIKeyRequest) (*authv1.RotateAPIKeyResponse, error) {
	who, old, err := s.keyOf(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	if !old.Grant.Within(who.Grant, old.Tenant == identity.MeshTenant) {
		return nil, fault.Denied.New("the key may do more than you").WithReason(identity.ReasonDenied)
	}
	overlap := defaultOverlap
	if d := req.GetOverlap(); d != nil {
		if overlap = d.AsDuration(); d.CheckValid() != nil || overlap < 0 || overlap > maxOverlap {
			return nil, fault.Invalid.New("overlap: must be from 0 to %s", maxOverlap).WithReason("FIELD_INVALID")
		}
	}
	now := moment()
	id, text, hash := token.NewAPIKey()
	next, ends, err := s.store.ReplaceKey(ctx, old, now.Add(overlap), func(k account.Key) account.Key {
		if !k.Expires.IsZero() {
			k.Expires = now.Add(k.Expires.Sub(k.Created))
		}
		k.ID, k.Hash, k.Created, k.CreatedBy, k.LastUsed = id, hash, now, who.name(), time.Time{}
		return k
	})
	if err != nil {
		return nil, err
	}
	return &authv1.RotateAPIKeyResponse{ApiKey: keyToProto(next), Key: text, OldExpireTime: timestamppb.New(ends)}, nil
}

// keyOf gives a key that the caller may change. Of a key of another tenant only
// administrators of the mesh learn that it exists.
func (s *server) keyOf(ctx context.Context, id string) (who caller, key account.Key, err error) {
	if who, err = authorize(ctx, policy.KeysWrite, ""); err != nil {
		return who, key, err
	}
	key, err = s.store.Key(ctx, id)
	if errors.Is(err, fault.NotFound) || err == nil && key.Tenant != who.Tenant && !who.MeshAdmin() {
		return who, key, fault.NotFound.New("API key %q does not exist", id).WithReason("API_KEY_MISSING")
	}
	return who, key, err
}

// ListAPIKeys implements AuthService.
func (s *server) ListAPIKeys(ctx context.Context, _ *authv1.ListAPIKeysRequest) (*authv1.ListAPIKeysResponse, error) {
	who, err := authorize(ctx, policy.KeysRead, "")
	if err != nil {
		return nil, err
	}
	all, err := s.store.Keys(ctx, who.about)
	if err != nil {
		return nil, err
	}
	return &authv1.ListAPIKeysResponse{ApiKeys: each(all, keyToProto)}, nil
}

// RevokeAPIKey implements AuthService.
func (s *server) RevokeAPIKey(ctx context.Context, req *authv1.RevokeAPIKeyRequest) (*authv1.RevokeAPIKeyResponse, error) {
	_, key, err := s.keyOf(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	return &authv1.RevokeAPIKeyResponse{}, s.store.RevokeKey(ctx, key.Tenant, key.ID, moment())
}

func keyToProto(k account.Key) *authv1.APIKey {
	said := identity.ClaimsOf(k.Grant)
	return &authv1.APIKey{
		Id: k.ID, Name: k.Name, Tenant: k.Tenant, Admin: said.Admin,
		CreateTime: timestamppb.New(k.Created), ExpireTime: optional(k.Expires),
		Role: said.Role, Permissions: said.Permissions, Spaces: said.Spaces,
		ServiceAccount: k.Account, LastUseTime: optional(k.LastUsed), CreatedBy: k.CreatedBy, ReplacedBy: k.ReplacedBy,
	}
}
