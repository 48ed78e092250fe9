package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDrill starts drills by the command line: with nothing stored, with six
// good copies, and with one whose bytes were changed.
func TestDrill(t *testing.T) {
	t.Parallel()
	e, _ := groveEnv(t)
	e["PATINA_BUCKET"] = "file://" + t.TempDir()
	patina(t, e, "migrate").want(t, exitDone)
	has(t, patina(t, e, "drill", "more").want(t, exitUsage).err, "more")
	r := begin(t, e, "serve", "--embedded", "--log", "json")
	r.await("dashboard started")
	patina(t, e, "databases", "sync").want(t, exitDone)
	has(t, patina(t, e, "drill", "--wait").want(t, exitPartial).err, "groveauth", "no copy that could be restored", "6 of 6 databases did not restore")

	patina(t, e, "backup", "--all", "--wait").want(t, exitDone)
	a := patina(t, e, "drill", "--wait", "--json").want(t, exitDone)
	var d struct {
		Verdict, Text, URL string
		Databases, Passed  int
		Results            []struct {
			Database, Key, Source string
			Passed                bool
			Rows                  int64
		}
	}
	decode(t, a.out, &d)
	if d.Verdict != "passed" || d.Databases != 6 || d.Passed != 6 || len(d.Results) != 6 || !strings.HasPrefix(d.URL, "/drills/") {
		t.Fatalf("%s", a.out)
	}
	for _, x := range d.Results {
		if !x.Passed || x.Rows == 0 || x.Source != "equal" {
			t.Errorf("%+v", x)
		}
	}
	has(t, a.err, "groveauth", "restored in")

	object := filepath.Join(strings.TrimPrefix(e["PATINA_BUCKET"], "file://"), filepath.FromSlash(d.Results[2].Key))
	text, err := os.ReadFile(object)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	write(t, object, string(text))
	a = patina(t, e, "drill", "--wait").want(t, exitCorrupt)
	has(t, a.out, "failed", "restored")
	has(t, a.err, "1 of 6 databases did not restore: "+d.Results[2].Database)
	if a = patina(t, e, "drill").want(t, exitDone); len(strings.TrimSpace(a.out)) != 36 {
		t.Errorf("without --wait: %q", a.out)
	}
	if code := r.ended(); code != exitDone {
		t.Errorf("exit code %d after a stop:\n%s", code, r.text)
	}
}
