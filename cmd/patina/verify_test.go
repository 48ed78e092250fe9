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
