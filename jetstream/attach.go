package jetstream

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
)

// Reader is one attached consumer.
type Reader = reader.Attached

// attachment is a reader that this bridge has open.
type attachment struct {
	*reader.Reader
	log    *Log
	key    attachmentKey // guarded by the log's mu once it is open
	closed chan struct{} // closed by Close when the consumer is deleted, or Attach when it failed
	// stays is the stream with which the reader stays although its topic has moved; nil: the topic's.
	stays atomic.Pointer[string]
}

// attachmentKey is the place, which has only a name for what is no topic's, and the name of the reader.
type attachmentKey struct {
	place tenant.Place
	name  string
}

// Close stops the deliveries and deletes the consumer; after it returns the sink is not called any more.
func (a *attachment) Close(ctx context.Context) error {
	err := a.Reader.Close(ctx)
	a.log.unreserve(a)
	return err
}

// Places are the shared and transient places with topics that a filter matches; dedicated tells whether dedicated topics may be
// among them.
func (l *Log) Places(filter string) (places []tenant.Place, dedicated bool) {
	return l.rules.places(filter)
}

// Attach opens a consumer on the stream of a place (creating it where needed) that starts after the
// newest message, or at sequence from where that is not 0, and returns once the consumer exists: every message
// stored from then on is delivered. Where the topic's creator has made a consumer for this bridge, it is adopted: then the reader
// says Adopted, and what was stored before the call is delivered too.
// name tells apart the consumers that one bridge has on one stream; "" is the shared one. The previous one of that name must
// be closed or closing. filters are those of the one session that a named consumer at a shared place is for: it delivers at least what
// they match; nil: everything. A place that is only the name of a stream is that stream, of a topic that has moved. A sink that is a reader.Chooser is asked about every message of a shared or transient place.
//
// A transient place has no stream: what is published from when Attach returns is delivered as long as NATS is there, and only the sink
// counts.
func (l *Log) Attach(ctx context.Context, place tenant.Place, name string, from uint64, filters []string, sink reader.Sink) (Reader, error) {
	if place.Stream == tenant.StreamTransient {
		return l.attachTransient(ctx, place, sink)
	}
	a, err := l.reserve(ctx, attachmentKey{place: place, name: name})
	if err != nil {
		return nil, refusal(err, 0)
	}
	var r *reader.Reader
	switch place.Stream {
	case "":
		r, err = l.attachFormer(ctx, place.Name, name, from, sink)
	case tenant.StreamShared:
		r, err = l.attachShared(ctx, place, name, from, filters, sink)
	default:
		r, err = l.attach(ctx, a, place.Name, name, from, sink)
	}
	if err != nil {
		l.unreserve(a)
		return nil, refusal(err, 0)
	}
	l.opened(a, r)
	return a, nil
}

func (l *Log) attach(ctx context.Context, a *attachment, topic, name string, from uint64, sink reader.Sink) (*reader.Reader, error) {
	missing := false
	for {
		t := l.register.topic(topic)
		if e, _, _ := t.look(); e.Live && e.Value.Moved {
			if from > 0 {
				return l.attachMoved(ctx, a, t, name, from, sink)
			}
			if stream, generation, ok := t.offered(); ok && name == "" {
				return l.adoptMoved(ctx, a, t, stream, generation, sink)
			}
		}
		if err := t.ready(ctx, missing); err != nil {
			return nil, err
		}
		t.touch()
		stream, generation, adopt := t.offered()
		if adopt = adopt && name == "" && from == 0; !adopt {
			stream = t.stream()
		}
		if stream == "" {
			continue
		}
		config := l.readerConfig(t.shard, stream, name)
		config.Reattach = func(ctx context.Context) (string, error) { return l.reattach(ctx, a, topic) }
		if adopt {
			config.Adopt, config.Start, config.Deliver = true, reader.StartAll, adoptedDeliver(l.store.config.Bridge, stream)
		}
		err := l.startAt(ctx, &config, from)
		var r *reader.Reader
		if err == nil {
			r, err = reader.Open(ctx, config, sink)
		}
		if missing = errors.Is(err, natsjs.ErrStreamNotFound); missing {
			continue
		}
		if err != nil {
			return nil, err
		}
		if adopt {
			// It has been there since before the topic was live: nobody removes that as unused.
			t.take(generation)
			return r, nil
		}
		held, err := l.holds(ctx, topic, stream)
		if err == nil && held {
			return r, nil
		}
		closeErr := r.Close(ctx)
		if err != nil {
			return nil, errors.Join(err, closeErr)
		}
	}
}

