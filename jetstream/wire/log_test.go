package wire

import (
	"fmt"

	"go.uber.org/zap/zapcore"
)

// logTo is a core that sends each line with its fields to a channel.
type logTo struct {
	zapcore.Core
	lines chan string
}

func (l logTo) With([]zapcore.Field) zapcore.Core { return l }

func (l logTo) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !l.Enabled(e.Level) {
		return c
	}
	return c.AddCore(e, l)
}

func (l logTo) Write(e zapcore.Entry, fields []zapcore.Field) error {
	m := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(m)
	}
	select {
	case l.lines <- fmt.Sprintf("%s %v", e.Message, m.Fields):
	default:
	}
	return nil
}
