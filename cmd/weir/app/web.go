package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/weirmq/weir/reason"
)

// Bounds of the HTTP listeners. There are none for a whole request or answer, because sockets stay open; handlers that answer at
// once have their own.
const (
	webHeaderTimeout = 10 * time.Second // the handshake of TLS included
	webIdleTimeout   = 2 * time.Minute
	webMaxHeader     = 32 << 10 // bytes: a token of 8 KiB is part of the URL
	// webMaxConnections bounds the connections that carry HTTP; sockets are bounded by those who serve them.
	webMaxConnections = 16_384
)

// newWeb returns the server of the HTTP listeners. The contexts of requests end with ctx.
func newWeb(ctx context.Context, handler http.Handler, log *zap.Logger) *http.Server {
	noise, _ := zap.NewStdLogAt(log, zapcore.DebugLevel) // fails for unknown levels only
	var connections atomic.Int64
	return &http.Server{
		Handler:           &observing{next: handler, log: log},
		ReadHeaderTimeout: webHeaderTimeout,
		IdleTimeout:       webIdleTimeout,
		MaxHeaderBytes:    webMaxHeader,
		ErrorLog:          noise,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnState: func(c net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				if connections.Add(1) > webMaxConnections {
					c.Close()
				}
			case http.StateHijacked, http.StateClosed:
				connections.Add(-1)
			case http.StateActive, http.StateIdle:
			}
		},
	}
}

// observing logs every request when its handler has returned, without the query: there are tokens in it. What panics is logged and
// its connection cut off.
type observing struct {
	next http.Handler
	log  *zap.Logger
}

func (o *observing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	observed := &observedWriter{ResponseWriter: w, status: http.StatusOK}
	defer func() {
		p := recover()
		if err, _ := p.(error); p != nil && !errors.Is(err, http.ErrAbortHandler) {
			o.log.Error("request failed", zap.String("reason", string(reason.InternalError)), zap.String("method", r.Method),
				zap.String("path", r.URL.Path), zap.String("remote", r.RemoteAddr), zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
		}
		o.log.Debug("request", zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.String("remote", r.RemoteAddr),
			zap.Int("status", observed.status), zap.Duration("took", time.Since(begun)), zap.Bool("aborted", p != nil))
		if p != nil {
			panic(http.ErrAbortHandler) // the way to cut off without another line in the log
		}
	}()
	o.next.ServeHTTP(observed, r)
}

// observedWriter remembers the status.
type observedWriter struct {
	http.ResponseWriter
	status int
}

func (o *observedWriter) WriteHeader(status int) {
	o.status = status
	o.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (o *observedWriter) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// Hijack hands the connection over to whoever speaks WebSocket on it.
func (o *observedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(o.ResponseWriter).Hijack()
	if err == nil {
		o.status = http.StatusSwitchingProtocols
	}
	return conn, buffered, err
}

// serveWeb serves one of the HTTP listeners.
func (a *App) serveWeb(l net.Listener) {
	a.listeners.serve(func() error {
		if err := a.web.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("HTTP listener %s: %w", l.Addr(), err)
		}
		return nil
	}, a.fail)
}
