package export_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/export/exporttest"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/object/objecttest"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// manyRows makes a table of n rows.
func (a *account) manyRows(t *testing.T) string {
	return a.make(t, "db", `CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)`, `CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID`,
		`INSERT INTO t WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 3000) SELECT x, printf('row %d ', x) || printf('%.*c', 90, 'v') FROM n`,
		`INSERT INTO w SELECT 'key ' || id, v FROM t`)
}

// TestInterruptedPages: pages that are cut, or refused for a while, are gone on
// with after their last good row, and the dump is the same to the byte.
func TestInterruptedPages(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	id := a.manyRows(t)
	want, err := a.export(t, id, "db")
	if err != nil || want.Consistency != backup.Snapshot {
		t.Fatal(want, err)
	}
	for _, f := range []d1sim.Fault{
		{Effect: d1sim.Cut, CutAfter: 20_000, Skip: 2, Times: 4},
		{Effect: d1sim.Cut, CutAfter: 1, Skip: 2, Times: 2},
		{Effect: d1sim.Unavailable, Skip: 3, Times: 7},
		{Effect: d1sim.HTML, Skip: 3, Times: 4},
		{Effect: d1sim.Nothing, Skip: 3, Times: 4},
		{Effect: d1sim.SuccessFalse, Skip: 3, Times: 4},
	} {
		f.Database, f.Call = id, "raw"
		fired := a.Faults().Add(f)
		m, err := a.export(t, id, "db", paged(500))
		if err != nil {
			t.Errorf("%s: %v", f.Effect, err)
			continue
		}
		if fired() != f.Times {
			t.Errorf("%s fired %d times", f.Effect, fired())
		}
		if m.BodySHA256 != want.BodySHA256 || m.Consistency != backup.Quiet {
			t.Errorf("%s: %s, and the body is another", f.Effect, m.Consistency)
		}
		a.Faults().Clear()
	}
}

// TestSnapshotThatDoesNotComeThrough is paged in the end, and says so.
func TestSnapshotThatDoesNotComeThrough(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	id := a.manyRows(t)
	a.Faults().Add(d1sim.Fault{Effect: d1sim.Cut, CutAfter: 200_000, Times: 4, Database: id, Call: "raw"})
	m, err := a.export(t, id, "db")
	if err != nil || m.Consistency != backup.Quiet || m.Cost.Retries < 2 {
		t.Fatalf("%+v, %v", m, err)
	}
}

// TestNothingIsLeft of an export that fails for good.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	id := a.manyRows(t)
	a.Faults().Add(d1sim.Fault{Effect: d1sim.HTML, Skip: 4, Times: -1, Database: id, Call: "raw"})
	_, err := a.export(t, id, "db", paged(500))
	if !errors.Is(err, backup.ErrUnavailable) || !strings.Contains(err.Error(), "export db: read table") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	a.Faults().Clear()
	a.Faults().Hook = func(string, string) { cancel() }
	if _, err := export.Run(ctx, source.D1(a.client, id, "db"), a.bucket, request("db")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if keys := objecttest.Keys(t, a.bucket, ""); len(keys) > 0 {
		t.Errorf("left: %v", keys)
	}
	for u, err := range a.bucket.Uploads(t.Context()) {
		t.Errorf("left: %v, %v", u, err)
	}
}

// TestBilled: every row is read once, but for the schema's.
func TestBilled(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	id := a.manyRows(t)
	before := a.DatabaseStats(id)
	m, err := a.export(t, id, "db", paged(100))
	if err != nil {
		t.Fatal(err)
	}
	billed := a.DatabaseStats(id).RowsRead - before.RowsRead
	if m.Rows != 6000 || billed > 6060 || m.Cost.RowsRead != billed {
		t.Errorf("%d rows, %d billed, %d told", m.Rows, billed, m.Cost.RowsRead)
	}
	small, err := a.export(t, id, "db")
	if err != nil || small.Cost.Requests != 3 {
		t.Errorf("a snapshot took %d requests (%v)", small.Cost.Requests, err)
	}
}

