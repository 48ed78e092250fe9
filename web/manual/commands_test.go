package manual

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// hostileNames are names that want to be more than a name.
var hostileNames = []string{
	"a'; touch pwned; '", `a"; touch pwned; "`, "$(touch pwned)", "`touch pwned`", "a\ntouch pwned\n", "```\ntouch pwned\n```", "a b", "&& touch pwned", "|touch pwned", "a\\", "#x", "-rf", "!x", "*", "a\r\nb",
	"<script>alert(1)</script>", "[x](javascript:alert(1))", "| a | b |", "--file=x.sql", "é😀", "\u202eevil", "%s%d", "{{.Now}}", "x;.shell touch pwned", strings.Repeat("long ", 100), "'", "''", "~", "a\x00b",
}

// filled is a guide of a database with one copy, changed in some way.
func filled(t *testing.T, name, table string, change func(*guide)) string {
	t.Helper()
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	c := backup.Copy{
		ID: "01a20d05-4cf1-732b-b675-75b4ac1ac044", DatabaseName: name, DatabaseID: "6ae2b03c-40dd-499e-ab31-017f78989b60", Kind: backup.Daily, Date: backup.Date{Year: 2026, Month: 11, Day: 23},
		TakenAt: now.Add(-30 * time.Hour), Key: "daily/2026-11-23/db.sql", SHA256: strings.Repeat("ab", 32), Consistency: backup.Snapshot, BookmarkBefore: "00000085-ffffffff-00004dff", Proof: backup.ProofProven, Compression: backup.Plain,
		Manifest: &backup.Manifest{SQLSHA256: strings.Repeat("cd", 32), Sections: []backup.Section{{Name: table, Kind: dump.KindTable, Rows: 1204}, {Name: "small", Kind: dump.KindTable, Rows: 3}}},
	}
	older := c
	older.ID, older.TakenAt = "older", c.TakenAt.Add(-24*time.Hour)
	g, err := newGuide(guide{Database: backup.Database{ID: c.DatabaseID, Name: name, Binding: "DB"}, Bucket: "r2://grove-patina", Base: "https://patina.example", Now: now}, []backup.Copy{c, older}, func(string) (backup.Copy, error) { return c, nil })
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&g)
		if g.Newest != nil {
			g.Advice = advise(g.Database, *g.Newest, now)
		}
	}
	text, err := g.text()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// variants are the ways in which a guide can differ.
var variants = map[string]func(*guide){
	"as it is": nil,
	"gzip":     func(g *guide) { g.Newest.Compression = backup.Gzip },
	"archived": func(g *guide) {
		g.Newest.ObjectGone, g.Newest.Archived = true, backup.Archived{Week: "2026-W48", Name: "2026-11-23/db.sql"}
	},
	"old":         func(g *guide) { g.Newest.TakenAt = g.Now.Add(-60 * 24 * time.Hour) },
	"no bookmark": func(g *guide) { g.Newest.BookmarkBefore = "" },
	"gone":        func(g *guide) { g.Database.GoneAt = &g.Now },
	"no copy":     func(g *guide) { g.Newest, g.Copies, g.Advice = nil, nil, advice{} },
	"fuzzy":       func(g *guide) { g.Newest.Consistency = backup.Fuzzy },
	"findings": func(g *guide) {
		g.Warnings = []backup.Finding{{Code: "orphans", Object: "users", Message: "3 rows *reference* nothing"}}
	},
	"newer":    func(g *guide) { g.Newer = &g.Copies[0] },
	"a folder": func(g *guide) { g.Bucket = "file:///srv/back ups" },
	"s3":       func(g *guide) { g.Bucket = "s3://bucket?endpoint=https%3A%2F%2Fs3.example&region=x" },
	"redacted": func(g *guide) { g.Newest.Manifest.Redactions = []string{"a.b → null", "c.d → hash"} },
}

