package prove_test

import (
	"bytes"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/prove"
)

// TestNumberBeforeNUL: such text is proven, and a database that is kept holds it
// as the copy does, its triggers unfired.
func TestNumberBeforeNUL(t *testing.T) {
	t.Parallel()
	text, m := dumpOf(t, `CREATE TABLE "a ""t"(id INTEGER PRIMARY KEY, x TEXT, "y z", g AS (x || 'g'))`, `CREATE TABLE log(n)`,
		`INSERT INTO "a ""t" VALUES(1, CAST(X'313200' AS TEXT), CAST(X'2D312E350041' AS TEXT)), (2, 'plain', CAST(X'0031' AS TEXT))`,
		`CREATE TRIGGER "on ""it" AFTER UPDATE ON "a ""t" BEGIN INSERT INTO log VALUES(new.id); END`, `CREATE INDEX i ON "a ""t"(x)`)
	if !bytes.Contains(text, []byte("CAST(X'313200' AS TEXT)")) {
		t.Fatalf("the text is not there:\n%s", text)
	}
	dir := t.TempDir()
	kept := filepath.Join(dir, "kept.sqlite")
	if _, err := prove.Dump(t.Context(), bytes.NewReader(text), backup.Plain, m, prove.Options{Scratch: dir, Keep: kept}); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+kept)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var values string
	var logged, triggers int
	err = db.QueryRow(`SELECT group_concat(hex(x) || ' ' || hex("y z") || ' ' || hex(CAST(g AS BLOB)), ';'), (SELECT count(*) FROM log), (SELECT count(*) FROM sqlite_schema WHERE type = 'trigger') FROM "a ""t"`).Scan(&values, &logged, &triggers)
	if err != nil || values != "313200 2D312E350041 31320067;706C61696E 0031 706C61696E67" || logged != 0 || triggers != 1 {
		t.Errorf("%q, %d rows in the log, %d triggers, %v", values, logged, triggers, err)
	}
	// And it is what the copy is.
	again, _ := dumpFile(t, kept)
	if _, a, _ := bytes.Cut(again, []byte("\nPRAGMA")); !bytes.Contains(text, a[:bytes.Index(a, []byte("\n-- tables"))]) {
		t.Errorf("a dump of it is\n%s", again)
	}
}