// TestAgain: what an earlier try stored is taken as it is; something else at
// the key is stepped around and named; a lost manifest is made again.
func TestAgain(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	id := a.manyRows(t)
	src := source.D1(a.client, id, "db")
	req := request("db")
	first, err := export.Run(t.Context(), src, a.bucket, req)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Exec(id, `DELETE FROM t`); err != nil {
		t.Fatal(err)
	}
	req.CopyID = "another"
	again, err := export.Run(t.Context(), src, a.bucket, req)
	if err != nil || again.SHA256 != first.SHA256 || again.CopyID != first.CopyID || again.Rebuilt {
		t.Errorf("again: %+v, %v", again, err)
	}
	for _, spoil := range []string{"", "{}", "not json"} {
		if spoil == "" {
			err = a.bucket.Delete(t.Context(), object.ManifestKey(first.Key))
		} else {
			err = a.bucket.Replace(t.Context(), object.ManifestKey(first.Key), []byte(spoil), "")
		}
		if err != nil {
			t.Fatal(err)
		}
		rebuilt, err := export.Run(t.Context(), src, a.bucket, req)
		if err != nil || rebuilt.SHA256 != first.SHA256 || !rebuilt.Rebuilt || rebuilt.BodySHA256 != first.BodySHA256 || rebuilt.Rows != first.Rows || rebuilt.Consistency != first.Consistency || rebuilt.DatabaseID != id || len(rebuilt.Sections) != len(first.Sections) {
			t.Errorf("manifest %q: %+v, %v", spoil, rebuilt, err)
		}
		kept, err := export.ReadManifest(t.Context(), a.bucket, first.Key)
		if err != nil || kept.SHA256 != first.SHA256 {
			t.Errorf("manifest %q was not made again: %v", spoil, err)
		}
	}
	other := a.make(t, "other", `CREATE TABLE o(a)`)
	beside, err := export.Run(t.Context(), source.D1(a.client, other, "other"), a.bucket, req)
	if err != nil || beside.Key != strings.Replace(first.Key, "/db.sql", "/db.1.sql", 1) || len(beside.Findings) != 1 || beside.Findings[0].Code != "key-taken" {
		t.Errorf("beside another's: %+v, %v", beside, err)
	}
	if got := objecttest.Get(t, a.bucket, first.Key, 0, -1); int64(len(got)) != first.Size {
		t.Error("the first object was changed")
	}
}

// TestGzip: a compressed copy is one gzip file to anybody, holds the same dump,
// and gives each table by one range.
func TestGzip(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	id := a.manyRows(t)
	plain, err := a.export(t, id, "db")
	if err != nil {
		t.Fatal(err)
	}
	for _, way := range []func(*export.Request){func(*export.Request) {}, paged(700)} {
		m, err := a.export(t, id, "db", way, func(r *export.Request) { r.Compress, r.Key.Gzip = backup.Gzip, true })
		if err != nil {
			t.Fatal(err)
		}
		stored := objecttest.Get(t, a.bucket, m.Key, 0, -1)
		sum := sha256.Sum256(stored)
		if m.Compression != backup.Gzip || !strings.HasSuffix(m.Key, ".sql.gz") || m.SHA256 != hex.EncodeToString(sum[:]) || m.Size != int64(len(stored)) || m.Size >= m.SQLSize/3 {
			t.Errorf("%+v", m)
		}
		z, err := gzip.NewReader(bytes.NewReader(stored))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		_, c, err := dump.Verify(bytes.NewReader(text))
		if err != nil || c.BodySHA256 != plain.BodySHA256 || c.SHA256 != m.SQLSHA256 {
			t.Errorf("the dump within: %v", err)
		}
		for _, s := range m.Sections {
			z, err := gzip.NewReader(bytes.NewReader(objecttest.Get(t, a.bucket, m.Key, s.StoredOffset, s.StoredLength)))
			if err != nil {
				t.Fatalf("section %s: %v", s.Name, err)
			}
			part, err := io.ReadAll(z)
			if err != nil || !bytes.Equal(part, text[s.Offset:s.Offset+s.Length]) {
				t.Errorf("section %s by range: %v", s.Name, err)
			}
			sum := sha256.Sum256(part)
			if s.SHA256 != hex.EncodeToString(sum[:]) {
				t.Errorf("section %s has another hash", s.Name)
			}
		}
	}
}

// TestSections: a table can be read out of a stored dump by one range.
func TestSections(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	id := a.manyRows(t)
	m, err := a.export(t, id, "db")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range m.Sections {
		part := string(objecttest.Get(t, a.bucket, m.Key, s.Offset, s.Length))
		if !strings.HasPrefix(part, "-- table: "+s.Name+"\n") || strings.Count(part, "\nINSERT INTO ") != 3000 || s.Rows != 3000 {
			t.Errorf("section %s: %d rows, %.60q", s.Name, s.Rows, part)
		}
	}
}

func TestRefusedFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{"text": "hello", "cut": "SQLite f"} {
		if err := os.WriteFile(dir+"/"+name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := source.OpenFile(t.Context(), dir+"/"+name); !errors.Is(err, backup.ErrInvalid) && name != "cut" || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := source.OpenFile(t.Context(), dir+"/missing"); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("missing: %v", err)
	}
	if _, err := source.OpenFile(t.Context(), dir); !errors.Is(err, backup.ErrInvalid) {
		t.Errorf("a folder: %v", err)
	}
}

// TestFindingOfContentless is told in the manifest that lies in the bucket.
func TestFindingOfContentless(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	for _, trap := range exporttest.Traps() {
		if trap.Name != "fts5-contentless" {
			continue
		}
		id := a.make(t, "db", trap.Statements...)
		m, err := a.export(t, id, "db")
		if err != nil {
			t.Fatal(err)
		}
		kept, err := export.ReadManifest(t.Context(), a.bucket, m.Key)
		if err != nil || len(kept.Findings) != 1 || !kept.Findings[0].Serious || kept.Findings[0].Object != "lost" {
			t.Errorf("%+v, %v", kept.Findings, err)
		}
	}
}