var blocks = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// commands are the lines of a guide's blocks of commands.
func commands(text string) (all []string) {
	for _, b := range blocks.FindAllStringSubmatch(text, -1) {
		all = append(all, strings.Split(strings.TrimRight(b[1], "\n"), "\n")...)
	}
	return all
}

// TestNoRawFileForWrangler: whatever the copy, what wrangler is given was made
// for D1 by an earlier command of the same guide.
func TestNoRawFileForWrangler(t *testing.T) {
	t.Parallel()
	files := regexp.MustCompile(`--file=('(?:[^']|'\\'')*'|\S+)`)
	made := regexp.MustCompile(`(?:--for d1 -o |-o |> )('(?:[^']|'\\'')*\.d1\.sql'|\S+\.d1\.sql)`)
	for what, change := range variants {
		for _, name := range append([]string{"groveauth"}, hostileNames...) {
			forD1, given := map[string]bool{}, 0
			for _, line := range commands(filled(t, name, "users", change)) {
				if m := made.FindStringSubmatch(line); m != nil {
					if !strings.Contains(line, "--for d1") && !strings.Contains(line, "for=d1") && !strings.Contains(line, "defer_foreign_keys=ON") {
						t.Errorf("%s, %.30q: %s is not made for D1", what, name, line)
					}
					forD1[m[1]] = true
				}
				if !strings.Contains(line, "wrangler d1 execute") {
					continue
				}
				options, _, _ := strings.Cut(line, " -- ") // behind it stand names
				if m := files.FindStringSubmatch(options); m != nil {
					given++
					if !forD1[m[1]] {
						t.Errorf("%s, %.30q: wrangler is given %s, which was not made for D1: %s", what, name, m[1], line)
					}
				} else if !strings.Contains(line, "--command") {
					t.Errorf("%s, %.30q: %s", what, name, line)
				}
			}
			if want := map[bool]int{true: 0, false: 3}[what == "no copy"]; given != want {
				t.Errorf("%s, %.30q: wrangler is given %d files, want %d", what, name, given, want)
			}
		}
	}
}

// TestGuideIsWhole: each variant is filled in, its blocks close, and its page
// has no markup but its own.
func TestGuideIsWhole(t *testing.T) {
	t.Parallel()
	for what, change := range variants {
		text := filled(t, "groveauth", "users", change)
		for _, bad := range []string{"<no value>", "%!", "<nil>", "\n\n\n", "{{", "ZgotmplZ"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s: it holds %q:\n%s", what, bad, text)
			}
		}
		if n := strings.Count(text, "\n```"); n%2 != 0 || n < 2 {
			t.Errorf("%s: %d fences", what, n)
		}
		html, _, err := render([]byte(text))
		if err != nil || strings.Count(html, "<h1 ") != 1 || strings.Contains(html, "```") || strings.Contains(html, "|---") {
			t.Errorf("%s: %v\n%s", what, err, html)
		}
		if reaches := strings.Contains(text, "--bookmark="); reaches != !slices.Contains([]string{"old", "no bookmark", "gone", "no copy"}, what) {
			t.Errorf("%s: a bookmark is offered: %v", what, reaches)
		}
	}
	for what, parts := range map[string][]string{
		"as it is": {"patina restore --bookmark 00000085-ffffffff-00004dff --in-place groveauth --confirm groveauth", "patina restore 01a20d05-4cf1-732b-b675-75b4ac1ac044 --to groveauth-restored", "--table users", "patina rebuild", "wrangler r2 object get grove-patina/daily", "| `users` | 1,204 |"},
		"archived": {"weekly/2026-W48.tar.gz", "tar -xzOf 2026-W48.tar.gz 2026-11-23/db.sql > groveauth-2026-11-23.sql"},
		"gzip":     {"gunzip groveauth-2026-11-23.sql.gz"},
		"findings": {`3 rows \*reference\* nothing`},
		"newer":    {"patina verify 01a20d05-4cf1-732b-b675-75b4ac1ac044"},
		"a folder": {"cp '/srv/back ups/daily/2026-11-23/db.sql' groveauth-2026-11-23.sql"},
		"s3":       {"aws s3 cp s3://bucket/daily/2026-11-23/db.sql groveauth-2026-11-23.sql --endpoint-url https://s3.example"},
		"redacted": {"NR>9{"},
		"fuzzy":    {"when the copy was begun"},
		"gone":     {"no longer has this database"},
	} {
		text := filled(t, "groveauth", "users", variants[what])
		for _, p := range parts {
			if !strings.Contains(text, p) {
				t.Errorf("%s: %q is missing from\n%s", what, p, text)
			}
		}
	}
}

