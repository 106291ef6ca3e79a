package badinput

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// prompt is how long an end may take that needs no timeout, on a busy machine.
const prompt = 8 * time.Second

// send opens a connection, sends bytes and closes this side. It returns what came until the other side closed, too.
func send(t *testing.T, w *weirtest.Weir, v codec.Version, b []byte) ([]codec.Packet, error) {
	c, err := weirtest.Open(t.Context(), w.MQTT(), v)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	// Where the other side has closed already, writing fails, and what it said can still be read.
	if c.WriteBytes(b) == nil {
		_ = c.Net.(half).CloseWrite()
	}
	return answers(c, prompt)
}

// versionEnd is where, in every CONNECT, the protocol version has been read.
const versionEnd = 2 + 2 + len("MQIsdp") + 1

// sensible are the packets with which Weir may answer whatever it may be, by their order: a CONNACK, which is the last one where
// it refuses; DISCONNECT only in 5, and last.
func sensible(packets []codec.Packet, v codec.Version) error {
	if ack := first(packets); ack != nil && ack.Code != 0 && len(packets) > 1 {
		return fmt.Errorf("%s behind a CONNACK 0x%02X", packets[1].Type(), ack.Code)
	}
	for i, p := range packets {
		_, connack := p.(*codec.Connack)
		_, disconnect := p.(*codec.Disconnect)
		switch {
		case connack != (i == 0):
			return fmt.Errorf("%s is packet %d of %d", p.Type(), i, len(packets))
		case disconnect && (v != codec.V5 || i != len(packets)-1):
			return fmt.Errorf("%s is packet %d of %d in %s", p.Type(), i, len(packets), v)
		}
	}
	return nil
}

// crowd calls f for 0 to n-1, some at a time.
func crowd(n int, f func(i int)) {
	var all sync.WaitGroup
	next := make(chan int)
	for range 16 {
		all.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
}

func TestRandomBytes(t *testing.T) {
	w := weirtest.Start(t, weirtest.Options{})
	beside := observe(t, w)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)

	// stream is a CONNECT and what a client may do afterwards.
	stream := func(v codec.Version, id string) []byte {
		return slices.Concat(
			bytesOf(t, demo(id), v),
			bytesOf(t, &codec.Subscribe{PacketID: 1, Subscriptions: []codec.Subscription{{Filter: "random", QoS: 1}}}, v),
			bytesOf(t, &codec.Publish{QoS: 1, PacketID: 2, Topic: []byte("random"), Payload: []byte("payload")}, v),
			bytesOf(t, &codec.Publish{Topic: []byte("random"), Payload: []byte("payload")}, v),
			bytesOf(t, &codec.Pingreq{}, v),
			bytesOf(t, &codec.Ack{Kind: codec.PUBACK, PacketID: 1}, v),
			bytesOf(t, &codec.Unsubscribe{PacketID: 3, Filters: []string{"random"}}, v),
			bytesOf(t, &codec.Disconnect{}, v),
		)
	}
	for what, make := range map[string]func(r *rand.Rand, v codec.Version, id string) []byte{
		"bytes": func(r *rand.Rand, _ codec.Version, _ string) []byte { return noise(r, 1+r.IntN(3000)) },
		"bytes behind a first byte of CONNECT": func(r *rand.Rand, _ codec.Version, _ string) []byte {
			return append([]byte{0x10}, noise(r, r.IntN(300))...)
		},
		"bytes behind CONNECT": func(r *rand.Rand, v codec.Version, id string) []byte {
			return append(bytesOf(t, demo(id), v), noise(r, 1+r.IntN(3000))...)
		},
		"packets of random types behind CONNECT": func(r *rand.Rand, v codec.Version, id string) []byte {
			b := bytesOf(t, demo(id), v)
			for range 1 + r.IntN(20) {
				n := r.IntN(100)
				b = append(append(b, byte(r.Uint32()), byte(n)), noise(r, n)...)
			}
			return b
		},
		"a stream with some bytes changed": func(r *rand.Rand, v codec.Version, id string) []byte {
			b := stream(v, id)
			for range 1 + r.IntN(3) {
				b[versionEnd+r.IntN(len(b)-versionEnd)] = byte(r.Uint32())
			}
			return b
		},
		"a stream with bytes missing": func(r *rand.Rand, v codec.Version, id string) []byte {
			b := stream(v, id)
			at := versionEnd + r.IntN(len(b)-versionEnd)
			return slices.Delete(b, at, min(len(b), at+1+r.IntN(5)))
		},
		"a CONNECT with a changed beginning": func(r *rand.Rand, v codec.Version, id string) []byte {
			b := stream(v, id)
			b[r.IntN(versionEnd)] = byte(r.Uint32())
			return b
		},
	} {
		t.Run(what, func(t *testing.T) {
			crowd(300, func(i int) {
				r := rand.New(rand.NewPCG(seed, uint64(i)))
				v := versions[i%len(versions)]
				b := make(r, v, fmt.Sprintf("random-%d", i))
				packets, err := send(t, w, v, b)
				if _, faulty := errors.AsType[*codec.Error](err); faulty && what == "a CONNECT with a changed beginning" {
					err = nil // it is answered as the version that it has become
				} else if err == nil {
					err = sensible(packets, v)
				}
				if err != nil {
					t.Errorf("%s, seed %d/%d, %s: %v\n% x", what, seed, i, v, err, b)
				}
			})
		})
	}
	beside.judge()
}

