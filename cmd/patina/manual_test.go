package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

// written gives every page that has commands in it for people, by its path from
// the root. The restore guides have a test of their own, for they are filled.
func written(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	names, err := filepath.Glob("../../docs/*.md")
	ok(t, err)
	for _, name := range append(names, "../../README.md") {
		text, err := os.ReadFile(name)
		ok(t, err)
		pages[strings.TrimPrefix(filepath.ToSlash(name), "../../")] = string(text)
	}
	if len(pages) < 8 {
		t.Fatalf("only %d pages were found", len(pages))
	}
	return pages
}

// fences are the blocks of a page: the indent, the language, the text.
var fences = regexp.MustCompile("(?ms)^( *)```([a-z]*)\n(.*?)^ *```$")

// block is one fenced block, without its indent.
func block(m []string) string {
	var b strings.Builder
	for line := range strings.SplitAfterSeq(m[3], "\n") {
		b.WriteString(strings.TrimPrefix(line, m[1]))
	}
	return b.String()
}

// elsewhere says of a command why it is not run here. Those of patina itself and
// of make are looked at all the same.
var elsewhere = []struct{ begins, why string }{
	{"git clone ", "this tree is what it would clone"},
	{"cd Patina", "this tree is where it would go"},
	{"make ", "builds and tests this very tree"},
	{"patina demo", "runs until it is stopped, and TestDemo runs it"},
	{"patina serve", "runs until it is stopped, and TestServe runs it"},
	{"bin/patina serve", "runs until it is stopped, and TestServe runs it"},
	{"patina user add ", "asks for a password at a terminal; TestUsers gives it one"},
	{"patina completion ", "TestCompletion runs it"},
	{". <(patina completion", "TestCompletion runs it"},
	{"fly ", "needs an account at fly.io"},
	{"npx wrangler r2 bucket ", "needs an account at Cloudflare"},
	{"systemctl ", "needs an init"},
}

func reason(line string) string {
	for _, e := range elsewhere {
		if strings.HasPrefix(line, e.begins) {
			return e.why
		}
	}
	return ""
}

// TestManualWorks follows README, the manual and the runbook, block by block,
// against an installation with the six databases of the specification.
func TestManualWorks(t *testing.T) {
	t.Parallel()
	d, values := office(t)
	ran, left := 0, 0
	pages := written(t)
	for _, page := range slices.Sorted(maps.Keys(pages)) {
		text := pages[page]
		again := "DATABASE_URL=" + storetest.EmptyURL(t) // for a rebuild
		for _, m := range fences.FindAllStringSubmatch(text, -1) {
			script := block(m)
			if m[2] != "sh" {
				if strings.Contains("\n"+script, "\npatina ") || strings.Contains("\n"+script, "\nmake ") {
					t.Errorf("%s: this block of commands is not marked as sh, so that nothing runs it:\n%s", page, script)
				}
				continue
			}
			var run strings.Builder
			for line := range strings.SplitAfterSeq(script, "\n") {
				if reason(line) == "" {
					run.WriteString(line)
					continue
				}
				left++
				parses(t, page, line)
			}
			if strings.TrimSpace(run.String()) == "" {
				continue
			}
			d.prepare(run.String())
			env := d.env
			if strings.Contains(script, "patina rebuild") {
				d.env = append(slices.Clone(env), again)
			}
			d.follow("# " + page + "\n" + values.Replace(run.String()))
			d.env = env
			ran++
		}
	}
	if ran < 25 || left < 5 {
		t.Errorf("only %d blocks ran, and %d commands were left out", ran, left)
	}
}

