package auth

import (
	"testing"

	"github.com/alexedwards/argon2id"
)

// TestNobody: comparing with the hash of nobody costs what any other costs, and
// nothing matches it.
func TestNobody(t *testing.T) {
	t.Parallel()
	p, salt, key, err := argon2id.DecodeHash(nobody)
	if err != nil || *p != *params || len(salt) != int(params.SaltLength) || len(key) != int(params.KeyLength) {
		t.Fatalf("%+v, %d and %d bytes, %v", p, len(salt), len(key), err)
	}
	if CheckPassword("correct horse battery", "") {
		t.Error("a password matches nobody's")
	}
}
