package export

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"math"
	"strconv"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
)

// HashKey makes the key of the rule hash out of an installation's secret. With
// another secret equal values get other hashes. Errors: ErrInvalid where the
// secret is shorter than 16 bytes.
func HashKey(secret []byte) ([]byte, error) {
	if len(secret) < 16 {
		return nil, &backup.Error{
			Kind: backup.ErrInvalid, Message: "the rule hash needs a secret, so that short values cannot be guessed from their hashes",
			Next: "Set PATINA_SECRET (openssl rand -base64 32), or use null.",
		}
	}
	return hkdf.Key(sha256.New, secret, nil, "patina: redact, 1", sha256.Size)
}

// hashBytes is how much of the hash stands in a copy: 128 bits, so that no two
// values ever get the same.
const hashBytes = 16

// hashHead marks a text as what stands instead of a value.
const hashHead = "hash:"

// hasher hashes the values of a part's columns. What it gives is good until its
// next row.
type hasher struct {
	mac  hash.Hash
	sum  [sha256.Size]byte
	text []byte
}

func newHasher(key []byte) *hasher { return &hasher{mac: hmac.New(sha256.New, key)} }

// value gives what stands instead of v. Values that SQLite finds equal get the
// same; a text or number becomes a text, a blob a blob, and NULL stays.
func (h *hasher) value(v dump.Value, into []byte) dump.Value {
	if v.Kind == dump.Null {
		return v
	}
	h.mac.Reset()
	switch v.Kind {
	case dump.Integer, dump.Real:
		h.text = appendNumber(append(h.text[:0], 'n'), v)
		_, _ = h.mac.Write(h.text)
	case dump.Blob:
		_, _ = h.mac.Write([]byte{'b'})
		h.digits(v.Bytes)
	default:
		_, _ = h.mac.Write([]byte{'t'})
		_, _ = h.mac.Write(v.Bytes)
	}
	sum := h.mac.Sum(h.sum[:0])[:hashBytes]
	if v.Kind == dump.Blob {
		return dump.Value{Kind: dump.Blob, Bytes: hex.AppendEncode(into[:0], sum)}
	}
	return dump.Value{Kind: dump.Text, Bytes: hex.AppendEncode(append(into[:0], hashHead...), sum)}
}

// digits hashes the bytes that hex digits stand for, a stretch at a time.
func (h *hasher) digits(b []byte) {
	var raw [4096]byte
	for len(b) > 0 {
		n := min(len(b), 2*len(raw))
		if k, err := hex.Decode(raw[:], b[:n]); err == nil {
			_, _ = h.mac.Write(raw[:k])
		} else { // no hex digits: the writer will refuse nothing of it, so it must not pass
			_, _ = h.mac.Write(b[:n])
		}
		b = b[n:]
	}
}

// appendNumber writes a number so that 1 and 1.0 are the same.
func appendNumber(dst []byte, v dump.Value) []byte {
	if v.Kind == dump.Integer {
		return append(dst, v.Bytes...)
	}
	f, err := strconv.ParseFloat(string(v.Bytes), 64)
	if err != nil && !math.IsInf(f, 0) {
		return append(dst, v.Bytes...)
	}
	if f == math.Trunc(f) && f >= math.MinInt64 && f < math.MaxInt64 {
		return strconv.AppendInt(dst, int64(f), 10)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}
