package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVerifyFile proves a dump with neither Postgres nor a server, and tells one
// that is damaged, or of another database, by exit code 4.
func TestVerifyFile(t *testing.T) {
	t.Parallel()
	name, _ := sampleFile(t)
	dir := t.TempDir()
	out := filepath.Join(dir, "out.sql")
	manifest := patina(t, env{}, "export", name, "-o", out, "--json").want(t, exitDone).out
	a := patina(t, env{}, "verify", out).want(t, exitDone)
	has(t, a.err, "restores", "self-consistent, origin unknown", "5 rows")

	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	spoilt := filepath.Join(dir, "spoilt.sql")
	for what, b := range map[string]string{
		"a changed value": strings.Replace(string(text), "VALUES(1,", "VALUES(8,", 1),
		"cut":             string(text[:len(text)-100]),
		"more":            string(text) + "SELECT 1;\n",
		"no dump":         "hello",
	} {
		write(t, spoilt, b)
		if a := patina(t, env{}, "verify", spoilt); a.code != exitCorrupt || a.err == "" {
			t.Errorf("%s: code %d, %q", what, a.code, a.err)
		}
	}
	a = patina(t, env{}, "verify", out, "--database", "another").want(t, exitCorrupt)
	has(t, a.err, "not of another")

	write(t, out+".json", strings.Replace(manifest, `"key": ""`, `"key": "out.sql"`, 1))
	var v verification
	if a = patina(t, env{}, "verify", out, "--json"); a.code != exitDone {
		t.Fatalf("with its manifest: code %d, %s", a.code, a.err)
	}
	decode(t, a.out, &v)
	if !v.Verified || v.Origin != "the copy that its manifest describes" || v.Rows != 5 || v.BodySHA256 == "" {
		t.Errorf("%+v", v)
	}
	write(t, out+".json", strings.Replace(manifest, `"rows": 5`, `"rows": 6`, 1))
	patina(t, env{}, "verify", out).want(t, exitCorrupt)
	patina(t, env{}, "verify", filepath.Join(dir, "missing.sql")).want(t, exitError)
	patina(t, env{}, "verify").want(t, exitUsage)
}

// TestVerifyAgainstSource compares stored copies with their databases: equal;
// written to since; and changed although nobody wrote, which is a failure.
func TestVerifyAgainstSource(t *testing.T) {
	t.Parallel()
	e, sim := groveEnv(t)
	patina(t, e, "migrate").want(t, exitDone)
	r := begin(t, e, "serve", "--embedded", "--log", "json")
	r.await("dashboard started")
	patina(t, e, "databases", "sync").want(t, exitDone)
	patina(t, e, "backup", "groveauth", "scout-db", "--wait").want(t, exitDone)
	var list struct {
		Backups []struct{ ID, Database string }
	}
	decode(t, patina(t, e, "list", "--json").want(t, exitDone).out, &list)
	if len(list.Backups) != 2 || list.Backups[0].Database != "groveauth" {
		t.Fatalf("%+v", list)
	}
	id := list.Backups[0].ID
	a := patina(t, e, "verify", id, "--against-source").want(t, exitDone)
	has(t, a.err, "restores", "equal to the source by value")

	ids := map[string]string{}
	for _, db := range sim.Databases() {
		ids[db.Name] = db.ID
	}
	if err := sim.Exec(ids["groveauth"], `DELETE FROM users WHERE rowid = (SELECT max(rowid) FROM users)`); err != nil {
		t.Fatal(err)
	}
	var v verification
	decode(t, patina(t, e, "verify", id, "--against-source", "--json").want(t, exitDone).out, &v)
	if !v.Verified || v.Source == nil || v.Source.State != "moved" || len(v.Source.Differences) == 0 || v.Source.RowsRead == 0 {
		t.Errorf("%+v, source %+v", v, v.Source)
	}
	out := filepath.Join(t.TempDir(), "groveauth.sql")
	patina(t, e, "download", "groveauth", "-o", out).want(t, exitDone)
	has(t, patina(t, e, "verify", out, "--against-source").want(t, exitDone).err, "differ")

	if _, err := sim.DB(ids["scout-db"]).Exec(`DELETE FROM d1_migrations`); err != nil { // behind the bookmark's back
		t.Fatal(err)
	}
	a = patina(t, e, "verify", list.Backups[1].ID, "--against-source").want(t, exitCorrupt)
	has(t, a.err, `table "d1_migrations"`, "nobody wrote")
	if code := r.ended(); code != exitDone {
		t.Errorf("exit code %d after a stop:\n%s", code, r.text)
	}
}
