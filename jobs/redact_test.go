package jobs

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/store"
)

const redactedCanary = "kanarienvogel"

// TestRedactedNights: the nightly copies leave out what the rules say, the
// archive of the week too; nothing that is kept beside them tells it; a rule
// that no longer fits fails that database alone; and a rebuild brings the rules
// back.
func TestRedactedNights(t *testing.T) {
	// What the file says comes first, also of a database known by its name alone.
	said, err := backup.ParseRedactions([]string{"a.v = null"})
	must(t, err)
	n := newNights(t, func(c *Config) {
		c.HashKey = []byte("0123456789abcdef0123456789abcdef")
		c.Redact = []backup.Database{{Name: "whole", Redact: said, RedactFixed: true}}
	})
	ctx := t.Context()
	for _, q := range []string{
		`CREATE TABLE users(id INTEGER PRIMARY KEY, password TEXT, token TEXT)`,
		`INSERT INTO users VALUES(1, '` + redactedCanary + `', '` + redactedCanary + `')`,
	} {
		must(t, n.sim.Exec(n.ids["fine"], q))
	}
	set := func(name string, texts ...string) []backup.Redaction {
		t.Helper()
		rules, err := backup.ParseRedactions(texts)
		must(t, err)
		_, err = n.store.SetRedactions(ctx, n.ids[name], rules)
		must(t, err)
		return rules
	}
	rules := set("fine", "users.password = null", "users.token = hash")
	set("spoilt", "users.password = null")
	job := n.night("2026-11-21")
	if job.Status != backup.JobPartial || job.Totals.Failed != 1 {
		t.Fatalf("%+v", job)
	}
	for _, r := range n.results(job.ID) {
		if r.DatabaseName == "spoilt" && (!strings.Contains(r.Error, "users.password → null: the database has no such table") || !strings.Contains(r.Next, "Settings, Redaction")) {
			t.Errorf("%q, %q", r.Error, r.Next)
		}
	}
	set("spoilt")
	n.until("it is proven", func() bool {
		return n.count("SELECT count(*) FROM backup_inventory WHERE proof = 'proven'") == 2
	})
	c, err := n.store.CopyByKey(ctx, "daily/2026-11-21/fine.sql")
	must(t, err)
	if want := backup.RedactionTexts(rules); !slices.Equal(c.Redactions, want) || !slices.Equal(c.Manifest.Redactions, want) {
		t.Errorf("%q, %q", c.Redactions, c.Manifest.Redactions)
	}

	if job := n.night("2026-11-22"); job.Status != backup.JobCompleted { // a Sunday: the archive follows
		t.Fatalf("%+v", job)
	}
	whole, err := n.store.CopyByKey(ctx, "daily/2026-11-22/whole.sql")
	must(t, err)
	db, err := n.store.Database(ctx, n.ids["whole"])
	if err != nil || !db.RedactFixed || !slices.Equal(db.Redact, said) || !slices.Equal(whole.Redactions, backup.RedactionTexts(said)) {
		t.Errorf("%+v, %q, %v", db, whole.Redactions, err)
	}
	n.set(at("2026-11-22T04:00:07Z"))
	if job := n.ended(n.request(n.runner, backup.Request{Action: backup.ActionArchive, Week: "2026-W47", Actor: "test"}).JobID); job.Status != backup.JobCompleted {
		t.Fatalf("%+v", job)
	}
	c, err = n.store.CopyByKey(ctx, "daily/2026-11-21/fine.sql")
	must(t, err)
	c.ObjectGone = true // as after a cleanup
	r, err := archive.OpenSQL(ctx, n.bucket, c)
	must(t, err)
	text, err := io.ReadAll(r)
	must(t, err)
	if strings.Contains(string(text), redactedCanary) || !strings.Contains(string(text), "INSERT INTO \"users\" VALUES(1,NULL,'hash:") {
		t.Errorf("out of the archive:\n%.2000s", text)
	}

	// Neither the bucket nor Postgres holds the canary anywhere.
	_, err = n.runner.SaveMeta(ctx)
	must(t, err)
	root := strings.TrimPrefix(n.bucket.String(), "file://")
	files := 0
	must(t, filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), redactedCanary) {
			t.Errorf("the canary is in %s", path)
		}
		return err
	}))
	if files < 12 {
		t.Errorf("only %d files in %s", files, root)
	}
	if tables := rows(t, n.store, `SELECT tablename FROM pg_tables
		WHERE schemaname = 'public' AND query_to_xml(format('SELECT * FROM %I', tablename), true, false, '')::text LIKE '%`+redactedCanary+`%'`); tables != "" {
		t.Errorf("the canary is in Postgres: %s", tables)
	}

	// Postgres is lost.
	must(t, n.runner.Stop(ctx))
	before := rows(t, n.store, "SELECT name, redact, redact_fixed FROM databases ORDER BY name")
	again := n.again()
	found, meta := n.look()
	_, err = again.Rebuild(ctx, found, meta, "ada")
	must(t, err)
	if after := rows(t, n.store, "SELECT name, redact, redact_fixed FROM databases ORDER BY name"); after != before || !strings.Contains(after, "users.token") {
		t.Errorf("%s\nis now\n%s", before, after)
	}
	copies, _, err := n.store.Copies(ctx, store.CopyFilter{DatabaseID: n.ids["fine"]})
	must(t, err)
	for _, c := range copies {
		if len(c.Redactions) != 2 {
			t.Errorf("%s: %q", c.Key, c.Redactions)
		}
	}
}
