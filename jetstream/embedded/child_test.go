package embedded_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// process is the test binary as a server.
type process struct {
	command *exec.Cmd
	stdin   io.Closer
	addr    string
}

func run(t *testing.T, dir string) *process {
	t.Helper()
	p := &process{command: exec.Command(os.Args[0])}
	p.command.Env = append(os.Environ(), childDir+"="+dir)
	p.command.Stderr = os.Stderr
	stdin, err := p.command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		p.kill(t)
		t.Fatalf("the child did not start: %v", err)
	}
	p.addr = strings.TrimSpace(line)
	return p
}

// kill ends it as a crash does.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.command.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = p.command.Wait() // reports the kill
	_ = p.stdin.Close()
}
