package main

import (
	"database/sql"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/dump"
)

const sampleSchema = `
	CREATE TABLE author(id INTEGER PRIMARY KEY, name TEXT NOT NULL);
	CREATE TABLE post(author REFERENCES author, body, weight);
	CREATE INDEX post_author ON post(author);
	CREATE TRIGGER touch AFTER INSERT ON post BEGIN UPDATE author SET name = name WHERE id = new.author; END;`

const sampleRows = `
	INSERT INTO author VALUES(1, 'Ada; COMMIT;'), (9007199254740993, 'it''s');
	INSERT INTO post(rowid, author, body, weight) VALUES(-5, 1, x'00ff', 1.0), (7, 1, 'two
lines', 1e300), (8, 9007199254740993, NULL, -0.5);`

// contents gives every value of the sample with its type, in order of rowid.
func contents(t *testing.T, db *sql.DB) string {
	t.Helper()
	var all string
	err := db.QueryRow(`SELECT group_concat(v, char(10)) FROM (
		SELECT 'author ' || id || ' ' || typeof(name) || ' ' || quote(name) AS v FROM author UNION ALL
		SELECT 'post ' || rowid || ' ' || author || ' ' || typeof(body) || ' ' || quote(body) || ' ' || typeof(weight) || ' ' || quote(weight) FROM post UNION ALL
		SELECT 'schema ' || type || ' ' || sql FROM sqlite_schema ORDER BY 1)`).Scan(&all)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func openSQLite(t *testing.T, name string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func sampleFile(t *testing.T) (string, string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "sample.sqlite")
	db := openSQLite(t, name)
	if _, err := db.Exec(sampleSchema + sampleRows); err != nil {
		t.Fatal(err)
	}
	return name, contents(t, db)
}

// loaded runs a dump in an empty database and gives its contents.
func loaded(t *testing.T, text string) string {
	t.Helper()
	db := openSQLite(t, filepath.Join(t.TempDir(), "copy.sqlite"))
	if _, err := db.Exec(text); err != nil {
		t.Fatal(err)
	}
	return contents(t, db)
}

func TestExportFile(t *testing.T) {
	t.Parallel()
	name, want := sampleFile(t)
	a := patina(t, env{}, "export", name).want(t, exitDone)
	if _, _, err := dump.Verify(strings.NewReader(a.out)); err != nil {
		t.Errorf("stdout holds no whole dump: %v", err)
	}
	if got := loaded(t, a.out); got != want {
		t.Errorf("loaded again:\n%s\nwant:\n%s", got, want)
	}
	has(t, a.err, "2 tables, 5 rows", "snapshot", "sha256")

	out := filepath.Join(t.TempDir(), "out.sql")
	a = patina(t, env{}, "export", name, "-o", out, "--json").want(t, exitDone)
	var m backup.Manifest
	decode(t, a.out, &m)
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(text)) != m.Size || m.Rows != 5 || m.TableCount != 2 || loaded(t, string(text)) != want {
		t.Errorf("the file does not fit its manifest: %d bytes, %+v", len(text), m)
	}

	patina(t, env{}, "export", name, "-o", out).want(t, exitError)
	if again, _ := os.ReadFile(out); string(again) != string(text) {
		t.Error("a file that existed was changed without --force")
	}
	patina(t, env{}, "export", name, "-o", out, "--force").want(t, exitDone)
	left, err := os.ReadDir(filepath.Dir(out))
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestExportForD1(t *testing.T) {
	t.Parallel()
	name, want := sampleFile(t)
	a := patina(t, env{}, "export", name, "--for", "d1").want(t, exitDone)
	for line := range strings.Lines(a.out) {
		if strings.HasPrefix(line, "BEGIN") || strings.HasPrefix(line, "COMMIT") {
			t.Errorf("D1 refuses this line: %q", line)
		}
	}
	if got := loaded(t, a.out); got != want {
		t.Errorf("loaded again:\n%s\nwant:\n%s", got, want)
	}
}

func TestExportOfNoDatabaseLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.sqlite")
	write(t, bad, strings.Repeat("this is no database ", 500))
	a := patina(t, env{}, "export", bad, "-o", filepath.Join(dir, "out.sql"))
	if a.code == exitDone || a.out != "" {
		t.Errorf("code %d, stdout %q", a.code, a.out)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestExportFromTheAccount(t *testing.T) {
	t.Parallel()
	sim, err := d1sim.New(d1sim.Config{Dir: t.TempDir(), AccountID: "acc", Token: "token"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim.Handler())
	t.Cleanup(func() { srv.Close(); _ = sim.Close() })
	id, err := sim.Create("grove")
	if err != nil {
		t.Fatal(err)
	}
	if err := sim.Exec(id, sampleSchema+sampleRows); err != nil {
		t.Fatal(err)
	}
	e := env{"CLOUDFLARE_ACCOUNT_ID": "acc", "CLOUDFLARE_API_TOKEN": "token", "CLOUDFLARE_BASE_URL": srv.URL}
	for _, what := range []string{"grove", strings.ToUpper(id)} {
		a := patina(t, e, "export", what).want(t, exitDone)
		has(t, a.out, "-- database: grove ("+id+")")
		if got, want := loaded(t, a.out), contents(t, sim.DB(id)); got != want {
			t.Errorf("loaded again:\n%s\nwant:\n%s", got, want)
		}
	}
	a := patina(t, e, "export", "orchard").want(t, exitError)
	has(t, a.err, "no database called orchard", "databases sync")
	e["CLOUDFLARE_API_TOKEN"] = canary
	if a := patina(t, e, "export", "grove").want(t, exitError); strings.Contains(a.err, canary) {
		t.Errorf("the refused token shows:\n%s", a.err)
	}
}
