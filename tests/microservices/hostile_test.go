package microservices

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/weirmq/weir/authn"
	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// raw opens a TCP connection that lasts until the end of the test at the latest.
func raw(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(weirtest.Patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// header is that of a masked frame with the key 0.
func header(first byte, length int) []byte {
	switch {
	case length < 126:
		return []byte{first, 0x80 | byte(length), 0, 0, 0, 0}
	case length < 1<<16:
		return []byte{first, 0x80 | 126, byte(length >> 8), byte(length), 0, 0, 0, 0}
	default:
		return []byte{first, 0x80 | 127, 0, 0, 0, 0, byte(length >> 24), byte(length >> 16), byte(length >> 8), byte(length), 0, 0, 0, 0}
	}
}

const (
	textFrame     = 0x01
	continuation  = 0x00
	finalFrame    = 0x80
	compressedBit = 0x40
)

// write writes bytes to the connection under a WebSocket.
func (s *socket) write(t *testing.T, b []byte) {
	t.Helper()
	if err := s.ws.NetConn().SetWriteDeadline(time.Now().Add(weirtest.Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ws.NetConn().Write(b); err != nil {
		t.Fatal(err)
	}
}

// A frame in pieces of one byte, with pings between them, is a frame; one without an end is not held in memory; a compressed one, which nobody
// agreed on, ends the socket.
func TestFragments(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{Tenants: plenty})
	token := tokenFor(t, weir, grant{Subscriber: "mqttServicePublisher", Subscription: "d/x"})
	s := mustOpen(t, weir, producers, token, asJSON)
	var pieces []byte
	text := `{"seq":5,"topic":"d/x","payload":"eA=="}`
	for i := range len(text) {
		first := byte(continuation)
		if i == 0 {
			first = textFrame
		}
		if i == len(text)-1 {
			first |= finalFrame
		}
		pieces = append(append(append(pieces, header(first, 1)...), text[i]), header(finalFrame|websocket.PingMessage, 0)...)
	}
	s.write(t, pieces)
	if answer, err := s.text(weirtest.Patience); err != nil || string(answer) != `{"ack":5}` {
		t.Fatalf("%s %v", answer, err)
	}

	before := weir.Memory()
	piece := append(header(continuation, 1<<20), make([]byte, 1<<20)...)
	s.write(t, append(header(textFrame, 9), `{"seq":6,`...))
	for range 200 {
		s.write(t, piece)
	}
	if grown := weir.Memory() - before; grown > 64<<20 {
		t.Errorf("200 MiB of one frame take %d MiB", grown>>20)
	}
	s.write(t, header(continuation|finalFrame, 0))
	if answer, err := s.text(weirtest.Patience); err != nil || codeOf(answer) != "packet_too_large" || !bytes.HasPrefix(answer, []byte(`{"seq":6,`)) {
		t.Fatalf("%s %v", answer, err)
	}
	if refused := s.mustPublish(t, 7, "d/x", "still here"); refused != "" {
		t.Error(refused)
	}
	// A close frame between the pieces of another one.
	s.write(t, append(header(textFrame, 1), '{'))
	s.write(t, append(header(finalFrame|websocket.CloseMessage, 2), 3, 232))
	s.mustClose(t, websocket.CloseNormalClosure)

	for what, b := range map[string][]byte{
		"compressed":         append(header(finalFrame|compressedBit|textFrame, 1), 'x'),
		"not masked":         {finalFrame | textFrame, 1, 'x'},
		"nothing to go on":   append(header(finalFrame|continuation, 1), 'x'),
		"a long ping":        append(header(finalFrame|websocket.PingMessage, 200), make([]byte, 200)...),
		"a ping in pieces":   header(websocket.PingMessage, 0),
		"an unknown opcode":  header(finalFrame|0x03, 0),
		"a length below 0":   {finalFrame | textFrame, 0xFF, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0},
		"a text in another":  append(header(textFrame, 0), header(textFrame, 0)...),
		"a bad reason":       append(header(finalFrame|websocket.CloseMessage, 3), 3, 232, 0xFF),
		"a forbidden number": append(header(finalFrame|websocket.CloseMessage, 2), 3, 237),
	} {
		s := mustOpen(t, weir, producers, token, asJSON)
		s.write(t, b)
		if answer, err := s.text(weirtest.Patience); !websocket.IsCloseError(err, websocket.CloseProtocolError) {
			t.Errorf("%s: %q %v", what, answer, err)
		}
	}
}

// Whoever is slow with a header, or has too much of it, is cut off, and takes nothing from the others. Ten thousand upgrades that are refused leave nothing behind.
func TestRequestsWithoutEnd(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{Tenants: plenty, Unchecked: true})
	token := tokenFor(t, weir, grant{Subscriber: "mapper", Subscription: "d/x"})
	s := mustOpen(t, weir, consumers, token, asJSON)
	before := weir.Metric("go_goroutines")
	slow := make([]net.Conn, 200)
	for i := range slow {
		slow[i] = raw(t, weir.HTTP())
		if _, err := fmt.Fprintf(slow[i], "GET /notification2/consumer/?token=%s HTTP/1.1\r\nHost: x\r\nX-", token); err != nil {
			t.Fatal(err)
		}
	}
	for what, request := range map[string]string{
		"long header": "GET /notification2/token HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 1<<20),
		"long line":   "GET /notification2/consumer/?token=" + strings.Repeat("x", 1<<20),
		"many fields": "GET /notification2/token HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", 1<<17),
	} {
		conn := raw(t, weir.HTTP())
		_, _ = conn.Write([]byte(request)) // it may be cut off meanwhile
		answer := make([]byte, 12)
		if n, _ := conn.Read(answer); n > 0 && string(answer) != "HTTP/1.1 431" {
			t.Errorf("%s: %s", what, answer)
		}
	}
	const attempts, parallel = 10_000, 20
	var work sync.WaitGroup
	began := time.Now()
	for i := range parallel {
		work.Go(func() {
			client := http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
			defer client.CloseIdleConnections()
			for n := range attempts / parallel {
				r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+weir.HTTP()+"/notification2/"+
					[]string{consumers, producers}[n%2]+"?token=x"+strconv.Itoa(n), nil)
				if err != nil {
					t.Error(err)
					return
				}
				r.Header = http.Header{
					"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
				}
				answer, err := client.Do(r)
				if err != nil {
					t.Errorf("%d: %v", i, err)
					return
				}
				answer.Body.Close()
				if answer.StatusCode != http.StatusUnauthorized {
					t.Errorf("status %d", answer.StatusCode)
					return
				}
			}
		})
	}
	work.Wait()
	t.Logf("%d upgrades refused in %s", attempts, time.Since(began))
	weirtest.NewPublisher(t, weir, codec.V5, "d/x").MustPublish(0, 1)
	if d := s.mustNext(t); d.payload != "0" {
		t.Errorf("received %+v", d)
	}
	for _, conn := range slow {
		if n, err := conn.Read(make([]byte, 1)); n == 0 && !weirtest.Closed(err) {
			t.Errorf("a slow request is not cut off: %v", err)
		}
	}
	weirtest.Until(t, "nothing is left", func() bool { return weir.Metric("go_goroutines") <= before+10 })
}

