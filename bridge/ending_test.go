package bridge

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

func withWill(topic string) func(*codec.Connect) {
	return func(p *codec.Connect) { p.Will = &codec.Will{Topic: topic, QoS: 1, Payload: []byte("gone")} }
}

// TestWills: published after every end but DISCONNECT 0x00 and a 3.x DISCONNECT [MQTT-3.1.2-8] [MQTT-3.1.2-10].
func TestWills(t *testing.T) {
	r := newRig(t, tenant.Quotas{BacklogMessages: 1}, nil)
	watcher, publisher := r.connect(codec.V311, "watcher"), r.connect(codec.V311, "publisher")
	stuck := r.connect(codec.V311, "stuck")
	stuck.mustSubscribe("full", 1)
	publisher.mustPublish("full", 1, "")
	for _, test := range []struct {
		name string
		end  func(c *client)
		will bool
	}{
		{"connection loss", func(c *client) { _ = c.conn.Close() }, true},
		{"protocol error", func(c *client) { c.write([]byte("\xf0\x00")) }, true},
		{"DISCONNECT", func(c *client) { c.send(&codec.Disconnect{}) }, false},
		{"DISCONNECT 0x04", func(c *client) {
			if c.v == codec.V5 {
				c.send(&codec.Disconnect{Code: codec.DisconnectWithWill})
			} else {
				_ = c.conn.Close()
			}
		}, true},
		{"takeover", func(c *client) { r.connect(codec.V311, c.id) }, true},
		{"refused publish", func(c *client) {
			if c.v == codec.V5 {
				_ = c.conn.Close()
			} else {
				c.send(publish("full", 1, 1, ""))
			}
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			each(t, func(t *testing.T, v codec.Version) {
				topic := "will/" + test.name + v.String()
				watcher.t = t
				watcher.mustSubscribe(topic, 1)
				c := r.connect(v, "mortal", withWill(topic))
				c.t = t
				test.end(c)
				if !test.will {
					c.expectClosed()
					r.connect(v, "mortal") // what the other connection had to do is done
					publisher.mustPublish(topic, 7, "no will")
				}
				p := watcher.receive()
				if want := map[bool]string{true: "gone", false: "no will"}[test.will]; string(p.Payload) != want {
					t.Errorf("got %s, want %s", show(p), want)
				}
			})
		})
	}
}

// TestTakeover: the will of the first connection is there before the second one's CONNACK.
func TestTakeover(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	other := newBridge(t, r.nats, tenant.Quotas{}, nil)
	for name, second := range map[string]*rig{"same bridge": r, "another bridge": other} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, v codec.Version) {
				topic := name + v.String()
				watcher := r.connect(codec.V311, "watcher")
				watcher.t = t
				watcher.mustSubscribe(topic, 1)
				c := r.connect(v, "me", withWill(topic))
				c.t = t
				again := second.connect(v, "me")
				r.connect(codec.V311, "publisher").mustPublish(topic, 1, "after CONNACK")
				for _, want := range []string{"gone", "after CONNACK"} {
					if p := watcher.receive(); string(p.Payload) != want {
						t.Errorf("got %s, want %s", show(p), want)
					}
				}
				c.expectEnd(codec.SessionTakenOver)
				again.ping()
			})
		})
	}
}

func TestUserChangedOrRemoved(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	each(t, func(t *testing.T, v codec.Version) {
		r.setTenant(tenant.Quotas{}, users)
		c := r.connect(v, "me")
		c.t = t
		stays := r.connect(v, "stays", func(p *codec.Connect) { p.Username = "acme/other" })
		stays.t = t
		r.setTenant(tenant.Quotas{}, map[string]tenant.User{"other": users["other"]})
		c.expectEnd(codec.NotAuthorized)
		stays.ping()
		r.auth.SetTenants(nil)
		r.server.Recheck("acme")
		stays.expectEnd(codec.NotAuthorized)
	})
}

// TestShutdown: what was read is stored and acknowledged, clients are told, wills are published.
func TestShutdown(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	other := newBridge(t, r.nats, tenant.Quotas{}, nil)
	watcher := other.connect(codec.V311, "watcher")
	watcher.mustSubscribe("data", 1)
	watcher.mustSubscribe("will", 1)
	c5, c3 := r.connect(codec.V5, "five", withWill("will")), r.connect(codec.V311, "three")
	silent := r.dial(codec.V5)
	const n = 200
	for i := range uint16(n) {
		c5.send(publish("data", 1, i+1, ""))
	}
	expect[*codec.Ack](c5)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.server.Shutdown(ctx) }()
	acked := 1
	for {
		p, err := c5.next()
		if err != nil {
			t.Fatalf("no DISCONNECT: %v", err)
		}
		if d, ok := p.(*codec.Disconnect); ok {
			if d.Code != codec.ServerShuttingDown {
				t.Errorf("got %s", show(d))
			}
			break
		}
		acked++
	}
	c5.expectClosed()
	c3.expectClosed()
	silent.expectClosed()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	stored := 0
	for {
		p := watcher.receive()
		if string(p.Topic) == "will" {
			break
		}
		stored++
	}
	// The will is of another topic, so data may come after it.
	for ; stored < acked; stored++ {
		watcher.receive()
	}
	watcher.ping()
}

// TestPresence: events and the error topic tell of connections.
func TestPresence(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	sub, err := r.native().SubscribeSync("weir.events.acme.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.native().Flush(); err != nil {
		t.Fatal(err)
	}
	c := r.connect(codec.V5, "a/b")
	c.send(&codec.Disconnect{})
	c.expectClosed()
	for _, want := range []presence{
		{ClientID: "a/b", User: "device", Version: "5.0"},
		{ClientID: "a/b", User: "device", Version: "5.0", Reason: string(reason.ClientDisconnect)},
	} {
		m, err := sub.NextMsgWithContext(r.context())
		if err != nil {
			t.Fatal(err)
		}
		var got presence
		if err := json.Unmarshal(m.Data, &got); err != nil {
			t.Fatal(err)
		}
		if got.Time == "" || got.Remote == "" {
			t.Errorf("%s lacks time or address", m.Data)
		}
		got.Time, got.Remote = "", ""
		if got != want {
			t.Errorf("%s: got %+v, want %+v", m.Subject, got, want)
		}
	}
}
