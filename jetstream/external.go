package jetstream

import (
	"strings"

	"github.com/nats-io/nats.go"
)

// External returns the Options of a NATS system outside the process, for a Config with Shared. urls are NATS URLs, comma
// separated; credentials is a file, or empty.
func External(urls, credentials string) func(tenant string) (nats.Options, error) {
	return func(string) (nats.Options, error) {
		options := nats.GetDefaultOptions()
		for url := range strings.SplitSeq(urls, ",") {
			options.Servers = append(options.Servers, strings.TrimSpace(url))
		}
		if credentials == "" {
			return options, nil
		}
		return options, nats.UserCredentials(credentials)(&options)
	}
}
