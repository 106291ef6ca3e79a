package publisher

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirmq/weir/reason"
)

// Metrics of all publishers of a process.
type Metrics struct {
	stored, transient kind
	strangeTotal      prometheus.Counter
}

// kind is what is counted of the publishes that JetStream stores, and of those that nothing stores.
type kind struct {
	latency prometheus.Histogram
	done    prometheus.Counter
	others  *prometheus.CounterVec
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		stored: newKind(reg, prometheus.CounterOpts{
			Name: "weir_jetstream_publishes_total",
			Help: "Publishes to JetStream by outcome (stored, refused, no_stream, unknown) and reason.",
		}, prometheus.HistogramOpts{
			Name: "weir_jetstream_puback_seconds",
			Help: "Time from a publish to its answer from JetStream, stored or refused.",
		}, outcomeNames[Stored]),
		transient: newKind(reg, prometheus.CounterOpts{
			Name: "weir_transient_publishes_total",
			Help: "Publishes to transient topics by outcome (confirmed, refused, unknown) and reason.",
		}, prometheus.HistogramOpts{
			Name: "weir_transient_confirm_seconds",
			Help: "Time from a publish to a transient topic until NATS has it.",
		}, "confirmed"),
		strangeTotal: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_jetstream_strange_answers_total",
			Help: "Messages to the bridge's reply subjects that are no answer of JetStream's.",
		}),
	}
	reg.MustRegister(m.strangeTotal)
	return m
}

func newKind(reg prometheus.Registerer, results prometheus.CounterOpts, latency prometheus.HistogramOpts, done string) kind {
	latency.Buckets = prometheus.ExponentialBuckets(0.0001, 2.5, 13) // 100 µs to 6 s
	k := kind{
		latency: prometheus.NewHistogram(latency),
		others:  prometheus.NewCounterVec(results, []string{"outcome", "reason"}),
	}
	k.done = k.others.WithLabelValues(done, "")
	reg.MustRegister(k.latency, k.others)
	return k
}

var outcomeNames = [...]string{Stored: "stored", Refused: "refused", NoStream: "no_stream", Unknown: "unknown"}

func (m *Metrics) answered(r Result, after time.Duration, transient bool) {
	k := &m.stored
	if transient {
		k = &m.transient
	}
	if r.Outcome != Unknown {
		k.latency.Observe(after.Seconds())
	}
	if r.Outcome == Stored {
		k.done.Inc()
		return
	}
	k.others.WithLabelValues(outcomeNames[r.Outcome], string(nameOf(r.Err))).Inc()
}

func nameOf(err error) reason.Reason {
	var e *reason.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return reason.InternalError
}

func (m *Metrics) strange() { m.strangeTotal.Inc() }
