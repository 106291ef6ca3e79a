package message

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// StreamName is the name of the stream of one topic. The generation tells apart the streams that the topic had
// one after the other.
func StreamName(tenant, topic string, generation uint64) string {
	return "MQTT_" + tenant + "_t_" + Hash(topic) + "_" + strconv.FormatUint(generation, 10)
}

// SharedStream is the name of the stream of all topics of a shared rule.
func SharedStream(tenant, rule string) string { return "MQTT_" + tenant + "_s_" + rule }

// InternalStream is the name of a stream with a tenant's own records.
func InternalStream(tenant, what string) string { return "MQTT_" + tenant + "_x_" + what }

// EnsureSubject is where a native service asks, with the topic name as payload, for the stream of a dedicated topic
// that does not exist yet.
func EnsureSubject(tenant string) string { return "weir.topic.ensure." + tenant }

// Hash shortens a name of any length and alphabet to 32 hex digits that fit into names of streams and consumers.
func Hash(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}
