// Package tls tests what changes while Weir runs, certificates and tenants, and what it refuses to start with.
package tls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var versions = []codec.Version{codec.V31, codec.V311, codec.V5}

// identity is a certificate that is its own authority, with its key.
type identity struct {
	cert, key []byte // PEM
	serial    int64
	roots     *x509.CertPool // that trust it
}

func newIdentity(t *testing.T, serial int64) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "weir"}, DNSNames: []string{"weir.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	one := identity{
		cert:   pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:    pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
		serial: serial, roots: x509.NewCertPool(),
	}
	one.roots.AppendCertsFromPEM(one.cert)
	return one
}

// files are where Weir reads its certificate and key.
type files struct{ cert, key string }

func newFiles(t *testing.T, one identity) files {
	t.Helper()
	dir := t.TempDir()
	f := files{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	f.write(t, one.cert, one.key)
	return f
}

// write replaces both files, one after the other, each by a rename.
func (f files) write(t *testing.T, cert, key []byte) {
	t.Helper()
	replace(t, f.cert, cert)
	replace(t, f.key, key)
}

// replace writes a file beside another and renames it.
func replace(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// overwrite writes into a file that exists, as editors do that rename nothing.
func overwrite(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// client is how a device trusts one identity.
func (i identity) client() *tls.Config { return &tls.Config{RootCAs: i.roots, ServerName: "weir.test"} }

// dial connects over TLS.
func dial(t *testing.T, address string, v codec.Version, config *tls.Config) *weirtest.Client {
	t.Helper()
	d := tls.Dialer{Config: config}
	conn, err := d.DialContext(weirtest.Context(t), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return weirtest.Over(t, conn, v)
}

// serial is the serial number of the certificate that a listener shows, 0 where there is none that the identities vouch for.
func serial(t *testing.T, address string, identities ...identity) int64 {
	t.Helper()
	for _, one := range identities {
		d := tls.Dialer{Config: one.client()}
		conn, err := d.DialContext(weirtest.Context(t), "tcp", address)
		if err != nil {
			continue
		}
		conn.Close()
		return one.serial
	}
	return 0
}

// demo is a CONNECT of the device of the demo tenant.
func demo(clientID string) *codec.Connect {
	return weirtest.Credentials(clientID, "demo/device", "demo")
}

// ping expects that the connection is alive and that nothing else is on its way.
func ping(c *weirtest.Client) {
	c.Send(&codec.Pingreq{})
	weirtest.Expect[*codec.Pingresp](c)
}
