package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"

	"github.com/driftmesh/driftmesh/internal/audit"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/internal/telemetry"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
	"github.com/driftmesh/driftmesh/services/auth/internal/oidc"
	"github.com/driftmesh/driftmesh/services/auth/internal/store"
)

// outside is what logins at OpenID providers need. It is safe for concurrent use.
type outside struct {
	providers *oidc.Providers
	seal      *oidc.Seal
	// account is that of who did what: of these logins auth alone knows whose they
	// are, so it takes them down itself.
	account *audit.Recorder
	store   *store.Store
	log     *slog.Logger

	// failures holds off sources whose logins fail: each may have cost a question to
	// the provider. What workloads show costs none, and one that shows the wrong thing
	// again and again must not keep out the others of its machine. devices counts the logins that a source begins which cost one.
	failures, devices *account.Throttle
	// changes has how much each tenant may have written down of its logins.
	changes    *quota.Book
	polls      pace
	complaints map[string]*rate.Sometimes // by provider
}

// complainEvery bounds what strangers who log in can have logged.
const complainEvery = 10 * time.Second

var (
	ofFailures = account.Patience{Free: 30, Forget: time.Minute, AtOnce: 16} // as many as there are connections to a provider
	ofDevices  = account.Patience{Free: 10, Forget: 20 * time.Second}
)

func newOutside(configs oidc.Configs, secrets *identity.Secrets, s *store.Store, log *slog.Logger) (*outside, error) {
	providers, err := oidc.New(configs)
	if err != nil {
		return nil, fmt.Errorf("auth.oidc: %w", err)
	}
	complaints := map[string]*rate.Sometimes{}
	for _, p := range providers.All() {
		complaints[p.Name] = &rate.Sometimes{Interval: complainEvery}
	}
	return &outside{
		providers: providers, seal: oidc.NewSeal(secrets), store: s, log: log, account: audit.NewRecorder(s.AppendAudit, log),
		failures: account.NewThrottle(ofFailures), devices: account.NewThrottle(ofDevices), complaints: complaints,
		changes: quota.NewBook(quota.Limits{}),
	}, nil
}

// Ways to log in at a provider.
const (
	byBrowser  = "browser"  // with the gateway's cookie
	byCLI      = "cli"      // with a browser that comes back to a program
	byDevice   = "device"   // approved elsewhere
	byExchange = "exchange" // of a workload
)

// visit is one login at a provider: what becomes known of it.
type visit struct {
	method   string // as gRPC has it
	way      string
	provider *oidc.Provider // nil while it is not known
	claims   oidc.Claims    // zero while they are not
	user     account.User   // zero while there is none
}

// held does what a visit is about, unless its source is held off. It gives what do
// gives.
func (o *outside) held(ctx context.Context, do func() error) (err error) {
	_, held := o.failures.Try(source(ctx), func() (bool, error) {
		err = do()
		if audit.Refused(err) {
			return false, nil
		}
		return err == nil, err
	})
	if err == nil {
		err = held
	}
	return err
}

// arrive gives the user whom a provider vouches for, by its rules. Somebody who logs in
// and has no place here any more loses what is left of it.
func (o *outside) arrive(ctx context.Context, p *oidc.Provider, claims oidc.Claims) (account.User, error) {
	user, err := o.place(p, claims)
	if err != nil {
		return account.User{}, errors.Join(o.store.Depart(ctx, claims.Issuer, claims.Subject), err)
	}
	if err := o.changes.Of(user.Tenant).Change(time.Now()); err != nil {
		return account.User{}, err
	}
	found, err := o.store.Arrive(ctx, user, account.ExternalNameAt(p.Name, claims.Issuer, claims.Subject))
	return checked(user, found, err)
}

// admit is arrive for a workload. Its tokens may say less than a login does, so they
// change nothing of what there is; what its own token allows is what they say.
func (o *outside) admit(ctx context.Context, p *oidc.Provider, claims oidc.Claims) (account.User, error) {
	user, err := o.place(p, claims)
	if err != nil {
		return account.User{}, err
	}
	if err := o.changes.Of(user.Tenant).Change(time.Now()); err != nil {
		return account.User{}, err
	}
	found, err := o.store.Admit(ctx, user, account.ExternalNameAt(p.Name, claims.Issuer, claims.Subject))
	found.Grant = user.Grant
	return checked(user, found, err)
}

