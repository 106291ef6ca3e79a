package refusal

import (
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tests/weirtest"
)

// reset ends a connection with RST.
func reset(t *testing.T, c *weirtest.Client) {
	t.Helper()
	if err := c.Net.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestTakeover(t *testing.T) {
	file := tenants(map[string]string{"acme": "", "storm": "connections: 40"})
	server := weirtest.StartNATS(t)
	path := weirtest.TenantsFile(t, file)
	a := weirtest.Start(t, weirtest.Options{Name: "weir a", TenantsFile: path, External: server})
	b := weirtest.Start(t, weirtest.Options{Name: "weir b", TenantsFile: path, External: server})
	for what, two := range map[string][2]*weirtest.Weir{"same bridge": {a, a}, "other bridge": {a, b}} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, v codec.Version) {
				id := fmt.Sprintf("%s %s", what, v)
				first := login(t, two[0], v, "acme/dev", id)
				for i := range 4 {
					second := login(t, two[1-i%2], v, "acme/dev", id)
					ended(t, first, 0x8E, reason.TakenOver)
					ping(second)
					first = second
				}
				// Another user does not get it, on either bridge.
				for _, w := range two {
					c := weirtest.Dial(t, w.MQTT(), v)
					c.Send(connect("acme/other", id))
					refused(t, c, codes{5, 0x87}, reason.ClientIDInUse)
				}
				ping(first)
				// What it has released anybody may have, at once.
				first.Send(&codec.Disconnect{})
				first.ExpectClosed()
				login(t, two[1], v, "acme/other", id)
			})
		})
	}
	t.Run("storm", func(t *testing.T) { t.Parallel(); storm(t, a, b) })
}

// Many connect with one client identifier at once, on both bridges. All but one are told that they were taken over, the last one
// stays, and each has its will published once.
func storm(t *testing.T, bridges ...*weirtest.Weir) {
	const clients = 24
	watcher := login(t, bridges[0], codec.V5, "storm/app", "watcher")
	watcher.Subscribe("storm", 1)
	var all sync.WaitGroup
	results := make(chan *weirtest.Conn, clients) // the one that is still connected
	faults := make(chan error, clients)
	for i := range clients {
		all.Go(func() {
			conn, err := weirtest.Open(t.Context(), bridges[i%len(bridges)].MQTT(), codec.V5)
			if err != nil {
				faults <- err
				return
			}
			survived, err := struggle(conn, fmt.Sprint(i))
			if err != nil {
				faults <- fmt.Errorf("client %d: %w", i, err)
			}
			if survived {
				results <- conn
				return
			}
			conn.Close()
		})
	}
	all.Wait()
	close(faults)
	for err := range faults {
		t.Error(err)
	}
	close(results)
	left := 0
	for conn := range results {
		left++
		conn.Close()
	}
	if left != 1 {
		t.Errorf("%d clients are connected with one client identifier", left)
	}
	wills := map[string]bool{}
	for range clients {
		will := string(watcher.Message().Payload)
		if wills[will] {
			t.Errorf("the will of client %s was published twice", will)
		}
		wills[will] = true
	}
	ping(watcher)
}

// struggle connects and stays until it is taken over, or until nothing has come for so long that it is the last one.
func struggle(conn *weirtest.Conn, will string) (survived bool, err error) {
	c := connect("storm/dev", "one")
	c.Will = &codec.Will{QoS: 1, Topic: "storm", Payload: []byte(will)}
	if err := conn.Write(c); err != nil {
		return false, err
	}
	p, err := conn.Read()
	if err != nil {
		return false, err
	}
	if ack, ok := p.(*codec.Connack); !ok || ack.Code != 0 {
		return false, fmt.Errorf("received %s %+v", p.Type(), p)
	}
	p, err = conn.ReadWithin(weirtest.Patience / 3)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if d, ok := p.(*codec.Disconnect); !ok || d.Code != codec.SessionTakenOver {
		return false, fmt.Errorf("received %s %+v", p.Type(), p)
	}
	return false, nil
}
