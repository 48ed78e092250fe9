package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1/d1test"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/source"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

// shop is a database of everyday tables with values that are easily lost.
var shop = []string{
	`CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT NOT NULL, joined REAL)`,
	`CREATE TABLE orders(id INTEGER PRIMARY KEY AUTOINCREMENT, customer INTEGER NOT NULL REFERENCES customers ON DELETE CASCADE, total, receipt BLOB)`,
	`CREATE TABLE notes(text)`,
	`CREATE INDEX orders_customer ON orders(customer)`,
	`CREATE VIEW totals AS SELECT name, sum(total) AS total FROM customers JOIN orders ON customer = customers.id GROUP BY name`,
	`CREATE TRIGGER shout AFTER INSERT ON notes WHEN new.text = 'shout' BEGIN UPDATE notes SET text = 'SHOUT' WHERE rowid = new.rowid; END`,
	`INSERT INTO customers VALUES(1, 'Ada', 2459000.25), (2, 'O''Brien; DROP TABLE orders;--', -0.0), (9007199254740993, 'Żółć 🌿', 1e-300)`,
	`INSERT INTO orders(customer, total, receipt) VALUES(1, 9007199254740993, x'00ff'), (1, 1.0, NULL), (2, 'text', zeroblob(3)), (9007199254740993, NULL, x'')`,
	`INSERT INTO notes VALUES('a' || char(0) || 'b'), ('line' || char(10) || '\n'), ('BEGIN TRANSACTION; COMMIT;'), (char(13, 10)), (NULL)`,
	`DELETE FROM notes WHERE rowid = 2`,
}

// everything is what a database holds, value by value.
type everything struct{ text strings.Builder }

func (e *everything) Columns(stmt int, names []string) error {
	fmt.Fprintf(&e.text, "%d %v\n", stmt, names)
	return nil
}

func (e *everything) Row(_ int, cells []backup.Cell) error {
	for _, c := range cells {
		fmt.Fprintf(&e.text, "%d:%s|", c.Kind, c.Bytes)
	}
	e.text.WriteByte('\n')
	return nil
}

func contents(t *testing.T, engine *d1test.Engine, id string) string {
	t.Helper()
	var e everything
	_, err := engine.Client(t).Read(t.Context(), id, []string{
		`SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE '\_cf\_%' ESCAPE '\' ORDER BY type, name`,
		`SELECT id, quote(name), typeof(joined), quote(joined) FROM customers ORDER BY id`,
		`SELECT quote(id), quote(customer), typeof(total), quote(total), quote(receipt) FROM orders ORDER BY id`,
		`SELECT rowid, hex(text), typeof(text) FROM notes ORDER BY rowid`, `SELECT name, seq FROM sqlite_sequence`,
	}, &e)
	if err != nil {
		t.Fatal(err)
	}
	return e.text.String()
}

// patina runs a command of the rig's program against its installation.
func (r *rig) patina(args ...string) string {
	r.t.Helper()
	cmd := exec.Command(r.binary, args...)
	cmd.Env = r.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		r.t.Fatalf("patina %s: %v\n%s%s\n%s", strings.Join(args, " "), err, out.String(), errs.String(), tail(r.log.String()))
	}
	return out.String()
}

func (r *rig) answer(v any, args ...string) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.patina(args...)), v); err != nil {
		r.t.Fatal(err)
	}
}

