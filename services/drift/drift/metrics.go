package drift

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
	"github.com/driftmesh/driftmesh/services/drift/internal/notify"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// metrics are the collectors of this service. Those of the topics belong to the
// broker package.
type metrics struct {
	recomputed    prometheus.Counter
	recomputeTime prometheus.Histogram
	evaluations   *prometheus.CounterVec
	evaluateTime  prometheus.Histogram
	notifications *prometheus.CounterVec
	waiting       prometheus.Gauge
	waitingAge    prometheus.Gauge
	slotLag       prometheus.Histogram
	deliveries    *prometheus.CounterVec
	undelivered   *prometheus.GaugeVec
	undeliveredBy *prometheus.GaugeVec
	open          *prometheus.GaugeVec
	checked       *prometheus.CounterVec
	checkTime     prometheus.Histogram
}

var _ notify.Metrics = (*metrics)(nil)

// triggerRequest is the trigger of an evaluation that was asked for.
const triggerRequest = "request"

// triggerLate is the trigger of an evaluation of a slot again, by late data.
const triggerLate = "late"

func newMetrics(stats prometheus.Registerer) (*metrics, error) {
	seconds := []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	m := &metrics{
		recomputed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "driftmesh_drift_windows_recomputed_total", Help: "Windows recomputed, again ones included.",
		}),
		recomputeTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "driftmesh_drift_recompute_seconds", Help: "Time to recompute windows of one profile.", Buckets: seconds,
		}),
		evaluations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "driftmesh_drift_evaluations_total", Help: "Evaluations by what caused them (schedule, close, late, request) and outcome (done, failed).",
		}, []string{"trigger", "outcome"}),
		evaluateTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "driftmesh_drift_evaluate_seconds", Help: "Time of one evaluation, with the windows it had to recompute.", Buckets: seconds,
		}),
		notifications: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "driftmesh_drift_notifications_total", Help: "Alert events given to their routes, by change.",
		}, []string{"change"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "driftmesh_drift_waiting_windows", Help: "Windows that wait to be recomputed, over all workers.",
		}),
		waitingAge: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "driftmesh_drift_waiting_windows_overdue_seconds", Help: "How long the oldest waiting window has been due; 0 when none is.",
		}),
		slotLag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "driftmesh_drift_slot_lag_seconds", Help: "From a slot of a schedule to the end of its evaluation.",
			Buckets: []float64{1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 21600, 86400},
		}),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "driftmesh_drift_deliveries_total", Help: "News by route and what became of them: sent, failed, silenced, overtaken; retried counts attempts that will be repeated.",
		}, []string{"route", "outcome"}),
		undelivered: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "driftmesh_drift_deliveries_waiting", Help: "News that wait to be delivered, by route, over all workers.",
		}, []string{"route"}),
		undeliveredBy: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "driftmesh_drift_deliveries_oldest_seconds", Help: "How long the oldest news of a route have waited; 0 when none do.",
		}, []string{"route"}),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "driftmesh_drift_alerts_open", Help: "Alerts that are open, of all tenants, over all workers: waiting for somebody, or acknowledged.",
		}, []string{"state"}),
		checked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "driftmesh_drift_records_checked_total", Help: "Records with a context whose checks were run (done), and that were put off until their trace is whole (waiting).",
		}, []string{"outcome"}),
		checkTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "driftmesh_drift_check_seconds", Help: "Time to check some records of a profile, with reading their traces.", Buckets: seconds,
		}),
	}
	for _, c := range []prometheus.Collector{
		m.recomputed, m.recomputeTime, m.evaluations, m.evaluateTime, m.notifications, m.waiting, m.waitingAge, m.slotLag,
		m.deliveries, m.undelivered, m.undeliveredBy, m.open, m.checked, m.checkTime,
	} {
		if err := stats.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	for _, trigger := range []string{store.TriggerSchedule, store.TriggerClose, triggerLate, triggerRequest} {
		m.evaluated(trigger, nil, 0)
		m.evaluations.WithLabelValues(trigger, "failed")
	}
	for _, change := range []alert.Change{alert.Raised, alert.Grew, alert.Repeated, alert.Resolved, alert.Acknowledged} {
		m.notifications.WithLabelValues(string(change))
	}
	for _, outcome := range []string{"done", "waiting"} {
		m.checked.WithLabelValues(outcome)
	}
	return m, nil
}

// evaluated counts n evaluations by their outcome.
func (m *metrics) evaluated(trigger string, err error, n float64) {
	outcome := "done"
	if err != nil {
		outcome = "failed"
	}
	m.evaluations.WithLabelValues(trigger, outcome).Add(n)
}

// outcomeRetried counts attempts; the other outcomes are final states.
const outcomeRetried = "retried"

// addRoutes makes the series of all routes, so that each is there from the start.
func (m *metrics) addRoutes(names []string) {
	for _, name := range names {
		for _, state := range alert.States() {
			if state != alert.Waiting {
				m.deliveries.WithLabelValues(name, string(state))
			}
		}
		m.deliveries.WithLabelValues(name, outcomeRetried)
		m.backlog(name, 0, 0)
	}
}

// Settled implements notify.Metrics.
func (m *metrics) Settled(route string, state alert.State) {
	m.deliveries.WithLabelValues(route, string(state)).Inc()
}

// Retried implements notify.Metrics.
func (m *metrics) Retried(route string) { m.deliveries.WithLabelValues(route, outcomeRetried).Inc() }

// givenUp counts deliveries that waited for too long.
func (m *metrics) givenUp(route string, n int) {
	m.deliveries.WithLabelValues(route, string(alert.Failed)).Add(float64(n))
}

// alertsOpen shows how many alerts are open.
func (m *metrics) alertsOpen(waiting, acknowledged int64) {
	m.open.WithLabelValues("waiting").Set(float64(waiting))
	m.open.WithLabelValues("acknowledged").Set(float64(acknowledged))
}

// backlog shows what waits of a route.
func (m *metrics) backlog(route string, waiting, seconds float64) {
	m.undelivered.WithLabelValues(route).Set(waiting)
	m.undeliveredBy.WithLabelValues(route).Set(seconds)
}
