package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/weirmq/weir/bench/load"
	"github.com/weirmq/weir/bench/system"
)

// report is everything that was measured.
type report struct {
	Machine   system.Machine    `json:"machine"`
	Versions  map[string]string `json:"versions"`
	Settings  string            `json:"settings"`
	Scenarios []scenarioReport  `json:"scenarios"`

	names []string // of the systems, in order
}

type scenarioReport struct {
	Title string `json:"title"`
	Rows  []row  `json:"systems"`

	scenario scenario
}

// row is one contender in one scenario.
type row struct {
	System string        `json:"system"`
	Median measurement   `json:"median"`
	Rounds []measurement `json:"rounds"`
}

func newReport(b bench) report {
	r := report{
		Machine:  system.ThisMachine(),
		Versions: make(map[string]string),
		Settings: fmt.Sprintf(
			"QoS 1, %d B payloads, MQTT 3.1.1, clean sessions, durable subscribers of services; median of %d rounds of %v after a warm-up of %v; for throughput "+
				"at most %d unacknowledged per publisher and %d undelivered in all, %d per write; nothing is synced per message.",
			load.PayloadSize, b.rounds, b.duration, warmUp, load.Window, load.Undelivered, load.Batch),
	}
	for _, s := range b.systems {
		r.Versions[s.Name] = s.Version
		r.names = append(r.names, s.Name)
	}
	for _, s := range scenarios {
		if !strings.Contains(s.title, b.only) {
			continue
		}
		sr := scenarioReport{Title: s.title, scenario: s}
		for _, c := range s.rows(b.systems) {
			sr.Rows = append(sr.Rows, row{System: c.name})
		}
		r.Scenarios = append(r.Scenarios, sr)
	}
	return r
}

// summarise fills in the medians.
func (r *report) summarise() {
	for i := range r.Scenarios {
		rows := r.Scenarios[i].Rows
		for j := range rows {
			rows[j].Median = summarise(rows[j].Rounds)
		}
	}
}

// print writes the report for people.
func (r report) print(w io.Writer) error {
	fmt.Fprintf(w, "%s, %d cores, Linux %s, %s\n", r.Machine.CPU, r.Machine.Cores, r.Machine.Kernel, r.Machine.Go)
	for _, name := range r.names {
		fmt.Fprintf(w, "%s %s\n", name, r.Versions[name])
	}
	fmt.Fprintln(w, r.Settings)
	fmt.Fprintf(w, "× is the ratio to %s, or to the first row where it has no row of that name. CPU is user and system time of the server, "+
		"client that of the load generator beside it, publishers and subscriber.\n", system.NATS)
	for _, s := range r.Scenarios {
		fmt.Fprintf(w, "\n%s\n", s.Title)
		if err := s.print(w); err != nil {
			return err
		}
	}
	return nil
}

// columns of a scenario's table.
func (s scenarioReport) columns() []column {
	rate := column{"msg/s", "%.0f", func(m measurement) float64 { return m.Rate }, !s.scenario.paced()}
	cpu := column{"CPU µs/msg", "%.1f", func(m measurement) float64 { return m.ServerCPU }, true}
	client := column{"client µs/msg", "%.1f", func(m measurement) float64 { return m.ClientCPU }, false}
	rss := column{"RSS MiB", "%.0f", func(m measurement) float64 { return m.RSS / (1 << 20) }, true}
	if !s.scenario.paced() {
		return []column{rate, cpu, rss, client}
	}
	p50 := column{"p50 µs", "%.0f", func(m measurement) float64 { return m.P50 }, true}
	p99 := column{"p99 µs", "%.0f", func(m measurement) float64 { return m.P99 }, true}
	return []column{rate, p50, p99, cpu, rss, client}
}

// column is one figure of a table.
type column struct {
	title  string
	format string
	figure func(measurement) float64
	ratio  bool // shown beside the figure
}

func (s scenarioReport) print(w io.Writer) error {
	columns := s.columns()
	base, hasBase := s.base()
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "system\t")
	for _, c := range columns {
		fmt.Fprintf(table, "%s\t", c.title)
		if c.ratio {
			fmt.Fprint(table, "×\t")
		}
	}
	fmt.Fprintln(table)
	for _, row := range s.Rows {
		fmt.Fprintf(table, "%s\t", row.System)
		for _, c := range columns {
			fmt.Fprintf(table, c.format+"\t", c.figure(row.Median))
			if c.ratio {
				fmt.Fprintf(table, "%s\t", ratio(c.figure(row.Median), c.figure(base), hasBase))
			}
		}
		if row.Median.Problem != "" {
			fmt.Fprintf(table, "  ! %s", row.Median.Problem)
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}

// base is the reference's median, if it was measured without a problem.
func (s scenarioReport) base() (measurement, bool) {
	for _, row := range s.Rows {
		if row.System == s.scenario.reference() {
			return row.Median, row.Median.Problem == ""
		}
	}
	return measurement{}, false
}

func ratio(value, base float64, known bool) string {
	if !known || base == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", value/base)
}
