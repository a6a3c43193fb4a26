package auth

import (
	"context"
	"crypto/subtle"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/policy"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
	"github.com/driftmesh/driftmesh/services/auth/internal/oidc"
	"github.com/driftmesh/driftmesh/services/auth/internal/token"
)

// ListProviders implements AuthService.
func (s *server) ListProviders(ctx context.Context, _ *authv1.ListProvidersRequest) (*authv1.ListProvidersResponse, error) {
	if _, err := authorize(ctx, policy.PublicCall, ""); err != nil {
		return nil, err
	}
	return &authv1.ListProvidersResponse{Providers: each(s.outside.providers.All(), func(p *oidc.Provider) *authv1.Provider {
		return &authv1.Provider{
			Name: p.Name, Issuer: p.Issuer, Login: p.ClientID != "", Browser: p.Redirect != "", Exchange: len(p.Audiences) > 0,
		}
	})}, nil
}

// maxReturnTo bounds what a login brings back.
const maxReturnTo = 1024

// StartLogin implements AuthService. It keeps nothing and asks the provider nothing
// but where it is.
func (s *server) StartLogin(ctx context.Context, req *authv1.StartLoginRequest) (*authv1.StartLoginResponse, error) {
	if _, err := authorize(ctx, policy.PublicCall, ""); err != nil {
		return nil, err
	}
	p, err := s.outside.providers.Find(req.GetProvider())
	if err != nil {
		return nil, err
	}
	redirect := req.GetRedirectUri()
	switch {
	case len(req.GetReturnTo()) > maxReturnTo:
		return nil, fault.Invalid.New("return_to: has more than %d bytes", maxReturnTo).WithReason("FIELD_INVALID")
	case redirect != "" && !oidc.Loopback(redirect):
		return nil, fault.Invalid.New("redirect_uri: want http://127.0.0.1:PORT/…: where else browsers come back to is said by the settings").WithReason("FIELD_INVALID")
	case redirect == "" && p.Redirect == "":
		return nil, fault.Precondition.New("browsers cannot begin a login at %s here: auth.oidc.%s.redirect is not set", p.Name, p.Name).WithReason("PROVIDER_NO_LOGIN")
	case redirect == "":
		redirect = p.Redirect
	}
	url, pending, err := p.Begin(ctx, redirect)
	if err != nil {
		s.outside.complain(p, err)
		return nil, err
	}
	pending.ReturnTo = req.GetReturnTo()
	sealed, err := s.outside.seal.Close(pending)
	if err != nil {
		return nil, err
	}
	return &authv1.StartLoginResponse{
		Url: url, State: pending.State, Login: sealed, ExpireTime: timestamppb.New(time.Unix(pending.Ends, 0)), RedirectUri: redirect,
	}, nil
}

// FinishLogin implements AuthService.
func (s *server) FinishLogin(ctx context.Context, req *authv1.FinishLoginRequest) (*authv1.FinishLoginResponse, error) {
	out := &authv1.FinishLoginResponse{}
	v := &visit{method: authv1.AuthService_FinishLogin_FullMethodName, way: byBrowser}
	err := s.visit(ctx, v, func() error {
		pending, err := s.resume(v, req.GetLogin())
		if err != nil {
			return err
		}
		if pending.Redirect != v.provider.Redirect {
			v.way = byCLI
		}
		// A state that another browser began, or none: somebody has been sent here with
		// somebody else's answer.
		if pending.State == "" || subtle.ConstantTimeCompare([]byte(pending.State), []byte(req.GetState())) != 1 {
			return fault.Unauthenticated.New("this answer belongs to another login: begin again").WithReason("LOGIN_STATE_INVALID")
		}
		if err := s.finish(ctx, pending); err != nil {
			return err
		}
		v.claims, err = v.provider.Finish(ctx, pending, oidc.Answer{Code: req.GetCode(), Issuer: req.GetIssuer(), Error: req.GetError()})
		if err != nil {
			return err
		}
		out.Login, err = s.enter(ctx, v)
		out.ReturnTo, out.RedirectUri = pending.ReturnTo, pending.Redirect
		return err
	})
	if err != nil {
		return nil, err
	}
	out.Tenant, out.Username = v.user.Tenant, v.user.Name
	return out, nil
}

// StartDeviceLogin implements AuthService.
func (s *server) StartDeviceLogin(ctx context.Context, req *authv1.StartDeviceLoginRequest) (*authv1.StartDeviceLoginResponse, error) {
	if _, err := authorize(ctx, policy.PublicCall, ""); err != nil {
		return nil, err
	}
	p, err := s.outside.providers.Find(req.GetProvider())
	if err != nil {
		return nil, err
	}
	var (
		device  oidc.Device
		pending oidc.Pending
	)
	_, held := s.outside.devices.Try(source(ctx), func() (bool, error) {
		device, pending, err = p.BeginDevice(ctx)
		return false, nil // each counts
	})
	if held != nil {
		return nil, held
	}
	if err != nil {
		s.outside.complain(p, err)
		return nil, err
	}
	sealed, err := s.outside.seal.Close(pending)
	if err != nil {
		return nil, err
	}
	return &authv1.StartDeviceLoginResponse{
		VerificationUri: device.URI, VerificationUriComplete: device.Complete, UserCode: device.UserCode, Provider: p.Name,
		Interval: durationpb.New(time.Duration(device.Interval) * time.Second), ExpireTime: timestamppb.New(device.Ends), Login: sealed,
	}, nil
}

// slower is how much longer to wait when a provider says so (RFC 8628, 3.5).
const slower = 5 * time.Second

