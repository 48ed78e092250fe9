package manual

import (
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

// tree gives every Markdown file of the project, by its path from the root.
func tree(t *testing.T) map[string][]byte {
	t.Helper()
	pages := map[string][]byte{}
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", "node_modules", "data", "bin", "tmp", ".tools", ".node"}, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".md" || path.Dir(name) == "docs/guide" {
			return nil
		}
		pages[name], err = fs.ReadFile(root, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range variants { // the guides, filled
		pages["docs/guide, "+what] = []byte(filled(t, "groveauth", "users", change))
	}
	if len(pages) < 20 {
		t.Fatalf("only %d pages were found", len(pages))
	}
	return pages
}

// walkLinks calls f with each link and picture of a page, and gives its anchors.
func walkLinks(t *testing.T, source []byte, f func(link string)) anchors {
	t.Helper()
	ids := anchors{}
	plain := parser.NewParser(parser.WithBlockParsers(parser.DefaultBlockParsers()...), parser.WithInlineParsers(parser.DefaultInlineParsers()...),
		parser.WithParagraphTransformers(parser.DefaultParagraphTransformers()...), parser.WithAutoHeadingID())
	doc := plain.Parse(text.NewReader(source), parser.WithContext(parser.NewContext(parser.WithIDs(ids))))
	err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		switch l := n.(type) {
		case *ast.Link:
			if entering {
				f(string(l.Destination))
			}
		case *ast.Image:
			if entering {
				f(string(l.Destination))
			}
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// TestLinksResolve: what is relative leads to a file of the tree, and an anchor
// to a heading of it; what leads out is well formed.
func TestLinksResolve(t *testing.T) {
	t.Parallel()
	pages := tree(t)
	headings := map[string]anchors{}
	for name, source := range pages {
		headings[name] = walkLinks(t, source, func(string) {})
	}
	within, out := 0, 0
	for name, source := range pages {
		walkLinks(t, source, func(link string) {
			u, err := url.Parse(link)
			if err != nil {
				t.Errorf("%s: %q is no link: %v", name, link, err)
				return
			}
			if u.Scheme != "" {
				out++
				if u.Scheme != "https" || !strings.Contains(u.Host, ".") {
					t.Errorf("%s: %q leads to nowhere safe", name, link)
				}
				return
			}
			within++
			to := name
			if u.Path != "" {
				to = path.Join(path.Dir(name), u.Path)
				if strings.HasPrefix(u.Path, "/") {
					t.Errorf("%s: %q is an address of the dashboard, and leads nowhere in a file", name, link)
					return
				}
				if _, err := os.Stat(filepath.Join("../..", filepath.FromSlash(to))); err != nil {
					t.Errorf("%s: %q: there is no %s", name, link, to)
					return
				}
			}
			if u.Fragment != "" && !headings[to][u.Fragment] {
				t.Errorf("%s: %q: %s has no such heading", name, link, to)
			}
		})
	}
	if within < 20 || out < 1 {
		t.Errorf("only %d links within and %d out were looked at", within, out)
	}
}

// unsafe is markup that a page of Markdown never makes.
var unsafe = regexp.MustCompile(`(?i)<(script|iframe|form|input|style|object|embed)\b|<[^>]+\s(on[a-z]+|hx-[a-z]+|style)\s*=|(href|src)="\s*(javascript|data|vbscript):`)

// label is an attribute whose value comes from a table's head, escaped.
var label = regexp.MustCompile(`data-label="[^"<>]*"`)

// TestPagesAreSafeAndWhole: every page renders, with one title, an id for each
// heading and a label in each cell, and nothing runs in it.
func TestPagesAreSafeAndWhole(t *testing.T) {
	t.Parallel()
	for name, source := range tree(t) {
		html, contents, err := render(source)
		if err != nil || strings.Count(html, "<h1 ") != 1 {
			t.Errorf("%s: %d titles: %v", name, strings.Count(html, "<h1 "), err)
		}
		if strings.Count(html, "<h2 id=") != len(contents) || strings.Contains(html, "<h3>") {
			t.Errorf("%s: headings without an id, or not in its contents", name)
		}
		if m := unsafe.FindString(html); m != "" {
			t.Errorf("%s holds %q", name, m)
		}
		if name != "README.md" && strings.Contains(html, "<td>") != strings.Contains(html, "<td data-label=") { // there the table has no head
			t.Errorf("%s: cells do not say what their columns are called", name)
		}
	}
	for _, hostile := range []string{
		"<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "<a hx-get=/x>x</a>", "# x {onclick=alert(1)}", "| a | x\" onclick=\"y |\n|---|---|\n| b | c |\n", "[x](<javascript:alert(1)>)",
		"[x]: javascript:alert(1)\n[x]", "<javascript:alert(1)>", "![x](data:text/html;base64,x)", "| a |\n|---|\n| <table><script>x</script> |\n", "<div style=color:red hx-on:click=x>",
	} {
		if html, _, err := render([]byte(hostile)); err != nil || unsafe.MatchString(label.ReplaceAllString(html, "")) {
			t.Errorf("%q becomes %s (%v)", hostile, html, err)
		}
	}
	if unsafe.MatchString(`<p>a</p><a href="/docs">x</a>`) || !unsafe.MatchString(`<a href="javascript:x">`) || !unsafe.MatchString(`<p hx-get="x">`) {
		t.Error("what is looked for is not what is unsafe")
	}
}

// TestTarget: a link of the folder docs leads to the same thing in the dashboard.
func TestTarget(t *testing.T) {
	t.Parallel()
	for link, want := range map[string]string{
		"operating.md": "/docs/operating", "operating.md#roles": "/docs/operating#roles", "runbook.md#4-expected-times": "/runbook#4-expected-times", "README.md": "/docs",
		"grove.toml": "/docs/grove.toml", "openapi.json": "/openapi.json", "#here": "#here", "/jobs": "/jobs", "https://example.org/x.md": "https://example.org/x.md",
		"../cmd/patina/config.go": sourceURL + "cmd/patina/config.go", "../README.md": sourceURL + "README.md", "guide/full.md": sourceURL + "docs/guide/full.md", "mailto:a@example.org": "mailto:a@example.org",
	} {
		if got := target(link); got != want {
			t.Errorf("%s leads to %s, want %s", link, got, want)
		}
	}
	a := anchors{"content": true}
	for text, want := range map[string]string{"4. Expected times": "4-expected-times", "DEFCON 1: the backups": "defcon-1-the-backups", "`patina.toml`": "patinatoml", "Content": "content-1", "Über, uns": "über-uns", "?": "section"} {
		if got := string(a.Generate([]byte(text), ast.KindHeading)); got != want {
			t.Errorf("%q has the anchor %s, want %s", text, got, want)
		}
	}
}
