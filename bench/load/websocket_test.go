package load

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/semaphore"
)

// startConsumerServer starts a server with one socket for consumers, over which it sends the texts, and then waits for as many frames.
func startConsumerServer(t *testing.T, texts []string) (addr string, acks <-chan []string) {
	t.Helper()
	got := make(chan []string, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /notification2/token", func(w http.ResponseWriter, r *http.Request) {
		name, word, _ := r.BasicAuth()
		if body, err := io.ReadAll(r.Body); name != service || word != password || err != nil || !strings.Contains(string(body), "bench/topic/00") {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"token":"secret"}`)
	})
	mux.HandleFunc("GET /notification2/consumer/", func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{Subprotocols: []string{encodings[JSON].protocol}}
		ws, err := up.Upgrade(w, r, nil)
		if err != nil || r.URL.Query().Get("token") != "secret" {
			t.Errorf("upgrade %v: %v", r.URL, err)
			return
		}
		defer ws.Close()
		for _, text := range texts {
			if err := ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
				t.Error(err)
			}
		}
		var acks []string
		for range texts {
			_, ack, err := ws.ReadMessage()
			if err != nil {
				t.Error(err)
			}
			acks = append(acks, string(ack))
		}
		got <- acks
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), got
}

func TestWebSocketSubscriber(t *testing.T) {
	const count = 1000
	for _, kind := range []Kind{JSON, Avro} {
		t.Run(string(kind), func(t *testing.T) {
			var texts, want []string
			for i := range count {
				p := make(payload, PayloadSize)
				p.set(0, uint64(i), 0)
				encoded := base64.StdEncoding.EncodeToString(p)
				if kind == JSON {
					texts = append(texts, fmt.Sprintf(`{"id":"%d","topic":"a","payload":"%s"}`, i, encoded))
					want = append(want, fmt.Sprintf(`{"ack":"%d"}`, i))
				} else {
					texts = append(texts, fmt.Sprintf("%d\n%s", i, encoded))
					want = append(want, fmt.Sprint(i))
				}
			}
			addr, acks := startConsumerServer(t, texts)
			in := newIntake(1, semaphore.NewWeighted(count), false)
			if err := in.undelivered.Acquire(t.Context(), count); err != nil {
				t.Fatal(err)
			}
			s, err := subscribe(t.Context(), Config{HTTPAddr: addr, To: kind}, []string{"bench/topic/00"}, in)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			if err := s.receive(); err == nil { // until the server closes
				t.Error("no error")
			}
			if got := <-acks; !slices.Equal(got, want) {
				t.Errorf("got %d acknowledgements, the first %q", len(got), got[0])
			}
			if in.delivered.Load() != count || in.late+in.duplicates != 0 {
				t.Errorf("%d delivered, %d late, %d duplicates", in.delivered.Load(), in.late, in.duplicates)
			}
		})
	}
}

func TestWebSocketSubscriberIsRefused(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	in := newIntake(1, semaphore.NewWeighted(1), false)
	_, err := subscribe(t.Context(), Config{HTTPAddr: server.Listener.Addr().String(), To: JSON}, []string{"a"}, in)
	if err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("got %v", err)
	}
}
