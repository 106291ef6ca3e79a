package tenant

import (
	"errors"
	"fmt"
)

// MaxFileBytes bounds the tenants file.
const MaxFileBytes = 16 << 20

// maxFileHashParams bounds how many different argon2id parameters one file may use: whoever checks
// passwords pays for each of them at every failed login.
const maxFileHashParams = 4

// File is a parsed tenants file.
type File struct {
	Tenants map[string]FileTenant
}

// FileTenant is a tenant whose plain passwords are not hashed yet.
type FileTenant struct {
	// Tenant is complete but for the PasswordHash of the users in Passwords.
	Tenant Tenant
	// Passwords are the plain passwords by user name.
	Passwords map[string]string
}

// Demo is the tenant of a Weir that was started without any configuration: the users device and service,
// password demo each.
func Demo() FileTenant {
	const password = "demo"
	return FileTenant{
		Tenant: Tenant{
			Name: "demo",
			Users: map[string]User{
				"device":  {Role: RoleDevice},
				"service": {Role: RoleApplication},
			},
			Origin: OriginDemo,
		},
		Passwords: map[string]string{"device": password, "service": password},
	}
}

// ParseFile reads a tenants file. It is strict: whatever it does not know, finds twice or finds of the
// wrong type makes the whole file bad. The error is one line, "line <number>: <key>: <reason>", the key
// counted from the tenant, and never shows a password or a hash.
func ParseFile(data []byte) (*File, error) {
	f, err := parseFile(data)
	if e, ok := errors.AsType[*lineError](err); ok {
		// The YAML parser counts a line too many where a document that ends without a newline lacks a value.
		e.line = min(e.line, lineOf(data, len(data)))
	}
	return f, err
}

func parseFile(data []byte) (*File, error) {
	root, err := parseYAML(data)
	if err != nil {
		return nil, err
	}
	p := fileParser{params: map[HashParams]bool{}}
	f := &File{Tenants: map[string]FileTenant{}}
	pairs, err := mapping(root, "")
	if err != nil {
		return nil, err
	}
	found := false
	for _, kv := range pairs {
		if kv.key.Value != "tenants" {
			return nil, errorAt(kv.key, kv.path, "unknown key")
		}
		found = true
		tenants, err := mapping(kv.value, kv.path)
		if err != nil {
			return nil, err
		}
		for _, kv := range tenants {
			t, err := p.tenant(kv)
			if err != nil {
				return nil, err
			}
			f.Tenants[t.Tenant.Name] = t
		}
	}
	if !found {
		// An empty file would disable every tenant, and an empty file is also what a reader sees while
		// someone is writing it. "tenants: {}" says that there is none.
		return nil, errorAt(root, "tenants", "missing")
	}
	return f, nil
}

// fileParser is what the entries of one file share.
type fileParser struct {
	params map[HashParams]bool
}

func (p *fileParser) tenant(kv pair) (FileTenant, error) {
	t := FileTenant{
		Tenant:    Tenant{Name: kv.key.Value, Users: map[string]User{}, Origin: OriginFile},
		Passwords: map[string]string{},
	}
	if !ValidName(t.Tenant.Name) {
		return t, errorAt(kv.key, kv.path, nameRule)
	}
	pairs, err := mapping(kv.value, kv.path)
	if err != nil {
		return t, err
	}
	var rules []ruleNode
	for _, kv := range pairs {
		// Below the tenant, keys are shown from here on: the line tells which tenant it is.
		kv.path = quoteName(kv.key.Value)
		var err error
		switch kv.key.Value {
		case "users":
			err = p.users(kv, &t)
		case "quotas":
			err = parseQuotas(kv, &t.Tenant.Quotas)
		case "topics":
			t.Tenant.Rules, rules, err = parseRules(kv)
		default:
			err = errorAt(kv.key, kv.path, "unknown key")
		}
		if err != nil {
			return t, err
		}
	}
	// Only now, because the quotas may come after the rules that they are the defaults of.
	if err := checkFileRules(t.Tenant, rules); err != nil {
		return t, err
	}
	return t, checkRecord(kv, t)
}

// checkRecord refuses a tenant that the store could not hold once its passwords are hashed.
func checkRecord(kv pair, t FileTenant) error {
	size := 0
	for range t.Passwords {
		size += maxOwnHashBytes
	}
	data, err := t.Tenant.Encode()
	if err == nil && len(data)+size <= MaxRecordBytes {
		return nil
	}
	return errorAt(kv.key, kv.path, fmt.Sprintf("the record of its %d users is over the maximum of %d bytes",
		len(t.Tenant.Users), MaxRecordBytes))
}

// maxOwnHashBytes is the length of a PHC string as Weir itself makes them, rounded up.
const maxOwnHashBytes = 112

func (p *fileParser) users(kv pair, t *FileTenant) error {
	pairs, err := mapping(kv.value, kv.path)
	if err != nil {
		return err
	}
	for _, kv := range pairs {
		if !ValidUser(kv.key.Value) {
			return errorAt(kv.key, kv.path, userRule)
		}
		if err := p.user(kv, t); err != nil {
			return err
		}
	}
	return nil
}

func (p *fileParser) user(kv pair, t *FileTenant) error {
	pairs, err := mapping(kv.value, kv.path)
	if err != nil {
		return err
	}
	var u User
	password, plain := "", false
	for _, kv := range pairs {
		var err error
		switch kv.key.Value {
		case "password":
			plain = true
			password, err = parsePassword(kv)
		case "password_hash":
			u.PasswordHash, err = p.hash(kv)
		case "role":
			var s string
			if s, err = text(kv); err == nil && !Role(s).valid() {
				err = errorAt(kv.value, kv.path, roleRule)
			}
			u.Role = Role(s)
		default:
			err = errorAt(kv.key, kv.path, "unknown key")
		}
		if err != nil {
			return err
		}
	}
	switch {
	case plain == (u.PasswordHash != ""):
		return errorAt(kv.key, kv.path, "needs exactly one of password and password_hash")
	case u.Role == "":
		return errorAt(kv.key, kv.path+".role", "missing")
	}
	t.Tenant.Users[kv.key.Value] = u
	if plain {
		t.Passwords[kv.key.Value] = password
	}
	return nil
}

func parsePassword(kv pair) (string, error) {
	s, err := text(kv)
	if err != nil {
		return "", err
	}
	const maxBytes = 65535 // of binary data in an MQTT packet
	if s == "" || len(s) > maxBytes {
		return "", errorAt(kv.value, kv.path, fmt.Sprintf("must be 1 to %d bytes", maxBytes))
	}
	return s, nil
}

func (p *fileParser) hash(kv pair) (string, error) {
	s, err := text(kv)
	if err != nil {
		return "", err
	}
	h, err := ParseHash(s)
	if err != nil {
		return "", errorAt(kv.value, kv.path, err.Error())
	}
	p.params[h.HashParams] = true
	if len(p.params) > maxFileHashParams {
		return "", errorAt(kv.value, kv.path, fmt.Sprintf("more than %d different argon2id parameters in the file: every failed login costs them all", maxFileHashParams))
	}
	return s, nil
}
