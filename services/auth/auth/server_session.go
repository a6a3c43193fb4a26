package auth

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/telemetry"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
	"github.com/driftmesh/driftmesh/services/auth/internal/store"
	"github.com/driftmesh/driftmesh/services/auth/internal/token"
)

// Login implements AuthService.
func (s *server) Login(ctx context.Context, req *authv1.LoginRequest) (_ *authv1.LoginResponse, err error) {
	defer func() { s.metrics.logins.WithLabelValues(result(err)).Inc() }()
	user, err := s.checkPassword(ctx, req)
	if err != nil {
		return nil, err
	}
	if user.OneTime {
		return nil, fault.Precondition.New("the password was given by somebody else and is good for choosing another: change it").
			WithReason("PASSWORD_CHANGE_REQUIRED")
	}
	return s.begin(ctx, user, req.GetDevice(), s.cfg.SessionLife)
}

// checkPassword gives the user who logs in.
func (s *server) checkPassword(ctx context.Context, req *authv1.LoginRequest) (account.User, error) {
	tenant := tenantOf(req)
	if _, err := authorize(ctx, policy.PublicCall, tenant); err != nil {
		return account.User{}, err
	}
	if err := account.All(checkTenant(tenant), account.CheckUsername(req.GetUsername()),
		account.CheckPassword(req.GetPassword())); err != nil {
		return account.User{}, err
	}
	return s.login.Check(ctx, account.Attempt{
		Tenant: tenant, Name: req.GetUsername(), Password: req.GetPassword(),
		Source: source(ctx), Device: s.devices.Check(req.GetDevice(), tenant, req.GetUsername()),
	})
}

// tenantOf is the tenant that somebody who is not known yet names.
func tenantOf(req interface{ GetTenant() string }) string {
	if name := req.GetTenant(); name != "" {
		return name
	}
	return identity.DefaultTenant
}

// begin opens a session of at most life for a user who has proved who it is.
func (s *server) begin(ctx context.Context, user account.User, device string, life time.Duration) (*authv1.LoginResponse, error) {
	// Before the session is stored, which finds out whether the account was changed
	// since it was read.
	head, err := s.store.Head(ctx)
	if err != nil {
		return nil, err
	}
	now := moment()
	session := account.Session{
		ID: token.NewSession(), Tenant: user.Tenant, User: user.Name, Created: now, Ends: now.Add(life),
	}
	refresh, hash := token.NewRefresh(session.ID)
	if err := s.store.OpenSession(ctx, user, session, hash); err != nil {
		return nil, err
	}
	text, ends, err := s.issue(user, session, head)
	if err != nil {
		return nil, err
	}
	if s.devices.Check(device, user.Tenant, user.Name) == "" {
		device = s.devices.New(user.Tenant, user.Name)
	}
	return &authv1.LoginResponse{
		Token: text, ExpireTime: timestamppb.New(ends), RefreshToken: refresh,
		SessionExpireTime: timestamppb.New(session.Ends), Device: device,
	}, nil
}

// issue makes an access token of a session, which it does not outlive.
func (s *server) issue(user account.User, session account.Session, head int64) (text string, ends time.Time, err error) {
	life := min(s.cfg.TokenLife, time.Until(session.Ends))
	return s.ring.Issue(token.Grant{User: user, Session: session.ID, Head: head}, life)
}

// RefreshToken implements AuthService.
func (s *server) RefreshToken(ctx context.Context, req *authv1.RefreshTokenRequest) (_ *authv1.RefreshTokenResponse, err error) {
	defer func() { s.metrics.refreshes.WithLabelValues(result(err)).Inc() }()
	if _, err := authorize(ctx, policy.PublicCall, ""); err != nil {
		return nil, err
	}
	id, old, err := token.ParseRefresh(req.GetRefreshToken())
	if err != nil {
		return nil, err
	}
	head, err := s.store.Head(ctx)
	if err != nil {
		return nil, err
	}
	refresh, next := token.NewRefresh(id)
	user, session, err := s.store.Rotate(ctx, store.Rotation{Session: id, Old: old, Next: next, At: moment()})
	if err != nil && fault.Of(err).Reason() == store.ReasonReused {
		s.log.Warn("a refresh token was used twice: its session was ended", slog.String(telemetry.KeyTenant, session.Tenant),
			slog.String("user", session.User), slog.String("source", source(ctx)))
	}
	if err != nil {
		return nil, err
	}
	if err := user.Good(); err != nil {
		return nil, err
	}
	if !s.outside.knows(user) {
		return nil, fault.Denied.New("users of the OpenID provider %s are not let in here any more", user.Issuer).WithReason("PROVIDER_UNKNOWN")
	}
	text, ends, err := s.issue(user, session, head)
	if err != nil {
		return nil, err
	}
	return &authv1.RefreshTokenResponse{
		Token: text, ExpireTime: timestamppb.New(ends), RefreshToken: refresh, SessionExpireTime: timestamppb.New(session.Ends),
	}, nil
}