// The program against real parts alone: D1's own engine (workerd) behind the
// API, R2 as miniflare has it behind its S3 face, and Postgres. It backs up,
// proves and archives; then a table is lost, and comes back as it was.
func TestRealParts(t *testing.T) {
	t.Parallel()
	binary, err := faultyBinary()
	if err != nil {
		t.Fatal(err)
	}
	engine := d1test.Start(t)
	id := engine.Create(t, "real-shop")
	engine.Exec(t, id, shop...)
	engine.Create(t, "real-empty")
	before := contents(t, engine, id)

	at, key := engine.Bucket()
	file := filepath.Join(t.TempDir(), "patina.toml")
	if err := os.WriteFile(file, []byte("[[database]]\nname = 'real-shop'\npriority = 'critical'\n[discovery]\ninclude = ['real-*']\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, binary: binary, database: storetest.EmptyURL(t), addr: freeAddr(t), log: &syncBuffer{}, flags: []string{"--config", file}}
	r.env = append(os.Environ(),
		"DATABASE_URL="+r.database, "PATINA_BUCKET="+at, "AWS_ACCESS_KEY_ID="+key.R2AccessKeyID, "AWS_SECRET_ACCESS_KEY="+key.R2SecretAccessKey,
		"PATINA_ADDR="+r.addr, "PATINA_PUBLIC_URL=http://"+r.addr, "PATINA_SECRET=q0Pk3cVb0m8yVd9iJmXo4u3y1Wf7sN2hTzRb6aLxGkE=", "PATINA_DATA="+t.TempDir(),
		"CLOUDFLARE_ACCOUNT_ID="+d1test.AccountID, "CLOUDFLARE_API_TOKEN="+d1test.Token, "CLOUDFLARE_BASE_URL="+engine.URL(), "PATINA_BOOTSTRAP_TOKEN="+rigToken)
	if r.bucket, err = object.Open(t.Context(), at, key); err != nil {
		t.Fatal(err)
	}
	r.patina("migrate")
	cmd := r.serve("")
	defer func() { _ = cmd.Process.Kill() }()
	r.wait(time.Minute, "both databases", func() bool {
		list := r.patina("databases")
		return strings.Contains(list, "real-shop") && strings.Contains(list, "real-empty")
	})

	var job struct{ Totals struct{ Succeeded int } }
	r.answer(&job, "backup", "--all", "--wait", "--json")
	var list struct {
		Backups []struct{ ID, Database, Consistency, Kind string }
	}
	r.answer(&list, "list", "--database", "real-shop", "--json")
	if job.Totals.Succeeded != 2 || len(list.Backups) != 1 || list.Backups[0].Consistency != "snapshot" {
		t.Fatalf("%+v, %+v", job, list)
	}
	made := list.Backups[0].ID
	var proof struct {
		Verified bool
		Rows     int
		Source   struct{ State string }
	}
	if r.answer(&proof, "verify", made, "--against-source", "--json"); !proof.Verified || proof.Rows != 12 || proof.Source.State != "equal" {
		t.Errorf("verify says %+v", proof)
	}
	week := r.lastWeek(engine, id)
	if out := r.patina("archive", week.String(), "--wait"); !strings.Contains(out, "1 copies") {
		t.Errorf("archive says %s", out)
	}
	if _, err := r.bucket.Stat(t.Context(), "weekly/"+week.String()+".tar.gz"); err != nil {
		t.Errorf("no archive in R2: %v", err)
	}

	engine.Exec(t, id, `DROP VIEW totals`, `DROP TABLE orders`, `INSERT INTO notes VALUES('after the fact')`)
	r.patina("restore", made, "--in-place", "real-shop", "--confirm", "real-shop")
	if after := contents(t, engine, id); after != before {
		t.Errorf("it came back as\n%s\nand was\n%s", after, before)
	}
	r.patina("restore", made, "--to", "real-shop-2")
	all, err := engine.Client(t).List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, db := range all {
		if db.Name == "real-shop-2" {
			found = true
			if copied := contents(t, engine, db.ID); copied != before {
				t.Errorf("the new database holds\n%s\nand the old one held\n%s", copied, before)
			}
		}
	}
	if !found {
		t.Error("no real-shop-2 was made")
	}
	r.doctored()
	stop(t, cmd)
}

// doctored has the doctor try D1 itself, in a database of its own.
func (r *rig) doctored() {
	r.t.Helper()
	cmd := exec.Command(r.binary, "doctor", "--scratch", "--json")
	cmd.Env = r.env
	out, _ := cmd.Output() // miniflare's R2 cannot list open uploads, which the doctor minds
	var found struct {
		Findings []struct{ Check, State, Message string }
	}
	if err := json.Unmarshal(out, &found); err != nil {
		r.t.Fatalf("%v in %s", err, out)
	}
	tried := 0
	for _, f := range found.Findings {
		if strings.HasPrefix(f.Check, "d1") {
			tried++
			if f.State != "ok" {
				r.t.Errorf("%s: %s: %s", f.Check, f.State, f.Message)
			}
		}
	}
	if tried < 7 {
		r.t.Errorf("only %d things were tried: %s", tried, out)
	}
}

// lastWeek stores a copy of the week that is over, as its nightly run would have.
func (r *rig) lastWeek(engine *d1test.Engine, id string) object.Week {
	t := r.t
	t.Helper()
	s, err := store.Open(t.Context(), r.database)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	today := backup.DateOf(time.Now())
	week := object.WeekOf(today.AddDays(-7).Time())
	date := week.Monday().AddDays(3)
	at := date.Time().Add(3 * time.Hour)
	m, err := export.Run(t.Context(), source.D1(engine.Client(t), id, "real-shop"), r.bucket, export.Request{
		Key: object.Key{Kind: backup.Daily, Date: date, Slug: "real-shop"}, CopyID: uuid.NewString(), Kind: backup.Daily, Date: date, Clock: func() time.Time { return at },
	})
	if err == nil {
		_, err = s.RecordCopy(context.WithoutCancel(t.Context()), backup.Copy{
			ID: m.CopyID, DatabaseID: id, DatabaseName: "real-shop", Kind: backup.Daily, Date: date, TakenAt: at, Key: m.Key, Size: m.Size, SHA256: m.SHA256,
			BodySHA256: m.BodySHA256, Tables: m.TableCount, Rows: m.Rows, Consistency: m.Consistency, Compression: m.Compression, Proof: backup.ProofProven,
			CreatedAt: at, Manifest: m,
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return week
}