func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// A stream that ends within a packet ends the connection at once, wherever the end is. Whoever has hung up need not be answered.
func TestTruncatedStreams(t *testing.T) {
	w := weirtest.Start(t, weirtest.Options{})
	beside := observe(t, w)
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			connect := bytesOf(t, demo("truncated"), v)
			crowd(len(connect), func(i int) {
				if packets, err := send(t, w, v, connect[:i]); err != nil || len(packets) > 0 {
					t.Errorf("%d bytes of CONNECT: %d packets, %v", i, len(packets), err)
				}
			})
			publish := bytesOf(t, &codec.Publish{QoS: 1, PacketID: 2, Topic: []byte("truncated"), Payload: bytes.Repeat([]byte("x"), 50)}, v)
			crowd(len(publish), func(i int) {
				id := fmt.Sprintf("truncated-%d-%d", v, i)
				packets, err := send(t, w, v, append(bytesOf(t, demo(id), v), publish[:i]...))
				if err == nil && len(packets) > 1 {
					err = fmt.Errorf("%d packets", len(packets))
				}
				if err == nil {
					err = sensible(packets, v)
				}
				if err != nil {
					t.Errorf("%d bytes of PUBLISH: %v", i, err)
				}
			})
		})
	}
	beside.judge()
}

// A string that is not UTF-8, or holds U+0000 [MQTT-1.5.3-1] [MQTT-1.5.3-2], in each field of CONNECT; and protocol names that are
// not MQTT's, for which there is no answer.
func TestStringsOfConnect(t *testing.T) {
	w := weirtest.Start(t, weirtest.Options{})
	beside := observe(t, w)
	for _, v := range versions {
		p := demo("the-client-identifier")
		p.Will = &codec.Will{Topic: "the-will-topic", Payload: []byte("the-payload")}
		good := bytesOf(t, p, v)
		for _, field := range []string{"the-client-identifier", "the-will-topic", "demo/device"} {
			for _, bad := range []string{"\x00", "\xFF", "\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80"} {
				b := slices.Clone(good)
				copy(b[bytes.Index(b, []byte(field))+1:], bad)
				packets, err := send(t, w, v, b)
				if err != nil {
					t.Fatal(err)
				}
				switch ack := first(packets); {
				case v != codec.V5 && len(packets) > 0:
					t.Errorf("%s, %q with %q: %s", v, field, bad, packets[0].Type())
				case v == codec.V5 && (ack == nil || ack.Code != 0x81 || len(packets) > 1):
					t.Errorf("%s, %q with %q: %d packets, CONNACK %+v", v, field, bad, len(packets), ack)
				}
			}
		}
		// The password and the will's payload are bytes.
		b := bytes.Replace(good, []byte("the-payload"), []byte("\x00\xFF\xC0\xAFpayload"), 1)
		c := weirtest.Dial(t, w.MQTT(), v)
		c.SendBytes(b)
		if ack := weirtest.Expect[*codec.Connack](c); ack.Code != 0 {
			t.Errorf("%s, binary payload: CONNACK 0x%02X", v, ack.Code)
		}
		for _, name := range []string{"MQTt", "mqtt", "MQT\x00", "\xFFQTT", "HTTP"} {
			b := slices.Clone(good)
			if v == codec.V31 {
				name += "dp"
			}
			copy(b[bytes.IndexByte(b, 'M'):], name)
			if packets, err := send(t, w, v, b); err != nil || len(packets) > 0 {
				t.Errorf("%s, protocol name %q: %v %v", v, name, packets, err)
			}
		}
	}
	beside.judge()
}

func first(packets []codec.Packet) *codec.Connack {
	if len(packets) == 0 {
		return nil
	}
	ack, _ := packets[0].(*codec.Connack)
	return ack
}
