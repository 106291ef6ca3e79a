package microservice

import "sync"

// bufferKept is the largest buffer in bytes that is kept for use again.
const bufferKept = 2 * lineBytes

// buffers are those that no socket holds: one on which nothing comes or goes needs none.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}

// borrow returns an empty buffer.
func borrow() *[]byte {
	b, _ := buffers.Get().(*[]byte)
	return b
}

// giveBack takes back a buffer that nobody uses any more.
func giveBack(b *[]byte) {
	if cap(*b) <= bufferKept {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}
