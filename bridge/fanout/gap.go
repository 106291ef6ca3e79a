package fanout

import (
	"context"

	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/reader"
)

// gap is what a detached subscription holds, and nobody has counted because there were no bounds when it was stored: it lies in the stream
// between what the subscription's source has delivered and what the shared one delivers from now on. Guarded by feed.mu.
type gap struct {
	open  bool
	until uint64 // sequence of the newest that may be in it
	from  uint64 // all those that count come after that sequence
	count int64  // of those that have not come; 0: it is not known
	size  int64  // bytes of one, as a guess
	after account
}

func (g *gap) messages() int64 { return g.count + g.after.messages }
func (g *gap) bytes() int64    { return g.count*g.size + g.after.bytes }

// arrive takes note of a message while there is a gap, and tells whether it comes before what is after the gap.
func (h *holding) arrive(sequence uint64, own bool) (before bool) {
	g := &h.gap
	if sequence > g.until && own { // the gap has been delivered
		h.join(g.after)
		h.gap = gap{}
		return true
	}
	if own && sequence > max(g.from, h.newest) {
		g.count = max(g.count-1, 0)
	}
	return own
}

// bind looks again at the bounds of the place, and has all subscriptions keep them.
func (f *feed) bind() {
	f.mu.Lock()
	defer f.mu.Unlock()
	messages, bytes, ok := f.log.Hold(f.place)
	now := bounds{messages, bytes}
	if !ok || now == f.bounds || f.ending {
		return
	}
	f.bounds = now
	for _, sub := range f.subs {
		if !f.bounded() {
			sub.held = nil
			continue
		}
		fresh := sub.held == nil
		f.account(sub)
		if own := sub.source; fresh && sub.held != nil && own.owner != nil {
			sub.leaveGap()
		}
		sub.letGo()
	}
	if f.bounded() && f.behind() {
		f.shed()
	}
	f.unblock()
}

// leaveGap notes that there may be messages between the two sources.
func (s *Subscription) leaveGap() {
	h, shared := s.held, &s.feed.source.ring
	h.seen = max(s.source.ring.newest(), s.last.Sequence)
	if shared.newest() <= h.seen {
		return
	}
	own := s.source
	size := own.large
	if r := &own.ring; r.next > r.readable {
		size = r.bytes / int64(r.next-r.readable)
	}
	h.gap = gap{open: true, until: shared.newest(), size: size}
	s.feed.hub.work.Go(func() { s.feed.survey(s, h, own.reader) })
}

// survey asks the server how many messages there are in a gap.
func (f *feed) survey(sub *Subscription, h *holding, r reader.Attached) {
	for f.hub.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(f.hub.ctx, attachTimeout)
		pending, from, err := r.Pending(ctx)
		cancel()
		f.mu.Lock()
		over := sub.held != h || sub.closed || !h.gap.open
		if err == nil && !over {
			h.gap.from = from
			h.gap.count = max(0, int64(pending)-int64(len(h.items)-h.find(from+1))-h.gap.after.messages)
			sub.letGo()
			over = true
		}
		f.mu.Unlock()
		if over {
			return
		}
		f.hub.log.Warn("fanout: what a slow subscription holds cannot be counted", zap.String("place", f.place.Name), zap.Error(err))
		f.hub.pause(detachRetry)
	}
}
