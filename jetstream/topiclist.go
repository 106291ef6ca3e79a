package jetstream

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/follow"
)

// topicList are the topics of a shared rule that may have so many and no more. They are the messages of a stream, one for each topic, as
// many as the limit, so that JetStream decides who gets the last place. A rule without a limit has no list.
//
// A topic is listed when a bridge first uses it. Its message ends after twice TopicIdle; a bridge that uses the topic after half of that time
// renews it.
type topicList struct {
	// immutable
	rule   *shared
	stream string
	ttl    time.Duration // of the messages
	slots  chan struct{} // of those who write
	work   chan struct{} // held, as a slot, by whoever makes the stream from this bridge
	ctx    context.Context
	cancel context.CancelFunc

	limit   atomic.Int64
	existed atomic.Bool // the stream has been seen

	mu      sync.RWMutex
	topics  map[string]*listedTopic // by name: no more than the limit, and those of which it is not known yet that they have gone
	kept    map[string]int          // how often each is subscribed to at this bridge
	flights map[string]*flight      // those that are being listed
	copy    *follow.Copy[string]    // nil before the first use
	closed  bool
}

// listedTopic is immutable but for asked.
type listedTopic struct {
	list     *topicList
	name     string
	sequence uint64
	since    time.Duration // when it was listed, since the store's start
	asked    atomic.Int64  // when it was last to be renewed, likewise; 0: not yet
}

const (
	// maxListing is how many topics of a rule this bridge lists at a time.
	maxListing = 16
	// renewPause is when a renewal is tried again.
	renewPause = time.Second
)

func newTopicList(s *shared, limit int64) *topicList {
	store := s.log.store
	t := &topicList{
		rule:    s,
		stream:  s.log.names.listStream(s.name),
		ttl:     wholeSeconds(2 * store.config.TopicIdle),
		slots:   make(chan struct{}, maxListing),
		work:    make(chan struct{}, 1),
		topics:  make(map[string]*listedTopic),
		kept:    make(map[string]int),
		flights: make(map[string]*flight),
	}
	t.ctx, t.cancel = context.WithCancel(store.ctx)
	t.limit.Store(limit)
	return t
}

// wholeSeconds rounds up to what JetStream takes for a TTL.
func wholeSeconds(d time.Duration) time.Duration {
	return max((d + time.Second - 1).Truncate(time.Second), time.Second)
}

// follow returns the copy of the list, which begins with the first call. It is nil where the list is closed.
func (t *topicList) follow() *follow.Copy[string] {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.copy != nil || t.closed {
		return t.copy
	}
	l := t.rule.log
	if !l.store.spawn(t.keepRenewed) {
		return nil
	}
	t.copy = follow.Start(l.link.nc, l.link.js, follow.Config[string]{
		Stream: t.stream,
		Ensure: t.ensure,
		Decode: t.decode,
		Change: t.change,
		Expire: true,
		Log:    l.log,
	})
	return t.copy
}

// close ends the list at this bridge. What is being listed fails.
func (t *topicList) close() {
	t.cancel()
	t.mu.Lock()
	t.closed = true
	c := t.copy
	t.mu.Unlock()
	if c != nil {
		c.Close()
	}
}

func (t *topicList) decode(subject string, _ nats.Header, data []byte) (topic string, live bool) {
	l := t.rule.log
	var p presence
	err := json.Unmarshal(data, &p)
	if err == nil && p.Topic != "" && l.names.listSubject(t.rule.name, p.Topic) == subject {
		return p.Topic, true
	}
	l.log.Warn("entry of a list of topics is not readable", zap.String("subject", subject), zap.Error(err))
	return "", false
}

// change runs on the copy's goroutine.
func (t *topicList) change(_ string, before, after follow.Entry[string]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e := t.topics[before.Value]; {
	case after.Live:
		t.topics[after.Value] = &listedTopic{
			list: t, name: after.Value, sequence: after.Sequence, since: after.Stored.Sub(t.rule.log.store.started),
		}
	case e != nil && e.sequence == before.Sequence:
		delete(t.topics, before.Value)
	}
}

// find returns a topic of the list, nil where this bridge does not know it.
func (t *topicList) find(topic []byte) *listedTopic {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.topics[string(topic)]
}

// forget takes a topic out that turned out not to be listed any more.
func (t *topicList) forget(e *listedTopic) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e != nil && t.topics[e.name] == e {
		delete(t.topics, e.name)
	}
}

func (e *listedTopic) age() time.Duration {
	return time.Since(e.list.rule.log.store.started) - e.since
}

// over reports whether more topics are known than there can be: some of them have expired, or with replicas lost their place when they
// were to be renewed.
func (t *topicList) over() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return int64(len(t.topics)) > t.limit.Load()
}

// use reports whether the topic is listed for certain, and has it renewed in the background when it is time for that. It does not block.
func (e *listedTopic) use() bool {
	t, age := e.list, e.age()
	if age < t.ttl/2 {
		return true
	}
	if age >= t.ttl/4*3 || t.over() {
		return false
	}
	asked, now := e.asked.Load(), int64(e.since+age)
	if asked == 0 || now-asked >= int64(renewPause) {
		select {
		case t.slots <- struct{}{}:
			e.asked.Store(now)
			if t.fly(e.name, true) == nil {
				<-t.slots
			}
		default: // so many are at it that there is time
		}
	}
	return true
}
