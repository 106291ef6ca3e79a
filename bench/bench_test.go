package main

import (
	"errors"
	"flag"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirmq/weir/bench/load"
	"github.com/weirmq/weir/bench/system"
)

func TestMedian(t *testing.T) {
	for _, tc := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{4}, 4},
		{[]float64{4, 2}, 3},
		{[]float64{9, 1, 5}, 5},
		{[]float64{9, 1, 5, 7}, 6},
	} {
		if got := median(tc.values); got != tc.want {
			t.Errorf("%v: got %v, want %v", tc.values, got, tc.want)
		}
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = i + 1
	}
	for _, tc := range []struct {
		sorted  []int
		p, want int
	}{
		{[]int{7}, 50, 7},
		{[]int{7}, 0, 7},
		{[]int{1, 2, 3}, 50, 2},
		{[]int{1, 2, 3, 4}, 50, 2},
		{[]int{1, 2, 3, 4}, 99, 4},
		{hundred, 99, 99},
		{hundred, 100, 100},
	} {
		if got := percentile(tc.sorted, tc.p); got != tc.want {
			t.Errorf("%d%% of %v: got %d, want %d", tc.p, tc.sorted, got, tc.want)
		}
	}
}

var pacedScenario = scenario{title: "latency", publishers: 1, topics: 1, rate: 1000}

