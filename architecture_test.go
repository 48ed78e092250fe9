package patina_test

import (
	"bufio"
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// This file holds the tree to docs/architecture.md: who may import whom, where
// a library lives, what files and folders are called, how long they grow, and
// where SQL and the environment may be touched.

const module = "github.com/AutumnsGrove/Patina/"

// source is one Go file of ours.
type source struct {
	path      string // slash-separated, from the root
	dir       string
	test      bool // a _test.go file, or in a package that only tests import
	generated bool
	lines     int
	fset      *token.FileSet
	file      *ast.File
	imports   []string
}

// testOnly names the folders that serve tests: what they may do is what a test may.
var testOnly = regexp.MustCompile(`(^|/)(objecttest|storetest|d1test|e2e)(/|$)`)

// sources parses every Go file of the tree.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	walk(t, func(name string) {
		if !strings.HasSuffix(name, ".go") {
			return
		}
		text, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil {
			t.Fatal(err)
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatalf("parse: %v", err)
		}
		s := source{
			path: name, dir: path.Dir(name), fset: fset, file: file,
			test:      strings.HasSuffix(name, "_test.go") || testOnly.MatchString(path.Dir(name)),
			generated: ast.IsGenerated(file),
			lines:     bytes.Count(text, []byte("\n")),
		}
		for _, spec := range file.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			s.imports = append(s.imports, p)
		}
		all = append(all, s)
	})
	if len(all) < 20 {
		t.Fatalf("found only %d Go files: the walk looks at nothing", len(all))
	}
	return all
}

