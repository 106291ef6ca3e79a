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
	for _, want := range []uint64{44, 34} {
		messages, after, err := r.Pending(deadline(t))
		if last := got[len(got)-1].Sequence; err != nil || messages != want || after != last {
			t.Errorf("%d after %d, %v; want %d after %d", messages, after, err, want, last)
		}
		for _, d := range got[:10] {
			r.Ack(d)
		}
		got = sink.waitFor(266)
	}
}
