package jetstream

import (
	"strings"

	"github.com/weirmq/weir/jetstream/naming"
	"github.com/weirmq/weir/message"
)

// names are the subjects and streams of a tenant's own records.
type names struct {
	tenant   string
	register string // stream
	presence string // stream
	sessions string // stream
	errors   string // stream
}

func namesOf(tenant string) names {
	return names{
		tenant:   tenant,
		register: naming.InternalStream(tenant, "register"),
		presence: naming.InternalStream(tenant, "topics"),
		sessions: naming.InternalStream(tenant, "sessions"),
		errors:   naming.InternalStream(tenant, "errors"),
	}
}

func (n names) subject(what string) string { return "mqtt-sys." + n.tenant + "." + what }

func (n names) topicSubject(topic string) string {
	return n.subject("register.topic." + naming.Hash(topic))
}

func (n names) filterSubject(bridge, filter string) string {
	return n.subject("register.filter." + bridge + "." + naming.Hash(filter))
}

func (n names) subscriberSubject(id string) string { return n.subject("register.subscriber." + id) }

// rulesSubject is that of the rules that place topics, phaseSubject of how far a bridge has followed them.
func (n names) rulesSubject() string { return n.subject("register.rules") }

func (n names) phaseSubject(bridge string) string { return n.subject("register.phase." + bridge) }

func (n names) presenceSubject(topic string) string {
	return n.subject("topics." + naming.Hash(topic))
}

// The list of the topics of a shared rule: its stream, and the subjects of one topic and of all.
func (n names) listStream(rule string) string {
	return naming.InternalStream(n.tenant, "topics-"+rule)
}
func (n names) listSubjects(rule string) string { return n.subject("topics." + rule + ".*") }
func (n names) listSubject(rule, topic string) string {
	return n.subject("topics." + rule + "." + naming.Hash(topic))
}

func (n names) clientSubject(clientID string) string {
	return n.subject("sessions.client." + naming.Hash(clientID))
}

// positionSubject is where a bridge writes its own position in one of the followed streams.
func (n names) positionSubject(what, bridge string) string {
	return n.subject(what + ".position." + bridge)
}

func isPosition(subject string) bool { return strings.Contains(subject, ".position.") }

// The error topics, the last level of which is the client identifier.
const errorTopics = "$debug/$error/"

func (n names) errorSubject(clientID string) string {
	return message.Subject(n.tenant, errorTopics+naming.Level(clientID))
}

func (n names) errorSubjects() string {
	return strings.TrimSuffix(message.Subject(n.tenant, errorTopics+"x"), "x") + "*"
}

// Subjects between bridges and to native services, and what is in Weir's own account.
const (
	takeoverPrefix = "weir.takeover."
	eventsPrefix   = "weir.events."
	deliverPrefix  = "weir.deliver."
	tunnelPrefix   = "weir.tunnel."
	drainPrefix    = "weir.drain."
	queueGroup     = "weir"
	leaseStream    = "weir-bridges"
	leasePrefix    = "weir.bridges."
	tenantBucket   = "weir-tenants"
	keyStream      = "weir-keys"
	keySubject     = "weir.keys"
)
