// Package jetstream is the only part of Weir that knows NATS: streams, publishing, reading, and every record
// that outlives a connection.
//
// A Store is one bridge's view of JetStream, a Log that of one tenant, a Topic that of one dedicated topic, a Route what a message is published
// through, whatever the rules say of its topic. What several
// bridges must agree on is decided by compare-and-set on the last message of a subject, in four streams that every
// bridge follows: the register of the topics, the claims of client identifiers, the leases of the bridges, and the keys that sign tokens. Nothing
// is decided on a read: whoever must know that he has seen everything writes, waits until his own copy has reached his own
// write, and looks.
//
// # Topics
//
// A topic in the register is creating, live, removing, deleting or gone:
//
//	            ┌────────────── failed ──────────────┐
//	gone ──► creating ──► live ──► removing ──► deleting ──► gone
//	            ▲          │  ▲        │
//	            └ missing ─┘  └ in use ┘
//
// Every arrow is a compare-and-set, so one bridge at a time works on a topic. A bridge that dies in creating or removing
// is followed by whoever needs the topic next. The generation of a topic is the sequence of its creating entry in the
// register; it is part of the stream's name, so what one generation's bridge does late cannot touch the next.
//
// # Shared rules
//
// All topics of a shared rule are in one stream, which is in no register: it exists while the rule does, and every bridge makes it, or brings it to
// the rule, to the same effect. Nothing is kept of a shared topic. Its messages go over the shard of its name, in the line that the rule has there; a
// line is also what a dedicated topic has. It holds what is published while the stream is being made, and repeats what found none.
//
// A stream is parked, on a subject of its own, while its limit per topic is lowered, so that nothing comes between the look that everything fits and the
// update; whoever publishes meanwhile looks again until it is open, and opens it after a second.
//
// # Filters
//
// A subscriber with wildcards gets the messages of topics that do not exist yet. Its bridge writes the filter to the register, waits
// for its own position, and attaches to every topic there that matches; one that is being created it waits for. Whoever creates a
// topic writes that, waits likewise, and then makes the consumer of every bridge with a filter that matches, before anybody can
// publish: the stream is parked on a subject of its own until then. As both writes have one order, one side always sees the other.
// The live entry of the topic says for whom there is a consumer. That bridge adopts it, under a name and a deliver
// subject that both can tell, or deletes it where nobody wants the topic any more. A consumer is made only for
// a bridge whose lease lives; when it ends, its filters go first, then what is being created is waited for, then its consumers go.
//
// # Subscribers
//
// A named subscriber, whose messages are kept while it is away, has an entry in the register, and consumers that stay: on the streams that there
// are, made by the bridge that opens it first; on those of topics to come, by their creators, as for filters; on the shared streams to which topics move, by
// whoever moves them. One bridge at a time serves it, by a claim as of client identifiers, and others pass connections on to that one (package tunnel). Native
// services that consume by themselves have such an entry, too. docs/adr/009-named-subscribers.md and 010-one-bridge-serves-a-subscriber.md say why.
//
// # Rules
//
// The rules that place topics are a record in the register too. A change of them that moves topics goes through phases, which one bridge carries out
// and every other confirms with a record of its own: attach to the new places, hold what is published, park the old streams, open the new ones. Then what
// was held is sent where it belongs. Whoever sees the lease of the bridge that carries it out end goes on with the phase. Parked streams drain.
// docs/adr/008-moving-topics-between-streams.md says why.
//
// # Goroutines
//
// A Store runs one for its lease, one for the keys that sign tokens, eleven per tenant (for the rules, three; for the topics that are not used any more, and for such subscribers, for streams with old
// limits, for claims that nobody has, for presence events, for the own filters, for the topics that are created for them, and for
// consumers that nobody wants), one for each topic that is being made, and those of the followed streams and of the
// publishers. Close waits for all of them.
package jetstream
