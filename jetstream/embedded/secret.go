package embedded

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go"
)

const (
	secretFile = "bridge.secret"
	// bridgeInbox keeps the bridge's inboxes out of what applications may subscribe to.
	bridgeInbox = "_WEIR"
)

// Login is how another process of the same operator reaches the tenant's account of the server that runs on dataDir; the empty
// tenant is Weir's own account.
func Login(dataDir, tenant string) (nats.Option, error) {
	secret, err := readSecret(filepath.Join(dataDir, secretFile))
	if err != nil {
		return nil, fmt.Errorf("bridge's credential: %w", err)
	}
	return login(tenant, secret), nil
}

func login(tenant, secret string) nats.Option {
	return func(o *nats.Options) error {
		return errors.Join(nats.UserInfo(bridgeUser+tenant, secret)(o), nats.CustomInboxPrefix(bridgeInbox)(o))
	}
}

// ownSecret returns the bridge's credential and makes it where there is none. The caller holds the directory's lock.
func ownSecret(dir string) (string, error) {
	path := filepath.Join(dir, secretFile)
	secret, err := readSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		secret, err = makeSecret(dir, path)
	}
	if err != nil {
		return "", fmt.Errorf("bridge's credential: %w", err)
	}
	return secret, nil
}

func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return "", fmt.Errorf("%s has mode %04o and may have been read by others: delete it and start again", path, mode)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(data))
	if len(secret) < 20 {
		return "", fmt.Errorf("%s is damaged: delete it and start again", path)
	}
	return secret, nil
}

// makeSecret writes the whole file before it gets its name, so that no crash leaves half of one.
func makeSecret(dir, path string) (string, error) {
	secret := rand.Text()
	f, err := os.CreateTemp(dir, secretFile+".*") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(secret + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return secret, nil
}
