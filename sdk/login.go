package sdk

import (
	"context"
	"sync"
	"time"

	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

// WithLogin logs in with a password, and again before the token ends. An empty
// tenant is the mesh's default. It takes the place of a token and an API key.
// Programs are better off with an API key.
func WithLogin(tenant, username, password string) Option {
	return func(c *config) {
		c.access, c.login = access{}, &login{tenant: tenant, username: username, password: password}
	}
}

// login gets tokens for a password.
type login struct {
	tenant, username, password string
	api                        func() authv1.AuthServiceClient

	mu     sync.Mutex
	token  string
	renew  time.Time
	device string
}

// anonymously marks calls that are made without credentials: to get some.
type anonymously struct{}

// early is how long before its end a token is replaced, or after half its life if
// that is sooner.
const early = time.Minute

// get gives a token that is good for a while. Whoever asks meanwhile waits for the
// one login.
func (l *login) get(ctx context.Context) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.token != "" && now.Before(l.renew) {
		return l.token, nil
	}
	resp, err := l.api().Login(context.WithValue(ctx, anonymously{}, true), &authv1.LoginRequest{
		Tenant: l.tenant, Username: l.username, Password: l.password, Device: l.device,
	})
	if err != nil {
		return "", err //nolint:wrapcheck // its status says whether to try again
	}
	life := resp.GetExpireTime().AsTime().Sub(now)
	l.token, l.device = resp.GetToken(), resp.GetDevice()
	l.renew = now.Add(max(life-early, life/2))
	return l.token, nil
}
