package weirtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is one program with its settings. It can be started again after its end; everything that it ever said is in
// one file.
type process struct {
	t    testing.TB
	name string
	path string
	args []string
	env  []string
	log  string // file

	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has been waited for; nil before the first start
}

// maxShown is how much of the end of a log a failed test shows, in bytes.
const maxShown = 16 << 10

func newProcess(t testing.TB, name, path string, args, env []string) *process {
	t.Helper()
	p := &process{t: t, name: name, path: path, args: args, env: env, log: filepath.Join(t.TempDir(), "log")}
	t.Cleanup(func() {
		p.kill()
		p.judge()
	})
	return p
}

// start runs the program and returns without waiting for it to be ready.
func (p *process) start() {
	p.t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(p.path, p.args...)
	cmd.Env = append(cleanEnviron(), p.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = diesWithTest()
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // the thread lives as long as the process: see diesWithTest
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in the state
		}
	}()
	if err := <-started; err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
	p.cmd, p.ended = cmd, ended
}

// cleanEnviron is the environment without settings of Weir and of the test's coverage.
func cleanEnviron() []string {
	var env []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "WEIR_") {
			env = append(env, entry)
		}
	}
	return env
}

func (p *process) running() bool {
	if p.ended == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// signal sends the signal to a running process and waits for its end.
func (p *process) signal(s syscall.Signal) error {
	if !p.running() {
		return nil
	}
	if err := p.cmd.Process.Signal(s); err != nil && p.running() {
		return err
	}
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	select {
	case <-p.ended:
		return nil
	case <-timer.C:
		return fmt.Errorf("%s has not ended %s after %s", p.name, Patience, s)
	}
}

func (p *process) kill() {
	if err := p.signal(syscall.SIGKILL); err != nil {
		p.t.Error(err)
	}
}

// said returns all that the process has written so far, over all its starts.
func (p *process) said() []byte {
	data, err := os.ReadFile(p.log)
	if err != nil && !os.IsNotExist(err) {
		p.t.Error(err)
	}
	return data
}

// faults are what no log may hold.
var faults = []string{"WARNING: DATA RACE", "\npanic: ", "\nfatal error: ", "internal_error"}

// judge fails the test for faults in the log, and shows the log where the test has failed.
func (p *process) judge() {
	log := p.said()
	for _, fault := range faults {
		if at := bytes.Index(log, []byte(fault)); at >= 0 {
			p.t.Errorf("%s said:\n%s", p.name, log[max(0, at-500):min(len(log), at+maxShown/2)])
		}
	}
	if p.t.Failed() {
		p.t.Logf("the end of what %s said:\n%s", p.name, log[max(0, len(log)-maxShown):])
	}
}

// exit returns a channel with one value when the process has ended.
func (p *process) exit() <-chan struct{} {
	over := make(chan struct{}, 1)
	go func(ended <-chan struct{}) {
		<-ended
		over <- struct{}{}
	}(p.ended)
	return over
}
