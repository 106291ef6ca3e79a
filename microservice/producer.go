package microservice

import (
	"context"
	"encoding/base64"
	"strings"
	"time"

	topicfilter "github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/microservice/frame"
	"github.com/weirmq/weir/quota"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// storeTimeout bounds one wait for JetStream on behalf of a frame.
const storeTimeout = 10 * time.Second

// frameEnvelope is how many bytes a frame may have besides the MQTT packet that it stands for.
const frameEnvelope = 4 << 10

// numberBytes is in how many bytes at its beginning a frame that is too large tells its number.
const numberBytes = 4 << 10

// producer is a socket that publishes.
type producer struct {
	*socket

	// set by open, then immutable
	log   *jetstream.Log
	topic []byte // for which the token is; nil: each frame has a topic, which matches the token's filter

	// guarded by mu
	in      inbound
	unknown *time.Timer // ends the socket
}

func (p *producer) open(ctx context.Context) (err error) {
	if _, ok := p.encoding.(frame.Avro); ok {
		if topicfilter.HasWildcards(p.grant.Subscription) || p.grant.Subscription[0] == '$' {
			return reason.New(reason.TopicInvalid, "a producer's token is for one topic")
		}
		p.topic = []byte(p.grant.Subscription)
	}
	p.log, err = p.owner.Log(ctx, p.grant.Tenant)
	return err
}

func (p *producer) ready() bool { return p.box.room() && p.in.room() }

func (p *producer) limit() int {
	return base64.StdEncoding.EncodedLen(int(p.limits.Load().MessageBytes)+frameEnvelope) + frameEnvelope
}

// take publishes the message of one frame.
func (p *producer) take(text []byte) {
	f, err := p.encoding.ParsePublish(text)
	if err == nil {
		err = p.admit(f.Message)
	}
	if err == nil {
		err = p.publish(f.Seq, f.Message)
	}
	if err != nil {
		p.answerRefused(f, refused(err))
	}
}

// refuse names the frame in the answer where its beginning tells the number: whoever published it waits for that.
func (p *producer) refuse(start []byte, err *reason.Error) {
	seq, ok := p.encoding.Number(start[:min(len(start), numberBytes)])
	p.answerRefused(frame.Publish{Seq: seq, HasSeq: ok}, err)
}

// admit checks a message, and completes it.
func (p *producer) admit(m *message.Message) error {
	limits := *p.limits.Load()
	switch {
	case p.topic != nil:
		m.Topic = p.grant.Subscription
	case strings.ContainsAny(m.Topic, "+#\x00"):
		return reason.New(reason.TopicInvalid, "a topic name has no wildcards and no U+0000 [MQTT-3.3.2-2]")
	}
	if err := quota.Topic(limits, p.grant.Tenant, m.Topic); err != nil {
		return err
	}
	if p.topic == nil && !topicfilter.Match(p.grant.Subscription, m.Topic) {
		return reason.New(reason.TopicForbidden, "the token is for other topics")
	}
	if err := quota.ClientID(limits, m.To); err != nil {
		return err
	}
	m.QoS, m.User, m.Role = 1, p.grant.User, string(tenant.RoleApplication)
	return quota.Packet(limits, packetSize(m))
}

// publish hands a message to the message log. An error is a refusal: nothing of the message was stored.
func (p *producer) publish(seq uint64, m *message.Message) error {
	name := p.topic
	if name == nil {
		name = []byte(m.Topic)
	}
	route, topic := p.log.Lookup(name)
	if route == nil {
		ctx, cancel := context.WithTimeout(p.ctx, storeTimeout)
		defer cancel()
		var err error
		if route, err = p.log.Topic(ctx, topic); err != nil {
			return err
		}
	}
	if route.Wait(p.ctx) != nil {
		return nil // the socket has ended
	}
	m.Topic = topic
	size := len(m.Payload) + len(topic) + messageOverhead
	// Under mu, so that whoever is told that an earlier publish is lost knows that no later one is still on its way: it would be
	// stored before the producer sends the earlier one again.
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.in.halted && p.ended == nil {
		route.Publish(m, p, p.in.push(seq, size, time.Now()))
	}
	return nil
}

// answerRefused answers a frame that is refused, behind the answers to those before it.
func (p *producer) answerRefused(f frame.Publish, err *reason.Error) {
	p.mu.Lock()
	p.in.pushRefused(f.Seq, f.HasSeq, err)
	p.answered()
	p.mu.Unlock()
	p.signal()
}

// Published takes the answer to one publish, on a goroutine of the publisher.
func (p *producer) Published(token uint64, r publisher.Result) {
	p.mu.Lock()
	switch r.Outcome {
	case publisher.Stored:
		p.in.answer(token, nil)
	case publisher.Unknown:
		until := p.in.abandon(token).Add(unknownPatience)
		if p.unknown == nil && p.ended == nil {
			p.unknown = time.AfterFunc(time.Until(until), func() {
				p.end(endFor(reason.PublishUnknown, "the message store did not answer in time; send the message again"))
			})
		}
	default:
		p.in.answer(token, refused(r.Err))
	}
	p.answered()
	p.changed.Broadcast()
	p.mu.Unlock()
	p.signal()
}

// answered moves the answers that are at the head of the FIFO to the outbox. The caller holds mu.
func (p *producer) answered() {
	for {
		one, ok := p.in.head()
		if !ok {
			return
		}
		p.box.add(func(dst []byte) []byte {
			switch {
			case one.refusal == nil:
				return p.encoding.AppendStored(dst, one.seq)
			case one.numbered:
				return frame.AppendRefused(dst, one.seq, one.refusal)
			default:
				return frame.AppendError(dst, one.refusal)
			}
		})
		p.count(one.refusal)
	}
}

func (p *producer) count(refusal *reason.Error) {
	if refusal == nil {
		p.counts.messages.Add(1)
		p.owner.Metrics.in.Inc()
		return
	}
	p.counts.refused.Add(1)
	p.owner.Metrics.refused(refusal.Reason)
}

// fill has nothing to write: a producer gets answers only.
func (p *producer) fill() (bool, error) { return false, nil }

// drain waits for the answers where the end wants them.
func (p *producer) drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended.drain {
		return
	}
	stop := context.AfterFunc(p.owner.base, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.changed.Broadcast()
	})
	defer stop()
	for p.in.waiting > 0 && p.owner.base.Err() == nil {
		p.changed.Wait()
	}
}

func (p *producer) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unknown != nil {
		p.unknown.Stop()
	}
}

// packetSize is how many bytes the MQTT 5 packet has that a message would come in.
func packetSize(m *message.Message) int64 {
	properties := 0
	if m.HasPayloadFormat {
		properties += 2
	}
	for _, one := range [][]byte{m.ContentType, m.ResponseTopic, m.CorrelationData} {
		if one != nil {
			properties += 3 + len(one)
		}
	}
	for i := range m.UserProperties {
		properties += 5 + len(m.UserProperties[i].Name) + len(m.UserProperties[i].Value)
	}
	body := 2 + len(m.Topic) + 2 + varintSize(properties) + properties + len(m.Payload)
	return int64(1 + varintSize(body) + body)
}

// varintSize is how many bytes a Variable Byte Integer has, a length for example.
func varintSize(n int) (size int) {
	for size = 1; n >= 128; n >>= 7 {
		size++
	}
	return size
}
