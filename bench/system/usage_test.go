package system

import (
	"os"
	"testing"
	"time"
)

func TestParseRSS(t *testing.T) {
	const status = "Name:\tweir\nVmHWM:\t   20000 kB\nVmRSS:\t   12345 kB\nThreads:\t7\n"
	if got, err := parseRSS([]byte(status)); got != 12345<<10 || err != nil {
		t.Errorf("got %d, %v", got, err)
	}
	for _, bad := range []string{"", "Name:\tweir\n", "VmRSS:\tmuch\n"} {
		if _, err := parseRSS([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestRSSOfThisProcess(t *testing.T) {
	if got, err := rss(os.Getpid()); got < 1<<20 || err != nil {
		t.Errorf("got %d, %v", got, err)
	}
}

func TestCPUOfThisProcess(t *testing.T) {
	start := time.Now()
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const burn = 5 * time.Millisecond
	for after := before; after-before < burn; {
		if after, err = CPU(os.Getpid()); err != nil {
			t.Fatal(err)
		}
		if time.Since(start) > 10*time.Second {
			t.Fatalf("%v of processor time in 10 s of work", after-before)
		}
	}
}

func TestCPUOfNoProcess(t *testing.T) {
	const beyondPIDMax = 1 << 22
	if _, err := CPU(beyondPIDMax); err == nil {
		t.Error("no error")
	}
}

func TestLookup(t *testing.T) {
	const info = "processor\t: 0\nmodel name\t: A: B @ 2 GHz\n\nprocessor\t: 1\nmodel name\t: other\n"
	if got, ok := lookup([]byte(info), "model name"); got != "A: B @ 2 GHz" || !ok {
		t.Errorf("got %q, %v", got, ok)
	}
	if _, ok := lookup([]byte(info), "model"); ok {
		t.Error("found what is not there")
	}
}
