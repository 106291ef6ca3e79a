package jetstream

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weirmq/weir/authn"
)

const (
	// keyAge is when a key gets a successor.
	keyAge = 30 * 24 * time.Hour
	// keyRetires is how long after its successor was made a key is kept: no token that it has signed lives then, even if a
	// bridge went on signing with it for a while.
	keyRetires = authn.MaxLifetime + 24*time.Hour
	// maxKeys leaves room for many that were made by hand beside the 13 that are made in a year.
	maxKeys = 64
)

// keysRecord is what the stream has.
type keysRecord struct {
	Version int         `json:"v"`
	Keys    []keyRecord `json:"keys"` // the oldest first

	unreadable bool // made by a release that this one knows nothing of: nothing may replace it
}

type keyRecord struct {
	ID      string    `json:"id"`
	Secret  []byte    `json:"secret"`
	Created time.Time `json:"created"`
}

func decodeKeys(data []byte) keysRecord {
	var r keysRecord
	if err := json.Unmarshal(data, &r); err != nil || r.Version != recordVersion {
		return keysRecord{unreadable: true}
	}
	return r
}

func (r keysRecord) newest() keyRecord { return r.Keys[len(r.Keys)-1] }

// left is how long the newest key may go on without a successor; not positive where one is due.
func (r keysRecord) left(now time.Time) time.Duration {
	if len(r.Keys) == 0 {
		return 0
	}
	return r.newest().Created.Add(keyAge).Sub(now)
}

// rotated is the record with another key, and without those of which no token can live.
func (r keysRecord) rotated(now time.Time) (keysRecord, error) {
	kept := r.Keys
	for len(kept) > 1 && now.Sub(kept[1].Created) > keyRetires {
		kept = kept[1:]
	}
	if len(kept) >= maxKeys {
		return keysRecord{}, fmt.Errorf("there are %d signing keys already; there is room for another on %s",
			len(kept), kept[1].Created.Add(keyRetires).UTC().Format(time.DateOnly))
	}
	secret := make([]byte, authn.MinSecretBytes)
	_, _ = rand.Read(secret) // never fails: it ends the program instead
	key := keyRecord{ID: strings.ToLower(rand.Text()[:16]), Secret: secret, Created: now.UTC().Round(0)}
	return keysRecord{Version: recordVersion, Keys: append(slices.Clip(kept), key)}, nil
}
