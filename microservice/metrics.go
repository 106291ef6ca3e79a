package microservice

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirmq/weir/reason"
)

// Metrics counts what microservices do. No label grows with tenants, subscribers or topics.
type Metrics struct {
	requests *prometheus.CounterVec // by endpoint and result: ok, or a reason
	passed   prometheus.Gauge

	open     *prometheus.GaugeVec   // by kind and encoding
	upgrades *prometheus.CounterVec // by result: accepted, or a reason
	refusals *prometheus.CounterVec // by reason
	drops    *prometheus.CounterVec // by reason
	ends     *prometheus.CounterVec // by reason
	panics   prometheus.Counter

	in, out, again prometheus.Counter
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	vec := func(name, help, label string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
		reg.MustRegister(v)
		return v
	}
	m := &Metrics{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_sockets", Help: "Open WebSocket connections of microservices.",
		}, []string{"kind", "encoding"}),
		upgrades: vec("weir_socket_upgrades_total", "WebSocket upgrades by result: accepted, or the reason of the refusal.", "result"),
		refusals: vec("weir_socket_refusals_total", "Frames of microservices that were refused, by reason.", "reason"),
		drops:    vec("weir_socket_drops_total", "Messages that were acknowledged and not sent to a microservice, by reason.", "reason"),
		ends:     vec("weir_socket_ends_total", "Ends of WebSocket connections by reason.", "reason"),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_socket_panics_total", Help: "WebSocket connections that ended in a fault of Weir.",
		}),
	}
	m.requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_microservice_requests_total",
		Help: "HTTP requests of microservices by endpoint and result: ok, or the reason of the refusal.",
	}, []string{"endpoint", "result"})
	m.passed = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "weir_sockets_passed_on", Help: "Open WebSocket connections that another bridge serves, passed on to it.",
	})
	reg.MustRegister(m.requests, m.passed, m.open, m.panics)
	messages := vec("weir_socket_messages_total",
		"Messages stored for microservices (in), sent to them (out) and sent to them once more (again).", "direction")
	m.in, m.out, m.again = messages.WithLabelValues("in"), messages.WithLabelValues("out"), messages.WithLabelValues("again")
	return m
}

func (m *Metrics) refused(r reason.Reason) { m.refusals.WithLabelValues(string(r)).Inc() }
func (m *Metrics) dropped(r reason.Reason) { m.drops.WithLabelValues(string(r)).Inc() }
