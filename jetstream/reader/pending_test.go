package reader_test

import "testing"

func TestPending(t *testing.T) {
	nc, js := connect(t, startServer(t))
	makeStream(t, js)
	cfg, _ := config(t, nc, js)
	sink := newCollector(t)
	r := open(t, cfg, sink)
	publish(t, js, 0, 300)
	got := sink.waitFor(256) // the window is full
	ctx := deadline(t)
	for _, want := range []uint64{44, 34} {
		for last := got[len(got)-1].Sequence; ; { // the server tells a consumer of messages some time after it has stored them
			messages, after, err := r.Pending(ctx)
			if err == nil && messages == want && after == last {
				break
			}
			if err != nil {
				t.Fatalf("%d after %d, %v; want %d after %d", messages, after, err, want, last)
			}
		}
		for _, d := range got[:10] {
			r.Ack(d)
		}
		got = sink.waitFor(266)
	}
}
