package web_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

var (
	hrefs = regexp.MustCompile(`\b(?:href|src|hx-get|sse-connect)="([^"]*)"`)
	ids   = regexp.MustCompile(`\bid="([^"]+)"`)
)

// Every link of every page that can be reached from the overview leads to
// something, and its anchor to a place there; what leads out is well formed.
func TestLinksOfPages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, c, _ := b.database("groveauth")
	c = b.archived(c)[0]
	job := b.job(backup.JobFailed, backup.ResultFailed, d)
	b.restored(job, d, c)
	b.drill(job, d, c)
	b.user("ada", store.Admin, true)
	ada := b.signedIn("ada")

	anchored := map[string][]string{} // the pages that lead to an anchor
	found := map[string]map[string]bool{}
	queue, from := []string{"/"}, map[string]string{"/": "the beginning"}
	for len(queue) > 0 && len(found) < 400 {
		at := queue[0]
		queue = queue[1:]
		res := ada.get(at)
		made := strings.HasPrefix(at, "/download/") || at == "/databases/elsewhere" // what the bench made up has no dump, and an archive of one database
		if res.status != http.StatusOK && !made || res.status == http.StatusNotFound && strings.HasPrefix(at, "/download/") {
			t.Errorf("%s, to which %s leads: %d", at, from[at], res.status)
		}
		found[at] = map[string]bool{}
		for _, m := range ids.FindAllStringSubmatch(res.body, -1) { // an icon in a file of SVG has one too
			found[at][m[1]] = true
		}
		if !strings.HasPrefix(res.header.Get("Content-Type"), "text/html") {
			continue
		}
		base, _ := url.Parse(at)
		for _, m := range hrefs.FindAllStringSubmatch(res.body, -1) {
			u, err := base.Parse(html.UnescapeString(m[1]))
			if err != nil {
				t.Errorf("%s: %q is no link: %v", at, m[1], err)
				continue
			}
			if u.Host != "" {
				if u.Scheme != "https" || !strings.Contains(u.Host, ".") {
					t.Errorf("%s leads out to %q", at, m[1])
				}
				continue
			}
			fragment := u.Fragment
			u.Fragment, u.RawFragment = "", ""
			to := u.String()
			if fragment != "" {
				anchored[to+"#"+fragment] = append(anchored[to+"#"+fragment], at)
			}
			if _, known := from[to]; !known && !strings.HasSuffix(u.Path, "/events") {
				from[to] = at
				queue = append(queue, to)
			}
		}
	}
	for to, pages := range anchored {
		page, id, _ := strings.Cut(to, "#")
		if there, seen := found[page]; seen && !there[id] {
			t.Errorf("%s leads to %s, and there is no such place", pages[0], to)
		}
	}
	for _, want := range []string{"/docs", "/runbook", "/docs/operating", "/restore-guide/groveauth", "/docs/grove.toml"} {
		if found[want] == nil {
			t.Errorf("nothing leads to %s", want)
		}
	}
	t.Logf("%d pages, %d anchors", len(found), len(anchored))
}

// A program gets Markdown; the runbook has the times of the last drill; names of
// files lead nowhere else.
func TestManual(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, c, _ := b.database("groveauth")
	p := b.program(b.token(store.Viewer, false))
	if res := p.get("/runbook"); res.status != 200 || res.header.Get("Content-Type") != "text/markdown; charset=utf-8" || !strings.Contains(res.body, "nothing yet") || !strings.Contains(res.body, "[groveauth](/restore-guide/groveauth)") {
		t.Errorf("%d %v\n%s", res.status, res.header, res.body)
	}
	b.drill(b.job(backup.JobCompleted, backup.ResultSuccess, d), d, c)
	if res := p.get("/runbook"); !strings.Contains(res.body, "Measured here by the drill of") || !strings.Contains(res.body, "| `groveauth`, ") || strings.Contains(res.body, "<!--") {
		t.Errorf("after a drill it says\n%s", res.body)
	}
	other, _, _ := b.database("other")
	restricted := b.program(b.token(store.Viewer, false, func(t *store.Token) { t.Databases = []string{other.ID} }))
	if res := restricted.get("/runbook"); res.status != 200 || strings.Contains(res.body, "| `groveauth`, ") || strings.Contains(res.body, "/restore-guide/groveauth)") {
		t.Errorf("a token for another database reads\n%s", res.body)
	}
	for _, path := range []string{"/docs", "/docs/operating", "/docs/operating.md", "/docs/runbook"} {
		if res := p.get(path); res.status != 200 || !strings.HasPrefix(res.body, "# ") {
			t.Errorf("%s: %d %.60q", path, res.status, res.body)
		}
	}
	for _, path := range []string{"/docs/nothing", "/docs/docs.go", "/docs/..%2fREADME.md", "/docs/guide%2ffull.md", "/docs/%00", "/docs/guide", "/docs/."} {
		if res := p.get(path); res.status != 404 {
			t.Errorf("%s: %d", path, res.status)
		}
	}
	b.user("ada", store.Viewer, false)
	page := b.signedIn("ada").get("/docs/operating").body
	for _, want := range []string{`<nav class="card contents"`, `<h3 id="roles">`, `href="/docs/webhooks"`, "data-print", `<a href="/runbook">Disaster runbook</a>`} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing from the page", want)
		}
	}
}
