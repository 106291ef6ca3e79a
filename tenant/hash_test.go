package tenant_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/weirmq/weir/tenant"
)

func TestParseHash(t *testing.T) {
	for _, s := range []string{
		goodHash,
		hashWith("m=4096,t=1,p=1"),
		hashWith("m=65536,t=3,p=4"),
		hashWith("m=262144,t=4,p=16"),
	} {
		h, err := tenant.ParseHash(s)
		if err != nil || h.String() != s {
			t.Errorf("ParseHash(%s) = %s, %v", s, h, err)
		}
	}
	h, err := tenant.ParseHash(hashWith("m=65536,t=3,p=4"))
	if err != nil || h.HashParams != (tenant.HashParams{Memory: 65536, Time: 3, Threads: 4}) ||
		string(h.Salt) != "saltsaltsaltsalt" || string(h.Key) != strings.Repeat("key", 10)+"ke" {
		t.Errorf("got %+v, %v", h, err)
	}
}

func TestParseHashErrors(t *testing.T) {
	const form = "must be an argon2id hash of the form $argon2id$v=19$m=…,t=…,p=…$salt$key"
	part := func(i int, s string) string {
		parts := strings.Split(goodHash, "$")
		parts[i] = s
		return strings.Join(parts, "$")
	}
	b64 := func(n int) string { return base64.RawStdEncoding.EncodeToString(make([]byte, n)) }
	tests := []struct{ name, hash, want string }{
		{"empty", "", form},
		{"plain", "s3cret", form},
		{"argon2i", part(1, "argon2i"), form},
		{"bcrypt", "$2b$12$abcdefghijklmnopqrstuv", form},
		{"version", part(2, "v=16"), form},
		{"something before", "x" + goodHash, form},
		{"something after", goodHash + "$", form},
		{"newline after", goodHash + "\n", form},
		{"order", hashWith("t=2,m=19456,p=1"), form},
		{"sign", hashWith("m=+19456,t=2,p=1"), form},
		{"leading zero", hashWith("m=019456,t=2,p=1"), form},
		{"space", hashWith("m=19456, t=2,p=1"), form},
		{"key id", hashWith("m=19456,t=2,p=1,keyid=x"), form},
		{"memory over 32 bits", hashWith("m=4294967296,t=2,p=1"), form},
		{"threads over 8 bits", hashWith("m=19456,t=2,p=256"), form},
		{"salt not base64", part(4, "!!!"), form},
		{"salt padded", part(4, "c2FsdHNhbHRzYWx0c2FsdA=="), form},
		{"spare bits", part(4, "c2FsdHNhbHRzYWx0c2FsdB"), form},
		{"key not base64", part(5, "a.b"), form},
		{"long", part(5, strings.Repeat("a", 300)), form},
		{"memory low", hashWith("m=4095,t=2,p=1"), "m=4095 is not between 4096 and 262144 KiB"},
		{"memory high", hashWith("m=262145,t=2,p=1"), "m=262145 is not between 4096 and 262144 KiB"},
		{"no pass", hashWith("m=19456,t=0,p=1"), "t=0 is not between 1 and 53, the maximum with m=19456"},
		{"passes", hashWith("m=262144,t=5,p=1"), "t=5 is not between 1 and 4, the maximum with m=262144"},
		{"no thread", hashWith("m=19456,t=2,p=0"), "p=0 is not between 1 and 16"},
		{"threads", hashWith("m=19456,t=2,p=17"), "p=17 is not between 1 and 16"},
		{"salt short", part(4, b64(7)), "a salt of 7 bytes is not between 8 and 64"},
		{"salt long", part(4, b64(65)), "a salt of 65 bytes is not between 8 and 64"},
		{"key short", part(5, b64(15)), "a key of 15 bytes is not between 16 and 64"},
		{"key long", part(5, b64(65)), "a key of 65 bytes is not between 16 and 64"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if h, err := tenant.ParseHash(test.hash); err == nil || err.Error() != test.want {
				t.Errorf("got %v, %v; want %s", h, err, test.want)
			}
		})
	}
}
