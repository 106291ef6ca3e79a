package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/weirmq/weir/bench/load"
)

// minimumRate is the share of the wanted rate below which a paced run says nothing about latency.
const minimumRate = 0.99

// measurement is one round of one system in one scenario, or a summary of its rounds.
type measurement struct {
	Rate      float64 `json:"messages_per_second"`
	ServerCPU float64 `json:"server_cpu_us_per_message"`
	ClientCPU float64 `json:"client_cpu_us_per_message"` // of the load generator
	RSS       float64 `json:"rss_bytes"`                 // of the server at the end
	P50       float64 `json:"latency_p50_us,omitempty"`
	P99       float64 `json:"latency_p99_us,omitempty"`
	// Problem says why the figures count for nothing; empty when every message arrived once and in order.
	Problem string `json:"problem,omitempty"`
}

func newMeasurement(s scenario, from, to snapshot, outcome load.Outcome) measurement {
	messages := float64(to.delivered - from.delivered)
	m := measurement{
		Rate: messages / (to.at - from.at).Seconds(),
		RSS:  float64(to.rss),
	}
	switch {
	case outcome.Missing+outcome.Late+outcome.Duplicates > 0:
		m.Problem = fmt.Sprintf("of %d messages %d missing, %d out of order, %d duplicate",
			outcome.Sent, outcome.Missing, outcome.Late, outcome.Duplicates)
	case messages == 0:
		m.Problem = "nothing was delivered"
	case s.paced() && m.Rate < minimumRate*float64(s.rate):
		m.Problem = fmt.Sprintf("only %.0f msg/s", m.Rate)
	}
	if messages == 0 {
		return m
	}
	m.ServerCPU = microseconds(to.server-from.server) / messages
	m.ClientCPU = microseconds(to.client-from.client) / messages
	if latencies := between(outcome.Samples, from.at, to.at); len(latencies) > 0 {
		m.P50 = microseconds(percentile(latencies, 50))
		m.P99 = microseconds(percentile(latencies, 99))
	}
	return m
}

// between are the latencies of messages sent in a span of time, sorted.
func between(samples []load.Sample, from, to time.Duration) []time.Duration {
	var latencies []time.Duration
	for _, s := range samples {
		if s.Sent >= from && s.Sent < to {
			latencies = append(latencies, s.Latency)
		}
	}
	slices.Sort(latencies)
	return latencies
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// summarise takes the median of each figure. One round with a problem makes the summary one.
func summarise(rounds []measurement) measurement {
	of := func(figure func(measurement) float64) float64 {
		values := make([]float64, len(rounds))
		for i, m := range rounds {
			values[i] = figure(m)
		}
		return median(values)
	}
	summary := measurement{
		Rate:      of(func(m measurement) float64 { return m.Rate }),
		ServerCPU: of(func(m measurement) float64 { return m.ServerCPU }),
		ClientCPU: of(func(m measurement) float64 { return m.ClientCPU }),
		RSS:       of(func(m measurement) float64 { return m.RSS }),
		P50:       of(func(m measurement) float64 { return m.P50 }),
		P99:       of(func(m measurement) float64 { return m.P99 }),
	}
	for i, m := range rounds {
		if m.Problem != "" {
			summary.Problem = fmt.Sprintf("round %d: %s", i+1, m.Problem)
			break
		}
	}
	return summary
}

// line is the measurement as one line of text.
func (m measurement) line(s scenario) string {
	if m.Problem != "" {
		return m.Problem
	}
	text := fmt.Sprintf("%8.0f msg/s  CPU %.1f µs/msg", m.Rate, m.ServerCPU)
	if s.paced() {
		text += fmt.Sprintf("  p50 %.0f µs  p99 %.0f µs", m.P50, m.P99)
	}
	return text
}
