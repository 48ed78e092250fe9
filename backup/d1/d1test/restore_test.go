package d1test_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/d1/d1test"
	"github.com/AutumnsGrove/Patina/backup/export/exporttest"
	"github.com/AutumnsGrove/Patina/backup/restore"
)

// restored restores a dump into the engine, and gives the database's id.
func restored(t *testing.T, e account, m *backup.Manifest, text []byte, r backup.Restore, safety []byte) (string, error) {
	t.Helper()
	r.CreatedAt = time.Now()
	cfg := restore.Config{D1: e.Client, Safety: func(context.Context, string, string) (*backup.Manifest, error) {
		return &backup.Manifest{CopyID: string(safety)}, nil
	}}
	err := restore.Run(t.Context(), cfg, restore.Copy{Manifest: m, Open: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(text)), nil
	}}, &r)
	if r.Target == backup.RestoreNew && r.TargetID != "" {
		t.Cleanup(func() {
			if err := e.Delete(context.WithoutCancel(t.Context()), r.TargetID); err != nil {
				t.Error(err)
			}
		})
	}
	return r.TargetID, err
}

// TestRestoreTraps: every trap goes from the engine into a dump and by
// patina's own restore into the engine again, into a new database and over one
// that holds something else, in one transaction and in pieces. What D1 cannot
// hold again is refused before anything is made, by what was found at the export.
func TestRestoreTraps(t *testing.T) {
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
			id := engine.create(t, "restore "+trap.Name)
			engine.exec(t, id, trap.Statements...)
			m, text := engine.copyOf(t, id, folder(t), whole)
			prepare(t, engine, id, trap)
			for _, prefix := range []string{"", d1test.Pieces} {
				over := engine.create(t, prefix+"over "+trap.Name)
				engine.exec(t, over,
					`CREATE TABLE old(id INTEGER PRIMARY KEY, v REFERENCES old(id) ON DELETE CASCADE)`, `INSERT INTO old VALUES(1, NULL), (2, 1)`,
					`CREATE TABLE younger(o REFERENCES old(id) ON DELETE RESTRICT)`, `INSERT INTO younger VALUES(2)`, `CREATE INDEX younger_o ON younger(o)`,
					`CREATE VIEW both AS SELECT * FROM old, younger`, `CREATE VIRTUAL TABLE words USING fts5(x)`, `INSERT INTO words VALUES('a b')`)
				for _, r := range []backup.Restore{
					{Target: backup.RestoreNew, Name: prefix + "new " + trap.Name},
					{Target: backup.RestoreInPlace, Name: prefix + "over " + trap.Name, Confirm: prefix + "over " + trap.Name},
				} {
					before, _ := engine.copyOf(t, over, folder(t), whole)
					got, err := restored(t, engine, m, text, r, nil)
					word := ""
					switch {
					case trap.Import != "":
						word = "nothing was changed"
					case prefix == d1test.Pieces && trap.InPieces != "" && r.Target == backup.RestoreNew:
						word = "nothing else was touched"
					case prefix == d1test.Pieces && trap.InPieces != "":
						word = "was taken back to what it held before"
					}
					if word != "" {
						if !errors.Is(err, backup.ErrInvalid) || !strings.Contains(err.Error(), word) {
							t.Errorf("%s: %v", r.Name, err)
						}
						if after, _ := engine.copyOf(t, over, folder(t), whole); after.BodySHA256 != before.BodySHA256 {
							t.Errorf("%s: a refused restore changed the database", r.Name)
						}
						continue
					}
					if err != nil {
						t.Errorf("%s: %v", r.Name, err)
						continue
					}
					prepare(t, engine, got, trap)
					exporttest.Equal(t, askD1(engine.Client, id), askD1(engine.Client, got), trap.Queries...)
				}
			}
		})
	}
}

// TestRestoreGrove: the demo's databases come into the engine, and from there
// into it again, with the same body.
func TestRestoreGrove(t *testing.T) {
	t.Parallel()
	e := d1test.Start(t)
	engine := account{Client: e.Client(t), url: e.URL()}
	sim, err := d1sim.New(d1sim.Config{Dir: t.TempDir(), AccountID: d1test.AccountID, Token: d1test.Token})
	if err != nil {
		t.Fatal(err)
	}
	if err := d1sim.Grove(t.Context(), sim); err != nil {
		t.Fatal(err)
	}
	grove := serve(t, sim)
	for _, db := range sim.Databases() {
		t.Run(db.Name, func(t *testing.T) {
			t.Parallel()
			m, text := grove.copyOf(t, db.ID, folder(t), whole)
			first, err := restored(t, engine, m, text, backup.Restore{Target: backup.RestoreNew, Name: "grove " + db.Name}, nil)
			if err != nil {
				t.Fatal(err)
			}
			again, text := engine.copyOf(t, first, folder(t), whole)
			if again.BodySHA256 != m.BodySHA256 {
				t.Error("the engine gives another body")
			}
			second, err := restored(t, engine, again, text, backup.Restore{Target: backup.RestoreNew, Name: d1test.Pieces + db.Name}, nil)
			if err != nil {
				t.Fatal(err)
			}
			exporttest.Equal(t, askD1(engine.Client, first), askD1(engine.Client, second))
		})
	}
}
