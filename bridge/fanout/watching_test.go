package fanout_test

import (
	"context"
	"sync"

	"github.com/weirmq/weir/filter"
)

// watching is what a streamLog knows of topics: those that exist, and the filters that are watched.
type watching struct {
	mu       sync.Mutex
	topics   []string
	filters  map[string]int
	told     func(topic string)
	adoptees map[string]bool // topics whose reader begins with everything
	released chan string     // nil: nobody looks
}

// exist adds topics that nobody is told of.
func (w *watching) exist(topics ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.topics = append(w.topics, topics...)
}

// create makes a topic, as another bridge does: before it says so, messages may be stored.
func (w *watching) create(topic string, stored func()) {
	w.mu.Lock()
	w.topics = append(w.topics, topic)
	told := w.told
	matches := false
	for f := range w.filters {
		matches = matches || filter.Match(f, topic)
	}
	if matches {
		if w.adoptees == nil {
			w.adoptees = make(map[string]bool)
		}
		w.adoptees[topic] = true
	}
	w.mu.Unlock()
	stored()
	if matches {
		told(topic)
	}
}

func (w *watching) adopt(topic string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	adopted := w.adoptees[topic]
	delete(w.adoptees, topic)
	return adopted
}

func (w *watching) Watch(_ context.Context, name string) (topics []string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.filters == nil {
		w.filters = make(map[string]int)
	}
	w.filters[name]++
	for _, topic := range w.topics {
		if filter.Match(name, topic) {
			topics = append(topics, topic)
		}
	}
	return topics, nil
}

func (w *watching) Unwatch(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.filters[name]--; w.filters[name] == 0 {
		delete(w.filters, name)
	}
}

func (w *watching) OnCreated(f func(topic string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = f
}

func (w *watching) Release(topic string) {
	if w.released != nil {
		w.released <- topic
	}
}
