package main

import (
	"time"

	"github.com/weirmq/weir/bench/load"
)

// scenario is one kind of load.
type scenario struct {
	title      string
	publishers int
	topics     int
	rate       int // messages a second; 0: as many as the server takes
}

// scenarios, all at QoS 1 with one subscriber.
var scenarios = []scenario{
	{title: "throughput: 1 publisher, 1 topic, 1 subscriber", publishers: 1, topics: 1},
	{title: "throughput: 10 publishers, 1 topic, 1 subscriber", publishers: 10, topics: 1},
	{title: "throughput: 10 publishers, a topic each, 1 subscriber", publishers: 10, topics: 10},
	{title: "latency: 1 publisher at 1,000 msg/s, 1 topic, 1 subscriber", publishers: 1, topics: 1, rate: 1000},
}

// paced tells whether the scenario measures latency.
func (s scenario) paced() bool { return s.rate > 0 }

func (s scenario) config(addr string) load.Config {
	cfg := load.Config{Addr: addr, Publishers: s.publishers, Topics: s.topics}
	if s.paced() {
		cfg.Interval = time.Second / time.Duration(s.rate)
	}
	return cfg
}