// PollDeviceLogin implements AuthService.
func (s *server) PollDeviceLogin(ctx context.Context, req *authv1.PollDeviceLoginRequest) (*authv1.PollDeviceLoginResponse, error) {
	out := &authv1.PollDeviceLoginResponse{}
	v := &visit{method: authv1.AuthService_PollDeviceLogin_FullMethodName, way: byDevice}
	err := s.visit(ctx, v, func() error {
		pending, err := s.resume(v, req.GetLogin())
		if err != nil {
			return err
		}
		if pending.Device == "" {
			return fault.Unauthenticated.New("this is not a login of a device").WithReason("LOGIN_UNKNOWN")
		}
		if err := s.outside.polls.take(pending.ID); err != nil {
			return err
		}
		claims, done, slow, err := v.provider.Poll(ctx, pending)
		switch {
		case err != nil:
			return err
		case !done:
			if slow {
				out.SlowDown = durationpb.New(slower)
			}
			return errNotYet
		}
		v.claims = claims
		if err := s.finish(ctx, pending); err != nil {
			return err
		}
		out.Login, err = s.enter(ctx, v)
		return err
	})
	if err != nil && !errors.Is(err, errNotYet) {
		return nil, err
	}
	out.Tenant, out.Username = v.user.Tenant, v.user.Name
	return out, nil
}

// errNotYet says that nothing has happened that is to be taken down.
var errNotYet = errors.New("not approved yet")

// visit does one login at a provider, and takes down how it ended: before it is
// answered, or nobody is let in.
func (s *server) visit(ctx context.Context, v *visit, do func() error) error {
	if _, err := authorize(ctx, policy.PublicCall, ""); err != nil {
		return err
	}
	if err := s.outside.account.Begin(ctx); err != nil {
		return err
	}
	held := s.outside.held
	if v.way == byExchange {
		held = func(_ context.Context, do func() error) error { return do() }
	}
	err := held(ctx, do)
	if errors.Is(err, errNotYet) {
		return err
	}
	s.metrics.providers.WithLabelValues(v.name(), v.way, result(err)).Inc()
	s.outside.done(ctx, v, err)
	return err
}

// resume opens a login that was begun here.
func (s *server) resume(v *visit, sealed string) (oidc.Pending, error) {
	pending, err := s.outside.seal.Open(sealed)
	if err != nil {
		return pending, err
	}
	v.provider, err = s.outside.providers.Find(pending.Provider)
	return pending, err
}

// finish lets a login be finished once.
func (s *server) finish(ctx context.Context, pending oidc.Pending) error {
	err := s.store.FinishLogin(ctx, pending.ID, time.Unix(pending.Ends, 0).Add(time.Minute))
	if errors.Is(err, fault.Exists) {
		return fault.Unauthenticated.Wrap(err, "this login was finished before: begin again").WithReason("LOGIN_FINISHED")
	}
	return err
}

// enter opens a session for whoever a provider vouches for.
func (s *server) enter(ctx context.Context, v *visit) (_ *authv1.LoginResponse, err error) {
	if v.user, err = s.outside.arrive(ctx, v.provider, v.claims); err != nil {
		return nil, err
	}
	return s.begin(ctx, v.user, "", min(s.cfg.SessionLife, v.provider.SessionLife()))
}

// Types of RFC 8693, section 3.
const (
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	tokenTypes    = "urn:ietf:params:oauth:token-type:"
	typeAccess    = tokenTypes + "access_token"
)

// ExchangeToken implements AuthService.
func (s *server) ExchangeToken(ctx context.Context, req *authv1.ExchangeTokenRequest) (*authv1.ExchangeTokenResponse, error) {
	if grant := req.GetGrantType(); grant != "" && grant != grantExchange {
		return nil, fault.Invalid.New("grant_type: want %s", grantExchange).WithReason("FIELD_INVALID")
	}
	if kind := req.GetSubjectTokenType(); !slices.Contains([]string{"", tokenTypes + "jwt", tokenTypes + "id_token", typeAccess}, kind) {
		return nil, fault.Invalid.New("subject_token_type: want %sjwt, id_token or access_token", tokenTypes).WithReason("FIELD_INVALID")
	}
	var out *authv1.ExchangeTokenResponse
	v := &visit{method: authv1.AuthService_ExchangeToken_FullMethodName, way: byExchange}
	err := s.visit(ctx, v, func() (err error) {
		if v.provider, err = s.outside.providers.Issuer(req.GetSubjectToken()); err != nil {
			return err
		}
		if v.claims, err = v.provider.Exchange(ctx, req.GetSubjectToken()); err != nil {
			return err
		}
		if v.user, err = s.outside.admit(ctx, v.provider, v.claims); err != nil {
			return err
		}
		out, err = s.exchange(ctx, v.user, v.claims.Ends)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// exchange makes an access token without a session, which does not outlive the one
// that it is for.
func (s *server) exchange(ctx context.Context, user account.User, ends time.Time) (*authv1.ExchangeTokenResponse, error) {
	head, err := s.store.Head(ctx)
	if err != nil {
		return nil, err
	}
	// Read again behind the number: what changes from here on revokes the token.
	now, err := s.store.User(ctx, user.Tenant, user.Name)
	if err != nil {
		return nil, err
	}
	if err := now.Good(); err != nil {
		return nil, err
	}
	now.Grant = user.Grant
	if err := s.store.Seen(ctx, now, moment()); err != nil {
		return nil, err
	}
	text, until, err := s.ring.Issue(token.Grant{User: now, Head: head}, min(s.cfg.TokenLife, time.Until(ends)))
	if err != nil {
		return nil, err
	}
	return &authv1.ExchangeTokenResponse{
		AccessToken: text, IssuedTokenType: typeAccess, TokenType: "Bearer", ExpiresIn: int32(max(time.Until(until).Seconds(), 0)),
		ExpireTime: timestamppb.New(until), Tenant: now.Tenant, Username: now.Name,
	}, nil
}
