package codec

import "testing"

// TestReasonCodes counts the codes of each packet against the tables of its own section.
func TestReasonCodes(t *testing.T) {
	for _, v := range versions {
		want := map[Type]int{CONNACK: 6, PUBACK: 1, PUBREC: 1, PUBREL: 1, PUBCOMP: 1, SUBACK: 4, DISCONNECT: 1}
		if v == V5 {
			want = map[Type]int{
				CONNACK: 22, PUBACK: 9, PUBREC: 9, PUBREL: 2, PUBCOMP: 2, SUBACK: 12, UNSUBACK: 7,
				DISCONNECT: 30, // 0x8C besides, which table 2-6 has and table 3-10 has not
				AUTH:       3,
			}
		}
		for packet, n := range want {
			legal := 0
			for c := range 256 {
				if checkCode(packet, ReasonCode(c), v) == nil {
					legal++
				}
			}
			if legal != n {
				t.Errorf("%v: %v has %d codes, want %d", v, packet, legal, n)
			}
		}
	}
}
