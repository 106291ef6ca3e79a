package websocket

import (
	"bufio"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/weirmq/weir/tests/weirtest"
)

// mapper is a process that is started any number of times. Its methods are for one goroutine.
type mapper struct {
	t    *testing.T
	dir  string
	env  []string
	path string
	args []string

	cmd   *exec.Cmd
	maps  chan bool // has a value when the process has said that it maps
	ended chan bool // has a value when the process has ended

	mu    sync.Mutex
	lines []string // guarded by mu: of all starts
}

func newMapper(t *testing.T, dir string, env []string, name string, args ...string) *mapper {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is needed for this test: %v", name, err)
	}
	m := &mapper{t: t, dir: dir, env: env, path: path, args: args}
	t.Cleanup(func() {
		m.Kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, m.said())
		}
	})
	return m
}

// launch starts the process, and does not wait for it.
func (m *mapper) launch() {
	m.t.Helper()
	m.cmd = exec.Command(m.path, m.args...)
	m.cmd.Dir, m.cmd.Env = m.dir, append(m.cmd.Environ(), m.env...)
	out, err := m.cmd.StderrPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	maps, ended := make(chan bool, 1), make(chan bool, 1)
	m.maps, m.ended = maps, ended
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			m.mu.Lock()
			m.lines = append(m.lines, lines.Text())
			m.mu.Unlock()
			if strings.Contains(lines.Text(), "maps devices/+/up as demo/service") {
				select {
				case maps <- true:
				default:
				}
			}
		}
		_ = m.cmd.Wait() // how it ended is in the state
		ended <- true
	}()
}

func (m *mapper) said() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.lines, "\n")
}

func (m *mapper) Start() {
	m.t.Helper()
	m.launch()
	weirtest.Receive(m.t, m.path+" to map", m.maps)
}

// wait waits for the end, and returns the exit code.
func (m *mapper) wait() int {
	m.t.Helper()
	weirtest.Receive(m.t, "the end of "+m.path, m.ended)
	code := m.cmd.ProcessState.ExitCode()
	m.cmd = nil
	return code
}

func (m *mapper) Kill() {
	m.t.Helper()
	if m.cmd != nil {
		_ = m.cmd.Process.Kill() // it may have ended
		m.wait()
	}
}

func (m *mapper) Stop() {
	m.t.Helper()
	if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		m.t.Fatal(err)
	}
	if code := m.wait(); code != 0 {
		m.t.Fatalf("exit code %d after SIGTERM", code)
	}
}
