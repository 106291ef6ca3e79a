package microservice

import (
	"fmt"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/weirmq/weir/microservice/frame"
	"github.com/weirmq/weir/tenant"
)

// BenchmarkSocket carries messages of 200 bytes from one producer socket through JetStream to one consumer socket, which acknowledges each. The clients
// take their part of the machine.
func BenchmarkSocket(b *testing.B) {
	for _, protocol := range []string{"", frame.Protocol} {
		b.Run("protocol "+protocol, func(b *testing.B) {
			r := newRig(b, tenant.Quotas{BacklogBytes: 1 << 28})
			c := r.open("consumer", r.token("svc", "a"), protocol)
			pub := r.jsonProducer()
			text := []byte(jsonFrame(1, "a", fmt.Sprintf("%200d", 1)))
			b.ResetTimer()
			go func() {
				for range b.N {
					if pub.ws.WriteMessage(websocket.TextMessage, text) != nil {
						return // the benchmark has failed
					}
				}
			}()
			go func() {
				for range b.N {
					if _, err := pub.next(); err != nil {
						return
					}
				}
			}()
			for range b.N {
				id, err := c.nextID()
				if err != nil {
					b.Fatal(err)
				}
				c.ack(id)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// nextID is the id of the next message, with as little work as possible.
func (c *client) nextID() (string, error) {
	text, err := c.next()
	if err != nil {
		return "", err
	}
	start := 0
	if c.json {
		start = len(`{"id":"`)
	}
	end := start
	for text[end] >= '0' && text[end] <= '9' {
		end++
	}
	return text[start:end], nil
}
