package restore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/export/exporttest"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/prove"
	"github.com/AutumnsGrove/Patina/backup/restore"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// place is a simulated account and a bucket with copies of its databases.
type place struct {
	*d1sim.Account
	client *d1.Client
	bucket object.Bucket
	n      atomic.Int64
}

func newPlace(t testing.TB, pieces bool) *place {
	t.Helper()
	sim, err := d1sim.New(d1sim.Config{Dir: t.TempDir(), AccountID: "acc", Token: "tok", ImportPieces: pieces})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim.Handler())
	p := &place{Account: sim}
	p.client, err = d1.New(d1.Config{AccountID: "acc", Token: "tok", BaseURL: srv.URL, Limiter: d1.NewLocalLimiter(1e6, 1e6), Pause: func(context.Context, time.Duration) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	if p.bucket, err = object.OpenFolder(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		_ = sim.Close()
	})
	return p
}

func (p *place) make(t testing.TB, name string, statements ...string) string {
	t.Helper()
	id, err := p.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	p.run(t, id, statements...)
	return id
}

func (p *place) run(t testing.TB, id string, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if err := p.Exec(id, s); err != nil {
			t.Fatalf("%.200s: %v", s, err)
		}
	}
}

// copyOf makes a copy of a database.
func (p *place) copyOf(ctx context.Context, kind backup.CopyKind, id, name string) (*backup.Manifest, error) {
	at := time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC).Add(time.Duration(p.n.Add(1)) * time.Second)
	return export.Run(ctx, source.D1(p.client, id, name), p.bucket, export.Request{
		Key:    object.Key{Kind: kind, Date: backup.DateOf(at), At: at, JobID: "00000000-0000-7000-8000-000000000000", Slug: object.Slug(name, id, false)},
		CopyID: fmt.Sprintf("00000000-0000-7000-8000-%012d", p.n.Load()), Kind: kind, Trigger: backup.TriggerManual, Date: backup.DateOf(at),
	})
}

func (p *place) open(m *backup.Manifest) restore.Copy {
	return restore.Copy{Manifest: m, Open: func(ctx context.Context) (io.ReadCloser, error) {
		return p.bucket.Open(ctx, m.Key, 0, -1)
	}}
}

// config saves into saved, which then outlives a crash.
func (p *place) config(saved *backup.Restore) restore.Config {
	return restore.Config{
		D1: p.client,
		Save: func(_ context.Context, r *backup.Restore) error {
			*saved = *r
			saved.Tables = slices.Clone(r.Tables)
			return nil
		},
		Safety: func(ctx context.Context, id, name string) (*backup.Manifest, error) {
			return p.copyOf(ctx, backup.Safety, id, name)
		},
		Pause: func(context.Context, time.Duration) error { return nil },
	}
}

func (p *place) ask(id string) exporttest.Ask { return exporttest.AskSQL(p.DB(id)) }

// body is the hash of what a database holds now.
func (p *place) body(t testing.TB, id string) string {
	t.Helper()
	c, err := export.Contents(t.Context(), source.D1(p.client, id, "x"))
	if err != nil {
		t.Fatal(err)
	}
	return c.BodySHA256
}

func ok(t *testing.T, r backup.Restore, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("at %s: %v\n%s", r.Step, err, backup.Next(err))
	}
	if r.Outcome == "" || r.Next == "" || len(r.Checks) == 0 {
		t.Errorf("it ended without a word: %+v", r)
	}
	for _, c := range r.Checks {
		if !c.OK {
			t.Errorf("%s: %s", c.Name, c.Text)
		}
	}
}

