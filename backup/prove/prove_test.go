package prove_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/export/exporttest"
	"github.com/AutumnsGrove/Patina/backup/prove"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// dumpOf makes a database from statements and dumps it.
func dumpOf(t testing.TB, statements ...string) ([]byte, *backup.Manifest) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db.sqlite")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=synchronous(off)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	for _, s := range append([]string{"VACUUM"}, statements...) {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%.100s: %v", s, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return dumpFile(t, path)
}

// dumpFile dumps a SQLite file.
func dumpFile(t testing.TB, path string) ([]byte, *backup.Manifest) {
	t.Helper()
	src, err := source.OpenFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	f, err := os.Create(path + ".sql")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := export.ToFile(t.Context(), src, f, export.Request{Clock: func() time.Time { return time.Unix(1_800_000_000, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path + ".sql")
	if err != nil {
		t.Fatal(err)
	}
	return text, m
}

func proof(t testing.TB, text []byte, m *backup.Manifest) (*prove.Proof, error) {
	t.Helper()
	return prove.Dump(t.Context(), bytes.NewReader(text), backup.Plain, m, prove.Options{Scratch: t.TempDir()})
}

func TestTrapsAreProven(t *testing.T) {
	t.Parallel()
	for _, trap := range exporttest.Traps() {
		t.Run(trap.Name, func(t *testing.T) {
			t.Parallel()
			text, m := dumpOf(t, trap.Statements...)
			p, err := proof(t, text, m)
			if err != nil {
				t.Fatal(err)
			}
			if p.Origin != prove.FromManifest || p.Contents.Rows != m.Rows || p.SHA256 != m.SHA256 {
				t.Errorf("%+v", p)
			}
			if orphans := trap.Name == "orphans"; orphans != (p.ForeignKeys > 0) {
				t.Errorf("%d orphans", p.ForeignKeys)
			}
			if p, err = proof(t, text, nil); err != nil || p.Origin != prove.SelfConsistent {
				t.Errorf("without its manifest: %v", err)
			}
		})
	}
}

var sample = []string{
	`CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT, score REAL)`, `CREATE TABLE posts(id INTEGER PRIMARY KEY, author INTEGER REFERENCES users(id), body)`,
	`INSERT INTO users VALUES(1, 'ada', 1.5), (2, 'grace', 2.5), (3, 'it''s', 3.5)`, `INSERT INTO posts VALUES(1, 1, 'one'), (2, 2, X'00ff'), (3, 3, NULL)`,
	`CREATE INDEX posts_author ON posts(author)`,
}

// suspect checks that a proof fails because of the copy, with a reason.
func suspect(t *testing.T, what string, text []byte, m *backup.Manifest, says string) {
	t.Helper()
	_, err := proof(t, text, m)
	if !errors.Is(err, backup.ErrCorrupt) || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: got %v, want a word of %q", what, err, says)
	}
}

func TestDamageIsFound(t *testing.T) {
	t.Parallel()
	text, m := dumpOf(t, sample...)
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 400 {
		spoilt := bytes.Clone(text)
		spoilt[rnd.IntN(len(text))] ^= 1 << rnd.IntN(8)
		suspect(t, "a flipped bit", spoilt, nil, "")
	}
	for range 200 {
		suspect(t, "cut", text[:rnd.IntN(len(text))], nil, "")
	}
	lines := strings.SplitAfter(string(text), "\n")
	var rows []int
	for i, l := range lines {
		if strings.HasPrefix(l, `INSERT INTO "users"`) {
			rows = append(rows, i)
		}
	}
	lines[rows[0]], lines[rows[1]] = lines[rows[1]], lines[rows[0]]
	suspect(t, "rows swapped", []byte(strings.Join(lines, "")), nil, "")
	lines[rows[0]] = ""
	fixed := strings.ReplaceAll(strings.Join(lines, ""), "rows: 6", "rows: 5")
	suspect(t, "a row removed and the counts fixed", []byte(fixed), nil, "")
	suspect(t, "trailing data", append(bytes.Clone(text), "-- more\n"...), nil, "")
	suspect(t, "twice", append(bytes.Clone(text), text...), nil, "")
	suspect(t, "nothing", nil, nil, "not a dump")
	if _, err := proof(t, text, m); err != nil {
		t.Errorf("the sample itself: %v", err)
	}
}

// TestAnotherDumpInItsPlace: a valid dump of something else is not this copy.
func TestAnotherDumpInItsPlace(t *testing.T) {
	t.Parallel()
	_, m := dumpOf(t, sample...)
	other, om := dumpOf(t, append(sample, `UPDATE users SET name = 'eve' WHERE id = 1`)...)
	suspect(t, "an older one", other, m, "the manifest says")
	om.DatabaseID = "6ae2b03c-40dd-499e-ab31-017f78989b60"
	suspect(t, "another database's", other, om, "not of")
}

// TestForeignKeys: missing parents fail a copy whose source had none missing.
func TestForeignKeys(t *testing.T) {
	t.Parallel()
	text, m := dumpOf(t, append(sample, `PRAGMA foreign_keys = OFF`, `INSERT INTO posts VALUES(9, 99, 'orphan')`)...)
	m.ForeignKeys = 0
	suspect(t, "orphans that the source did not have", text, m, "miss their parents")
	m.ForeignKeys = 1
	p, err := proof(t, text, m)
	if err != nil || p.ForeignKeys != 1 || len(p.Findings) != 1 || p.Findings[0].Code != "foreign-keys" {
		t.Errorf("orphans that it had: %+v, %v", p, err)
	}
	m.ForeignKeys = -1
	if p, err := proof(t, text, m); err != nil || len(p.Findings) != 1 || p.Findings[0].Code != "orphans" {
		t.Errorf("orphans of a source that was not asked: %+v, %v", p, err)
	}
}

// forge makes a dump with other statements in its body and all hashes right: only
// what runs it can refuse it.
func forge(t *testing.T, statements string) []byte {
	t.Helper()
	text, _ := dumpOf(t, sample...)
	forged, err := exporttest.Forge(text, statements)
	if err != nil {
		t.Fatal(err)
	}
	return forged
}

func TestHostileDumps(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "outside.db")
	for name, s := range map[string]string{
		"attach":           `ATTACH '` + outside + `' AS x;`,
		"vacuum into":      `VACUUM INTO '` + outside + `';`,
		"load_extension":   `SELECT load_extension('x');`,
		"writable_schema":  `PRAGMA writable_schema=ON;`,
		"in a value":       `INSERT INTO "users" VALUES(9,load_extension('x'),1.0);`,
		"in a subquery":    `INSERT INTO "users" VALUES(9,(SELECT writefile('` + outside + `','x')),1.0);`,
		"update":           `UPDATE users SET name='x';`,
		"delete":           `DELETE FROM "users";`,
		"schema table":     `INSERT INTO "sqlite_schema" VALUES('table','x','x',2,'');`,
		"temp trigger":     `CREATE TEMP TRIGGER x AFTER INSERT ON users BEGIN SELECT 1; END;`,
		"commit":           "COMMIT;",
		"two in one":       `CREATE VIEW v AS SELECT 1; ATTACH '` + outside + `' AS x;`,
		"a fifo of blobs":  `INSERT INTO "users" VALUES(9,zeroblob(1000000000),1.0);`,
		"create as select": `CREATE TABLE big AS SELECT zeroblob(1000000000);`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			suspect(t, name, forge(t, s+"\n"), nil, "")
		})
	}
	if _, err := os.Stat(outside); err == nil {
		t.Error("something was written outside")
	}
}

