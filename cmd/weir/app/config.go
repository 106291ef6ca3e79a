package app

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kelseyhightower/envconfig"
)

// Off is the value of a listener's address that means: do not listen.
const Off = "off"

// Config is the program's configuration. Its tags are the one place that says how a variable is called, what it means and
// what it is when it is not set; LoadConfig, WriteVariables and the README are held to them.
type Config struct {
	NATSURL   string `envconfig:"WEIR_NATS_URL" desc:"NATS URLs, comma separated; empty: an embedded server"`
	NATSCreds string `envconfig:"WEIR_NATS_CREDS" desc:"credentials file for WEIR_NATS_URL"`

	// The embedded server. Ignored where NATSURL is set.
	DataDir  string `envconfig:"WEIR_DATA_DIR" default:"weir-data" desc:"the embedded server's store"`
	NATSAddr string `envconfig:"WEIR_NATS_ADDR" default:"127.0.0.1:4222" desc:"where the embedded server listens for native NATS clients, or off"`
	Sync     string `envconfig:"WEIR_SYNC" default:"interval" desc:"embedded server: always fsyncs before every acknowledgement"`

	Replicas  int    `envconfig:"WEIR_REPLICAS" default:"1" desc:"replicas of every stream"`
	MQTTAddr  string `envconfig:"WEIR_MQTT_ADDR" default:"127.0.0.1:1883" desc:"MQTT over TCP, or off"`
	MQTTSAddr string `envconfig:"WEIR_MQTTS_ADDR" default:"off" desc:"MQTT over TLS, or off"`

	HTTPAddr  string `envconfig:"WEIR_HTTP_ADDR" default:"127.0.0.1:8083" desc:"microservices at /notification2/, or off"`
	HTTPSAddr string `envconfig:"WEIR_HTTPS_ADDR" default:"off" desc:"the same over TLS, or off"`
	AdminAddr string `envconfig:"WEIR_ADMIN_ADDR" default:"127.0.0.1:9600" desc:"/healthz, /readyz and /metrics, or off"`

	// PEM files, watched while the program runs.
	TLSCert string `envconfig:"WEIR_TLS_CERT" desc:"server certificate chain, reloaded when it changes"`
	TLSKey  string `envconfig:"WEIR_TLS_KEY" desc:"its private key, reloaded when it changes"`

	TenantsFile string        `envconfig:"WEIR_TENANTS_FILE" desc:"YAML, applied at start and whenever it changes; without it tenants come from the store"`
	TopicIdle   time.Duration `envconfig:"WEIR_TOPIC_IDLE" default:"1h" desc:"when an unused dedicated topic is removed"`

	LogLevel string `envconfig:"WEIR_LOG_LEVEL" default:"info" desc:"debug, info, warn or error"`
	// LogFormat is json, console, or empty: console where the log goes to a terminal, else json.
	LogFormat string `envconfig:"WEIR_LOG_FORMAT" desc:"json or console; empty: console on a terminal, else json"`

	// Demo allows listening beyond loopback while the demo tenant, whose passwords everybody knows, exists.
	Demo bool `envconfig:"WEIR_DEMO" default:"false" desc:"true: listen beyond loopback although the demo tenant exists"`
}

// ConfigError is a setting that the program cannot start with. Its text is one line that names the variable.
type ConfigError struct {
	Variable string
	Err      error
}

func (e *ConfigError) Error() string { return e.Variable + ": " + e.Err.Error() }

// Unwrap returns what is wrong with the value.
func (e *ConfigError) Unwrap() error { return e.Err }

func configError(variable, format string, args ...any) error {
	return &ConfigError{Variable: variable, Err: fmt.Errorf(format, args...)}
}

const variablePrefix = "WEIR_"

// LoadConfig reads the environment and checks it. A variable that is set but empty counts as not set: it is removed from
// the process's environment. The error is a *ConfigError.
func LoadConfig() (Config, error) {
	known := map[string]bool{}
	for f := range variables() {
		known[f.Tag.Get("envconfig")] = true
	}
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		switch {
		case !strings.HasPrefix(name, variablePrefix):
		case !known[name]:
			return Config{}, configError(name, "there is no such variable")
		case value == "":
			if err := os.Unsetenv(name); err != nil {
				return Config{}, &ConfigError{Variable: name, Err: err}
			}
		}
	}
	var c Config
	if err := envconfig.Process("", &c); err != nil {
		var parse *envconfig.ParseError
		if errors.As(err, &parse) {
			return Config{}, configError(parse.KeyName, "%q is not %s", parse.Value, kinds[parse.TypeName])
		}
		return Config{}, &ConfigError{Variable: variablePrefix + "…", Err: err}
	}
	return c, c.Validate()
}

// kinds are the types of Config's fields that not every string is a value of.
var kinds = map[string]string{
	"int":           "a whole number",
	"bool":          "true or false",
	"time.Duration": "a duration such as 90s or 1h",
}

// variables yields Config's fields in order.
func variables() func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		t := reflect.TypeFor[Config]()
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// WriteVariables writes the variables with their defaults and meanings, one per line.
func WriteVariables(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for f := range variables() {
		if _, err := fmt.Fprintf(table, "  %s\t%s\t%s\n", f.Tag.Get("envconfig"), f.Tag.Get("default"), f.Tag.Get("desc")); err != nil {
			return err
		}
	}
	return table.Flush()
}