// shop is a small database with everything that stands in the way of emptying
// one: cascades, a cycle, a table that references itself, an index over text,
// views, triggers, sequences.
var shop = []string{
	`CREATE TABLE people(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, boss INTEGER REFERENCES people(id) ON DELETE RESTRICT)`,
	`CREATE TABLE orders(id INTEGER PRIMARY KEY, who INTEGER NOT NULL REFERENCES people(id) ON DELETE CASCADE, note TEXT)`,
	`CREATE TABLE a(id INTEGER PRIMARY KEY, b INTEGER REFERENCES b(id))`,
	`CREATE TABLE b(id INTEGER PRIMARY KEY, a INTEGER REFERENCES a(id) ON DELETE SET NULL)`,
	`CREATE TABLE audit(t TEXT)`,
	`CREATE INDEX orders_who ON orders(who)`,
	`CREATE VIEW names AS SELECT name FROM people`,
	`CREATE TRIGGER names_insert INSTEAD OF INSERT ON names BEGIN INSERT INTO people(name) VALUES(new.name); END`,
	`CREATE VIRTUAL TABLE search USING fts5(note)`,
	`INSERT INTO people VALUES(1,'Ada',NULL),(2,'Bob',1),(7,'Cy',2)`,
	`INSERT INTO orders VALUES(1,1,'x'),(2,2,'y'),(3,7,NULL)`,
	`INSERT INTO a VALUES(1,NULL),(2,NULL)`, `INSERT INTO b VALUES(1,2),(2,1)`,
	`INSERT INTO search VALUES('hello world')`,
	`CREATE TRIGGER gone AFTER DELETE ON orders BEGIN INSERT INTO audit VALUES('order ' || old.id || ' deleted'); END`,
}

// damage is what happened to it since.
var damage = []string{
	`DELETE FROM orders WHERE id = 2`, `UPDATE people SET name = 'Eve' WHERE id = 1`, `INSERT INTO people(name) VALUES('new')`,
	`CREATE TABLE later(x PRIMARY KEY, p REFERENCES people(id))`, `INSERT INTO later VALUES('kept nowhere', 1)`, `DROP VIEW names`,
	`CREATE INDEX later_p ON later(p)`, `ANALYZE`,
}

func TestNew(t *testing.T) {
	t.Parallel()
	p := newPlace(t, false)
	id := p.make(t, "shop", shop...)
	m, err := p.copyOf(t.Context(), backup.Manual, id, "shop")
	if err != nil {
		t.Fatal(err)
	}
	p.run(t, id, damage...)
	was := p.body(t, id)
	var saved backup.Restore
	r := backup.Restore{Target: backup.RestoreNew, Name: "shop-2", CreatedAt: time.Now()}
	ok(t, r, restore.Run(t.Context(), p.config(&saved), p.open(m), &r))
	if p.body(t, r.TargetID) != m.BodySHA256 {
		t.Error("the new database is not what the copy is")
	}
	if p.body(t, id) != was {
		t.Error("the old database was touched")
	}
	if !strings.Contains(r.Next, r.TargetID) {
		t.Errorf("what to do next: %s", r.Next)
	}
	again := backup.Restore{Target: backup.RestoreNew, Name: "shop-2", CreatedAt: time.Now()}
	if err := restore.Run(t.Context(), p.config(&saved), p.open(m), &again); !errors.Is(err, backup.ErrConflict) {
		t.Errorf("a name that is taken: %v", err)
	}
}

