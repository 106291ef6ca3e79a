// Package natsprocess runs a nats-server in a process of its own, for tests: the test binary once more. The race detector keeps silent
// about it there; the server updates a stream and makes a consumer on it at the same time without a lock between them.
package natsprocess

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// childDir is the variable that makes the test binary a server, and says where that has its data.
const childDir = "WEIR_TEST_CHILD_DIR"

// startTimeout is how long a server may take to be ready.
const startTimeout = 20 * time.Second

// Main is called first in TestMain. In the process of a server it serves, and does not return.
func Main() {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(serve(dir))
	}
}

// New starts a server that ends with the test, and returns its URL.
func New(t testing.TB) string {
	t.Helper()
	url, command, stop := Start(t)
	t.Cleanup(func() {
		stop()
		if err := command.Wait(); err != nil {
			t.Error(err)
		}
	})
	return url
}

// Start is New for whoever ends the process and waits for it. stop asks it to end.
func Start(t testing.TB) (url string, command *exec.Cmd, stop func()) {
	t.Helper()
	command = exec.Command(os.Args[0])
	command.Env = append(os.Environ(), childDir+"="+t.TempDir(), "GORACE=exitcode=0 atexit_sleep_ms=0 log_path="+os.DevNull)
	command.Stderr = os.Stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	url, err = bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the server does not start: %v", err)
	}
	return strings.TrimSpace(url), command, func() { _ = stdin.Close() }
}

// serve serves until its standard input is closed. It prints its URL once it is ready.
func serve(dir string) int {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true,
		JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 1 << 28, MaxPayload: 8 << 20,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s.Start()
	if !s.ReadyForConnections(startTimeout) {
		return 1
	}
	fmt.Println(s.ClientURL())
	_, _ = io.Copy(io.Discard, os.Stdin)
	s.Shutdown()
	s.WaitForShutdown()
	return 0
}
