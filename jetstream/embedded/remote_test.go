package embedded_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/weirmq/weir/jetstream/embedded"
)

// Another process of the operator's reaches the tenants' accounts and Weir's own, by the data directory alone.
func TestRemote(t *testing.T) {
	dir := t.TempDir()
	s := start(t, embedded.Config{DataDir: dir}, "acme")
	options := embedded.Remote(s.Addr().String(), dir)
	for tenant, want := range map[string]error{"": nil, "acme": nil, "nobody": nats.ErrAuthorization} {
		o, err := options(tenant)
		if err != nil {
			t.Fatal(err)
		}
		nc, err := o.Connect()
		if !errors.Is(err, want) {
			t.Errorf("account of %q: %v", tenant, err)
		}
		if err == nil {
			nc.Close()
		}
	}
	if _, err := embedded.Remote(s.Addr().String(), t.TempDir())(""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a credential: %v", err)
	}
}
