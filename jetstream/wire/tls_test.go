package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// authority makes certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t testing.TB) *authority {
	t.Helper()
	a := &authority{}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	var der []byte
	der, a.key = a.sign(t, template)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign makes a certificate with a key of its own, signed by the authority, or by itself where that has none yet.
func (a *authority) sign(t testing.TB, template *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, parentKey := a.cert, a.key
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

// server is the configuration of a server at 127.0.0.1, which has no other name.
func (a *authority) server(t testing.TB) *tls.Config {
	t.Helper()
	der, key := a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}

func (a *authority) client() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

func TestTLSHandshakeFirst(t *testing.T) {
	ca := newCA(t)
	s := serve(t, func(o *natsserver.Options) {
		o.TLS, o.TLSConfig, o.TLSTimeout, o.TLSHandshakeFirst = true, ca.server(t), 10, true
	})
	o := optionsFor(s)
	o.TLSHandshakeFirst, o.TLSConfig = true, ca.client()
	c := dial(t, o)
	epoch := up(t, c, 0)
	in := subscribe(t, c, epoch, "a")
	publish(t, c, epoch, "a", "x")
	if m := in.next(t); string(m.Data) != "x" {
		t.Errorf("%q", m)
	}
}

func TestClientCertificate(t *testing.T) {
	ca := newCA(t)
	s := serve(t, func(o *natsserver.Options) {
		o.TLS, o.TLSConfig, o.TLSTimeout, o.TLSVerify = true, ca.server(t), 10, true
		o.TLSConfig.ClientCAs, o.TLSConfig.ClientAuth = ca.client().RootCAs, tls.RequireAndVerifyClientCert
	})
	o := optionsFor(s)
	o.TLSCertCB = func() (tls.Certificate, error) { return ca.server(t).Certificates[0], nil }
	o.RootCAsCB = func() (*x509.CertPool, error) { return ca.client().RootCAs, nil }
	up(t, dial(t, o), 0)
}

// A server that cannot show who it is gets no login.
func TestTLSRefused(t *testing.T) {
	ca := newCA(t)
	s := serve(t, func(o *natsserver.Options) { o.TLS, o.TLSConfig, o.TLSTimeout = true, ca.server(t), 10 })
	plain := serve(t, nil)
	wrongName := ca.client()
	wrongName.ServerName = "elsewhere"
	for name, c := range map[string]struct {
		server *natsserver.Server
		config *tls.Config
		scheme string
		want   string
	}{
		"another CA":   {s, newCA(t).client(), "nats", "unknown authority"},
		"no CA":        {s, nil, "nats", "unknown authority"},
		"another name": {s, wrongName, "nats", "elsewhere"},
		"no TLS there": {plain, ca.client(), "tls", "TLS is wanted"},
	} {
		t.Run(name, func(t *testing.T) {
			o := optionsFor(c.server)
			o.TLSConfig = c.config
			o.Servers = []string{c.scheme + "://" + c.server.Addr().String()}
			log, lines := observe()
			conn := dialLogged(t, o, log)
			if line := next(t, lines); !strings.Contains(line, c.want) {
				t.Errorf("%s instead of %q", line, c.want)
			}
			if epoch, up := conn.State(); epoch != 0 || up {
				t.Errorf("epoch %d, up %v", epoch, up)
			}
		})
	}
}

// With the handshake first nothing is sent without TLS, whatever the URL and the server say.
func TestHandshakeFirstIsTLS(t *testing.T) {
	p, o := newPeers(t)
	o.TLSHandshakeFirst, o.User, o.Password = true, "u", "secret"
	dial(t, o)
	c := next(t, p)
	defer c.Close()
	first := make([]byte, 1)
	if _, err := c.Read(first); err != nil || first[0] != 22 { // a handshake record
		t.Errorf("%v, begins with %d", err, first[0])
	}
}

// Whoever is between cannot put in words of his own before the handshake.
func TestNothingBeforeTheHandshake(t *testing.T) {
	p, o := newPeers(t)
	o.Secure = true
	log, lines := observe()
	dialLogged(t, o, log)
	c := next(t, p)
	defer c.Close()
	c.say(t, `INFO {"headers":true,"tls_required":true}`+"\r\nPONG\r\n")
	if line := next(t, lines); !strings.Contains(line, "before the TLS handshake") {
		t.Error(line)
	}
}
