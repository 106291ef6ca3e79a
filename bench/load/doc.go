// Package load is a lean MQTT 3.1.1 client that loads a server and checks what comes back.
//
// It shares the machine with the server it measures, so it spends as little processor time as it can:
// packets are built once and patched, several leave in one write, and acknowledgements are answered per read,
// not per packet. All systems get the same bytes in the same rhythm.
//
// A [Run] has one subscriber and one or more publishers, all at QoS 1:
//
//	publisher.send ──PUBLISH──▶ server ──PUBLISH──▶ subscriber.receive
//	publisher.receive ◀─PUBACK─ server ◀─PUBACK──── subscriber.receive
//
// Two semaphores bound what is in flight: each publisher's window (PUBLISH without PUBACK), and one for the whole
// run (published, not delivered), which keeps a server that acknowledges early from measuring the size of its
// queue. The subscriber checks that every publisher's messages arrive complete, once and in order.
package load
