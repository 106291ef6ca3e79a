package embedded

import (
	"context"
	"crypto/subtle"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"
)

const (
	// bridgeUser with the name of an account behind it is what the bridge logs in as. No tenant's name has a '$'.
	bridgeUser = "$weir/"

	authTimeout = 10 * time.Second
	// authAttempts is how often a login is checked again because users were changed while it was.
	authAttempts = 3
)

// door decides who comes in. nats-server calls it once for each connection, on the goroutine that reads it,
// and waits for it without a timeout of its own.
type door struct {
	// immutable
	server *Server

	mu       sync.Mutex
	accounts map[string]*server.Account // complete and recovered
	turns    uint64                     // counts the changes of users
}

func newDoor(s *Server) *door { return &door{server: s, accounts: make(map[string]*server.Account)} }

func (d *door) account(name string) *server.Account {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.accounts[name]
}

func (d *door) open(name string, a *server.Account) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.accounts[name] = a
}

// turn voids the checks of logins that are under way.
func (d *door) turn() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turns++
}

// Check lets the bridge in with its secret, and applications as users of their tenants.
func (d *door) Check(c server.ClientAuthentication) bool {
	if c.Kind() != server.CLIENT {
		return false
	}
	user, password := c.GetOpts().Username, c.GetOpts().Password
	if tenant, ok := strings.CutPrefix(user, bridgeUser); ok {
		return d.bridge(c, tenant, password)
	}
	if d.application(c, user, password) {
		return true
	}
	d.server.log.Info("native client refused", zap.String("user", user), zap.Stringer("from", c.RemoteAddress()))
	return false
}

func (d *door) bridge(c server.ClientAuthentication, tenant, password string) bool {
	if subtle.ConstantTimeCompare([]byte(password), []byte(d.server.secret)) != 1 {
		return false
	}
	if tenant == "" {
		tenant = ownAccount
	}
	account := d.account(tenant)
	if account == nil {
		return false
	}
	c.RegisterUser(&server.User{Username: bridgeUser + tenant, Account: account})
	return true
}

func (d *door) application(c server.ClientAuthentication, user, password string) bool {
	if d.server.config.Authenticate == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), authTimeout)
	defer cancel()
	for range authAttempts {
		d.mu.Lock()
		before := d.turns
		d.mu.Unlock()
		tenant, ok := d.server.config.Authenticate(ctx, user, password)
		if !ok {
			return false
		}
		if done, ok := d.register(c, tenant, user, before); done {
			return ok
		}
	}
	return false
}

// register lets an application in unless users were changed since it was checked; then done is false. It holds mu, so
// that Disconnect finds every connection that was let in before it turned the count.
func (d *door) register(c server.ClientAuthentication, tenant, user string, before uint64) (done, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.turns != before {
		return false, false
	}
	account := d.accounts[tenant]
	if account == nil || tenant == ownAccount {
		return true, false
	}
	c.RegisterUser(&server.User{Username: user, Account: account, Permissions: permissions(tenant)})
	return true, true
}

// permissions of an application. Its account holds nothing of other tenants; within it, the application may not touch
// the streams themselves, nor what the bridges tell each other.
func permissions(tenant string) *server.Permissions {
	return &server.Permissions{
		Publish: &server.SubjectPermission{Allow: []string{
			"mqtt." + tenant + ".>",
			"weir.topic.ensure." + tenant,
			"weir.subscriber.ensure." + tenant,
			"weir.subscriber.remove." + tenant,
			"$JS.API.INFO",
			"$JS.API.STREAM.INFO.*",
			"$JS.API.STREAM.NAMES",
			"$JS.API.STREAM.LIST",
			"$JS.API.CONSUMER.>", // INFO, NAMES, LIST, CREATE, DELETE, MSG.NEXT, PAUSE, RESET, UNPIN
			"$JS.ACK.>",
			"$JS.FC.>",
		}},
		Subscribe: &server.SubjectPermission{Allow: []string{
			"mqtt." + tenant + ".>",
			"weir.events." + tenant + ".>",
			"_INBOX.>",
		}},
	}
}