// startAt lets a consumer start at a sequence. One that is beyond the stream's end comes from a stream that was
// replaced: all of the new one came after it.
func (l *Log) startAt(ctx context.Context, config *reader.Config, from uint64) error {
	if from == 0 {
		return nil
	}
	stream, err := l.link.js.Stream(ctx, config.Stream)
	if err != nil {
		return err
	}
	state := stream.CachedInfo().State
	config.Start, config.From = reader.StartSequence, from
	if from > state.LastSeq+1 {
		config.Start = reader.StartAll
	}
	if state.Msgs > 0 {
		config.Size = int(state.Bytes / state.Msgs)
	}
	return nil
}

// holds reports whether the stream is the topic's, seen from a moment after its consumer was created: then nobody
// removes it as unused any more.
func (l *Log) holds(ctx context.Context, topic, stream string) (bool, error) {
	if err := l.register.settle(ctx); err != nil {
		return false, err
	}
	t := l.register.topic(topic)
	// A topic that somebody looks at whether it can go is waited for.
	if err := t.ready(ctx, false); err != nil {
		return false, err
	}
	return t.stream() == stream, nil
}

// reattach names the stream of a topic for a reader that lost its consumer.
func (l *Log) reattach(ctx context.Context, a *attachment, topic string) (string, error) {
	for {
		if stream := a.stays.Load(); stream != nil {
			return *stream, nil
		}
		t := l.register.topic(topic)
		if err := l.register.settle(ctx); err != nil {
			return "", err
		}
		if err := t.ready(ctx, false); err != nil {
			return "", err
		}
		stream := t.stream()
		if stream == "" {
			continue
		}
		t.touch()
		_, err := l.link.js.Stream(ctx, stream)
		if errors.Is(err, natsjs.ErrStreamNotFound) {
			if err := t.ready(ctx, true); err != nil {
				return "", err
			}
			continue
		}
		return stream, err
	}
}

func (l *Log) readerConfig(s *shard, stream, name string) reader.Config {
	bridge := l.store.config.Bridge
	return reader.Config{
		Conn:      s.conn,
		JetStream: l.link.js,
		Stream:    stream,
		Durable:   consumerName(bridge, name),
		Deliver:   deliverPrefix + bridge + "." + strconv.FormatUint(l.store.deliveries.Add(1), 10),
		Start:     reader.StartNew,
		Pace:      s.pace,
		Decode:    (&decoder{log: l}).decode,
		Log:       l.log,
		Metrics:   l.store.config.Reader,
	}
}

// consumerName is the name of a consumer of a bridge, or of a subscriber.
func consumerName(owner, name string) string {
	if !isSubscriber(owner) {
		owner = "b_" + owner
	}
	if name == "" {
		return owner
	}
	return owner + "_" + name
}

// ownedBy reports whether a consumer is one of the bridge, or of the subscriber.
func ownedBy(owner, consumer string) bool {
	rest, ok := strings.CutPrefix(consumer, consumerName(owner, ""))
	return ok && (rest == "" || rest[0] == '_')
}

// tryReserve returns the attachment of that name that is open, or being opened, if there is one.
func (l *Log) tryReserve(key attachmentKey) (own, other *attachment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if other = l.attachments[key]; other != nil {
		return nil, other
	}
	own = &attachment{log: l, key: key, closed: make(chan struct{})}
	l.attachments[key] = own
	return own, nil
}

// attached reports whether a topic's shared reader is open, or being opened.
func (l *Log) attached(topic string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.attachments[attachmentKey{place: tenant.Dedicated(topic)}] != nil
}

// readerOf returns the reader of an attachment, nil where it is not open yet.
func (l *Log) readerOf(a *attachment) *reader.Reader {
	l.mu.Lock()
	defer l.mu.Unlock()
	return a.Reader
}

// reserve waits until no other reader of that name is open.
func (l *Log) reserve(ctx context.Context, key attachmentKey) (*attachment, error) {
	for {
		a, other := l.tryReserve(key)
		if other == nil {
			return a, nil
		}
		select {
		case <-other.closed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (l *Log) opened(a *attachment, r *reader.Reader) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.Reader = r
	if stream := a.stays.Load(); stream != nil {
		l.retire(a, *stream)
	}
}

func (l *Log) unreserve(a *attachment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.attachments[a.key] == a {
		delete(l.attachments, a.key)
		close(a.closed)
	}
}
