package microservice

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/weirmq/weir/tenant"
)

// TestStuckConsumer: a connection that stops reading costs its window, its batch and what is being written, whatever is published meanwhile; it holds up nobody, and
// when it reads again it misses nothing.
func TestStuckConsumer(t *testing.T) {
	const n, size = 1000, 16 << 10
	r := newRig(t, tenant.Quotas{BacklogBytes: 1 << 28})
	stuck, reads := r.jsonConsumer(r.token("stuck", "a")), r.jsonConsumer(r.token("reads", "a"))
	pub := r.jsonProducer()
	filler := strings.Repeat("x", size)
	go func() {
		for i := range n {
			if pub.ws.WriteMessage(websocket.TextMessage, []byte(jsonFrame(i, "a", fmt.Sprint(i)+" "+filler))) != nil {
				return // the test has failed
			}
		}
	}()
	for i := range n {
		pub.expect(`{"ack":` + strconv.Itoa(i) + `}`)
		r.expectNumbers(reads, i, i+1)
	}
	c := r.connectionOf("stuck")
	c.sub.mu.Lock()
	window, batched := c.window.bytes, c.batch.bytes
	c.sub.mu.Unlock()
	if most := maxWindowBytes + 2*size; window > most {
		t.Errorf("%d bytes in the window, want %d at most", window, most)
	}
	if most := maxBatchBytes + 2*size; batched > most {
		t.Errorf("%d bytes in the batch, want %d at most", batched, most)
	}
	c.line.mu.Lock()
	collected := 0
	if c.line.buf != nil {
		collected = cap(*c.line.buf)
	}
	c.line.mu.Unlock()
	if most := bufferKept + 4*size; collected > most {
		t.Errorf("%d bytes collected, want %d at most", collected, most)
	}
	r.expectNumbers(stuck, 0, n)
	r.expectStored(0)
}

// connectionOf is the one connection of a subscriber.
func (r *rig) connectionOf(subscriber string) *consumer {
	r.t.Helper()
	r.sockets.mu.Lock()
	defer r.sockets.mu.Unlock()
	for k, sub := range r.sockets.subscribers {
		if k.subscriber == subscriber {
			return sub.connections()[0]
		}
	}
	r.t.Fatal("there is no such subscriber")
	return nil
}

// expectNumbers receives and acknowledges the messages from one number up to another.
func (r *rig) expectNumbers(c *client, from, to int) {
	r.t.Helper()
	for want := from; want < to; want++ {
		m := c.receive()
		if got, _, _ := strings.Cut(m.payload, " "); got != strconv.Itoa(want) {
			r.t.Fatalf("got %.20s, want %d", got, want)
		}
		c.ack(m.id)
	}
}

// TestKills kills the connection of a subscriber 100 times while messages are on their way to it. Each connection sees numbers that ascend, without any gap but
// what others before it have acknowledged, and nothing is left of the killed ones.
func TestKills(t *testing.T) {
	each(t, func(t *testing.T, protocol string) {
		r := newRig(t, tenant.Quotas{})
		pub := r.jsonProducer()
		token := r.token("svc", "a")
		stop, stopped := make(chan struct{}), make(chan int, 1)
		go func() {
			i := 0
			defer func() { stopped <- i }()
			for ; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if pub.ws.WriteMessage(websocket.TextMessage, []byte(jsonFrame(i, "a", fmt.Sprint(i)))) != nil {
					return // the test has failed
				}
				if _, err := pub.next(); err != nil {
					return
				}
			}
		}()
		highest, acknowledged := 0, map[int]bool{}
		for range 100 {
			c := r.open("consumer", token, protocol)
			last := -1
			for range 1 + rand.IntN(30) {
				m := c.receive()
				number, err := strconv.Atoi(m.payload)
				if err != nil || number <= last {
					t.Fatalf("got %s after %d", m.payload, last)
				}
				for i := last + 1; last >= 0 && i < number; i++ {
					if !acknowledged[i] {
						t.Fatalf("got %d after %d, without %d", number, last, i)
					}
				}
				last = number
				if number%3 > 0 { // the others are left unacknowledged
					c.ack(m.id)
					acknowledged[number] = true
				}
			}
			highest = max(highest, last)
			kill(c)
		}
		close(stop)
		published := <-stopped
		if highest >= published {
			t.Errorf("got %d of %d", highest, published)
		}
		c := r.open("consumer", token, protocol)
		pub.mustPublish(published, "a", "last")
		for payload := ""; payload != "last"; {
			m := c.receive()
			payload = m.payload
			c.ack(m.id)
		}
		r.expectStored(0)
	})
}

// TestProducerKilled: what was answered to a producer that is killed is stored, and what is stored of it is so once and in order.
func TestProducerKilled(t *testing.T) {
	const rounds = 20
	r := newRig(t, tenant.Quotas{})
	c := r.jsonConsumer(r.token("svc", "a"))
	var answered, next [rounds]int
	for round := range rounds {
		pub := r.jsonProducer()
		for i := range 200 {
			pub.send(jsonFrame(i, "a", fmt.Sprintf("%d %d", round, i)))
		}
		answered[round] = rand.IntN(100)
		for i := range answered[round] {
			pub.expect(`{"ack":` + strconv.Itoa(i) + `}`)
		}
		kill(pub)
	}
	r.jsonProducer().mustPublish(0, "a", "mark")
	for {
		m := c.receive()
		c.ack(m.id)
		if m.payload == "mark" {
			break
		}
		var round, i int
		if _, err := fmt.Sscan(m.payload, &round, &i); err != nil || i != next[round] {
			t.Fatalf("got %q, want %d", m.payload, next[round])
		}
		next[round]++
	}
	for round := range rounds {
		if next[round] < answered[round] {
			t.Errorf("%d of %d are stored that were answered", next[round], answered[round])
		}
	}
}

// kill ends a connection as if its process had gone.
func kill(c *client) {
	tcp := c.ws.NetConn().(*net.TCPConn)
	_ = tcp.SetLinger(0)
	_ = tcp.Close()
}
