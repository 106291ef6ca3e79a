package frame

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// full is a message with everything that a frame has room for.
func full() *message.Message {
	return &message.Message{
		Topic: "sensors/room 1/temp", Payload: []byte("21.5 °C"), ClientID: "thermostat-7", PacketID: 65535, Dup: true,
		PayloadFormat: 1, HasPayloadFormat: true, ContentType: []byte("text/plain"), ResponseTopic: []byte("re/ply"),
		CorrelationData: []byte{0, 1, 254, 255}, UserProperties: []message.UserProperty{{Name: "a", Value: "1"}, {Name: "b", Value: ""}},
		Stored: time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC),
	}
}

// refusedFor fails unless err is a refusal with that name.
func refusedFor(t *testing.T, err error, want reason.Reason) {
	t.Helper()
	if e, ok := err.(*reason.Error); !ok || e.Reason != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestAppendError(t *testing.T) {
	err := reason.New(reason.BacklogFull, `"quoted" \ `+"\n")
	const code = `{"code":"backlog_full","message":"\"quoted\" \\ \n"}`
	if got := string(AppendError([]byte("x"), err)); got != `x{"error":`+code+"}" {
		t.Error(got)
	}
	if got := string(AppendRefused(nil, 7, err)); got != `{"seq":7,"error":`+code+"}" {
		t.Error(got)
	}
}

// TestLastWins: of properties with one name the last stays, and the others keep their order, however many there are.
func TestLastWins(t *testing.T) {
	for _, more := range []int{0, fewProperties} {
		all := []message.UserProperty{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}, {Name: "a", Value: "3"}, {Name: "c", Value: "4"}, {Name: "b", Value: "5"}}
		for i := range more {
			all = append(all, message.UserProperty{Name: strings.Repeat("x", i+1)})
		}
		var got strings.Builder
		for _, p := range lastWins(all)[:3] {
			got.WriteString(p.Name + p.Value)
		}
		if got.String() != "a3c4b5" {
			t.Errorf("with %d more: %s", more, got.String())
		}
		if all[0].Value != "1" || all[1].Value != "2" {
			t.Error("what the message has was changed")
		}
	}
}
