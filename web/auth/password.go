package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"

	"github.com/AutumnsGrove/Patina/backup"
)

// MinPassword is the fewest characters a password may have; MaxPassword the
// most bytes, so that hashing one costs what it should.
const (
	MinPassword = 12
	MaxPassword = 1024
)

// params follow OWASP's advice for argon2id: 19 MiB, two passes, one lane.
var params = &argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// hashing bounds how many passwords are hashed at once: each takes 19 MiB and
// a core.
var hashing = make(chan struct{}, runtime.GOMAXPROCS(0))

// HashPassword gives what is stored of a password. Errors: ErrInvalid for one
// that is too short or too long.
func HashPassword(password string) (string, error) {
	if n := utf8.RuneCountInString(password); n < MinPassword || len(password) > MaxPassword {
		return "", backup.Errorf(backup.ErrInvalid, "a password has at least %d characters and at most %d bytes", MinPassword, MaxPassword)
	}
	hashing <- struct{}{}
	defer func() { <-hashing }()
	return argon2id.CreateHash(password, params)
}

// CheckPassword compares in constant time. An empty hash, that of somebody
// unknown or without a password, takes as long as any other and never matches.
func CheckPassword(password, hash string) bool {
	if len(password) > MaxPassword {
		return false
	}
	known := hash != ""
	if !known {
		hash = nobody
	}
	hashing <- struct{}{}
	defer func() { <-hashing }()
	ok, err := argon2id.ComparePasswordAndHash(password, hash)
	return ok && err == nil && known
}

// nobody is a hash of the same cost that belongs to no one: made of random bytes,
// not of a password, so that no program that never asks for one pays for it.
var nobody = func() string {
	random := make([]byte, params.SaltLength+params.KeyLength)
	if _, err := rand.Read(random); err != nil {
		panic(err) // no source of randomness: nothing can be kept safe
	}
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", params.Memory, params.Iterations, params.Parallelism, b64(random[:params.SaltLength]), b64(random[params.SaltLength:]))
}()

// ValidName tells whether somebody can be called this: 1 to 64 letters,
// digits, dots, hyphens, underscores, plus and at signs.
func ValidName(name string) bool {
	if name == "" || len(name) > 64 {
		return false
	}
	for _, r := range name {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-+@", r)) {
			return false
		}
	}
	return true
}

// TokenPrefix begins every API token we make, so that one is known when it
// turns up where it should not.
const TokenPrefix = "patina_"

// NewToken makes an API token: the secret, shown once; what is stored of it;
// and a hint that tells it from others.
func NewToken() (secret string, sha []byte, hint string) {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	secret = TokenPrefix + base64.RawURLEncoding.EncodeToString(b)
	return secret, HashToken(secret), Hint(secret)
}

// HashToken gives the SHA-256 that is stored of a token. Tokens are random, so
// a slow hash would add nothing.
func HashToken(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// Hint gives the end of a token that may be shown: at most its last four
// characters, and never more than an eighth of it.
func Hint(secret string) string {
	n := min(4, len(secret)/8)
	return "…" + secret[len(secret)-n:]
}
