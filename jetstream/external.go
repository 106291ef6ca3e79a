package jetstream

import "github.com/nats-io/nats.go"

// External returns the Dial of a NATS system outside the process, for a Config with Shared. urls are NATS URLs, comma
// separated; credentials is a file, or empty.
func External(urls, credentials string) func(tenant string, opts ...nats.Option) (*nats.Conn, error) {
	return func(_ string, opts ...nats.Option) (*nats.Conn, error) {
		if credentials != "" {
			opts = append(opts[:len(opts):len(opts)], nats.UserCredentials(credentials))
		}
		return nats.Connect(urls, opts...)
	}
}