// zeros is an endless stream of one byte.
type zeros struct{ n int64 }

func (z *zeros) Read(b []byte) (int, error) {
	clear(b)
	z.n += int64(len(b))
	return len(b), nil
}

// TestBombs: what never ends, or is one statement of a gigabyte, is refused
// after a bounded read.
func TestBombs(t *testing.T) {
	t.Parallel()
	text, m := dumpOf(t, sample...)
	cut := bytes.Index(text, []byte("INSERT INTO"))
	for name, r := range map[string]io.Reader{
		"zeros":             nil,
		"after the header":  bytes.NewReader(text[:cut]),
		"a literal that is": strings.NewReader(string(text[:cut]) + `INSERT INTO "users" VALUES(1,'`),
	} {
		z := &zeros{}
		var in io.Reader = z
		if r != nil {
			in = io.MultiReader(r, z)
		}
		_, err := prove.Dump(t.Context(), in, backup.Plain, nil, prove.Options{Scratch: t.TempDir()})
		if !errors.Is(err, backup.ErrCorrupt) || z.n > 64<<20 {
			t.Errorf("%s: %v after %d bytes", name, err, z.n)
		}
	}
	z := &zeros{}
	if _, err := prove.Dump(t.Context(), io.MultiReader(bytes.NewReader(text), z), backup.Plain, m, prove.Options{Scratch: t.TempDir()}); !errors.Is(err, backup.ErrCorrupt) || z.n > 1<<20 {
		t.Errorf("behind the end: %v after %d bytes", err, z.n)
	}
}

func TestTimeEnds(t *testing.T) {
	t.Parallel()
	text, _ := dumpOf(t, sample...)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := fmt.Errorf("stopped")
	cancel(stop)
	if _, err := prove.Dump(ctx, bytes.NewReader(text), backup.Plain, nil, prove.Options{Scratch: t.TempDir()}); !errors.Is(err, stop) || errors.Is(err, backup.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

// TestBucketsFault: an error of the bucket's is no fault of the copy's.
func TestBucketsFault(t *testing.T) {
	t.Parallel()
	text, m := dumpOf(t, sample...)
	broken := backup.Errorf(backup.ErrUnavailable, "connection reset")
	r := io.MultiReader(bytes.NewReader(text[:len(text)/2]), failing{broken})
	_, err := prove.Dump(t.Context(), r, backup.Plain, m, prove.Options{Scratch: t.TempDir()})
	if !errors.Is(err, backup.ErrUnavailable) || errors.Is(err, backup.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
