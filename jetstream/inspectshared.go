package jetstream

import (
	"context"
	"fmt"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/message"
)

const (
	// inspectTopics is how many topics of a shared stream are asked for at a time.
	inspectTopics = 16
	// maxExtents is of how many topics of a shared stream it is asked which messages they have; that takes two requests each.
	maxExtents = 1000
)

// isShared reports whether a stream is that of a shared rule.
func isShared(s *natsjs.StreamInfo) bool { return s.Config.Metadata[metaFilter] != "" }

// sharedTopics returns what a shared stream holds of the topics that a query asks for, and how many others it leaves out. Topics
// without messages are not among them: nothing is stored of them.
func (a *account) sharedTopics(ctx context.Context, s *natsjs.StreamInfo, q Query) (topics []StoredTopic, omitted int, err error) {
	name := s.Config.Metadata[metaTenant]
	subjects := make(map[string]uint64)
	for _, subject := range q.subjects(name) {
		if err := a.subjects(ctx, s.Config.Name, subject, subjects); err != nil {
			return nil, 0, unlessGone(err)
		}
	}
	shown, omitted := fullest(name, subjects, q.wants, q.Limit)
	if len(shown) == 0 {
		return nil, 0, nil
	}
	consumers, err := a.consumers(ctx, s)
	errs := []error{unlessGone(err)}
	topics = make([]StoredTopic, len(shown))
	failures := make([]error, len(shown))
	var g errgroup.Group
	g.SetLimit(inspectTopics)
	for n, t := range shown {
		g.Go(func() error {
			e := extent{subject: t.subject, messages: t.messages}
			if n < maxExtents {
				e, failures[n] = a.extent(ctx, s.Config.Name, t.subject, t.messages)
			}
			topics[n] = storedShared(s, t.topic, e, consumers)
			return nil
		})
	}
	_ = g.Wait() // the errors are in failures
	return topics, omitted, inspectErrors(append(errs, failures...))
}

// sharedTopic is what a shared stream holds of one of its topics, which may be nothing.
func (a *account) sharedTopic(ctx context.Context, s *natsjs.StreamInfo, topic string) (StoredTopic, error) {
	subject := message.Subject(s.Config.Metadata[metaTenant], topic)
	subjects := make(map[string]uint64)
	if err := a.subjects(ctx, s.Config.Name, subject, subjects); err != nil {
		return StoredTopic{}, unlessGone(err)
	}
	e, err := a.extent(ctx, s.Config.Name, subject, subjects[subject])
	if err != nil {
		return StoredTopic{}, unlessGone(err)
	}
	consumers, err := a.consumers(ctx, s)
	return storedShared(s, topic, e, consumers), unlessGone(err)
}

// unlessGone takes the error away that the stream has been deleted since it was listed: then there is nothing to be seen.
func unlessGone(err error) error {
	if hasCode(err, natsjs.JSErrCodeStreamNotFound) {
		return nil
	}
	return err
}

// subjects adds the subjects of a stream that match, with the numbers of their messages.
func (a *account) subjects(ctx context.Context, stream, subject string, found map[string]uint64) error {
	request := struct {
		Filter string `json:"subjects_filter"`
		Offset int    `json:"offset,omitempty"`
	}{Filter: subject}
	for {
		answer, err := a.ask(ctx, apiInfo+stream, request)
		if err != nil {
			return fmt.Errorf("topics of stream %s: %w", stream, err)
		}
		for subject, n := range answer.State.Subjects {
			found[subject] += n
		}
		// The server answers with 100,000 at a time.
		if request.Offset += answer.Limit; request.Offset >= answer.Total || answer.Limit == 0 {
			return nil
		}
	}
}

// extent asks for the first and the last message of a subject.
func (a *account) extent(ctx context.Context, stream, subject string, messages uint64) (extent, error) {
	e := extent{subject: subject, messages: messages}
	if messages == 0 {
		return e, nil
	}
	answer, err := a.ask(ctx, apiMessage+stream, map[string]any{"last_by_subj": subject})
	if e.last = answer.Message.Sequence; err == nil && messages > 1 {
		// This takes the server longer.
		answer, err = a.ask(ctx, apiMessage+stream, map[string]any{"seq": 1, "next_by_subj": subject})
	}
	e.first, e.oldest = answer.Message.Sequence, answer.Message.Time
	if hasCode(err, natsjs.JSErrCodeMessageNotFound) { // consumed in the meantime
		return extent{subject: subject}, nil
	}
	if err != nil {
		err = fmt.Errorf("messages of stream %s: %w", stream, err)
	}
	return e, err
}

// Query says which topics are asked for.
type Query struct {
	Tenant string // "": all
	Filter string // topic filter; "": all
	// Limit is how many topics of each shared rule at most, those with most messages. 0: all. Of those beyond the first 1,000 it is not told
	// how old the oldest message is, nor whose exactly.
	Limit int
}

func (q Query) wants(topic string) bool { return q.Filter == "" || filter.Match(q.Filter, topic) }

// subjects are those of a tenant's topics that are asked for.
func (q Query) subjects(name string) []string {
	if q.Filter == "" {
		return []string{">"}
	}
	return message.FilterSubjects(name, q.Filter)
}
