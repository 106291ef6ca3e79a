// Package microservice serves microservices over HTTP and WebSocket. They ask for a token with the name and the password of a user, and open
// sockets with the token alone: consumers and producers.
//
// # Data flow
//
//	                ┌──── socket, reading goroutine ────┐
//	producer ────► WebSocket ─► frame ─► producer.take ─┼─► jetstream.Route.Publish ─► JetStream
//	                                                    └─► refusals
//	producer ◄──── WebSocket ◄── outbox ◄── inbound ◄────── PubAck (publisher's goroutine)
//
//	consumer ◄──── WebSocket ◄── frame ◄── batch ◄── subscriber.dispatch ◄── fanout.Subscription.Next
//	                                                  (windows, round robin)
//	consumer ────► WebSocket ─► frame ─► subscriber.ack ─► fanout.Subscription.Ack
//
// A producer's frame takes a slot in the FIFO of its socket (inbound), published or refused, and the answers leave from the head: in the order of
// the frames, whatever the order of JetStream's answers. A refusal leaves the socket open. While the outcome of a publish is unknown nothing more is
// published, and after 10 s the socket is closed without an answer.
//
// A subscriber is one member of a fan-out, to which it is what an MQTT session is: it has a cursor for each place with topics that its subscription matches. It has
// one connection, or with shared tokens several. Nothing is pushed: the fan-out wakes a cursor, and the writing goroutine of a connection takes messages
// from the woken cursors in turn, as long as some connection has room in its window and in its batch. What a connection has not acknowledged when it ends
// goes to the others, before anything new. With none left the subscriber leaves the fan-out, and nothing is acknowledged by that.
//
// Where the messages come from, a View says: from the bridge's own hub for what is not kept without a connection, else from a hub over what is kept.
//
// # Goroutines and locks
//
// Each socket has two goroutines. The one of its HTTP request does what may refuse the upgrade (the token, the claim of the subscriber, its topics), so that
// a refusal has an HTTP status, and then reads; it ends the socket, whoever wanted the end, and is the last to leave. The other one
// writes, and nobody else does: frames, pongs, pings and the close frame. What it writes is collected (line) and goes out together.
//
// Others come in from outside: answers to publishes (producer.Published), the fan-out (cursor.Wake, subscriber.Opened, Moved and Ended), another connection
// that wants the subscriber (replace), changed users (sockets.Recheck) and Shutdown. They take a lock shortly, signal the writing goroutine, and never wait for a peer;
// replace waits for pongs, on the goroutine of who wants the subscriber.
//
// socket.mu guards a socket's outbox and its end, and a producer's FIFO; subscriber.mu what its connections share, and their windows and batches; sockets.mu who is there.
// No two of them are held together. The locks of the fan-out come after subscriber.mu.
//
// # Bounds
//
// Sockets per tenant; the size of a frame, by the tenant's message_bytes, where what is beyond is read and thrown away; a producer's frames without an
// answer in count and bytes (beyond them reading stops); the outbox in bytes (likewise); a connection's messages without acknowledgement in count and bytes,
// and of those what waits to be written; the time without any frame; one write; ids that a frame asks to be sent again, by the window.
//
// # Shutdown order
//
// Shutdown tells every socket to end. Each of them, by itself:
//
//  1. stops reading;
//  2. waits until every publish has its answer in the outbox;
//  3. leaves its subscriber, which gives back what is not acknowledged;
//  4. writes what is in the outbox and a close frame, and closes its side of the connection;
//  5. waits a moment for the peer to close, too.
//
// Any other end takes the same way but for step 2. Close is the way without waiting.
package microservice
