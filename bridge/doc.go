// Package bridge serves MQTT connections and sessions over the message log of package jetstream.
//
// # Data flow
//
//	             ┌──────────── conn, reading goroutine ─────────────┐
//	device ────► stream ─► codec.Reader ─► session.step ─► effect ──┼─► jetstream.Route.Publish ─► JetStream
//	             (keep alive)               (no I/O,                ├─► fanout.Member
//	                                         no clock)              └─► ending, error topic
//	                                            │
//	                                            ▼
//	device ◄──── conn, writing goroutine ◄── outbox ◄── session.published ◄── PubAck (publisher's goroutine)
//	                                            ▲
//	                                            └────── session.pump ◄── fanout.Subscription.Next
//	                                                     (window, packet identifiers, round robin)
//
// A PUBLISH takes a slot in the session's FIFO (inbound) and goes to the message log. Its answer comes back on a
// goroutine of the publisher and marks the slot; PUBACKs leave from the head of the FIFO alone, so that they
// leave in the order of the PUBLISH packets whatever the order of the answers.
//
// A session has one cursor for each place, a dedicated topic or all topics of a shared or transient rule, however many of its topic filters
// match there (subscriptions): a message goes out once, at the highest QoS and with the subscription identifiers of all that match its topic.
// The fan-out opens the cursors (conn.Opened): before SUBACK, and for a filter with wildcards whenever a topic is created.
//
// A message for the device is never pushed. The fan-out wakes a cursor, which is queued for the writing goroutine; that one
// takes messages from the queued cursors in turn while the window (outbound) and the outbox have room. A session therefore holds at most one buffer of packets, and a device that does not read
// holds up nobody but itself.
//
// session is a state machine without I/O or clock: it takes a packet and the time, appends the answer to its
// outbox and returns what else is to be done as an effect. conn carries effects out. Everything that a client
// is refused for is a reason; refusal.go is the one place that turns a reason into the bytes of a protocol version.
//
// # Goroutines and locks
//
// Server.Serve accepts on the caller's goroutine. Each connection has two goroutines:
//
//   - conn.serve reads. It does CONNECT, runs the session for every packet, and waits for JetStream where a packet
//     needs it (first use of a topic, SUBSCRIBE, the claim of a client identifier): back-pressure on this one
//     connection, order kept. It ends the connection, whoever wanted the end, and is the last to leave.
//   - conn.write, started and awaited by serve, moves messages into the outbox and the outbox to the socket.
//
// Others come in from outside: answers to publishes (conn.Published), wakes of cursors (cursor.Wake), cursors (conn.Opened),
// takeovers (conn.revoked), changed users (Server.Recheck) and Shutdown. They take conn.mu shortly, append or set
// why the connection ends (conn.end), signal the writer, and never wait for a peer.
//
// conn.mu guards the session, its outbox and the end of the connection. Lock order: Server.mu and conn.mu are
// never held together; conn.mu comes before the locks of the fan-out, which calls sessions without holding any.
//
// # Bounds
//
// Connections in all, and those that have not sent a CONNECT (the oldest of them goes first); the size of a
// packet, small before CONNECT; publishes without an answer in count and bytes (beyond them reading stops); the
// outbox in bytes (beyond the first limit no more messages are taken, beyond the second reading stops);
// deliveries without acknowledgement; topic filters; cursors, by the tenant's topics and rules; error reports a second.
//
// # Shutdown order
//
// Shutdown closes the listeners, then tells every connection to end. Each of them, by itself:
//
//  1. stops reading;
//  2. waits until every publish has its answer and its PUBACK is in the outbox;
//  3. appends DISCONNECT 0x8B (MQTT 5), flushes the outbox and closes its side of the connection;
//  4. closes its subscriptions, which gives unacknowledged messages back;
//  5. publishes the will and waits for its PubAck;
//  6. gives its client identifier back, announces and logs the end;
//  7. waits a moment for the client to close its side, so that the last packets are not lost to it.
//
// Any other end takes the same way from step 3 on; a takeover first handles what has arrived, for a moment at most,
// since the client may have left by itself, and waits for step 6. Close is the way without waiting:
// everything is cut off, wills are not published, and what was acknowledged is stored nevertheless.
package bridge
