package tlsfiles

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Register shows when the certificate expires, whether its files can be used, and
// how many handshakes failed; use says what the certificate is for.
func (s *Source) Register(stats prometheus.Registerer, use string) error {
	stats = prometheus.WrapRegistererWith(prometheus.Labels{"use": use}, stats)
	gauge := func(name, help string, read func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "driftmesh_tls_certificate_" + name, Help: help}, read)
	}
	err := errors.Join(
		stats.Register(s.refused.count),
		stats.Register(gauge("expiry_timestamp_seconds", "When the certificate in use expires, seconds since 1970.",
			func() float64 { return float64(s.current().Leaf.NotAfter.Unix()) })),
		stats.Register(gauge("files_broken", "1 when the files of the certificate cannot be used, and the one that was there is kept.",
			func() float64 {
				s.current()
				if s.broken.Load() {
					return 1
				}
				return 0
			})),
	)
	if err != nil {
		return fmt.Errorf("register TLS metrics: %w", err)
	}
	return nil
}
