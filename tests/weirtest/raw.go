package weirtest

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os/exec"
	"runtime"
	"testing"

	"github.com/weirmq/weir/codec"
)

// Over is Dial for a connection that exists, such as one of crypto/tls.
func Over(t testing.TB, conn net.Conn, v codec.Version) *Client {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	return &Client{Conn: &Conn{Version: v, Net: conn, reader: codec.NewReader(conn, maxPacket)}, t: t}
}

// RunToEnd runs a Weir that is expected to end by itself, with no variables but env. It returns the exit code and what the process
// wrote to standard error.
func RunToEnd(t testing.TB, env ...string) (code int, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, weirBinary.link(t))
	cmd.Dir = t.TempDir()
	cmd.Env = append(cleanEnviron(), env...)
	runtime.LockOSThread() // the thread lives as long as the process: see diesWithTest
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = diesWithTest()
	var out bytes.Buffer
	cmd.Stderr = &out
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited || ctx.Err() != nil {
		t.Fatalf("weir has not ended by itself: %v\n%s", err, &out)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// FreeAddress returns a loopback address that nobody listens on, for a listener of which Options knows nothing.
func FreeAddress(t testing.TB) string {
	t.Helper()
	return freeAddress(t)
}
