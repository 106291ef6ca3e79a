package reader

import (
	"testing"
	"time"
)

func TestParseReply(t *testing.T) {
	want := place{stream: 12, consumer: 7, stored: time.Unix(0, 1700000000000000001), pending: 3}
	for _, subject := range []string{
		"$JS.ACK.S.b_1.1.12.7.1700000000000000001.3",
		"$JS.ACK._.ACCHASH.S.b_1.1.12.7.1700000000000000001.3",
		"$JS.ACK.domain.ACCHASH.S.b_1.1.12.7.1700000000000000001.3.random",
		"$JS.ACK.domain.ACCHASH.S.b_1.1.12.7.1700000000000000001.3.random.more",
	} {
		if got, ok := parseReply([]byte(subject)); !ok || got != want {
			t.Errorf("%s: got %+v, %t", subject, got, ok)
		}
	}
	for _, subject := range []string{
		"", "$JS.ACK.", "_INBOX.x.y", "$JS.ACK.S.b_1.1.12.7.1700000000000000001", "$JS.ACK.a.S.b_1.1.12.7.1700000000000000001.3",
		"$JS.ACK.S.b_1.1.x.7.1700000000000000001.3", "$JS.ACK.S.b_1.1.12..1700000000000000001.3",
		"$JS.ACK.S.b_1.1.12.7.1700000000000000001.99999999999999999999",
	} {
		if got, ok := parseReply([]byte(subject)); ok {
			t.Errorf("%q: got %+v", subject, got)
		}
	}
}

func TestParseReplyDoesNotAllocate(t *testing.T) {
	subject := []byte("$JS.ACK.S.b_1.1.12.7.1700000000000000001.3")
	if n := testing.AllocsPerRun(100, func() { parseReply(subject) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestReaddress(t *testing.T) {
	for reply, want := range map[string]string{
		"$JS.ACK.S.b_1.1.12.7.1700000000000000001.3":                         "$JS.ACK.S.b_1_r2.1.12.7.1700000000000000001.3",
		"$JS.ACK.S.b_1_r2.1.12.7.1700000000000000001.3":                      "$JS.ACK.S.b_1_r2.1.12.7.1700000000000000001.3",
		"$JS.ACK._.ACCHASH.S.b_1_r1.1.12.7.1700000000000000001.3":            "$JS.ACK._.ACCHASH.S.b_1_r2.1.12.7.1700000000000000001.3",
		"$JS.ACK.domain.ACCHASH.S.b_1.1.12.7.1700000000000000001.3.random.x": "$JS.ACK.domain.ACCHASH.S.b_1_r2.1.12.7.1700000000000000001.3.random.x",
	} {
		if got := readdress(reply, "b_1_r2"); got != want {
			t.Errorf("%s became %s, want %s", reply, got, want)
		}
	}
}
