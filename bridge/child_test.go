package bridge

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

// childDir is the variable that makes the test binary a nats-server, and says where that has its data.
const childDir = "WEIR_TEST_CHILD_DIR"

// serverProcess is a nats-server in a process of its own, of which the race detector keeps silent: it updates a stream and makes a
// consumer on it at the same time without a lock between them.
type serverProcess string

// ClientURL is where it listens.
func (p serverProcess) ClientURL() string { return string(p) }

func newServerProcess(t testing.TB) serverProcess {
	t.Helper()
	command := exec.Command(os.Args[0])
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
	t.Cleanup(func() {
		_ = stdin.Close() // ends it
		if err := command.Wait(); err != nil {
			t.Error(err)
		}
	})
	url, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the server does not start: %v", err)
	}
	return serverProcess(strings.TrimSpace(url))
}

// child serves until its standard input is closed. It prints its URL once it is ready.
func child(dir string) int {
	s, err := server.NewServer(serverOptions(dir, -1))
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
