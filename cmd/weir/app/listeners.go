package app

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/weirmq/weir/admin"
	"github.com/weirmq/weir/bridge"
)

// listeners counts those that are served.
type listeners struct {
	stopping atomic.Bool
	wanted   atomic.Int32
	serving  atomic.Int32
	work     sync.WaitGroup
}

// serve runs f, which serves a listener until the stop, on a goroutine that wait waits for. An error of f is a failure.
func (l *listeners) serve(f func() error, fail func(error)) {
	l.wanted.Add(1)
	l.serving.Add(1)
	l.work.Go(func() {
		err := f()
		l.serving.Add(-1)
		if err != nil {
			fail(err)
		}
	})
}

func (l *listeners) wait() { l.work.Wait() }

// ready returns nil when every listener is served.
func (l *listeners) ready() error {
	switch {
	case l.stopping.Load():
		return errors.New("stopping")
	case l.serving.Load() < l.wanted.Load():
		return errors.New("a listener has failed")
	}
	return nil
}

// probe tells whether the address can be listened on, in words that name the variable.
func probe(variable, address string) error {
	if address == Off {
		return nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("%s: %w", variable, err)
	}
	return l.Close()
}

// opened are the listeners that are not served yet.
type opened []net.Listener

// open listens on an address; without an error the result is nil where it is off. An error closes those opened before.
func (o *opened) open(variable, address string) (net.Listener, error) {
	if address == Off {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		for _, l := range *o {
			l.Close()
		}
		return nil, fmt.Errorf("%s: %w", variable, err)
	}
	*o = append(*o, l)
	return l, nil
}

// listen opens the listeners, and serves them when all are open.
func (a *App) listen() error {
	if a.embedded != nil {
		if address := a.embedded.Addr(); address != nil {
			a.addresses.NATS = address.String()
		}
	}
	secure := func(serve func(net.Listener)) func(net.Listener) {
		return func(l net.Listener) { serve(tls.NewListener(l, a.certificate.config())) }
	}
	var all opened
	var begin []func()
	for _, x := range []struct {
		variable, address string
		at                *string // where it turned out to listen
		serve             func(net.Listener)
	}{
		{"WEIR_MQTT_ADDR", a.config.MQTTAddr, &a.addresses.MQTT, a.serveMQTT},
		{"WEIR_MQTTS_ADDR", a.config.MQTTSAddr, &a.addresses.MQTTS, secure(a.serveMQTT)},
		{"WEIR_HTTP_ADDR", a.config.HTTPAddr, &a.addresses.HTTP, a.serveWeb},
		{"WEIR_HTTPS_ADDR", a.config.HTTPSAddr, &a.addresses.HTTPS, secure(a.serveWeb)},
		{"WEIR_ADMIN_ADDR", a.config.AdminAddr, &a.addresses.Admin, a.serveAdmin},
	} {
		l, err := all.open(x.variable, x.address)
		if err != nil {
			return err
		}
		if l != nil {
			begin = append(begin, func() {
				*x.at = l.Addr().String()
				x.serve(l)
			})
		}
	}
	if !a.config.Embedded() {
		var err error
		if a.passedOn, err = a.store.Listen(); err != nil {
			return fmt.Errorf("listening to other bridges: %w", err)
		}
		begin = append(begin, func() { a.serveWeb(a.passedOn) })
	}
	for _, f := range begin {
		f()
	}
	return nil
}

func (a *App) serveMQTT(l net.Listener) {
	a.listeners.serve(func() error {
		if err := a.server.Serve(l); !errors.Is(err, bridge.ErrServerClosed) {
			return fmt.Errorf("MQTT listener %s: %w", l.Addr(), err)
		}
		return nil
	}, a.fail)
}

func (a *App) serveAdmin(l net.Listener) {
	a.admin = admin.NewServer(admin.Config{
		Registry: a.registry,
		Log:      a.log,
		Checks: []admin.Check{
			{Name: "nats", Ready: a.store.Ready},
			{Name: "tenants", Ready: a.directory.ready},
			{Name: "keys", Ready: a.tokens.Ready},
			{Name: "listeners", Ready: a.listeners.ready},
		},
	})
	a.listeners.serve(func() error {
		if err := a.admin.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("admin listener %s: %w", l.Addr(), err)
		}
		return nil
	}, a.fail)
}
