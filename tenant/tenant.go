// Package tenant says what a tenant is: its users, quotas and topic rules, how they are written in the
// tenants file and in the store, and which values are allowed. Everything here is a plain value without
// behaviour at run time: nothing is read from disk, no network is known, no password is hashed.
package tenant

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Origin says where a tenant came from. The tenants file changes only tenants of origin file.
type Origin string

// The origins.
const (
	OriginFile  Origin = "file"
	OriginStore Origin = "store"
	OriginDemo  Origin = "demo"
)

// Role is what a user may be: a device, or an application (a microservice, wherever it connects).
type Role string

// The roles.
const (
	RoleDevice      Role = "device"
	RoleApplication Role = "application"
)

func (r Role) valid() bool { return r == RoleDevice || r == RoleApplication }

// User is one user of a tenant as it is stored. It never holds a plain password.
type User struct {
	// PasswordHash is an argon2id PHC string that ParseHash accepts. It is empty only in a FileTenant, for
	// a user whose password is still plain.
	PasswordHash string `json:"password_hash"`
	Role         Role   `json:"role"`
}

// Tenant is the unit of isolation. Once handed to another package it is not modified any more, maps and
// slices included.
type Tenant struct {
	Name   string          `json:"name"`
	Users  map[string]User `json:"users,omitempty"`
	Quotas Quotas          `json:"quotas"`
	Rules  Rules           `json:"rules,omitempty"`
	// Disabled refuses every login; the tenant's data is kept.
	Disabled bool   `json:"disabled,omitempty"`
	Origin   Origin `json:"origin"`
}

const (
	recordVersion = 1
	// MaxRecordBytes bounds an encoded tenant. It stays below the default max_payload of a NATS server
	// (1 MiB) by enough for the headers of a store.
	MaxRecordBytes = 1<<20 - 4<<10
)

type record struct {
	Version int `json:"version"`
	Tenant
}

// Encode returns the tenant as a record of the store: JSON with a version. Equal tenants have equal
// records. It fails when the record is over MaxRecordBytes.
func (t Tenant) Encode() ([]byte, error) {
	data, err := json.Marshal(record{Version: recordVersion, Tenant: t})
	if err != nil {
		return nil, fmt.Errorf("tenant %s: %w", t.Name, err)
	}
	if len(data) > MaxRecordBytes {
		return nil, fmt.Errorf("tenant %s: its record of %d bytes is over the maximum of %d; it has %d users",
			t.Name, len(data), MaxRecordBytes, len(t.Users))
	}
	return data, nil
}

// Decode reads a record of the store. Fields that a later release added under the same version are
// ignored; another version, and anything that Validate refuses, is an error.
func Decode(data []byte) (Tenant, error) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return Tenant{}, fmt.Errorf("tenant record: %w", err)
	}
	if r.Version != recordVersion {
		return Tenant{}, fmt.Errorf("tenant record %s: version %d is not %d", quoteName(r.Name), r.Version, recordVersion)
	}
	if err := r.Validate(); err != nil {
		return Tenant{}, fmt.Errorf("tenant record %s: %w", quoteName(r.Name), err)
	}
	return r.Tenant, nil
}

// Validate reports the first thing that makes the tenant unfit for the store, users in the order of their
// names.
func (t Tenant) Validate() error {
	if !ValidName(t.Name) {
		return errors.New("name: " + nameRule)
	}
	switch t.Origin {
	case OriginFile, OriginStore, OriginDemo:
	default:
		return fmt.Errorf("origin: must be file, store or demo")
	}
	for _, name := range slices.Sorted(maps.Keys(t.Users)) {
		u := t.Users[name]
		if !ValidUser(name) {
			return fmt.Errorf("users.%s: %s", quoteName(name), userRule)
		}
		if _, err := ParseHash(u.PasswordHash); err != nil {
			return fmt.Errorf("users.%s.password_hash: %w", quoteName(name), err)
		}
		if !u.Role.valid() {
			return fmt.Errorf("users.%s.role: %s", quoteName(name), roleRule)
		}
	}
	for _, k := range quotaKeys {
		if err := k.check(*k.field(&t.Quotas)); err != nil {
			return fmt.Errorf("quotas.%s: %w", k.name, err)
		}
	}
	c := ruleChecker{tenant: t, at: rulePath}
	if err := c.check(); err != nil {
		return err
	}
	return nil
}

// Equal reports whether both say the same. Absent and empty maps and lists are the same.
func (t Tenant) Equal(o Tenant) bool {
	return t.Name == o.Name && t.Quotas == o.Quotas && t.Disabled == o.Disabled && t.Origin == o.Origin &&
		maps.Equal(t.Users, o.Users) && slices.Equal(t.Rules, o.Rules)
}
