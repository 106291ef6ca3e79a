package frame

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hamba/avro/v2"

	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
)

var schema = avro.MustParse(Schema)

// sdkMessage is what the Java client has, for the library to write and read by the schema.
type sdkMessage struct {
	Metadata sdkMetadata `avro:"metadata"`
	Payload  []byte      `avro:"payload"`
}

type sdkMetadata struct {
	ClientID        *string            `avro:"clientId"`
	ContentType     *string            `avro:"contentType"`
	CorrelationData *[]byte            `avro:"correlationData"`
	DupFlag         bool               `avro:"dupFlag"`
	MessageID       int                `avro:"messageId"`
	Format          *string            `avro:"payloadFormatIndicator"`
	ResponseTopic   *string            `avro:"responseTopic"`
	Topic           *string            `avro:"topic"`
	UserProperties  *map[string]string `avro:"userProperties"`
}

func sdkFull() sdkMessage {
	return sdkMessage{
		Metadata: sdkMetadata{
			ClientID: new("thermostat-7"), ContentType: new("text/plain"), CorrelationData: &[]byte{0, 1, 254, 255}, DupFlag: true, MessageID: 65535,
			Format: new("UTF_8"), ResponseTopic: new("re/ply"), Topic: new("sensors/room 1/temp"), UserProperties: &map[string]string{"a": "1", "b": ""},
		},
		Payload: []byte("21.5 °C"),
	}
}

