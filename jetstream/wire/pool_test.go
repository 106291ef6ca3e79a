package wire

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

var zapNop = zap.NewNop()

func (p *pool) addresses() (all []string) {
	for _, s := range p.servers {
		all = append(all, s.address())
	}
	return all
}

func TestServers(t *testing.T) {
	for _, c := range []struct {
		servers []string
		want    string
	}{
		{[]string{"nats://a"}, "a:4222"},
		{[]string{"a", "b:1"}, "a:4222 b:1"},
		{[]string{"nats://a:1, tls://b ,", "c"}, "a:1 b:4222 c:4222"},
		{[]string{"nats://[::1]", "[::2]:5"}, "[::1]:4222 [::2]:5"},
		{[]string{"nats://u:p@a", "NATS://b:"}, "a:4222 b:4222"},
	} {
		o := nats.Options{Servers: c.servers, NoRandomize: true}
		p, err := newPool(o)
		if err != nil || strings.Join(p.addresses(), " ") != c.want {
			t.Errorf("%q: %v, %v", c.servers, p.addresses(), err)
		}
	}
	for _, bad := range []string{"", "ws://a", "nats://", "http://a:80", "nats://a:secret", "nats://u:se%zzcret@a"} {
		o := optionsFor(nil)
		o.Servers = []string{bad}
		c, err := Connect(o, zapNop)
		if err == nil {
			c.Close()
			t.Errorf("%q is taken", bad)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("a secret in the error: %v", err)
		}
	}
	o := nats.Options{Servers: []string{"a", "b", "c", "d", "e", "f", "g", "h"}}
	for orders := map[string]bool{}; len(orders) < 2; { // in random order
		p, err := newPool(o)
		if err != nil {
			t.Fatal(err)
		}
		orders[strings.Join(p.addresses(), " ")] = true
	}
	for _, change := range []func(*nats.Options){
		func(o *nats.Options) { o.Timeout = 0 }, func(o *nats.Options) { o.PingInterval = 0 },
	} {
		o := optionsFor(nil)
		o.Url = "a"
		change(&o)
		if c, err := Connect(o, zapNop); err == nil {
			c.Close()
			t.Error("unusable options are taken")
		}
	}
}

func TestDiscovered(t *testing.T) {
	p, err := newPool(nats.Options{Servers: []string{"tls://u:p@name:1", "b:2"}, NoRandomize: true})
	if err != nil {
		t.Fatal(err)
	}
	expect := func(want string) {
		t.Helper()
		if got := strings.Join(p.addresses(), " "); got != want {
			t.Errorf("%s instead of %s", got, want)
		}
	}
	by := p.next()
	p.discovered([]string{"10.0.0.1:1", "c:3", "b:2"}, by)
	expect("b:2 10.0.0.1:1 c:3 name:1")
	if s := p.servers[1]; s.tlsName != "name" || s.url.Scheme != "tls" || s.url.User.String() != "u:p" {
		t.Errorf("%+v", s)
	}
	if s := p.servers[2]; s.tlsName != "c" {
		t.Errorf("%+v", s)
	}
	p.discovered([]string{"d:4", "c:3"}, nil) // one is gone
	expect("b:2 c:3 d:4 name:1")
	p.discovered(nil, nil) // nothing said
	expect("b:2 c:3 d:4 name:1")
	p.next()
	by = p.next() // discovered itself, and does not tell of itself
	p.discovered([]string{"d:4"}, by)
	expect("d:4 name:1 b:2 c:3")
	by = p.servers[0]
	for by != p.next() {
	}
	p.discovered([]string{"e:5"}, by)
	expect("name:1 b:2 e:5 d:4")
	many := make([]string, 5000)
	for i := range many {
		many[i] = fmt.Sprintf("h%d:1", i)
	}
	p.discovered(many, by)
	if n := p.size(); n > maxDiscovered+3 {
		t.Errorf("%d servers", n)
	}
}

// A server that is known by its address has that in its certificate; others of its cluster have their own.
func TestDiscoveredAddresses(t *testing.T) {
	p, err := newPool(nats.Options{Servers: []string{"tls://10.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	p.discovered([]string{"10.0.0.2:4222", "[::1]:4222"}, p.next())
	if got := []string{p.servers[0].tlsName, p.servers[1].tlsName}; !slices.Equal(got, []string{"10.0.0.2", "::1"}) {
		t.Errorf("%q", got)
	}
}

func TestFailuresInTheLog(t *testing.T) {
	s := &server{}
	one, other := fmt.Errorf("one"), fmt.Errorf("other")
	if !s.worthLogging(one) || s.worthLogging(one) || s.worthLogging(other) {
		t.Error("not once")
	}
	s.logged = time.Now().Add(-logEvery)
	if s.worthLogging(one) || !s.worthLogging(other) {
		t.Error("another failure later")
	}
}

// The other server of a cluster is found through the one that was named, and used when that is gone.
func TestFailover(t *testing.T) {
	cluster := func(routes string) func(*natsserver.Options) {
		return func(o *natsserver.Options) {
			o.Cluster = natsserver.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: -1}
			o.Routes = natsserver.RoutesFromStr(routes)
		}
	}
	first := serve(t, cluster(""))
	known := make(chan bool, 10)
	nc, err := nats.Connect(first.ClientURL(), nats.DiscoveredServersHandler(func(*nats.Conn) { known <- true }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	second := serve(t, cluster("nats://"+first.ClusterAddr().String()))
	next(t, known)
	o := optionsFor(first)
	c := dial(t, o)
	epoch := up(t, c, 0)
	shut(first)
	epoch = up(t, c, epoch)
	if n := second.NumClients(); n < 1 {
		t.Errorf("%d connections to the second server", n)
	}
	flush(t, c, epoch)
}

// A server in the process that is gone is asked again as any other.
func TestInProcessAlone(t *testing.T) {
	s := serve(t, nil)
	o := optionsFor(nil)
	o.InProcessServer = s
	log, lines := observe()
	c := dialLogged(t, o, log)
	up(t, c, 0)
	shut(s)
	for !strings.HasPrefix(next(t, lines), "not connected to NATS") {
	}
}
