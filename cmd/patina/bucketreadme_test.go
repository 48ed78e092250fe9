package main

import (
	"database/sql"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/source"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

// standsFor makes this binary stand for a program that README.txt names.
const standsFor = "PATINA_TEST_STANDS_FOR"

func init() {
	load := func(name, text string) error {
		db, err := sql.Open("sqlite", name)
		if err != nil {
			return err
		}
		defer db.Close()
		db.SetMaxOpenConns(1)
		_, err = db.Exec(text)
		return err
	}
	var err error
	switch os.Getenv(standsFor) {
	case "":
		return
	case "patina":
		main()
	case "sqlite3": // the shell that is installed may be older than a dump asks for
		args := slices.DeleteFunc(os.Args[1:], func(a string) bool { return strings.HasPrefix(a, "-") })
		text := strings.Join(args[1:], "")
		if text == "" {
			var in []byte
			in, err = io.ReadAll(os.Stdin)
			text = string(in)
		}
		if err == nil {
			err = load(args[0], text)
		}
	case "npx":
		err = npx(os.Args[1:], load)
	case "curl":
		err = curl(os.Args[1:])
	case "wrangler": // loads a file as D1's importer does: in a transaction of its own
		if os.Args[2] == "execute" {
			var text []byte
			if text, err = os.ReadFile(os.Args[len(os.Args)-1]); err == nil {
				err = load(os.Args[3], "BEGIN;\n"+string(text)+"\nCOMMIT;")
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// instructions gives the commands of the bucket's README.txt, a script a
// paragraph, by the paragraph's first words.
func instructions(t *testing.T) map[string]string {
	t.Helper()
	scripts := map[string]string{}
	for paragraph := range strings.SplitSeq(bucketReadme, "\n\n") {
		var script []string
		for line := range strings.SplitSeq(paragraph, "\n") {
			if command, ok := strings.CutPrefix(line, "  "); ok {
				script = append(script, command)
			}
		}
		if title, _, _ := strings.Cut(paragraph, "\n"); len(script) > 0 && !strings.HasPrefix(title, "What lies where") {
			scripts[title] = strings.Join(script, "\n")
		}
	}
	return scripts
}

// A stranger does what README.txt says, line by line, and has the data.
func TestBucketReadmeWorks(t *testing.T) {
	t.Parallel()
	sim, err := d1sim.New(d1sim.Config{Dir: t.TempDir(), AccountID: "acc", Token: "token"})
	ok(t, err)
	srv := httptest.NewServer(sim.Handler())
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close(); _ = sim.Close() })
	id, err := sim.Create("grove")
	ok(t, err)
	ok(t, sim.Exec(id, sampleSchema+sampleRows+"INSERT INTO author(name) VALUES('a' || char(10) || 'PRAGMA foreign_keys=OFF;' || char(10) || 'BEGIN TRANSACTION;' || char(10) || 'COMMIT;' || char(10));"))
	want := contents(t, sim.DB(id))
	client, err := d1.New(d1.Config{AccountID: "acc", Token: "token", BaseURL: srv.URL})
	ok(t, err)
	dir := t.TempDir()
	bucket, err := object.OpenFolder(dir)
	ok(t, err)
	date := backup.DateOf(time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC))
	var copies []backup.Copy
	for i, compress := range []backup.Compression{backup.Plain, backup.Gzip} {
		on := date.AddDays(i)
		m, err := export.Run(t.Context(), source.D1(client, id, "grove"), bucket, export.Request{
			Key: object.Key{Kind: backup.Daily, Date: on, Slug: "grove", Gzip: compress == backup.Gzip}, Kind: backup.Daily, Date: on, CopyID: uuid.NewString(),
			Compress: compress, Trigger: backup.TriggerNightly, Clock: func() time.Time { return on.Time().Add(3 * time.Hour) },
		})
		ok(t, err)
		copies = append(copies, backup.Copy{ID: m.CopyID, DatabaseID: id, DatabaseName: "grove", Kind: m.Kind, Date: on, TakenAt: m.StartedAt, Key: m.Key, Size: m.Size, SHA256: m.SHA256, Compression: compress, Manifest: m})
	}
	week := object.WeekOf(date.Time())
	_, _, err = archive.Make(t.Context(), bucket, archive.Request{Week: week, Plan: archive.Choose(week, []backup.Database{{ID: id, Name: "grove"}}, copies)})
	ok(t, err)

	// What the stranger has: files of the bucket, and the programs.
	desk, bin := t.TempDir(), t.TempDir()
	for from, to := range map[string]string{"daily/2026-11-23/grove.sql": "grove.sql", "daily/2026-11-24/grove.sql.gz": "other/grove.sql.gz", "weekly/2026-W48.tar.gz": "2026-W48.tar.gz"} {
		body, err := os.ReadFile(filepath.Join(dir, from))
		ok(t, err)
		ok(t, os.MkdirAll(filepath.Dir(filepath.Join(desk, to)), 0o755))
		write(t, filepath.Join(desk, to), string(body))
	}
	self, err := os.Executable()
	ok(t, err)
	for _, name := range []string{"patina", "sqlite3", "wrangler"} {
		ok(t, os.WriteFile(filepath.Join(bin, name), fmt.Appendf(nil, "#!/bin/sh\n%s=%s exec '%s' \"$@\"\n", standsFor, name, self), 0o755))
	}
	scripts := instructions(t)
	run := func(title, at string) string {
		t.Helper()
		for full, script := range scripts {
			if !strings.HasPrefix(full, title) {
				continue
			}
			delete(scripts, full)
			cmd := exec.Command("/bin/sh", "-e", "-c", strings.ReplaceAll(script, "NAME", "grove"))
			cmd.Dir = filepath.Join(desk, at)
			cmd.Env = []string{
				"PATH=" + bin + ":" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir(), "CLOUDFLARE_ACCOUNT_ID=acc", "CLOUDFLARE_API_TOKEN=token", "CLOUDFLARE_BASE_URL=" + srv.URL,
				"PATINA_BUCKET=file://" + dir, "DATABASE_URL=" + storetest.EmptyURL(t),
			}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v\n%s\n%s", title, err, script, out)
			}
			return string(out)
		}
		t.Fatalf("README.txt does not say %q", title)
		return ""
	}
	same := func(db *sql.DB, what string) {
		t.Helper()
		if got := contents(t, db); got != want {
			t.Errorf("%s holds\n%s\nwant\n%s", what, got, want)
		}
	}
	hashes := strings.Fields(strings.ReplaceAll(run("Is it whole?", "."), "-- file-sha256:", ""))
	if len(hashes) != 3 || hashes[0] != hashes[2] || len(hashes[0]) != 64 {
		t.Errorf("the two lines show %q", hashes)
	}
	run("Into SQLite", ".")
	same(openSQLite(t, filepath.Join(desk, "restored.sqlite")), "restored.sqlite")
	run("Into D1", ".")
	same(openSQLite(t, filepath.Join(desk, "grove-restored")), "what wrangler made")
	made := ""
	for _, db := range sim.Databases() {
		if db.Name == "grove-restored" {
			made = db.ID
		}
	}
	if made == "" {
		t.Fatal("patina restore made no database")
	}
	same(sim.DB(made), "what patina restore made")
	run("Compressed", "other")
	run("Out of an archive", ".")
	for _, name := range []string{"other/grove.sql", "2026-11-23/grove.sql", "2026-11-24/grove.sql"} {
		text, err := os.ReadFile(filepath.Join(desk, name))
		ok(t, err)
		db := openSQLite(t, filepath.Join(t.TempDir(), "db"))
		_, err = db.Exec(string(text))
		ok(t, err)
		same(db, name)
	}
	has(t, run("If Patina's own Postgres is lost", "."), "2 backups of 1 database", "weekly/2026-W48.tar.gz", "dry run", "The catalogue was made again: 2 backups")
	if len(scripts) != 0 {
		t.Errorf("README.txt says more than was tried: %v", scripts)
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
