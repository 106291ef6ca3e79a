package reader

import (
	"context"

	natsjs "github.com/nats-io/nats.go/jetstream"
)

const (
	// countings is how often a loss is counted at most. The server goes on removing what a deleted consumer held after it has told of the
	// deletion, and does not look whether somebody wants it by then.
	countings = 8
	// mostGaps is how many deleted sequences a stream lists, at some ten bytes each.
	mostGaps = 1 << 16
)

// missing counts what lay between the last delivery and the end of the stream and is not there any more; what expired meanwhile is
// among it. It is asked after the new consumer was made: from then on the stream keeps what is stored, so that the number does not depend on
// when it is asked.
func (r *Reader) missing(ctx context.Context, before *position, stream natsjs.Stream, made *natsjs.ConsumerInfo) (uint64, error) {
	if len(r.cfg.Filters) == 0 {
		lost, exact, err := r.countGone(ctx, stream, before.high)
		if err != nil || exact {
			return lost, err
		}
		// What was stored since the consumer was made is counted as well.
		now := stream.CachedInfo()
		return before.estimate(now, made, max(now.State.LastSeq, before.high)-before.high), nil
	}
	// In a stream of many subjects nobody can tell what the deleted ones were: only what the consumer told of is counted.
	lost := before.estimate(stream.CachedInfo(), made, before.pending)
	for range countings {
		c, err := r.cfg.JetStream.PushConsumer(ctx, made.Stream, made.Name)
		if err != nil {
			return 0, err
		}
		n := before.estimate(stream.CachedInfo(), c.CachedInfo(), before.pending)
		if n <= lost {
			break
		}
		lost = n
	}
	return lost, nil
}

// countGone counts the sequences above after that the stream has given out and does not hold, and asks until these become no more. They are not
// exactly known where the stream has too many gaps to list.
func (r *Reader) countGone(ctx context.Context, stream natsjs.Stream, after uint64) (n uint64, exact bool, err error) {
	created := stream.CachedInfo().Created
	for i := range countings {
		info, err := stream.Info(ctx)
		if err != nil {
			return 0, false, err
		}
		if info.State.FirstSeq <= after && info.State.NumDeleted > 0 {
			if info.State.NumDeleted > mostGaps {
				return 0, false, nil
			}
			if info, err = stream.Info(ctx, natsjs.WithDeletedDetails(true)); err != nil {
				return 0, false, err
			}
		}
		if !info.Created.Equal(created) || info.State.LastSeq < after {
			return 0, false, errMoved
		}
		now := gaps(&info.State, after)
		if i > 0 && now <= n {
			break
		}
		n = now
	}
	return n, true, nil
}

// gaps counts the sequences above after that the stream does not hold.
func gaps(state *natsjs.StreamState, after uint64) (n uint64) {
	if state.FirstSeq > after {
		return state.LastSeq - after - state.Msgs
	}
	for _, sequence := range state.Deleted {
		if sequence > after {
			n++
		}
	}
	return n
}

// estimate tells how many of the messages expected after the last delivery the new consumer does not have.
func (p *position) estimate(stream *natsjs.StreamInfo, info *natsjs.ConsumerInfo, expected uint64) uint64 {
	// Of what it will deliver, the sink may hold a part already.
	there := info.NumPending + uint64(info.NumAckPending)
	if first := stream.State.FirstSeq; first <= p.high {
		held := uint64(p.unsettled())
		if stream.Config.Retention == natsjs.LimitsPolicy {
			held = p.high + 1 - max(p.next(), first) // what was acknowledged stays in the stream
		}
		there -= min(there, held)
	}
	return expected - min(expected, there)
}
