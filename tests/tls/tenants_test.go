package tls

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// promised is within what time a change is in force, and late how much more this test allows a busy machine: hashing a password
// under the race detector is part of it.
const (
	promised = 2 * time.Second
	late     = 1 * time.Second
)

// acme is a tenants file.
func acme(changing string, more ...string) string {
	return fmt.Sprintf(`tenants:
  acme:
    users:
      changing: {%s}
      steady: {password: steady, role: device}
%s`, changing, strings.Join(more, ""))
}

// out expects that connections are ended because their user may not be here any more, within the time that is promised from now.
func out(t *testing.T, clients map[codec.Version]*weirtest.Client) {
	t.Helper()
	begin := time.Now()
	for v, c := range clients {
		if v == codec.V5 {
			if d := weirtest.Expect[*codec.Disconnect](c); d.Code != codec.NotAuthorized {
				t.Errorf("DISCONNECT 0x%02X %s", d.Code, d.ReasonString)
			}
		}
		c.ExpectClosed()
	}
	if took := time.Since(begin); took > promised+late {
		t.Errorf("it took %s", took)
	}
}

// in connects a client of each version.
func in(t *testing.T, w *weirtest.Weir, user, password string) map[codec.Version]*weirtest.Client {
	t.Helper()
	clients := map[codec.Version]*weirtest.Client{}
	for _, v := range versions {
		clients[v] = weirtest.Login(t, w.MQTT(), v, user+"-"+v.String(), "acme/"+user, password)
	}
	return clients
}

// code is the answer to a login.
func code(t *testing.T, w *weirtest.Weir, user, password string) codec.ReasonCode {
	t.Helper()
	c := weirtest.Dial(t, w.MQTT(), codec.V5)
	c.Send(weirtest.Credentials("probe", user, password))
	defer c.Close()
	return weirtest.Expect[*codec.Connack](c).Code
}

// A change of the tenants file is in force within 2 s: who is not who they were is out, all others stay.
func TestTenantsFileReload(t *testing.T) {
	t.Parallel()
	w := weirtest.Start(t, weirtest.Options{Tenants: acme("password: one, role: device")})
	steady := in(t, w, "steady", "steady")
	stay := func() {
		t.Helper()
		for _, c := range steady {
			ping(c)
		}
	}

	clients := in(t, w, "changing", "one")
	w.SetTenants(acme("password: two, role: device"))
	out(t, clients)
	stay()
	if got := code(t, w, "acme/changing", "one"); got != codec.BadUserNameOrPassword {
		t.Errorf("the old password is answered with 0x%02X", got)
	}

	clients = in(t, w, "changing", "two")
	w.SetTenants(acme("password: two, role: application")) // the role is part of who one is
	out(t, clients)
	stay()

	clients = in(t, w, "changing", "two")
	w.SetTenants("tenants:\n  acme:\n    users:\n      steady: {password: steady, role: device}\n")
	out(t, clients)
	stay()
	if got := code(t, w, "acme/changing", "two"); got != codec.BadUserNameOrPassword {
		t.Errorf("a user who was removed is answered with 0x%02X", got)
	}

	// A tenant that disappears is disabled, and comes back as it was.
	w.SetTenants("tenants: {}\n")
	out(t, steady)
	if got := code(t, w, "acme/steady", "steady"); got != codec.BadUserNameOrPassword {
		t.Errorf("a user of a disabled tenant is answered with 0x%02X", got)
	}
	w.SetTenants(acme("password: three, role: device"))
	weirtest.UntilWithin(t, promised+late, "the tenant is back", func() bool { return code(t, w, "acme/steady", "steady") == 0 })
	steady = in(t, w, "steady", "steady")

	// The same words again, and other quotas, are no reason to close anything.
	applied := strings.Count(w.Said(), "tenants file applied")
	w.SetTenants(acme("password: three, role: device", "    quotas: {client_id_bytes: 20}\n"))
	weirtest.UntilWithin(t, promised+late, "the new quota is in force", func() bool {
		c := weirtest.Dial(t, w.MQTT(), codec.V5)
		defer c.Close()
		c.Send(weirtest.Credentials(strings.Repeat("x", 21), "acme/steady", "steady"))
		return weirtest.Expect[*codec.Connack](c).Code == codec.ClientIDNotValid
	})
	if n := strings.Count(w.Said(), "tenants file applied"); n != applied+1 {
		t.Errorf("the log tells of %d applied files more", n-applied)
	}
	stay()
}

