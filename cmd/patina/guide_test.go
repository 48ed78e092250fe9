package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/export/exporttest"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

// npx stands for wrangler as the guides call it: each database is a SQLite file
// of its name, and a file is loaded as D1's importer does, in a transaction.
func npx(args []string, load func(name, text string) error) error {
	if len(args) < 4 || args[0] != "wrangler" || args[1] != "d1" {
		return fmt.Errorf("npx does not know %q", args)
	}
	name := args[len(args)-1]
	switch args[2] {
	case "create", "time-travel":
		return nil
	}
	for i, a := range args {
		if a == "--command" {
			return load(name, args[i+1])
		}
		if file, ok := strings.CutPrefix(a, "--file="); ok {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			return load(name, "BEGIN;\n"+string(text)+"\nCOMMIT;")
		}
	}
	return fmt.Errorf("wrangler does not know %q", args)
}

// curl stands for curl as the guides call it.
func curl(args []string) error {
	method, out, body := http.MethodGet, os.Stdout, ""
	header := http.Header{}
	for len(args) > 1 {
		switch args[0] {
		case "-fH", "-H":
			name, value, _ := strings.Cut(args[1], ": ")
			header.Set(name, value)
		case "-o":
			f, err := os.Create(args[1])
			if err != nil {
				return err
			}
			defer f.Close()
			out = f
		case "-d":
			method, body = http.MethodPost, args[1]
		default:
			return fmt.Errorf("curl does not know %q", args[0])
		}
		args = args[2:]
	}
	req, err := http.NewRequest(method, args[0], strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = header
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(out, res.Body)
	if res.StatusCode >= 400 {
		err = errors.Join(err, fmt.Errorf("%s", res.Status))
	}
	return err
}

// desk is where somebody follows a guide.
type desk struct {
	t   *testing.T
	dir string
	env []string
	sim *d1sim.Account
}

// follow runs one block of commands, as it stands.
func (d *desk) follow(script string) string {
	d.t.Helper()
	cmd := exec.Command("/bin/sh", "-e", "-c", script)
	cmd.Dir, cmd.Env = d.dir, d.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	return string(out)
}

// clear takes away what an earlier way to the same end has left.
func (d *desk) clear() {
	d.t.Helper()
	for _, name := range []string{"restored.sqlite", "groveauth-restored"} {
		if err := os.Remove(filepath.Join(d.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			d.t.Fatal(err)
		}
	}
	for _, db := range d.sim.Databases() {
		if db.Name == "groveauth-restored" {
			ok(d.t, d.sim.Delete(db.ID))
		}
	}
}

// TestGuideWorks follows the restore guide of a running installation, block by
// block: every command of it does what it says.
func TestGuideWorks(t *testing.T) {
	t.Parallel()
	e, sim := groveEnv(t)
	bucket := t.TempDir()
	e["PATINA_BUCKET"] = "file://" + bucket
	r := begin(t, e, "serve", "--embedded", "--log", "json")
	base := "http://" + regexp.MustCompile(`"address":"([^"]+)"`).FindStringSubmatch(r.await("dashboard started"))[1]
	ready(t, base)
	patina(t, e, "databases", "sync").want(t, exitDone)
	patina(t, e, "backup", "groveauth", "--wait").want(t, exitDone)
	var list struct{ Backups []struct{ ID string } }
	decode(t, patina(t, e, "list", "--json").want(t, exitDone).out, &list)
	patina(t, e, "verify", list.Backups[0].ID).want(t, exitDone)
	var id string
	for _, db := range sim.Databases() {
		if db.Name == "groveauth" {
			id = db.ID
		}
	}

	req, err := http.NewRequestWithContext(t.Context(), "GET", base+"/restore-guide/groveauth", nil)
	ok(t, err)
	req.Header.Set("Authorization", "Bearer "+bootstrapToken)
	res, err := http.DefaultClient.Do(req)
	ok(t, err)
	text, err := io.ReadAll(res.Body)
	ok(t, errors.Join(err, res.Body.Close()))

	d := &desk{t: t, dir: t.TempDir(), sim: sim}
	bin := t.TempDir()
	self, err := os.Executable()
	ok(t, err)
	for _, name := range []string{"patina", "sqlite3", "npx", "curl"} {
		ok(t, os.WriteFile(filepath.Join(bin, name), fmt.Appendf(nil, "#!/bin/sh\n%s=%s exec '%s' \"$@\"\n", standsFor, name, self), 0o755))
	}
	d.env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir(), "PATINA_TOKEN=" + bootstrapToken}
	for name, value := range e {
		d.env = append(d.env, name+"="+value)
	}
	// The database as wrangler has it here: what the live one holds.
	patina(t, e, "export", "groveauth", "-o", filepath.Join(d.dir, "live.sql")).want(t, exitDone)
	d.follow("sqlite3 groveauth < live.sql\nsqlite3 want < live.sql")
	want := exporttest.AskSQL(openSQLite(t, filepath.Join(d.dir, "want")))
	ok(t, sim.Exec(id, "CREATE TABLE later(x); INSERT INTO later VALUES('what is lost')"))

	blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(text), -1)
	same := func(what string) { // what the block made
		t.Helper()
		got := exporttest.AskSQL(nil)
		for _, db := range sim.Databases() {
			if db.Name == what {
				got = exporttest.AskSQL(sim.DB(db.ID))
			}
		}
		if _, err := os.Stat(filepath.Join(d.dir, what)); err == nil && what != "groveauth" {
			got = exporttest.AskSQL(openSQLite(t, filepath.Join(d.dir, what)))
		}
		exporttest.Equal(t, want, got)
	}
	checked := map[string]int{}
	for _, b := range blocks {
		script := b[1]
		if strings.Contains(script, `"target":"new"`) {
			continue // it starts a job that nobody waits for here: last
		}
		if strings.Contains(script, "patina rebuild") {
			i := slices.IndexFunc(d.env, func(s string) bool { return strings.HasPrefix(s, "DATABASE_URL=") })
			d.env[i] = "DATABASE_URL=" + storetest.EmptyURL(t)
		}
		for line := range strings.SplitAfterSeq(script, "\n") { // a way to the same end comes more than once
			if strings.Contains(line, "--to ") || strings.Contains(line, "d1 create") || strings.Contains(line, "--into ") || strings.Contains(line, "-bail") {
				d.clear()
			}
			if strings.Contains(line, "patina download") {
				file := regexp.MustCompile(`-o (\S+)`).FindStringSubmatch(line)[1]
				_ = os.Remove(filepath.Join(d.dir, file))
			}
			d.follow(line)
			for _, made := range []struct{ by, what string }{
				{"patina restore --bookmark", "groveauth"},
				{"--confirm groveauth\n", "groveauth"},
				{"--to groveauth-restored", "groveauth-restored"},
				{"--into restored.sqlite", "restored.sqlite"},
				{".d1.sql groveauth-restored", "groveauth-restored"},
				{"restored.sqlite <", "restored.sqlite"},
			} {
				if strings.Contains(line, made.by) && !strings.Contains(line, "--table") {
					checked[made.by]++
					same(made.what)
				}
			}
		}
	}
	if len(checked) != 6 || len(blocks) < 15 {
		t.Errorf("of %d blocks only these were checked: %v\n%s", len(blocks), checked, text)
	}
	var n int
	if err := sim.DB(id).QueryRow(`SELECT count(*) FROM sqlite_schema WHERE name LIKE '%\_restored\_%' ESCAPE '\' AND type = 'table'`).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d tables came back beside the old ones: %v", n, err)
	}
	d.clear()
	for _, b := range blocks {
		if strings.Contains(b[1], `"target":"new"`) {
			has(t, d.follow(b[1]), "job_id")
		}
	}
	if code := r.ended(); code != exitDone {
		t.Errorf("exit code %d after a stop:\n%s", code, r.text)
	}
}
