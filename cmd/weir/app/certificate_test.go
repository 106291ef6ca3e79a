package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"
)

// newPair returns a self-signed certificate for 127.0.0.1 and its key, both PEM.
func newPair(t *testing.T, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	must(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// served returns the common name of the certificate that a client of the configuration is shown.
func served(t *testing.T, config *tls.Config, client *tls.Config) (string, error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := tls.Server(a, config).Handshake(); err != nil {
			t.Logf("server: %v", err)
		}
	}()
	c := tls.Client(b, client)
	err := c.Handshake()
	b.Close()
	<-done
	if err != nil {
		return "", err
	}
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func TestCertificateIsReloaded(t *testing.T) {
	dir := t.TempDir()
	c := Config{TLSCert: filepath.Join(dir, "tls.crt"), TLSKey: filepath.Join(dir, "tls.key")}
	cert, key := newPair(t, "first")
	write(t, c.TLSCert, cert)
	write(t, c.TLSKey, key)
	core, logs := observer.New(zapcore.InfoLevel)
	logged := make(chan string, 100)
	log := zap.New(core, zap.Hooks(func(e zapcore.Entry) error {
		logged <- e.Message
		return nil
	}))
	p, err := loadCertificate(c, log)
	must(t, err)
	client := &tls.Config{InsecureSkipVerify: true}
	if name, err := served(t, p.config(), client); name != "first" || err != nil {
		t.Fatalf("served %q, %v", name, err)
	}

	w, err := newWatcher(log, c.TLSCert, c.TLSKey)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { w.run(ctx, p.reload) })
	defer wg.Wait()
	defer cancel()

	// The new certificate without its key is not a pair.
	cert, key = newPair(t, "second")
	write(t, c.TLSCert, cert)
	expect(t, logged, "new TLS certificate refused, the old one stays in force")
	if name, err := served(t, p.config(), client); name != "first" || err != nil {
		t.Fatalf("with a bad pair: served %q, %v", name, err)
	}
	write(t, c.TLSKey, key)
	expect(t, logged, "TLS certificate loaded")
	if name, err := served(t, p.config(), client); name != "second" || err != nil {
		t.Fatalf("with the new pair: served %q, %v", name, err)
	}
	if n := logs.FilterMessage("TLS certificate loaded").Len(); n != 1 {
		t.Errorf("%d certificates loaded, want 1", n)
	}
}

func TestTLSVersions(t *testing.T) {
	dir := t.TempDir()
	c := Config{TLSCert: filepath.Join(dir, "tls.crt"), TLSKey: filepath.Join(dir, "tls.key")}
	cert, key := newPair(t, "it")
	write(t, c.TLSCert, cert)
	write(t, c.TLSKey, key)
	p, err := loadCertificate(c, zaptest.NewLogger(t))
	must(t, err)
	for version, ok := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		client := &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}
		if _, err := served(t, p.config(), client); (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

func TestBadCertificateAtStart(t *testing.T) {
	dir := t.TempDir()
	cert, _ := newPair(t, "one")
	_, key := newPair(t, "another")
	c := Config{TLSCert: filepath.Join(dir, "tls.crt"), TLSKey: filepath.Join(dir, "tls.key")}
	check := func(variable string) {
		t.Helper()
		_, err := loadCertificate(c, zaptest.NewLogger(t))
		var bad *ConfigError
		if !errors.As(err, &bad) || bad.Variable != variable {
			t.Errorf("got %v, want an error of %s", err, variable)
		}
	}
	check("WEIR_TLS_CERT")
	write(t, c.TLSCert, cert)
	check("WEIR_TLS_KEY")
	write(t, c.TLSKey, key)
	check("WEIR_TLS_CERT, WEIR_TLS_KEY")
}
