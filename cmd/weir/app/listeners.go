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

// listen opens the listeners and serves them.
func (a *App) listen() error {
	if a.embedded != nil {
		if address := a.embedded.Addr(); address != nil {
			a.addresses.NATS = address.String()
		}
	}
	var opened []net.Listener
	open := func(variable, address string) (net.Listener, error) {
		if address == Off {
			return nil, nil
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			for _, l := range opened {
				l.Close()
			}
			return nil, fmt.Errorf("%s: %w", variable, err)
		}
		opened = append(opened, l)
		return l, nil
	}
	mqtt, err := open("WEIR_MQTT_ADDR", a.config.MQTTAddr)
	if err != nil {
		return err
	}
	mqtts, err := open("WEIR_MQTTS_ADDR", a.config.MQTTSAddr)
	if err != nil {
		return err
	}
	ops, err := open("WEIR_ADMIN_ADDR", a.config.AdminAddr)
	if err != nil {
		return err
	}
	if mqtt != nil {
		a.addresses.MQTT = mqtt.Addr().String()
		a.serveMQTT(mqtt)
	}
	if mqtts != nil {
		a.addresses.MQTTS = mqtts.Addr().String()
		a.serveMQTT(tls.NewListener(mqtts, a.certificate.config()))
	}
	if ops != nil {
		a.addresses.Admin = ops.Addr().String()
		a.serveAdmin(ops)
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
