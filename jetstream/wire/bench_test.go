package wire

import (
	"bytes"
	"testing"

	"github.com/nats-io/nats.go"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// block is the header of a message in the benchmark.
var block = []byte("NATS/1.0\r\nMqtt-Client-Id: thermostat-0000007\r\nMqtt-User: thermostat-0000007\r\nMqtt-Role: device\r\nMqtt-Packet-Id: 4711\r\n\r\n")

const (
	benchSubject = "mqtt.acme.a.b"
	batch        = 1000 // messages that are published before those of the batch before must have arrived
)

// BenchmarkDeliver takes messages of 128 bytes with headers through the server, from one connection to another, and looks at
// one header of each.
func BenchmarkDeliver(b *testing.B) {
	for _, where := range []string{"in-process", "TCP"} {
		b.Run(where, func(b *testing.B) {
			s := serve(b, func(o *natsserver.Options) { o.MaxPending = 1 << 30 })
			o := optionsFor(s)
			if where == "in-process" {
				o.InProcessServer = s
			}
			b.Run("wire", func(b *testing.B) { benchWire(b, o) })
			b.Run("nats.go", func(b *testing.B) { benchNATS(b, o) })
		})
	}
}

func benchWire(b *testing.B, o nats.Options) {
	out, in := dialLogged(b, o, zapNop), dialLogged(b, o, zapNop)
	epoch, inEpoch := up(b, out, 0), up(b, in, 0)
	arrived := make(chan bool, 2)
	n := 0
	sub, err := in.Subscribe(inEpoch, benchSubject, func(m *Msg) {
		if !bytes.Equal(m.Get("Mqtt-Role"), []byte("device")) {
			b.Error("header")
		}
		if n++; n%batch == 0 {
			arrived <- true
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	defer sub.Unsubscribe()
	flush(b, in, inEpoch)
	payload := make([]byte, 128)
	deliver(b, arrived, func() error { return out.Publish(epoch, benchSubject, "", block, payload) })
}

func benchNATS(b *testing.B, o nats.Options) {
	out, err := o.Connect()
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	in, err := o.Connect()
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	arrived := make(chan bool, 2)
	n := 0
	if _, err := in.Subscribe(benchSubject, func(m *nats.Msg) {
		if m.Header.Get("Mqtt-Role") != "device" {
			b.Error("header")
		}
		if n++; n%batch == 0 {
			arrived <- true
		}
	}); err != nil {
		b.Fatal(err)
	}
	if err := in.Flush(); err != nil {
		b.Fatal(err)
	}
	head, err := nats.DecodeHeadersMsg(block)
	if err != nil {
		b.Fatal(err)
	}
	m := &nats.Msg{Subject: benchSubject, Header: head, Data: make([]byte, 128)}
	deliver(b, arrived, func() error { return out.PublishMsg(m) })
}

// deliver publishes whole batches, two of them under way at most.
func deliver(b *testing.B, arrived <-chan bool, publish func() error) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	batches := (b.N + batch - 1) / batch
	for i := range batches {
		for range batch {
			if err := publish(); err != nil {
				b.Fatal(err)
			}
		}
		if i > 0 {
			<-arrived
		}
	}
	<-arrived
}
