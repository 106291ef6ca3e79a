package jetstream

import (
	"context"
	"errors"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
)

// ErrNoKeys is the answer where no Weir has made keys yet that sign tokens.
var ErrNoKeys = errors.New("there are no signing keys: no Weir has made any")

// SigningKey is a key that signs tokens, as it can be shown.
type SigningKey struct {
	ID      string
	Created time.Time
	// SignsFrom is when bridges sign with it, if they are connected.
	SignsFrom time.Time
	// Older is how many others there are, with which tokens are still verified.
	Older int
}

// RotateKey makes a new key at once. Tokens that were signed with the others stay valid. The error is ErrNoKeys or of JetStream.
func (i *Inspector) RotateKey(ctx context.Context) (SigningKey, error) {
	own, err := i.account("")
	if err != nil {
		return SigningKey{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	for {
		key, err := own.rotateKey(ctx)
		if err == nil || !conflict(err) {
			return key, silent(err)
		}
		if ctx.Err() != nil {
			return SigningKey{}, ctx.Err()
		}
	}
}

// rotateKey tries once. The error is a conflict where somebody has replaced the record in the meantime.
func (a *account) rotateKey(ctx context.Context) (SigningKey, error) {
	stream, err := a.js.Stream(ctx, keyStream)
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		err = ErrNoKeys
	}
	if err != nil {
		return SigningKey{}, err
	}
	// What is read may be old; then the write is refused.
	m, err := stream.GetLastMsgForSubject(ctx, keySubject)
	if errors.Is(err, natsjs.ErrMsgNotFound) {
		err = ErrNoKeys
	}
	if err != nil {
		return SigningKey{}, err
	}
	record := decodeKeys(m.Data)
	if record.unreadable {
		return SigningKey{}, errors.New("the signing keys are of another version of Weir")
	}
	next, err := record.rotated(time.Now())
	if err != nil {
		return SigningKey{}, err
	}
	if _, err := publish(ctx, a.control, keySubject, next, 0, natsjs.WithExpectLastSequencePerSubject(m.Sequence)); err != nil {
		return SigningKey{}, err
	}
	made := next.newest()
	return SigningKey{ID: made.ID, Created: made.Created, SignsFrom: made.Created.Add(keyDelay), Older: len(next.Keys) - 1}, nil
}
