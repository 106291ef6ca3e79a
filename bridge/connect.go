package bridge

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/quota"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// maxConnectBytes is the largest CONNECT: room for the largest will payload that the protocol has, and the rest. The
// buffer grows only as bytes come in.
const maxConnectBytes = 128 << 10

// connect takes the connection from its first byte to CONNACK. Where it returns false the connection was refused and is
// closed.
func (c *conn) connect() bool {
	timeout := c.server.connectTimeout()
	ctx, cancel := context.WithTimeout(c.ctx, timeout)
	defer cancel()
	c.in.setDeadline(c.opened.Add(timeout))

	p, err := c.readConnect()
	c.server.heard(c)
	if err == nil {
		err = c.accept(ctx, p)
	}
	if err != nil {
		c.refuse(p, c.why(refused(err)))
		return false
	}
	return true
}

// why is why the connection is refused: what ended it from outside, where something did, or else err.
func (c *conn) why(err *reason.Error) *reason.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		return c.ended.Error
	}
	return err
}

// readConnect returns the CONNECT. With an error only the version in it counts, 0 where it is not known.
func (c *conn) readConnect() (*codec.Connect, error) {
	p := new(codec.Connect)
	h, body, err := c.reader.Next()
	if err != nil {
		p.Version = sniffVersion(c.in.first)
		switch e := endingFor(err); {
		case errors.Is(err, errNoConnect):
			return p, errNoConnect
		case errors.Is(err, os.ErrDeadlineExceeded):
			return p, reason.New(reason.ConnectTimeout, "no CONNECT in time")
		default:
			return p, e.Error
		}
	}
	c.in.greeting = false
	c.server.Metrics.received.count(h.Type)
	if err := p.Decode(h, body, 0); err != nil {
		e := endingFor(err).Error
		if e.Reason == reason.UnsupportedVersion && strings.HasPrefix(string(body), "\x00\x06MQIsdp") {
			p.Version = codec.V31 // which is how clients of that protocol name want to be told
		}
		return p, e
	}
	c.connectBytes = int64(1 + varintBytes(h.Length) + h.Length)
	return p, nil
}

// varintBytes is how many bytes a remaining length takes.
func varintBytes(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// sniffVersion is the protocol version of the CONNECT that begins with b, even where the rest is not there or of no
// use; 0 where b does not tell.
func sniffVersion(b []byte) codec.Version {
	if len(b) == 0 || codec.Type(b[0]>>4) != codec.CONNECT {
		return 0
	}
	b = b[1:]
	for i := 0; i < 4 && len(b) > 0; i++ { // the remaining length
		more := b[0]&0x80 != 0
		b = b[1:]
		if !more {
			break
		}
	}
	for name, versions := range map[string]string{"\x00\x04MQTT": "\x04\x05", "\x00\x06MQIsdp": "\x03"} {
		if len(b) > len(name) && string(b[:len(name)]) == name {
			for _, v := range []byte(versions) {
				if b[len(name)] == v {
					return codec.Version(v)
				}
			}
		}
	}
	return 0
}

// accept does everything between the CONNECT and its CONNACK, in the order in which design and specification check it.
// The error is why the connection is refused.
func (c *conn) accept(ctx context.Context, p *codec.Connect) error {
	if p.Properties.HasAuthMethod {
		return reason.New(reason.AuthUnsupported, "no authentication method is served [MQTT-4.12.0-1]")
	}
	limits, err := c.authenticate(ctx, p)
	if err != nil {
		return err
	}
	if err := quota.Packet(limits, c.connectBytes); err != nil {
		return err
	}
	clientID, assigned, err := clientIdentifier(p, limits)
	if err != nil {
		return err
	}
	if c.log, err = c.server.Log(ctx, c.principal.Tenant); err != nil {
		return err
	}
	c.mu.Lock() // Recheck looks at the session of whoever is registered
	c.session = newSession(p, clientID, c.principal.Tenant, c.principal.Role, limits, c.server.Metrics)
	c.mu.Unlock()
	c.errors = c.server.errorLogs.open(errorKey{c.principal.Tenant, c.principal.User, clientID}, c.log.ReportError)
	if err := c.own(ctx, p, limits); err != nil {
		if clientFault(refused(err).Reason) {
			c.report(&fault{Error: refused(err), packet: codec.CONNECT})
		}
		c.errors.release()
		return err
	}
	c.welcome(p, limits, assigned)
	return nil
}

// authenticate finds out who this is and registers the connection, so that a change of its user reaches it.
func (c *conn) authenticate(ctx context.Context, p *codec.Connect) (tenant.Limits, error) {
	var err error
	if c.principal, err = c.server.Auth.Authenticate(ctx, p.Username, p.Password); err != nil {
		return tenant.Limits{}, waited(ctx, err)
	}
	limits, ok := c.server.Auth.Limits(c.principal.Tenant)
	if !ok {
		return tenant.Limits{}, reason.New(reason.TenantDisabled, "the tenant was removed")
	}
	c.server.identified(c)
	return limits, c.server.Auth.Check(c.principal)
}

// waited tells a connect timeout from other ends of a wait.
func waited(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return reason.New(reason.ConnectTimeout, "CONNECT was not answered in time")
	}
	return err
}

