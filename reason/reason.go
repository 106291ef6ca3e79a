// Package reason is the closed list of names for every refusal, drop and disconnect. One name serves as
// metric label, log field, MQTT 5 reason string prefix and the code on the error topic, so that what a
// device sees, what an operator counts and what a log line says can be matched by a plain text search.
package reason

// Reason names why something was refused, dropped or disconnected. The zero value means nothing was.
type Reason string

// Refusals of a connection, in the order in which CONNECT is checked.
const (
	ConnectTimeout     Reason = "connect_timeout"
	UnsupportedVersion Reason = "unsupported_version"
	BadCredentials     Reason = "bad_credentials"
	ClientIDInvalid    Reason = "client_id_invalid"
	ClientIDInUse      Reason = "client_id_in_use"
	WillTopicInvalid   Reason = "will_topic_invalid"
	ConnectionQuota    Reason = "connection_quota"
	NATSUnavailable    Reason = "nats_unavailable"
	ConnectionLimit    Reason = "connection_limit"
)

// Faults of a packet or of the order of packets.
const (
	MalformedPacket  Reason = "malformed_packet"
	ProtocolError    Reason = "protocol_error"
	PacketTooLarge   Reason = "packet_too_large"
	ReceiveMaximum   Reason = "receive_maximum_exceeded"
	TopicAlias       Reason = "topic_alias_invalid"
	AuthUnsupported  Reason = "auth_method_unsupported"
	RandomFirstBytes Reason = "not_mqtt"
)

// Refusals of a publish or a subscription.
const (
	TopicReserved     Reason = "topic_reserved"
	TopicInvalid      Reason = "topic_invalid"
	TopicQuota        Reason = "topic_quota"
	StorageFull       Reason = "storage_full"
	BacklogFull       Reason = "backlog_full"
	MessageTooLarge   Reason = "message_too_large"
	RecipientInvalid  Reason = "recipient_invalid"
	QoSUnsupported    Reason = "qos_not_supported"
	RetainUnsupported Reason = "retain_not_supported"
	SharedUnsupported Reason = "shared_subscription_not_supported"
	SubscriptionLimit Reason = "subscription_limit"
	SubscriberLimit   Reason = "subscriber_limit"
	PublishUnknown    Reason = "publish_outcome_unknown"
)

// Drops: a message that was not delivered to one subscriber, or not at all.
const (
	BadSubject          Reason = "bad_subject"
	SlowSubscriber      Reason = "slow_subscriber"
	ClientMaximumPacket Reason = "client_maximum_packet_size"
	MessageExpired      Reason = "message_expired"
	OtherClient         Reason = "addressed_to_other_client"
	ErrorRate           Reason = "error_rate"
	MessageLost         Reason = "message_lost"
	TransientOverflow   Reason = "transient_overflow"
	SessionOverflow     Reason = "session_overflow"
)

// Ends of a connection that are nobody's fault, or whose fault is not in a packet.
const (
	ClientDisconnect     Reason = "client_disconnect"
	ClientDisconnectWill Reason = "client_disconnect_with_will"
	ConnectionLost       Reason = "connection_lost"
	KeepAliveTimeout     Reason = "keep_alive_timeout"
	TakenOver            Reason = "taken_over"
	ServerShutdown       Reason = "server_shutdown"
	UserChanged          Reason = "user_changed"
	TenantDisabled       Reason = "tenant_disabled"
	WriteTimeout         Reason = "write_timeout"
	LeaseLost            Reason = "lease_lost"
	InternalError        Reason = "internal_error"
)

// Refusals of an HTTP request of a microservice.
const (
	BadRequest       Reason = "bad_request"
	RoleNotPermitted Reason = "role_not_permitted"
	TokenInvalid     Reason = "token_invalid"
	TokenExpired     Reason = "token_expired"
)

// What only the sockets of microservices have.
const (
	OriginForbidden Reason = "origin_forbidden"
	SubscriberInUse Reason = "subscriber_in_use"
	SocketLimit     Reason = "socket_limit"
	TopicForbidden  Reason = "topic_forbidden"
	MalformedFrame  Reason = "malformed_frame"
	UnknownAck      Reason = "unknown_ack"
	Unsubscribed    Reason = "unsubscribed"
	IdleTimeout     Reason = "idle_timeout"
)

// Error is a refusal with its name and a sentence for the person who reads the log or the reason string.
// The sentence names limits and values, never credentials.
type Error struct {
	Reason  Reason
	Message string
	// Err is the cause, nil where there is none. It goes to the log and never to a client.
	Err error
}

// New returns an *Error without a cause.
func New(r Reason, message string) *Error { return &Error{Reason: r, Message: message} }

// Error is the code and the sentence, as they stand in reason strings.
func (e *Error) Error() string {
	if e.Message == "" {
		return string(e.Reason)
	}
	return string(e.Reason) + ": " + e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
