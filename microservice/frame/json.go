package frame

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weirmq/weir/message"
)

// JSON is the encoding of the subprotocol weir.v1.json.
type JSON struct{}

// Names of the payload format indicator.
const (
	unspecified = "UNSPECIFIED"
	utf8Format  = "UTF_8"
)

// Name is "json".
func (JSON) Name() string { return "json" }

// AppendMessage appends {"id":…}.
func (JSON) AppendMessage(dst []byte, id uint64, m *message.Message) []byte {
	dst = append(dst, `{"id":"`...)
	dst = strconv.AppendUint(dst, id, 10)
	dst = append(dst, `","topic":`...)
	dst = appendString(dst, m.Topic)
	dst = append(dst, `,"payload":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, m.Payload)
	dst = append(dst, '"')
	if !m.Stored.IsZero() {
		dst = append(dst, `,"time":"`...)
		dst = m.Stored.UTC().AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"metadata":{"topic":`...)
	dst = appendString(dst, m.Topic)
	dst = appendMetadata(dst, m)
	return append(dst, '}', '}')
}

// appendMetadata appends what there is of the metadata behind the topic.
func appendMetadata(dst []byte, m *message.Message) []byte {
	if m.ClientID != "" {
		dst = append(dst, `,"clientId":`...)
		dst = appendString(dst, m.ClientID)
	}
	if m.PacketID != 0 {
		dst = append(dst, `,"messageId":`...)
		dst = strconv.AppendUint(dst, uint64(m.PacketID), 10)
	}
	if m.Dup {
		dst = append(dst, `,"dupFlag":true`...)
	}
	if m.HasPayloadFormat {
		dst = append(dst, `,"payloadFormatIndicator":`...)
		dst = appendString(dst, [...]string{unspecified, utf8Format}[m.PayloadFormat&1])
	}
	if m.ContentType != nil {
		dst = append(dst, `,"contentType":`...)
		dst = appendString(dst, m.ContentType)
	}
	if m.CorrelationData != nil {
		dst = append(dst, `,"correlationData":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, m.CorrelationData)
		dst = append(dst, '"')
	}
	if m.ResponseTopic != nil {
		dst = append(dst, `,"responseTopic":`...)
		dst = appendString(dst, m.ResponseTopic)
	}
	separator := `,"userProperties":{`
	for _, p := range lastWins(m.UserProperties) {
		dst = append(dst, separator...)
		dst = appendString(dst, p.Name)
		dst = append(dst, ':')
		dst = appendString(dst, p.Value)
		separator = ","
	}
	if len(m.UserProperties) > 0 {
		dst = append(dst, '}')
	}
	return dst
}

// ParseRequest reads {"ack":…}, {"nak":…} or {"unsubscribe":true}.
func (JSON) ParseRequest(text []byte) (Request, error) {
	if r, ok := parseUsual(text); ok {
		return r, nil
	}
	return parseObject(text)
}

// parseUsual reads an acknowledgement as nearly everyone writes it, which costs a sixth of what it costs to have the library read it, and no allocation.
func parseUsual(text []byte) (r Request, ok bool) {
	id, ok := bytes.CutPrefix(text, []byte(`{"ack":`))
	if !ok {
		r.Kind = Nak
		if id, ok = bytes.CutPrefix(text, []byte(`{"nak":`)); !ok {
			return r, false
		}
	}
	id, ok = bytes.CutPrefix(bytes.TrimPrefix(id, []byte{' '}), []byte{'"'})
	if !ok {
		return r, false
	}
	if id, ok = bytes.CutSuffix(id, []byte(`"}`)); !ok {
		return r, false
	}
	n, err := parseID(id)
	r.ID = n
	return r, err == nil
}

