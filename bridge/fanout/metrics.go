package fanout

import (
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirmq/weir/reason"
)

// Metrics counts what hubs do for and against slow subscriptions.
type Metrics struct {
	dropped   *prometheus.CounterVec
	detaches  prometheus.Counter
	rejoins   prometheus.Counter
	discards  prometheus.Counter
	overflows prometheus.Counter

	mu   sync.Mutex
	hubs map[*Hub]struct{} // that are running
}

var (
	bufferedBytes = prometheus.NewDesc("weir_fanout_buffered_bytes", "Bytes of messages held for subscriptions.", nil, nil)
	detachedNow   = prometheus.NewDesc("weir_fanout_detached_subscriptions", "Subscriptions that read from a consumer of their own because they are slow.", nil, nil)
	starvingNow   = prometheus.NewDesc("weir_fanout_starving_readers", "Readers that wait for room in the budget of buffered bytes.", nil, nil)
)

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		hubs: make(map[*Hub]struct{}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_fanout_dropped_total", Help: "Messages that one subscription did not get, by reason.",
		}, []string{"reason"}),
		detaches: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_fanout_detaches_total", Help: "Subscriptions that fell behind and got a consumer of their own.",
		}),
		rejoins: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_fanout_rejoins_total", Help: "Subscriptions that caught up and share a reader again.",
		}),
		discards: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_fanout_discards_total", Help: "Times that a reader's messages were discarded, to be read again later, because the budget was used up.",
		}),
		overflows: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_session_overflow_total", Help: "Messages that were acknowledged on behalf of a session that held too many, and never sent to it.",
		}),
	}
	reg.MustRegister(m)
	return m
}

// Describe is part of prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	m.dropped.Describe(ch)
	m.detaches.Describe(ch)
	m.rejoins.Describe(ch)
	m.discards.Describe(ch)
	m.overflows.Describe(ch)
	ch <- bufferedBytes
	ch <- detachedNow
	ch <- starvingNow
}

// Collect is part of prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.dropped.Collect(ch)
	m.detaches.Collect(ch)
	m.rejoins.Collect(ch)
	m.discards.Collect(ch)
	m.overflows.Collect(ch)
	m.mu.Lock()
	hubs := slices.Collect(maps.Keys(m.hubs))
	m.mu.Unlock()
	if len(hubs) == 0 {
		return
	}
	var detached, buffered, starving int64
	for _, h := range hubs {
		for _, s := range h.sources() {
			if s.owner != nil {
				detached++
			}
		}
		buffered += h.buffered.Load()
		starving += h.starving.Load()
	}
	ch <- prometheus.MustNewConstMetric(bufferedBytes, prometheus.GaugeValue, float64(buffered))
	ch <- prometheus.MustNewConstMetric(detachedNow, prometheus.GaugeValue, float64(detached))
	ch <- prometheus.MustNewConstMetric(starvingNow, prometheus.GaugeValue, float64(starving))
}

func (m *Metrics) watch(h *Hub) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hubs[h] = struct{}{}
}

func (m *Metrics) unwatch(h *Hub) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.hubs, h)
}

func (m *Metrics) skip(why reason.Reason, n uint64) {
	m.dropped.WithLabelValues(string(why)).Add(float64(n))
}
func (m *Metrics) detach()  { m.detaches.Inc() }
func (m *Metrics) rejoin()  { m.rejoins.Inc() }
func (m *Metrics) discard() { m.discards.Inc() }

func (m *Metrics) overflow(n uint64) { m.overflows.Add(float64(n)) }
