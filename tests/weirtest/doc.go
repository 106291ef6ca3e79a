// Package weirtest runs Weir as its users do: as a process, with an embedded NATS server or beside a nats-server of its
// own, to be killed and started again on the same ports and the same data. Weir is built with the race detector where
// the test is; a data race, or a fault of a connection, in any process that it started fails the test.
//
// Client is an MQTT client for tests of the protocol itself: it sends what it is told and shows what comes.
package weirtest
