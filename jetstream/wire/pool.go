package wire

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// defaultPort is that of a URL without one.
const defaultPort = "4222"

// maxDiscovered bounds what the servers tell of each other.
const maxDiscovered = 1024

// logEvery is the least time between two failures of one server in the log.
const logEvery = 10 * time.Second

// server is one place to connect to.
type server struct {
	url        *url.URL
	tlsName    string // in its certificate
	discovered bool   // named by another server

	failed string    // the last failure that was logged, until a connection is made
	logged time.Time // when that was
}

func (s *server) address() string { return s.url.Host }

// worthLogging tells whether a failure to connect is not the one that was logged last. Some have a time or a port in their text
// and are another one each time: those are worth a line every now and then.
func (s *server) worthLogging(err error) bool {
	if s.failed == err.Error() || time.Since(s.logged) < logEvery {
		return false
	}
	s.failed, s.logged = err.Error(), time.Now()
	return true
}

// pool is the servers in the order in which they are tried.
type pool struct {
	servers []*server
}

func newPool(options nats.Options) (pool, error) {
	if options.InProcessServer != nil {
		return pool{servers: []*server{{url: &url.URL{Scheme: "nats", Host: "in-process"}}}}, nil
	}
	var p pool
	for _, list := range append([]string{options.Url}, options.Servers...) {
		for text := range strings.SplitSeq(list, ",") {
			if text = strings.TrimSpace(text); text == "" {
				continue
			}
			s, err := parseServer(text)
			if err != nil {
				return pool{}, err
			}
			p.servers = append(p.servers, s)
		}
	}
	if len(p.servers) == 0 {
		return pool{}, errors.New("no NATS URL")
	}
	if !options.NoRandomize {
		rand.Shuffle(len(p.servers), func(i, j int) { p.servers[i], p.servers[j] = p.servers[j], p.servers[i] })
	}
	return p, nil
}

func parseServer(text string) (*server, error) {
	if !strings.Contains(text, "://") {
		text = "nats://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("a NATS URL must be of the form nats://host:port") // it may hold a password
	}
	if u.Scheme != "nats" && u.Scheme != "tls" {
		return nil, fmt.Errorf("the scheme of a NATS URL must be nats or tls, not %q", u.Scheme)
	}
	if u.Hostname() == "" {
		return nil, errors.New("a NATS URL must name a host")
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), defaultPort)
	}
	return &server{url: u, tlsName: u.Hostname()}, nil
}

func (p *pool) size() int { return len(p.servers) }

// next returns the server to try, and puts it last.
func (p *pool) next() *server {
	s := p.servers[0]
	p.servers = append(p.servers[1:], s)
	return s
}

// discovered takes the addresses that a server has told of; by is that server, nil the one of the present connection, which is the
// last of the pool. Those of which it does not tell any more are forgotten, unless they were named by the options. They are
// reached as the server that told of them.
func (p *pool) discovered(addresses []string, by *server) {
	if by == nil {
		by = p.servers[len(p.servers)-1]
	}
	if len(addresses) == 0 || by.url.Host == "in-process" {
		return
	}
	p.servers = slices.DeleteFunc(p.servers, func(s *server) bool {
		return s.discovered && s != by && !slices.Contains(addresses, s.url.Host)
	})
	for _, address := range addresses[:min(len(addresses), maxDiscovered)] {
		if slices.ContainsFunc(p.servers, func(s *server) bool { return s.url.Host == address }) {
			continue
		}
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			continue
		}
		u := &url.URL{Scheme: by.url.Scheme, Host: address, User: by.url.User}
		s := &server{url: u, tlsName: host, discovered: true}
		// The certificates of one cluster may name it rather than the addresses that its servers have.
		if net.ParseIP(host) != nil && net.ParseIP(by.tlsName) == nil {
			s.tlsName = by.tlsName
		}
		// Before the one that told of it, which stays the last tried.
		p.servers = slices.Insert(p.servers, len(p.servers)-1, s)
	}
}
