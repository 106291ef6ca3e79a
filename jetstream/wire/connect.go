package wire

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// link is a connection whose server has accepted the login.
type link struct {
	raw   net.Conn // closing it ends conn
	conn  net.Conn // raw, or TLS over it
	input *input
	info  info
}

var errTimeout = errors.New("no answer within the timeout")

// connect makes a connection to one server. The timeout of the options holds for the connection, and again for the login.
func connect(ctx context.Context, options nats.Options, s *server) (*link, error) {
	raw, err := open(ctx, options, s)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, options.Timeout)
	defer cancel()
	l := &link{raw: raw, conn: raw}
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	err = l.shake(ctx, options, s)
	if stop() && err == nil {
		return l, nil
	}
	_ = raw.Close() // unused
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = errTimeout
	}
	return nil, cmp.Or(err, ctx.Err())
}

func open(ctx context.Context, options nats.Options, s *server) (net.Conn, error) {
	switch {
	case options.InProcessServer != nil:
		return options.InProcessServer.InProcessConn()
	case options.CustomDialer != nil:
		return options.CustomDialer.Dial("tcp", s.url.Host)
	}
	return (&net.Dialer{Timeout: options.Timeout}).DialContext(ctx, "tcp", s.url.Host)
}

// shake reads INFO, changes to TLS where that is wanted, logs in and waits until that is accepted.
func (l *link) shake(ctx context.Context, options nats.Options, s *server) (err error) {
	secure := s.url.Scheme == "tls" || options.Secure || options.TLSHandshakeFirst
	if options.TLSHandshakeFirst {
		if err := l.encrypt(ctx, options, s); err != nil {
			return err
		}
	}
	l.input = newInput(l.conn)
	line, length, err := l.input.peek()
	if err != nil {
		return err
	}
	if l.info, err = parseInfo(line); err != nil {
		return err
	}
	l.input.take(length)
	if !l.info.Headers {
		return errors.New("the server has headers turned off")
	}
	secure = secure || l.info.TLSRequired
	if secure && !options.TLSHandshakeFirst {
		if !l.info.TLSRequired && !l.info.TLSAvailable {
			return errors.New("TLS is wanted, which the server does not have")
		}
		if l.input.has(1) {
			return errors.New("the server went on before the TLS handshake")
		}
		if err := l.encrypt(ctx, options, s); err != nil {
			return err
		}
		l.input = newInput(l.conn)
	}
	hello, err := hello(options, s, l.info.Nonce, secure)
	if err != nil {
		return err
	}
	// Written while the answer is read: a server that says something before it has taken all of it would wait for ever
	// on a connection in the process, and why it refuses a login would be lost where it closes at once.
	var writing sync.WaitGroup
	writing.Go(func() { _, _ = l.conn.Write(hello) }) // where it fails, so does the reading
	if err = l.accepted(); err != nil {
		_ = l.raw.Close() // ends the writing
	}
	writing.Wait()
	return err
}

// encrypt does the TLS handshake.
func (l *link) encrypt(ctx context.Context, options nats.Options, s *server) error {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if options.TLSConfig != nil {
		config = options.TLSConfig.Clone()
	}
	if options.TLSCertCB != nil {
		certificate, err := options.TLSCertCB()
		if err != nil {
			return err
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	if options.RootCAsCB != nil {
		var err error
		if config.RootCAs, err = options.RootCAsCB(); err != nil {
			return err
		}
	}
	if config.ServerName == "" {
		config.ServerName = s.tlsName
	}
	conn := tls.Client(l.conn, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	l.conn = conn
	return nil
}

// accepted waits for the PONGs that tell that the login was accepted.
func (l *link) accepted() error {
	for pongs := 0; ; {
		line, length, err := l.input.peek()
		if err != nil {
			return err
		}
		switch {
		case string(line) == "PONG":
			if pongs++; pongs == helloPings {
				l.input.take(length)
				return nil
			}
		case len(line) > 0 && line[0] == '-':
			return fmt.Errorf("refused by the server: %s", errorText(line))
		case len(line) > 0 && line[0] == 'I':
			if l.info, err = parseInfo(line); err != nil {
				return err
			}
		case string(line) == "+OK", string(line) == "PING": // the server asks again
		default:
			return violation(line)
		}
		l.input.take(length)
	}
}

// login is the CONNECT message.
type login struct {
	Verbose      bool   `json:"verbose"`
	Pedantic     bool   `json:"pedantic"`
	TLSRequired  bool   `json:"tls_required"`
	Name         string `json:"name"`
	Lang         string `json:"lang"`
	Version      string `json:"version"`
	Protocol     int    `json:"protocol"` // 1: the server may tell of others in INFO
	Echo         bool   `json:"echo"`
	Headers      bool   `json:"headers"`
	NoResponders bool   `json:"no_responders"`
	JWT          string `json:"jwt,omitempty"`
	NKey         string `json:"nkey,omitempty"`
	Signature    string `json:"sig,omitempty"`
	User         string `json:"user,omitempty"`
	Password     string `json:"pass,omitempty"`
	Token        string `json:"auth_token,omitempty"`
}

// helloPings is how many PINGs follow CONNECT. The answer to the first tells that the login was accepted; then, before
// the second, the server tells in INFO what holds for the account, above all its max_payload.
const helloPings = 2

// hello is CONNECT and the PINGs. Who is in the URL goes before who is in the options.
func hello(options nats.Options, s *server, nonce string, secure bool) ([]byte, error) {
	l := login{
		TLSRequired: secure, Name: options.Name, Lang: "weir", Version: "1", Protocol: 1,
		Echo: !options.NoEcho, Headers: true, NoResponders: true,
		User: options.User, Password: options.Password, Token: options.Token, NKey: options.Nkey,
	}
	if user := s.url.User; user != nil {
		l.User, l.Token, l.NKey = user.Username(), "", ""
		var ok bool
		if l.Password, ok = user.Password(); !ok {
			l.User, l.Token = "", l.User
		}
	}
	if options.UserJWT != nil {
		var err error
		if l.JWT, err = options.UserJWT(); err != nil {
			return nil, fmt.Errorf("credentials: %w", err)
		}
	}
	if l.JWT != "" || l.NKey != "" {
		if options.SignatureCB == nil {
			return nil, errors.New("credentials: nothing to sign with")
		}
		signature, err := options.SignatureCB([]byte(nonce))
		if err != nil {
			return nil, fmt.Errorf("credentials: %w", err)
		}
		l.Signature = base64.RawURLEncoding.EncodeToString(signature)
	}
	data, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "CONNECT %s\r\n%s", data, strings.Repeat("PING\r\n", helloPings)), nil
}
