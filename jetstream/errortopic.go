package jetstream

import (
	"context"
	"encoding/json"
	"strconv"

	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/naming"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/jetstream/wire"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tenant"
)

// OwnErrors is the topic under which a client sees its own errors.
const OwnErrors = "$debug/$error"

// maxReports is how many reports may wait for their answer; more are dropped and counted.
const maxReports = 1000

// ErrorReport is one entry of the error topic, a JSON object as it is written.
type ErrorReport struct {
	Time       string `json:"time"` // RFC 3339 with nanoseconds
	ClientID   string `json:"clientId"`
	Code       string `json:"code"`
	Message    string `json:"message"`
	Packet     string `json:"packet,omitempty"`
	Topic      string `json:"topic,omitempty"`
	PacketID   uint16 `json:"packetId,omitempty"`
	Suppressed int    `json:"suppressed,omitempty"`
}

// ReportError writes to the error topic of a client, in the background; it never blocks. Rate limiting is the caller's.
func (l *Log) ReportError(user string, e ErrorReport) {
	if l.reports.Add(1) > maxReports {
		l.reports.Add(-1)
		l.store.metrics.reportsDropped.Inc()
		return
	}
	data, err := json.Marshal(e)
	if err != nil {
		l.reports.Add(-1)
		l.log.Error("error report", zap.Error(err))
		return
	}
	topic := errorTopics + naming.Level(e.ClientID)
	m := &message.Message{Topic: topic, Payload: data, User: user, QoS: 1}
	l.link.shardOf(l.tenant, topic).publisher.Publish(l.names.errorSubject(e.ClientID), m, reported{l}, 0)
}

// reported takes the answers to error reports.
type reported struct{ log *Log }

// Published counts what was not stored.
func (r reported) Published(_ uint64, result publisher.Result) {
	r.log.reports.Add(-1)
	if result.Outcome != publisher.Stored {
		r.log.store.metrics.reportsDropped.Inc()
		r.log.log.Debug("error report not stored", zap.Error(result.Err))
	}
}

// AttachErrors delivers the error topic to one subscription: of one client identifier and user with what was kept of its previous
// connections, or with clientID "" of the whole tenant. A client sees its own under the topic OwnErrors.
func (l *Log) AttachErrors(ctx context.Context, clientID, user string, sink reader.Sink) (Reader, error) {
	name := "e" + strconv.FormatUint(l.store.deliveries.Add(1), 10)
	a, err := l.reserve(ctx, attachmentKey{place: tenant.Place{Name: l.names.errors}, name: name})
	if err != nil {
		return nil, refusal(err, 0)
	}
	config := l.readerConfig(l.link.shardOf(l.tenant, clientID), l.names.errors, name)
	if clientID != "" {
		config.Start = reader.StartAll
		config.Filters = []string{l.names.errorSubject(clientID)}
		decode := config.Decode
		config.Decode = func(m *wire.Msg) (*message.Message, error) {
			decoded, err := decode(m)
			if err != nil {
				return nil, err
			}
			if decoded.User != user {
				return nil, nil // whoever had the client identifier before
			}
			decoded.Topic = OwnErrors
			return decoded, nil
		}
	}
	r, err := reader.Open(ctx, config, sink)
	if err != nil {
		l.unreserve(a)
		return nil, refusal(err, 0)
	}
	l.opened(a, r)
	return a, nil
}
