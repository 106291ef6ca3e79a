package bridge

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
)

// TestOutboundIdentifiers: an identifier is in use once at a time, and rests before it is used again.
func TestOutboundIdentifiers(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, limit := range []int{1, 2, 20, 100, 65535} {
		o := outbound{limit: limit}
		topic := &cursor{}
		inUse := map[uint16]uint64{}
		var order []uint16
		for i := range uint64(5000) {
			if o.full() != (len(inUse) >= limit) {
				t.Fatalf("limit %d: full %v with %d in use", limit, o.full(), len(inUse))
			}
			if !o.full() && random.IntN(3) > 0 {
				id := o.add(topic, i)
				if _, twice := inUse[id]; twice || id == 0 {
					t.Fatalf("limit %d: identifier %d again", limit, id)
				}
				inUse[id] = i
				order = append(order, id)
			} else if len(order) > 0 {
				at := random.IntN(len(order))
				id := order[at]
				order = slices.Delete(order, at, at+1)
				if d, ok := o.remove(id); !ok || d.sequence != inUse[id] {
					t.Fatalf("limit %d: removed %v %v, want %d", limit, d, ok, inUse[id])
				}
				delete(inUse, id)
				if _, ok := o.remove(id); ok {
					t.Fatalf("limit %d: identifier %d was there twice", limit, id)
				}
			}
		}
		if _, ok := o.remove(0); ok {
			t.Error("identifier 0 exists")
		}
	}
}

// TestInboundOrder: whatever the order of the answers, the head leaves in the order of the publishes, and nothing is
// left of what was counted.
func TestInboundOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	var in inbound
	var waiting []uint64
	var pushed, popped []uint16
	id := uint16(0)
	take := func() {
		for {
			s, ok := in.head()
			if !ok {
				return
			}
			popped = append(popped, s.packetID)
		}
	}
	for range 20_000 {
		switch n := random.IntN(10); {
		case n < 5 && in.room():
			id++
			one := &message.Message{Topic: "a", QoS: message.QoS(random.IntN(2)), PacketID: id}
			if one.QoS == 0 {
				one.PacketID = 0
			}
			pushed = append(pushed, one.PacketID)
			waiting = append(waiting, in.push(one, time.Time{}))
		case n == 5 && in.room():
			id++
			pushed = append(pushed, id)
			in.pushRefused(id, reason.New(reason.TopicInvalid, ""))
			take()
		case len(waiting) > 0:
			at := random.IntN(len(waiting))
			in.answer(waiting[at], nil)
			waiting = slices.Delete(waiting, at, at+1)
			take()
		}
	}
	for _, token := range waiting {
		in.answer(token, nil)
	}
	take()
	if !slices.Equal(pushed, popped) {
		t.Error("the order changed")
	}
	if in.unacked != 0 || in.qos0 != 0 || in.bytes != 0 || !in.settled() || in.slots.Len() != 0 {
		t.Errorf("left over: %+v", in)
	}
}
