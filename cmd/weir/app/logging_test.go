package app

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"go.uber.org/zap"
)

func TestLogIsJSONWithoutATerminal(t *testing.T) {
	var out bytes.Buffer
	c := defaults
	log, err := NewLogger(c, &out)
	must(t, err)
	log.Debug("hidden")
	log.Info("shown", zap.String("reason", "x\ny"))
	var line map[string]any
	must(t, json.Unmarshal(out.Bytes(), &line)) // and not two of them
	if line["msg"] != "shown" || line["level"] != "info" || line["reason"] != "x\ny" || line["time"] == nil {
		t.Errorf("got %s", out.String())
	}
}

func TestLogFormatConsole(t *testing.T) {
	var out bytes.Buffer
	c := defaults
	c.LogFormat, c.LogLevel = "console", "warn"
	log, err := NewLogger(c, &out)
	must(t, err)
	log.Info("hidden")
	log.Warn("shown")
	if got := out.String(); !strings.Contains(got, "WARN  shown\n") || strings.Count(got, "\n") != 1 {
		t.Errorf("got %q", got)
	}
}
