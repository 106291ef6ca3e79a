package refusal

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tests/weirtest"
)

// Without NATS there is nothing to connect to, with tenants that are known and with those that never were.
func TestConnectWithoutNATS(t *testing.T) {
	t.Parallel()
	server := weirtest.StartNATS(t)
	path := weirtest.TenantsFile(t, tenants(map[string]string{"acme": ""}))
	warm := weirtest.Start(t, weirtest.Options{Name: "warm", TenantsFile: path, External: server})
	login(t, warm, codec.V5, "acme/dev", "before")
	server.Kill()
	cold := weirtest.Start(t, weirtest.Options{Name: "cold", TenantsFile: path, External: server, Cold: true})
	t.Run("refused", func(t *testing.T) {
		for name, w := range map[string]*weirtest.Weir{"warm": warm, "cold": cold} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if name == "cold" {
					weirtest.Until(t, "the listener is open", func() bool { return accepts(t, w) })
				}
				weirtest.Until(t, "/readyz says no", func() bool { return !w.IsReady() })
				each(t, func(t *testing.T, v codec.Version) {
					c := weirtest.Dial(t, w.MQTT(), v)
					c.Send(connect("acme/dev", "during-"+v.String()))
					refused(t, c, codes{3, 0x88}, reason.NATSUnavailable)
				})
			})
		}
	})
	server.Restart()
	for _, w := range []*weirtest.Weir{warm, cold} {
		w.Ready()
		for _, v := range versions {
			c := login(t, w, v, "acme/dev", "after")
			if ack := c.Publish("after", "x"); ack.Code >= 0x80 {
				t.Errorf("PUBACK 0x%02X", ack.Code)
			}
			c.Send(&codec.Disconnect{})
			c.ExpectClosed()
		}
	}
}

