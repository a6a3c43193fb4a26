package auth

import (
	"context"
	"errors"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
	"github.com/driftmesh/driftmesh/services/auth/internal/store"
	"github.com/driftmesh/driftmesh/services/auth/internal/token"
)

// LoginStanding implements AuthService.
func (s *server) LoginStanding(ctx context.Context, req *authv1.LoginStandingRequest) (_ *authv1.LoginStandingResponse, err error) {
	defer func() { s.metrics.logins.WithLabelValues(result(err)).Inc() }()
	if _, err := authorize(ctx, policy.ServiceCall, ""); err != nil {
		return nil, err
	}
	user, err := s.standingUser(ctx, req)
	if err != nil {
		return nil, err
	}
	if user.OneTime {
		return nil, fault.Precondition.New("the password was given by somebody else and is good for choosing another: change it").
			WithReason("PASSWORD_CHANGE_REQUIRED")
	}
	// Before the session is stored: see begin.
	head, err := s.store.Head(ctx)
	if err != nil {
		return nil, err
	}
	now := moment()
	session, err := s.store.Stand(ctx, user, account.Session{
		ID: token.NewSession(), Tenant: user.Tenant, User: user.Name, Created: now, Ends: now.Add(s.cfg.SessionLife),
	})
	if err != nil {
		return nil, err
	}
	resp, err := s.stand(user, session, head)
	if err != nil {
		return nil, err
	}
	return &authv1.LoginStandingResponse{Token: resp.GetToken(), ExpireTime: resp.GetExpireTime()}, nil
}

// stand gives a token of a standing session.
func (s *server) stand(user account.User, session account.Session, head int64) (*authv1.RenewTokenResponse, error) {
	mark := s.standing.Mark(token.Owner{Session: session.ID, Tenant: session.Tenant, User: session.User})
	text, ends, err := s.ring.Issue(token.Grant{User: user, Session: session.ID, Head: head, Renew: mark}, s.cfg.TokenLife)
	if err != nil {
		return nil, err
	}
	return &authv1.RenewTokenResponse{Token: text, ExpireTime: timestamppb.New(ends)}, nil
}

// standingUser gives the user who logs in.
func (s *server) standingUser(ctx context.Context, req *authv1.LoginStandingRequest) (account.User, error) {
	tenant := tenantOf(req)
	if s.cfg.ScouterAccounts && tenant == identity.DefaultTenant && wellKnown(req.GetUsername(), req.GetPassword()) {
		user, err := s.wellKnownUser(ctx, req.GetUsername())
		if err != nil || user.Hash == "" && user.Service && user.Grant == policy.As(policy.Editor) {
			return user, errors.Join(err, user.Good())
		}
		// Somebody made an account of that name, whose password counts.
	}
	if err := account.All(checkTenant(tenant), account.CheckUsername(req.GetUsername()), account.CheckPassword(req.GetPassword())); err != nil {
		return account.User{}, err
	}
	return s.recall.Check(ctx, account.Attempt{Tenant: tenant, Name: req.GetUsername(), Password: req.GetPassword(), Source: source(ctx)})
}

// wellKnown are the accounts that Scouter's clients log in as when they are told no
// other.
func wellKnown(name, password string) bool {
	return (name == "guest" || name == "admin") && password == name
}

// wellKnownUser is that of such an account, made when it is first asked for: an
// editor, whatever it is called, without a password that the ordinary login knows.
func (s *server) wellKnownUser(ctx context.Context, name string) (account.User, error) {
	user, err := s.store.User(ctx, identity.DefaultTenant, name)
	if !errors.Is(err, fault.NotFound) {
		return user, err
	}
	made := account.User{Tenant: identity.DefaultTenant, Name: name, Grant: policy.As(policy.Editor), Service: true, Created: moment()}
	if err := s.store.AddUser(ctx, made, "setting:auth.scouter-accounts"); err != nil && !errors.Is(err, fault.Exists) {
		return account.User{}, err
	}
	return s.store.User(ctx, identity.DefaultTenant, name)
}

// RenewToken implements AuthService.
func (s *server) RenewToken(ctx context.Context, req *authv1.RenewTokenRequest) (_ *authv1.RenewTokenResponse, err error) {
	defer func() { s.metrics.refreshes.WithLabelValues(result(err)).Inc() }()
	if _, err := authorize(ctx, policy.ServiceCall, ""); err != nil {
		return nil, err
	}
	owner, err := s.standing.Read(req.GetToken())
	if err != nil {
		return nil, err
	}
	head, err := s.store.Head(ctx)
	if err != nil {
		return nil, err
	}
	now := moment()
	user, session, err := s.store.Renew(ctx, store.Renewal{
		Session: owner.Session, Tenant: owner.Tenant, User: owner.User, At: now, Ends: now.Add(s.cfg.SessionLife),
	})
	if err != nil {
		return nil, err
	}
	if err := user.Good(); err != nil {
		return nil, err
	}
	return s.stand(user, session, head)
}
