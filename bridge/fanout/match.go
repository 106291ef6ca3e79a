package fanout

import (
	"github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/filter/index"
	"github.com/weirmq/weir/jetstream/reader"
)

// matcher finds the subscriptions at a place of many topics that want a message; guarded by feed.mu.
type matcher struct {
	index   index.Index[*interest]
	changes uint64 // of the index
	// found is what the index has for a topic, with the changes that it had then: as a rule there is more of a topic, and the reader asks
	// for it twice.
	topic string
	at    uint64
	found []*interest

	round uint64          // counts messages
	subs  []*Subscription // that want the last one
}

// find returns the interests in a topic.
func (m *matcher) find(topic string) []*interest {
	if topic != m.topic || m.at != m.changes {
		clear(m.found)
		m.found = m.index.Match(m.found[:0], topic)
		m.topic, m.at = topic, m.changes
	}
	return m.found
}

// match sets subs, each once however many of its filters match, and returns how many of them hold the message. Where messages are
// stored, those that have had it already, or that subscribed later, are not among them.
func (m *matcher) match(d *reader.Delivery, stored bool) (waits int32) {
	m.round++
	clear(m.subs)
	m.subs = m.subs[:0]
	for _, in := range m.find(d.Topic) {
		sub := in.sub
		if sub.topics.round == m.round || stored && (d.Sequence <= in.after || d.Sequence <= sub.last.Sequence) {
			continue
		}
		sub.topics.round = m.round
		m.subs = append(m.subs, sub)
		if sub.hold && sub.active {
			waits++
		}
	}
	return waits
}

// put puts a filter of a subscription into force, for messages after a stream sequence. The caller holds feed.mu.
func (s *Subscription) put(name string, after uint64, hold bool) {
	m := s.feed.matcher
	if s.topics.find(name) == nil {
		in := &interest{sub: s, filter: name, after: after}
		s.topics.add(in)
		m.index.Add(name, in)
		m.changes++
	}
	s.tentative, s.draining = false, false
	if !s.active && s.source.owner == nil {
		s.enter(s.source.ring.next)
	}
	if hold {
		s.raise()
	}
}

// begins puts the filter of a kept subscription into force before its reader is open: whatever that delivers is for it.
func (f *feed) begins(sub *Subscription, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sub.put(name, 0, true)
}

// exclude takes a filter of a subscription back. What is left for other filters stays. It reports whether there is no filter any more.
func (s *Subscription) exclude(name string) (none bool) {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	in := s.topics.find(name)
	if in == nil || s.closed {
		return false
	}
	s.topics.remove(in)
	f.matcher.index.Remove(name, in)
	f.matcher.changes++
	if s.topics.len() == 0 {
		s.tentative = true
		return true
	}
	s.unqueue(in)
	s.narrow()
	return false
}

// excludeAll takes all filters back, with what there is for them.
func (s *Subscription) excludeAll() {
	m := s.feed.matcher
	for _, name := range s.topics.names() {
		m.index.Remove(name, s.topics.find(name))
	}
	m.changes++
	clear(s.topics.exact)
	s.topics.wild, s.topics.queue = nil, queue{}
}

// unqueue lets go what is in the queue for a filter that was taken back, and for no other.
func (s *Subscription) unqueue(former *interest) {
	shared := &s.feed.source
	s.topics.queue.keep(func(x item) bool {
		if x.index < shared.ring.readable {
			return true
		}
		if d := &shared.ring.at(x.index).d; !filter.Match(former.filter, d.Topic) || s.topics.wants(d) {
			return true
		}
		s.unnote(x.sequence)
		if s.hold && s.active {
			shared.release(x.index)
		}
		return false
	})
}

// deliverMany takes the next message at a place of many topics, and sets the feed's waking. The caller holds feed.mu.
func (s *source) deliverMany(d reader.Delivery) {
	f := s.feed
	waits := f.matcher.match(&d, !f.transient)
	f.waking = f.waking[:0]
	if len(f.matcher.subs) == 0 && s.reader != nil {
		s.acknowledge(d)
		return
	}
	index := s.ring.next
	e := s.ring.push(d, waits)
	e.arrived = f.hub.age()
	s.changed()
	behind := false
	for _, sub := range f.matcher.subs {
		sub.offer(item{index, d.Sequence})
		if sub.resting >= 0 {
			sub.unrest()
			f.waking = append(f.waking, sub)
		}
		behind = behind || sub.much()
	}
	if waits == 0 {
		s.settleEntry(e)
	}
	s.forget()
	if f.bounded() {
		for _, sub := range f.matcher.subs {
			sub.note(&d)
		}
	}
	s.measure()
	if behind || f.behind() {
		f.shed()
	}
}

// offer notes that the shared ring has something for the subscription.
func (s *Subscription) offer(x item) {
	q := &s.topics.queue
	q.push(x)
	switch {
	case s.source.owner != nil:
		s.prune()
	case !s.hold && q.len() > manyHistoryEntries:
		q.pop()
		s.feed.skipped(1)
	}
}

// prune takes off the queue of a detached subscription what it has had from its own source, what the ring has no more, and what is too
// much to return with.
func (s *Subscription) prune() {
	t, r := s.topics, &s.feed.source.ring
	for t.queue.len() > 0 {
		x := t.queue.at(0)
		if x.sequence > s.last.Sequence {
			if x.index >= r.readable && t.queue.len() <= detachSpan {
				return
			}
			t.gone = x.sequence
		}
		t.queue.pop()
	}
}

// chooser is the sink of a source at a place of many topics.
type chooser struct{ *source }

// Wants is part of reader.Chooser.
func (c chooser) Wants(topic string) bool {
	f := c.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.keeping {
		return true // nobody does here any more, and the reader would acknowledge what is kept
	}
	if c.owner != nil {
		return c.owner.topics.matches(topic)
	}
	if len(f.matcher.find(topic)) > 0 {
		return true
	}
	c.measure()
	if f.behind() { // what nobody wants may have been large
		f.shed()
	}
	return false
}
