package jetstream

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// keyPair is one party of operator mode.
func keyPair(t *testing.T, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
	t.Helper()
	key, err := create()
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return key, public
}

func sign(t *testing.T, c jwt.Claims, by nkeys.KeyPair) string {
	t.Helper()
	text, err := c.Encode(by)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// operatorServer is a server in operator mode with one account that may use JetStream, and a credentials file of its user.
func operatorServer(t *testing.T) (*server.Server, string) {
	t.Helper()
	operatorKey, operatorID := keyPair(t, nkeys.CreateOperator)
	_, systemID := keyPair(t, nkeys.CreateAccount)
	accountKey, accountID := keyPair(t, nkeys.CreateAccount)
	userKey, userID := keyPair(t, nkeys.CreateUser)
	operator, account := jwt.NewOperatorClaims(operatorID), jwt.NewAccountClaims(accountID)
	sign(t, operator, operatorKey) // fills in who issued it
	account.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit,
	}
	resolver := &server.MemAccResolver{}
	for id, claims := range map[string]jwt.Claims{systemID: jwt.NewAccountClaims(systemID), accountID: account} {
		if err := resolver.Store(id, sign(t, claims, operatorKey)); err != nil {
			t.Fatal(err)
		}
	}
	seed, err := userKey.Seed()
	if err != nil {
		t.Fatal(err)
	}
	file, err := jwt.FormatUserConfig(sign(t, jwt.NewUserClaims(userID), accountKey), seed)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "user.creds")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return newServer(t, func(o *server.Options) {
		o.TrustedOperators, o.AccountResolver, o.SystemAccount = []*jwt.OperatorClaims{operator}, resolver, systemID
	}), path
}

// A NATS system in operator mode takes the bridge in with a credentials file.
func TestCredentialsFile(t *testing.T) {
	s, path := operatorServer(t)
	store := newStore(t, s, func(c *Config) { c.Options = External(s.ClientURL(), path) })
	l := openLog(t, store)
	received, r := attach(t, l, "a/b", "one")
	mustStore(t, l, "a/b", "hello")
	if d := received.next(t); string(d.Payload) != "hello" || d.Topic != "a/b" {
		t.Errorf("%+v", d)
	}
	closeReader(t, r)
}
