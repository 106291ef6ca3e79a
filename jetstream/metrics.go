package jetstream

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirmq/weir/reason"
)

// Metrics counts what a bridge does to topics, claims and leases.
type Metrics struct {
	topics           *prometheus.GaugeVec
	created          prometheus.Histogram
	creationFailures *prometheus.CounterVec
	cleanups         *prometheus.CounterVec
	repeated         prometheus.Counter
	claims           *prometheus.CounterVec
	leaseHeld        prometheus.Gauge
	leaseLost        prometheus.Counter
	bridgesEnded     prometheus.Counter
	reportsDropped   prometheus.Counter
	eventsDropped    prometheus.Counter
	// messages to transient topics that reach nobody here
	transientOverflow, transientBadSubject prometheus.Counter
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	transientDropped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_transient_dropped_total", Help: "Messages to transient topics that reach no subscriber of this bridge, by reason.",
	}, []string{"reason"})
	m := &Metrics{
		transientOverflow:   transientDropped.WithLabelValues(string(reason.TransientOverflow)),
		transientBadSubject: transientDropped.WithLabelValues(string(reason.BadSubject)),
		topics: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_topics", Help: "Dedicated topics that exist.",
		}, []string{"tenant"}),
		created: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "weir_topic_creation_seconds", Help: "Time to create a dedicated topic, by this bridge.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
		creationFailures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_topic_creation_failures_total", Help: "Dedicated topics that could not be created, by reason.",
		}, []string{"reason"}),
		cleanups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_topic_cleanups_total", Help: "Unused topics removed, or found in use at the last moment.",
		}, []string{"result"}),
		repeated: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_publishes_repeated_total", Help: "Publishes that found no stream or waited for one, and were sent when it was made.",
		}),
		claims: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_claims_total", Help: "Client identifiers claimed, by result.",
		}, []string{"result"}),
		leaseHeld: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weir_lease_held", Help: "1 while this bridge holds its lease.",
		}),
		leaseLost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_lease_lost_total", Help: "Times that another bridge ended the lease of this one.",
		}),
		bridgesEnded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_bridges_ended_total", Help: "Dead bridges that this one cleaned up after.",
		}),
		reportsDropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_error_reports_dropped_total", Help: "Entries of the error topic that could not be stored.",
		}),
		eventsDropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_events_dropped_total", Help: "Presence events that could not be written.",
		}),
	}
	reg.MustRegister(m.topics, m.created, m.creationFailures, m.cleanups, m.repeated, m.claims, m.leaseHeld, m.leaseLost,
		m.bridgesEnded, m.reportsDropped, m.eventsDropped, transientDropped)
	return m
}