// office is a running installation with a copy of every database, and a desk
// with what the manual takes for granted; values replaces its examples.
func office(t *testing.T) (*desk, *strings.Replacer) {
	t.Helper()
	e, sim := groveEnv(t)
	bucket := t.TempDir()
	e["PATINA_BUCKET"] = "file://" + bucket
	mine, err := sim.Create("my-database")
	ok(t, err)
	ok(t, sim.Exec(mine, "CREATE TABLE t(a); INSERT INTO t VALUES(1);"))
	r := begin(t, e, "serve", "--embedded", "--log", "json")
	base := "http://" + regexp.MustCompile(`"address":"([^"]+)"`).FindStringSubmatch(r.await("dashboard started"))[1]
	ready(t, base)
	patina(t, e, "databases", "sync").want(t, exitDone)
	patina(t, e, "backup", "--all", "--wait").want(t, exitDone)
	patina(t, e, "meta").want(t, exitDone)
	var list struct{ Backups []copyJSON }
	decode(t, patina(t, e, "list", "--database", "groveauth", "--json").want(t, exitDone).out, &list)
	var first backup.Copy
	for _, c := range list.Backups {
		patina(t, e, "verify", c.ID).want(t, exitDone)
		first = backup.Copy{ID: c.ID, Key: c.Key, Date: c.Date}
	}

	d := &desk{t: t, dir: t.TempDir(), sim: sim}
	bin := t.TempDir()
	self, err := os.Executable()
	ok(t, err)
	script := func(name, text string) {
		t.Helper()
		ok(t, os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text), 0o755))
	}
	for _, name := range []string{"patina", "sqlite3", "npx", "curl"} {
		script(name, fmt.Sprintf("%s=%s exec '%s' \"$@\"\n", standsFor, name, self))
	}
	// Both of these take the dump out of a bucket, whatever that is called.
	take := "exec cp '" + filepath.Join(bucket, first.Key) + "' "
	script("aws", take+"\"$4\"\n")
	script("npx-d1", fmt.Sprintf("%s=npx exec '%s' \"$@\"\n", standsFor, self))
	script("npx", "[ \"$2\" = r2 ] || exec npx-d1 \"$@\"\n"+take+"\"${7#--file=}\"\n")
	d.env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir(), "HOME=" + t.TempDir(), "PATINA_TOKEN=" + bootstrapToken}
	for name, value := range e {
		d.env = append(d.env, name+"="+value)
	}
	ok(t, os.Mkdir(filepath.Join(d.dir, "bin"), 0o755))
	ok(t, os.Symlink(filepath.Join(bin, "patina"), filepath.Join(d.dir, "bin", "patina")))
	date := first.Date.String()
	// What somebody would have lying there: an archive, a file of SQLite, the
	// demo's bucket.
	ok(t, os.MkdirAll(filepath.Join(d.dir, "data/bucket/daily", date), 0o755))
	patina(t, e, "download", first.ID, "-o", filepath.Join(d.dir, "data/bucket/daily", date, "groveauth.sql")).want(t, exitDone)
	from := "'" + filepath.Join(bucket, first.Key)
	d.follow("mkdir " + date + " && cp " + from + "' " + date + "/groveauth.sql && cp " + from + ".json' " + date + "/groveauth.sql.json")
	d.follow("tar -czf 2026-W48.tar.gz " + date + " && rm -r " + date + " && patina export groveauth -o monday.sql && cp monday.sql tuesday.sql")
	_ = openSQLite(t, filepath.Join(d.dir, "local.sqlite"))
	d.follow("echo 'CREATE TABLE t(a); INSERT INTO t VALUES(1);' | sqlite3 local.sqlite")
	bookmark := regexp.MustCompile(`bookmark: ([0-9a-f-]+)`).FindStringSubmatch(d.follow("head -n 5 monday.sql; tail -n 4 monday.sql"))
	if bookmark == nil {
		t.Fatal("a dump names no bookmark")
	}
	return d, strings.NewReplacer(
		"2026-11-23T03:00:00Z", time.Now().UTC().Format(time.RFC3339), "<date>", date,
		"2026-11-23", date, "01a20d05-4cf1-732b-b675-75b4ac1ac044", first.ID, "00000085-ffffffff-00004dff", bookmark[1],
		"https://patina.example", base, "http://127.0.0.1:8080", base,
	)
}

