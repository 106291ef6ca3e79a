package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
)

const lockFile = "weir.lock"

// takeLock makes this process the only one on the directory, until the file is closed or the process ends.
func takeLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("data directory %s is in use by another process", dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// storeLimit is nats-server's own rule for max_file, three quarters of the disk, except that what the store holds already
// counts as free. nats-server counts it for accounts that it knows at the start, and tenants come later.
func storeLimit(dir string) (int64, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	held, err := heldBytes(dir)
	if err != nil {
		return 0, err
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	free := int64(disk.Bavail * uint64(disk.Bsize))
	return max((free+held)/4*3, 1), nil
}

func heldBytes(dir string) (int64, error) {
	var held int64
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		held += info.Size()
		return nil
	})
	return held, err
}

// workers recover streams next to each other. done ends them and waits.
func workers() (tasks chan<- func(), done func()) {
	queue := make(chan func())
	var wg sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for task := range queue {
				task()
			}
		})
	}
	return queue, func() {
		close(queue)
		wg.Wait()
	}
}
