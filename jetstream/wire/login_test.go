package wire

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

func TestLogin(t *testing.T) {
	user := func(o *natsserver.Options) { o.Username, o.Password = "u", "p:w" }
	token := func(o *natsserver.Options) { o.Authorization = "t0ken" }
	userKey, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := userKey.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	key := func(o *natsserver.Options) { o.Nkeys = []*natsserver.NkeyUser{{Nkey: public}} }
	for name, c := range map[string]struct {
		server func(*natsserver.Options)
		user   string // in the URL
		option nats.Option
		want   bool
	}{
		"user":                       {user, "", nats.UserInfo("u", "p:w"), true},
		"user in the URL":            {user, "u:p%3Aw@", nil, true},
		"user in the URL goes first": {user, "u:p%3Aw@", nats.UserInfo("other", "other"), true},
		"wrong password":             {user, "", nats.UserInfo("u", "x"), false},
		"nobody":                     {user, "", nil, false},
		"token":                      {token, "", nats.Token("t0ken"), true},
		"token in the URL":           {token, "t0ken@", nil, true},
		"wrong token":                {token, "other@", nil, false},
		"nkey":                       {key, "", nats.Nkey(public, userKey.Sign), true},
		"nkey with another's key":    {key, "", nats.Nkey(public, func([]byte) ([]byte, error) { return make([]byte, 64), nil }), false},
		"nkey without a signature":   {key, "", func(o *nats.Options) error { o.Nkey = public; return nil }, false},
		"no credentials file":        {key, "", nats.UserCredentials(filepath.Join(t.TempDir(), "none")), false},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, c.server)
			o := optionsFor(s)
			o.Servers = []string{"nats://" + c.user + s.Addr().String()}
			if c.option != nil {
				if err := c.option(&o); err != nil && c.want {
					t.Fatal(err)
				}
			}
			log, lines := observe()
			conn := dialLogged(t, o, log)
			if c.want {
				flush(t, conn, up(t, conn, 0))
				return
			}
			line := next(t, lines)
			if !strings.Contains(line, "Authorization Violation") && !strings.Contains(line, "credentials: ") {
				t.Error(line)
			}
			if strings.Contains(line, "other") {
				t.Errorf("a secret in the log: %s", line)
			}
		})
	}
}

// operator is a server in operator mode with one account, and a credentials file of a user of it.
func operator(t *testing.T, account func(*jwt.AccountClaims), user func(*jwt.UserClaims)) (*natsserver.Server, string) {
	t.Helper()
	pair := func(kp nkeys.KeyPair, err error) (nkeys.KeyPair, string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		public, err := kp.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		return kp, public
	}
	encode := func(c jwt.Claims, kp nkeys.KeyPair) string {
		t.Helper()
		text, err := c.Encode(kp)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	operatorKey, operatorID := pair(nkeys.CreateOperator())
	accountKey, accountID := pair(nkeys.CreateAccount())
	userKey, userID := pair(nkeys.CreateUser())
	operatorClaims, accountClaims, userClaims := jwt.NewOperatorClaims(operatorID), jwt.NewAccountClaims(accountID), jwt.NewUserClaims(userID)
	account(accountClaims)
	user(userClaims)
	encode(operatorClaims, operatorKey)
	resolver := &natsserver.MemAccResolver{}
	if err := resolver.Store(accountID, encode(accountClaims, operatorKey)); err != nil {
		t.Fatal(err)
	}
	seed, err := userKey.Seed()
	if err != nil {
		t.Fatal(err)
	}
	file, err := jwt.FormatUserConfig(encode(userClaims, accountKey), seed)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "user.creds")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return serve(t, func(o *natsserver.Options) {
		o.TrustedOperators, o.AccountResolver = []*jwt.OperatorClaims{operatorClaims}, resolver
	}), path
}

// The account's max_payload, which the server tells after the login, holds from the first publish on.
func TestCredentialsFile(t *testing.T) {
	s, path := operator(t, func(a *jwt.AccountClaims) { a.Limits.Payload = 100 }, func(*jwt.UserClaims) {})
	o := optionsFor(s)
	if err := nats.UserCredentials(path)(&o); err != nil {
		t.Fatal(err)
	}
	c := dial(t, o)
	epoch := up(t, c, 0)
	if err := c.Publish(epoch, "a", "", nil, make([]byte, 101)); !errors.Is(err, ErrMaxPayload) {
		t.Error(err)
	}
	in := subscribe(t, c, epoch, "a")
	publish(t, c, epoch, "a", strings.Repeat("x", 100))
	if m := in.next(t); len(m.Data) != 100 {
		t.Errorf("%q", m)
	}
}

// What an account may not do is logged, and the rest goes on.
func TestPermissions(t *testing.T) {
	s, path := operator(t, func(*jwt.AccountClaims) {}, func(u *jwt.UserClaims) {
		u.Pub.Deny.Add("forbidden")
		u.Sub.Deny.Add("forbidden")
		u.Subs = 2
	})
	o := optionsFor(s)
	if err := nats.UserCredentials(path)(&o); err != nil {
		t.Fatal(err)
	}
	log, lines := observe()
	c := dialLogged(t, o, log)
	epoch := up(t, c, 0)
	in := subscribe(t, c, epoch, "a")
	publish(t, c, epoch, "forbidden", "x")
	subscribe(t, c, epoch, "forbidden")
	for range 2 {
		if _, err := c.Subscribe(epoch, "a", func(*Msg) {}); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, c, epoch)
	for _, want := range []string{
		`Permissions Violation for Publish to "forbidden"`, `Permissions Violation for Subscription to "forbidden"`,
		"maximum subscriptions exceeded",
	} {
		if line := next(t, lines); !strings.Contains(line, want) {
			t.Errorf("%s instead of %s", line, want)
		}
	}
	publish(t, c, epoch, "a", "x")
	in.next(t)
	if n, up := c.State(); n != epoch || !up {
		t.Errorf("epoch %d, up %v", n, up)
	}
}

// Each login takes what the file holds then.
func TestRenewedCredentialsFile(t *testing.T) {
	s, path := operator(t, func(*jwt.AccountClaims) {}, func(*jwt.UserClaims) {})
	o := optionsFor(s)
	if err := nats.UserCredentials(path)(&o); err != nil {
		t.Fatal(err)
	}
	log, lines := observe()
	c := dialLogged(t, o, log)
	epoch := up(t, c, 0)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.DisconnectClientByID(clientOf(t, s)); err != nil {
		t.Fatal(err)
	}
	for !strings.HasPrefix(next(t, lines), "not connected to NATS") {
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	up(t, c, epoch)
}

func clientOf(t *testing.T, s *natsserver.Server) uint64 {
	t.Helper()
	z, err := s.Connz(nil)
	if err != nil || len(z.Conns) != 1 {
		t.Fatalf("%+v, %v", z, err)
	}
	return z.Conns[0].Cid
}
