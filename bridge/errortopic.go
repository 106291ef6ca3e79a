package bridge

import (
	"fmt"
	"sync"
	"time"

	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/quota"
	"github.com/weirmq/weir/reason"
)

// errorLogs are the error topics of the clients that are connected, and of those that were a moment ago: a
// client that connects again and again is still one client.
type errorLogs struct {
	mu    sync.Mutex
	byKey map[errorKey]*errorLog // guarded by mu
}

type errorKey struct{ tenant, user, clientID string }

// errorLog writes to the error topic of one client, at a bounded rate.
type errorLog struct {
	// immutable
	all *errorLogs
	key errorKey
	// write writes an entry in the background; it does not block.
	write func(user string, e jetstream.ErrorReport)

	users int // connections; guarded by all.mu

	mu    sync.Mutex
	rate  quota.ErrorRate
	last  time.Time   // of the last report
	timer *time.Timer // runs while something was suppressed
}

// open returns the error log of a client. release has to follow.
func (ls *errorLogs) open(key errorKey, write func(user string, e jetstream.ErrorReport)) *errorLog {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.byKey[key]
	if l == nil {
		if ls.byKey == nil {
			ls.byKey = map[errorKey]*errorLog{}
		}
		l = &errorLog{all: ls, key: key, write: write}
		ls.byKey[key] = l
	}
	l.users++
	return l
}

// errorMemory is how long a client that has gone is remembered after its last report.
const errorMemory = 2 * time.Second

// release says that one connection does not use the error log any more.
func (l *errorLog) release() {
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	l.users--
	l.mu.Lock()
	idle := time.Since(l.last) > errorMemory
	l.mu.Unlock()
	switch {
	case l.users > 0:
	case idle:
		delete(l.all.byKey, l.key)
	default:
		time.AfterFunc(errorMemory, l.forget)
	}
}

func (l *errorLog) forget() {
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	if l.users == 0 && l.all.byKey[l.key] == l {
		delete(l.all.byKey, l.key)
	}
}

// report writes one entry, or counts it as suppressed.
func (l *errorLog) report(f *fault, now time.Time) (written bool) {
	l.mu.Lock()
	l.last = now
	written = l.rate.Allow(now)
	if due := l.rate.Due(); !due.IsZero() && l.timer == nil {
		l.timer = time.AfterFunc(due.Sub(now), l.tellSuppressed)
	}
	l.mu.Unlock()
	if !written {
		return false
	}
	e := jetstream.ErrorReport{
		Time: now.UTC().Format(time.RFC3339Nano), ClientID: l.key.clientID,
		Code: string(f.Reason), Message: f.Message, Topic: f.topic, PacketID: f.packetID,
	}
	if f.packet != 0 {
		e.Packet = f.packet.String()
	}
	l.write(l.key.user, e)
	return true
}

// tellSuppressed writes how many entries were left out.
func (l *errorLog) tellSuppressed() {
	now := time.Now()
	l.mu.Lock()
	n := l.rate.Suppressed(now)
	l.timer = nil
	if due := l.rate.Due(); !due.IsZero() {
		l.timer = time.AfterFunc(due.Sub(now), l.tellSuppressed)
	}
	l.mu.Unlock()
	if n > 0 {
		l.write(l.key.user, jetstream.ErrorReport{
			Time: now.UTC().Format(time.RFC3339Nano), ClientID: l.key.clientID, Code: string(reason.ErrorRate),
			Message: fmt.Sprintf("%d more were left out", n), Suppressed: n,
		})
	}
}

// report tells the client of a fault by its error topic.
func (c *conn) report(f *fault) {
	if !c.errors.report(f, time.Now()) {
		c.server.Metrics.dropped(reason.ErrorRate)
	}
}

// The topics of the error topic.
const (
	errorTopic      = jetstream.OwnErrors
	errorTopicOfAll = jetstream.OwnErrors + "/#" // of all clients of the tenant
)