// shell runs a guide's commands with every program replaced by one that writes
// its arguments down, a line each, NUL between them.
func shell(t *testing.T, lines []string) (args [][]string, files []string) {
	t.Helper()
	dir := t.TempDir()
	script := "record() { printf '%s\\0' \"$@\" >> ../args; printf '\\n' >> ../args; }\n"
	for _, program := range []string{"npx", "patina", "curl", "aws", "sqlite3", "gunzip", "cp", "tar", "tail", "sha256sum", "awk"} {
		script += program + "() { record " + program + " \"$@\"; cat > /dev/null < /dev/null; }\n"
	}
	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-eu")
	cmd.Dir = work
	cmd.Env = []string{"PATINA_TOKEN=token", "PATH=" + os.Getenv("PATH")}
	cmd.Stdin = strings.NewReader(script + strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil && !strings.Contains(string(out), "No such file") { // of what is read with <
		t.Fatalf("%v: %s\n%s", err, out, strings.Join(lines, "\n"))
	}
	text, err := os.ReadFile(filepath.Join(dir, "args"))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range strings.Split(strings.TrimSuffix(string(text), "\x00\n"), "\x00\n") {
		args = append(args, strings.Split(l, "\x00"))
	}
	entries, err := os.ReadDir(work)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		files = append(files, e.Name())
	}
	return args, files
}

// TestNamesAreInertInCommands runs the commands for databases and tables of
// hostile names: each name arrives as one argument, or a part of one, and
// nothing else runs.
func TestNamesAreInertInCommands(t *testing.T) {
	t.Parallel()
	var plain int
	for _, name := range append([]string{"groveauth"}, hostileNames...) {
		text := filled(t, name, name, nil)
		var lines []string
		for _, l := range commands(text) {
			if made, file, ok := strings.Cut(l, "; } > "); ok { // arguments, for the test
				l = made + "; record made " + file + "; }"
			}
			l = strings.Replace(l, ".sqlite < ", ".sqlite ", 1)
			lines = append(lines, l)
		}
		args, files := shell(t, lines)
		if name == "groveauth" {
			plain = len(args)
		}
		if len(args) != plain || len(files) > 0 {
			t.Errorf("%q: %d programs run, not %d; files %q", name, len(args), plain, files)
		}
		shown := ui.Name(name)
		for _, a := range args {
			if last := a[len(a)-1]; a[0] == "npx" && a[2] == "d1" && (last != shown && last != shown+"-restored" || strings.HasPrefix(shown, "-") && a[len(a)-2] != "--") {
				t.Errorf("%q arrives as %q", name, a)
			}
			for _, file := range a[1:] {
				if strings.HasSuffix(file, ".sql") && strings.HasPrefix(file, "-") && file != "--file=x.sql" && !strings.HasPrefix(file, "--file=") {
					t.Errorf("%q makes the file %q", name, file)
				}
			}
			if i := slices.Index(a, "--in-place"); i >= 0 && a[i+1] != shown {
				t.Errorf("%q arrives as %q", name, a[i+1])
			}
			if i := slices.Index(a, "--table"); i >= 0 && a[i+1] != shown {
				t.Errorf("the table %q arrives as %q", name, a[i+1])
			}
		}
	}
}

