package weirtest

import (
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Program is a process beside Weir. Its methods are for one goroutine.
type Program struct {
	t testing.TB
	p *process
}

var (
	programsMu sync.Mutex
	programs   = map[string]*binary{} // by package
)

// StartProgram builds a program of the module, such as examples/mapper-go, and runs it with these arguments and variables, as NAME=value, until the test ends.
func StartProgram(t testing.TB, pkg string, env []string, args ...string) *Program {
	t.Helper()
	name := pkg[strings.LastIndexByte(pkg, '/')+1:]
	if raceEnabled {
		name += "-race"
	}
	programsMu.Lock()
	b := programs[pkg]
	if b == nil {
		b = &binary{name: name, pkg: "github.com/weirmq/weir/" + pkg, race: raceEnabled}
		programs[pkg] = b
	}
	programsMu.Unlock()
	p := &Program{t: t, p: newProcess(t, name, b.link(t), args, append(env, "GORACE=halt_on_error=0"))}
	p.p.start()
	return p
}

// Said is all that the process has written.
func (p *Program) Said() string { return string(p.p.said()) }

// AwaitSaid waits until the process has written a text.
func (p *Program) AwaitSaid(text string) {
	p.t.Helper()
	Until(p.t, p.p.name+" to say "+text, func() bool { return strings.Contains(p.Said(), text) || !p.p.running() })
	if !strings.Contains(p.Said(), text) {
		p.t.Fatalf("%s has ended: %v", p.p.name, p.p.cmd.ProcessState)
	}
}

// Kill ends the process with SIGKILL.
func (p *Program) Kill() { p.p.kill() }

// Restart starts the process again after its end.
func (p *Program) Restart() {
	p.t.Helper()
	p.p.start()
}

// Wait waits for the process to end by itself, and returns its exit code.
func (p *Program) Wait() int {
	p.t.Helper()
	Receive(p.t, "the end of "+p.p.name, p.p.exit())
	return p.p.cmd.ProcessState.ExitCode()
}

// Stop ends the process with SIGTERM and expects exit code 0.
func (p *Program) Stop() {
	p.t.Helper()
	if err := p.p.signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if code := p.p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Fatalf("%s: %v after SIGTERM", p.p.name, p.p.cmd.ProcessState)
	}
}
