package fanout

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// Waits of the hub's goroutines for JetStream.
const (
	attachTimeout = 10 * time.Second
	closeTimeout  = 5 * time.Second
)

// feed is one place with all its subscriptions.
type feed struct {
	// Immutable.
	hub   *Hub
	log   Log
	place tenant.Place // zero: an error topic
	// transient: nothing is stored, so that nothing can be held.
	transient bool
	ready     chan struct{} // closed by attach, when err is set
	ended     chan struct{} // closed by end, when everything is closed

	// guarded by ready
	err     error
	adopted bool // the reader has taken over a consumer, with everything since the topic was created

	mu     sync.Mutex
	source source // the shared one
	subs   []*Subscription
	bounds bounds
	// matcher finds who wants a message of a place of many topics; nil: all want all.
	matcher *matcher
	// holders counts the subscriptions that hold and read from the shared source: a new entry waits for them.
	holders int32
	// joining have not come to their first message in the shared source; ascending by after.
	joining []*Subscription
	// idle have found nothing in the shared source and want to be woken.
	idle     []*Subscription
	retired  uint64 // the move by which the topic went elsewhere, since when it may have another feed; 0: none
	ending   bool   // the last subscription has left; none joins any more
	shedding bool   // a goroutine is detaching those that are behind
	calm     bool   // since that began nobody was behind for a moment
	keeping  bool   // the session has left, and what it has not acknowledged stays for its return

	asking, waiting *flight // requests for the last sequence: under way, and next

	waking []*Subscription // whom the last delivery wakes; owned by the shared reader's goroutine
}

func (h *Hub) newFeed(place tenant.Place, log Log) *feed {
	f := &feed{hub: h, log: log, place: place, ready: make(chan struct{}), ended: make(chan struct{}), bounds: unbounded}
	f.source.feed, f.source.window = f, maxHeld
	if place.Stream == tenant.StreamShared || place.Stream == tenant.StreamTransient {
		f.matcher, f.source.window = &matcher{}, manyHeld
	}
	f.transient = place.Stream == tenant.StreamTransient
	return f
}

// attach opens the shared reader. It runs on a goroutine of its own.
func (f *feed) attach(open func(context.Context) (reader.Attached, error)) {
	ctx, cancel := context.WithTimeout(f.hub.ctx, attachTimeout)
	defer cancel()
	r, err := open(ctx)
	f.mu.Lock()
	f.err, f.adopted = err, err == nil && r.Adopted() && !f.hub.keep
	close(f.ready)
	if err != nil {
		f.ending = true
		f.closeSubscriptions()
		f.mu.Unlock()
		f.hub.gone(f)
		close(f.ended)
		return
	}
	f.source.attached(r)
	ending, watching := f.ending, f.watching()
	f.mu.Unlock()
	f.hub.opened(f)
	tell(watching)
	if ending {
		f.end()
	}
}

// watching lists the subscriptions that their sessions do not know yet. The caller holds mu.
func (f *feed) watching() (all []*Subscription) {
	for _, sub := range f.subs {
		if sub.watched {
			all = append(all, sub)
		}
	}
	return all
}

// tell hands subscriptions to their sessions.
func tell(subs []*Subscription) {
	for _, sub := range subs {
		sub.member.session.Opened(sub)
	}
}

// matches tells whether a filter with wildcards matches a dedicated topic's feed.
func (f *feed) matches(name string) bool {
	return f.place.Stream == tenant.StreamDedicated && filter.Match(name, f.place.Name)
}

// skipped counts messages that a subscription did not get.
func (f *feed) skipped(n uint64) {
	why := reason.SlowSubscriber
	if f.transient {
		why = reason.TransientOverflow
	}
	f.hub.metrics.skip(why, n)
}

