package export_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/export/exporttest"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// openSQLite opens a database file for the comparator, on one connection.
func openSQLite(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// makeTrap makes a trap's database in a file.
func makeTrap(t testing.TB, trap exporttest.Trap) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), trap.Name+".sqlite")
	db := openSQLite(t, path)
	if _, err := db.Exec("PRAGMA foreign_keys = ON; PRAGMA synchronous = OFF; VACUUM"); err != nil {
		t.Fatal(err)
	}
	for _, s := range trap.Statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("make %s: %.200s: %v", trap.Name, s, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// exportFile exports a SQLite file into a dump beside it.
func exportFile(t testing.TB, path string) (string, *backup.Manifest) {
	t.Helper()
	src, err := source.OpenFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	out := path + ".sql"
	f, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := export.ToFile(t.Context(), src, f, export.Request{Clock: fixed})
	if err != nil {
		t.Fatal(err)
	}
	return out, m
}

func fixed() time.Time { return time.Date(2026, 11, 23, 3, 0, 4, 0, time.UTC) }

// load runs a whole dump in a new SQLite database, as the sqlite3 shell would.
func load(t testing.TB, dumpFile string) (path string, db *sql.DB) {
	t.Helper()
	text, err := os.ReadFile(dumpFile)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "loaded.sqlite")
	db = openSQLite(t, path)
	assertVersion(t, db)
	if _, err := db.Exec("PRAGMA synchronous = OFF"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(string(text)); err != nil {
		t.Fatalf("load %s: %v\n%.2000s", dumpFile, err, text)
	}
	return path, db
}

// assertVersion: the dump promises to load into SQLite 3.44 and later.
func assertVersion(t testing.TB, db *sql.DB) {
	t.Helper()
	var ok bool
	var version string
	if err := db.QueryRow(`SELECT sqlite_version(), CAST(substr(sqlite_version(), 3) AS REAL) >= 44`).Scan(&version, &ok); err != nil || !ok {
		t.Fatalf("SQLite is of version %q, and 3.44 is needed (%v)", version, err)
	}
}

func codes(m *backup.Manifest) []string {
	var out []string
	for _, f := range m.Findings {
		out = append(out, f.Code)
	}
	return out
}

func TestTrapsFromFile(t *testing.T) {
	t.Parallel()
	for _, trap := range exporttest.Traps() {
		t.Run(trap.Name, func(t *testing.T) {
			t.Parallel()
			path := makeTrap(t, trap)
			dumpFile, m := exportFile(t, path)
			if m.Consistency != backup.Snapshot {
				t.Errorf("consistency is %q", m.Consistency)
			}
			if trap.Code == "" && len(m.Findings) > 0 || trap.Code != "" && !slices.Contains(codes(m), trap.Code) {
				t.Errorf("findings %v, want %q", codes(m), trap.Code)
			}
			loaded, db := load(t, dumpFile)
			_, again := exportFile(t, loaded)
			if again.BodySHA256 != m.BodySHA256 {
				t.Errorf("a dump of the loaded dump has the body hash %s, not %s", again.BodySHA256, m.BodySHA256)
			}
			if again.Rows != m.Rows || again.TableCount != m.TableCount {
				t.Errorf("%d tables and %d rows became %d and %d", m.TableCount, m.Rows, again.TableCount, again.Rows)
			}
			compare(t, trap, openSQLite(t, path), db)
		})
	}
}

// compare compares all but what the trap says must be lost.
func compare(t *testing.T, trap exporttest.Trap, source, copied *sql.DB) {
	t.Helper()
	if trap.Lost != "" {
		for _, db := range []*sql.DB{source, copied} {
			if _, err := db.Exec(`DROP TABLE "` + trap.Lost + `"`); err != nil {
				t.Fatal(err)
			}
		}
	}
	exporttest.Equal(t, exporttest.AskSQL(source), exporttest.AskSQL(copied), trap.Queries...)
}

// TestComparatorSees: a comparator that finds nothing proves nothing.
func TestComparatorSees(t *testing.T) {
	t.Parallel()
	const make = `CREATE TABLE t(a, b); CREATE INDEX i ON t(a); INSERT INTO t(rowid, a, b) VALUES(1, 1, 'x'), (5, 2.5, X'00')`
	for name, change := range map[string]string{
		"value":    `UPDATE t SET b = 'y' WHERE rowid = 1`,
		"type":     `UPDATE t SET a = 1.0 WHERE rowid = 1`,
		"blob":     `UPDATE t SET b = CAST('x' AS BLOB) WHERE rowid = 1`,
		"null":     `UPDATE t SET b = NULL WHERE rowid = 1`,
		"double":   `UPDATE t SET a = 2.5000000000000004 WHERE rowid = 5`,
		"rowid":    `UPDATE t SET rowid = 6 WHERE rowid = 5`,
		"row lost": `DELETE FROM t WHERE rowid = 5`,
		"index":    `DROP INDEX i`,
		"schema":   `DROP TABLE t; CREATE TABLE t(a, b ); CREATE INDEX i ON t(a); INSERT INTO t(rowid, a, b) VALUES(1, 1, 'x'), (5, 2.5, X'00')`,
		"NUL":      `UPDATE t SET b = CAST(X'7800' AS TEXT) WHERE rowid = 1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := openSQLite(t, filepath.Join(t.TempDir(), "a"))
			b := openSQLite(t, filepath.Join(t.TempDir(), "b"))
			for _, db := range []*sql.DB{a, b} {
				if _, err := db.Exec(make); err != nil {
					t.Fatal(err)
				}
			}
			if d := exporttest.Differences(context.Background(), exporttest.AskSQL(a), exporttest.AskSQL(b)); len(d) > 0 {
				t.Fatalf("equal databases differ: %v", d)
			}
			if _, err := b.Exec(change); err != nil {
				t.Fatal(err)
			}
			if len(exporttest.Differences(context.Background(), exporttest.AskSQL(a), exporttest.AskSQL(b))) == 0 {
				t.Error("the change was not seen")
			}
		})
	}
}
