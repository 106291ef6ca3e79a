package wire

import (
	"bytes"
	"fmt"
)

// frame is the first line of a message: MSG <subject> <sid> [reply] <bytes>, or HMSG with the bytes of the headers before
// those of all.
type frame struct {
	subject, reply []byte
	sid            uint64
	header, total  int
}

// parseFrame reads such a line.
func parseFrame(line []byte) (f frame, err error) {
	var fields [6][]byte
	n := 0
	for rest := line; len(rest) > 0; {
		i := bytes.IndexByte(rest, ' ')
		if i < 0 {
			i = len(rest)
		}
		if i > 0 {
			if n == len(fields) {
				return f, violation(line)
			}
			fields[n] = rest[:i]
			n++
		}
		rest = rest[min(i+1, len(rest)):]
	}
	numbers := 0
	switch string(fields[0]) {
	case "MSG":
		numbers = 1
	case "HMSG":
		numbers = 2
	}
	if numbers == 0 || n < 3+numbers || n > 4+numbers {
		return f, violation(line)
	}
	f.subject = fields[1]
	if n == 4+numbers {
		f.reply = fields[3]
	}
	var ok [3]bool
	var total, header uint64
	f.sid, ok[0] = ParseUint(fields[2])
	total, ok[1] = ParseUint(fields[n-1])
	ok[2] = true
	if numbers == 2 {
		header, ok[2] = ParseUint(fields[n-2])
	}
	if ok != [3]bool{true, true, true} || total > maxBody || header > total {
		return f, violation(line)
	}
	f.header, f.total = int(header), int(total)
	return f, nil
}

// maxDigits keeps a number from overflowing.
const maxDigits = 19

// ParseUint is strconv.ParseUint for decimal tokens of up to 19 digits, without the string that it would take.
func ParseUint(s []byte) (n uint64, ok bool) {
	if len(s) == 0 || len(s) > maxDigits {
		return 0, false
	}
	for _, b := range s {
		c := b - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + uint64(c)
	}
	return n, true
}

// violation says what came, as far as it fits a line of a log.
func violation(line []byte) error {
	const most = 80
	return fmt.Errorf("%w: %q", errProtocol, line[:min(len(line), most)])
}
