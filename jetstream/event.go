package jetstream

import (
	"encoding/json"

	"go.uber.org/zap"

	"github.com/weirmq/weir/message"
)

// maxEvents is how many events may wait to be written; more are dropped and counted.
const maxEvents = 1024

// event is one announcement, ready to be written.
type event struct {
	subject string
	data    []byte
}

// Event announces that a client connected or disconnected (presence), in the background; it never blocks. kind is
// "connected" or "disconnected", v becomes JSON. While NATS cannot be reached there is nobody to tell.
func (l *Log) Event(kind, clientID string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		l.log.Error("event", zap.String("kind", kind), zap.Error(err))
		return
	}
	select {
	case l.events <- event{subject: eventsPrefix + l.tenant + "." + kind + "." + message.SubjectLevel(clientID), data: data}:
	default:
		l.store.metrics.eventsDropped.Inc()
	}
}

// tell writes events until the store is closed, and then what is left of them. A connection that takes nothing holds up
// nobody else.
func (l *Log) tell() {
	for {
		select {
		case e := <-l.events:
			l.publishEvent(e)
		case <-l.store.ctx.Done():
			for {
				select {
				case e := <-l.events:
					l.publishEvent(e)
				default:
					return
				}
			}
		}
	}
}

func (l *Log) publishEvent(e event) {
	if err := l.link.nc.Publish(e.subject, e.data); err != nil {
		l.store.metrics.eventsDropped.Inc()
		l.log.Debug("event not published", zap.String("subject", e.subject), zap.Error(err))
	}
}