// A tenant has so many subscribers that are kept, and not one more; whoever has one may use it all the same, and may make room.
func TestSubscriberLimit(t *testing.T) {
	const limit = 1000
	server := weirtest.StartNATS(t)
	weir := weirtest.Start(t, weirtest.Options{Tenants: plenty, External: server})
	var tokens authn.Tokens // here, because a password takes its time
	if err := tokens.SetKeys(storedKeys(t, weirtest.JetStream(t, server.URL()))); err != nil {
		t.Fatal(err)
	}
	issue := func(subscriber string) string {
		token, _, err := tokens.Issue(authn.Claims{Tenant: "demo", User: "service", Subscriber: subscriber, Subscription: "d/x"}, time.Hour)
		if err != nil {
			t.Error(err)
		}
		return token
	}
	began := time.Now()
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			for n := i; n < limit; n += 8 {
				s, refusal, err := open(context.Background(), weir.HTTP(), consumers, issue("random-"+strconv.Itoa(n)), asJSON)
				if s == nil {
					t.Errorf("%d: %+v %v", n, refusal, err)
					return
				}
				s.ws.Close()
			}
		})
	}
	work.Wait()
	t.Logf("%d subscribers in %s", limit, time.Since(began))
	mustRefuse(t, weir, consumers, issue("one more"), http.StatusInsufficientStorage, "subscriber_limit")
	s := mustOpen(t, weir, consumers, issue("random-0"), asJSON)
	weirtest.NewPublisher(t, weir, codec.V5, "d/x").MustPublish(0, 1)
	if d := s.mustNext(t); d.payload != "0" {
		t.Errorf("received %+v", d)
	}
	if err := s.unsubscribe(); err != nil {
		t.Fatal(err)
	}
	s.mustClose(t, websocket.CloseNormalClosure)
	mustOpen(t, weir, consumers, issue("one more"), asJSON)
}
