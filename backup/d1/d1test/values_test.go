package d1test_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup/d1/d1test"
	"github.com/AutumnsGrove/Patina/backup/export/exporttest"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// TestValuesAddUpTheSame compares by value what the engine holds with a SQLite
// file into which its dump was loaded, as a restored copy is compared.
func TestValuesAddUpTheSame(t *testing.T) {
	t.Parallel()
	e := d1test.Start(t)
	engine := account{Client: e.Client(t), url: e.URL()}
	for _, trap := range exporttest.Traps() {
		if refused[trap.Name] != "" {
			continue
		}
		t.Run(trap.Name, func(t *testing.T) {
			t.Parallel()
			if statements, ok := asD1[trap.Name]; ok {
				trap.Statements = statements
			}
			id := engine.create(t, "values of "+trap.Name)
			engine.exec(t, id, trap.Statements...)
			if trap.Name == "without-rowid" { // the text that the two SQLites take for different things; see sameFromSimulated
				engine.exec(t, id, `DELETE FROM w WHERE c = 's'`)
			}
			_, text := engine.copyOf(t, id, folder(t), whole)
			here, err := source.Summarise(t.Context(), source.D1(engine.Client, id, "db"), nil)
			if err != nil {
				t.Fatal(err)
			}
			if !here.Whole || !here.IsAt(here.Before) {
				t.Errorf("one transaction %v, bookmarks %q and %q", here.Whole, here.Before, here.After)
			}
			file := loaded(t, text)
			there, err := source.Summarise(t.Context(), file, nil)
			if err != nil {
				t.Fatal(err)
			}
			here.Of, there.Of = "the engine", "the copy"
			if d := here.Differences(there); len(d) > 0 {
				t.Error(strings.Join(d, "\n"))
			}
			if len(here.Tables) == 0 {
				return
			}
			engine.exec(t, id, `CREATE TABLE "one more"(a)`)
			if after, err := source.Summarise(t.Context(), source.D1(engine.Client, id, "db"), nil); err != nil || len(after.Differences(there)) != 1 {
				t.Errorf("a table more: %v, %q", err, after.Differences(there))
			}
		})
	}
}

// loaded runs a dump in a new SQLite file and opens that.
func loaded(t *testing.T, text []byte) source.Source {
	t.Helper()
	path := filepath.Join(t.TempDir(), "copy.sqlite")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=synchronous(off)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(string(text)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := source.OpenFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}