// walk calls f with every file of the tree that belongs to the project.
func walk(t *testing.T, f func(name string)) {
	t.Helper()
	skip := []string{".git", "node_modules", "data", "bin", "tmp", ".tools", ".node", "screenshots"}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains(skip, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		f(filepath.ToSlash(name))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// layers says what each folder's own code may import of ours; the longest
// matching folder counts. "x/..." means x and all below it.
var layers = map[string][]string{
	"cmd":              {"..."},
	"web":              {"store", "backup", "backup/dump", "backup/object", "backup/archive", "backup/restore", "backup/retention", "backup/alert", "web/...", "static", "docs"},
	"jobs":             {"jobs/...", "store", "backup/..."},
	"store":            {"store/...", "backup", "migrations"},
	"backup":           {},
	"backup/d1":        {"backup"},
	"backup/d1/d1sim":  {"backup"},
	"backup/d1/d1test": {"backup/..."},
	"backup/dump":      {},
	"backup/source":    {"backup/d1", "backup"},
	"backup/object":    {"backup", "backup/object"},
	"backup/alert":     {"backup"},
	"backup/retention": {"backup"},
	"backup/export":    {"backup/source", "backup/dump", "backup/object", "backup"},
	"backup/archive":   {"backup/source", "backup/dump", "backup/object", "backup"},
	"backup/prove":     {"backup/export", "backup/source", "backup/d1", "backup/dump", "backup/object", "backup/archive", "backup"},
	"backup/restore":   {"backup/export", "backup/prove", "backup/source", "backup/d1", "backup/dump", "backup/object", "backup/archive", "backup"},
	"backup/catalogue": {"backup/export", "backup/dump", "backup/object", "backup/archive", "backup"},
	"migrations":       {},
	"static":           {},
	"docs":             {},
	".ci":              {},
	".":                {},
}

func layerOf(dir string) (string, bool) {
	for d := dir; ; d = path.Dir(d) {
		if _, ok := layers[d]; ok {
			return d, true
		}
		if !strings.Contains(d, "/") {
			return "", false
		}
	}
}

func permitted(target string, rules []string) bool {
	for _, rule := range rules {
		if rule == "..." || rule == target {
			return true
		}
		if tree, ok := strings.CutSuffix(rule, "/..."); ok && (target == tree || strings.HasPrefix(target, tree+"/")) {
			return true
		}
	}
	return false
}

func TestImports(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, s := range sources(t) {
		layer, ok := layerOf(s.dir)
		if !ok {
			t.Errorf("%s: no layer has this folder; docs/architecture.md says where things go", s.path)
			continue
		}
		if s.test {
			continue // a test may compare what its package may not use
		}
		for _, p := range s.imports {
			target, ours := strings.CutPrefix(p, module)
			if !ours {
				continue
			}
			seen++
			if testOnly.MatchString(target) {
				t.Errorf("%s imports %s, which is for tests", s.path, target)
			}
			if !permitted(target, layers[layer]) {
				t.Errorf("%s imports %s; %s may import only %s", s.path, target, layer, strings.Join(layers[layer], ", "))
			}
			if layer == "web" && target != s.dir && strings.HasPrefix(target, "web/") && s.dir != "web" &&
				!permitted(target, []string{"web/ui", "web/auth"}) {
				t.Errorf("%s imports %s: sections of the dashboard know only web/ui and web/auth", s.path, target)
			}
		}
	}
	if seen == 0 {
		t.Error("no import of ours was looked at")
	}
}

// homes says where a library may be imported. A name ending in / is a prefix.
var homes = map[string][]string{
	"github.com/labstack/echo/":              {"web"},
	"github.com/a-h/templ":                   {"web"},
	"github.com/a-h/templ/":                  {"web"},
	"github.com/riverqueue/":                 {"jobs"},
	"github.com/jackc/pgx/":                  {"store", "jobs", "web/auth"}, // sessions lie in Postgres
	"github.com/pressly/goose/":              {"store"},
	"github.com/aws/":                        {"backup/object"},
	"github.com/cloudflare/cloudflare-go/":   {"backup/d1"},
	"github.com/yuin/goldmark":               {"web/manual"},
	"github.com/yuin/goldmark/":              {"web/manual"},
	"github.com/alexedwards/scs/":            {"web/auth"},
	"github.com/alexedwards/argon2id":        {"web/auth"},
	"github.com/coreos/go-oidc/":             {"web/auth"},
	"golang.org/x/oauth2":                    {"web/auth"},
	"github.com/spf13/":                      {"cmd"},
	"github.com/BurntSushi/toml":             {"cmd"},
	"github.com/prometheus/client_golang/":   {"web"},
	"modernc.org/sqlite":                     {"cmd/bench", "backup/source", "backup/d1/d1sim", "backup/prove", "backup/restore"},
	"github.com/go-json-experiment/json/":    {"backup/d1"},
	"github.com/chromedp/":                   {},
	"github.com/getkin/kin-openapi/":         {},
	"github.com/pelletier/go-toml/":          {},
	"github.com/fergusstrange/":              {},
	"github.com/cloudflare/cloudflare-go/v7": {}, // the root package pulls in every Cloudflare service
}

func TestLibrariesHaveOneHome(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, p := range s.imports {
			for library, where := range homes {
				if p != library && (!strings.HasSuffix(library, "/") || !strings.HasPrefix(p, library)) {
					continue
				}
				used[library] = true
				home := slices.ContainsFunc(where, func(h string) bool { return s.dir == h || strings.HasPrefix(s.dir, h+"/") })
				if !home {
					t.Errorf("%s imports %s, whose home is %s", s.path, p, strings.Join(where, " and "))
				}
			}
		}
		if s.dir == "backup/dump" || s.dir == "backup" {
			for _, p := range s.imports {
				if first, _, _ := strings.Cut(p, "/"); strings.Contains(first, ".") {
					t.Errorf("%s imports %s: this package uses the standard library only", s.path, p)
				}
			}
		}
	}
	if len(used) == 0 {
		t.Error("no library was looked at")
	}
}

func TestTopLevel(t *testing.T) {
	t.Parallel()
	fixed := []string{
		"cmd", "web", "jobs", "store", "migrations", "static", "docs", "backup",
		"fly.toml", "go.mod", "go.sum", "Makefile", "README.md", "Dockerfile", "LICENSE", "architecture_test.go",
	}
	local := []string{"data", "bin", "tmp", "patina.toml"} // in .gitignore
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") || slices.Contains(fixed, name) || slices.Contains(local, name) || strings.HasSuffix(name, ".test") {
			continue
		}
		t.Errorf("%s stands at the root; what belongs there is fixed: %s", name, strings.Join(fixed, " "))
	}
	for _, name := range fixed {
		if _, err := os.Stat(name); err != nil {
			t.Errorf("the root lacks %s", name)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	banned := regexp.MustCompile(`^(internal|pkg|utils?|commons?|helpers?|models?|types|services|misc|shared|base|core|lib)$`)
	plain := regexp.MustCompile(`^[a-z0-9_]+(_test|_templ)?\.go$`)
	walk(t, func(name string) {
		for _, part := range strings.Split(path.Dir(name), "/") {
			if banned.MatchString(part) {
				t.Errorf("%s: a folder called %s says nothing about what it owns", name, part)
			}
		}
		base := path.Base(name)
		if !strings.HasSuffix(base, ".go") {
			return
		}
		stem := strings.TrimSuffix(base, ".go")
		if banned.MatchString(stem) {
			t.Errorf("%s: a file called %s says nothing about what it owns", name, base)
		}
		if !plain.MatchString(base) {
			t.Errorf("%s: file names are lower case", name)
		}
	})
}

func TestLengths(t *testing.T) {
	t.Parallel()
	const fileLines, functionLines = 500, 80
	for _, s := range sources(t) {
		if s.generated {
			continue
		}
		if !s.test && s.lines > fileLines {
			t.Errorf("%s has %d lines; %d at most", s.path, s.lines, fileLines)
		}
		if strings.HasSuffix(s.path, "_test.go") {
			continue // a table of cases may be long
		}
		for _, decl := range s.file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			if n := s.fset.Position(fn.End()).Line - s.fset.Position(fn.Pos()).Line + 1; n > functionLines {
				t.Errorf("%s: %s has %d lines; %d at most", s.path, fn.Name.Name, n, functionLines)
			}
		}
	}
}

