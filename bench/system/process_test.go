package system

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

// shell is a system whose server is a shell script.
func shell(script string) System {
	return System{Name: "shell", launch: func(string, *Process) (launch, error) {
		return launch{addr: "nowhere", path: "/bin/sh", args: []string{"-c", script}, env: []string{"OWN=1"}}, nil
	}}
}

func TestProcess(t *testing.T) {
	t.Setenv("WEIR_DATA_DIR", "the developer's own")
	tmp := t.TempDir()
	ready := func(_ context.Context, addr string) error {
		entries, err := os.ReadDir(tmp)
		if err != nil {
			return err
		}
		_, err = os.Stat(tmp + "/" + entries[0].Name() + "/" + addr)
		return err
	}
	p, err := shell(`test -z "$WEIR_DATA_DIR" && test -n "$OWN" && touch nowhere && sleep 1000`).Start(t.Context(), tmp, ready)
	if err != nil {
		t.Fatal(err)
	}
	pid := p.cmd.Process.Pid
	if _, err := p.RSS(); err != nil {
		t.Error(err)
	}
	if _, err := p.CPU(); err != nil {
		t.Error(err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("after Stop the process is still there: %v", err)
	}
	expectEmpty(t, tmp)
}

func TestProcessThatFailsToStartShowsItsLog(t *testing.T) {
	tmp := t.TempDir()
	never := func(context.Context, string) error { return errors.New("nobody there") }
	_, err := shell("seq 1 100; echo port in use >&2; exit 3").Start(t.Context(), tmp, never)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"shell:", "exit status 3", "\n100\nport in use"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %q", want, err)
		}
	}
	if strings.Contains(err.Error(), "\n80\n") {
		t.Errorf("too much of the log: %q", err)
	}
	expectEmpty(t, tmp)
}

func TestProcessStartEndsWithItsContext(t *testing.T) {
	tmp := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	interrupted := func(context.Context, string) error {
		cancel()
		return errors.New("nobody there")
	}
	if _, err := shell("sleep 1000").Start(ctx, tmp, interrupted); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	expectEmpty(t, tmp)
}

func TestProcessWithoutProgram(t *testing.T) {
	tmp := t.TempDir()
	s := System{Name: "none", launch: func(string, *Process) (launch, error) { return launch{path: "/nowhere"}, nil }}
	if _, err := s.Start(t.Context(), tmp, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want %v", err, os.ErrNotExist)
	}
	expectEmpty(t, tmp)
}

func expectEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}

func TestLastLines(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"", ""},
		{"a", "a"},
		{"a\nb\n", "a\nb"},
		{"a\nb\nc\n", "b\nc"},
		{"a\nb\nc", "b\nc"},
	} {
		if got := string(lastLines([]byte(tc.text), 2)); got != tc.want {
			t.Errorf("%q: got %q, want %q", tc.text, got, tc.want)
		}
	}
}

func TestPrepareUnknown(t *testing.T) {
	_, err := Prepare(t.Context(), "emqx", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), Mosquitto) {
		t.Errorf("got %v, want what there is", err)
	}
}

func TestFreeAddrsDiffer(t *testing.T) {
	addrs, err := freeAddrs(3)
	if err != nil || addrs[0] == addrs[1] || addrs[1] == addrs[2] || addrs[0] == addrs[2] {
		t.Errorf("got %v, %v", addrs, err)
	}
}
