package codec

// MessageProperties are those MQTT 5 properties that belong to an application message and travel with it.
// A nil slice and a false Has… mean that the property is absent.
type MessageProperties struct {
	PayloadFormat    byte // 0 unspecified, 1 UTF-8
	HasPayloadFormat bool
	MessageExpiry    uint32 // seconds
	HasMessageExpiry bool
	ContentType      []byte
	ResponseTopic    []byte
	CorrelationData  []byte
	UserProperties   []UserProperty
}

const messageSet = userPropertySet | 1<<idPayloadFormat | 1<<idMessageExpiry | 1<<idContentType |
	1<<idResponseTopic | 1<<idCorrelationData

// set stores property x, one of messageSet, or returns why its value is refused.
func (m *MessageProperties) set(x *property) *rule {
	switch x.id {
	case idPayloadFormat:
		m.PayloadFormat, m.HasPayloadFormat = byte(x.num), true
	case idMessageExpiry:
		m.MessageExpiry, m.HasMessageExpiry = x.num, true
	case idContentType:
		m.ContentType = x.data
	case idResponseTopic:
		m.ResponseTopic = x.data
		return checkResponseTopic(x.data)
	case idCorrelationData:
		m.CorrelationData = x.data
	default: // idUserProperty, the only one left of the set
		m.UserProperties = append(m.UserProperties, x.user())
	}
	return nil
}

func checkResponseTopic(topic []byte) *rule {
	switch bad := checkTopic(topic); bad {
	case errTopicWildcard:
		return errResponseTopic
	case errTopicEmpty:
		return errResponseEmpty
	default:
		return bad
	}
}

// isZero tells whether there is nothing to write.
func (m *MessageProperties) isZero() bool {
	return !m.HasPayloadFormat && !m.HasMessageExpiry && m.ContentType == nil && m.ResponseTopic == nil &&
		m.CorrelationData == nil && len(m.UserProperties) == 0
}

// size is the length of what message appends.
func (m *MessageProperties) size() (n int) {
	if m.HasPayloadFormat {
		n += 2
	}
	if m.HasMessageExpiry {
		n += 5
	}
	for _, x := range [...][]byte{m.ContentType, m.ResponseTopic, m.CorrelationData} {
		if x != nil {
			n += 3 + len(x)
		}
	}
	for i := range m.UserProperties {
		n += 5 + len(m.UserProperties[i].Name) + len(m.UserProperties[i].Value)
	}
	return n
}

// message appends the properties of m without their length.
func (w *writer) message(m *MessageProperties) {
	if m.HasPayloadFormat {
		if m.PayloadFormat > 1 {
			w.refuse(propertyRule(ProtocolError, idPayloadFormat, "is neither 0 nor 1"))
		}
		w.uint8(byte(idPayloadFormat))
		w.uint8(m.PayloadFormat)
	}
	if m.HasMessageExpiry {
		w.propUint32(idMessageExpiry, m.MessageExpiry)
	}
	if m.ContentType != nil {
		w.propBinary(idContentType, m.ContentType)
		w.refuse(checkText(m.ContentType))
	}
	if m.ResponseTopic != nil {
		w.propBinary(idResponseTopic, m.ResponseTopic)
		w.refuse(checkResponseTopic(m.ResponseTopic))
	}
	if m.CorrelationData != nil {
		w.propBinary(idCorrelationData, m.CorrelationData)
	}
	w.users(m.UserProperties)
}
