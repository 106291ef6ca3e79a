// Package codec turns MQTT 3.1, 3.1.1 and 5.0 control packets into Go values and back. It knows neither
// sockets nor sessions and imports the standard library only.
//
// Decoding refuses what a specification calls malformed or a protocol error and a receiver can see in the one
// packet; what depends on the direction, on other packets or on what a server supports is left to the session.
// MQTT 3.1 has no reserved bits to check: whatever they hold is ignored. Encoding holds to the same rules, so that
// what one side appends the other side decodes.
package codec

import "strconv"

// Version is the protocol version as the CONNECT packet carries it.
type Version byte

// The protocol versions that exist.
const (
	V31  Version = 3 // protocol name MQIsdp
	V311 Version = 4
	V5   Version = 5
)

// String is the version as people write it: 3.1, 3.1.1 or 5.0.
func (v Version) String() string {
	switch v {
	case V31:
		return "3.1"
	case V311:
		return "3.1.1"
	case V5:
		return "5.0"
	default:
		return "level " + strconv.Itoa(int(v))
	}
}

// Type is the control packet type, the upper four bits of the first byte.
type Type byte

// Control packet types.
const (
	CONNECT Type = iota + 1
	CONNACK
	PUBLISH
	PUBACK
	PUBREC
	PUBREL
	PUBCOMP
	SUBSCRIBE
	SUBACK
	UNSUBSCRIBE
	UNSUBACK
	PINGREQ
	PINGRESP
	DISCONNECT
	AUTH
)

var typeNames = [16]string{
	"reserved", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
	"SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
}

// String is the name in capitals, as the specifications write it.
func (t Type) String() string { return typeNames[t&0x0F] }

// QoS is a quality of service level: 0, 1 or 2.
type QoS byte

// Header is a fixed header: type, flags (lower four bits) and remaining length in bytes.
type Header struct {
	Type   Type
	Flags  byte
	Length int
}

// Packet is one control packet.
type Packet interface {
	Type() Type
	// Append appends the whole packet, fixed header included, as version v writes it. It returns dst
	// unchanged with an *Error where v cannot express the packet or a length does not fit.
	Append(dst []byte, v Version) ([]byte, error)
	// Decode reads the packet from exactly one body (what follows the fixed header). It overwrites every field.
	// Byte slices in the packet alias body unless the field's comment says otherwise; strings are copies.
	// Errors are *Error; after one the fields mean nothing, but for Connect.Version.
	Decode(h Header, body []byte, v Version) error
}

// UserProperty is one name and value pair.
type UserProperty struct{ Name, Value string }

// Decode returns the packet in body as a new value of its own type.
func Decode(h Header, body []byte, v Version) (Packet, error) {
	var p Packet
	switch h.Type {
	case CONNECT:
		p = new(Connect)
	case CONNACK:
		p = new(Connack)
	case PUBLISH:
		p = new(Publish)
	case PUBACK, PUBREC, PUBREL, PUBCOMP:
		p = new(Ack)
	case SUBSCRIBE:
		p = new(Subscribe)
	case SUBACK:
		p = new(Suback)
	case UNSUBSCRIBE:
		p = new(Unsubscribe)
	case UNSUBACK:
		p = new(Unsuback)
	case PINGREQ:
		p = new(Pingreq)
	case PINGRESP:
		p = new(Pingresp)
	case DISCONNECT:
		p = new(Disconnect)
	case AUTH:
		p = new(Auth)
	default:
		return nil, errPacketType.in(v)
	}
	if err := p.Decode(h, body, v); err != nil {
		return nil, err
	}
	return p, nil
}
