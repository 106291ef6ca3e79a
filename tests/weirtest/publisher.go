package weirtest

import (
	"strconv"
	"strings"
	"testing"

	"github.com/weirmq/weir/codec"
)

// Publisher publishes on one topic of the demo tenant, one message at a time, and logs in again where a refusal has ended its
// connection.
type Publisher struct {
	t       testing.TB
	address string
	v       codec.Version
	topic   string
	client  *Client
}

// NewPublisher logs in.
func NewPublisher(t testing.TB, weir *Weir, v codec.Version, topic string) *Publisher {
	t.Helper()
	p := &Publisher{t: t, address: weir.MQTT(), v: v, topic: topic}
	p.login()
	return p
}

func (p *Publisher) login() {
	p.t.Helper()
	p.client = Login(p.t, p.address, p.v, "publisher on "+p.topic+" at "+p.address, "demo/device", "demo")
}

// Publish reports whether the message was taken, and the reason string where it was not and the protocol has one. Anything else than
// yes or a quota that is exceeded fails the test.
func (p *Publisher) Publish(payload string) (taken bool, refusal string) {
	p.t.Helper()
	p.client.Send(&codec.Publish{QoS: 1, PacketID: 1, Topic: []byte(p.topic), Payload: []byte(payload)})
	packet, err := p.client.Read()
	if err != nil && p.v != codec.V5 && Closed(err) {
		p.login()
		return false, ""
	}
	if err != nil {
		p.t.Fatal(err)
	}
	ack, ok := packet.(*codec.Ack)
	switch {
	case ok && ack.Kind == codec.PUBACK && (ack.Code == codec.Success || ack.Code == codec.NoMatchingSubscribers):
		return true, ""
	case ok && ack.Kind == codec.PUBACK && ack.Code == codec.QuotaExceeded:
		return false, ack.ReasonString
	}
	p.t.Fatalf("received %+v", packet)
	return false, ""
}

// MustPublish publishes the numbers, the last one excluded.
func (p *Publisher) MustPublish(from, to int) {
	p.t.Helper()
	for i := from; i < to; i++ {
		if taken, refusal := p.Publish(strconv.Itoa(i)); !taken {
			p.t.Fatalf("message %d on %s is refused: %s", i, p.topic, refusal)
		}
	}
}

// MustRefuse expects a refusal whose reason string, where there is one, has the texts.
func (p *Publisher) MustRefuse(texts ...string) {
	p.t.Helper()
	taken, refusal := p.Publish("refused")
	if taken {
		p.t.Fatalf("a message on %s is taken", p.topic)
	}
	for _, text := range texts {
		if p.v == codec.V5 && !strings.Contains(refusal, text) {
			p.t.Errorf("%q does not say %s", refusal, text)
		}
	}
}
