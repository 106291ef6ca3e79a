// Package load is a lean client that loads a server and checks what comes back: MQTT 3.1.1, and for comparisons with it a microservice over WebSocket, and
// a service and a publisher over native NATS.
//
// It shares the machine with the server it measures, so it spends as little processor time as it can:
// packets are built once and patched, several leave in one write, and acknowledgements are answered per read,
// not per packet. All systems get the same bytes in the same rhythm. Only native NATS is nats.go as everyone uses it.
//
// A [Run] has one subscriber and one or more publishers, all at QoS 1:
//
//	publisher.send ──PUBLISH──▶ server ──PUBLISH──▶ subscriber.receive
//	publisher.receive ◀─PUBACK─ server ◀─PUBACK──── subscriber.receive
//
// Over WebSocket a message and its acknowledgement are a text frame each; over NATS what leaves is a publish with a PubAck, and
// what comes goes through a durable pull consumer. The publishers' link and the subscriber differ, what is counted, bounded and checked does not.
//
// Two semaphores bound what is in flight: each publisher's window (PUBLISH without PUBACK), and one for the whole
// run (published, not delivered), which keeps a server that acknowledges early from measuring the size of its
// queue. A backlog is published whole before the subscriber receives. The intake checks that every publisher's messages arrive complete, once and in order.
package load
