package catalogue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// Check reads all of a copy's stored bytes, from its own object or, where that
// is gone, out of its archive, and compares their size and hash with what was
// recorded. Errors: ErrCorrupt where they differ or are not there; another kind
// where the bucket did not give them.
func Check(ctx context.Context, b object.Bucket, c backup.Copy) error {
	if c.Location() == backup.InObject {
		return CheckObject(ctx, b, c.Key, c.Size, c.SHA256)
	}
	r, err := archive.OpenCopy(ctx, b, c)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
		_ = r.Close()
	}
	return gone(c.Key+" in "+c.Archived.Week, err)
}

// CheckObject reads all of an object and compares its size and hash. Errors: as
// Check's.
func CheckObject(ctx context.Context, b object.Bucket, key string, size int64, sum string) error {
	r, err := b.Open(ctx, key, 0, -1)
	if err != nil {
		return gone(key, err)
	}
	defer r.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(r, size+1)) // one byte more tells that there is more
	if err != nil {
		return gone(key, err)
	}
	if n > size {
		return backup.Errorf(backup.ErrCorrupt, "%s is longer than the %d bytes that were recorded", key, size)
	}
	if n < size {
		return backup.Errorf(backup.ErrCorrupt, "%s has %d bytes, and %d were recorded", key, n, size)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		return backup.Errorf(backup.ErrCorrupt, "the bytes of %s are not those that were stored: their hash is %.12s…, and %.12s… was recorded", key, got, sum)
	}
	return nil
}

// gone makes a missing object, or one that is too short for what is asked of
// it, the damage that it is.
func gone(key string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, backup.ErrNotFound), errors.Is(err, backup.ErrInvalid):
		return &backup.Error{Kind: backup.ErrCorrupt, Message: key + " is not in the bucket as it was stored", Err: err}
	}
	return fmt.Errorf("read %s back: %w", key, err)
}
