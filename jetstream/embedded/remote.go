package embedded

import "github.com/nats-io/nats.go"

// Remote returns Options as those of a Server, for another process of the same operator: the server runs on dataDir and can be
// reached at addr, host:port.
func Remote(addr, dataDir string) func(tenant string) (nats.Options, error) {
	return func(tenant string) (nats.Options, error) {
		options := nats.GetDefaultOptions()
		options.Servers = []string{"nats://" + addr}
		login, err := Login(dataDir, tenant)
		if err != nil {
			return options, err
		}
		return options, login(&options)
	}
}
