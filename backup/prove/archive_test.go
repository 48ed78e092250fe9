package prove_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/export/exporttest"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/prove"
)

// TestHostileArchive: what a weekly archive holds is believed no more than an
// object of its own. A file of it that unpacks to 10 GB of zeros is read as far
// as the catalogue says, and one that is whole and hostile is not run.
func TestHostileArchive(t *testing.T) {
	t.Parallel()
	b, err := object.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pack := func(text []byte) []byte {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		if _, err := z.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	good := goodDump(t)
	forged, err := exporttest.Forge(good, "ATTACH DATABASE '/tmp/patina-hostile.db' AS h;\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file []byte // within the archive
		text []byte // what the catalogue takes it for
		says string
	}{
		"a bomb":    {bytes.Repeat(pack(make([]byte, 10<<20)), 1000), good, "longer than what was stored"},
		"an attach": {pack(forged), forged, "which was not run"},
		"another":   {pack(bytes.ToUpper(good)), good, "its hash is another"},
	} {
		t.Run(name, func(t *testing.T) {
			week := object.Week{Year: 2026, Week: 40 + len(name)}
			if err := b.Replace(t.Context(), archive.Key(week), append([]byte("before"), c.file...), "application/gzip"); err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(c.text)
			cp := backup.Copy{
				DatabaseName: "db", Key: "daily/2026-11-23/db.sql", Size: int64(len(c.text)), SHA256: hex.EncodeToString(sum[:]), Compression: backup.Plain, ObjectGone: true,
				Archived: backup.Archived{Week: week.String(), Name: "2026-11-23/db.sql", Offset: 6, Length: int64(len(c.file))},
			}
			cp.Manifest = manifestOf(t, cp, c.text)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			_, err := prove.Copy(t.Context(), b, cp, prove.Options{Scratch: t.TempDir()})
			runtime.ReadMemStats(&after)
			if !errors.Is(err, backup.ErrCorrupt) || !strings.Contains(err.Error(), c.says) && !strings.Contains(err.Error(), "not a dump") {
				t.Errorf("%v", err)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 256<<20 {
				t.Errorf("%d MiB were allocated in %v", n>>20, time.Since(began))
			}
			r, err := archive.OpenCopy(t.Context(), b, cp)
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, r)
			if _ = r.Close(); name != "an attach" && !errors.Is(err, backup.ErrCorrupt) || n > cp.Size {
				t.Errorf("%d of %d bytes came out: %v", n, cp.Size, err)
			}
		})
	}
}

// goodDump is a small dump.
func goodDump(t *testing.T) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := dump.NewWriter(&buf, dump.Header{Database: "db", TakenAt: time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC), Consistency: "snapshot"})
	err := errors.Join(
		w.BeginTable(dump.Table{Name: "t", SQL: "CREATE TABLE t(id INTEGER PRIMARY KEY, v)", Columns: []string{"id", "v"}, AllColumns: true}),
		w.Row([]dump.Value{{Kind: dump.Integer, Bytes: []byte("1")}, {Kind: dump.Text, Bytes: []byte("x")}}), w.EndTable(),
	)
	_, end := w.Finish(dump.Footer{Consistency: "snapshot"})
	if err := errors.Join(err, end); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// manifestOf is what a catalogue says of a text.
func manifestOf(t *testing.T, cp backup.Copy, text []byte) *backup.Manifest {
	t.Helper()
	h, c, err := dump.Verify(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	m := &backup.Manifest{
		Format: 1, DatabaseName: h.Database, Key: cp.Key, SHA256: cp.SHA256, Size: cp.Size, SQLSize: c.Size, SQLSHA256: c.SHA256, BodySize: c.BodySize,
		BodySHA256: c.BodySHA256, Consistency: backup.Consistency(h.Consistency), TableCount: c.Tables, Rows: c.Rows, Compression: backup.Plain,
	}
	for _, s := range c.Sections {
		m.Sections = append(m.Sections, backup.Section{Name: s.Name, Kind: s.Kind, Offset: s.Offset, Length: s.Length, Rows: s.Rows, SHA256: s.SHA256})
	}
	return m
}
