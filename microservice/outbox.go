package microservice

// outboxHard is how full in bytes an outbox may be for another frame to be read: answers fill it.
const outboxHard = 256 << 10

// outboxKept is the largest outbox in bytes whose memory is kept for the next answers.
const outboxKept = 8 << 10

// outbox collects answers for the writing goroutine, which takes all of them at once.
type outbox struct {
	buf  []byte
	ends []int // of the frames in buf
}

// room tells whether the answers to another frame fit.
func (o *outbox) room() bool { return len(o.buf) < outboxHard }

// add adds one frame, which write appends.
func (o *outbox) add(write func(dst []byte) []byte) {
	o.buf = write(o.buf)
	o.ends = append(o.ends, len(o.buf))
}

// each calls f for every frame, until one fails.
func (o *outbox) each(f func(text []byte) error) error {
	start := 0
	for _, end := range o.ends {
		if err := f(o.buf[start:end]); err != nil {
			return err
		}
		start = end
	}
	return nil
}

// reset empties it, and keeps its memory unless it is much.
func (o *outbox) reset() {
	if cap(o.buf) > outboxKept {
		*o = outbox{}
		return
	}
	o.buf, o.ends = o.buf[:0], o.ends[:0]
}
