package wire

import "bytes"

// Msg is one message that arrived. All of it is valid only until the handler returns.
type Msg struct {
	Subject []byte
	Reply   []byte // nil: none
	Header  []byte // the whole block, from "NATS/1.0" to the empty line; nil: none
	Data    []byte
}

// version begins every header block; a status follows on the same line where the server speaks for itself.
const version = "NATS/1.0"

var crlf = []byte("\r\n")

// Size is how many bytes the message occupies without what frames it.
func (m *Msg) Size() int { return len(m.Subject) + len(m.Reply) + len(m.Header) + len(m.Data) }

// Status is the server's status code, such as "100" for a heartbeat and "503" where nobody listens; empty for a message.
func (m *Msg) Status() []byte {
	line, _, _ := bytes.Cut(m.Header, crlf)
	if len(line) < len(version) {
		return nil
	}
	status, _, _ := bytes.Cut(bytes.TrimLeft(line[len(version):], " "), []byte{' '})
	return status
}

// Get returns the first value of a header, spelled as given.
func (m *Msg) Get(key string) []byte {
	_, rest, _ := bytes.Cut(m.Header, crlf)
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, crlf)
		if name, value, ok := bytes.Cut(line, []byte{':'}); ok && string(name) == key {
			return bytes.TrimSpace(value)
		}
	}
	return nil
}
