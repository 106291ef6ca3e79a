package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asProgram makes the test binary the program itself, for tests that need a process.
const asProgram = "TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

func TestExitCodes(t *testing.T) {
	for _, x := range []struct {
		args           []string
		environment    map[string]string
		code           int
		stdout, stderr string // a part of it
	}{
		{args: []string{"version"}, code: 0, stdout: "weir "},
		{args: []string{"--help"}, code: 0, stdout: "WEIR_MQTT_ADDR"},
		{args: []string{"--version"}, code: 0, stdout: "weir "},
		{args: []string{"help"}, code: 0, stdout: "WEIR_MQTT_ADDR"},
		{args: []string{"help", "topics", "ls"}, code: 0, stdout: "--tenant"},
		{args: []string{"topics"}, code: 0, stdout: "purge"},
		{args: []string{"topics", "--help"}, code: 0, stdout: "purge"},
		{args: []string{"keys"}, code: 0, stdout: "rotate"},
		{args: []string{"keys", "drop"}, code: 2, stderr: "weir: unknown subcommand \"drop\"; weir keys --help lists what there is\n"},
		{args: []string{"keys", "rotate", "x"}, code: 2, stderr: "weir: unknown command \"x\" for \"weir keys rotate\"\n"},
		{args: []string{"keys", "rotate"}, environment: map[string]string{"WEIR_NATS_ADDR": "off"}, code: 2, stderr: "weir: WEIR_NATS_ADDR: is off"},
		{args: []string{"serve"}, code: 2, stderr: "weir: unknown subcommand \"serve\"; weir --help lists what there is\n"},
		{args: []string{"help", "serve"}, code: 2, stderr: "weir: unknown subcommand \"serve\"; weir --help lists what there is\n"},
		{args: []string{"topics", "rm"}, code: 2, stderr: "weir: unknown subcommand \"rm\"; weir topics --help lists what there is\n"},
		{args: []string{"--port", "1"}, code: 2, stderr: "weir: unknown flag: --port; weir --help lists what there is\n"},
		{args: []string{"topics", "ls", "a", "b"}, code: 2, stderr: "weir: weir topics ls takes one filter; quote it for the shell\n"},
		{args: []string{"topics", "ls", "a/#/b"}, code: 2, stderr: "weir: filter \"a/#/b\": # must be the last level, alone\n"},
		{args: []string{"topics", "ls", "--tenant", "A"}, code: 2, stderr: "weir: --tenant: \"A\" is not a tenant's name\n"},
		{args: []string{"topics", "show", "a"}, code: 2, stderr: "weir: weir topics show needs a tenant and a topic, and nothing else; --help says more\n"},
		{args: []string{"topics", "purge", "a", "b"}, code: 1, stderr: "weir: nothing was deleted: there is no terminal to ask on, and no --yes\n"},
		{args: []string{"topics", "ls"}, environment: map[string]string{"WEIR_PORT": "1"}, code: 2, stderr: "weir: WEIR_PORT: there is no such variable\n"},
		{args: []string{"topics", "ls"}, environment: map[string]string{"WEIR_NATS_ADDR": "off"}, code: 2, stderr: "weir: WEIR_NATS_ADDR: is off"},
		{
			args: []string{"topics", "ls"}, environment: map[string]string{"WEIR_NATS_ADDR": "127.0.0.1:1"}, code: 1,
			stderr: "weir: no running Weir at 127.0.0.1:1 (WEIR_NATS_ADDR); for a NATS system of its own set WEIR_NATS_URL\n",
		},
		{
			args: []string{"topics", "ls"}, environment: map[string]string{"WEIR_NATS_URL": "nats://u:secret@127.0.0.1:1"}, code: 1,
			stderr: "weir: NATS at WEIR_NATS_URL: no NATS server answers\n",
		},
		{environment: map[string]string{"WEIR_PORT": "1"}, code: 2, stderr: "weir: WEIR_PORT: there is no such variable\n"},
		{environment: map[string]string{"WEIR_SYNC": "x"}, code: 2, stderr: "weir: WEIR_SYNC: "},
		{environment: map[string]string{"WEIR_DATA_DIR": "/dev/null/data"}, code: 2, stderr: "weir: WEIR_DATA_DIR: "},
	} {
		t.Run(strings.Join(x.args, " "), func(t *testing.T) {
			for name, value := range x.environment {
				t.Setenv(name, value)
			}
			var stdout, stderr bytes.Buffer
			if code := run(x.args, strings.NewReader(""), &stdout, &stderr); code != x.code {
				t.Errorf("exit code %d, want %d", code, x.code)
			}
			if !strings.Contains(stdout.String(), x.stdout) || !strings.Contains(stderr.String(), x.stderr) {
				t.Errorf("said %q and %q, want %q and %q", stdout.String(), stderr.String(), x.stdout, x.stderr)
			}
			if x.code != 0 && len(x.args) > 0 && strings.Count(stderr.String(), "\n") != 1 {
				t.Errorf("%q is not one line", stderr.String())
			}
		})
	}
}

// SIGTERM and SIGINT are clean stops.
func TestSignals(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = []string{
				asProgram + "=1", "WEIR_DATA_DIR=" + filepath.Join(t.TempDir(), "data"), "WEIR_MQTT_ADDR=127.0.0.1:0",
				"WEIR_NATS_ADDR=off", "WEIR_ADMIN_ADDR=off", "WEIR_HTTP_ADDR=off",
			}
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			cmd.Stderr = &log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			kill := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
			defer kill.Stop()
			said := bufio.NewReader(stdout)
			if _, err := said.ReadString('\n'); err != nil { // what a newcomer is told comes once it listens
				t.Fatalf("%v\n%s", err, log.String())
			}
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, said); err != nil {
				t.Error(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v\n%s", err, log.String())
			}
			if !strings.Contains(log.String(), `"msg":"stopped"`) {
				t.Errorf("the log does not tell of the end:\n%s", log.String())
			}
		})
	}
}
