package system

import (
	"context"
	"net/url"
	"path/filepath"
)

// productModule is the directory of Weir's module, seen from where the bench runs.
const productModule = ".."

// weirTenants knows the users the load generator logs in as. It has room for the whole load: as many unacknowledged deliveries per session as nats-server allows by
// default (1,024), and a backlog that never fills.
const weirTenants = `tenants:
  bench:
    users:
      client: {password: bench, role: device}
      service: {password: bench, role: application}
    quotas:
      inflight: 1024
      backlog_bytes: 268435456
`

// prepareWeir builds Weir. It runs alone, with the embedded nats-server in the same process.
func prepareWeir(ctx context.Context, dir string) (System, error) {
	path := filepath.Join(dir, "weir")
	if err := build(ctx, productModule, "./cmd/weir", path); err != nil {
		return System{}, err
	}
	version, err := moduleVersion(path, "github.com/weirmq/weir")
	if err != nil {
		return System{}, err
	}
	return System{Name: Weir, Version: version, launch: func(dir string, _ *Process) (launch, error) {
		l, err := launchWeir(path, dir)
		l.env = append(l.env, "WEIR_DATA_DIR="+filepath.Join(dir, "data"), "WEIR_NATS_ADDR="+l.nats)
		return l, err
	}}, nil
}

// prepareSidecar builds Weir and a nats-server, which runs beside it.
func prepareSidecar(ctx context.Context, dir string) (System, error) {
	weir, err := prepareWeir(ctx, dir)
	if err != nil {
		return System{}, err
	}
	beside, err := prepareNATS(ctx, dir)
	if err != nil {
		return System{}, err
	}
	path := filepath.Join(dir, "weir")
	return System{
		Name: Sidecar, Version: weir.Version + ", nats-server " + beside.Version, Sidecar: true, beside: &beside,
		launch: func(dir string, beside *Process) (launch, error) {
			l, err := launchWeir(path, dir)
			l.nats = beside.NATS
			login := url.URL{Scheme: "nats", User: url.UserPassword(natsUser, natsPassword), Host: beside.NATS}
			l.env = append(l.env, "WEIR_NATS_URL="+login.String())
			return l, err
		},
	}, nil
}

// launchWeir says how to start Weir, but for where its NATS is.
func launchWeir(path, dir string) (launch, error) {
	addrs, err := freeAddrs(4)
	if err != nil {
		return launch{}, err
	}
	tenants, err := writeFile(dir, "tenants.yaml", weirTenants)
	return launch{addr: addrs[0], http: addrs[1], nats: addrs[3], path: path, env: []string{
		"WEIR_TENANTS_FILE=" + tenants,
		"WEIR_MQTT_ADDR=" + addrs[0],
		"WEIR_HTTP_ADDR=" + addrs[1],
		"WEIR_ADMIN_ADDR=" + addrs[2],
	}}, err
}
