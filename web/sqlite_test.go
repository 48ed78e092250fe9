package web_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "modernc.org/sqlite"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/store"
)

// whole records a copy whose manifest says everything that it must.
func (b *bench) whole(d backup.Database, body []byte) backup.Copy {
	b.t.Helper()
	h, c, err := dump.Verify(bytes.NewReader(body))
	must(b.t, err)
	at, sum := time.Now().UTC().Truncate(time.Microsecond), sha256.Sum256(body)
	cp := backup.Copy{
		ID: uuid.Must(uuid.NewV7()).String(), DatabaseID: d.ID, DatabaseName: d.Name, Kind: backup.Manual, Date: backup.DateOf(at), TakenAt: at, CreatedAt: at,
		Key: "manual/" + backup.DateOf(at).String() + "/whole.sql", Size: int64(len(body)), SHA256: hex.EncodeToString(sum[:]), BodySHA256: c.BodySHA256,
		Tables: c.Tables, Rows: c.Rows, Consistency: backup.Snapshot, Compression: backup.Plain, Proof: backup.ProofPending,
	}
	cp.Manifest = &backup.Manifest{
		Format: 1, Kind: cp.Kind, DatabaseID: d.ID, DatabaseName: d.Name, JobID: h.JobID, Date: cp.Date, StartedAt: h.TakenAt, Key: cp.Key, SHA256: cp.SHA256, Size: cp.Size,
		SQLSize: c.Size, SQLSHA256: c.SHA256, BodySize: c.BodySize, BodySHA256: c.BodySHA256, Compression: backup.Plain, Consistency: backup.Snapshot, TableCount: c.Tables, Rows: c.Rows,
	}
	for _, s := range c.Sections {
		cp.Manifest.Sections = append(cp.Manifest.Sections, backup.Section{Name: s.Name, Kind: s.Kind, Offset: s.Offset, Length: s.Length, Rows: s.Rows, SHA256: s.SHA256})
	}
	must(b.t, b.bucket.Replace(b.t.Context(), cp.Key, body, "application/sql"))
	cp.ID, err = b.store.RecordCopy(b.t.Context(), cp)
	must(b.t, err)
	return cp
}

func TestDownloadSQLite(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, broken, body := b.database("groveauth")
	c := b.whole(d, body)
	p := b.program(b.token(store.Viewer, true))
	path := "/download/" + c.Date.String() + "/groveauth?backup=" + c.ID + "&for=sqlite"
	for _, more := range []string{"", "&table=users"} {
		res := p.get(path + more)
		if res.status != http.StatusOK || res.header.Get("Content-Type") != "application/vnd.sqlite3" {
			t.Fatalf("%d %.300s", res.status, res.body)
		}
		file := filepath.Join(t.TempDir(), "x.sqlite")
		must(t, os.WriteFile(file, []byte(res.body), 0o600))
		db, err := sql.Open("sqlite", file)
		must(t, err)
		var n int
		if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM users WHERE name = 'COMMIT; canary-cell-5e1f'`).Scan(&n); err != nil || n != 2000 {
			t.Errorf("%d rows, %v", n, err)
		}
		must(t, db.Close())
	}
	for url, want := range map[string]int{
		path + "&table=nothing": http.StatusNotFound, path + "&table=users&as=x": http.StatusBadRequest,
		// Its manifest says other hashes than the dump has.
		"/download/" + broken.Date.String() + "/groveauth?backup=" + broken.ID + "&for=sqlite": http.StatusInternalServerError,
	} {
		if res := p.get(url); res.status != want || res.header.Get("Content-Disposition") != "" {
			t.Errorf("%s: %d %v", url, res.status, res.header)
		}
	}
	if res := b.program(b.token(store.Viewer, false)).get(path); res.status != http.StatusForbidden {
		t.Errorf("without the download right: %d", res.status)
	}
}