// prepare takes away what an earlier block has left where this one makes it anew.
func (d *desk) prepare(script string) {
	d.t.Helper()
	for _, m := range regexp.MustCompile(`(?:-o|--into|-bail|sqlite3) (\S+\.(?:sqlite|sql))`).FindAllStringSubmatch(script, -1) {
		if m[1] == "local.sqlite" || strings.Contains(script, "PRAGMA integrity_check") && !strings.Contains(script, m[1]+" <") {
			continue
		}
		if err := os.Remove(filepath.Join(d.dir, m[1])); err != nil && !errors.Is(err, fs.ErrNotExist) {
			d.t.Fatal(err)
		}
	}
	for _, db := range d.sim.Databases() {
		if (strings.HasSuffix(db.Name, "-restored") || strings.HasSuffix(db.Name, "-2")) && strings.Contains(script, "--to ") {
			ok(d.t, d.sim.Delete(db.ID))
			d.follow("patina databases sync")
		}
	}
}

// parses holds a command that is not run to what the program and the Makefile know.
func parses(t *testing.T, page, line string) {
	t.Helper()
	for part := range strings.SplitSeq(strings.TrimSpace(line), "&&") {
		part, _, _ = strings.Cut(part, " #")
		words := strings.Fields(part)
		switch {
		case len(words) == 0:
		case words[0] == "make":
			if !slices.Contains(targets(t), words[1]) {
				t.Errorf("%s: the Makefile has no target %s", page, words[1])
			}
		case strings.HasSuffix(words[0], "patina"):
			if err := parse(words[1:]); err != nil {
				t.Errorf("%s: %s: %v", page, part, err)
			}
		}
	}
}

func targets(t *testing.T) (all []string) {
	t.Helper()
	text, err := os.ReadFile("../../Makefile")
	ok(t, err)
	for _, m := range regexp.MustCompile(`(?m)^([a-z/]+):`).FindAllStringSubmatch(string(text), -1) {
		all = append(all, m[1])
	}
	return all
}

// parse looks whether a command line names a verb of ours and flags that it has.
func parse(words []string) error {
	root := (&app{}).root()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	cmd, rest, err := root.Find(words)
	if err != nil {
		return err
	}
	if cmd == root && len(words) > 0 && !strings.HasPrefix(words[0], "-") {
		return fmt.Errorf("there is no verb %q", words[0])
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil && !strings.HasPrefix(err.Error(), "flag needs an argument: "+words[len(words)-1]) {
		return err // but prose may end in the name of a flag
	}
	if cmd.HasSubCommands() && len(cmd.Flags().Args()) > 0 {
		return fmt.Errorf("`%s` has no %q", cmd.CommandPath(), cmd.Flags().Args()[0])
	}
	return nil
}

// TestCommandsInProseParse: a command that the prose, a guide or a help text
// names has its verb and its flags.
func TestCommandsInProseParse(t *testing.T) {
	t.Parallel()
	pages := written(t)
	guides, err := filepath.Glob("../../docs/guide/*.md")
	ok(t, err)
	for _, name := range guides {
		text, err := os.ReadFile(name)
		ok(t, err)
		pages[name] = string(text)
	}
	seen := 0
	for page, text := range pages {
		for _, m := range regexp.MustCompile("`(?:bin/)?patina ([^`\n]+)`").FindAllStringSubmatch(text, -1) {
			seen++
			command, _, _ := strings.Cut(m[1], "{{")
			if err := parse(strings.Fields(strings.NewReplacer("[", "", "]", "", "…", "").Replace(command))); err != nil {
				t.Errorf("%s: %s: %v", page, m[0], err)
			}
		}
	}
	var examples func(cmd *cobra.Command)
	examples = func(cmd *cobra.Command) {
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			for part := range strings.SplitSeq(line, "|") {
				if command, isOurs := strings.CutPrefix(strings.TrimSpace(part), "patina "); isOurs {
					seen++
					if err := parse(strings.Fields(command)); err != nil {
						t.Errorf("the help of %s: %s: %v", cmd.CommandPath(), part, err)
					}
				}
			}
		}
		for _, sub := range cmd.Commands() {
			examples(sub)
		}
	}
	examples((&app{}).root())
	if seen < 40 {
		t.Errorf("only %d commands were looked at", seen)
	}
	if parse([]string{"restore", "--too"}) == nil || parse([]string{"databases", "lists"}) == nil || parse([]string{"nothing"}) == nil {
		t.Error("anything parses")
	}
}