// parseObject reads any request.
func parseObject(text []byte) (Request, error) {
	var f struct {
		Ack         *string `json:"ack"`
		Nak         *string `json:"nak"`
		Unsubscribe bool    `json:"unsubscribe"`
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return Request{}, malformed("a frame is a JSON object with ack, nak or unsubscribe")
	}
	switch {
	case f.Ack != nil && f.Nak == nil && !f.Unsubscribe:
		id, err := parseID(*f.Ack)
		return Request{Kind: Ack, ID: id}, err
	case f.Nak != nil && f.Ack == nil && !f.Unsubscribe:
		id, err := parseID(*f.Nak)
		return Request{Kind: Nak, ID: id}, err
	case f.Unsubscribe && f.Ack == nil && f.Nak == nil:
		return Request{Kind: Unsubscribe}, nil
	default:
		return Request{}, malformed("a frame has one of ack, nak and unsubscribe")
	}
}

// published is a producer's frame.
type published struct {
	Seq      json.RawMessage `json:"seq"`
	Topic    string          `json:"topic"`
	Payload  []byte          `json:"payload"`
	To       string          `json:"to"`
	Metadata struct {
		ClientID        string            `json:"clientId"`
		Format          *string           `json:"payloadFormatIndicator"`
		ContentType     *string           `json:"contentType"`
		CorrelationData []byte            `json:"correlationData"`
		ResponseTopic   *string           `json:"responseTopic"`
		UserProperties  map[string]string `json:"userProperties"`
	} `json:"metadata"`
}

// ParsePublish reads {"seq":…}.
func (JSON) ParsePublish(text []byte) (p Publish, err error) {
	var f published
	badFrame := json.Unmarshal(text, &f)
	if p.Seq, err = strconv.ParseUint(string(f.Seq), 10, 63); err != nil {
		return p, malformed("a frame is a JSON object with a number as seq, which is not negative")
	}
	p.HasSeq = true
	if badFrame != nil {
		return p, malformed(faultOf(badFrame))
	}
	m := &message.Message{Topic: f.Topic, Payload: f.Payload, To: f.To, CorrelationData: f.Metadata.CorrelationData}
	if m.To == "" {
		m.To = f.Metadata.ClientID
	}
	if s := f.Metadata.Format; s != nil {
		if *s != unspecified && *s != utf8Format {
			return p, malformed("payloadFormatIndicator is UNSPECIFIED or UTF_8")
		}
		m.HasPayloadFormat = true
		if *s == utf8Format {
			m.PayloadFormat = 1
		}
	}
	if s := f.Metadata.ContentType; s != nil {
		m.ContentType = []byte(*s)
	}
	if s := f.Metadata.ResponseTopic; s != nil {
		m.ResponseTopic = []byte(*s)
	}
	for name, value := range f.Metadata.UserProperties {
		m.UserProperties = append(m.UserProperties, message.UserProperty{Name: name, Value: value})
	}
	slices.SortFunc(m.UserProperties, func(a, b message.UserProperty) int { return strings.Compare(a.Name, b.Name) })
	p.Message = m
	return p, checkStrings(m)
}

// faultOf says what is wrong with a frame.
func faultOf(err error) string {
	var base64Fault base64.CorruptInputError
	if errors.As(err, &base64Fault) {
		return "payload or correlationData is not base64"
	}
	if bad, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && bad.Field != "" {
		return bad.Field + " is not of its type"
	}
	return "the frame is not JSON"
}

// Number finds seq where no value before it is cut off.
func (JSON) Number(start []byte) (seq uint64, ok bool) {
	d := json.NewDecoder(bytes.NewReader(start))
	d.UseNumber()
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return 0, false
	}
	for {
		name, err := d.Token()
		if err != nil {
			return 0, false
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return 0, false
		}
		if name == "seq" {
			seq, err = strconv.ParseUint(string(value), 10, 63)
			return seq, err == nil && d.InputOffset() < int64(len(start)) // else there may be more digits
		}
	}
}

// AppendStored appends {"ack":<seq>}.
func (JSON) AppendStored(dst []byte, seq uint64) []byte {
	dst = append(dst, `{"ack":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	return append(dst, '}')
}
