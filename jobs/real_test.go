package jobs

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// overFiles makes a Runner export SQLite files, named after their databases,
// into a folder bucket.
func overFiles(files, dir string) func(*Config) {
	return func(c *Config) {
		c.Source = func(db backup.Database) source.Source { return sqliteFile{db, filepath.Join(files, db.Name+".db")} }
		var err error
		if c.Bucket, err = object.OpenFolder(dir); err != nil {
			panic(err)
		}
	}
}

// sqliteFile is a SQLite file that passes for a database of the account: a
// transaction a read.
type sqliteFile struct {
	db   backup.Database
	path string
}

func (f sqliteFile) Bookmark(context.Context) (string, error) { return "", nil }
func (f sqliteFile) Describe() source.Description {
	return source.Description{Name: f.db.Name, ID: f.db.ID, Exact: true}
}

func (f sqliteFile) Read(ctx context.Context, statements []string, h backup.RowHandler) (backup.ReadStats, error) {
	file, err := source.OpenFile(ctx, f.path)
	if err != nil {
		return backup.ReadStats{}, err
	}
	defer file.Close()
	return file.Read(ctx, statements, h)
}

// sqliteFiles makes a SQLite file a database, with 500 rows of so many bytes
// and a few, and gives their folder.
func (b *bench) sqliteFiles(names []string, rowBytes int) string {
	b.t.Helper()
	dir := b.t.TempDir()
	for i, name := range names {
		db, err := sql.Open("sqlite", filepath.Join(dir, name+".db"))
		if err != nil {
			b.t.Fatal(err)
		}
		_, err = db.Exec(`CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT);
			WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 500) INSERT INTO notes SELECT i, 'note ' || i || ? || hex(zeroblob(?)) FROM n`, fmt.Sprint(" of ", i), rowBytes/2)
		if err != nil {
			b.t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			b.t.Fatal(err)
		}
	}
	return dir
}

// wholeBucket checks that the bucket lists exactly a whole dump and its
// manifest for each of the catalogue's copies, and nothing else.
func (b *bench) wholeBucket(dir string, copies int) {
	b.t.Helper()
	bucket, err := object.OpenFolder(dir)
	if err != nil {
		b.t.Fatal(err)
	}
	objects := map[string]bool{}
	for info, err := range bucket.List(b.t.Context(), "") {
		if err != nil {
			b.t.Fatal(err)
		}
		if !strings.HasPrefix(info.Key, "meta/") {
			objects[info.Key] = true
		}
	}
	if len(objects) != 2*copies {
		b.t.Errorf("the bucket holds %v, want %d copies", objects, copies)
	}
	for key := range objects {
		if strings.HasSuffix(key, ".json") {
			continue
		}
		listed, err := b.store.CopyByKey(b.t.Context(), key)
		if err != nil {
			b.t.Error(err)
			continue
		}
		body, err := bucket.Open(b.t.Context(), key, 0, -1)
		if err != nil {
			b.t.Fatal(err)
		}
		hash := sha256.New()
		_, contents, err := dump.Verify(io.TeeReader(body, hash))
		_ = body.Close()
		if sum := hex.EncodeToString(hash.Sum(nil)); err != nil || sum != listed.SHA256 || contents.Size != listed.Size || contents.Rows != 500 || !objects[object.ManifestKey(key)] {
			b.t.Errorf("%s: %v, hash %s, %d bytes, %d rows; listed as %+v", key, err, sum, contents.Size, contents.Rows, listed)
		}
	}
}

// The same for true: SQLite files, the exporter and a folder bucket, killed
// before and after each named step. What comes next finds a whole object and
// takes it, or starts again; nothing partial is ever listed.
func TestKillTheRealExport(t *testing.T) {
	for _, step := range []string{"upload.create", "upload.part", "upload.complete", "manifest", "commit", "finish"} {
		for _, when := range []string{"before:", "after:"} {
			t.Run(when+step, func(t *testing.T) {
				b := newBench(t)
				b.real = true
				names := b.register(backup.Critical, backup.Normal)
				rowBytes := 10
				if step == "upload.part" {
					rowBytes = 20_000 // more than one part
				}
				files := b.sqliteFiles(names, rowBytes)
				id := b.slotJob()
				killed := b.child(childConfig{KillAt: when + step, SQLite: files})
				if sig := killed.dies(); sig != syscall.SIGKILL {
					t.Fatalf("the child ended by %v", sig)
				}
				restarted := time.Now()
				b.start(b.runner(nil, overFiles(files, b.out.dir), func(c *Config) { c.Version = "after" }))
				b.stored(id, 2)
				if took := time.Since(restarted); took > time.Minute {
					t.Errorf("it took %v to end", took)
				}
				b.wholeBucket(b.out.dir, 2)
			})
		}
	}
}
