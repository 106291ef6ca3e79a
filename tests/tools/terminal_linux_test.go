package tools

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"unsafe"

	"github.com/weirmq/weir/tests/weirtest"
)

// terminal is a pseudo terminal: what is typed on one side is read by a program on the other.
func terminal(t *testing.T) (keyboard, program *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	var number, locked int32
	for request, value := range map[uintptr]*int32{syscall.TIOCGPTN: &number, syscall.TIOCSPTLCK: &locked} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, keyboard.Fd(), request, uintptr(unsafe.Pointer(value))); errno != 0 {
			t.Fatal(errno)
		}
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return keyboard, program
}

// On a terminal purge asks, and takes nothing but a yes for one.
func TestPurgeAsks(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{Tenants: tenants})
	stored(t, weir)
	keyboard, program := terminal(t)
	const question = "Delete 4 messages (648 B) of topic sensors/room 1 of tenant acme? [y/N] "
	for _, x := range []struct {
		answer string
		want   weirtest.Answer
	}{
		{"\n", weirtest.Answer{Code: 1, Stderr: question + "weir: nothing was deleted\n"}},
		{"no\n", weirtest.Answer{Code: 1, Stderr: question + "weir: nothing was deleted\n"}},
		{"y\n", weirtest.Answer{Stdout: "4 messages deleted\n", Stderr: question}},
	} {
		if _, err := keyboard.WriteString(x.answer); err != nil {
			t.Fatal(err)
		}
		if got := weir.Ask(program, nil, "topics", "purge", "acme", "sensors/room 1"); got != x.want {
			t.Errorf("%q: %+v", x.answer, got)
		}
	}
}