func sdkRecord(t testing.TB, m sdkMessage) []byte {
	t.Helper()
	b, err := avro.Marshal(schema, m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func publishFrame(seq string, record []byte) []byte {
	return base64.StdEncoding.AppendEncode([]byte(seq+"\n"), record)
}

// TestAvroGolden has the values of the Java client's own test of its converter.
func TestAvroGolden(t *testing.T) {
	m := &message.Message{ClientID: "test", PacketID: 100, Topic: "topic", Payload: []byte("message")}
	if got, want := string(Avro{}.AppendMessage([]byte("x"), 17, m)), "x17\nAgh0ZXN0AAAAyAEAAAIKdG9waWMADm1lc3NhZ2U="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	p, err := Avro{}.ParsePublish([]byte("1\nAAAAAAAAAAAAGkhlbGxvLCB3b3JsZCE="))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Publish{Seq: 1, HasSeq: true, Message: &message.Message{Payload: []byte("Hello, world!")}}, p); diff != "" {
		t.Error(diff)
	}
}

// TestAvroMessageBySchema reads what is sent to a consumer as the Java client does, by the schema.
func TestAvroMessageBySchema(t *testing.T) {
	for name, one := range map[string]struct {
		sent *message.Message
		want sdkMessage
	}{
		"full":  {full(), sdkFull()},
		"empty": {&message.Message{Topic: "a"}, sdkMessage{Metadata: sdkMetadata{Topic: new("a")}, Payload: []byte{}}},
		"empty values": {
			&message.Message{Topic: "a", ContentType: []byte{}, CorrelationData: []byte{}, HasPayloadFormat: true},
			sdkMessage{
				Metadata: sdkMetadata{Topic: new("a"), ContentType: new(""), CorrelationData: &[]byte{}, Format: new("UNSPECIFIED")},
				Payload:  []byte{},
			},
		},
		"repeated property": {
			&message.Message{Topic: "a", UserProperties: []message.UserProperty{{Name: "n", Value: "1"}, {Name: "n", Value: "2"}}},
			sdkMessage{Metadata: sdkMetadata{Topic: new("a"), UserProperties: &map[string]string{"n": "2"}}, Payload: []byte{}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			id, body, _ := bytes.Cut(Avro{}.AppendMessage(nil, 1<<63, one.sent), []byte("\n"))
			if string(id) != "9223372036854775808" {
				t.Errorf("id %s", id)
			}
			record, err := base64.StdEncoding.DecodeString(string(body))
			if err != nil {
				t.Fatal(err)
			}
			var got sdkMessage
			if err := avro.Unmarshal(schema, record, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(one.want, got); diff != "" {
				t.Error(diff)
			}
			if back := sdkRecord(t, got); len(back) > 0 && name != "full" && name != "repeated property" && !bytes.Equal(back, record) {
				t.Errorf("% x, by the schema % x", record, back) // maps are written with the bytes of a block by the library
			}
		})
	}
}

// TestAvroPublish reads what a producer sends, written by the schema.
func TestAvroPublish(t *testing.T) {
	p, err := Avro{}.ParsePublish(publishFrame("2147483647", sdkRecord(t, sdkFull())))
	if err != nil {
		t.Fatal(err)
	}
	want := full()
	want.To, want.ClientID, want.Topic, want.PacketID, want.Dup, want.Stored = want.ClientID, "", "", 0, false, p.Message.Stored
	less := func(a, b message.UserProperty) bool { return a.Name < b.Name }
	if diff := cmp.Diff(Publish{Seq: 2147483647, HasSeq: true, Message: want}, p, sorted(less)); diff != "" {
		t.Error(diff)
	}
}

// TestAvroStrictPrefixes: a record that is cut off anywhere is none, and neither is one with something behind it.
func TestAvroStrictPrefixes(t *testing.T) {
	record := sdkRecord(t, sdkFull())
	for n := range record {
		if _, err := readRecord(record[:n]); err == nil {
			t.Errorf("%d of %d bytes are a record", n, len(record))
		}
	}
	if _, err := readRecord(append(record, 0)); err == nil {
		t.Error("a record and a byte are a record")
	}
}

func TestAvroBadFrames(t *testing.T) {
	const good = "AAAAAAAAAAAAGkhlbGxvLCB3b3JsZCE="
	for name, one := range map[string]struct {
		text string
		seq  bool // is known nevertheless
	}{
		"empty":            {"", false},
		"one line":         {good, false},
		"no number":        {"x\n" + good, false},
		"no seq":           {"\n" + good, false},
		"negative":         {"-1\n" + good, false},
		"too large":        {"9223372036854775808\n" + good, false},
		"not base64":       {"1\n!!!", true},
		"base64 of URLs":   {"1\n__8=", true},
		"without padding":  {"1\nAAAAAAAAAAAAGkhlbGxvLCB3b3JsZCE", true},
		"a further line":   {"1\n" + good + "\n", true},
		"broken lines":     {"1\n" + good[:8] + "\r\n" + good[8:], true},
		"nothing":          {"1\n", true},
		"not Avro":         {"1\n" + base64.StdEncoding.EncodeToString([]byte("Hello, world!")), true},
		"a huge length":    {"1\n" + base64.StdEncoding.EncodeToString([]byte("\x02\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01abc")), true},
		"a negative one":   {"1\n" + base64.StdEncoding.EncodeToString([]byte("\x02\x01abc")), true},
		"a third branch":   {"1\n" + base64.StdEncoding.EncodeToString([]byte("\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00")), true},
		"a third format":   {"1\n" + base64.StdEncoding.EncodeToString([]byte("\x00\x00\x00\x00\x00\x02\x04\x00\x00\x00\x00")), true},
		"a bool of 2":      {"1\n" + base64.StdEncoding.EncodeToString([]byte("\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00")), true},
		"a huge map":       {"1\n" + base64.StdEncoding.EncodeToString([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x02\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01")), true},
		"the smallest map": {"1\n" + base64.StdEncoding.EncodeToString([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00")), true},
		"not UTF-8":        {"1\n" + base64.StdEncoding.EncodeToString([]byte("\x02\x02\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00")), true},
		"U+0000":           {"1\n" + base64.StdEncoding.EncodeToString([]byte("\x00\x02\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00")), true},
		"a response filter": {
			"1\n" + base64.StdEncoding.EncodeToString([]byte("\x00\x00\x00\x00\x00\x00\x02\x04/#\x00\x00\x00")), true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Avro{}.ParsePublish([]byte(one.text))
			refusedFor(t, err, reason.MalformedFrame)
			if p.HasSeq != one.seq || one.seq && p.Seq != 1 {
				t.Errorf("seq %d %v", p.Seq, p.HasSeq)
			}
		})
	}
}

func TestAvroRequests(t *testing.T) {
	for text, want := range map[string]Request{
		"unsubscribe_subscriber": {Kind: Unsubscribe},
		"18446744073709551615":   {Kind: Ack, ID: 1<<64 - 1},
	} {
		if got, err := (Avro{}).ParseRequest([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %+v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "18446744073709551616", "1\n", " 1"} {
		_, err := Avro{}.ParseRequest([]byte(text))
		refusedFor(t, err, reason.UnknownAck)
	}
	if got := string(Avro{}.AppendStored([]byte("x"), 12)); got != "x12" {
		t.Error(got)
	}
}

// TestAvroAllocations: a message costs nothing on its way to a consumer, and one allocation for each field on its way from a producer.
func TestAvroAllocations(t *testing.T) {
	m := full()
	var dst []byte
	if n := testing.AllocsPerRun(100, func() { dst = Avro{}.AppendMessage(dst[:0], 1, m) }); n >= 1 {
		t.Errorf("%g allocations for each message to a consumer", n)
	}
}

// FuzzAvro: no record makes the reader fail in another way than by its error, and whatever it takes is taken again as it was.
func FuzzAvro(f *testing.F) {
	f.Add(sdkRecord(f, sdkFull()))
	f.Add(sdkRecord(f, sdkMessage{}))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x02\x03\x08\x02a\x02b\x02\x02c\x02d\x00\x00"))
	f.Fuzz(func(t *testing.T, record []byte) {
		p, err := Avro{}.ParsePublish(publishFrame("1", record))
		if err != nil {
			refusedFor(t, err, reason.MalformedFrame)
			return
		}
		p.Message.ClientID = p.Message.To
		again := Avro{}.AppendMessage(nil, 1, p.Message)
		q, err := Avro{}.ParsePublish(again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		q.Message.ClientID = q.Message.To
		if diff := cmp.Diff(p, q, sorted(func(a, b message.UserProperty) bool { return fmt.Sprint(a) < fmt.Sprint(b) })); diff != "" {
			t.Error(diff)
		}
	})
}

func BenchmarkAvro(b *testing.B) {
	m := full()
	m.Payload = make([]byte, 200)
	b.Run("to consumer", func(b *testing.B) {
		var dst []byte
		b.ReportAllocs()
		for b.Loop() {
			dst = Avro{}.AppendMessage(dst[:0], 1<<62, m)
		}
	})
	b.Run("from producer", func(b *testing.B) {
		text := Avro{}.AppendMessage(nil, 1<<62, m)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := (Avro{}).ParsePublish(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}
