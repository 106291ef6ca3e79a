package bridges

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// inForce is how soon a change must be in force everywhere.
const inForce = 2 * time.Second

const (
	before = `
tenants:
  demo:
    users:
      device:  {password: demo, role: device}
      leaving: {password: demo, role: device}
`
	after = `
tenants:
  demo:
    users:
      device: {password: changed, role: device}
      coming: {password: demo, role: device}
`
	none = `
tenants:
  other:
    users:
      device: {password: demo, role: device}
`
)

// answer is the reason code with which a bridge answers a login.
func answer(t *testing.T, weir *weirtest.Weir, user, password string) codec.ReasonCode {
	t.Helper()
	client := weirtest.Dial(t, weir.MQTT(), codec.V5)
	defer client.Close()
	client.Send(weirtest.Credentials("probe of "+user, user, password))
	return weirtest.Expect[*codec.Connack](client).Code
}

// expectRevoked waits for the DISCONNECT of a user whose login is not valid any more.
func expectRevoked(t *testing.T, client *weirtest.Client) {
	t.Helper()
	if d := weirtest.Expect[*codec.Disconnect](client); d.Code != codec.NotAuthorized {
		t.Errorf("DISCONNECT 0x%02X instead of 0x87", d.Code)
	}
	client.ExpectClosed()
}

// A change of the tenants file is in force on every bridge within two seconds, on connections that are open, too.
func TestTenantsFileChanges(t *testing.T) {
	p := weirtest.StartPair(t, before)
	bridges := []*weirtest.Weir{p.A, p.B}
	var revoked, old []*weirtest.Client
	for i, weir := range bridges {
		revoked = append(revoked,
			weirtest.Login(t, weir.MQTT(), codec.V5, fmt.Sprint("leaving-", i), "demo/leaving", "demo"),
			weirtest.Login(t, weir.MQTT(), codec.V5, fmt.Sprint("changed-", i), "demo/device", "demo"))
		old = append(old, weirtest.Login(t, weir.MQTT(), codec.V311, fmt.Sprint("old-", i), "demo/leaving", "demo"))
	}

	changed := time.Now()
	p.A.SetTenants(after)
	for i, weir := range bridges {
		for user, want := range map[[2]string]codec.ReasonCode{
			{"demo/coming", "demo"}:    codec.Success,
			{"demo/device", "changed"}: codec.Success,
			{"demo/device", "demo"}:    codec.BadUserNameOrPassword,
			{"demo/leaving", "demo"}:   codec.BadUserNameOrPassword,
		} {
			weirtest.UntilWithin(t, inForce-time.Since(changed), fmt.Sprintf("bridge %d answers %v with 0x%02X", i, user, want), func() bool {
				return answer(t, weir, user[0], user[1]) == want
			})
		}
	}
	for _, client := range revoked {
		expectRevoked(t, client)
	}
	for _, client := range old {
		client.ExpectClosed()
	}
	t.Logf("in force after %s", time.Since(changed))

	var disabled []*weirtest.Client
	for i, weir := range bridges {
		disabled = append(disabled, weirtest.Login(t, weir.MQTT(), codec.V5, fmt.Sprint("disabled-", i), "demo/coming", "demo"))
	}
	changed = time.Now()
	p.A.SetTenants(none)
	for _, client := range disabled {
		expectRevoked(t, client)
	}
	if took := time.Since(changed); took > inForce {
		t.Errorf("connections of a disabled tenant lived for %s", took)
	}
	for _, weir := range bridges {
		if code := answer(t, weir, "demo/coming", "demo"); code != codec.BadUserNameOrPassword {
			t.Errorf("CONNACK 0x%02X for a disabled tenant", code)
		}
	}
}

// A bad file changes nothing.
func TestBadTenantsFileIsRefusedWhole(t *testing.T) {
	p := weirtest.StartPair(t, before)
	kept := weirtest.Device(t, p.B, codec.V5, "kept")
	for _, bad := range []string{"", "tenants: [", after + "  Bad Name: {}\n", "tenants:\n  demo:\n    users:\n      device: {password: x, role: king}\n"} {
		refusals := countRefusals(p.A)
		p.A.SetTenants(bad)
		weirtest.Until(t, "the file is refused", func() bool { return countRefusals(p.A) > refusals })
	}
	for i, weir := range []*weirtest.Weir{p.A, p.B} {
		if code := answer(t, weir, "demo/leaving", "demo"); code != codec.Success {
			t.Errorf("bridge %d: CONNACK 0x%02X", i, code)
		}
	}
	kept.Send(&codec.Pingreq{})
	weirtest.Expect[*codec.Pingresp](kept)
}

// countRefusals counts the files that a Weir has said it refused.
func countRefusals(weir *weirtest.Weir) int {
	return strings.Count(weir.Said(), "tenants file refused")
}
