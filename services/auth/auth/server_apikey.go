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
	expires, err := optionalTime("expire_time", req.GetExpireTime())
	if err != nil {
		return nil, err
	}
	now := moment()
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
	}
	if err := s.store.AddKey(ctx, key, who.name()); err != nil {
		return nil, err
	}
	return &authv1.CreateAPIKeyResponse{ApiKey: keyToProto(key), Key: text}, nil
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
	who, err := authorize(ctx, policy.KeysWrite, "")
	if err != nil {
		return nil, err
	}
	tenant := who.about
	if who.MeshAdmin() {
		// May end anybody's; others do not even learn that it exists.
		key, err := s.store.Key(ctx, req.GetId())
		if err != nil && !errors.Is(err, fault.NotFound) {
			return nil, err
		}
		tenant = key.Tenant
	}
	if err := s.store.RevokeKey(ctx, tenant, req.GetId(), moment()); err != nil {
		return nil, err
	}
	return &authv1.RevokeAPIKeyResponse{}, nil
}

func keyToProto(k account.Key) *authv1.APIKey {
	said := identity.ClaimsOf(k.Grant)
	return &authv1.APIKey{
		Id: k.ID, Name: k.Name, Tenant: k.Tenant, Admin: said.Admin,
		CreateTime: timestamppb.New(k.Created), ExpireTime: optional(k.Expires),
		Role: said.Role, Permissions: said.Permissions, Spaces: said.Spaces,
	}
}
