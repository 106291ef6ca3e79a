package bridge

import (
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/quota"
	"github.com/weirmq/weir/reason"
)

// stepPublish checks one PUBLISH. Where nothing is wrong with it the effect is to store it.
func (s *session) stepPublish(h codec.Header, body []byte) effect {
	p := &s.publish
	if err := p.Decode(h, body, s.version); err != nil {
		return s.malformed(err)
	}
	switch {
	case p.QoS == 2:
		return s.endPublish(reason.QoSUnsupported, "QoS 2 is not served [MQTT-3.2.2-11]")
	case p.Retain:
		return s.endPublish(reason.RetainUnsupported, "RETAIN is not served [MQTT-3.2.2-14]")
	case p.Properties.HasTopicAlias:
		return s.endPublish(reason.TopicAlias, "the Topic Alias Maximum is 0 [MQTT-3.3.2-9]")
	case len(p.Properties.SubscriptionIDs) > 0:
		return s.endPublish(reason.ProtocolError, "a subscription identifier from a client [MQTT-3.3.4-6]")
	case p.QoS == 1 && s.in.unacked >= receiveMaximum:
		return s.endPublish(reason.ReceiveMaximum, "more than 1024 publishes without an acknowledgement [MQTT-3.3.4-7]")
	}
	if err := quota.Topic(s.limits, s.tenant, p.Topic); err != nil {
		return s.refusePublish(refused(err))
	}
	to, err := s.recipient(p)
	if err != nil {
		return s.refusePublish(refused(err))
	}
	return effect{publish: p, to: to}
}

// endPublish refuses the PUBLISH that was decoded last by ending the connection.
func (s *session) endPublish(r reason.Reason, message string) effect {
	err := reason.New(r, message)
	return effect{
		fault: s.publishFault(err, string(s.publish.Topic), s.publish.PacketID),
		end:   &ending{Error: err, reported: true},
	}
}

// refusePublish refuses the PUBLISH that was decoded last: nothing of it was stored.
func (s *session) refusePublish(err *reason.Error) effect {
	p := &s.publish
	e := effect{fault: s.publishFault(err, string(p.Topic), p.PacketID)}
	if p.QoS > 0 {
		s.in.pushRefused(p.PacketID, err)
		e.end = s.answered(err)
	}
	return e
}

// published takes the answer to one publish. Where the outcome is unknown, until is when the connection has to end;
// otherwise it is zero.
func (s *session) published(token uint64, r publisher.Result) (e effect, until time.Time) {
	switch r.Outcome {
	case publisher.Stored:
		recycleMessage(s.in.answer(token, nil))
		s.counts.published++
		s.metrics.stored.Inc()
		e.end = s.answered(nil)
	case publisher.Unknown:
		_, sent := s.in.abandon(token)
		s.in.halted = true
		s.counts.refused++
		s.metrics.publishes.WithLabelValues(string(reason.PublishUnknown)).Inc()
		until = sent.Add(unknownPatience)
	default:
		err := refused(r.Err)
		if err.Reason == reason.NATSUnavailable && s.in.qos(token) > 0 {
			// Not the client's fault and soon over: no answer, so that it sends the message again.
			s.in.abandon(token)
			s.in.halted = true
			e.end = &ending{Error: err}
			break
		}
		m := s.in.answer(token, err)
		e.fault = s.publishFault(err, m.Topic, m.PacketID)
		if m.QoS > 0 {
			e.end = s.answered(err)
		} else {
			e.end = s.answered(nil)
		}
	}
	return e, until
}

// publishFault counts a refused publish.
func (s *session) publishFault(err *reason.Error, topic string, packetID uint16) *fault {
	s.counts.refused++
	s.metrics.publishes.WithLabelValues(string(err.Reason)).Inc()
	return &fault{Error: err, packet: codec.PUBLISH, topic: topic, packetID: packetID}
}

// answered sends what has become ready at the head of the FIFO, after one more publish got its answer: refusal, or
// nil. In 3.x a refused QoS 1 publish stops all publishing at once and ends the connection when it has come to the head:
// those before it are acknowledged, those behind it never.
func (s *session) answered(refusal *reason.Error) *ending {
	if refusal != nil && s.version != codec.V5 {
		s.in.halted = true
	}
	for {
		one, ok := s.in.head()
		if !ok {
			return nil
		}
		if one.packetID == 0 {
			continue
		}
		if one.refusal != nil && s.version != codec.V5 {
			return &ending{Error: one.refusal, reported: true}
		}
		s.puback(one.packetID, one.refusal)
	}
}

func (s *session) puback(packetID uint16, refusal *reason.Error) {
	s.ack = codec.Ack{Kind: codec.PUBACK, PacketID: packetID}
	if refusal != nil {
		s.ack.Code = pubackCode(refusal.Reason)
		s.ack.ReasonString = s.reasonString(refusal)
	}
	if !s.box.append(&s.ack) {
		s.ack.ReasonString = ""
		s.box.append(&s.ack)
	}
}
