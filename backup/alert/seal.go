package alert

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"

	"github.com/AutumnsGrove/Patina/backup"
)

// A sealed text is: one byte of format, four that name the key, the nonce, and
// what AES-256-GCM gives, bound to what it belongs to.
const (
	sealFormat = 1
	keyName    = 4
)

// Sealer keeps addresses and secrets unreadable in Postgres.
type Sealer struct {
	keys []sealKey // the first seals; the others still open
}

type sealKey struct {
	name [keyName]byte
	aead cipher.AEAD
}

// NewSealer makes a sealer of the installation's secret and of those it had
// before. Each has at least 16 bytes; nil ones are passed over. Errors:
// ErrInvalid.
func NewSealer(secrets ...[]byte) (*Sealer, error) {
	s := &Sealer{}
	for _, secret := range secrets {
		if secret == nil {
			continue
		}
		if len(secret) < 16 {
			return nil, backup.Errorf(backup.ErrInvalid, "a secret to seal with has fewer than 16 bytes")
		}
		key, err := hkdf.Key(sha256.New, secret, nil, "patina: seal channels, 1", 32)
		if err != nil {
			return nil, err
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		k := sealKey{aead: aead}
		sum := sha256.Sum256(key)
		copy(k.name[:], sum[:])
		s.keys = append(s.keys, k)
	}
	return s, nil
}

// CanSeal tells whether there is a secret at all.
func (s *Sealer) CanSeal() bool { return s != nil && len(s.keys) > 0 }

// Purpose names what a channel's field is sealed for: "url", "secret" or
// "previous".
func Purpose(channelID, field string) string { return "channel " + channelID + " " + field }

// Seal seals text for one purpose, such as a channel's ID and the name of the
// field: nothing else opens it. Errors: ErrUnavailable without a secret.
func (s *Sealer) Seal(text, purpose string) ([]byte, error) {
	if !s.CanSeal() {
		return nil, errNoSecret()
	}
	k := s.keys[0]
	nonce := make([]byte, k.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	out := append([]byte{sealFormat}, k.name[:]...)
	out = append(out, nonce...)
	return k.aead.Seal(out, nonce, []byte(text), []byte(purpose)), nil
}

// Open gives the text that was sealed for this purpose; old tells that a
// secret of before sealed it, so that it should be sealed anew. Errors:
// ErrUnavailable where no secret at hand opens it; ErrCorrupt.
func (s *Sealer) Open(sealed []byte, purpose string) (text string, old bool, err error) {
	if !s.CanSeal() {
		return "", false, errNoSecret()
	}
	head := 1 + keyName
	if len(sealed) < head || sealed[0] != sealFormat {
		return "", false, backup.Errorf(backup.ErrCorrupt, "what was sealed cannot be read")
	}
	for i, k := range s.keys {
		if !bytes.Equal(k.name[:], sealed[1:head]) {
			continue
		}
		n := head + k.aead.NonceSize()
		if len(sealed) < n {
			break
		}
		plain, err := k.aead.Open(nil, sealed[head:n], sealed[n:], []byte(purpose))
		if err != nil {
			break
		}
		return string(plain), i > 0, nil
	}
	for _, k := range s.keys {
		if bytes.Equal(k.name[:], sealed[1:head]) {
			return "", false, backup.Errorf(backup.ErrCorrupt, "what was sealed was changed, or belongs elsewhere")
		}
	}
	return "", false, &backup.Error{
		Kind: backup.ErrUnavailable, Message: "this was sealed with another secret", Next: "Give the secret of before as PATINA_SECRET_PREVIOUS, or enter the address anew.",
	}
}

func errNoSecret() error {
	return &backup.Error{Kind: backup.ErrUnavailable, Message: "there is no secret to seal with", Next: "Set PATINA_SECRET: openssl rand -base64 32"}
}
