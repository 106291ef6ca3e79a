package bridge

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/reason"
)

// Metrics counts what the bridge does. No label grows with tenants, clients or topics.
type Metrics struct {
	connections prometheus.Gauge
	connects    *prometheus.CounterVec // by result: accepted, or a reason
	publishes   *prometheus.CounterVec // by result: stored, or a reason
	filters     *prometheus.CounterVec // refused ones, by reason
	drops       *prometheus.CounterVec // by reason
	disconnects *prometheus.CounterVec // by reason
	panics      prometheus.Counter

	received, sent packetCounters
	stored         prometheus.Counter // of publishes
	accepted       prometheus.Counter // of connects
	delivered      [2]prometheus.Counter
}

// packetCounters counts packets by type, in an array because every packet is counted.
type packetCounters [16]prometheus.Counter

func (p *packetCounters) count(t codec.Type) { p[t&0x0F].Inc() }

// NewMetrics registers the metrics of the bridge.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	vec := func(name, help, label string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
		reg.MustRegister(v)
		return v
	}
	m := &Metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weir_connections", Help: "Network connections of MQTT clients, those before CONNECT included.",
		}),
		connects:    vec("weir_connects_total", "Connection attempts by result: accepted, or the reason of the refusal.", "result"),
		publishes:   vec("weir_publishes_total", "Messages published by MQTT clients by result: stored, or the reason.", "result"),
		filters:     vec("weir_subscriptions_refused_total", "Topic filters that were refused, by reason.", "reason"),
		drops:       vec("weir_drops_total", "Messages that were not delivered to one subscriber, by reason.", "reason"),
		disconnects: vec("weir_disconnects_total", "Ends of accepted connections by reason.", "reason"),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_connection_panics_total", Help: "Connections that ended in a fault of Weir.",
		}),
	}
	reg.MustRegister(m.connections, m.panics)
	received := vec("weir_packets_received_total", "MQTT packets received, by type.", "type")
	sent := vec("weir_packets_sent_total", "MQTT packets sent, by type.", "type")
	for t := codec.Type(0); t < 16; t++ {
		m.received[t] = received.WithLabelValues(t.String())
		m.sent[t] = sent.WithLabelValues(t.String())
	}
	deliveries := vec("weir_deliveries_total", "Messages sent to MQTT subscribers, by QoS.", "qos")
	m.delivered = [2]prometheus.Counter{deliveries.WithLabelValues("0"), deliveries.WithLabelValues("1")}
	m.stored = m.publishes.WithLabelValues("stored")
	m.accepted = m.connects.WithLabelValues("accepted")
	return m
}

func (m *Metrics) dropped(r reason.Reason)      { m.drops.WithLabelValues(string(r)).Inc() }
func (m *Metrics) disconnected(r reason.Reason) { m.disconnects.WithLabelValues(string(r)).Inc() }
func (m *Metrics) refused(r reason.Reason)      { m.connects.WithLabelValues(string(r)).Inc() }
