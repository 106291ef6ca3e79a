package frame

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
)

func sorted(less func(a, b message.UserProperty) bool) cmp.Option { return cmpopts.SortSlices(less) }

func TestJSONMessage(t *testing.T) {
	for name, one := range map[string]struct {
		sent *message.Message
		want string
	}{
		"full": {full(), `{"id":"7","topic":"sensors/room 1/temp","payload":"MjEuNSDCsEM=","time":"2026-01-02T03:04:05.000000678Z",` +
			`"metadata":{"topic":"sensors/room 1/temp","clientId":"thermostat-7","messageId":65535,"dupFlag":true,"payloadFormatIndicator":"UTF_8",` +
			`"contentType":"text/plain","correlationData":"AAH+/w==","responseTopic":"re/ply","userProperties":{"a":"1","b":""}}}`},
		"empty": {&message.Message{Topic: "a"}, `{"id":"7","topic":"a","payload":"","metadata":{"topic":"a"}}`},
		"escapes": {
			&message.Message{Topic: "ä\"\\\x01", HasPayloadFormat: true, UserProperties: []message.UserProperty{{Name: "n", Value: "1"}, {Name: "n", Value: "\n"}}},
			`{"id":"7","topic":"ä\"\\\u0001","payload":"","metadata":{"topic":"ä\"\\\u0001","payloadFormatIndicator":"UNSPECIFIED","userProperties":{"n":"\n"}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := JSON{}.AppendMessage([]byte("x"), 7, one.sent)
			if string(got) != "x"+one.want {
				t.Errorf("got  %s\nwant x%s", got, one.want)
			}
			if !json.Valid(got[1:]) {
				t.Error("not JSON")
			}
		})
	}
}

func TestJSONPublish(t *testing.T) {
	const text = `{"seq":3,"topic":"a/b","payload":"MjEuNSDCsEM=","to":"thermostat-7","unknown":[1],"metadata":{"clientId":"other","messageId":5,"payloadFormatIndicator":"UTF_8",` +
		`"contentType":"text/plain","correlationData":"AAH+/w==","responseTopic":"re/ply","userProperties":{"b":"","a":"1"}}}`
	want := full()
	want.Topic, want.To, want.ClientID, want.PacketID, want.Dup = "a/b", "thermostat-7", "", 0, false
	p, err := JSON{}.ParsePublish([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want.Stored = p.Message.Stored
	if diff := cmp.Diff(Publish{Seq: 3, HasSeq: true, Message: want}, p); diff != "" {
		t.Error(diff)
	}
	p, err = JSON{}.ParsePublish([]byte(`{"seq":0,"metadata":{"clientId":"other"}}`))
	if err != nil || p.Message.To != "other" || p.Seq != 0 || !p.HasSeq {
		t.Errorf("%+v %v", p, err)
	}
}

func TestJSONBadFrames(t *testing.T) {
	for text, seq := range map[string]bool{
		``:                        false,
		`[]`:                      false,
		`{}`:                      false,
		`{"seq":-1}`:              false,
		`{"seq":1.5}`:             false,
		`{"seq":"1"}`:             false,
		`{"seq":1`:                false,
		`{"seq":1} {}`:            false,
		`{"seq":1,"payload":"!"}`: true,
		`{"seq":1,"payload":7}`:   true,
		`{"seq":1,"metadata":7}`:  true,
		`{"seq":1,"to":"\u0000"}`: true,
		`{"seq":1,"metadata":{"responseTopic":"+"}}`:            true,
		`{"seq":1,"metadata":{"responseTopic":""}}`:             true,
		`{"seq":1,"metadata":{"payloadFormatIndicator":"x"}}`:   true,
		`{"seq":1,"metadata":{"userProperties":{"a":1}}}`:       true,
		`{"seq":1,"metadata":{"correlationData":"not base"}}`:   true,
		`{"seq":1,"metadata":{"contentType":"\u0000"}}`:         true,
		`{"seq":1,"metadata":{"userProperties":{"\u0000":""}}}`: true,
	} {
		p, err := JSON{}.ParsePublish([]byte(text))
		refusedFor(t, err, reason.MalformedFrame)
		if p.HasSeq != seq {
			t.Errorf("%s: seq %v", text, p.HasSeq)
		}
	}
}

func TestJSONRequests(t *testing.T) {
	for text, want := range map[string]Request{
		`{"ack":"5"}`:                     {Kind: Ack, ID: 5},
		`{"ack": "18446744073709551615"}`: {Kind: Ack, ID: 1<<64 - 1},
		` { "ack" : "\u0035" } `:          {Kind: Ack, ID: 5},
		`{"ack":"5","more":1}`:            {Kind: Ack, ID: 5},
		`{"nak":"6"}`:                     {Kind: Nak, ID: 6},
		`{"nak":  "6"}`:                   {Kind: Nak, ID: 6},
		`{"unsubscribe":true}`:            {Kind: Unsubscribe},
	} {
		if got, err := (JSON{}).ParseRequest([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %+v %v", text, got, err)
		}
	}
	for text, want := range map[string]reason.Reason{
		``: reason.MalformedFrame, `5`: reason.MalformedFrame, `{}`: reason.MalformedFrame, `{"ack":5}`: reason.MalformedFrame,
		`{"ack":"5","nak":"5"}`: reason.MalformedFrame, `{"unsubscribe":false}`: reason.MalformedFrame,
		`{"ack":"x"}`: reason.UnknownAck, `{"nak":""}`: reason.UnknownAck, `{"ack":"18446744073709551616"}`: reason.UnknownAck,
		`{"ack":"5"`: reason.MalformedFrame, `{"ack":"5"}}`: reason.MalformedFrame, `{"ack":""5"}`: reason.MalformedFrame,
	} {
		_, err := JSON{}.ParseRequest([]byte(text))
		refusedFor(t, err, want)
	}
	if got := string(JSON{}.AppendStored([]byte("x"), 12)); got != `x{"ack":12}` {
		t.Error(got)
	}
}

// TestJSONAllocations: neither a message to a consumer nor its acknowledgement costs an allocation.
func TestJSONAllocations(t *testing.T) {
	m := full()
	var dst []byte
	if n := testing.AllocsPerRun(100, func() { dst = JSON{}.AppendMessage(dst[:0], 1, m) }); n >= 1 {
		t.Errorf("%g allocations for each message to a consumer", n)
	}
	text := []byte(`{"ack":"4611686018427387904"}`)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := (JSON{}).ParseRequest(text); err != nil {
			t.Error(err)
		}
	}); n >= 1 {
		t.Errorf("%g allocations for each acknowledgement", n)
	}
}

// FuzzJSON: no text makes the parsers fail in another way than by their errors.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"seq":3,"topic":"a/b","payload":"MjEuNQ==","metadata":{"userProperties":{"a":"1"}}}`))
	f.Add([]byte(`{"ack":"5"}`))
	f.Add([]byte(`{"nak": "6"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if p, err := (JSON{}).ParsePublish(text); err == nil {
			if out := (JSON{}).AppendMessage(nil, p.Seq, p.Message); !json.Valid(out) {
				t.Errorf("not JSON: %s", out)
			}
		}
		got, err := JSON{}.ParseRequest(text)
		want, wantErr := parseObject(text)
		if got != want || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Errorf("%+v %v, by the library %+v %v", got, err, want, wantErr)
		}
	})
}

func BenchmarkJSON(b *testing.B) {
	m := full()
	m.Payload = make([]byte, 200)
	b.Run("to consumer", func(b *testing.B) {
		var dst []byte
		b.ReportAllocs()
		for b.Loop() {
			dst = JSON{}.AppendMessage(dst[:0], 1<<62, m)
		}
	})
	b.Run("from consumer", func(b *testing.B) {
		text := []byte(`{"ack":"4611686018427387904"}`)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := (JSON{}).ParseRequest(text); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("from producer", func(b *testing.B) {
		text := []byte(`{"seq":1,"topic":"a/b","payload":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","to":"thermostat-7","metadata":{"contentType":"text/plain"}}`)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := (JSON{}).ParsePublish(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}
