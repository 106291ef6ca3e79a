package microservice

import (
	"maps"
	"slices"

	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
)

const (
	// defaultInflight is how many messages a connection may have without acknowledgement where the tenant's inflight is the default, which is made for
	// devices.
	defaultInflight = 1000
	// maxWindowBytes is how many bytes of messages it may have. One message it may always have.
	maxWindowBytes = 4 << 20
	// maxBatch and maxBatchBytes are how many messages may wait to be written.
	maxBatch      = 256
	maxBatchBytes = 64 << 10
)

// deviceInflight is what a tenant's inflight is by default.
var deviceInflight = (tenant.Quotas{}).Resolve().Inflight

// inflight is how many messages a connection may have without acknowledgement.
func inflight(l *tenant.Limits) int {
	if l.Inflight == deviceInflight {
		return defaultInflight
	}
	return l.Inflight
}

// delivery is a message that a subscriber has taken and not acknowledged.
type delivery struct {
	reader.Delivery
	id     uint64 // by which it is acknowledged
	cursor *cursor
	held   bool // the cursor waits for the acknowledgement
}

// window is what one connection has without acknowledgement.
type window struct {
	deliveries map[uint64]delivery // by id
	bytes      int
	again      map[uint64]struct{} // of those, what is in the batch once more
}

func newWindow() window {
	return window{deliveries: map[uint64]delivery{}, again: map[uint64]struct{}{}}
}

// room tells whether there is room for another message.
func (w *window) room(l *tenant.Limits) bool {
	return len(w.deliveries) < inflight(l) && w.bytes < maxWindowBytes
}

func (w *window) add(d delivery) {
	w.deliveries[d.id] = d
	w.bytes += d.Size
}

// remove removes what is acknowledged. ok is false where there is no such message.
func (w *window) remove(id uint64) (d delivery, ok bool) {
	if d, ok = w.deliveries[id]; ok {
		delete(w.deliveries, id)
		w.bytes -= d.Size
	}
	return d, ok
}

// empty removes and returns everything, the oldest first.
func (w *window) empty() []delivery {
	all := slices.SortedFunc(maps.Values(w.deliveries), older)
	*w = newWindow()
	return all
}

// older compares two deliveries of a subscriber: the one with the lower id was taken before.
func older(a, b delivery) int {
	if a.id < b.id {
		return -1
	}
	return 1
}

// batch is what waits to be written on one connection. It is also in the window.
type batch struct {
	messages []outgoing
	bytes    int
}

func (b *batch) room() bool { return len(b.messages) < maxBatch && b.bytes < maxBatchBytes }

func (b *batch) add(d *delivery) {
	b.messages = append(b.messages, outgoing{d.id, d.Message})
	b.bytes += d.Size
}
