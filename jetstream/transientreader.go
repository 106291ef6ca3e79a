package jetstream

import (
	"bytes"
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/jetstream/wire"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// transientReader delivers what is published to the topics of one transient rule as long as it is open and NATS is there. The connection's
// reading goroutine copies what comes into a backlog, and a goroutine of the reader's own delivers it. What has no room in the
// backlog, or with the sink, is dropped and counted: neither the connection nor a publisher ever waits for it.
type transientReader struct {
	// immutable
	log      *Log
	place    tenant.Place
	subjects []string
	conn     *wire.Conn
	changed  <-chan struct{} // a token when conn may have another state
	unwatch  func()
	sink     reader.Sink
	chooser  reader.Chooser // the sink, if it is one
	wake     chan struct{}  // holds one token; never closed
	// caughtUp takes whoever waits until everything that has come is with the sink; never closed.
	caughtUp chan chan struct{}
	stop     chan struct{} // closed by Close
	gone     chan struct{} // closed by run when it ends
	once     sync.Once     // guards stop

	// paused: what comes is dropped.
	paused   atomic.Bool
	discards atomic.Uint64 // calls of Discard

	// owned by run, and by attachTransient before
	epoch      uint64 // of the connection of the subscriptions
	subs       []*wire.Subscription
	batch      backlog // being delivered
	sequence   uint64  // of the last delivery
	complained time.Time

	mu      sync.Mutex
	arrived backlog
}

var _ reader.Attached = (*transientReader)(nil)

// attachTransient subscribes to the topics of a transient rule, and returns when the server has taken that up.
func (l *Log) attachTransient(ctx context.Context, place tenant.Place, sink reader.Sink) (Reader, error) {
	r := &transientReader{
		log: l, place: place, sink: sink,
		subjects: message.FilterSubjects(l.tenant, place.Name),
		conn:     l.link.shardOf(l.tenant, place.Name).conn,
		wake:     make(chan struct{}, 1),
		caughtUp: make(chan chan struct{}),
		stop:     make(chan struct{}),
		gone:     make(chan struct{}),
	}
	r.chooser, _ = sink.(reader.Chooser)
	r.changed, r.unwatch = r.conn.Watch()
	err := r.subscribe()
	if err == nil {
		err = r.conn.Flush(ctx, r.epoch)
	}
	if err != nil {
		r.unsubscribe()
		return nil, refusal(err, 0)
	}
	l.mu.Lock()
	l.transientReaders[r] = struct{}{}
	l.mu.Unlock()
	go r.run()
	return r, nil
}

// openTransient returns the readers of transient rules that are open.
func (l *Log) openTransient() []*transientReader {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*transientReader, 0, len(l.transientReaders))
	for r := range l.transientReaders {
		all = append(all, r)
	}
	return all
}

// Ack does nothing: nobody keeps the message.
func (r *transientReader) Ack(reader.Delivery) {}

// Discard stops delivering. What comes until Resume is dropped and counted.
func (r *transientReader) Discard(uint64) {
	r.discards.Add(1)
	r.paused.Store(true)
}

// Resume delivers what comes from now on.
func (r *transientReader) Resume() { r.paused.Store(false) }

// Window is without limit: the reader never waits for acknowledgements.
func (r *transientReader) Window() int { return math.MaxInt }

// Pending is nothing: no message is kept for the reader.
func (r *transientReader) Pending(context.Context) (messages, after uint64, err error) {
	return 0, 0, nil
}

// Adopted is false: nothing was kept for the reader before it was opened.
func (r *transientReader) Adopted() bool { return false }

// Close ends the subscription; after it returns the sink is not called any more. It must not be called from the sink.
func (r *transientReader) Close(context.Context) error {
	r.once.Do(func() { close(r.stop) })
	<-r.gone
	return nil
}

// run subscribes on each new connection and delivers, until Close.
func (r *transientReader) run() {
	defer close(r.gone)
	for {
		select {
		case <-r.changed:
			_ = r.subscribe() // where it fails, the connection is lost once more: another token comes
		case <-r.wake:
			r.deliver()
		case done := <-r.caughtUp:
			r.deliver()
			close(done)
		case <-r.stop:
			r.unsubscribe()
			r.log.mu.Lock()
			delete(r.log.transientReaders, r)
			r.log.mu.Unlock()
			return
		}
	}
}

