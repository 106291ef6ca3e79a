package message

import "time"

// QoS of a message as it was published. A header that says nothing means 1; the zero Message has 0, and New returns one with 1.
type QoS = byte

// Message is one application message. Strings and slices are the owner's: nobody changes them once a Message
// has been handed on, so one Message can be fanned out to any number of sessions.
type Message struct {
	Topic    string
	Payload  []byte
	QoS      QoS
	Dup      bool
	Retain   bool
	ClientID string // who published; empty for native services that do not say
	User     string
	Role     string
	PacketID uint16 // of the PUBLISH; 0 at QoS 0
	To       string // deliver to this client identifier only; empty: to all

	// MQTT 5 properties. Nil, or false in a Has… field: absent.
	PayloadFormat    byte
	HasPayloadFormat bool
	Expiry           uint32 // seconds, counted from Stored
	HasExpiry        bool
	ContentType      []byte
	ResponseTopic    []byte
	CorrelationData  []byte
	UserProperties   []UserProperty

	// Stored is when JetStream stored it; zero before that.
	Stored time.Time
}

// UserProperty is one name and value pair of MQTT 5.
type UserProperty struct{ Name, Value string }
