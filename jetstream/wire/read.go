package wire

import (
	"bytes"
	"encoding/json"
	"errors"

	"go.uber.org/zap"
)

// lasting begin the kinds of -ERR after which the server goes on with the connection. To end it would change nothing: the same
// subject would be refused on the next one, and every other would suffer.
var lasting = [][]byte{[]byte("permissions violation"), []byte("maximum subscriptions exceeded")}

// read handles what the server sends until the connection ends, and returns why it did.
func (c *Conn) read(in *input) error {
	for {
		line, length, err := in.peek()
		if err != nil {
			return err
		}
		if len(line) == 0 {
			return violation(line)
		}
		switch line[0] {
		case 'M', 'H':
			if err := c.message(in, line, length); err != nil {
				return err
			}
			continue
		case 'P':
			err = c.pingPong(line)
		case 'I':
			err = c.moreInfo(line)
		case '-':
			err = c.serverError(line)
		case '+': // OK, which is not asked for
		default:
			err = violation(line)
		}
		if err != nil {
			return err
		}
		in.take(length)
	}
}

// message hands one message to its handler. It takes nothing where its end has still to come, so that it is called again.
func (c *Conn) message(in *input, line []byte, length int) error {
	f, err := parseFrame(line)
	if err != nil {
		return err
	}
	whole := length + f.total + len(crlf)
	if !in.has(whole) {
		return in.fill(whole)
	}
	body, end := in.buf[in.start+length:in.start+length+f.total], in.buf[in.start+length+f.total:in.start+whole]
	if !bytes.Equal(end, crlf) {
		return violation(line)
	}
	in.take(whole)
	s := c.subs.find(f.sid)
	if s == nil {
		return nil // unsubscribed meanwhile
	}
	c.msg = Msg{Subject: f.subject, Reply: f.reply, Header: body[:f.header], Data: body[f.header:]}
	s.handle(&c.msg)
	return nil
}

func (c *Conn) pingPong(line []byte) error {
	switch string(line) {
	case "PING":
		c.mu.Lock()
		defer c.mu.Unlock()
		c.line("PONG")
	case "PONG":
		c.pong()
	default:
		return violation(line)
	}
	return nil
}

// moreInfo takes what the server tells later: of other servers of its cluster, and another max_payload.
func (c *Conn) moreInfo(line []byte) error {
	info, err := parseInfo(line)
	if err != nil {
		return err
	}
	c.pool.discovered(info.ConnectURLs, nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.maxPayload = max(info.MaxPayload, 0)
	return nil
}

func (c *Conn) serverError(line []byte) error {
	text := errorText(line)
	for _, begin := range lasting {
		if bytes.HasPrefix(bytes.ToLower(text), begin) {
			c.log.Error("refused by the NATS server", zap.ByteString("error", text))
			return nil
		}
	}
	return errors.New(string(text))
}

// errorText is what stands between the quotes of an -ERR line.
func errorText(line []byte) []byte {
	return bytes.Trim(bytes.TrimPrefix(line, []byte("-ERR")), " '")
}

// info is what is used of the server's INFO.
type info struct {
	Name         string   `json:"server_name"`
	Nonce        string   `json:"nonce"`
	Headers      bool     `json:"headers"`
	TLSRequired  bool     `json:"tls_required"`
	TLSAvailable bool     `json:"tls_available"`
	MaxPayload   int      `json:"max_payload"` // not above 0: not limited
	ConnectURLs  []string `json:"connect_urls"`
}

func parseInfo(line []byte) (i info, err error) {
	rest, ok := bytes.CutPrefix(line, []byte("INFO "))
	if !ok || json.Unmarshal(rest, &i) != nil {
		return i, violation(line)
	}
	return i, nil
}