func accepts(t *testing.T, w *weirtest.Weir) bool {
	conn, err := weirtest.Open(t.Context(), w.MQTT(), codec.V5)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// A NATS that is stopped answers nothing and closes nothing: the outcome of a publish is unknown. After 10 s the connection is
// closed without PUBACK.
func TestOutcomeUnknown(t *testing.T) {
	t.Parallel()
	server := weirtest.StartNATS(t)
	w := weirtest.Start(t, weirtest.Options{Tenants: tenants(map[string]string{"acme": ""}), External: server})
	var ready sync.WaitGroup // all have published
	ready.Add(len(versions))
	paused := make(chan struct{})
	go func() {
		defer close(paused)
		ready.Wait()
		server.Pause()
	}()
	t.Run("paused", func(t *testing.T) {
		each(t, func(t *testing.T, v codec.Version) {
			c := func() *weirtest.Client {
				defer ready.Done()
				c := login(t, w, v, "acme/dev", "publishing-"+v.String())
				c.Publish("known", "before")
				return c
			}()
			<-paused
			begin := time.Now()
			c.Send(publish("known", 1, 5, "during"), publish("known", 1, 6, "during"))
			ping(c) // reading goes on
			if v == codec.V5 {
				d := weirtest.Expect[*codec.Disconnect](c)
				if d.Code != 0x89 {
					t.Errorf("DISCONNECT 0x%02X %s", d.Code, d.ReasonString)
				}
				hasReason(t, d.ReasonString, reason.PublishUnknown)
			}
			c.ExpectClosed()
			within(t, begin, 10*time.Second-slack/10, 10*time.Second+slack)
		})
	})
	server.Resume()
	w.Ready()
	for _, v := range versions {
		weirtest.Until(t, "clients are served again", func() bool { return serves(t, w, v) })
	}
}

// serves tells whether a client can connect and publish.
func serves(t *testing.T, w *weirtest.Weir, v codec.Version) bool {
	conn, err := weirtest.Open(t.Context(), w.MQTT(), v)
	if err != nil {
		return false
	}
	defer conn.Close()
	if conn.Write(connect("acme/dev", "again-"+v.String()), publish("known", 1, 9, "after")) != nil {
		return false
	}
	if p, err := conn.Read(); err != nil || p.(*codec.Connack).Code != 0 {
		return false
	}
	p, err := conn.Read()
	if err != nil {
		return false
	}
	ack, ok := p.(*codec.Ack)
	return ok && ack.Kind == codec.PUBACK && ack.Code < 0x80
}

// More publishes without an answer than Weir's Receive Maximum: 5 is told [MQTT-3.3.4-7], of 3.x no more is read until there
// are answers.
func TestReceiveMaximumOfServer(t *testing.T) {
	t.Parallel()
	server := weirtest.StartNATS(t)
	w := weirtest.Start(t, weirtest.Options{Tenants: tenants(map[string]string{"acme": ""}), External: server})
	clients := map[codec.Version]*weirtest.Client{}
	for _, v := range versions {
		clients[v] = login(t, w, v, "acme/dev", "many-"+v.String())
		clients[v].Publish("many", "before")
	}
	large := login(t, w, codec.V5, "acme/dev", "large")
	large.Publish("large", "before")
	const limit, over = 1024, 100
	server.Pause()
	for _, v := range versions {
		var packets []codec.Packet
		for i := range limit {
			packets = append(packets, publish("many", 1, uint16(i+1), "x"))
		}
		clients[v].Send(packets...)
		ping(clients[v])
	}
	// The one limit is 1,024 packets, the other 4 MiB, at which nothing is read any more, in 5, too.
	payload := strings.Repeat("x", 100<<10)
	for i := range 60 {
		large.Send(publish("large", 1, uint16(i+1), payload))
	}
	large.Send(&codec.Pingreq{})
	for _, v := range versions {
		for i := range over {
			if v == codec.V5 && i > 0 {
				break
			}
			clients[v].Send(publish("many", 1, uint16(limit+i+1), "x"))
		}
		if v != codec.V5 {
			clients[v].Send(&codec.Pingreq{})
		}
	}
	if d := weirtest.Expect[*codec.Disconnect](clients[codec.V5]); d.Code != 0x93 {
		t.Errorf("DISCONNECT 0x%02X %s", d.Code, d.ReasonString)
	} else {
		hasReason(t, d.ReasonString, reason.ReceiveMaximum)
	}
	server.Resume()
	clients[codec.V5].ExpectClosed()
	for _, v := range versions[:2] {
		inOrder(t, clients[v], limit+over)
	}
	inOrder(t, large, 60)
}

// inOrder expects n PUBACKs in order and one PINGRESP, which stands before none of those that were sent before it can have
// been read.
func inOrder(t *testing.T, c *weirtest.Client, n int) {
	t.Helper()
	next, pongs := uint16(1), 0
	for int(next) <= n || pongs == 0 {
		switch p := c.Next().(type) {
		case *codec.Pingresp:
			pongs++
		case *codec.Ack:
			if p.Kind != codec.PUBACK || p.PacketID != next || p.Code >= 0x80 {
				t.Fatalf("received %+v instead of PUBACK %d", p, next)
			}
			next++
		default:
			t.Fatalf("received %s", p.Type())
		}
	}
	if pongs != 1 {
		t.Errorf("%d PINGRESPs", pongs)
	}
}

// A NATS that answers nothing, while its connections stay, is one that cannot be reached: CONNECT is refused within the connect
// timeout, and what waits for it on a connection, SUBSCRIBE and the first PUBLISH to a topic, gets no answer that would say more
// than is known; the connection ends after 10 s, so that the client tries again.
func TestNATSThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	server := weirtest.StartNATS(t)
	w := weirtest.Start(t, weirtest.Options{Tenants: tenants(map[string]string{"acme": ""}), External: server})
	var ready sync.WaitGroup // all have done what they need NATS for
	paused := make(chan struct{})
	ready.Add(3 * len(versions))
	go func() {
		defer close(paused)
		ready.Wait()
		server.Pause()
	}()
	t.Run("paused", func(t *testing.T) {
		for _, v := range versions {
			connected := func(t *testing.T, id string) *weirtest.Client {
				defer ready.Done()
				c := login(t, w, v, "acme/dev", id+v.String())
				c.Publish("known", "x")
				return c
			}
			for what, p := range map[string]codec.Packet{
				"SUBSCRIBE": subscribe(1, 1, "known"), "PUBLISH": publish("unknown", 1, 1, "x"),
			} {
				t.Run(what+"/"+v.String(), func(t *testing.T) {
					t.Parallel()
					c := connected(t, what)
					<-paused
					begin := time.Now()
					c.Send(p)
					if v == codec.V5 {
						if d := weirtest.Expect[*codec.Disconnect](c); d.Code != 0x89 {
							t.Errorf("DISCONNECT 0x%02X %s", d.Code, d.ReasonString)
						}
					}
					c.ExpectClosed()
					within(t, begin, time.Second, 10*time.Second+slack)
				})
			}
			t.Run("CONNECT/"+v.String(), func(t *testing.T) {
				t.Parallel()
				connected(t, "before")
				<-paused
				begin := time.Now()
				c := weirtest.Dial(t, w.MQTT(), v)
				c.Send(connect("acme/dev", "late-"+v.String()))
				refused(t, c, codes{3, 0x88}, reason.NATSUnavailable)
				within(t, begin, 0, 10*time.Second+slack)
			})
		}
	})
	server.Resume()
	for _, v := range versions {
		weirtest.Until(t, "clients are served again", func() bool { return serves(t, w, v) })
	}
}
