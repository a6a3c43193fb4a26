package auth

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
)

// metrics are the collectors of this service.
type metrics struct {
	logins    *prometheus.CounterVec
	refreshes *prometheus.CounterVec
	keyChecks *prometheus.CounterVec
	providers *prometheus.CounterVec
}

func newMetrics(stats prometheus.Registerer, hasher *account.Hasher) (*metrics, error) {
	m := &metrics{
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "driftmesh_auth_logins_total", Help: "Logins by result: ok, refused, held_off or failed.",
		}, []string{"result"}),
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "driftmesh_auth_token_refreshes_total", Help: "Exchanges of refresh tokens by result: ok, refused or failed.",
		}, []string{"result"}),
		keyChecks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "driftmesh_auth_api_key_checks_total", Help: "API keys checked by result: ok, refused or failed.",
		}, []string{"result"}),
		providers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "driftmesh_auth_provider_logins_total",
			Help: "Logins at OpenID providers by provider, way (browser, cli, device or exchange) and result: ok, refused, held_off or failed.",
		}, []string{"provider", "way", "result"}),
	}
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "driftmesh_auth_password_hashes_waiting", Help: "Callers that wait for a password to be hashed.",
	}, func() float64 { return float64(hasher.Waiting()) })
	for _, c := range []prometheus.Collector{m.logins, m.refreshes, m.keyChecks, m.providers, waiting} {
		if err := stats.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// result is the label for how a check ended.
func result(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, fault.Unauthenticated), errors.Is(err, fault.NotFound), errors.Is(err, fault.Invalid),
		errors.Is(err, fault.Denied), errors.Is(err, fault.Precondition):
		return "refused"
	case errors.Is(err, fault.Exhausted):
		return "held_off"
	}
	return "failed"
}