// flush returns when everything that the server has sent is with the sink.
func (r *transientReader) flush(ctx context.Context) {
	if epoch, up := r.conn.State(); !up || r.conn.Flush(ctx, epoch) != nil {
		return
	}
	done := make(chan struct{})
	select {
	case r.caughtUp <- done:
		<-done
	case <-r.gone:
	case <-ctx.Done():
	}
}

// subscribe listens on the connection that is up, unless it does.
func (r *transientReader) subscribe() error {
	epoch, up := r.conn.State()
	if !up {
		return wire.ErrLost
	}
	if epoch == r.epoch {
		return nil
	}
	subs := make([]*wire.Subscription, 0, len(r.subjects))
	for _, subject := range r.subjects {
		sub, err := r.conn.Subscribe(epoch, subject, r.receive)
		if err != nil {
			return err
		}
		subs = append(subs, sub)
	}
	r.subs, r.epoch = subs, epoch
	return nil
}

// unsubscribe gives back what subscribe and attachTransient took on the connection.
func (r *transientReader) unsubscribe() {
	r.unwatch()
	for _, sub := range r.subs {
		sub.Unsubscribe()
	}
}

// receive is the callback of the subscriptions.
func (r *transientReader) receive(m *wire.Msg) {
	if len(m.Reply) > 0 {
		return // stored, or else its publisher is told so by silence
	}
	if r.paused.Load() {
		r.drop()
		return
	}
	r.mu.Lock()
	first := len(r.arrived.frames) == 0
	taken := r.arrived.add(m)
	r.mu.Unlock()
	switch {
	case !taken:
		r.drop()
	case first:
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// deliver hands everything that has arrived to the sink.
func (r *transientReader) deliver() {
	r.mu.Lock()
	r.arrived, r.batch = r.batch, r.arrived
	r.mu.Unlock()
	defer r.batch.reset()
	sorter := sorter{log: r.log, place: r.place, rules: r.log.rules.transient()}
	now := time.Now()
	r.batch.each(func(m *wire.Msg, behind int) bool {
		select {
		case <-r.stop:
			return false
		default:
		}
		topic, err := sorter.topic(m.Subject)
		switch {
		case err != nil:
			r.badSubject(m.Subject, err)
		case topic == "" || r.chooser != nil && !r.chooser.Wants(topic):
		case r.paused.Load():
			r.drop()
		default:
			r.hand(topic, m, behind, now)
		}
		return true
	})
}

// hand gives one message to the sink.
func (r *transientReader) hand(topic string, m *wire.Msg, behind int, now time.Time) {
	decoded := &message.Message{Topic: topic, Payload: bytes.Clone(m.Data), Stored: now}
	message.DecodeHeader(m.Header, decoded)
	r.sequence++
	d := reader.Delivery{
		Message: decoded, Sequence: r.sequence, Pending: uint64(behind), Size: m.Size(), Discards: r.discards.Load(),
	}
	if !r.sink.Deliver(d) {
		r.drop()
	}
}

// drop counts a message for which there was no room.
func (r *transientReader) drop() { r.log.store.metrics.transientOverflow.Inc() }

// badSubject counts a message that is not delivered, and logs one a second at most.
func (r *transientReader) badSubject(subject []byte, err error) {
	r.log.store.metrics.transientBadSubject.Inc()
	if now := time.Now(); now.Sub(r.complained) >= time.Second {
		r.complained = now
		r.log.log.Warn("message not delivered", zap.String("reason", string(reason.BadSubject)), zap.ByteString("subject", subject), zap.Error(err))
	}
}

// sorter tells which messages belong to a transient rule. A core subscription to the rule's subjects gets those of an earlier rule's topics as well,
// which are stored: they are delivered from there.
type sorter struct {
	log   *Log
	place tenant.Place
	rules []tenant.Policies // see transientPlace

	subject, name string // of the last message: as a rule the next one has the same
	err           error
}

// transientPlace is where a topic is by the first of the lists by which it is transient.
func transientPlace(lists []tenant.Policies, topic string) tenant.Place {
	for _, policies := range lists {
		if place := policies.Place(topic); place.Stream == tenant.StreamTransient {
			return place
		}
	}
	return tenant.Place{}
}

// topic returns the topic name that has the subject; empty: one of another rule.
func (s *sorter) topic(subject []byte) (string, error) {
	if string(subject) == s.subject {
		return s.name, s.err
	}
	s.subject, s.err = string(subject), nil
	var ok bool
	if s.name, ok = message.Topic(s.log.tenant, s.subject); !ok {
		s.name, s.err = "", errBadSubject
	} else if s.place != transientPlace(s.rules, s.name) {
		s.name = ""
	}
	return s.name, s.err
}