// TestAlone follows the part for the day when nothing but the bucket is left,
// with a real dump in a folder, and a real shell: what it makes for D1 is what
// Patina would have made.
func TestAlone(t *testing.T) {
	t.Parallel()
	for _, compress := range []bool{false, true} {
		for _, redactions := range [][]string{nil, {"users.name → null"}} {
			var text bytes.Buffer
			w := dump.NewWriter(&text, dump.Header{Database: "groveauth", DatabaseID: "x", TakenAt: time.Unix(1_800_000_000, 0), Redactions: redactions})
			table := dump.Table{Name: "users", SQL: "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT)", Columns: []string{"id", "name"}, AllColumns: true}
			if err := w.BeginTable(table); err != nil {
				t.Fatal(err)
			}
			for i, v := range []string{"ada", "BEGIN TRANSACTION;\nCOMMIT;\nPRAGMA foreign_keys=ON;\n-- file-sha256: x\n", "é\\n%s\\", strings.Repeat("long\n", 30_000)} {
				if err := w.Row([]dump.Value{{Kind: dump.Integer, Bytes: fmt.Append(nil, i)}, {Kind: dump.Text, Bytes: []byte(v)}}); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.EndTable(); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Finish(dump.Footer{Consistency: "snapshot"}); err != nil {
				t.Fatal(err)
			}
			bucket, work := t.TempDir(), t.TempDir()
			stored := text.Bytes()
			if compress {
				var z bytes.Buffer
				zw := gzip.NewWriter(&z)
				_, _ = zw.Write(stored)
				_ = zw.Close()
				stored = z.Bytes()
			}
			key := filepath.Join(bucket, "daily", "2026-11-23", "db.sql")
			if err := os.MkdirAll(filepath.Dir(key), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(key, stored, 0o600); err != nil {
				t.Fatal(err)
			}
			guide := filled(t, "groveauth", "users", func(g *guide) {
				g.Bucket = "file://" + bucket
				if compress {
					g.Newest.Compression = backup.Gzip
				}
				sum := sha256.Sum256(text.Bytes())
				g.Newest.Manifest.SQLSHA256, g.Newest.Manifest.Redactions = hex.EncodeToString(sum[:]), redactions
			})
			_, alone, ok := strings.Cut(guide, "## 5. ")
			if !ok {
				t.Fatal("there is no step 5")
			}
			script := "npx() { :; }; patina() { :; }; sqlite3() { cat > /dev/null; }\n" + strings.Join(commands(alone), "\n")
			cmd := exec.CommandContext(t.Context(), "sh", "-eu", "-c", script)
			cmd.Dir = work
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), ": OK") {
				t.Fatalf("%v: %s\n%s", err, out, script)
			}
			got, err := os.ReadFile(filepath.Join(work, "groveauth-2026-11-23.d1.sql"))
			if err != nil {
				t.Fatal(err)
			}
			var want bytes.Buffer
			if err := dump.ForD1(&want, bytes.NewReader(text.Bytes())); err != nil {
				t.Fatal(err)
			}
			if a, b := statements(t, got), statements(t, want.Bytes()); !slices.Equal(a, b) {
				t.Errorf("the shell makes\n%.600q\nand Patina\n%.600q", a, b)
			}
		}
	}
}

// statements takes a text apart.
func statements(t *testing.T, text []byte) (all []string) {
	t.Helper()
	for {
		text = bytes.TrimLeft(text, "\n")
		for bytes.HasPrefix(text, []byte("--")) {
			_, text, _ = bytes.Cut(text, []byte("\n"))
		}
		n := dump.StatementEnd(text)
		if n < 0 {
			if len(bytes.TrimSpace(text)) > 0 {
				t.Fatalf("behind the last statement stands %.200q", text)
			}
			return all
		}
		all, text = append(all, string(text[:n])), text[n:]
	}
}
