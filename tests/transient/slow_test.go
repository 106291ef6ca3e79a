package transient

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// A subscriber that does not read misses what it is too late for, which is counted, and nobody else does: publishers are not refused,
// and a subscriber beside it goes on. When it reads again, it gets the newest, in order.
func TestSubscriberThatDoesNotRead(t *testing.T) {
	const rounds, count = 100, 200
	p := weirtest.StartPair(t, live())
	each(t, func(t *testing.T, v codec.Version, level string) {
		topic := "live/" + level
		stuck := weirtest.Device(t, p.B, v, "stuck")
		stuck.Subscribe(topic, 1)
		healthy := weirtest.Device(t, p.B, v, "healthy")
		healthy.Subscribe("live/+", 1)
		publisher := weirtest.Device(t, p.A, v, "publisher")
		skipped := p.B.Metric("weir_fanout_dropped_total", `reason="transient_overflow"`)
		for round := range rounds {
			var messages []*codec.Publish
			for n := range count {
				messages = append(messages, &codec.Publish{Topic: []byte(topic), Payload: fmt.Append(nil, round*count+n)})
			}
			if err := publisher.PublishAll(messages); err != nil {
				t.Fatal(err)
			}
			for n := range count {
				mustReceive(t, healthy, 1, topic, number(round*count+n))
			}
		}
		received := 0
		for last := -1; last < rounds*count-1; received++ {
			n, err := strconv.Atoi(string(stuck.Message().Payload))
			if err != nil || n <= last {
				t.Fatalf("received %d after %d, %v", n, last, err)
			}
			last = n
		}
		skipped = p.B.Metric("weir_fanout_dropped_total", `reason="transient_overflow"`) - skipped
		if skipped == 0 || received+int(skipped) != rounds*count {
			t.Errorf("%d of %d messages are received, and %v counted as skipped", received, rounds*count, skipped)
		}
		stuck.Send(&codec.Disconnect{})
		stuck.ExpectClosed()
	})
}