func TestInPlaceAndBack(t *testing.T) {
	t.Parallel()
	for _, pieces := range []bool{false, true} {
		t.Run(fmt.Sprintf("pieces=%v", pieces), func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, pieces)
			id := p.make(t, "shop", shop...)
			m, err := p.copyOf(t.Context(), backup.Manual, id, "shop")
			if err != nil {
				t.Fatal(err)
			}
			p.run(t, id, append(damage, `UPDATE a SET b = 1`)...) // a cycle that only one transaction undoes
			was := p.body(t, id)
			var saved backup.Restore
			r := backup.Restore{Target: backup.RestoreInPlace, Name: "shop", Confirm: "shop", CreatedAt: time.Now()}
			ok(t, r, restore.Run(t.Context(), p.config(&saved), p.open(m), &r))
			if p.body(t, id) != m.BodySHA256 {
				t.Error("the database is not what the copy is")
			}
			if r.SafetyCopyID == "" || !strings.Contains(r.Next, r.SafetyCopyID) || !strings.Contains(r.Next, r.BookmarkBefore) {
				t.Errorf("no way back is named: %s", r.Next)
			}
			back := backup.Restore{Target: backup.RestoreBookmark, Name: "shop", Confirm: "shop", Bookmark: r.BookmarkBefore, CreatedAt: time.Now()}
			ok(t, back, restore.Run(t.Context(), p.config(&saved), restore.Copy{}, &back))
			if p.body(t, id) != was {
				t.Error("the way back leads elsewhere")
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	p := newPlace(t, false)
	id := p.make(t, "shop", shop...)
	m, err := p.copyOf(t.Context(), backup.Manual, id, "shop")
	if err != nil {
		t.Fatal(err)
	}
	orphans := p.make(t, "orphans", `PRAGMA foreign_keys=OFF`, `CREATE TABLE p(id INTEGER PRIMARY KEY)`, `CREATE TABLE c(p REFERENCES p)`, `INSERT INTO c VALUES(9)`)
	mo, err := p.copyOf(t.Context(), backup.Manual, orphans, "orphans")
	if err != nil {
		t.Fatal(err)
	}
	redacted := *m
	redacted.Redactions = []string{"people.name"}
	other := *m
	other.BodySHA256 = mo.BodySHA256
	was, requests := p.body(t, id), len(p.Databases())
	for name, c := range map[string]struct {
		m    *backup.Manifest
		r    backup.Restore
		kind error
		word string
	}{
		"not confirmed":  {m, backup.Restore{Target: backup.RestoreInPlace, Name: "shop", Confirm: "Shop"}, backup.ErrInvalid, "confirmed"},
		"not there":      {m, backup.Restore{Target: backup.RestoreInPlace, Name: "none", Confirm: "none"}, backup.ErrNotFound, "no database called none"},
		"redacted":       {&redacted, backup.Restore{Target: backup.RestoreInPlace, Name: "shop", Confirm: "shop"}, backup.ErrInvalid, "redacted"},
		"D1 refuses":     {mo, backup.Restore{Target: backup.RestoreNew, Name: "n1"}, backup.ErrInvalid, "importer"},
		"another dump":   {&other, backup.Restore{Target: backup.RestoreNew, Name: "n2"}, backup.ErrCorrupt, "manifest"},
		"no such table":  {m, backup.Restore{Target: backup.RestoreNew, Name: "n3", Tables: []string{"nothing"}}, backup.ErrInvalid, "nothing"},
		"no name":        {m, backup.Restore{Target: backup.RestoreNew}, backup.ErrInvalid, "name"},
		"no bookmark":    {m, backup.Restore{Target: backup.RestoreBookmark, Name: "shop", Confirm: "shop"}, backup.ErrInvalid, "bookmark"},
		"stale bookmark": {m, backup.Restore{Target: backup.RestoreBookmark, Name: "shop", Confirm: "shop", Bookmark: "0000-ffff"}, backup.ErrInvalid, "holds what it held"},
	} {
		var saved backup.Restore
		r := c.r
		r.CreatedAt = time.Now()
		err := restore.Run(t.Context(), p.config(&saved), p.open(c.m), &r)
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: %v", name, err)
		}
		if r.Outcome == "" {
			t.Errorf("%s: no outcome", name)
		}
	}
	if p.body(t, id) != was || len(p.Databases()) != requests {
		t.Error("a refused restore changed something")
	}
}

// failing names what a restore must come to after its import failed.
func TestImportFails(t *testing.T) {
	t.Parallel()
	for _, pieces := range []bool{false, true} {
		for _, target := range []backup.RestoreTarget{backup.RestoreNew, backup.RestoreInPlace} {
			t.Run(fmt.Sprintf("%s pieces=%v", target, pieces), func(t *testing.T) {
				t.Parallel()
				p := newPlace(t, pieces)
				id := p.make(t, "shop", shop...)
				// Rows that reference later rows of their own table: what D1's
				// importer refuses only when it runs.
				orphan := p.make(t, "orphan", `PRAGMA foreign_keys=OFF`, `CREATE TABLE z(id INTEGER PRIMARY KEY)`, `CREATE TABLE c(p REFERENCES z)`, `INSERT INTO c VALUES(9)`)
				m, err := p.copyOf(t.Context(), backup.Manual, orphan, "orphan")
				if err != nil {
					t.Fatal(err)
				}
				m.Findings = nil // nobody knew
				was := p.body(t, id)
				var saved backup.Restore
				r := backup.Restore{Target: target, Name: "fresh", CreatedAt: time.Now()}
				word := "nothing else was touched"
				if target == backup.RestoreInPlace {
					r.Name, r.Confirm, word = "shop", "shop", "was taken back to what it held before"
				}
				err = restore.Run(t.Context(), p.config(&saved), p.open(m), &r)
				if err == nil || !strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), r.TargetID) {
					t.Errorf("%v", err)
				}
				if p.body(t, id) != was {
					t.Error("the database that was there is not what it was")
				}
			})
		}
	}
}

