package main

import (
	"time"

	"github.com/weirmq/weir/bench/load"
	"github.com/weirmq/weir/bench/system"
)

// scenario is one kind of load.
type scenario struct {
	title      string
	publishers int
	topics     int
	rate       int   // messages a second; 0: as many as the server takes
	backlog    int64 // messages that are stored before the subscriber begins; 0: it is there from the beginning
	// contenders are what is compared; nil: every system, with MQTT at both ends.
	contenders []contender
}

// contender is one row of a scenario's table.
type contender struct {
	name     string
	system   string
	from, to load.Kind // of the publishers and the subscriber
	// trusted says that the service may do everything at NATS, as it is there without Weir: the server has no permissions to check.
	trusted bool
}

// native compares what a service gets from JetStream where a device publishes through Weir with what it gets where there is no Weir, and another service
// publishes the same payloads. The first is the reference. The second has what is there for a reason beside MQTT itself: headers that say who
// published, which the client takes apart, and permissions of the service, which the server checks for each acknowledgement. Beside a nats-server
// of its own, Weir has nothing to say about permissions, and the service has none there.
var native = []contender{
	{name: "JetStream → service", system: system.NATS, from: load.NATS, to: load.NATS},
	{name: "… with headers and permissions", system: system.NATS, from: load.Like, to: load.Like},
	{name: "MQTT → weir → service", system: system.Weir, from: load.MQTT, to: load.NATS},
	{name: "MQTT → weir, a sidecar → service", system: system.Sidecar, from: load.MQTT, to: load.NATS, trusted: true},
}

// scenarios, all at QoS 1 with one subscriber.
var scenarios = []scenario{
	{title: "throughput: 1 publisher, 1 topic, 1 subscriber", publishers: 1, topics: 1},
	{title: "throughput: 10 publishers, 1 topic, 1 subscriber", publishers: 10, topics: 1},
	{title: "throughput: 10 publishers, a topic each, 1 subscriber", publishers: 10, topics: 10},
	{title: "latency: 1 publisher at 1,000 msg/s, 1 topic, 1 subscriber", publishers: 1, topics: 1, rate: 1000},
	{
		title: "microservice: 1 device, 1 subscriber over WebSocket", publishers: 1, topics: 1,
		contenders: []contender{
			{name: "MQTT → weir → MQTT", system: system.Weir, from: load.MQTT, to: load.MQTT},
			{name: "MQTT → weir → JSON", system: system.Weir, from: load.MQTT, to: load.JSON},
			{name: "MQTT → weir → Avro", system: system.Weir, from: load.MQTT, to: load.Avro},
		},
	},
	{title: "native service: 1 publisher, 1 durable pull consumer, as fast as it goes", publishers: 1, topics: 1, contenders: native},
	{
		title: "native service: 1 durable pull consumer, a backlog of 200,000 messages (the client is the service alone)", publishers: 1, topics: 1,
		backlog: 200_000, contenders: native,
	},
}

// paced tells whether the scenario measures latency.
func (s scenario) paced() bool { return s.rate > 0 }

// rows are what is compared, as far as its systems are among those that are measured.
func (s scenario) rows(systems []system.System) (rows []contender) {
	measured := make(map[string]bool)
	for _, sys := range systems {
		measured[sys.Name] = true
		if s.contenders == nil && !sys.Sidecar {
			rows = append(rows, contender{name: sys.Name, system: sys.Name})
		}
	}
	for _, c := range s.contenders {
		if measured[c.system] {
			rows = append(rows, c)
		}
	}
	return rows
}

// reference is the row that ratios are taken to.
func (s scenario) reference() string {
	if s.contenders == nil {
		return system.NATS
	}
	return s.contenders[0].name
}

func (s scenario) config(c contender, p *system.Process) load.Config {
	cfg := load.Config{
		MQTTAddr: p.Addr, HTTPAddr: p.HTTP, NATSAddr: p.NATS, From: c.from, To: c.to,
		Publishers: s.publishers, Topics: s.topics, Backlog: s.backlog, Trusted: c.trusted,
	}
	if s.paced() {
		cfg.Interval = time.Second / time.Duration(s.rate)
	}
	return cfg
}
