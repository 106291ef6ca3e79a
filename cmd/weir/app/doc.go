// Package app is the Weir program as a value: it takes a Config, wires the packages together, and can be started on
// free ports and stopped again as often as a test likes.
//
// # Start
//
//  1. the tenants file and the TLS files are read; a bad one stops the start
//  2. NATS: the embedded server is started, or connections to an external system are begun
//  3. tenants: those of the store come into force, after the tenants file has been applied to it
//  4. the keys that sign tokens; where there are none yet, the first is made
//  5. listeners
//
// With an external NATS system that cannot be reached, steps 3 and 4 wait in the background while the listeners are open:
// /readyz says so, and CONNECT is refused with nats_unavailable.
//
// # Goroutines
//
// One for each listener, one that brings tenants into force, one the signing keys, one that opens their message logs, one that applies the
// tenants file, one that reloads the TLS files. Close ends them all and waits for them.
//
// # Stop
//
// In the reverse order: connections of all kinds (package bridge says how for MQTT), the background work, the fan-out, the store, the embedded server, and at
// last the admin listener, so that /healthz answers to the end.
package app
