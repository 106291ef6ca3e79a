package fanout

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// account adds to the bytes that all sources hold.
func (h *Hub) account(delta int64) {
	n := h.buffered.Add(delta)
	if n > h.budget || delta <= 0 && h.starving.Load() > 0 && n < h.plenty() {
		h.wakeBudget()
	}
}

func (h *Hub) wakeBudget() {
	select {
	case h.relieve <- struct{}{}:
	default:
	}
}

// plenty is below what the starving are fed again.
func (h *Hub) plenty() int64 { return h.budget / 4 * 3 }

// overfull tells that no source may take more than one message before others have given some back. In between the
// budget and this, messages are discarded in the background.
func (h *Hub) overfull() bool { return h.buffered.Load() > h.budget+h.budget/8 }

// Readers that starved start over with all that they may have unacknowledged. Only so many bytes are asked for at a time,
// so that the server is not made to send more than the connection takes.
const (
	refillBytes = 16 << 20
	refillPause = 50 * time.Millisecond
	refillCount = 256 // messages that a reader delivers without acknowledgement
)

// keepBudget discards from the fullest sources when the budget is used up, and feeds the starving when there is room.
func (h *Hub) keepBudget() {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-h.relieve:
		case <-pause.C:
		}
		if h.buffered.Load() > h.budget {
			h.discard()
		}
		if h.starving.Load() > 0 && h.buffered.Load() >= h.plenty() {
			h.trim()
		}
		if h.starving.Load() > 0 && h.buffered.Load() < h.plenty() && h.feedStarving() {
			pause.Reset(refillPause)
		}
	}
}

// feedStarving lets some of those that starve and are read from deliver again. It reports whether more of them wait.
func (h *Hub) feedStarving() (more bool) {
	asked := int64(0)
	for _, s := range h.sources() {
		s.feed.mu.Lock()
		if s.wanted() {
			if more = asked >= min(refillBytes, h.budget/4); !more {
				asked += refillCount * s.large
				s.feedAgain()
			}
		}
		s.feed.mu.Unlock()
		if more {
			return true
		}
	}
	return false
}

// discard takes from the fullest sources until an eighth of the budget is free.
func (h *Hub) discard() {
	type full struct {
		s     *source
		bytes int64
	}
	var all []full
	for _, s := range h.sources() {
		if n := s.buffered.Load(); n > 0 {
			all = append(all, full{s, n})
		}
	}
	slices.SortFunc(all, func(a, b full) int { return cmp.Compare(b.bytes, a.bytes) })
	for _, c := range all {
		if h.buffered.Load() <= h.budget-h.budget/8 {
			return
		}
		c.s.feed.mu.Lock()
		c.s.shrink()
		c.s.feed.mu.Unlock()
	}
}

// trim lets go of what everybody has taken: it is kept for those who may return, at the cost of nobody else.
func (h *Hub) trim() {
	for _, s := range h.sources() {
		s.feed.mu.Lock()
		if s.reader != nil && !s.dropped && (s.owner == nil || s.settled) {
			if low, _ := s.cursors(); low > s.ring.readable {
				s.ring.strip(low - 1)
				s.changed()
			}
		}
		s.feed.mu.Unlock()
	}
}

// sources lists all of them.
func (h *Hub) sources() (all []*source) {
	h.mu.Lock()
	feeds := slices.Collect(maps.Keys(h.feeds))
	h.mu.Unlock()
	for _, f := range feeds {
		all = append(all, &f.source)
		f.mu.Lock()
		for _, sub := range f.subs {
			if sub.source.owner != nil {
				all = append(all, sub.source)
			}
		}
		f.mu.Unlock()
	}
	return all
}

// shrink lets go of every message that is not needed here: what everybody has taken, and what nobody has taken, which
// the reader delivers again later. The caller holds feed.mu.
func (s *source) shrink() {
	if s.dropped || s.reader == nil || s.owner != nil && !s.settled {
		return
	}
	r := &s.ring
	low, high := s.cursors()
	if low > r.readable {
		r.strip(low - 1)
	}
	if s.owner == nil && s.feed.holders == 0 && r.next > r.readable {
		r.strip(r.next - 1) // acknowledged already, so it cannot come again: those who still wanted it are too slow
	} else if high < r.next {
		if s.owner == nil && s.feed.matcher != nil {
			s.cutQueues(high)
		}
		after := r.cut(high)
		s.passed = min(s.passed, after)
		s.reader.Discard(after)
		s.discards++
		s.feed.hub.metrics.discard()
		s.starve()
	}
	s.changed()
}

// cursors returns the lowest and the highest of those who read here. At a place of many topics those who do not hold have no say in
// what is lowest: the bytes that it would keep are those of all topics.
func (s *source) cursors() (low, high uint64) {
	if s.owner != nil {
		return s.owner.cursor, s.owner.cursor
	}
	r := &s.ring
	low, high = r.next, r.first
	for _, sub := range s.feed.subs {
		if !sub.active {
			continue
		}
		high = max(high, sub.cursor)
		if sub.hold || s.feed.matcher == nil {
			low = min(low, sub.head())
		}
	}
	// What is acknowledged cannot come again.
	high = max(high, r.floor)
	if s.feed.matcher == nil {
		for high < r.next && r.at(high).acked {
			high++
		}
		return low, high
	}
	for i := high; i < r.next; i++ {
		if e := r.at(i); e.acked && e.waits > 0 {
			high = i + 1
		}
	}
	return low, high
}

// cutQueues takes from the queues what is about to be cut from the shared ring. What is acknowledged does not come again: nobody holds it, so
// that only those miss it who do not hold.
func (s *source) cutQueues(from uint64) {
	for _, sub := range s.feed.subs {
		q := &sub.topics.queue
		for q.len() > 0 && q.at(q.len()-1).index >= from {
			x := q.at(q.len() - 1)
			q.cut()
			switch {
			case !sub.active:
				sub.topics.gone = max(sub.topics.gone, x.sequence)
			case s.ring.at(x.index).acked:
				s.feed.skipped(1)
			}
		}
	}
}

// starve notes that messages were refused or discarded for want of room in the budget. The caller holds feed.mu.
func (s *source) starve() {
	if s.starved {
		return
	}
	s.starved = true
	s.feed.hub.starving.Add(1)
	if s.owner == nil && s.feed.behind() {
		s.feed.shed()
	}
}

// hungry asks for a starving source whose subscription has come to the end of it. The caller holds feed.mu.
func (s *source) hungry() {
	if s.starved {
		s.feed.hub.wakeBudget()
	}
}

// wanted tells whether somebody waits for the next message of a starving source.
func (s *source) wanted() bool {
	if !s.starved {
		return false
	}
	if s.owner != nil {
		return s.owner.waiting
	}
	return len(s.feed.idle) > 0
}

// feedAgain lets the reader of a starving source deliver again. The caller holds feed.mu.
func (s *source) feedAgain() {
	if s.reader == nil {
		return // attached looks again
	}
	s.feedNoMore()
	if s.paused && s.ring.span() > s.limit()/2 {
		return // refill goes on
	}
	s.paused = false // what filled the source may have been discarded
	s.reader.Resume()
}

// unblock lets the shared source go on that starves and has nobody left for whom it would wait, see idles. The caller holds mu.
func (f *feed) unblock() {
	if f.holders == 0 && f.source.starved {
		f.source.feedAgain()
	}
}

// feedNoMore takes a source off those that wait.
func (s *source) feedNoMore() {
	if s.starved {
		s.starved = false
		s.feed.hub.starving.Add(-1)
	}
}
