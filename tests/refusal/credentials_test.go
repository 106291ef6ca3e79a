package refusal

import (
	"bytes"
	"strings"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// All that can be wrong with credentials has one answer, byte for byte.
func sameAnswer(t *testing.T, w *weirtest.Weir, v codec.Version) {
	var answer []byte
	for what, change := range badCredentials {
		p := connect("acme/dev", "id")
		change(p)
		if v == codec.V311 && p.HasPassword && !p.HasUsername {
			continue // malformed there
		}
		c := weirtest.Dial(t, w.MQTT(), v)
		c.Send(p)
		ack := weirtest.Expect[*codec.Connack](c)
		want := codes{5, 0x86}.of(v)
		if ack.Code != want {
			t.Errorf("%s: CONNACK 0x%02X, want 0x%02X", what, ack.Code, want)
		}
		c.ExpectClosed()
		b := bytesOf(t, ack, v)
		if answer == nil {
			answer = b
		}
		if !bytes.Equal(b, answer) {
			t.Errorf("%s: CONNACK % x, and % x to something else", what, b, answer)
		}
	}
}

var badCredentials = map[string]func(p *codec.Connect){
	"wrong password":       func(p *codec.Connect) { p.Password = []byte("wrong") },
	"empty password":       func(p *codec.Connect) { p.Password = nil },
	"no password":          func(p *codec.Connect) { p.Password, p.HasPassword = nil, false },
	"unknown user":         func(p *codec.Connect) { p.Username = "acme/nobody" },
	"unknown tenant":       func(p *codec.Connect) { p.Username = "nowhere/dev" },
	"no tenant":            func(p *codec.Connect) { p.Username = "dev" },
	"empty tenant":         func(p *codec.Connect) { p.Username = "/dev" },
	"empty user":           func(p *codec.Connect) { p.Username = "acme/" },
	"empty user name":      func(p *codec.Connect) { p.Username = "" },
	"no user name":         func(p *codec.Connect) { p.Username, p.HasUsername, p.HasPassword, p.Password = "", false, false, nil },
	"password alone":       func(p *codec.Connect) { p.Username, p.HasUsername = "", false },
	"user with a slash":    func(p *codec.Connect) { p.Username = "acme/dev/" },
	"tenant in capitals":   func(p *codec.Connect) { p.Username = "ACME/dev" },
	"very long user name":  func(p *codec.Connect) { p.Username = "acme/" + strings.Repeat("x", 60000) },
	"other user's tenant":  func(p *codec.Connect) { p.Username = "demo/device"; p.Password = []byte("demo") },
	"password and a space": func(p *codec.Connect) { p.Password = []byte(password + " ") },
	"bad identifier too": func(p *codec.Connect) {
		p.Password, p.ClientID = []byte("wrong"), strings.Repeat("x", 1000)
	},
	"bad will too": func(p *codec.Connect) {
		p.Password, p.Will = []byte("wrong"), &codec.Will{Topic: "$x"}
	},
}
