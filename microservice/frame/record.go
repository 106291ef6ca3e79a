package frame

import (
	"sync"

	"github.com/hamba/avro/v2"

	"github.com/weirmq/weir/message"
)

// Schema is that of the Avro record: what Avro 1.11 makes of the Java client's classes, with the fields in the order of their names.
const Schema = `{"type":"record","name":"MqttServiceMessage","namespace":"com.cumulocity.mqtt.service.sdk.model","fields":[
	{"name":"metadata","type":{"type":"record","name":"MqttServiceMetadata","fields":[
		{"name":"clientId","type":["null","string"]},
		{"name":"contentType","type":["null","string"]},
		{"name":"correlationData","type":["null","bytes"]},
		{"name":"dupFlag","type":"boolean"},
		{"name":"messageId","type":"int"},
		{"name":"payloadFormatIndicator","type":["null",{"type":"enum","name":"PayloadFormatIndicator","symbols":["UNSPECIFIED","UTF_8"]}]},
		{"name":"responseTopic","type":["null","string"]},
		{"name":"topic","type":["null","string"]},
		{"name":"userProperties","type":["null",{"type":"map","values":"string"}]}]}},
	{"name":"payload","type":"bytes"}]}`

// The branches of a union with null.
const (
	null    = 0
	present = 1
)

// writeRecord writes a message field by field, which costs a seventh of what it costs to have the library go by the schema, and no allocation.
func writeRecord(w *avro.Writer, m *message.Message) {
	writeString(w, m.ClientID, m.ClientID != "")
	writeBytes(w, m.ContentType)
	writeBytes(w, m.CorrelationData)
	w.WriteBool(m.Dup)
	w.WriteInt(int32(m.PacketID))
	if m.HasPayloadFormat {
		w.WriteLong(present)
		w.WriteInt(int32(m.PayloadFormat))
	} else {
		w.WriteLong(null)
	}
	writeBytes(w, m.ResponseTopic)
	writeString(w, m.Topic, true)
	writeProperties(w, lastWins(m.UserProperties))
	w.WriteBytes(m.Payload)
}

func writeString(w *avro.Writer, s string, there bool) {
	if !there {
		w.WriteLong(null)
		return
	}
	w.WriteLong(present)
	w.WriteString(s)
}

// writeBytes writes what is bytes or a string, which look the same.
func writeBytes(w *avro.Writer, b []byte) {
	if b == nil {
		w.WriteLong(null)
		return
	}
	w.WriteLong(present)
	w.WriteBytes(b)
}

func writeProperties(w *avro.Writer, all []message.UserProperty) {
	if len(all) == 0 {
		w.WriteLong(null)
		return
	}
	w.WriteLong(present)
	w.WriteLong(int64(len(all)))
	for i := range all {
		w.WriteString(all[i].Name)
		w.WriteString(all[i].Value)
	}
	w.WriteLong(0) // no further block
}

// readers are kept for use again.
var readers = sync.Pool{New: func() any { return avro.NewReader(nil, 0) }}

// record reads one record. It goes by the library's primitives because its own way to read by a schema takes a record that has been cut off for a complete one,
// and believes lengths that are longer than the record.
type record struct {
	*avro.Reader
	size int // of the record in bytes, which no part of it exceeds
	bad  bool
}

// readRecord reads the message of a producer: clientId is whom it is for, and topic is not looked at. It keeps nothing of b.
func readRecord(b []byte) (*message.Message, error) {
	reader, _ := readers.Get().(*avro.Reader)
	reader.Error = nil
	r := record{Reader: reader.Reset(b), size: len(b)}
	m := r.message()
	if r.good() {
		r.Peek()
		r.bad = r.Error == nil // something follows
	}
	good := !r.bad
	reader.Reset(nil)
	readers.Put(reader)
	if !good {
		return nil, errAvro()
	}
	return m, nil
}

func (r *record) message() *message.Message {
	m := new(message.Message)
	m.To = string(r.optional())
	m.ContentType = r.optional()
	m.CorrelationData = r.optional()
	r.ReadBool() // dupFlag and messageId are of a packet, and there is none
	r.ReadInt()
	if r.there() {
		format := r.ReadInt()
		r.bad = r.bad || format != 0 && format != 1
		m.PayloadFormat, m.HasPayloadFormat = byte(format), true
	}
	m.ResponseTopic = r.optional()
	r.optional() // topic
	if r.there() {
		m.UserProperties = r.properties()
	}
	m.Payload = r.bytes()
	return m
}

// good tells whether all that was read was there. Nothing is allocated any more once it is not.
func (r *record) good() bool {
	r.bad = r.bad || r.Error != nil
	return !r.bad
}

// there reads the branch of a union with null.
func (r *record) there() bool {
	branch := r.ReadLong()
	r.bad = r.bad || branch != null && branch != present
	return r.good() && branch == present
}

// optional is nil where there is null.
func (r *record) optional() []byte {
	if !r.there() {
		return nil
	}
	return r.bytes()
}

// bytes reads bytes or a string.
func (r *record) bytes() []byte {
	n := r.ReadLong()
	if n < 0 || n > int64(r.size) || !r.good() {
		r.bad = true
		return nil
	}
	b := make([]byte, n)
	r.Read(b)
	if !r.good() {
		return nil
	}
	return b
}

// properties reads a map, block by block.
func (r *record) properties() (all []message.UserProperty) {
	for {
		n, _ := r.ReadBlockHeader()
		if n < 0 || !r.good() {
			r.bad = true
			return nil
		}
		if n == 0 {
			return lastWins(all)
		}
		for ; n > 0; n-- {
			name := string(r.bytes())
			all = append(all, message.UserProperty{Name: name, Value: string(r.bytes())})
			if !r.good() {
				return nil
			}
		}
	}
}
