package microservices

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/weirmq/weir/tests/weirtest"
)

const (
	consumers = "consumer/"
	producers = "producer/"
)

// encoding is what a socket speaks.
type encoding string

const (
	asAvro encoding = "avro"
	asJSON encoding = "weir.v1.json"
)

// socket is a WebSocket to a running Weir. One goroutine reads and one writes.
type socket struct {
	ws       *websocket.Conn
	encoding encoding
}

// delivery is one frame that a consumer got.
type delivery struct {
	id, topic, payload string
	clientID           string
	refused            string // code of an error frame, which has none of the others
}

// open opens a socket. Where Weir refuses, the answer says how, and the socket is nil.
func open(ctx context.Context, address, endpoint, token string, as encoding) (*socket, answer, error) {
	dialer := websocket.Dialer{HandshakeTimeout: weirtest.Patience}
	if as == asJSON {
		dialer.Subprotocols = []string{string(asJSON)}
	}
	ws, response, err := dialer.DialContext(ctx, "ws://"+address+"/notification2/"+endpoint+"?token="+url.QueryEscape(token), nil)
	if response != nil {
		defer response.Body.Close() // which is in memory
	}
	switch {
	case errors.Is(err, websocket.ErrBadHandshake):
		a := answer{status: response.StatusCode}
		_ = json.NewDecoder(response.Body).Decode(&a.fields) // what is missing shows
		return nil, a, nil
	case err != nil:
		return nil, answer{}, err
	case as == asJSON && ws.Subprotocol() != string(asJSON):
		ws.Close()
		return nil, answer{}, errors.New("the subprotocol was not selected")
	}
	return &socket{ws: ws, encoding: as}, answer{status: response.StatusCode}, nil
}

// mustOpen opens a socket that is closed with the test.
func mustOpen(t *testing.T, weir *weirtest.Weir, endpoint, token string, as encoding) *socket {
	t.Helper()
	s, refusal, err := open(weirtest.Context(t), weir.HTTP(), endpoint, token, as)
	if err != nil || s == nil {
		t.Fatalf("no socket: %v %v", refusal, err)
	}
	t.Cleanup(func() { s.ws.Close() })
	return s
}

// mustRefuse expects that there is no socket.
func mustRefuse(t *testing.T, weir *weirtest.Weir, endpoint, token string, status int, code string) {
	t.Helper()
	for _, as := range []encoding{asAvro, asJSON} {
		s, refusal, err := open(weirtest.Context(t), weir.HTTP(), endpoint, token, as)
		if err != nil {
			t.Fatal(err)
		}
		if s != nil {
			s.ws.Close()
			t.Errorf("%s is open, as %s", endpoint, as)
			continue
		}
		expect(t, endpoint+" as "+string(as), refusal, status, code)
	}
}

// text returns the next text frame.
func (s *socket) text(patience time.Duration) ([]byte, error) {
	if err := s.ws.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	kind, text, err := s.ws.ReadMessage()
	if err == nil && kind != websocket.TextMessage {
		err = fmt.Errorf("a frame of kind %d", kind)
	}
	return text, err
}

func (s *socket) send(text string) error {
	if err := s.ws.SetWriteDeadline(time.Now().Add(weirtest.Patience)); err != nil {
		return err
	}
	return s.ws.WriteMessage(websocket.TextMessage, []byte(text))
}

// next returns the next message of a consumer.
func (s *socket) next() (d delivery, err error) { return s.within(weirtest.Patience) }

// within is next with a patience of its own. After the end of the patience the socket cannot be read any more.
func (s *socket) within(patience time.Duration) (d delivery, err error) {
	text, err := s.text(patience)
	if err != nil {
		return d, err
	}
	if bytes.HasPrefix(text, []byte(`{"error"`)) {
		d.refused = codeOf(text)
		return d, nil
	}
	if s.encoding == asJSON {
		var f struct {
			ID       string `json:"id"`
			Topic    string `json:"topic"`
			Payload  []byte `json:"payload"`
			Metadata struct {
				ClientID string `json:"clientId"`
			} `json:"metadata"`
		}
		err = json.Unmarshal(text, &f)
		return delivery{id: f.ID, topic: f.Topic, payload: string(f.Payload), clientID: f.Metadata.ClientID}, err
	}
	id, body, _ := bytes.Cut(text, []byte{'\n'})
	record, err := base64.StdEncoding.DecodeString(string(body))
	if err != nil {
		return d, err
	}
	d, err = decode(record)
	d.id = string(id)
	return d, err
}

// mustNext is next for the test's own goroutine.
func (s *socket) mustNext(t *testing.T) delivery {
	t.Helper()
	d, err := s.next()
	if err != nil || d.refused != "" {
		t.Fatalf("no message: %+v %v", d, err)
	}
	return d
}

// mustBeSilent fails when a message comes within the time. The socket cannot be read any more.
func (s *socket) mustBeSilent(t *testing.T, patience time.Duration) {
	t.Helper()
	if d, err := s.within(patience); err == nil || !strings.Contains(err.Error(), "timeout") {
		t.Errorf("received %+v, %v", d, err)
	}
}

