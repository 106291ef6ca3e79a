package message

import (
	"context"
	"errors"

	natsjs "github.com/nats-io/nats.go/jetstream"
)

// ready tells whether nothing older of the message's topic lies in another stream. A topic has one stream at a time. Where a change of rules moves
// it, Weir parks the former stream, or takes the topic from it, before the next one gets the topic: all that the former one has of the topic is older.
//
// What a place is known to be may be out of date by followInterval, but a message tells: of two places that seem to have its topic one has lost it, and one that seems not to have
// the topic, and has the message nevertheless, has gained it.
func (s *Subscription) ready(ctx context.Context, d *Delivery) bool {
	others := s.others(d)
	if len(others) == 0 {
		return true
	}
	if !d.place.has(d.Topic) && d.place.unheardOf(d.Sequence) && !s.refresh(ctx, d.place) {
		return false
	}
	for _, p := range others {
		if p.has(d.Topic) && d.place.has(d.Topic) && (!s.refresh(ctx, p) || p.has(d.Topic) && !s.refresh(ctx, d.place)) {
			return false
		}
		if !p.has(d.Topic) && !passed(ctx, p, d) {
			return false
		}
	}
	return true
}

// others are the places besides its own that may have messages of a delivery's topic.
func (s *Subscription) others(d *Delivery) (others []*place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.dedicated[d.Topic] {
		if p != d.place {
			others = append(others, p)
		}
	}
	for _, p := range s.shared {
		if p != d.place && (p.has(d.Topic) || p.behind()) {
			others = append(others, p)
		}
	}
	return others
}

// refresh looks at a stream. It reports false where JetStream cannot be asked.
func (s *Subscription) refresh(ctx context.Context, p *place) bool {
	stream, err := s.js.Stream(ctx, p.stream)
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		s.remove(p)
		p.gone()
		return true
	}
	if err != nil {
		return false
	}
	p.update(stream.CachedInfo())
	return true
}

// passed tells whether a place has nothing older than a delivery, or nothing that is of a topic that it has not any more. Streams that wait for
// each other are taken in the order in which their messages were stored.
func passed(ctx context.Context, p *place, d *Delivery) bool {
	if !p.behind() {
		return true
	}
	if head := p.held(); head != nil {
		return p.unheardOf(head.Sequence) || d.before(head)
	}
	info, err := p.pull().Info(ctx)
	if err != nil {
		return ignoreGone(err) == nil
	}
	if info.NumPending == 0 && info.NumAckPending == 0 || !p.unconsumed(info.AckFloor.Stream) {
		p.caughtUp()
		return true
	}
	return false
}

// before tells which of two messages of different streams was stored first.
func (d *Delivery) before(other *Delivery) bool {
	if c := d.Stored.Compare(other.Stored); c != 0 {
		return c < 0
	}
	return d.Stream < other.Stream
}
