package bridge

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// TestErrorRate: at most 10 a second for one client, however many connections it makes, then one that tells of the rest.
func TestErrorRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logs errorLogs
		reports := make(chan jetstream.ErrorReport, 100)
		write := func(_ string, e jetstream.ErrorReport) { reports <- e }
		f := &fault{Error: reason.New(reason.BacklogFull, "full"), packet: codec.PUBLISH, topic: "a", packetID: 7}
		for range 25 {
			l := logs.open(errorKey{"acme", "device", "me"}, write)
			l.report(f, time.Now())
			l.release()
		}
		other := logs.open(errorKey{"acme", "device", "you"}, write)
		other.report(f, time.Now())
		other.release()
		if len(reports) != 11 {
			t.Fatalf("%d entries, want 10 and 1", len(reports))
		}
		want := jetstream.ErrorReport{
			Time: time.Now().UTC().Format(time.RFC3339Nano), ClientID: "me",
			Code: "backlog_full", Message: "full", Packet: "PUBLISH", Topic: "a", PacketID: 7,
		}
		if got := <-reports; got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		for range 10 {
			<-reports
		}
		if last := <-reports; last.Suppressed != 15 || last.Code != string(reason.ErrorRate) {
			t.Errorf("got %+v, want 15 suppressed", last)
		}
		<-time.After(errorMemory)
		synctest.Wait()
		if len(logs.byKey) != 0 {
			t.Errorf("%d clients are remembered", len(logs.byKey))
		}
	})
}

// TestErrorTopic: a client gets its own errors, those of its previous connection included, an application those of
// the tenant.
func TestErrorTopic(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	service := r.connect(codec.V5, "svc", func(p *codec.Connect) { p.Username = "acme/service" })
	service.mustSubscribe("$debug/$error/#", 1)
	c := r.connect(codec.V311, "a/b")
	c.send(publish("$SYS", 0, 0, ""))
	c.ping()
	c.write([]byte("\xf0\x00"))
	c.expectClosed()
	r.connect(codec.V311, "someone else").mustSubscribe("$debug/$error", 0)

	again := r.connect(codec.V5, "a/b")
	again.mustSubscribe("$debug/$error", 0)
	for _, want := range []string{"topic_reserved", "malformed_packet"} {
		p := again.receive()
		if string(p.Topic) != "$debug/$error" || !strings.Contains(string(p.Payload), `"code":"`+want) {
			t.Errorf("got %s %s, want %s", p.Topic, p.Payload, want)
		}
		p = service.receive()
		if string(p.Topic) != "$debug/$error/a%2Fb" || !strings.Contains(string(p.Payload), `"code":"`+want) {
			t.Errorf("application got %s %s, want %s", p.Topic, p.Payload, want)
		}
	}
	again.ping()
	service.ping()
}
