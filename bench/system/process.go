package system

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	startTimeout = 30 * time.Second
	// probeInterval is how often a starting server is asked whether it serves.
	probeInterval = 50 * time.Millisecond
	// logTail is how many of a failed server's last lines are shown.
	logTail = 20
)

// Process is a running server.
type Process struct {
	// Addr is where it speaks MQTT.
	Addr string
	// HTTP is where it serves microservices, and NATS where it speaks NATS, if it does.
	HTTP, NATS string

	beside *Process // nil for most
	cmd    *exec.Cmd
	dir    string
	log    *os.File
	exited chan struct{} // closed by the goroutine that waits for cmd
}

// Start starts a server in a new directory under tmp and waits until probe succeeds. After a nil error Stop must
// be called. The server is killed when the calling thread ends, so that none survives the bench.
func (s System) Start(ctx context.Context, tmp string, probe func(ctx context.Context, addr string) error) (*Process, error) {
	p, err := s.spawn(tmp)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	if err := p.serving(ctx, probe); err != nil {
		err = fmt.Errorf("%s: %w; the end of its log:\n%s", s.Name, err, p.tail())
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

func (s System) spawn(tmp string) (*Process, error) {
	dir, err := os.MkdirTemp(tmp, s.Name+"-")
	if err != nil {
		return nil, err
	}
	p := &Process{dir: dir, exited: make(chan struct{})}
	if s.beside != nil {
		if p.beside, err = s.beside.spawn(tmp); err != nil {
			return nil, errors.Join(err, p.remove())
		}
	}
	if err := p.exec(s.launch); err != nil {
		return nil, errors.Join(err, p.remove(), p.stopBeside())
	}
	return p, nil
}

func (p *Process) exec(prepare func(dir string, beside *Process) (launch, error)) error {
	l, err := prepare(p.dir, p.beside)
	if err != nil {
		return err
	}
	if p.log, err = os.Create(filepath.Join(p.dir, "log")); err != nil {
		return err
	}
	p.Addr, p.HTTP, p.NATS = l.addr, l.http, l.nats
	p.cmd = exec.Command(l.path, l.args...)
	p.cmd.Dir = p.dir
	p.cmd.Env = append(inherited(), l.env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	// A group of its own, so that Ctrl-C reaches the bench alone, which then kills it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // nobody asks how it ended: it is killed
	}()
	return nil
}

// inherited is the bench's environment without what would configure Weir.
func inherited() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "WEIR_") })
}

// serving waits until the server serves.
func (p *Process) serving(ctx context.Context, probe func(ctx context.Context, addr string) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("no answer in time"))
	defer cancel()
	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	for {
		err := probe(ctx, p.Addr)
		if err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-p.exited:
			return fmt.Errorf("it did not stay: %s", p.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// tail is the end of what the server has written.
func (p *Process) tail() []byte {
	text, err := os.ReadFile(p.log.Name())
	if err != nil {
		return []byte(err.Error())
	}
	return lastLines(text, logTail)
}

// lastLines returns the last n lines.
func lastLines(text []byte, n int) []byte {
	text = bytes.TrimRight(text, "\n")
	at := len(text)
	for range n {
		if at = bytes.LastIndexByte(text[:at], '\n'); at < 0 {
			return text
		}
	}
	return text[at+1:]
}

// CPU is the processor time the server has used, with what runs beside it.
func (p *Process) CPU() (time.Duration, error) {
	used, err := CPU(p.cmd.Process.Pid)
	if p.beside == nil || err != nil {
		return used, err
	}
	more, err := p.beside.CPU()
	return used + more, err
}

// RSS is the memory the server holds, in bytes, with what runs beside it.
func (p *Process) RSS() (int64, error) {
	held, err := rss(p.cmd.Process.Pid)
	if p.beside == nil || err != nil {
		return held, err
	}
	more, err := p.beside.RSS()
	return held + more, err
}

// Stop kills the server and removes its directory.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.exited
	return errors.Join(p.remove(), p.stopBeside())
}

func (p *Process) stopBeside() error {
	if p.beside == nil {
		return nil
	}
	return p.beside.Stop()
}

func (p *Process) remove() error {
	if p.log != nil {
		p.log.Close()
	}
	return os.RemoveAll(p.dir)
}
