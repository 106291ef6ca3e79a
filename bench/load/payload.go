package load

import (
	"encoding/binary"
	"time"
)

// PayloadSize is the size of every payload, in bytes.
const PayloadSize = 128

// A payload starts with when it was sent, its number and its publisher; the rest is padding.
const (
	offsetStamp     = 0
	offsetSequence  = 8
	offsetPublisher = 16
)

// epoch is what stamps count from.
var epoch = time.Now()

// Now is the time since the epoch; both ends of a message are in this process.
func Now() time.Duration { return time.Since(epoch) }

type payload []byte

func (p payload) set(stamp time.Duration, sequence uint64, publisher int) {
	binary.BigEndian.PutUint64(p[offsetStamp:], uint64(stamp))
	binary.BigEndian.PutUint64(p[offsetSequence:], sequence)
	binary.BigEndian.PutUint32(p[offsetPublisher:], uint32(publisher))
}

func (p payload) stamp() time.Duration {
	return time.Duration(binary.BigEndian.Uint64(p[offsetStamp:]))
}

func (p payload) sequence() uint64 { return binary.BigEndian.Uint64(p[offsetSequence:]) }

func (p payload) publisher() int { return int(binary.BigEndian.Uint32(p[offsetPublisher:])) }
