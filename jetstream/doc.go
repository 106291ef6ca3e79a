// Package jetstream is the only part of Weir that knows NATS: streams, publishing, reading, and every record
// that outlives a connection.
//
// A Store is one bridge's view of JetStream, a Log that of one tenant, a Topic that of one dedicated topic. What several
// bridges must agree on is decided by compare-and-set on the last message of a subject, in three streams that every
// bridge follows: the register of the topics, the claims of client identifiers, and the leases of the bridges. Nothing
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
// # Goroutines
//
// A Store runs one for its lease, three per tenant (for the topics that are not used any more, for streams with old
// limits, and for presence events), one for each topic that is being made, and those of the followed streams and of the
// publishers. Close waits for all of them.
package jetstream
