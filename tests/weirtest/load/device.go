package load

import (
	"strconv"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// Device is an MQTT subscriber that stays connected and acknowledges everything.
type Device struct {
	*Record
	who  string
	conn *weirtest.Conn
	over chan struct{} // closed at the end of the connection
	err  error         // why it ended; set before over is closed
}

// Subscribe subscribes with QoS 1 until the end of the test.
func Subscribe(t testing.TB, address string, v codec.Version, clientID string, filters ...string) *Device {
	t.Helper()
	client := weirtest.Login(t, address, v, clientID, "demo/device", "demo")
	for _, filter := range filters {
		client.Subscribe(filter, 1)
	}
	who := "MQTT " + v.String() + " " + clientID
	d := &Device{who: who, conn: client.Conn, over: make(chan struct{}), Record: NewRecord(who)}
	go func() {
		defer close(d.over)
		d.err = d.run(t)
	}()
	t.Cleanup(func() {
		d.conn.Close()
		<-d.over
	})
	return d
}

func (d *Device) run(t testing.TB) error {
	for {
		packet, err := d.conn.ReadWithin(maxLoad)
		if err != nil {
			return err
		}
		p, ok := packet.(*codec.Publish)
		if !ok {
			t.Errorf("%s: received %+v", d.who, packet)
			continue
		}
		n, err := strconv.ParseInt(string(p.Payload), 10, 64)
		if err != nil {
			t.Errorf("%s: received %q", d.who, p.Payload)
		}
		d.Add(string(p.Topic), n)
		if p.QoS == 0 {
			continue
		}
		if err := d.conn.Write(&codec.Ack{Kind: codec.PUBACK, PacketID: p.PacketID}); err != nil {
			return err
		}
	}
}

// Check waits until everything has come that was acknowledged, or for Patience, and compares. The connection must have stayed.
func (d *Device) Check(t testing.TB, acknowledged map[string][]int64) {
	t.Helper()
	d.Record.Check(t, acknowledged)
	d.stays(t)
}

// CheckOrder is Check for where messages may be lost: it says which. The last ones must not be among them.
func (d *Device) CheckOrder(t testing.TB, acknowledged map[string][]int64) (missing map[string][]int64) {
	t.Helper()
	missing = map[string][]int64{}
	for topic, want := range acknowledged {
		d.of(topic).await(want[len(want)-1:])
		d.of(topic).checkOrder(t, topic)
		if lost := d.of(topic).missing(want); len(lost) > 0 {
			missing[topic] = lost
		}
	}
	tell(t, d.who, d.all())
	d.stays(t)
	return missing
}

// stays fails the test when the connection has ended.
func (d *Device) stays(t testing.TB) {
	t.Helper()
	if closed(d.over) {
		t.Errorf("%s lost its connection: %v", d.who, d.err)
	}
}
