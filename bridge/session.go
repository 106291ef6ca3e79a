package bridge

import (
	"fmt"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/quota"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// session is the MQTT state of one connection after CONNECT, a clean session that ends with it. It has neither I/O nor a
// clock: it takes a packet, or the time where that matters, answers into its outbox, and returns what else is to be done.
// The connection's mu guards all of it.
type session struct {
	// immutable
	version    codec.Version
	clientID   string
	tenant     string
	role       tenant.Role
	problems   bool // the client wants reason strings
	expiry     bool // CONNECT asked for a session expiry, which was answered with 0
	receiveMax uint16

	limits tenant.Limits

	in   inbound
	out  outbound
	box  outbox
	subs subscriptions

	counts  counts
	metrics *Metrics

	// packets used again and again, so that the path of every message does not allocate
	publish codec.Publish
	ack     codec.Ack
	deliver codec.Publish
}

// counts is what one connection did, for its last log line.
type counts struct{ published, refused, delivered, dropped uint64 }

// effect is what a session wants done besides what it appended to its outbox. At most one field is set,
// but for fault and to.
type effect struct {
	publish     *codec.Publish // store it; valid until the next packet
	to          string         // with publish: deliver it to this client identifier only; empty: to all
	subscribe   *codec.Subscribe
	unsubscribe *codec.Unsubscribe
	end         *ending
	fault       *fault // to be counted and reported, beside whatever else
}

// ending is why a connection ends.
type ending struct {
	*reason.Error
	// silent leaves DISCONNECT out, because the client has gone already.
	silent bool
	// drain waits for the answers to the client's publishes first.
	drain bool
	// reported says that the client's error topic has it already.
	reported bool
}

// fault is something that a client was refused or did not get.
type fault struct {
	*reason.Error
	packet   codec.Type
	topic    string
	packetID uint16
}

func newSession(c *codec.Connect, clientID, tenantName string, role tenant.Role, l tenant.Limits, m *Metrics) session {
	s := session{
		version:    c.Version,
		clientID:   clientID,
		tenant:     tenantName,
		role:       role,
		problems:   c.Version == codec.V5 && !c.Properties.NoProblemInfo,
		expiry:     c.Properties.SessionExpiry > 0,
		receiveMax: c.Properties.ReceiveMaximum,
		box:        outbox{version: c.Version, limit: int(c.Properties.MaximumPacketSize), sent: &m.sent},
		subs:       newSubscriptions(),
		metrics:    m,
	}
	s.setLimits(l)
	return s
}

// setLimits puts changed limits in force. What CONNACK announced stays as it was announced.
func (s *session) setLimits(l tenant.Limits) {
	s.limits = l
	s.out.limit = quota.Inflight(l, s.receiveMax)
}

// ready tells whether the session can take a packet with header h now. Where it cannot, the connection waits.
func (s *session) ready(h codec.Header) bool {
	if h.Type == codec.DISCONNECT {
		return true // it has no answer, and who has left wants no will
	}
	if !s.box.room() || s.in.halted {
		return false
	}
	if h.Type != codec.PUBLISH {
		return true
	}
	// In 5 too many publishes are a fault; in 3.x, where nobody can tell the client, it waits.
	return s.in.room() && (s.version == codec.V5 || s.in.unacked < receiveMaximum)
}

// step takes one packet.
func (s *session) step(h codec.Header, body []byte) effect {
	switch h.Type {
	case codec.PUBLISH:
		return s.stepPublish(h, body)
	case codec.PUBACK:
		return s.stepPuback(h, body)
	case codec.PUBREL:
		return s.stepPubrel(h, body)
	default:
		p, err := codec.Decode(h, body, s.version)
		if err != nil {
			return s.malformed(err)
		}
		return s.stepOther(p)
	}
}

// stepOther takes a packet that is not in the path of messages.
func (s *session) stepOther(p codec.Packet) effect {
	switch p := p.(type) {
	case *codec.Subscribe:
		return effect{subscribe: p}
	case *codec.Unsubscribe:
		return effect{unsubscribe: p}
	case *codec.Pingreq:
		s.box.append(&codec.Pingresp{})
		return effect{}
	case *codec.Disconnect:
		return s.stepDisconnect(p)
	case *codec.Connect:
		return end(reason.ProtocolError, "a second CONNECT [MQTT-3.1.0-2]")
	case *codec.Auth:
		return end(reason.ProtocolError, "AUTH without an authentication method")
	default:
		return end(reason.ProtocolError, fmt.Sprintf("a client must not send %s here", p.Type()))
	}
}

// stepPuback acknowledges one delivery. An identifier that is not in use is no fault: it says nothing that
// matters now.
func (s *session) stepPuback(h codec.Header, body []byte) effect {
	if err := s.ack.Decode(h, body, s.version); err != nil {
		return s.malformed(err)
	}
	if d, ok := s.out.remove(s.ack.PacketID); ok {
		d.cursor.source.Ack(d.sequence)
	}
	return effect{}
}

// stepPubrel answers a PUBREL: nothing was received at QoS 2, so that no identifier is known.
func (s *session) stepPubrel(h codec.Header, body []byte) effect {
	if err := s.ack.Decode(h, body, s.version); err != nil {
		return s.malformed(err)
	}
	s.ack = codec.Ack{Kind: codec.PUBCOMP, PacketID: s.ack.PacketID}
	if s.version == codec.V5 {
		s.ack.Code = codec.PacketIDNotFound
	}
	s.box.append(&s.ack)
	return effect{}
}

func (s *session) stepDisconnect(p *codec.Disconnect) effect {
	switch {
	case p.SessionExpiry > 0 && !s.expiry: // section 3.14.2.2.2
		return end(reason.ProtocolError, "a session expiry interval on DISCONNECT where CONNECT had none")
	case p.Code == codec.Success:
		return effect{end: &ending{Error: reason.New(reason.ClientDisconnect, ""), silent: true}}
	default:
		// Any other code keeps the will.
		e := reason.New(reason.ClientDisconnectWill, fmt.Sprintf("code 0x%02X", byte(p.Code)))
		return effect{end: &ending{Error: e, silent: true}}
	}
}

// goodbye appends what the client is told when the connection ends, and closes the outbox: nothing may follow
// [MQTT-3.14.4-1].
func (s *session) goodbye(e ending) {
	code := disconnectCode(e.Reason)
	if s.version == codec.V5 && !e.silent && code != noAnswer {
		d := &codec.Disconnect{Code: code, ReasonString: s.reasonString(e.Error)}
		if !s.box.append(d) {
			d.ReasonString = ""
			s.box.append(d)
		}
	}
	s.box.closed = true
}

// answer appends a packet that the client waits for. Where it is larger than the client takes there is no way to go on.
func (s *session) answer(p codec.Packet) *ending {
	if s.box.append(p) {
		return nil
	}
	return &ending{Error: reason.New(reason.ClientMaximumPacket,
		fmt.Sprintf("%s is larger than the client's Maximum Packet Size [MQTT-3.1.2-24]", p.Type()))}
}

// reasonString is the text of a refusal, empty where the client wants none.
func (s *session) reasonString(err error) string {
	if !s.problems || err == nil {
		return ""
	}
	return err.Error()
}

// malformed ends the connection for an error of the codec.
func (s *session) malformed(err error) effect {
	return effect{end: endingFor(err)}
}

// end is the effect of ending the connection.
func end(r reason.Reason, message string) effect {
	return effect{end: &ending{Error: reason.New(r, message)}}
}
