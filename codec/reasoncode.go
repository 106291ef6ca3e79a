package codec

// carriedBy packs packet types into one set, a bit each.
func carriedBy(types ...Type) (set uint16) {
	for _, t := range types {
		set |= 1 << t
	}
	return set
}

// legalCodes is table 2-6 of MQTT 5: the packets that may carry each reason code.
var legalCodes = [256]uint16{
	Success:                     carriedBy(CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, DISCONNECT, AUTH),
	GrantedQoS1:                 carriedBy(SUBACK),
	GrantedQoS2:                 carriedBy(SUBACK),
	DisconnectWithWill:          carriedBy(DISCONNECT),
	NoMatchingSubscribers:       carriedBy(PUBACK, PUBREC),
	NoSubscriptionExisted:       carriedBy(UNSUBACK),
	ContinueAuthentication:      carriedBy(AUTH),
	ReAuthenticate:              carriedBy(AUTH),
	UnspecifiedError:            carriedBy(CONNACK, PUBACK, PUBREC, SUBACK, UNSUBACK, DISCONNECT),
	MalformedPacket:             carriedBy(CONNACK, DISCONNECT),
	ProtocolError:               carriedBy(CONNACK, DISCONNECT),
	ImplementationSpecificError: carriedBy(CONNACK, PUBACK, PUBREC, SUBACK, UNSUBACK, DISCONNECT),
	UnsupportedProtocolVersion:  carriedBy(CONNACK),
	ClientIDNotValid:            carriedBy(CONNACK),
	BadUserNameOrPassword:       carriedBy(CONNACK),
	NotAuthorized:               carriedBy(CONNACK, PUBACK, PUBREC, SUBACK, UNSUBACK, DISCONNECT),
	ServerUnavailable:           carriedBy(CONNACK),
	ServerBusy:                  carriedBy(CONNACK, DISCONNECT),
	Banned:                      carriedBy(CONNACK),
	ServerShuttingDown:          carriedBy(DISCONNECT),
	BadAuthenticationMethod:     carriedBy(CONNACK, DISCONNECT),
	KeepAliveTimeout:            carriedBy(DISCONNECT),
	SessionTakenOver:            carriedBy(DISCONNECT),
	TopicFilterInvalid:          carriedBy(SUBACK, UNSUBACK, DISCONNECT),
	TopicNameInvalid:            carriedBy(CONNACK, PUBACK, PUBREC, DISCONNECT),
	PacketIDInUse:               carriedBy(PUBACK, PUBREC, SUBACK, UNSUBACK),
	PacketIDNotFound:            carriedBy(PUBREL, PUBCOMP),
	ReceiveMaximumExceeded:      carriedBy(DISCONNECT),
	TopicAliasInvalid:           carriedBy(DISCONNECT),
	PacketTooLarge:              carriedBy(CONNACK, DISCONNECT),
	MessageRateTooHigh:          carriedBy(DISCONNECT),
	QuotaExceeded:               carriedBy(CONNACK, PUBACK, PUBREC, SUBACK, DISCONNECT),
	AdministrativeAction:        carriedBy(DISCONNECT),
	PayloadFormatInvalid:        carriedBy(CONNACK, PUBACK, PUBREC, DISCONNECT),
	RetainNotSupported:          carriedBy(CONNACK, DISCONNECT),
	QoSNotSupported:             carriedBy(CONNACK, DISCONNECT),
	UseAnotherServer:            carriedBy(CONNACK, DISCONNECT),
	ServerMoved:                 carriedBy(CONNACK, DISCONNECT),
	SharedNotSupported:          carriedBy(SUBACK, DISCONNECT),
	ConnectionRateExceeded:      carriedBy(CONNACK, DISCONNECT),
	MaximumConnectTime:          carriedBy(DISCONNECT),
	SubscriptionIDsNotSupported: carriedBy(SUBACK, DISCONNECT),
	WildcardNotSupported:        carriedBy(SUBACK, DISCONNECT),
}

// codeRules is what a reason code breaks that its packet may not carry.
var codeRules = [16]*rule{
	CONNACK:    newRule(ProtocolError, "the return code does not exist in a CONNACK", "", "MQTT-3.2.2-8"),
	PUBACK:     newRule(ProtocolError, "the reason code does not exist in a PUBACK", "", "MQTT-3.4.2-1"),
	PUBREC:     newRule(ProtocolError, "the reason code does not exist in a PUBREC", "", "MQTT-3.5.2-1"),
	PUBREL:     newRule(ProtocolError, "the reason code does not exist in a PUBREL", "", "MQTT-3.6.2-1"),
	PUBCOMP:    newRule(ProtocolError, "the reason code does not exist in a PUBCOMP", "", "MQTT-3.7.2-1"),
	SUBACK:     newRule(ProtocolError, "the return code does not exist in a SUBACK", "MQTT-3.9.3-2", "MQTT-3.9.3-2"),
	UNSUBACK:   newRule(ProtocolError, "the reason code does not exist in an UNSUBACK", "", "MQTT-3.11.3-2"),
	DISCONNECT: newRule(ProtocolError, "the reason code does not exist in a DISCONNECT", "", "MQTT-3.14.2-1"),
	AUTH:       newRule(ProtocolError, "the reason code does not exist in an AUTH", "", "MQTT-3.15.2-1"),
}

// checkCode says why a packet of type t cannot carry code c in version v.
func checkCode(t Type, c ReasonCode, v Version) *rule {
	legal := legalCodes[c]&(1<<t) != 0
	switch {
	case v == V5:
	case t == CONNACK:
		legal = c <= 5
	case t == SUBACK:
		legal = c <= 2 || c == UnspecifiedError // 3.1 knows no failure, but what else could a server answer?
	default:
		legal = c == Success
	}
	if !legal {
		return codeRules[t]
	}
	return nil
}
