package embedded

import (
	"fmt"
	"sync"

	"go.uber.org/zap"
)

// logger gives nats-server's lines to zap. Its notices, a page of them at every start, are debug lines. Its fatal
// errors come from the start alone, which returns them.
type logger struct {
	zap *zap.Logger

	mu    sync.Mutex
	first string // fatal error
}

func (l *logger) Noticef(format string, v ...any) { l.zap.Debug(fmt.Sprintf(format, v...)) }
func (l *logger) Warnf(format string, v ...any)   { l.zap.Warn(fmt.Sprintf(format, v...)) }
func (l *logger) Errorf(format string, v ...any)  { l.zap.Error(fmt.Sprintf(format, v...)) }
func (l *logger) Debugf(format string, v ...any)  { l.zap.Debug(fmt.Sprintf(format, v...)) }
func (l *logger) Tracef(format string, v ...any)  { l.zap.Debug(fmt.Sprintf(format, v...)) }

func (l *logger) Fatalf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	l.mu.Lock()
	if l.first == "" {
		l.first = line
	}
	l.mu.Unlock()
	l.zap.Debug(line)
}

// fatal is the first fatal error, empty where there was none.
func (l *logger) fatal() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}
