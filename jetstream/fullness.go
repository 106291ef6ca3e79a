package jetstream

import (
	"errors"
	"fmt"

	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/reason"
)

// fullness is what is said of a publish for which a stream has no room, by what there is too much of. %q is the filter of the rule.
type fullness struct{ bytes, messages, whole string }

// explain names the rule that a refused message has run into, and its key. Other refusals stay as they are.
func (f fullness) explain(l *Log, topic string, r publisher.Result) publisher.Result {
	name := reason.BacklogFull
	var text string
	switch {
	case errors.Is(r.Err, publisher.ErrBytesFull):
		text = f.bytes
	case errors.Is(r.Err, publisher.ErrMessagesFull):
		text = f.messages
	case errors.Is(r.Err, publisher.ErrOverStreamSize):
		name, text = reason.MessageTooLarge, f.whole
	default:
		return r
	}
	r.Err = reason.New(name, fmt.Sprintf(text, l.policyOf(topic).Filter))
	return r
}
