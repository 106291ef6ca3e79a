package main

import "os"

// ballastSize in bytes is by how much the heap may grow before it is collected, besides the usual share of what is alive.
const ballastSize = 16 << 20

// ballast is never touched, so that it occupies address space and no memory. The collector counts it as alive and therefore
// runs far less often while Weir holds little, which is when a run is worth least; with a large heap it makes no difference.
var ballast []byte

// takeBallast does nothing where the operator has said how the collector is to work.
func takeBallast() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		ballast = make([]byte, ballastSize)
	}
}
