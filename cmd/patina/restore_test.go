package main

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
)

// restorable is an account with the database grove, and a dump of it taken
// before it was spoiled.
func restorable(t *testing.T) (e env, sim *d1sim.Account, id, dump, was string) {
	t.Helper()
	sim, err := d1sim.New(d1sim.Config{Dir: t.TempDir(), AccountID: "acc", Token: "token"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim.Handler())
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close(); _ = sim.Close() })
	if id, err = sim.Create("grove"); err != nil {
		t.Fatal(err)
	}
	if err := sim.Exec(id, sampleSchema+sampleRows); err != nil {
		t.Fatal(err)
	}
	was = contents(t, sim.DB(id))
	e = env{"CLOUDFLARE_ACCOUNT_ID": "acc", "CLOUDFLARE_API_TOKEN": "token", "CLOUDFLARE_BASE_URL": srv.URL}
	dump = filepath.Join(t.TempDir(), "grove.sql")
	patina(t, e, "export", "grove", "-o", dump).want(t, exitDone)
	if err := sim.Exec(id, "CREATE TABLE later(x); INSERT INTO later VALUES('gone with a restore in place')"); err != nil {
		t.Fatal(err)
	}
	return e, sim, id, dump, was
}

// TestRestoreFile needs no Postgres and no server.
func TestRestoreFile(t *testing.T) {
	t.Parallel()
	e, sim, id, dump, was := restorable(t)
	spoiled := contents(t, sim.DB(id))

	// Into a SQLite file, which needs no account either.
	into := filepath.Join(t.TempDir(), "grove.sqlite")
	a := patina(t, env{}, "restore", dump, "--into", into).want(t, exitDone)
	has(t, a.err, "byte for byte", into+" holds grove")
	if got := contents(t, openSQLite(t, into)); got != was {
		t.Errorf("the file holds:\n%s", got)
	}
	has(t, patina(t, env{}, "restore", dump, "--into", into).want(t, exitError).err, "exists and was left as it is")

	// Into a new database.
	has(t, patina(t, e, "restore", dump, "--to", "grove-2", "--dry-run").want(t, exitDone).err, "Into grove-2", "created")
	if len(sim.Databases()) != 1 {
		t.Error("a dry run made a database")
	}
	a = patina(t, e, "restore", dump, "--to", "grove-2").want(t, exitDone)
	has(t, a.err, "byte for byte", "Restored: grove-2", "database_id")
	if got := contents(t, sim.DB(sim.Databases()[1].ID)); got != was {
		t.Errorf("the new database holds:\n%s", got)
	}
	has(t, patina(t, e, "restore", dump, "--to", "grove-2").want(t, exitError).err, "already", "was left as it is")

	// In place: only with the name, and with a way back.
	patina(t, e, "restore", dump, "--in-place", "grove").want(t, exitUsage)
	has(t, patina(t, e, "restore", dump, "--in-place", "grove", "--confirm", "Grove").want(t, exitError).err, "must be confirmed", "nothing was changed")
	if contents(t, sim.DB(id)) != spoiled {
		t.Fatal("a refused restore changed the database")
	}
}

func TestRestoreFileInPlace(t *testing.T) {
	e, sim, id, dump, was := restorable(t)
	spoiled := contents(t, sim.DB(id))
	dir := t.TempDir()
	t.Chdir(dir) // the safety copy lands here
	has(t, patina(t, e, "restore", dump, "--in-place", "grove", "--dry-run").want(t, exitDone).err, "replaced", "lost", "later", "safety copy")
	var r restoreAnswer
	decode(t, patina(t, e, "restore", dump, "--in-place", "grove", "--confirm", "grove", "--json").want(t, exitDone).out, &r)
	if !r.OK || r.BookmarkBefore == "" || r.SafetyCopy == "" || contents(t, sim.DB(id)) != was {
		t.Errorf("%+v", r)
	}
	safety, err := os.ReadFile(r.SafetyCopy)
	if err != nil || !strings.Contains(string(safety), "gone with a restore in place") {
		t.Errorf("the safety copy: %v", err)
	}
	a := patina(t, e, "restore", "--bookmark", r.BookmarkBefore, "--in-place", "grove", "--confirm", "grove").want(t, exitDone)
	if contents(t, sim.DB(id)) != spoiled {
		t.Errorf("the way back leads elsewhere:\n%s", a.err)
	}
	// One table, beside the old one.
	patina(t, e, "restore", dump, "--in-place", "grove", "--confirm", "grove", "--table", "nothing").want(t, exitError)
	a = patina(t, e, "restore", dump, "--in-place", "grove", "--confirm", "grove", "--table", "author").want(t, exitDone)
	has(t, a.err, "author_restored_", "add up")
}

func TestRestoreUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"restore"},
		{"restore", "x.sql"},
		{"restore", "--to", "y"},
		{"restore", "x.sql", "--to", "y", "--into", "z"},
		{"restore", "x.sql", "--bookmark", "b", "--in-place", "y"},
		{"restore", "--bookmark", "b", "--to", "y"},
		{"restore", "x.sql", "--into", "z", "--dry-run"},
	} {
		patina(t, env{}, args...).want(t, exitUsage)
	}
	has(t, patina(t, env{}, "restore", "nowhere.sql", "--into", "z").want(t, exitError).err, "no file nowhere.sql")
}

// TestRestoreDamagedFile refuses what does not prove, and leaves nothing.
func TestRestoreDamagedFile(t *testing.T) {
	t.Parallel()
	e, sim, _, dump, _ := restorable(t)
	text, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(dump, text, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	patina(t, env{}, "restore", dump, "--into", filepath.Join(dir, "x.sqlite")).want(t, exitCorrupt)
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	patina(t, e, "restore", dump, "--to", "grove-2").want(t, exitCorrupt)
	if len(sim.Databases()) != 1 {
		t.Error("a database was made for a damaged dump")
	}
}
