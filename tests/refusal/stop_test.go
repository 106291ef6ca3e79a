package refusal

import (
	"fmt"
	"sync"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tests/weirtest"
)

// A clean stop tells every client of 5 with DISCONNECT 0x8B, publishes the wills before the exit, and what was acknowledged is
// stored; another bridge shows it.
func TestStop(t *testing.T) {
	server := weirtest.StartNATS(t)
	path := weirtest.TenantsFile(t, tenants(map[string]string{"acme": ""}))
	stopping := weirtest.Start(t, weirtest.Options{Name: "stopping", TenantsFile: path, External: server})
	staying := weirtest.Start(t, weirtest.Options{Name: "staying", TenantsFile: path, External: server})
	watchers, idle := map[codec.Version]*weirtest.Client{}, map[codec.Version]*weirtest.Client{}
	for _, v := range versions {
		watchers[v] = login(t, staying, v, "acme/app", "watcher-"+v.String())
		watchers[v].Subscribe("will/"+v.String(), 1)
		watchers[v].Subscribe("load/"+v.String(), 1)
		idle[v] = mortal(t, stopping, v, "idle-"+v.String(), "will/"+v.String(), nil)
		idle[v].Subscribe("will/"+v.String(), 1)
	}
	silent := weirtest.Dial(t, stopping.MQTT(), codec.V5) // has sent nothing yet
	// Publishers that have something under way all the time.
	var publishers sync.WaitGroup
	acknowledged := make(map[codec.Version]*int)
	faults := make(chan error, len(versions))
	started := make(chan struct{}, len(versions))
	for _, v := range versions {
		c := login(t, stopping, v, "acme/dev", "load-"+v.String())
		acknowledged[v] = new(int)
		publishers.Go(func() {
			n, err := load(c.Conn, "load/"+v.String(), started)
			*acknowledged[v] = n
			if err != nil {
				faults <- fmt.Errorf("%s: %w", v, err)
			}
		})
	}
	for range versions {
		weirtest.Receive(t, "a publisher has begun", started)
	}
	stopping.Stop()
	publishers.Wait()
	close(faults)
	for err := range faults {
		t.Error(err)
	}
	silent.ExpectClosed()
	for _, v := range versions {
		ended(t, idle[v], 0x8B, reason.ServerShutdown)
		got, will := 0, false
		for got < *acknowledged[v] || !will {
			p := watchers[v].Message()
			switch string(p.Topic) {
			case "will/" + v.String():
				will = true
			default:
				if want := fmt.Sprint(got); string(p.Payload) != want {
					t.Fatalf("%s: received %q, want %q", v, p.Payload, want)
				}
				got++
			}
		}
	}
}

// load publishes until it is told that the server stops, and returns how many were acknowledged, all in order.
func load(c *weirtest.Conn, topic string, started chan<- struct{}) (acknowledged int, err error) {
	const window = 50
	sent := 0
	for {
		for sent < acknowledged+window {
			sent++
			if c.Write(publish(topic, 1, uint16(sent%60000+1), fmt.Sprint(sent-1))) != nil {
				break // the end is on its way, and is read below
			}
		}
		p, err := c.Read()
		if weirtest.Closed(err) && c.Version != codec.V5 {
			return acknowledged, nil
		}
		if err != nil {
			return acknowledged, err
		}
		switch p := p.(type) {
		case *codec.Ack:
			if acknowledged == window {
				started <- struct{}{}
			}
			acknowledged++
			if want := uint16(acknowledged%60000 + 1); p.PacketID != want || p.Code >= 0x80 {
				return acknowledged, fmt.Errorf("received %+v, want PUBACK %d", p, want)
			}
		case *codec.Disconnect:
			if p.Code != codec.ServerShuttingDown {
				return acknowledged, fmt.Errorf("DISCONNECT 0x%02X", p.Code)
			}
			return acknowledged, nil
		default:
			return acknowledged, fmt.Errorf("received %s", p.Type())
		}
	}
}
