// Package admin serves what operators and their machines ask a running Weir: is it alive, is it ready, how is it doing.
package admin

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// Check is one condition of readiness.
type Check struct {
	// Name is the key of the reason in the answer.
	Name string
	// Ready returns nil, or what is missing. It is called by every request for /readyz, must be safe for concurrent use
	// and must not wait.
	Ready func() error
}

// Config of a Server. Every field is required.
type Config struct {
	Registry *prometheus.Registry
	Checks   []Check
	Log      *zap.Logger
}

// NewRegistry returns a registry that has the collectors of the Go runtime and of the process already.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Bounds of one request and of all together. A scrape takes milliseconds; what takes longer than these is broken or
// hostile.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 16 << 10 // bytes
	maxScrapes    = 4        // at once; others are answered 503
)

// NewServer returns an HTTP server for /healthz, /readyz and /metrics. The caller serves a listener with it, shuts it
// down or closes it.
func NewServer(c Config) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", c.health)
	mux.HandleFunc("GET /readyz", c.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(c.Registry, promhttp.HandlerOpts{
		ErrorLog:            zap.NewStdLog(c.Log),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
		Timeout:             writeTimeout / 2,
	}))
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          zap.NewStdLog(c.Log),
	}
}

// health says that the process is alive, whatever it waits for.
func (c Config) health(w http.ResponseWriter, _ *http.Request) {
	c.answer(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"ok"})
}

// readiness is the answer to /readyz.
type readiness struct {
	Ready bool `json:"ready"`
	// Reasons are what is missing, by name of the check.
	Reasons map[string]string `json:"reasons,omitempty"`
}

func (c Config) ready(w http.ResponseWriter, _ *http.Request) {
	r := readiness{Ready: true, Reasons: map[string]string{}}
	status := http.StatusOK
	for _, check := range c.Checks {
		if err := check.Ready(); err != nil {
			r.Ready = false
			r.Reasons[check.Name] = err.Error()
			status = http.StatusServiceUnavailable
		}
	}
	c.answer(w, status, r)
}

func (c Config) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		c.Log.Debug("answer not written", zap.Error(err))
	}
}
