package codec

import (
	"errors"
	"io"
)

// minBuffer is the size in bytes of an idle Reader's buffer and the first step of its growth.
const minBuffer = 4 << 10

// maxHeader is the size of the largest fixed header.
const maxHeader = 5

// maxEmptyReads is how many reads in a row may return nothing.
const maxEmptyReads = 100

// Reader splits a byte stream into packets. One goroutine uses it. It holds one buffer, which grows with the bytes
// that arrive, by doubling, to the packet at hand and no further than the limit, and is small again once that packet
// is gone. One read takes whatever has arrived, as far as it fits.
type Reader struct {
	r     io.Reader
	limit int
	buf   []byte
	start int   // what is before has been returned
	end   int   // what is behind has not been read
	err   error // came with the last bytes, not yet returned
}

// NewReader returns a Reader that refuses packets of more than limit bytes, fixed header included.
func NewReader(r io.Reader, limit int) *Reader { return &Reader{r: r, limit: limit} }

// SetLimit changes the limit for the packets that follow.
func (r *Reader) SetLimit(limit int) { r.limit = limit }

// Next returns the next packet's header and body. The body is valid until the next call. A packet over the limit
// is *Error with PacketTooLarge, without waiting for its body; a bad remaining length or type is an *Error;
// a stream that ends between packets is io.EOF, within one io.ErrUnexpectedEOF.
func (r *Reader) Next() (Header, []byte, error) {
	for {
		h, size, err := r.header()
		if err != nil {
			return Header{}, nil, err
		}
		total := size + h.Length
		if size > 0 && r.end-r.start >= total {
			body := r.buf[r.start+size : r.start+total : r.start+total]
			r.start += total
			return h, body, nil
		}
		if err := r.fill(total); err != nil {
			if errors.Is(err, io.EOF) && r.end > r.start {
				err = io.ErrUnexpectedEOF
			}
			return Header{}, nil, err
		}
	}
}

// Buffered tells how many bytes have been read from the stream and not yet returned.
func (r *Reader) Buffered() int { return r.end - r.start }

// header returns the fixed header at the front of the buffer and its size in bytes, 0 as long as it is not complete.
func (r *Reader) header() (h Header, size int, err error) {
	b := r.buf[r.start:r.end]
	if len(b) == 0 {
		return h, 0, nil
	}
	h = Header{Type: Type(b[0] >> 4), Flags: b[0] & 0x0F}
	if h.Type == 0 {
		return h, 0, errPacketType.in(V5)
	}
	length, n, bad := varint(b[1:])
	if bad != nil {
		return h, 0, bad.in(V5)
	}
	if n == 0 {
		return h, 0, nil
	}
	h.Length = length
	if 1+n+length > r.limit {
		return h, 0, errPacketTooLong.in(V5)
	}
	return h, 1 + n, nil
}

// fill reads once, at least one byte or an error, into a buffer for a packet of total bytes, 0 for not known yet.
func (r *Reader) fill(total int) error {
	if r.err != nil {
		err := r.err
		r.err = nil
		return err
	}
	r.makeRoom(max(total, maxHeader))
	for range maxEmptyReads {
		n, err := r.r.Read(r.buf[r.end:])
		r.end += n
		if n > 0 {
			r.err = err
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// makeRoom makes the buffer longer than what it holds, for a packet of total bytes.
func (r *Reader) makeRoom(total int) {
	held := r.end - r.start
	switch {
	case held == 0:
		if len(r.buf) != minBuffer {
			r.buf = make([]byte, minBuffer)
		}
	case r.end < len(r.buf):
		return
	case r.start > 0 && len(r.buf) <= max(minBuffer, total):
		copy(r.buf, r.buf[r.start:r.end])
	default:
		r.move(max(minBuffer, min(2*held, total)))
	}
	r.start, r.end = 0, held
}

// move moves what the buffer holds into one of the given size.
func (r *Reader) move(size int) {
	buf := make([]byte, size)
	copy(buf, r.buf[r.start:r.end])
	r.buf = buf
}