func TestMeasurement(t *testing.T) {
	from := snapshot{at: 10 * time.Second, delivered: 500, server: time.Second, client: time.Second, rss: 1}
	to := snapshot{at: 12 * time.Second, delivered: 2500, server: 3 * time.Second, client: 1200 * time.Millisecond, rss: 7 << 20}
	samples := []load.Sample{
		{Sent: 9 * time.Second, Latency: time.Hour}, // warming up
		{Sent: 10 * time.Second, Latency: 3 * time.Millisecond},
		{Sent: 11 * time.Second, Latency: time.Millisecond},
		{Sent: 11 * time.Second, Latency: 2 * time.Millisecond},
		{Sent: 12 * time.Second, Latency: time.Hour}, // after the end
	}
	got := newMeasurement(pacedScenario, from, to, load.Outcome{Sent: 2500, Delivered: 2500, Samples: samples})
	want := measurement{Rate: 1000, ServerCPU: 1000, ClientCPU: 100, RSS: 7 << 20, P50: 2000, P99: 3000}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestMeasurementProblems(t *testing.T) {
	second := snapshot{at: time.Second, delivered: 1000}
	for name, tc := range map[string]struct {
		to      snapshot
		outcome load.Outcome
		want    string
	}{
		"none":      {to: second},
		"missing":   {to: second, outcome: load.Outcome{Sent: 9, Missing: 2}, want: "of 9 messages 2 missing, 0 out of order, 0 duplicate"},
		"order":     {to: second, outcome: load.Outcome{Sent: 9, Late: 2}, want: "of 9 messages 0 missing, 2 out of order, 0 duplicate"},
		"duplicate": {to: second, outcome: load.Outcome{Sent: 9, Duplicates: 2}, want: "of 9 messages 0 missing, 0 out of order, 2 duplicate"},
		"nothing":   {to: snapshot{at: time.Second}, want: "nothing was delivered"},
		"slow":      {to: snapshot{at: time.Second, delivered: 980}, want: "only 980 msg/s"},
	} {
		if got := newMeasurement(pacedScenario, snapshot{}, tc.to, tc.outcome).Problem; got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

func TestSummarise(t *testing.T) {
	got := summarise([]measurement{
		{Rate: 30, ServerCPU: 1, P50: 5},
		{Rate: 10, ServerCPU: 3, P50: 7, Problem: "two missing"},
		{Rate: 20, ServerCPU: 2, P50: 6},
	})
	want := measurement{Rate: 20, ServerCPU: 2, P50: 6, Problem: "round 2: two missing"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestReport(t *testing.T) {
	r := newReport(bench{systems: []system.System{{Name: system.Weir, Version: "v1"}, {Name: system.NATS, Version: "v2"}}, rounds: 1})
	paced := slices.IndexFunc(scenarios, scenario.paced)
	services := slices.IndexFunc(scenarios, func(s scenario) bool { return s.backlog > 0 })
	for i := range r.Scenarios {
		rows := r.Scenarios[i].Rows
		for j := range rows {
			rows[j].Rounds = []measurement{{Rate: 100, ServerCPU: 10, RSS: 2 << 20, ClientCPU: 2, P50: 80, P99: 90}}
		}
		rows[0].Rounds = []measurement{{Rate: 150, ServerCPU: 5, RSS: 3 << 20, ClientCPU: 1}}
	}
	r.Scenarios[paced].Rows[0].Rounds[0].Problem = "too slow"
	r.summarise()
	var text strings.Builder
	if err := r.print(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"weir v1\nnats v2\n",
		scenarios[0].title + `
  system  msg/s     ×  CPU µs/msg     ×  RSS MiB     ×  client µs/msg
    weir    150  1.50         5.0  0.50        3  1.50            1.0
    nats    100  1.00        10.0  1.00        2  1.00            2.0
`,
		scenarios[services].title + `
                          system  msg/s     ×  CPU µs/msg     ×  RSS MiB     ×  client µs/msg
             JetStream → service    150  1.00         5.0  1.00        3  1.00            1.0
  … with headers and permissions    100  0.67        10.0  2.00        2  0.67            2.0
`,
		scenarios[paced].title + `
  system  msg/s  p50 µs     ×  p99 µs     ×  CPU µs/msg     ×  RSS MiB     ×  client µs/msg
    weir    150       0  0.00       0  0.00         5.0  0.50        3  1.50            1.0  ! round 1: too slow
    nats    100      80  1.00      90  1.00        10.0  1.00        2  1.00            2.0
`,
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no\n%s\nin\n%s", want, text.String())
		}
	}
}

func TestReportWithoutReference(t *testing.T) {
	if got := ratio(3, 0, false); got != "-" {
		t.Errorf("got %q, want no ratio", got)
	}
	s := scenarioReport{Rows: []row{{System: system.NATS, Median: measurement{Problem: "it broke"}}}}
	if _, ok := s.base(); ok {
		t.Error("a reference with a problem counts")
	}
}

func TestOptions(t *testing.T) {
	o, err := parse(nil, io.Discard)
	if err != nil || len(o.systems) != len(system.Names()) || o.rounds != 3 || o.duration != 5*time.Second || o.json || o.only != "" {
		t.Errorf("defaults: got %+v, %v", o, err)
	}
	o, err = parse([]string{"-systems", "nats,weir", "-rounds", "1", "-duration", "2s", "-json"}, io.Discard)
	if err != nil || strings.Join(o.systems, " ") != "nats weir" || o.rounds != 1 || o.duration != 2*time.Second || !o.json {
		t.Errorf("got %+v, %v", o, err)
	}
	o, err = parse([]string{"-only", "WebSocket"}, io.Discard)
	if err != nil || o.only != "WebSocket" {
		t.Errorf("got %+v, %v", o, err)
	}
	r := newReport(bench{systems: []system.System{{Name: system.NATS}}, only: "native", rounds: 1})
	if len(r.Scenarios) != 2 || len(r.Scenarios[0].Rows) != 2 {
		t.Errorf("scenarios for native services without Weir: %+v", r.Scenarios)
	}
	for _, bad := range [][]string{{"-only", "nothing of the sort"}, {"-systems", "emqx"}, {"-systems", ""}, {"-rounds", "0"}, {"-duration", "0s"}, {"more"}, {"-what"}} {
		if _, err := parse(bad, io.Discard); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
	if _, err := parse([]string{"-help"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-help: got %v", err)
	}
}
