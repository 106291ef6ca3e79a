package main

import "os"

// ballastSize in bytes is by how much the heap may grow before it is collected, besides the usual share of what is alive.
const ballastSize = 16 << 20

// takeBallast returns memory that is never touched, so that it occupies address space only. The collector counts it as alive
// and therefore runs far less often while Weir holds little, which is when a run is worth least; with a large heap it
// makes no difference. It is nil where the operator has said how the collector is to work.
func takeBallast() []byte {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	return make([]byte, ballastSize)
}
