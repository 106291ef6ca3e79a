package microservice

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what microservices ask for. No label grows with tenants, subscribers or topics.
type Metrics struct {
	requests *prometheus.CounterVec // by endpoint and result: ok, or a reason
}

// NewMetrics registers the metrics of the package.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{requests: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_microservice_requests_total",
		Help: "HTTP requests of microservices by endpoint and result: ok, or the reason of the refusal.",
	}, []string{"endpoint", "result"})}
	reg.MustRegister(m.requests)
	return m
}
