// Package naming makes the names of a tenant's streams, and parts of names out of strings of any alphabet.
package naming

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/weirmq/weir/message"
)

// Stream is the name of the stream of one topic. The generation tells apart the streams that the topic had
// one after the other.
func Stream(tenant, topic string, generation uint64) string {
	return "MQTT_" + tenant + "_t_" + Hash(topic) + "_" + strconv.FormatUint(generation, 10)
}

// SharedStream is the name of the stream of all topics of a shared rule.
func SharedStream(tenant, rule string) string { return "MQTT_" + tenant + "_s_" + rule }

// InternalStream is the name of a stream with a tenant's own records.
func InternalStream(tenant, what string) string { return "MQTT_" + tenant + "_x_" + what }

// Hash shortens a name of any length and alphabet to 32 hex digits that fit into names of streams and consumers.
func Hash(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}

// separators are what a level of a topic cannot hold besides what a level of a subject cannot.
var separators = strings.NewReplacer("/", "%2F", "+", "%2B", "#", "%23")

// Level encodes any string, such as a client identifier, as one level of a topic: what message.SubjectLevel escapes, and '/', '+' and
// '#' too.
func Level(s string) string { return separators.Replace(message.SubjectLevel(s)) }
