package jetstream

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// childDir is the variable that makes the test binary a server, and says where that has its data.
const childDir = "WEIR_TEST_CHILD_DIR"

// newServerProcess starts a server in a process of its own, of which the race detector keeps silent, and returns its URL. The server
// updates a stream and makes a consumer on it at the same time without a lock between them.
func newServerProcess(t *testing.T) string {
	t.Helper()
	url, command, stop := startServerProcess(t)
	t.Cleanup(func() {
		stop()
		if err := command.Wait(); err != nil {
			t.Error(err)
		}
	})
	return url
}

// startServerProcess is newServerProcess for whoever ends the process and waits for it. stop asks it to end.
func startServerProcess(t *testing.T) (url string, command *exec.Cmd, stop func()) {
	t.Helper()
	command = exec.Command(os.Args[0])
	command.Env = append(os.Environ(), childDir+"="+t.TempDir(), "GORACE=exitcode=0 log_path="+os.DevNull)
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

// child serves until its standard input is closed. It prints its URL once it is ready.
func child(dir string) int {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true,
		JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 1 << 28,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		return 1
	}
	fmt.Println(s.ClientURL())
	_, _ = io.Copy(io.Discard, os.Stdin)
	s.Shutdown()
	s.WaitForShutdown()
	return 0
}
