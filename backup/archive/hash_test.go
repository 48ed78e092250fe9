package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
)

// crafted stores an archive of one dump, as write lays it out, in which text was
// compressed instead of what the copy's manifest describes; spoil changes what
// the archive says of its member before its table of contents is written.
func crafted(t *testing.T, b object.Bucket, described, text string, spoil func(*backup.ArchiveMember)) *backup.ArchiveManifest {
	t.Helper()
	week := object.Week{Year: 2026, Week: 48}
	sum := sha256.Sum256([]byte(described))
	hash, size := hex.EncodeToString(sum[:]), int64(len(described))
	c := &backup.Manifest{
		Format: 1, Kind: backup.Daily, DatabaseID: "6ae2b03c-40dd-499e-ab31-017f78989b60", DatabaseName: "groveauth", CopyID: "018f3c2a-0000-7000-8000-000000000001", Date: week.Monday(),
		Key: "daily/2026-11-23/groveauth.sql", StartedAt: week.Monday().Time(), Compression: backup.Plain, Size: size, SHA256: hash, SQLSize: size, SQLSHA256: hash,
	}
	beside, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	const name = "2026-11-23/groveauth.sql"
	var out bytes.Buffer
	w := newWriter(&out)
	err = w.header(name, size, c.StartedAt)
	dump, err2 := w.compress(strings.NewReader(text))
	small, err3 := w.small(object.ManifestKey(name), beside, c.StartedAt)
	f, err4 := member(name, c, beside, dump, small)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	spoil(f)
	m := &backup.ArchiveManifest{Format: backup.ArchiveFormat, Week: week.String(), Key: Key(week), Members: []backup.ArchiveMember{*f}}
	m.From, m.To = Dates(week)
	index, err := indexOf(m)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.small(indexName, index, m.To.Time())
	if err = errors.Join(err, w.close()); err != nil {
		t.Fatal(err)
	}
	m.Size, m.SHA256 = w.at, hex.EncodeToString(w.sum.Sum(nil))
	if err := b.Replace(t.Context(), m.Key, out.Bytes(), ""); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestEveryHash: each of an archive's hashes is looked at by itself. What is wrong
// here is wrong in one of them, and nothing else tells of it.
func TestEveryHash(t *testing.T) {
	t.Parallel()
	b, err := object.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const text = "INSERT INTO \"users\" VALUES(1,'ada');\n"
	wrong := strings.Repeat("0", 64)
	fine := func(*backup.ArchiveMember) {}
	if err := Verify(t.Context(), b, crafted(t, b, text, text, fine)); err != nil {
		t.Fatalf("nothing is wrong: %v", err)
	}
	for name, c := range map[string]struct {
		text  string
		spoil func(*backup.ArchiveMember)
		says  string
	}{
		"the compressor has changed a byte":    {strings.Replace(text, "ada", "eva", 1), fine, "does not unpack to the copy"},
		"the hash of the gzip bytes":           {text, func(f *backup.ArchiveMember) { f.GzipSHA256 = wrong }, "its bytes have another hash"},
		"the hash of the manifest":             {text, func(f *backup.ArchiveMember) { f.ManifestSHA256 = wrong }, "the manifest of 2026-11-23/groveauth.sql has another hash"},
		"the hash of the SQL":                  {text, func(f *backup.ArchiveMember) { f.SQLSHA256, f.SHA256 = wrong, wrong }, "does not unpack to the copy"},
		"of a copy that was stored compressed": {text, func(f *backup.ArchiveMember) { f.Compression, f.Size = backup.Gzip, f.Length }, "not the copy that was stored"},
	} {
		err := Verify(t.Context(), b, crafted(t, b, text, c.text, c.spoil))
		var told *backup.Error
		if !errors.As(err, &told) || !errors.Is(err, backup.ErrCorrupt) || told.Err == nil || !strings.Contains(told.Err.Error(), c.says) {
			t.Errorf("%s: %v; want the cause %q", name, err, c.says)
		}
	}
	m := crafted(t, b, text, text, fine)
	m.SHA256 = wrong
	if err := Verify(t.Context(), b, m); !errors.Is(err, backup.ErrCorrupt) {
		t.Errorf("the hash of the whole: %v", err)
	}
	// What Examine believes of an archive nobody knows: its own bytes alone.
	for name, spoil := range map[string]func(*backup.ArchiveMember){
		"the hash of the gzip bytes": func(f *backup.ArchiveMember) { f.GzipSHA256 = wrong },
		"the hash of the manifest":   func(f *backup.ArchiveMember) { f.ManifestSHA256 = wrong },
	} {
		m := crafted(t, b, text, text, spoil)
		if _, err := Examine(t.Context(), b, m.Key); !errors.Is(err, backup.ErrCorrupt) {
			t.Errorf("Examine, %s: %v", name, err)
		}
	}
	m = crafted(t, b, text, strings.Replace(text, "ada", "eva", 1), fine)
	if _, err := Examine(t.Context(), b, m.Key); !errors.Is(err, backup.ErrCorrupt) {
		t.Errorf("Examine, another text: %v", err)
	}
}
