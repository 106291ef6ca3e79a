package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/tenant"
)

// account is an Inspector's connection to one NATS account.
type account struct{ control }

// dialAccount connects once: a tool says what is wrong instead of waiting for it to get better.
func dialAccount(config InspectorConfig, name string) (*account, error) {
	o, err := config.Options(name)
	if err != nil {
		return nil, err
	}
	o.Name = "weir inspector"
	o.AllowReconnect = false
	o.Timeout = inspectTimeout
	nc, err := o.Connect()
	if err != nil {
		return nil, connectError(err)
	}
	js, err := natsjs.New(nc, natsjs.WithDefaultTimeout(inspectTimeout))
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &account{control{nc: nc, js: js}}, nil
}

func connectError(err error) error {
	network, ok := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, nats.ErrAuthorization):
		return ErrLogin
	case errors.Is(err, nats.ErrNoServers):
		return ErrUnreachable
	case ok:
		return fmt.Errorf("%w: %w", ErrUnreachable, network)
	}
	return err
}

// tenants reads the tenants store, which is in Weir's own account.
func (a *account) tenants(ctx context.Context) (map[string]tenant.Policies, error) {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	found := make(map[string]tenant.Policies)
	kv, err := a.js.KeyValue(ctx, tenantBucket)
	if errors.Is(err, natsjs.ErrBucketNotFound) {
		return found, nil
	}
	if err != nil {
		return nil, fmt.Errorf("tenants store: %w", silent(err))
	}
	watch, err := kv.WatchAll(ctx, natsjs.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("tenants store: %w", silent(err))
	}
	defer func() { _ = watch.Stop() }() // the connection ends soon, and its consumers with it
	for {
		select {
		case e, ok := <-watch.Updates():
			switch {
			case !ok:
				return nil, errors.New("tenants store: the connection has ended")
			case e == nil:
				return found, nil // that was all
			}
			found[e.Key()] = nil
			if t, err := tenant.Decode(e.Value()); err == nil {
				found[e.Key()] = t.Rules.Resolve(t.Quotas)
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("tenants store: %w", ctx.Err())
		}
	}
}

// silent says in words what no answer means.
func silent(err error) error {
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, natsjs.ErrJetStreamNotEnabled) {
		return errors.New("JetStream is not enabled, or has no leader")
	}
	return err
}

// Requests to JetStream's API, made here because nats.go's lists do not tell what a cluster left out for want of an answer, and
// its purge does not tell how many messages it deleted.
const (
	apiStreams   = natsjs.DefaultAPIPrefix + "STREAM.LIST"
	apiConsumers = natsjs.DefaultAPIPrefix + "CONSUMER.LIST."
	apiPurge     = natsjs.DefaultAPIPrefix + "STREAM.PURGE."
	apiInfo      = natsjs.DefaultAPIPrefix + "STREAM.INFO."
	apiMessage   = natsjs.DefaultAPIPrefix + "STREAM.MSG.GET."
)

type apiPage struct {
	Offset  int    `json:"offset"`
	Subject string `json:"subject,omitempty"` // of streams
}

type apiAnswer struct {
	Error *natsjs.APIError `json:"error"`

	// of lists
	Total     int                    `json:"total"`
	Limit     int                    `json:"limit"`
	Missing   []string               `json:"missing"`
	Streams   []*natsjs.StreamInfo   `json:"streams"`
	Consumers []*natsjs.ConsumerInfo `json:"consumers"`

	// of a purge
	Purged uint64 `json:"purged"`

	// of a stream
	State struct {
		Subjects map[string]uint64 `json:"subjects"`
	} `json:"state"`

	// of a message
	Message struct {
		Sequence uint64    `json:"seq"`
		Time     time.Time `json:"time"`
	} `json:"message"`
}

func (a *account) ask(ctx context.Context, subject string, request any) (apiAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	data, err := json.Marshal(request)
	if err != nil {
		return apiAnswer{}, err
	}
	m, err := a.nc.RequestWithContext(ctx, subject, data)
	if err != nil {
		return apiAnswer{}, silent(err)
	}
	var answer apiAnswer
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return apiAnswer{}, fmt.Errorf("answer of %s: %w", subject, err)
	}
	if answer.Error != nil {
		return apiAnswer{}, answer.Error
	}
	return answer, nil
}

// list asks for all pages of a list. The error may be that something is missing from it.
func (a *account) list(ctx context.Context, subject string, page apiPage, take func(apiAnswer)) error {
	missing := 0
	for {
		answer, err := a.ask(ctx, subject, page)
		if err != nil {
			return err
		}
		missing += len(answer.Missing)
		page.Offset += answer.Limit
		// Some of what is missing is there with no more than its configuration.
		answer.Streams = slices.DeleteFunc(answer.Streams, func(s *natsjs.StreamInfo) bool {
			return slices.Contains(answer.Missing, s.Config.Name)
		})
		answer.Consumers = slices.DeleteFunc(answer.Consumers, func(c *natsjs.ConsumerInfo) bool { return c.Name == "" })
		take(answer)
		if page.Offset >= answer.Total || answer.Limit == 0 {
			break
		}
	}
	if missing > 0 {
		return fmt.Errorf("%d without an answer from the server that has them", missing)
	}
	return nil
}

// streams lists the streams of the account that have the subject; empty: all.
func (a *account) streams(ctx context.Context, subject string) ([]*natsjs.StreamInfo, error) {
	var all []*natsjs.StreamInfo
	err := a.list(ctx, apiStreams, apiPage{Subject: subject}, func(page apiAnswer) { all = append(all, page.Streams...) })
	if err != nil {
		err = fmt.Errorf("streams: %w", err)
	}
	return all, err
}

// topic returns what a stream holds of its topic, and the zero value where the stream has been deleted since it was listed.
func (a *account) topic(ctx context.Context, s *natsjs.StreamInfo) (StoredTopic, error) {
	t := storedTopic(s)
	consumers, err := a.consumers(ctx, s)
	if hasCode(err, natsjs.JSErrCodeStreamNotFound) {
		return StoredTopic{}, nil
	}
	for _, c := range consumers {
		t.Consumers = append(t.Consumers, storedConsumer(c, s))
	}
	sortConsumers(t.Consumers)
	return t, err
}

// consumers lists those of a stream. With an error they may not be all.
func (a *account) consumers(ctx context.Context, s *natsjs.StreamInfo) (all []*natsjs.ConsumerInfo, err error) {
	// With replicas the number of consumers is what one server knows.
	if s.State.Consumers == 0 && s.Config.Replicas == 1 {
		return nil, nil
	}
	err = a.list(ctx, apiConsumers+s.Config.Name, apiPage{}, func(page apiAnswer) { all = append(all, page.Consumers...) })
	if err != nil {
		err = fmt.Errorf("consumers of stream %s: %w", s.Config.Name, err)
	}
	return all, err
}

// purge deletes the messages of a stream, those of a subject or with "" all, and returns how many there were.
func (a *account) purge(ctx context.Context, stream, subject string) (uint64, error) {
	answer, err := a.ask(ctx, apiPurge+stream, struct {
		Filter string `json:"filter,omitempty"`
	}{subject})
	return answer.Purged, err
}
