package app

import (
	"context"
	"fmt"
	"maps"
	"net"

	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/tenant"
)

// isDemo reports whether a record is the demo tenant, in force.
func isDemo(_ string, stored jetstream.StoredTenant) bool {
	t, err := tenant.Decode(stored.Value)
	return err == nil && t.Origin == tenant.OriginDemo && !t.Disabled
}

// createDemo writes the demo tenant to the store.
func (a *App) createDemo(ctx context.Context) error {
	t, err := a.auth.Resolve(ctx, tenant.Tenant{}, tenant.Demo())
	if err != nil {
		return err
	}
	return putTenant(ctx, a.store, t, 0)
}

// admitDemo looks for the demo tenant among all tenants. With a tenants file there is none: it may not have left the local
// copy of the store yet, but it has been removed. Otherwise it may be there as long as only this machine can reach it,
// because everybody knows its passwords.
func (a *App) admitDemo(all map[string]jetstream.StoredTenant) error {
	if a.file != nil {
		maps.DeleteFunc(all, isDemo)
		return nil
	}
	for name, stored := range all {
		if !isDemo(name, stored) {
			continue
		}
		if variable := a.config.beyondLoopback(); variable != "" && !a.config.Demo {
			return configError(variable, "others than this machine could log in to the demo tenant: set WEIR_TENANTS_FILE, or WEIR_DEMO=true to allow it")
		}
		a.demo = true
	}
	return nil
}

// welcome tells a newcomer how to publish and subscribe.
func (a *App) welcome() {
	if !a.demo || a.addresses.MQTT == "" {
		return
	}
	host, port := Reachable(a.addresses.MQTT)
	const text = `Weir is running. Tenant demo, users device and service, password demo. In two other terminals:
  mosquitto_sub -h %[1]s -p %[2]s -u demo/service -P demo -q 1 -t sensors/room1 -v
  mosquitto_pub -h %[1]s -p %[2]s -u demo/device -P demo -q 1 -t sensors/room1 -m 21.5
Ctrl-C stops it. What is stored stays in %[3]s.
`
	// Whoever does not read this has lost nothing but the advice.
	_, _ = fmt.Fprintf(a.stdout, text, host, port, a.config.DataDir)
}

// Reachable is where a client on this machine finds a listener: one on all interfaces is on the loopback one, too.
func Reachable(address string) (host, port string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address, ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return host, port
}
