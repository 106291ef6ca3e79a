package app

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap/zaptest"
)

// observe watches a file and returns what was read at every call of changed, "-" where it could not be read.
func observe(t *testing.T, path string) <-chan string {
	t.Helper()
	w, err := newWatcher(zaptest.NewLogger(t), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	seen := make(chan string, 100)
	var wg sync.WaitGroup
	wg.Go(func() {
		w.run(ctx, func() {
			data, err := os.ReadFile(path)
			if err != nil {
				data = []byte("-")
			}
			seen <- string(data)
		})
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return seen
}

// expect waits until the file is seen with this content.
func expect(t *testing.T, seen <-chan string, want string) {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		select {
		case got := <-seen:
			if got == want {
				return
			}
		case <-timeout:
			t.Fatalf("%q was not seen", want)
		}
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWatchPlainFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "one")
	seen := observe(t, path)
	expect(t, seen, "one")
	write(t, path, "two")
	expect(t, seen, "two")

	write(t, path+".new", "three")
	must(t, os.Rename(path+".new", path))
	expect(t, seen, "three")

	must(t, os.Remove(path))
	expect(t, seen, "-")
	write(t, path, "four")
	expect(t, seen, "four")
}

// A Kubernetes volume: f → ..data/f, ..data → ..1, and an update swaps ..data.
func TestWatchKubernetesVolume(t *testing.T) {
	dir := t.TempDir()
	version := func(name, content string) {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		write(t, filepath.Join(dir, name, "f"), content)
		must(t, os.Symlink(name, filepath.Join(dir, "..tmp")))
		must(t, os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
	}
	version("..1", "one")
	path := filepath.Join(dir, "f")
	must(t, os.Symlink(filepath.Join("..data", "f"), path))
	seen := observe(t, path)
	expect(t, seen, "one")
	for name, content := range map[string]string{"..2": "two", "..3": "three", "..4": "four"} {
		version(name, content)
		expect(t, seen, content)
	}
	must(t, os.RemoveAll(filepath.Join(dir, "..1")))
}

func TestWatchDirectoryThatComesAndGoes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(dir, "f")
	seen := observe(t, path)
	expect(t, seen, "-")
	for _, content := range []string{"one", "two"} {
		must(t, os.MkdirAll(dir, 0o700))
		write(t, path, content)
		expect(t, seen, content)
		must(t, os.RemoveAll(filepath.Dir(dir)))
		expect(t, seen, "-")
	}
	// Another directory takes its place.
	must(t, os.MkdirAll(dir, 0o700))
	write(t, path, "three")
	expect(t, seen, "three")
	other := filepath.Join(filepath.Dir(dir), "other")
	must(t, os.Mkdir(other, 0o700))
	write(t, filepath.Join(other, "f"), "four")
	must(t, os.Rename(dir, dir+".old"))
	must(t, os.Rename(other, dir))
	expect(t, seen, "four")
	write(t, path, "five")
	expect(t, seen, "five")
}

func TestDirectoriesOf(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	at := func(elements ...string) string { return filepath.Join(append([]string{root}, elements...)...) }
	must(t, os.MkdirAll(at("etc"), 0o700))
	must(t, os.MkdirAll(at("live"), 0o700))
	must(t, os.MkdirAll(at("archive"), 0o700))
	write(t, at("archive", "cert1"), "x")
	must(t, os.Symlink(filepath.Join("..", "archive", "cert1"), at("live", "cert")))
	must(t, os.Symlink(at("live", "cert"), at("etc", "cert")))
	must(t, os.Symlink("loop", at("loop")))

	for _, x := range []struct {
		path string
		want []string
	}{
		{at("archive", "cert1"), []string{at("archive")}},
		{at("etc", "cert"), []string{at("etc"), at("live"), at("archive")}},
		{at("etc", "missing"), []string{at("etc")}},
		{at("missing", "x", "y"), []string{at()}},
	} {
		got, err := directoriesOf(x.path)
		must(t, err)
		if diff := cmp.Diff(x.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", x.path, diff)
		}
	}
	if _, err := directoriesOf(at("loop")); err == nil {
		t.Error("no error for a link to itself")
	}
}
