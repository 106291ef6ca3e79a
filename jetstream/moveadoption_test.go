package jetstream

import (
	"context"
	"testing"
	"time"

	"github.com/weirmq/weir/tenant"
)

// lateAdopter does nothing about the topics that it is told of before the end of a move.
type lateAdopter struct {
	t       *testing.T
	log     *Log
	told    chan string
	adopted chan *sink
}

func (*lateAdopter) Prepare(context.Context, tenant.Move) error { return nil }

// Hold forgets of what it was told before.
func (a *lateAdopter) Hold(tenant.Move) {
	for len(a.told) > 0 {
		<-a.told
	}
}

func (a *lateAdopter) Release(tenant.Move, map[tenant.Place]uint64) {
	for len(a.told) > 0 {
		a.adopt(<-a.told)
	}
}

func (a *lateAdopter) adopt(topic string) {
	s := newSink()
	if r, err := a.log.Attach(ctxOf(a.t), tenant.Dedicated(topic), "", 0, nil, s); err != nil || !r.Adopted() {
		a.t.Errorf("attach to %s: %v", topic, err)
	}
	a.adopted <- s
}

// next is the sink of the next topic that is adopted.
func (a *lateAdopter) next() *sink {
	a.t.Helper()
	select {
	case s := <-a.adopted:
		return s
	case <-time.After(patience):
		a.t.Fatal("nothing is adopted")
		return nil
	}
}

// A topic that moves before a bridge has adopted the consumer that was made for it is told of again, and the consumer has everything. When the
// topic comes back, the reader of what is left is in nobody's way.
func TestMoveBeforeAdoption(t *testing.T) {
	stores, logs := twoForMoves(t, nil)
	a := &lateAdopter{t: t, log: logs[0], told: make(chan string, 16), adopted: make(chan *sink, 1)}
	logs[0].OnMove(a)
	logs[0].OnCreated(func(topic string) { a.told <- topic })
	if _, err := logs[0].Watch(ctxOf(t), "a/#"); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		mustStore(t, logs[1], "a/1", numbered(n))
	}
	awaitTold(t, a.told, "a/1")
	setRules := func(name string) {
		tell(stores, movingRules[name])
		for _, log := range logs {
			awaitRules(log)
		}
	}
	setRules("shared")
	former := a.next()
	for n := range 3 {
		if d := former.next(t); string(d.Payload) != numbered(n) {
			t.Errorf("got %q, want %q", d.Payload, numbered(n))
		}
	}
	setRules("dedicated")
	mustStore(t, logs[1], "a/1", "it has come back")
	awaitTold(t, a.told, "a/1")
	a.adopt("a/1")
	if d := a.next().next(t); string(d.Payload) != "it has come back" {
		t.Errorf("got %q", d.Payload)
	}
}
