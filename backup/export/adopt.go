package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// adopt looks for what an earlier try left at the key. A whole dump of this
// database is taken as it is, so that running anything twice changes no stored
// byte; its manifest is made again where it is missing or does not fit. It
// gives ErrNotFound where the key is free, and ErrCorrupt where something lies
// there that is not a whole dump of this database.
func adopt(ctx context.Context, src source.Source, dst object.Bucket, req Request) (*backup.Manifest, error) {
	key := req.Key.String()
	if _, err := dst.Stat(ctx, key); err != nil {
		return nil, fmt.Errorf("look for %s: %w", key, err)
	}
	found, err := Examine(ctx, dst, req.Key)
	if err != nil {
		return nil, err
	}
	if id := src.Describe().ID; found.DatabaseID != id {
		return nil, backup.Errorf(backup.ErrCorrupt, "%s is a dump of the database %s, not of %s", key, found.DatabaseID, id)
	}
	if !backup.SameRedactions(found.Redactions, backup.RedactionTexts(req.Redact)) {
		return nil, &otherRules{found.Redactions}
	}
	old, err := ReadManifest(ctx, dst, key)
	switch {
	case err == nil && old.SHA256 == found.SHA256 && slices.Equal(old.Redactions, found.Redactions) && old.DatabaseID == found.DatabaseID && old.Key == key:
		return old, nil
	case err != nil && !errors.Is(err, backup.ErrNotFound) && !errors.Is(err, backup.ErrCorrupt):
		return nil, err
	}
	found.CopyID, found.JobID, found.ResultID = req.CopyID, req.JobID, req.ResultID
	found.Trigger, found.Kind, found.Date, found.Version = req.Trigger, req.Kind, req.Date, req.Version
	return found, putManifest(ctx, dst, req, found)
}

// otherRules says that a whole dump of the database lies at the key, which
// leaves out something else than is asked for now. It counts as ErrCorrupt: a
// dump that holds a secret must not pass for one that does not.
type otherRules struct{ rules []string }

func (e *otherRules) Error() string {
	if len(e.rules) == 0 {
		return "an earlier dump of this database in which nothing is redacted"
	}
	return "an earlier dump of this database, made under other rules of redaction (" + strings.Join(e.rules, ", ") + ")"
}

func (e *otherRules) Unwrap() error { return backup.ErrCorrupt }

// ReadManifest reads the manifest beside an object.
func ReadManifest(ctx context.Context, b object.Bucket, key string) (*backup.Manifest, error) {
	r, err := b.Open(ctx, object.ManifestKey(key), 0, -1)
	if err != nil {
		return nil, fmt.Errorf("open the manifest of %s: %w", key, err)
	}
	defer r.Close()
	m, err := backup.DecodeManifest(r)
	if err != nil {
		return nil, fmt.Errorf("the manifest of %s: %w", key, err)
	}
	return m, nil
}

// Examine reads a stored dump from end to end and describes it as far as its
// bytes and its key tell: the manifest that it gives has no copy, no result and
// no trigger. ErrCorrupt: it is not a whole dump.
func Examine(ctx context.Context, b object.Bucket, k object.Key) (*backup.Manifest, error) {
	key := k.String()
	r, err := b.Open(ctx, key, 0, -1)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	defer r.Close()
	stored := sha256.New()
	counted := &counter{r: io.TeeReader(r, stored)}
	m := &backup.Manifest{
		Format: backup.ManifestFormat, Kind: k.Kind, Date: k.Date, Key: key, Compression: backup.Plain, Rebuilt: true, ForeignKeys: -1,
	}
	sql := io.Reader(counted)
	if k.Gzip {
		m.Compression = backup.Gzip
		z, err := gzip.NewReader(counted)
		if err != nil {
			return nil, unreadable(key, counted, err)
		}
		sql = z
	}
	h, c, err := dump.Verify(sql)
	if err != nil {
		return nil, unreadable(key, counted, err)
	}
	if _, err := io.Copy(io.Discard, counted); err != nil {
		return nil, unreadable(key, counted, err)
	}
	m.DatabaseID, m.DatabaseName, m.JobID, m.Redactions = h.DatabaseID, h.Database, h.JobID, h.Redactions
	m.StartedAt, m.CompletedAt = h.TakenAt, h.TakenAt.Add(c.Footer.Duration)
	m.Consistency, m.BookmarkBefore, m.BookmarkAfter = backup.Consistency(c.Footer.Consistency), h.Bookmark, c.Footer.BookmarkAfter
	m.Size, m.SHA256 = counted.n, hex.EncodeToString(stored.Sum(nil))
	m.SQLSize, m.SQLSHA256, m.BodySize, m.BodySHA256 = c.Size, c.SHA256, c.BodySize, c.BodySHA256
	m.TableCount, m.Rows, m.Sections = c.Tables, c.Rows, sections(c)
	return m, nil
}

// unreadable tells a bucket that failed from an object that is damaged.
func unreadable(key string, c *counter, err error) error {
	if c.err != nil {
		return fmt.Errorf("read %s: %w", key, c.err)
	}
	return &backup.Error{Kind: backup.ErrCorrupt, Message: key + " is not a whole dump", Err: err}
}

// counter counts bytes, and keeps the error of the reader beneath.
type counter struct {
	r   io.Reader
	n   int64
	err error
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}