// clientIdentifier is the identifier that the connection goes by; assigned tells that it is not the client's choice.
func clientIdentifier(p *codec.Connect, l tenant.Limits) (id string, assigned bool, err error) {
	if p.ClientID != "" {
		return p.ClientID, false, quota.ClientID(l, p.ClientID)
	}
	if p.Version == codec.V31 || p.Version == codec.V311 && !p.CleanStart { // [MQTT-3.1.3-8]
		return "", false, reason.New(reason.ClientIDInvalid, "the client identifier is empty")
	}
	return "weir-" + rand.Text(), true, nil // [MQTT-3.1.3-6]
}

// own checks the will and makes the connection the owner of its client identifier.
func (c *conn) own(ctx context.Context, p *codec.Connect, l tenant.Limits) error {
	if p.Will != nil {
		if err := checkWill(p.Will, c.principal.Tenant, l); err != nil {
			return err
		}
		c.will = willMessage(p.Will, c.session.clientID, c.principal)
	}
	claim, err := c.log.Claim(ctx, jetstream.Owner{
		ClientID:    c.session.clientID,
		User:        c.principal.User,
		Connections: l.Connections,
		Revoked:     c.revoked,
	})
	if err != nil {
		return waited(ctx, err)
	}
	c.claim = claim
	return nil
}

// revoked ends the connection because its client identifier is somebody else's now, and returns when that is done. A
// client that disconnects and connects again at once has left by itself, however late its DISCONNECT is read.
func (c *conn) revoked(taken bool) {
	if taken {
		c.endAfterLastWords(ending{Error: reason.New(reason.TakenOver, "another connection uses the client identifier")})
	} else {
		c.end(ending{Error: reason.New(reason.LeaseLost, "this bridge has lost the client identifier; connect again")})
	}
	<-c.over
}

// welcome appends the CONNACK, after which the session is alive.
func (c *conn) welcome(p *codec.Connect, l tenant.Limits, assigned bool) {
	keepAlive := time.Duration(p.KeepAlive) * time.Second
	ack := &codec.Connack{}
	if p.Version == codec.V5 {
		var no bool
		ack.Properties = codec.ConnackProperties{
			ReceiveMaximum:    receiveMaximum,
			MaximumQoS:        new(codec.QoS(1)),
			RetainAvailable:   &no,
			MaximumPacketSize: uint32(l.MessageBytes),
			SharedAvailable:   &no,
		}
		if p.Properties.SessionExpiry > 0 {
			ack.Properties.SessionExpiry = new(uint32(0))
		}
		if assigned {
			ack.Properties.AssignedClientID = c.session.clientID
		}
		// 3.x has no way to tell a client that its keep alive is too long.
		if l.KeepAliveMax > 0 && (keepAlive == 0 || keepAlive > l.KeepAliveMax) {
			keepAlive = l.KeepAliveMax
			ack.Properties.ServerKeepAlive = new(uint16(keepAlive / time.Second))
		}
	}
	c.in.keepAlive(keepAlive * 3 / 2)
	c.reader.SetLimit(int(l.MessageBytes))
	if bad := c.session.answer(ack); bad != nil {
		bad.silent = true // nothing comes before a CONNACK [MQTT-3.2.0-1]
		c.end(*bad)
	}
	c.signal()
	c.server.Metrics.accepted.Inc()
	c.log.Event("connected", c.session.clientID, c.presence(""))
	c.server.Logger.Info("connected", append(c.fields(),
		zap.Duration("keep_alive", keepAlive),
		zap.Bool("will", c.will != nil),
	)...)
}

// refuse answers a CONNECT that is not accepted, where the version and the reason provide an answer, and closes.
func (c *conn) refuse(p *codec.Connect, err *reason.Error) {
	c.server.Metrics.refused(err.Reason)
	level := zap.InfoLevel
	if p.Version == 0 {
		level = zap.DebugLevel // not even MQTT: there may be very many of them
	}
	c.server.Logger.Log(level, "connection refused",
		zap.String("tenant", c.principal.Tenant), zap.String("user", c.principal.User), zap.String("remote", c.remote),
		zap.Stringer("version", p.Version), zap.String("reason", string(err.Reason)), zap.String("detail", err.Message),
		zap.NamedError("cause", err.Err))
	v := answerVersion(p.Version)
	code := connackCode(err.Reason, v)
	if p.Version == 0 && err.Reason != reason.UnsupportedVersion || code == noAnswer {
		_ = c.net.Close()
		return
	}
	ack := &codec.Connack{Code: code}
	if v == codec.V5 && !p.Properties.NoProblemInfo {
		ack.Properties.ReasonString = err.Error()
	}
	box := outbox{version: v, limit: int(p.Properties.MaximumPacketSize), sent: &c.server.Metrics.sent}
	if !box.append(ack) {
		ack.Properties.ReasonString = ""
		box.append(ack)
	}
	_ = c.net.SetWriteDeadline(time.Now().Add(flushTimeout))
	if b := box.take(); b != nil {
		_, _ = c.net.Write(*b) // the client is refused whether it hears of it or not
		recycle(b)
	}
	c.closeWrite()
}

// answerVersion is the version in which a CONNECT of version v is refused. Brokers that connect as a client for their
// own clients set the highest bit of the version, and try without it after return code 1.
func answerVersion(v codec.Version) codec.Version {
	if v >= codec.V5 && v < 0x80 {
		return codec.V5
	}
	return codec.V311
}