// mustClose expects a close frame with this code, after any messages.
func (s *socket) mustClose(t *testing.T, code int) {
	t.Helper()
	for {
		if _, err := s.text(weirtest.Patience); err != nil {
			if !websocket.IsCloseError(err, code) {
				t.Errorf("closed with %v instead of %d", err, code)
			}
			return
		}
	}
}

func (s *socket) ack(id string) error {
	if s.encoding == asJSON {
		id = `{"ack":"` + id + `"}`
	}
	return s.send(id)
}

// unsubscribe asks for the removal of the subscriber.
func (s *socket) unsubscribe() error {
	if s.encoding == asJSON {
		return s.send(`{"unsubscribe":true}`)
	}
	return s.send("unsubscribe_subscriber")
}

// publish sends a frame of a producer; the topic is for JSON.
func (s *socket) publish(seq int, topic, payload string) error {
	if s.encoding == asJSON {
		return s.send(fmt.Sprintf(`{"seq":%d,"topic":%q,"payload":%q}`, seq, topic, base64.StdEncoding.EncodeToString([]byte(payload))))
	}
	return s.send(strconv.Itoa(seq) + "\n" + base64.StdEncoding.EncodeToString(encode(payload)))
}

// mustPublish publishes and returns the code of the refusal; empty: it was stored.
func (s *socket) mustPublish(t *testing.T, seq int, topic, payload string) (refused string) {
	t.Helper()
	if err := s.publish(seq, topic, payload); err != nil {
		t.Fatal(err)
	}
	text, err := s.text(weirtest.Patience)
	if err != nil {
		t.Fatalf("no answer to publish %d: %v", seq, err)
	}
	stored := strconv.Itoa(seq)
	if s.encoding == asJSON {
		stored = `{"ack":` + stored + `}`
	}
	if string(text) == stored {
		return ""
	}
	if !bytes.HasPrefix(text, fmt.Appendf(nil, `{"seq":%d,"error":`, seq)) {
		t.Fatalf("answer to publish %d: %s", seq, text)
	}
	return codeOf(text)
}

func codeOf(text []byte) string {
	var f struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	if err := json.Unmarshal(text, &f); err != nil || f.Error.Code == "" {
		return "not an error: " + string(text)
	}
	return f.Error.Code
}

// cut ends the connection as a client does that crashes, without a close frame; with reset without the end of the stream either.
func (s *socket) cut(reset bool) error {
	if tcp, ok := s.ws.NetConn().(interface{ SetLinger(int) error }); ok && reset {
		if err := tcp.SetLinger(0); err != nil {
			return err
		}
	}
	return s.ws.Close()
}

// decode reads an Avro MqttServiceMessage: clientId, contentType, correlationData, dupFlag, messageId, payloadFormatIndicator, responseTopic,
// topic and userProperties, and then the payload. Those that may be null have a 1 in front, or a 0 alone. It knows no user properties.
func decode(record []byte) (d delivery, err error) {
	r := bytes.NewReader(record)
	number := func() int64 {
		n, e := binary.ReadVarint(r) // Avro's integers are Go's
		err = errors.Join(err, e)
		return n
	}
	text := func() string {
		n := number()
		if err != nil || n < 0 || n > int64(r.Len()) {
			err = errors.Join(err, fmt.Errorf("a length of %d", n))
			return ""
		}
		b := make([]byte, n)
		_, _ = r.Read(b)
		return string(b)
	}
	optional := func() string {
		if number() == 0 {
			return ""
		}
		return text()
	}
	d.clientID = optional()
	_, _ = optional(), optional()
	if _, e := r.ReadByte(); e != nil {
		return d, e
	}
	_ = number()
	if number() == 1 {
		_ = number()
	}
	_ = optional()
	d.topic = optional()
	if number() != 0 {
		return d, errors.New("user properties")
	}
	d.payload = text()
	if r.Len() > 0 {
		err = errors.Join(err, fmt.Errorf("%d bytes too many", r.Len()))
	}
	return d, err
}

// encode writes an Avro MqttServiceMessage with a payload and nothing else.
func encode(payload string) []byte {
	record := make([]byte, 9) // null seven times, false and 0
	return append(binary.AppendVarint(record, int64(len(payload))), payload...)
}

// grant describes a token.
type grant struct {
	Subscriber    string `json:"subscriber"`
	Subscription  string `json:"subscription"`
	Shared        bool   `json:"shared"`
	NonPersistent bool   `json:"nonPersistent"`
}

// tokenFor is a token of a user; of demo/service where there is none.
func tokenFor(t *testing.T, weir *weirtest.Weir, g grant, user ...string) string {
	t.Helper()
	if len(user) == 0 {
		user = []string{"demo/service", "demo"}
	}
	request, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	a := ask(t, weir, user[0], user[1], string(request))
	token, _ := a.fields["token"].(string)
	if a.status != http.StatusOK {
		t.Fatalf("%+v: %d %v instead of a token", g, a.status, a.fields)
	}
	return token
}
