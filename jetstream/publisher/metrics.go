package publisher

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirmq/weir/reason"
)

// Metrics of all publishers of a process.
type Metrics struct {
	latency      prometheus.Histogram
	storedTotal  prometheus.Counter
	others       *prometheus.CounterVec
	strangeTotal prometheus.Counter
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	results := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_jetstream_publishes_total",
		Help: "Publishes to JetStream by outcome (stored, refused, no_stream, unknown) and reason.",
	}, []string{"outcome", "reason"})
	m := &Metrics{
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "weir_jetstream_puback_seconds",
			Help:    "Time from a publish to its answer from JetStream, stored or refused.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 13), // 100 µs to 6 s
		}),
		storedTotal: results.WithLabelValues(outcomeNames[Stored], ""),
		others:      results,
		strangeTotal: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_jetstream_strange_answers_total",
			Help: "Messages to the bridge's reply subjects that are no answer of JetStream's.",
		}),
	}
	reg.MustRegister(m.latency, results, m.strangeTotal)
	return m
}

var outcomeNames = [...]string{Stored: "stored", Refused: "refused", NoStream: "no_stream", Unknown: "unknown"}

func (m *Metrics) answered(r Result, after time.Duration) {
	if r.Outcome != Unknown {
		m.latency.Observe(after.Seconds())
	}
	if r.Outcome == Stored {
		m.storedTotal.Inc()
		return
	}
	m.others.WithLabelValues(outcomeNames[r.Outcome], string(nameOf(r.Err))).Inc()
}

func nameOf(err error) reason.Reason {
	var e *reason.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return reason.InternalError
}

func (m *Metrics) strange() { m.strangeTotal.Inc() }