func TestPackagesOpenWithACharter(t *testing.T) {
	t.Parallel()
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		documented[s.dir] = documented[s.dir] || s.file.Doc != nil
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s has no package comment: say what it owns and what it never does", dir)
		}
	}
}

// sql recognises a statement at the start of a string.
var sql = regexp.MustCompile(`(?s)^\s*(SELECT\s.+|INSERT\s+INTO\s.+|UPDATE\s+\S+\s+SET\s.+|DELETE\s+FROM\s.+|CREATE\s+(TABLE|INDEX|UNIQUE)\s.+|ALTER\s+TABLE\s.+|WITH\s+\w+\s+AS\s*\(.+)$`)

func TestSQLLivesInTheStore(t *testing.T) {
	t.Parallel()
	// Postgres's SQL lives in store. What is asked of SQLite lives with those
	// who speak to a source, write or read a dump, simulate an account or measure.
	homes := regexp.MustCompile(`^(store|migrations|cmd/bench|backup/(d1|source|export|dump|prove|restore))(/|$)`)
	found := 0
	for _, s := range sources(t) {
		if s.test || s.generated {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil || !sql.MatchString(text) {
				return true
			}
			found++
			if !homes.MatchString(s.dir) {
				t.Errorf("%s: SQL outside its home: %.60q", s.fset.Position(lit.Pos()), text)
			}
			return true
		})
	}
	if found == 0 {
		t.Error("no SQL was found anywhere: the check looks at nothing")
	}
}

func TestOnlyConfigReadsTheEnvironment(t *testing.T) {
	t.Parallel()
	readers := []string{"cmd/patina/config.go", "cmd/patina/faults.go"}
	found := false
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := sel.X.(*ast.Ident)
			if !ok || pkg.Name != "os" && pkg.Name != "syscall" ||
				!slices.Contains([]string{"Getenv", "LookupEnv", "ExpandEnv"}, sel.Sel.Name) {
				return true
			}
			if slices.Contains(readers, s.path) {
				found = true
				return true
			}
			t.Errorf("%s reads the environment; only cmd/patina/config.go does", s.fset.Position(sel.Pos()))
			return true
		})
	}
	if !found {
		t.Error("nothing reads the environment: the check looks at nothing")
	}
}

// unfit is what the tree never holds: notes to self, and paths of one machine.
var unfit = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX)\b|(^|[\s"'` + "`" + `(=])/wo` + `rk/[a-z]`)

func TestTreeSpeaksOfItselfAlone(t *testing.T) {
	t.Parallel()
	files := 0
	walk(t, func(name string) {
		switch path.Ext(name) {
		case ".go", ".md", ".sql", ".sh", ".toml", ".yml", ".templ", ".css", "":
		default:
			return
		}
		if strings.HasPrefix(name, "static/") && path.Ext(name) == "" {
			return
		}
		files++
		text, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(bytes.NewReader(text))
		lines.Buffer(nil, 16<<20)
		for n := 1; lines.Scan(); n++ {
			if m := unfit.FindString(lines.Text()); m != "" {
				t.Errorf("%s:%d holds %q", name, n, m)
			}
		}
		if err := lines.Err(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	if files < 20 {
		t.Errorf("looked at only %d files", files)
	}
}

// inTree matches a path of ours between backquotes.
var inTree = regexp.MustCompile("`((?:cmd|web|jobs|store|migrations|static|docs|backup|\\.ci)/[a-zA-Z0-9_./-]*|architecture_test\\.go)`")

// TestArchitectureMatchesTheTree: docs/architecture.md names every package with
// what it owns and no other, and a path that a page names exists.
func TestArchitectureMatchesTheTree(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| folder | owns |")
	table, _, _ = strings.Cut(table, "\n\n")
	told := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9/]+)/` \\| (.{15,}) \\|$").FindAllStringSubmatch(table, -1) {
		if told[m[1]] {
			t.Errorf("docs/architecture.md names %s twice", m[1])
		}
		told[m[1]] = true
	}
	packages := map[string]bool{}
	for _, s := range sources(t) {
		if s.dir != "." && !strings.HasPrefix(s.dir, ".ci") && path.Base(s.dir) != "testdata" {
			packages[s.dir] = true
		}
	}
	for dir := range packages {
		if !told[dir] {
			t.Errorf("docs/architecture.md does not say what %s owns", dir)
		}
	}
	for dir := range told {
		if !packages[dir] {
			t.Errorf("docs/architecture.md tells of %s, which is no package", dir)
		}
	}
	named := 0
	walk(t, func(name string) {
		if path.Ext(name) != ".md" || strings.HasPrefix(name, "docs/guide/") {
			return
		}
		text, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range inTree.FindAllStringSubmatch(string(text), -1) {
			named++
			if m[1] == "web/e2e/screenshots/" {
				continue // made by the tests
			}
			if _, err := os.Stat(filepath.FromSlash(m[1])); err != nil {
				t.Errorf("%s names %s, which does not exist", name, m[1])
			}
		}
	})
	if named < 60 {
		t.Errorf("only %d paths were looked at", named)
	}
}
