package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// webSocketSubscriber is a microservice with a WebSocket. It acknowledges every message by a frame; those for what one read has brought leave in one write.
type webSocketSubscriber struct {
	conn     io.ReadWriteCloser
	frames   *packetReader
	encoding encoding
	in       *intake
}

func subscribeWebSocket(ctx context.Context, cfg Config, topic string, in *intake) (subscriber, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	token, err := fetchToken(ctx, cfg.HTTPAddr, topic)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	enc := encodings[cfg.To]
	conn, err := openWebSocket(ctx, cfg.HTTPAddr, token, enc.protocol)
	if err != nil {
		return nil, fmt.Errorf("websocket: %w", err)
	}
	return &webSocketSubscriber{conn: conn, frames: newPacketReader(conn, parseFrame), encoding: enc, in: in}, nil
}

// fetchToken asks for a token of a subscriber whose messages are kept, as they are unless one says otherwise.
func fetchToken(ctx context.Context, addr, topic string) (string, error) {
	body, err := json.Marshal(map[string]string{"subscriber": "bench", "subscription": topic})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/notification2/token", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.SetBasicAuth(service, password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", errors.New(resp.Status)
	}
	var answer struct {
		Token string `json:"token"`
	}
	err = json.NewDecoder(resp.Body).Decode(&answer)
	return answer.Token, err
}

// openWebSocket opens a consumer's socket and returns the connection under it.
func openWebSocket(ctx context.Context, addr, token, protocol string) (io.ReadWriteCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/notification2/consumer/?token="+token, http.NoBody)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "YmVuY2ggYmVuY2ggYmVuYw==",
	} {
		req.Header.Set(name, value)
	}
	if protocol != "" {
		req.Header.Set("Sec-WebSocket-Protocol", protocol)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Protocol") != protocol {
		resp.Body.Close()
		return nil, fmt.Errorf("%s, protocol %q", resp.Status, resp.Header.Get("Sec-WebSocket-Protocol"))
	}
	return conn, nil
}

func (s *webSocketSubscriber) receive() error {
	var acks []byte
	var mask uint32
	buf := make([]byte, 0, 4*PayloadSize)
	arrived := Now()
	for {
		header, text, err := s.frames.next()
		if err != nil {
			return err
		}
		if len(acks) == 0 {
			arrived = Now()
		}
		if header != headerText {
			return fmt.Errorf("subscriber got a frame %#x, want text", header)
		}
		id, p, err := s.encoding.decode(text, buf)
		if err != nil {
			return err
		}
		if err := s.in.take(p, arrived); err != nil {
			return err
		}
		mask += 0x9E3779B9 // any other than the last
		acks = appendFrame(acks, mask, s.encoding.before, id, s.encoding.after)
		if s.frames.buffered() {
			continue
		}
		if _, err := s.conn.Write(acks); err != nil {
			return err
		}
		s.in.settle()
		acks = acks[:0]
	}
}

func (s *webSocketSubscriber) close() { s.conn.Close() }