// place is the user that the rules make of what a provider says.
func (o *outside) place(p *oidc.Provider, claims oidc.Claims) (account.User, error) {
	place, ok := p.Rules.Place(claims.All)
	if !ok {
		return account.User{}, fault.Denied.New("%s knows you as %.100q, but no rule here gives you a place: ask whoever runs this mesh (auth.oidc.%s.rules)",
			p.Name, claims.Subject, p.Name).WithReason("NO_RULE")
	}
	return account.User{
		Tenant: place.Tenant, Name: account.ExternalName(p.Name, claims.Subject), Grant: place.Grant,
		Issuer: claims.Issuer, Subject: claims.Subject, Created: moment(),
	}, nil
}

// checked is what the store found for a user that may come in.
func checked(want, found account.User, err error) (account.User, error) {
	if errors.Is(err, fault.NotFound) {
		return account.User{}, fault.Precondition.Wrap(err, "the rules give you the tenant %q, which does not exist", want.Tenant).WithReason("TENANT_MISSING")
	}
	if err != nil {
		return account.User{}, err
	}
	return found, found.Good()
}

// knows reports whether a user comes from a provider that the settings name, or from
// none.
func (o *outside) knows(u account.User) bool {
	return !u.External() || slices.ContainsFunc(o.providers.All(), func(p *oidc.Provider) bool { return p.Issuer == u.Issuer })
}

// complain logs why a provider does not answer, for whoever runs the mesh.
func (o *outside) complain(p *oidc.Provider, err error) {
	if errors.Is(err, fault.Unavailable) {
		o.complaints[p.Name].Do(func() {
			o.log.Warn("an OpenID provider does not answer as it should", slog.String("provider", p.Name), telemetry.Err(err))
		})
	}
}

// done takes down how a visit ended.
func (o *outside) done(ctx context.Context, v *visit, err error) {
	if v.provider != nil {
		o.complain(v.provider, err)
	}
	e := audit.Entry{Action: v.method, Source: source(ctx), Tenant: v.user.Tenant}
	e.End(err)
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		e.Trace = span.TraceID().String()
	}
	parts := []string{"way=" + v.way}
	if v.provider != nil {
		parts = append(parts, "provider="+v.provider.Name, "issuer="+v.provider.Issuer)
	}
	if v.claims.Subject != "" {
		parts = append(parts, "subject="+v.claims.Subject)
		e.Actor, e.Kind = account.ExternalName(v.provider.Name, v.claims.Subject), string(identity.User)
	}
	if v.user.Name != "" {
		e.Actor, e.Home = v.user.Name, v.user.Tenant
	}
	if e.Tenant == "" { // who has no place writes nothing into another's account
		e.Tenant = identity.MeshTenant
	}
	e.Object = strings.Join(parts, " ")
	if err == nil {
		o.account.Record(ctx, e)
		return
	}
	o.account.Count(e) // as many as somebody likes to try
}

// name is the label of a visit's provider.
func (v *visit) name() string {
	if v.provider == nil {
		return ""
	}
	return v.provider.Name
}

const (
	// pollEvery is how often one login may be polled, whatever the provider says.
	pollEvery = time.Second
	// maxPolls bounds how many are remembered.
	maxPolls = 4096
)

// pace keeps pollers from passing their haste on to a provider. It is safe for
// concurrent use.
type pace struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// take gives fault.Exhausted when it is too early.
func (p *pace) take(id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if wait := pollEvery - now.Sub(p.last[id]); wait > 0 {
		return fault.Exhausted.New("polled too soon").WithReason("LOGIN_THROTTLED").WithRetryAfter(wait)
	}
	if p.last == nil || len(p.last) >= maxPolls {
		recent := map[string]time.Time{}
		for one, at := range p.last {
			if now.Sub(at) < pollEvery {
				recent[one] = at
			}
		}
		p.last = recent
	}
	if len(p.last) >= maxPolls {
		return fault.Exhausted.New("too many logins are under way").WithReason("LOGIN_THROTTLED").WithRetryAfter(pollEvery)
	}
	p.last[id] = now
	return nil
}
