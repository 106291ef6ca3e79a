package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
)

const (
	// settle is how long files must be left alone before they are read, so that a file is not read while it is being
	// written; settleMax bounds the wait where something in the directory never rests.
	settle    = 200 * time.Millisecond
	settleMax = time.Second
)

// watcher tells when files may have changed: when they are written, replaced, or reached through symbolic links of which
// one now leads elsewhere, as in a Kubernetes volume. It watches the directories that hold the files and the links, because
// a watch on a file ends when the file is replaced.
type watcher struct {
	paths  []string
	notify *fsnotify.Watcher
	log    *zap.Logger
}

// newWatcher watches from now on. The caller calls run, which closes it.
func newWatcher(log *zap.Logger, paths ...string) (*watcher, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &watcher{paths: paths, notify: notify, log: log}
	if err := w.follow(); err != nil {
		return nil, errors.Join(err, notify.Close())
	}
	return w, nil
}

// run calls changed once at the beginning and then whenever the files may have changed, until ctx ends. changed has to find
// out by itself whether they have.
func (w *watcher) run(ctx context.Context, changed func()) {
	defer func() {
		if err := w.notify.Close(); err != nil {
			w.log.Debug("file watch not closed", zap.Error(err))
		}
	}()
	changed()
	for {
		if !w.wait(ctx) {
			return
		}
		// First the watches, then the files: what happens after the look is seen.
		if err := w.follow(); err != nil {
			w.log.Warn("changes of files may go unnoticed", zap.Strings("files", w.paths), zap.Error(err))
		}
		changed()
	}
}

// wait returns true when something has happened and has settled, false when ctx has ended.
func (w *watcher) wait(ctx context.Context) bool {
	var settled, latest <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return false
		case <-settled:
			return true
		case <-latest:
			return true
		case err := <-w.notify.Errors:
			w.log.Warn("file watch", zap.Error(err))
		case <-w.notify.Events:
		}
		settled = time.After(settle)
		if latest == nil {
			latest = time.After(settleMax)
		}
	}
}

// follow makes the watched directories those through which the paths lead now.
func (w *watcher) follow() error {
	for {
		want, err := w.directories()
		if err != nil {
			return err
		}
		added := false
		have := w.notify.WatchList()
		for _, dir := range want {
			if slices.Contains(have, dir) {
				continue
			}
			if err := w.notify.Add(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			added = true
		}
		for _, dir := range have {
			if slices.Contains(want, dir) {
				continue
			}
			if err := w.notify.Remove(dir); err != nil && !errors.Is(err, fsnotify.ErrNonExistentWatch) {
				return err
			}
		}
		// What changed between the look and a new watch went unnoticed, so look again.
		if !added {
			return nil
		}
	}
}

func (w *watcher) directories() ([]string, error) {
	var all []string
	for _, path := range w.paths {
		dirs, err := directoriesOf(path)
		if err != nil {
			return nil, err
		}
		all = append(all, dirs...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// maxLinks bounds the symbolic links in one path, as the kernel does.
const maxLinks = 40

// directoriesOf returns the directories in which a change can make the path mean another file: that of every symbolic link on
// the way and that of the file. Where a part of the path does not exist, the last is the directory in which it is missing.
func directoriesOf(path string) (dirs []string, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	separator := string(filepath.Separator)
	root := filepath.VolumeName(path) + separator
	at, links := root, 0
	rest := strings.Split(strings.TrimPrefix(path, root), separator)
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		next := filepath.Join(at, part)
		info, err := os.Lstat(next)
		if err != nil {
			return append(dirs, at), nil
		}
		if info.Mode()&os.ModeSymlink == 0 {
			if len(rest) == 0 {
				dirs = append(dirs, at)
			}
			at = next
			continue
		}
		dirs = append(dirs, at)
		target, err := os.Readlink(next)
		if err != nil {
			return dirs, nil
		}
		if links++; links > maxLinks {
			return nil, errors.New("too many symbolic links: " + path)
		}
		if filepath.IsAbs(target) {
			at = root
		}
		rest = append(strings.Split(filepath.Clean(target), separator), rest...)
	}
	return dirs, nil
}
