package bridge

import (
	"errors"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/reason"
)

// This file is the one place that knows how a reason reads in each version of the protocol.

// Return codes of CONNACK in 3.1 and 3.1.1.
const (
	refusedVersion     codec.ReasonCode = 1
	refusedClientID    codec.ReasonCode = 2
	refusedUnavailable codec.ReasonCode = 3
	refusedAuthorized  codec.ReasonCode = 5
)

// subackFailure is the one failure that a SUBACK of 3.x knows.
const subackFailure codec.ReasonCode = 0x80

// noAnswer says that the connection is closed without a packet. Success is never a refusal.
const noAnswer = codec.Success

// connackCode is the code of the CONNACK that refuses a connection for r, or noAnswer.
func connackCode(r reason.Reason, v codec.Version) codec.ReasonCode {
	three, five := noAnswer, codec.UnspecifiedError
	switch r {
	case reason.MalformedPacket:
		five = codec.MalformedPacket
	case reason.ProtocolError:
		five = codec.ProtocolError
	case reason.PacketTooLarge:
		five = codec.PacketTooLarge
	case reason.AuthUnsupported:
		five = codec.BadAuthenticationMethod
	case reason.UnsupportedVersion:
		three, five = refusedVersion, codec.UnsupportedProtocolVersion
	case reason.BadCredentials, reason.UserChanged, reason.TenantDisabled:
		three, five = refusedAuthorized, codec.BadUserNameOrPassword
	case reason.ClientIDInvalid:
		three, five = refusedClientID, codec.ClientIDNotValid
	case reason.ClientIDInUse:
		three, five = refusedAuthorized, codec.NotAuthorized
	case reason.WillTopicInvalid:
		three, five = refusedAuthorized, codec.TopicNameInvalid
	case reason.QoSUnsupported:
		five = codec.QoSNotSupported
	case reason.RetainUnsupported:
		five = codec.RetainNotSupported
	case reason.ConnectionQuota:
		three, five = refusedUnavailable, codec.QuotaExceeded
	case reason.NATSUnavailable, reason.LeaseLost, reason.ServerShutdown:
		three, five = refusedUnavailable, codec.ServerUnavailable
	case reason.ConnectionLimit:
		three, five = refusedUnavailable, codec.ServerBusy
	case reason.ConnectTimeout, reason.ConnectionLost, reason.RandomFirstBytes, reason.TakenOver:
		five = noAnswer
	default:
		three = refusedUnavailable
	}
	if v == codec.V5 {
		return five
	}
	return three
}

// pubackCode is the code of the PUBACK that refuses a publish in MQTT 5.
func pubackCode(r reason.Reason) codec.ReasonCode {
	switch r {
	case reason.BacklogFull, reason.StorageFull, reason.TopicQuota, reason.MessageTooLarge:
		return codec.QuotaExceeded
	case reason.TopicReserved, reason.TopicInvalid:
		return codec.TopicNameInvalid
	case reason.RecipientInvalid:
		return codec.ImplementationSpecificError
	default:
		return codec.UnspecifiedError
	}
}

// subackCode is the code of one filter that is refused.
func subackCode(r reason.Reason, v codec.Version) codec.ReasonCode {
	if v != codec.V5 {
		return subackFailure
	}
	switch r {
	case reason.TopicQuota, reason.StorageFull, reason.SubscriptionLimit:
		return codec.QuotaExceeded
	case reason.TopicReserved, reason.TopicInvalid:
		return codec.TopicFilterInvalid
	case reason.SharedUnsupported:
		return codec.SharedNotSupported
	default:
		return codec.UnspecifiedError
	}
}

// disconnectCode is the code of the DISCONNECT that MQTT 5 gets when a connection ends for r, or noAnswer where
// nothing is sent: the client has gone, or nothing can reach it.
func disconnectCode(r reason.Reason) codec.ReasonCode {
	switch r {
	case reason.ClientDisconnect, reason.ClientDisconnectWill, reason.ConnectionLost, reason.WriteTimeout:
		return noAnswer
	case reason.MalformedPacket:
		return codec.MalformedPacket
	case reason.ProtocolError:
		return codec.ProtocolError
	case reason.PacketTooLarge:
		return codec.PacketTooLarge
	case reason.ReceiveMaximum:
		return codec.ReceiveMaximumExceeded
	case reason.TopicAlias:
		return codec.TopicAliasInvalid
	case reason.TopicReserved, reason.TopicInvalid:
		return codec.TopicNameInvalid
	case reason.AuthUnsupported:
		return codec.BadAuthenticationMethod
	case reason.QoSUnsupported:
		return codec.QoSNotSupported
	case reason.RetainUnsupported:
		return codec.RetainNotSupported
	case reason.KeepAliveTimeout:
		return codec.KeepAliveTimeout
	case reason.TakenOver:
		return codec.SessionTakenOver
	case reason.ServerShutdown:
		return codec.ServerShuttingDown
	case reason.UserChanged, reason.TenantDisabled:
		return codec.NotAuthorized
	case reason.PublishUnknown, reason.NATSUnavailable, reason.LeaseLost:
		return codec.ServerBusy
	default:
		return codec.UnspecifiedError
	}
}

// clientFault tells whether a connection that ends for r ends through its client's doing, so that the client
// finds the reason on its error topic.
func clientFault(r reason.Reason) bool {
	switch r {
	case reason.ClientDisconnect, reason.ClientDisconnectWill, reason.ConnectionLost, reason.TakenOver,
		reason.ServerShutdown, reason.UserChanged, reason.TenantDisabled, reason.LeaseLost, reason.InternalError,
		reason.PublishUnknown, reason.NATSUnavailable:
		return false
	default:
		return true
	}
}

// packetError turns an error of the codec into a refusal.
func packetError(err *codec.Error) *reason.Error {
	var r reason.Reason
	switch err.Code {
	case codec.MalformedPacket:
		r = reason.MalformedPacket
	case codec.PacketTooLarge:
		r = reason.PacketTooLarge
	case codec.UnsupportedProtocolVersion:
		r = reason.UnsupportedVersion
	case codec.TopicAliasInvalid:
		r = reason.TopicAlias
	default:
		r = reason.ProtocolError
	}
	return reason.New(r, err.Error())
}

// refused returns err as a refusal. Whatever is not one already counts as NATS that cannot be reached: only waiting
// for NATS fails without a reason of its own.
func refused(err error) *reason.Error {
	if e, ok := errors.AsType[*reason.Error](err); ok {
		return e
	}
	return &reason.Error{Reason: reason.NATSUnavailable, Message: "the message store cannot be reached", Err: err}
}