// Logout implements AuthService. A session that has ended is no error.
func (s *server) Logout(ctx context.Context, req *authv1.LogoutRequest) (*authv1.LogoutResponse, error) {
	if _, err := authorize(ctx, policy.PublicCall, ""); err != nil {
		return nil, err
	}
	id, hash, err := token.ParseRefresh(req.GetRefreshToken())
	if err != nil {
		return nil, err
	}
	return &authv1.LogoutResponse{}, s.store.EndSession(ctx, id, hash)
}

// ChangePassword implements AuthService.
func (s *server) ChangePassword(ctx context.Context, req *authv1.ChangePasswordRequest) (_ *authv1.ChangePasswordResponse, err error) {
	defer func() { s.metrics.logins.WithLabelValues(result(err)).Inc() }()
	if err := account.CheckNewPassword(req.GetNewPassword(), tenantOf(req), req.GetUsername()); err != nil {
		return nil, err
	}
	if req.GetNewPassword() == req.GetPassword() {
		return nil, fault.Invalid.New("new_password: is the old one").WithReason("FIELD_INVALID")
	}
	user, err := s.checkPassword(ctx, &authv1.LoginRequest{
		Tenant: req.GetTenant(), Username: req.GetUsername(), Password: req.GetPassword(), Device: req.GetDevice(),
	})
	if err != nil {
		return nil, err
	}
	hash, err := s.hasher.Hash(ctx, account.Place{Known: true, Source: user.Tenant + "/" + user.Name}, req.GetNewPassword())
	if err != nil {
		return nil, err
	}
	if err := s.store.SetPassword(ctx, user.Tenant, user.Name, store.Password{Hash: hash, Instead: user.Hash}); err != nil {
		return nil, err
	}
	user.Hash, user.OneTime, user.PasswordEnds = hash, false, time.Time{}
	login, err := s.begin(ctx, user, req.GetDevice(), s.cfg.SessionLife)
	if err != nil {
		return nil, err
	}
	return &authv1.ChangePasswordResponse{Login: login}, nil
}

const (
	// watchEvery is how often a watch looks for what is new, and says that it is
	// there.
	watchEvery = time.Second
	// watchBatch bounds one message of a watch.
	watchBatch = 1000
)

// WatchRevocations implements AuthService.
func (s *server) WatchRevocations(req *authv1.WatchRevocationsRequest, stream authv1.AuthService_WatchRevocationsServer) error {
	ctx := stream.Context()
	if _, err := authorize(ctx, policy.ServiceCall, ""); err != nil {
		return err
	}
	after := req.GetAfter()
	return s.keepTelling(ctx, func() (more bool, err error) {
		message, more, err := s.revocations(ctx, &after)
		if err != nil {
			return false, err
		}
		return more, stream.Send(message)
	})
}

// keepTelling tells of something every moment, and at once where there is more, until
// ctx ends or auth stops: who hears nothing for some seconds takes us for gone.
func (s *server) keepTelling(ctx context.Context, tell func() (more bool, err error)) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		more, err := tell()
		if err != nil {
			return err
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.stopping.Done():
			return fault.Unavailable.New("auth is stopping")
		case <-tick.C:
		}
	}
}

// revocations gives what came after a number, and moves it on; more tells whether
// there is more to give.
func (s *server) revocations(ctx context.Context, after *int64) (_ *authv1.WatchRevocationsResponse, more bool, err error) {
	head, err := s.store.Head(ctx)
	if err != nil {
		return nil, false, err
	}
	message := &authv1.WatchRevocationsResponse{KeySet: s.ring.Version()}
	if head > *after {
		all, err := s.store.Revocations(ctx, *after, watchBatch)
		if err != nil {
			return nil, false, err
		}
		for _, r := range all {
			message.Revocations = append(message.Revocations, revocationToProto(r))
			head = max(head, r.Number)
		}
		more = len(all) == watchBatch
	}
	if more {
		*after = message.GetRevocations()[watchBatch-1].GetNumber()
		return message, true, nil
	}
	*after = head
	message.Head = &head
	return message, false, nil
}

var revocationKinds = map[identity.RevocationKind]authv1.RevocationKind{
	identity.RevokedKey:     authv1.RevocationKind_REVOCATION_KIND_KEY,
	identity.RevokedSession: authv1.RevocationKind_REVOCATION_KIND_SESSION,
	identity.RevokedUser:    authv1.RevocationKind_REVOCATION_KIND_USER,
	identity.RevokedTenant:  authv1.RevocationKind_REVOCATION_KIND_TENANT,
}

func revocationToProto(r identity.Revocation) *authv1.Revocation {
	return &authv1.Revocation{Number: r.Number, Kind: revocationKinds[r.Kind], Tenant: r.Tenant, Subject: r.Subject}
}
