package weirtest

import (
	"bufio"
	"os"
	"strconv"
	"strings"
)

// Metric is the sum of all samples of a metric that have the labels, each given as name="value"; 0 where there is none.
func (w *Weir) Metric(name string, labels ...string) float64 {
	w.t.Helper()
	response, err := w.web.Get(w.Admin() + "/metrics")
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	var sum float64
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		series, value, ok := cutLast(lines.Text(), " ")
		if !ok || !selected(series, name, labels) {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			w.t.Fatalf("%s: %v", lines.Text(), err)
		}
		sum += v
	}
	return sum
}

// Metrics is Metric for several names.
func (w *Weir) Metrics(names ...string) map[string]float64 {
	w.t.Helper()
	values := make(map[string]float64, len(names))
	for _, name := range names {
		values[name] = w.Metric(name)
	}
	return values
}

func selected(series, name string, labels []string) bool {
	rest, ok := strings.CutPrefix(series, name)
	if !ok || rest != "" && rest[0] != '{' {
		return false
	}
	for _, label := range labels {
		if !strings.Contains(rest, label) {
			return false
		}
	}
	return true
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// Memory is the resident memory of the process, in bytes.
func (w *Weir) Memory() int64 {
	w.t.Helper()
	data, err := os.ReadFile("/proc/" + strconv.Itoa(w.PID()) + "/statm")
	if err != nil {
		return int64(w.Metric("process_resident_memory_bytes")) // where there is no /proc
	}
	pages, err := strconv.ParseInt(strings.Fields(string(data))[1], 10, 64)
	if err != nil {
		w.t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
