package weirtest

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Pause stops the server with SIGSTOP, and returns when it has stopped: connections stay, nothing is answered. Resume
// lets it go on. A paused server can be killed. It needs a /proc.
func (n *NATS) Pause() {
	n.t.Helper()
	n.p.send(syscall.SIGSTOP)
	Until(n.t, "nats-server has stopped", n.p.stopped)
}

// Resume lets a paused server go on.
func (n *NATS) Resume() {
	n.t.Helper()
	n.p.send(syscall.SIGCONT)
}

// Pause stops the Weir, as a machine does that is suspended. Resume lets it go on. It needs a /proc.
func (w *Weir) Pause() {
	w.t.Helper()
	w.p.send(syscall.SIGSTOP)
	Until(w.t, w.p.name+" has stopped", w.p.stopped)
}

// Resume lets a paused Weir go on.
func (w *Weir) Resume() {
	w.t.Helper()
	w.p.send(syscall.SIGCONT)
}

// send sends a signal without waiting for anything.
func (p *process) send(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("%s: %s: %v", p.name, s, err)
	}
}

// stopped reports whether all threads of the process are stopped.
func (p *process) stopped() bool {
	threads, err := filepath.Glob("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/task/*/stat")
	if err != nil || len(threads) == 0 {
		return false
	}
	for _, thread := range threads {
		data, err := os.ReadFile(thread)
		// The state stands behind the name, which is in parentheses.
		if end := bytes.LastIndexByte(data, ')'); err != nil || end < 0 || len(data) < end+3 || data[end+2] != 'T' {
			return false
		}
	}
	return true
}
