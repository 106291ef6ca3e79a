package codec

import "testing"

// TestVarint checks the bounds of section 1.5.5's table [MQTT-1.5.5-1].
func TestVarint(t *testing.T) {
	for x, wire := range map[int]string{
		0: "\x00", 127: "\x7f", 128: "\x80\x01", 16383: "\xff\x7f", 16384: "\x80\x80\x01", 2097151: "\xff\xff\x7f",
		2097152: "\x80\x80\x80\x01", 268435455: "\xff\xff\xff\x7f",
	} {
		if got := string(appendVarint(nil, x)); got != wire || varintSize(x) != len(wire) {
			t.Errorf("%d: %q, size %d", x, got, varintSize(x))
		}
		got, n, bad := varint([]byte(wire + "\xff"))
		if got != x || n != len(wire) || bad != nil {
			t.Errorf("%q: %d, %d, %v", wire, got, n, bad)
		}
		for cut := range len(wire) {
			if _, n, bad := varint([]byte(wire[:cut])); n != 0 || bad != nil {
				t.Errorf("%q: %d, %v", wire[:cut], n, bad)
			}
		}
	}
	for wire, want := range map[string]*rule{
		"\x80\x00": errVarintPadded, "\xff\x80\x00": errVarintPadded, "\x81\x80\x80\x00": errVarintPadded,
		"\x80\x80\x80\x80": errVarint, "\xff\xff\xff\xff\x01": errVarint,
	} {
		if _, n, bad := varint([]byte(wire)); n != 0 || bad != want {
			t.Errorf("%q: %d, %v", wire, n, bad)
		}
	}
}
