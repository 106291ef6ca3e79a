// Package wire is a NATS connection for the data path: publishes, deliveries and acknowledgements, many of them, small.
//
// Compared with nats.go it does less for each message. Bytes that arrive are read in place: a handler is called on the
// goroutine that reads the connection, with slices of its buffer, so it must not block and must copy what it keeps. What is
// published is appended to a buffer that one other goroutine writes, all that has gathered in one go. Nothing is
// looked up but the subscription.
//
// A connection is made again for ever, through all servers that were named and those that the cluster has told of. Nothing of
// the old connection lives on in the new one: subscriptions have ended, and what was not written is gone. Each
// connection has a number, its epoch, and whoever publishes or subscribes says which one is meant, so that nothing can slip
// from one into the next unnoticed.
package wire