func TestIntoFile(t *testing.T) {
	t.Parallel()
	p := newPlace(t, false)
	id := p.make(t, "shop", shop...)
	m, err := p.copyOf(t.Context(), backup.Manual, id, "shop")
	if err != nil {
		t.Fatal(err)
	}
	for _, tables := range [][]string{nil, {"people", "orders"}} {
		path := filepath.Join(t.TempDir(), "shop.sqlite")
		into := func() error {
			r, err := p.bucket.Open(t.Context(), m.Key, 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			_, err = restore.IntoFile(t.Context(), r, m.Compression, m, path, tables, prove.Options{})
			return err
		}
		if err := into(); err != nil {
			t.Fatal(err)
		}
		if err := into(); !errors.Is(err, backup.ErrConflict) {
			t.Errorf("over a file: %v", err)
		}
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if tables == nil {
			exporttest.Equal(t, p.ask(id), exporttest.AskSQL(db))
			continue
		}
		var names string
		if err := db.QueryRowContext(t.Context(), `SELECT group_concat(name) FROM (SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite%' ORDER BY name)`).Scan(&names); err != nil || names != "gone,orders,orders_who,people" {
			t.Errorf("the file holds %s: %v", names, err)
		}
		left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".patina*"))
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// TestSequencesStay: SQLite never drops sqlite_sequence, so that a database
// which had one keeps it, empty; that is no difference.
func TestSequencesStay(t *testing.T) {
	t.Parallel()
	p := newPlace(t, false)
	id := p.make(t, "db", `CREATE TABLE t(id INTEGER PRIMARY KEY, v)`, `INSERT INTO t VALUES(1, 'x')`)
	m, err := p.copyOf(t.Context(), backup.Manual, id, "db")
	if err != nil {
		t.Fatal(err)
	}
	p.run(t, id, `CREATE TABLE s(id INTEGER PRIMARY KEY AUTOINCREMENT)`, `INSERT INTO s VALUES(41)`)
	var saved backup.Restore
	r := backup.Restore{Target: backup.RestoreInPlace, Name: "db", Confirm: "db", CreatedAt: time.Now()}
	ok(t, r, restore.Run(t.Context(), p.config(&saved), p.open(m), &r))
	p.run(t, id, `CREATE TABLE s(id INTEGER PRIMARY KEY AUTOINCREMENT)`, `INSERT INTO s DEFAULT VALUES`)
	var n int
	if err := p.DB(id).QueryRowContext(t.Context(), `SELECT id FROM s`).Scan(&n); err != nil || n != 1 {
		t.Errorf("the old sequence goes on: %d, %v", n, err)
	}
}
