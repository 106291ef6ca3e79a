package app

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"
)

// maxReplicas is what JetStream allows.
const maxReplicas = 5

// Validate checks what can be checked without opening anything. The error is a *ConfigError.
func (c Config) Validate() error {
	return firstError(
		c.validateNATS,
		c.validateAddresses,
		c.validateTLS,
		c.validateRest,
	)
}

// Embedded reports whether the program runs a nats-server of its own.
func (c Config) Embedded() bool { return c.NATSURL == "" }

func (c Config) validateNATS() error {
	if c.Replicas < 1 || c.Replicas > maxReplicas {
		return configError("WEIR_REPLICAS", "%d is not between 1 and %d", c.Replicas, maxReplicas)
	}
	if c.Embedded() {
		switch {
		case c.NATSCreds != "":
			return configError("WEIR_NATS_CREDS", "has no meaning without WEIR_NATS_URL")
		case c.DataDir == "":
			return configError("WEIR_DATA_DIR", "is missing")
		case c.Sync != "interval" && c.Sync != "always":
			return configError("WEIR_SYNC", "%q is not interval or always", c.Sync)
		case c.Replicas > 1:
			return configError("WEIR_REPLICAS", "%d replicas need a NATS cluster (WEIR_NATS_URL); the embedded server is a single one", c.Replicas)
		}
		return nil
	}
	for i, s := range strings.Split(c.NATSURL, ",") {
		// The URL can hold a password, so its place stands for it.
		if err := checkNATSURL(strings.TrimSpace(s)); err != nil {
			return configError("WEIR_NATS_URL", "URL %d: %w", i+1, err)
		}
	}
	if c.NATSCreds != "" {
		return readable("WEIR_NATS_CREDS", c.NATSCreds)
	}
	return nil
}

func checkNATSURL(s string) error {
	if !strings.Contains(s, "://") {
		s = "nats://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" {
		return errors.New("must be of the form nats://host:port")
	}
	if u.Scheme != "nats" && u.Scheme != "tls" {
		return errors.New("the scheme must be nats or tls")
	}
	return nil
}

// address is one listener's setting.
type address struct{ variable, value string }

// addresses are those of the listeners that this configuration opens.
func (c Config) addresses() []address {
	all := []address{
		{"WEIR_MQTT_ADDR", c.MQTTAddr},
		{"WEIR_MQTTS_ADDR", c.MQTTSAddr},
		{"WEIR_HTTP_ADDR", c.HTTPAddr},
		{"WEIR_HTTPS_ADDR", c.HTTPSAddr},
		{"WEIR_ADMIN_ADDR", c.AdminAddr},
	}
	if c.Embedded() {
		all = append(all, address{"WEIR_NATS_ADDR", c.NATSAddr})
	}
	return all
}

func (c Config) validateAddresses() error {
	for _, a := range c.addresses() {
		if a.value == Off {
			continue
		}
		_, port, err := net.SplitHostPort(a.value)
		if err != nil {
			return configError(a.variable, "%q is not host:port or off", a.value)
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return configError(a.variable, "%q is not a port number", port)
		}
	}
	return nil
}

// beyondLoopback returns the first variable that lets others than this machine in, or "".
func (c Config) beyondLoopback() string {
	for _, a := range c.addresses() {
		if a.value != Off && !loopback(a.value) {
			return a.variable
		}
	}
	return ""
}

// loopback reports whether a listener on the address can be reached from this machine only. Names other than localhost
// are not looked up: what they mean can change.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func (c Config) validateTLS() error {
	if c.TLSCert != "" || c.TLSKey != "" {
		switch {
		case c.TLSCert == "":
			return configError("WEIR_TLS_CERT", "is missing beside WEIR_TLS_KEY")
		case c.TLSKey == "":
			return configError("WEIR_TLS_KEY", "is missing beside WEIR_TLS_CERT")
		}
		return nil
	}
	switch {
	case c.MQTTSAddr != Off:
		return configError("WEIR_MQTTS_ADDR", "needs WEIR_TLS_CERT and WEIR_TLS_KEY")
	case c.HTTPSAddr != Off:
		return configError("WEIR_HTTPS_ADDR", "needs WEIR_TLS_CERT and WEIR_TLS_KEY")
	}
	return nil
}

func (c Config) validateRest() error {
	if c.TopicIdle < time.Second {
		return configError("WEIR_TOPIC_IDLE", "%s is shorter than 1s", c.TopicIdle)
	}
	if _, err := c.logLevel(); err != nil {
		return err
	}
	switch c.LogFormat {
	case "", formatJSON, formatConsole:
		return nil
	}
	return configError("WEIR_LOG_FORMAT", "%q is not json or console", c.LogFormat)
}

func (c Config) logLevel() (zapcore.Level, error) {
	switch c.LogLevel {
	case "debug":
		return zapcore.DebugLevel, nil
	case "info":
		return zapcore.InfoLevel, nil
	case "warn":
		return zapcore.WarnLevel, nil
	case "error":
		return zapcore.ErrorLevel, nil
	}
	return 0, configError("WEIR_LOG_LEVEL", "%q is not debug, info, warn or error", c.LogLevel)
}

// readable checks that a file can be opened, so that a wrong path is a matter of the start and not of later.
func readable(variable, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return &ConfigError{Variable: variable, Err: err}
	}
	return f.Close()
}

func firstError(checks ...func() error) error {
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}
