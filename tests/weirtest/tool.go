package weirtest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
)

// Answer is what a subcommand has said, and its exit code.
type Answer struct {
	Code           int
	Stdout, Stderr string
}

// Tool runs a subcommand of the same program with the environment of the Weir, further variables and nothing to read.
func (w *Weir) Tool(env []string, args ...string) Answer {
	w.t.Helper()
	return w.Ask(nil, env, args...)
}

// Ask is Tool with a standard input.
func (w *Weir) Ask(stdin *os.File, env []string, args ...string) Answer {
	w.t.Helper()
	cmd := exec.CommandContext(Context(w.t), w.p.path, args...)
	cmd.Env = append(append(cleanEnviron(), w.p.env...), env...)
	cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=0") // else the race detector waits for a second at the end
	if stdin != nil {                                     // else a nil *os.File would be a reader
		cmd.Stdin = stdin
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		w.t.Fatalf("%v: %v", args, err)
	}
	return Answer{Code: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String()}
}