// A bad file is refused whole, with a line of the log that names the line of the file; what was in force stays. The next good one
// counts.
func TestBadTenantsFile(t *testing.T) {
	t.Parallel()
	w := weirtest.Start(t, weirtest.Options{Tenants: acme("password: one, role: device")})
	clients := in(t, w, "changing", "one")
	for i, one := range []struct {
		file string
		line int
	}{
		{acme("password: two, role: admin"), 4},
		{acme("password: two"), 4},
		{acme("password: two, password: three, role: device"), 4},
		{acme("password: two, role: device", "    quotas: {conections: 5}\n"), 6},
		{acme("password: two, role: device", "    quotas: {connections: -2}\n"), 6},
		{acme("password: two, role: device", "    quotas:\n      ttl: 36\n"), 7},
		{acme("password: two, role: device", "    topics:\n      - {filter: \"#\", stream: dedicated}\n      - {filter: \"a\", stream: dedicated}\n"), 8},
		{acme("password: two, role: device", "  Upper:\n    users: {}\n"), 6},
		{acme("password: two, role: device", "  acme:\n    users: {}\n"), 6},
		{acme("password: two, role: device", "\t- x\n"), 6},
		{"", 1},
		{"tenant:\n", 1},
	} {
		refusals := strings.Count(w.Said(), "tenants file refused")
		w.SetTenants(one.file)
		weirtest.Until(t, fmt.Sprintf("file %d is refused", i), func() bool { return strings.Count(w.Said(), "tenants file refused") > refusals })
		if said := lastLine(w.Said(), "tenants file refused"); !strings.Contains(said, fmt.Sprintf("line %d:", one.line)) || strings.Contains(said, "three") {
			t.Errorf("%q: want line %d, the log says %s", one.file, one.line, said)
		}
		for _, c := range clients {
			ping(c)
		}
	}
	if got := code(t, w, "acme/changing", "two"); got != codec.BadUserNameOrPassword {
		t.Errorf("a password of a bad file is answered with 0x%02X", got)
	}
	w.SetTenants(acme("password: two, role: device"))
	out(t, clients)
	in(t, w, "changing", "two")
}

// lastLine is the last line that contains a text.
func lastLine(said, text string) string {
	last := ""
	for line := range strings.Lines(said) {
		if strings.Contains(line, text) {
			last = line
		}
	}
	return last
}

// A file can be replaced in more ways than by a rename.
func TestWaysToReplaceTheTenantsFile(t *testing.T) {
	t.Parallel()
	t.Run("in place", func(t *testing.T) {
		t.Parallel()
		path := weirtest.TenantsFile(t, acme("password: one, role: device"))
		w := weirtest.Start(t, weirtest.Options{TenantsFile: path})
		clients := in(t, w, "changing", "one")
		overwrite(t, path, []byte(acme("password: two, role: device")))
		out(t, clients)
		in(t, w, "changing", "two")
	})
	t.Run("removed and written again", func(t *testing.T) {
		t.Parallel()
		path := weirtest.TenantsFile(t, acme("password: one, role: device"))
		w := weirtest.Start(t, weirtest.Options{TenantsFile: path})
		clients := in(t, w, "changing", "one")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		for _, c := range clients {
			ping(c)
		}
		overwrite(t, path, []byte(acme("password: two, role: device")))
		out(t, clients)
	})
	// As Kubernetes mounts a ConfigMap: the file is a link to a file behind a link to a directory, which is what changes.
	t.Run("behind links", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		version := func(name, password string) {
			if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
			overwrite(t, filepath.Join(dir, name, "tenants.yaml"), []byte(acme("password: "+password+", role: device")))
			if err := os.Symlink(name, filepath.Join(dir, "..data.new")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(dir, "..data.new"), filepath.Join(dir, "..data")); err != nil {
				t.Fatal(err)
			}
		}
		version("..first", "one")
		path := filepath.Join(dir, "tenants.yaml")
		if err := os.Symlink(filepath.Join("..data", "tenants.yaml"), path); err != nil {
			t.Fatal(err)
		}
		w := weirtest.Start(t, weirtest.Options{TenantsFile: path})
		clients := in(t, w, "changing", "one")
		version("..second", "two")
		out(t, clients)
		in(t, w, "changing", "two")
	})
}
