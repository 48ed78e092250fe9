package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup/export/exporttest"
)

// TestVerifyDemo verifies the six copies of the demo's first run, as files and as
// backups, and then each of them damaged in every way that a bucket can damage
// it: each ends with exit code 4 and says why.
func TestVerifyDemo(t *testing.T) {
	t.Parallel()
	data := dataDir(t)
	e := env{"PATINA_DATA": data}
	demo := begin(t, e, "demo")
	demo.await("Ctrl-C stops.")
	has(t, demo.text.String(), "proven")
	var list struct {
		Backups []struct{ ID, Database, Key, Proof string }
	}
	decode(t, patina(t, e, "list", "--embedded", "--json").want(t, exitDone).out, &list)
	if len(list.Backups) != 6 {
		t.Fatalf("%d backups", len(list.Backups))
	}
	dir := filepath.Join(data, "bucket", "daily", time.Now().UTC().Format(time.DateOnly))
	if len(files(t, dir)) != 12 {
		t.Fatalf("%d files in %s", len(files(t, dir)), dir)
	}
	bad := func(what string, args ...string) {
		t.Helper()
		a := patina(t, e, append([]string{"verify"}, args...)...)
		if a.code != exitCorrupt || len(strings.TrimSpace(a.err)) < 20 {
			t.Errorf("%s: code %d, %q", what, a.code, a.err)
		}
	}
	read := func(key string) string {
		b, err := os.ReadFile(filepath.Join(data, "bucket", filepath.FromSlash(key)))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	lone := filepath.Join(t.TempDir(), "lone.sql")
	for i, b := range list.Backups {
		if b.Proof != "proven" {
			t.Errorf("%s is %s", b.Database, b.Proof)
		}
		object := filepath.Join(data, "bucket", filepath.FromSlash(b.Key))
		text, manifest := read(b.Key), read(b.Key+".json")
		has(t, patina(t, e, "verify", object).want(t, exitDone).err, "restores", "the copy that its manifest describes")
		has(t, patina(t, e, "verify", b.ID, "--embedded", "--database", b.Database).want(t, exitDone).err, "restores")

		for what, damaged := range damages(t, text) {
			write(t, lone, damaged)
			bad(b.Database+", "+what, lone)
		}
		write(t, lone, text)
		patina(t, e, "verify", lone, "--database", b.Database).want(t, exitDone)
		other := list.Backups[(i+1)%len(list.Backups)]
		bad(b.Database+" asked as another", lone, "--database", other.Database)

		another := read(other.Key)
		write(t, lone+".json", manifest)
		patina(t, e, "verify", lone).want(t, exitDone)
		write(t, lone, another)
		bad("the dump of another beside the manifest of "+b.Database, lone)
		forged := forgeWithout(t, text)
		write(t, lone, forged)
		bad(b.Database+", a row removed and everything forged, beside the manifest", lone)
		write(t, lone, text)
		write(t, lone+".json", regexp.MustCompile(`"rows": \d+,`).ReplaceAllString(manifest, `"rows": 1,`))
		bad(b.Database+", another manifest", lone)
		if err := os.Remove(lone + ".json"); err != nil {
			t.Fatal(err)
		}

		for what, instead := range map[string]string{"another's dump": another, "a row removed and everything forged": forged, "cut": text[:len(text)/2]} {
			write(t, object, instead)
			bad(b.Database+" as a backup, "+what, b.ID, "--embedded")
		}
		write(t, object, text)
		patina(t, e, "verify", b.ID, "--embedded").want(t, exitDone) // and it is proven again
	}
	if demo.ended() != exitDone {
		t.Errorf("the demo ended badly:\n%s", demo.text)
	}
}

// damages are the ways in which a lone file can be seen to be damaged.
func damages(t *testing.T, text string) map[string]string {
	t.Helper()
	flip := func(at int) string {
		b := []byte(text)
		b[at] ^= 4
		return string(b)
	}
	lines := strings.SplitAfter(text, "\n")
	at := -1
	for i := range lines[:len(lines)-1] {
		if strings.HasPrefix(lines[i], "INSERT INTO ") && strings.HasPrefix(lines[i+1], lines[i][:20]) && lines[i] != lines[i+1] {
			at = i
			break
		}
	}
	if at < 0 {
		t.Fatal("no table has two rows")
	}
	swapped := append(append(append([]string{}, lines[:at]...), lines[at+1], lines[at]), lines[at+2:]...)
	return map[string]string{
		"a bit of the header": flip(30), "a bit of the taken line": flip(strings.Index(text, "-- taken: ") + 12), "a bit of the body": flip(len(text) / 2),
		"a bit of the counts": flip(strings.LastIndex(text, "rows: ") + 6), "a bit of the last hash": flip(len(text) - 10), "the last byte": flip(len(text) - 1),
		"cut in the body": text[:len(text)/3], "without its last line": strings.Join(lines[:len(lines)-2], ""),
		"two rows swapped": strings.Join(swapped, ""),
		"a row removed, the counts and hashes as they were": strings.Join(append(append([]string{}, lines[:at]...), lines[at+1:]...), ""),
		"nothing": "", "something behind it": text + "-- more\n",
	}
}

// forgeWithout takes the first row out of a dump and makes every count and hash
// right again, as one could who may write to the bucket.
func forgeWithout(t *testing.T, text string) string {
	t.Helper()
	rows := regexp.MustCompile(`(?m)^(-- tables: \d+   rows: )(\d+)`)
	var n int
	if _, err := fmt.Sscan(rows.FindStringSubmatch(text)[2], &n); err != nil {
		t.Fatal(err)
	}
	first := regexp.MustCompile(`(?m)^INSERT INTO .*\n`).FindStringIndex(text)
	less := rows.ReplaceAllString(text[:first[0]]+text[first[1]:], fmt.Sprint("${1}", n-1))
	forged, err := exporttest.Forge([]byte(less), "")
	if err != nil || bytes.Equal(forged, []byte(text)) {
		t.Fatalf("nothing is forged: %v", err)
	}
	return string(forged)
}
