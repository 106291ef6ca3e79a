package reader

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// naming is what the reader's consumer is called. It is guarded by the reader's mu, and only Open and the keeper change it.
//
// A name is not used again once its consumer was deleted. The server tells of a deletion before it removes the consumer's
// directory: one that is made by that name meanwhile loses its directory to the deletion. It delivers all the same, but
// refuses every change from then on, and does not outlive the server.
type naming struct {
	durable string
	renamed int      // names taken after the first
	spent   bool     // the next consumer gets a new name
	watched string   // subject of the advisory that the consumer was deleted
	former  []string // consumers that may still be there, to be deleted once there is another
}

// find looks for a consumer that is kept, which may have come to a later name. It is nil where there is none.
func (r *Reader) find(ctx context.Context) (*natsjs.ConsumerInfo, error) {
	c, err := r.cfg.JetStream.PushConsumer(ctx, r.cfg.Stream, r.cfg.Durable)
	if errors.Is(err, natsjs.ErrConsumerNotFound) {
		var later string
		if later, err = r.later(ctx); err != nil || later == "" {
			return nil, err
		}
		c, err = r.cfg.JetStream.PushConsumer(ctx, r.cfg.Stream, later)
	}
	if err != nil {
		return nil, err
	}
	info := c.CachedInfo()
	r.lock(func() { r.durable = info.Name })
	r.made, r.found = info.Config, true
	return info, nil
}

// later returns the last of the names that the consumer was given after the first, empty where there is none.
func (r *Reader) later(ctx context.Context) (name string, err error) {
	stream, err := r.cfg.JetStream.Stream(ctx, r.cfg.Stream)
	if err != nil {
		return "", err
	}
	last := 0
	names := stream.ConsumerNames(ctx)
	for found := range names.Name() {
		if n, ok := renamed(r.cfg.Durable, found); ok && n > last {
			last, name = n, found
		}
	}
	if err = names.Err(); errors.Is(err, natsjs.ErrEndOfData) {
		err = nil
	}
	r.lock(func() { r.renamed = last })
	return name, err
}

// renamed tells how many names a consumer has had after the first.
func renamed(base, name string) (n int, ok bool) {
	rest, ok := strings.CutPrefix(name, base+renaming)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(rest)
	return n, err == nil
}

// renaming stands between the first name and the number of a later one.
const renaming = "_r"

// rename takes a new name where the present one is spent.
func (n *naming) rename(base string) {
	if !n.spent {
		return
	}
	n.former = append(n.former, n.durable)
	n.renamed++
	n.durable, n.spent = base+renaming+strconv.Itoa(n.renamed), false
}

// name is that of the consumer as it is now.
func (r *Reader) name() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.durable
}

// spend takes note that the consumer is gone, or good for nothing.
func (r *Reader) spend() {
	r.lock(func() { r.spent = true })
}

// clear deletes the consumers of former names, which would hold messages for ever: they deliver to the same subject, and so
// are never taken for inactive.
func (r *Reader) clear(ctx context.Context, stream string) error {
	r.mu.Lock()
	former := r.former
	r.mu.Unlock()
	var errs []error
	for _, name := range former {
		if err := r.cfg.JetStream.DeleteConsumer(ctx, stream, name); err != nil && !missing(err) {
			errs = append(errs, err)
		}
	}
	if errs == nil {
		r.lock(func() { r.former = nil })
	}
	return errors.Join(errs...)
}

// wedged tells whether the server may have failed to write a consumer to its disk. It has no error for just that.
func wedged(err error) bool {
	api, ok := errors.AsType[natsjs.JetStreamError](err)
	return ok && api.APIError() != nil && api.APIError().ErrorCode == natsjs.JSErrCodeConsumerCreate
}

// errAltered: somebody has changed what the consumer delivers, or where.
var errAltered = errors.New("consumer delivers something else, or elsewhere")

// altered tells whether a consumer is of no use to the reader as it is. Otherwise its settings are taken for what they are,
// so that a window that somebody has changed is brought back, and a pause remains one.
func (r *Reader) altered(is natsjs.ConsumerConfig) bool {
	was := r.cfg.consumer("", natsjs.DeliverNewPolicy, 0)
	if is.DeliverSubject != r.cfg.Deliver || is.FilterSubject != was.FilterSubject || !slices.Equal(is.FilterSubjects, was.FilterSubjects) {
		return true
	}
	r.made = is
	return false
}

// doubt gives up a name by which the consumer cannot be made although the server has one.
func (r *Reader) doubt(ctx context.Context, stream, durable string, err error) {
	if !wedged(err) {
		return
	}
	if _, err := r.cfg.JetStream.PushConsumer(ctx, stream, durable); err == nil {
		r.spend()
	}
}

// sidestep replaces a consumer that refuses a change. The other one is made first: where the server refuses that as
// well, as with a full disk, the present one is better than none.
func (r *Reader) sidestep(ctx context.Context) {
	r.mu.Lock()
	stream, from, after := r.stream, r.next(), r.naming
	r.mu.Unlock()
	after.spent = true
	after.rename(r.cfg.Durable)
	_, err := r.create(ctx, stream, after.durable, natsjs.DeliverByStartSequencePolicy, from, true)
	if _, refused := errors.AsType[natsjs.JetStreamError](err); refused {
		r.cfg.Log.Debug("reader: consumer not replaced", zap.String("stream", stream), zap.String("consumer", after.durable), zap.Error(err))
		return
	}
	r.lock(func() {
		r.naming = after
		r.adrift, r.lost = true, true
		r.reset(causeWedged)
	})
}

// address turns the reply subject of a delivery, which may have come from a former consumer, into that of the present one.
// The caller holds mu.
func (r *Reader) address(reply string) string {
	if r.renamed == 0 {
		return reply
	}
	return readdress(reply, r.durable)
}

// readdress turns the reply subject of a delivery into that of another consumer of the same stream.
func readdress(reply, durable string) string {
	before := plainConsumer
	if strings.Count(reply, ".")+1 != plainTokens {
		before = domainConsumer
	}
	start := 0
	for range before {
		start += strings.IndexByte(reply[start:], '.') + 1
	}
	end := start + strings.IndexByte(reply[start:], '.')
	if reply[start:end] == durable {
		return reply
	}
	return reply[:start] + durable + reply[end:]
}
