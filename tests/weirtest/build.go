package weirtest

import (
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// binary is a program that is built once in a run of a test package, and linked again only when its source has changed.
type binary struct {
	name, pkg string
	race      bool
	once      sync.Once
	path      string
	err       error
}

var (
	weirBinary     = &binary{name: "weir", pkg: "github.com/weirmq/weir/cmd/weir"}
	weirRaceBinary = &binary{name: "weir-race", pkg: "github.com/weirmq/weir/cmd/weir", race: true}
	natsBinary     = &binary{name: "nats-server", pkg: "github.com/nats-io/nats-server/v2"}
)

// link returns the path of the program in a directory of the test's own, where no later build replaces it.
func (b *binary) link(t testing.TB) string {
	t.Helper()
	b.once.Do(func() { b.path, b.err = b.build() })
	if b.err != nil {
		t.Fatal(b.err)
	}
	path := filepath.Join(t.TempDir(), b.name)
	if err := os.Link(b.path, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// build builds into a directory that outlives the run and belongs to this copy of the source, one build at a time over all
// test processes.
func (b *binary) build() (path string, err error) {
	_, source, _, _ := runtime.Caller(0)
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("weirtest-%d-%08x", os.Getuid(), crc32.ChecksumIEEE([]byte(source))))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	path = filepath.Join(dir, b.name)
	args := []string{"build", "-o", path}
	if b.race {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, b.pkg)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", b.pkg, err, out)
	}
	return path, nil
}
