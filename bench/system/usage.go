package system

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is the processor time, user and system, of all threads of a process, ended ones too. It comes from the
// process's clock, since /proc/<pid>/stat counts in steps of 10 ms.
func CPU(pid int) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(cpuClock(pid), &ts); err != nil {
		return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// cpuClock is the clock that clock_getcpuclockid(3) gives for a process.
func cpuClock(pid int) int32 {
	const perProcessScheduler = 2
	return ^int32(pid)<<3 | perProcessScheduler
}

// rss is the resident memory of a process in bytes.
func rss(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return parseRSS(status)
}

// parseRSS finds the resident memory, in bytes, in a /proc/<pid>/status.
func parseRSS(status []byte) (int64, error) {
	const field = "VmRSS"
	value, ok := lookup(status, field)
	if !ok {
		return 0, fmt.Errorf("no %s", field)
	}
	kib, err := strconv.ParseInt(strings.TrimSuffix(value, " kB"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", field, err)
	}
	return kib << 10, nil
}

// lookup finds the value of the first line "field: value".
func lookup(text []byte, field string) (string, bool) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), ":")
		if ok && strings.TrimSpace(name) == field {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}