// wait returns when the shared reader is open.
func (f *feed) wait(ctx context.Context) error {
	select {
	case <-f.ready:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// leaving tells that the last subscription has left.
func (f *feed) leaving() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ending
}

// end closes the shared reader after the last subscription has left.
func (f *feed) end() {
	ctx, cancel := context.WithTimeout(f.hub.ctx, closeTimeout)
	defer cancel()
	if err := f.source.reader.Close(ctx); err != nil {
		f.hub.log.Warn("fanout: closing reader", zap.String("place", f.place.Name), zap.Error(err))
	}
	f.mu.Lock()
	f.source.clear()
	f.mu.Unlock()
	f.hub.gone(f)
	close(f.ended)
}

// add finds the subscription of m, or makes one: tentative where what it has to see is not known yet, watched where it is made for a
// filter with wildcards. It returns nil where the feed is ending, and where a watched one comes too late to see everything.
func (f *feed) add(m *Member, hold, tentative, watched bool) *Subscription {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ending {
		return nil
	}
	sub := m.find(f)
	if sub == nil {
		if watched && f.source.reader != nil {
			return nil
		}
		sub = &Subscription{
			feed: f, member: m, hold: hold, tentative: tentative, source: &f.source, place: int32(len(f.subs)), resting: -1,
		}
		f.subs = append(f.subs, sub)
		m.put(sub)
		f.account(sub)
		if f.matcher != nil {
			sub.topics = newTopics()
		} else if f.source.reader == nil {
			sub.enter(0)
		}
	}
	if f.matcher != nil {
		return sub // until it has a filter it sees nothing
	}
	if hold {
		sub.raise()
	}
	sub.tentative = sub.tentative && tentative
	sub.watched = sub.watched || watched
	return sub
}

// begin lets a subscription that is still tentative begin with the first message after a stream sequence.
func (f *feed) begin(sub *Subscription, after uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if sub.closed || !sub.tentative {
		return
	}
	if sub.source.owner != nil {
		sub.source.drop()
		sub.source = &f.source
	}
	asked := sub.resting >= 0 || sub.waiting
	sub.leave()
	sub.last = place{f.source.ring.stream, after} // for a source of its own that is being made
	f.await(sub, after)
	sub.held = nil
	f.account(sub)
	if asked {
		sub.rest() // its session waits to be woken
	}
}

// await makes a subscription start at the first entry still to come that has a sequence above after.
func (f *feed) await(sub *Subscription, after uint64) {
	r := &f.source.ring
	sub.cursor = r.next
	if r.next > r.first && after <= r.at(r.next-1).d.Sequence {
		sub.enter(r.next)
		return
	}
	sub.after, sub.joining = after, true
	i := len(f.joining)
	for i > 0 && f.joining[i-1].after > after {
		i--
	}
	f.joining = slices.Insert(f.joining, i, sub)
}

// admit lets in those whose first message this is. Where the stream was replaced it is everybody's.
func (f *feed) admit(d *reader.Delivery) {
	r := &f.source.ring
	renewed := d.Stream != r.stream && r.stream != ""
	n := 0
	for n < len(f.joining) && (renewed || f.joining[n].after < d.Sequence) {
		f.joining[n].enter(r.next)
		n++
	}
	if n > 0 {
		f.joining = slices.Delete(f.joining, 0, n)
	}
}

// remove takes a subscription out, and ends the feed with the last one. The caller holds mu.
func (f *feed) remove(sub *Subscription) {
	sub.member.remove(sub)
	last := f.subs[len(f.subs)-1]
	f.subs[sub.place], last.place = last, sub.place
	f.subs[len(f.subs)-1] = nil
	f.subs = f.subs[:len(f.subs)-1]
	if len(f.subs) > 0 || f.ending {
		return
	}
	f.ending = true
	select {
	case <-f.ready: // else attach ends it
		f.hub.work.Go(f.end)
	default:
	}
}

// closeAll closes every subscription.
func (f *feed) closeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closeSubscriptions()
}

func (f *feed) closeSubscriptions() {
	for len(f.subs) > 0 {
		f.subs[len(f.subs)-1].close()
	}
}

// flight is one request for the topic's last sequence, shared by all who asked before it began.
type flight struct {
	done     chan struct{} // closed by ask
	sequence uint64
	err      error
}

// lastSequence returns a last sequence determined after the call.
func (f *feed) lastSequence(ctx context.Context) (uint64, error) {
	f.mu.Lock()
	if f.waiting == nil {
		f.waiting = &flight{done: make(chan struct{})}
	}
	fl := f.waiting
	if f.asking == nil {
		f.asking, f.waiting = fl, nil
		f.hub.work.Go(f.ask)
	}
	f.mu.Unlock()
	select {
	case <-fl.done:
		return fl.sequence, fl.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// ask carries out flights until none waits.
func (f *feed) ask() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.asking != nil {
		fl := f.asking
		f.mu.Unlock()
		ctx, cancel := context.WithTimeout(f.hub.ctx, attachTimeout)
		fl.sequence, fl.err = f.log.LastSequence(ctx, f.place)
		cancel()
		close(fl.done)
		f.mu.Lock()
		f.asking, f.waiting = f.waiting, nil
	}
}
