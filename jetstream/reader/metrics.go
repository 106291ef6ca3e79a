package reader

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirmq/weir/reason"
)

// Metrics counts what all readers of a bridge do. There is no label per topic: a bridge has as many as its devices
// please.
type Metrics struct {
	resets  *prometheus.CounterVec
	dropped *prometheus.CounterVec

	mu      sync.Mutex
	readers map[*Reader]struct{}
}

var (
	lagTotal = prometheus.NewDesc("weir_reader_lag_messages", "Messages stored and not yet acknowledged by this bridge, over all readers.", nil, nil)
	lagMax   = prometheus.NewDesc("weir_reader_lag_messages_max", "The same, of the reader that has most.", nil, nil)
	count    = prometheus.NewDesc("weir_readers", "Consumers that this bridge reads from.", nil, nil)
)

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		resets: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_reader_resets_total", Help: "Consumers reset or made again, by cause.",
		}, []string{"cause"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_reader_dropped_total", Help: "Messages that were stored and reach nobody, by reason.",
		}, []string{"reason"}),
		readers: make(map[*Reader]struct{}),
	}
	reg.MustRegister(m)
	return m
}

// Describe is part of prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	m.resets.Describe(ch)
	m.dropped.Describe(ch)
	ch <- lagTotal
	ch <- lagMax
	ch <- count
}

// Collect is part of prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.resets.Collect(ch)
	m.dropped.Collect(ch)
	m.mu.Lock()
	var total, most uint64
	n := len(m.readers)
	for r := range m.readers {
		lag := r.lag()
		total += lag
		most = max(most, lag)
	}
	m.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(lagTotal, prometheus.GaugeValue, float64(total))
	ch <- prometheus.MustNewConstMetric(lagMax, prometheus.GaugeValue, float64(most))
	ch <- prometheus.MustNewConstMetric(count, prometheus.GaugeValue, float64(n))
}

// lag is what the consumer told of, and what the sink still holds.
func (r *Reader) lag() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pending + uint64(r.unsettled())
}

func (m *Metrics) add(r *Reader) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.readers[r] = struct{}{}
}

func (m *Metrics) remove(r *Reader) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.readers, r)
}

func (m *Metrics) reset(c cause) { m.resets.WithLabelValues(string(c)).Inc() }

func (m *Metrics) badSubject() { m.dropped.WithLabelValues(string(reason.BadSubject)).Inc() }

func (m *Metrics) lose(n uint64) {
	m.dropped.WithLabelValues(string(reason.MessageLost)).Add(float64(n))
}
