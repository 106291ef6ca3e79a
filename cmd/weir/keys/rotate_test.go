package keys

import (
	"bytes"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weirmq/weir/jetstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestText(t *testing.T) {
	for older, want := range map[int]string{
		1:  "key abc made; it signs from 2026-03-04T05:06:07Z on. Tokens of 1 older key stay valid until they expire\n",
		12: "key abc made; it signs from 2026-03-04T05:06:07Z on. Tokens of 12 older keys stay valid until they expire\n",
	} {
		var out bytes.Buffer
		key := jetstream.SigningKey{ID: "abc", SignsFrom: time.Date(2026, 3, 4, 6, 6, 7, 8, time.FixedZone("", 3600)), Older: older}
		if err := write(&out, key); err != nil || out.String() != want {
			t.Errorf("%q, %v", out.String(), err)
		}
	}
}
