package app

import (
	"bytes"
	"crypto/tls"
	"os"
	"sync/atomic"

	"go.uber.org/zap"
)

// certificate is the server's certificate and key, as they were last found good in their files.
type certificate struct {
	certFile, keyFile string
	log               *zap.Logger

	// owned by whoever calls load: first the start, then the watcher
	cert, key []byte // the last that were looked at, good or bad

	current atomic.Pointer[tls.Certificate]
}

// loadCertificate reads the files for the first time. The error is a *ConfigError.
func loadCertificate(c Config, log *zap.Logger) (*certificate, error) {
	p := &certificate{certFile: c.TLSCert, keyFile: c.TLSKey, log: log}
	if _, err := p.load(); err != nil {
		return nil, err
	}
	return p, nil
}

// load takes the files over, if they have changed since the last call and are good.
func (p *certificate) load() (changed bool, err error) {
	cert, err := os.ReadFile(p.certFile)
	if err != nil {
		return false, &ConfigError{Variable: "WEIR_TLS_CERT", Err: err}
	}
	key, err := os.ReadFile(p.keyFile)
	if err != nil {
		return false, &ConfigError{Variable: "WEIR_TLS_KEY", Err: err}
	}
	if bytes.Equal(cert, p.cert) && bytes.Equal(key, p.key) {
		return false, nil
	}
	p.cert, p.key = cert, key
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return false, &ConfigError{Variable: "WEIR_TLS_CERT, WEIR_TLS_KEY", Err: err}
	}
	p.current.Store(&pair)
	return true, nil
}

// reload is load for a program that runs: a bad pair leaves the one in force alone.
func (p *certificate) reload() {
	changed, err := p.load()
	switch {
	case err != nil:
		p.log.Error("new TLS certificate refused, the old one stays in force", zap.Error(err))
	case changed:
		leaf := p.current.Load().Leaf
		p.log.Info("TLS certificate loaded", zap.String("subject", leaf.Subject.String()),
			zap.Stringer("serial", leaf.SerialNumber), zap.Time("not_after", leaf.NotAfter))
	}
}

// config returns the configuration for a listener: TLS 1.2 or later, every handshake with the certificate of its time.
func (p *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return p.current.Load(), nil
		},
	}
}
