package web_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/net/html"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web"
)

// Row 6: guessing is slowed down, and tells nothing.
func TestGuessing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user("ada", store.Admin, true)
	codes, bodies := map[int]int{}, map[string]bool{}
	for i := range 1000 {
		name := "ada"
		if i%2 == 1 {
			name = "nobody-of-that-name"
		}
		res := b.browser().form("/sign-in", url.Values{"name": {name}, "password": {"wrong password " + fmt.Sprint(i)}})
		codes[res.status]++
		if res.status == http.StatusUnauthorized {
			bodies[res.body] = true
		}
		if res.status == http.StatusTooManyRequests && res.header.Get("Retry-After") == "" {
			t.Fatal("429 without Retry-After")
		}
	}
	if len(codes) != 2 || codes[401] > 30 || codes[401] < 2 || codes[429] < 970 {
		t.Errorf("answers were %v", codes)
	}
	if len(bodies) != 1 {
		t.Errorf("a known and an unknown name are told apart: %d texts", len(bodies))
	}
	// By token the same person still works: nothing is locked.
	if res := b.program(b.token(store.Viewer, false)).get("/status"); res.status != 200 {
		t.Errorf("a token was locked out: %d", res.status)
	}
}

// Row 6: an unknown name costs as much time as a known one.
func TestGuessingTime(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user("ada", store.Admin, true)
	took := func(name string) time.Duration {
		var all []time.Duration
		for i := range 5 {
			start := time.Now()
			b.browser().form("/sign-in", url.Values{"name": {name}, "password": {fmt.Sprint("wrong password", i)}})
			all = append(all, time.Since(start))
		}
		slices.Sort(all)
		return all[0]
	}
	known, unknown := took("ada"), took("nobody")
	if unknown < known/4 || known < unknown/4 {
		t.Errorf("a known name takes %s, an unknown one %s", known, unknown)
	}
}

// Row 8: nothing that another site sends does anything, and no GET does.
func TestCrossSite(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *web.Config) { c.PublicURL = "https://patina.grove.place" })
	b.user("ada", store.Admin, true)
	d, c, _ := b.database("groveauth")
	job := b.job(backup.JobFailed, backup.ResultFailed, d)
	b.restored(job, d, c)
	secret := b.token(store.Admin, true)
	for _, r := range b.server.Routes() {
		path := concrete(r.Path, d, c, job)
		p := b.program(secret)
		if r.Method == "POST" {
			for _, header := range [][]string{
				{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"},
			} {
				res := p.form(path, url.Values{"database": {"groveauth"}}, header...)
				if res.status != http.StatusForbidden {
					t.Errorf("POST %s with %v: %d", path, header, res.status)
				}
			}
			continue
		}
		if !r.Stream {
			p.get(path, "Sec-Fetch-Site", "cross-site")
		}
	}
	if got := b.asked.all(); len(got) != 0 {
		t.Errorf("work was asked for: %+v", got)
	}
	p := b.program(secret)
	for _, header := range [][]string{{"Sec-Fetch-Site", "same-origin"}, {"Origin", "https://patina.grove.place"}, {}} {
		if res := p.post("/trigger", `{"database":"groveauth"}`, header...); res.status != http.StatusAccepted {
			t.Errorf("with %v: %d", header, res.status)
		}
	}
	// A method in a GET's parameters is only a parameter.
	if res := p.get("/trigger?_method=POST&database=all"); res.status != http.StatusMethodNotAllowed && res.status != http.StatusNotFound {
		t.Errorf("GET /trigger: %d", res.status)
	}
}

// Row 10: signing in leads to this server or nowhere.
func TestNext(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user("ada", store.Viewer, false)
	for next, want := range map[string]string{
		"/list?date=2026-11-23": "/list?date=2026-11-23", "//evil.example": "/", `/\evil.example`: "/", "https://evil.example": "/", "": "/", "/\t/evil": "/",
	} {
		res := b.browser().form("/sign-in", url.Values{"name": {"ada"}, "password": {password}, "next": {next}})
		if got := res.header.Get("Location"); got != want {
			t.Errorf("next=%q leads to %q", next, got)
		}
	}
	c := b.browser()
	page := c.get(c.get("/jobs?status=failed&x=1").header.Get("Location"))
	if !strings.Contains(page.body, `name="next" value="/jobs?status=failed&amp;x=1"`) {
		t.Errorf("the page asked for is forgotten: %.600s", page.body)
	}
	ada := b.signedIn("ada")
	if res := ada.get("/sign-in?next=" + url.QueryEscape("//evil.example")); res.header.Get("Location") != "/" {
		t.Errorf("signed in already, next leads to %q", res.header.Get("Location"))
	}
}

// Row 11: only a proxy that we trust may say where somebody is.
func TestForwardedFor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		trusted []netip.Prefix
		header  string
		want    string
	}{
		{nil, "203.0.113.7", "127.0.0.1"},
		{[]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, "203.0.113.7", "127.0.0.1"},
		{[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, "203.0.113.7", "203.0.113.7"},
		{[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, "1.2.3.4, 203.0.113.7", "203.0.113.7"},
		{[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, "1.2.3.4, 10.1.1.1", "10.1.1.1"},
	} {
		b := newBench(t, func(c *web.Config) { c.TrustedProxies = tt.trusted })
		b.browser().form("/sign-in", url.Values{"name": {"ada"}, "password": {"wrong password"}}, "X-Forwarded-For", tt.header, "X-Real-IP", "198.51.100.1", "Forwarded", "for=198.51.100.2")
		list, _, err := b.store.Audit(t.Context(), store.AuditFilter{})
		must(t, err)
		if len(list) != 1 || list[0].IP != tt.want {
			t.Errorf("trusting %v, %q gives %+v", tt.trusted, tt.header, list)
		}
	}
}

// raw sends a request line exactly as it is written.
func (b *bench) raw(token, target string) (status int, err error) {
	u, err := url.Parse(b.http.URL)
	if err != nil {
		return 0, err
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", target, u.Host, token)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	return res.StatusCode, nil
}

// Row 12: a path means one thing.
func TestPaths(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, c, _ := b.database("groveauth")
	_, spaced, _ := b.database("a b;c")
	secret := b.token(store.Admin, true)
	date := c.Date.String()
	for _, good := range []string{"/download/" + date + "/groveauth", "/download/" + date + "/%67roveauth", "/download/" + date + "/a%20b;c", "/download/" + date + "/a%20b%3bc?backup=" + spaced.ID} {
		if status, err := b.raw(secret, good); err != nil || status != 200 {
			t.Errorf("%s: %d %v", good, status, err)
		}
	}
	encodings := []string{"..", "%2e%2e", "%2E.", "..%2f", "..%2F", "%252e%252e%252f", "..%5c", "%5c", "%5C", `\`, "%00", "groveauth%00", "%2f", "%2Fgroveauth", "groveauth%2f", "groveauth%2Fx", "%252f", "%25", "%c0%ae", "%ff", "groveauth%0a", "%0d%0aSet-Cookie:x=1", "%09", "%7f", ".", "%2e"}
	tried := 0
	for _, e := range encodings {
		for _, target := range []string{
			"/download/" + date + "/" + e, "/download/" + e + "/groveauth", "/download/" + date + "/" + e + "/groveauth", "/databases/" + e, "/restore-guide/" + e,
			"/jobs/" + e, "/static/" + e, "/" + e + "/status", "/download/" + date + "/../" + date + "/" + e,
		} {
			tried++
			status, err := b.raw(secret, target)
			if err != nil || status != http.StatusNotFound && status != http.StatusBadRequest {
				t.Errorf("%s: %d %v", target, status, err)
			}
			if status == http.StatusBadRequest && !strings.ContainsAny(target, `\`) && !strings.Contains(target, "%c0") {
				t.Logf("%s: 400", target)
			}
		}
	}
	if tried < 200 {
		t.Errorf("only %d paths were tried", tried)
	}
	for _, target := range []string{
		"/download/" + date + "/nothing", "/download/2026-13-01/groveauth", "/download/2026-02-30/groveauth", "/download/20261123/groveauth",
		"/download/today/groveauth", "/download/" + date + "/groveauth/", "/download/" + date, "//status", "/status/", "/download//groveauth",
		"/download/" + date + "/groveauth?backup=nonsense", "/download/" + date + "/groveauth?backup=" + spaced.ID, "/download/" + date + "/GROVEAUTH",
	} {
		if status, err := b.raw(secret, target); err != nil || status != http.StatusNotFound {
			t.Errorf("%s: %d %v", target, status, err)
		}
	}
}

// active gives what a page holds that its policy forbids: code and styles
// written into it.
func active(t testing.TB, page string) []string {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	must(t, err)
	var found []string
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		src := ""
		for _, a := range n.Attr {
			value := strings.ToLower(strings.TrimSpace(a.Val))
			switch {
			case a.Key == "src":
				src = a.Val
			case a.Key == "style", strings.HasPrefix(a.Key, "on"), strings.HasPrefix(a.Key, "hx-on"),
				strings.HasPrefix(value, "javascript:"), strings.HasPrefix(a.Key, "hx-") && strings.HasPrefix(value, "js:"):
				found = append(found, n.Data+" "+a.Key+"="+a.Val)
			}
		}
		if n.Data == "style" || n.Data == "script" && (src == "" || n.FirstChild != nil) || n.Data == "iframe" || n.Data == "object" {
			found = append(found, n.Data)
		}
		if src != "" && !strings.HasPrefix(src, "/static/") {
			found = append(found, n.Data+" src="+src)
		}
	}
	return found
}

func TestActive(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"<p style='x'>", "<style>p{}</style>", "<script>1</script>", "<script src=https://evil/x.js></script>", "<a href=' JavaScript:x'>", "<b onclick=x>", "<b hx-on:click=x>", "<b hx-vals='js:x'>", "<img src=//evil>",
	} {
		if len(active(t, bad)) == 0 {
			t.Errorf("%s passes", bad)
		}
	}
}

// Rows 16 and 17: every page keeps to its policy, and every answer carries it.
func TestHeadersOfEveryPage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user("ada", store.Admin, true)
	d, c, _ := b.database("groveauth")
	job := b.job(backup.JobRunning, backup.ResultQueued, d)
	b.restored(job, d, c)
	ada := b.signedIn("ada")
	seen := 0
	for _, r := range b.server.Routes() {
		if r.Method != "GET" || r.Stream {
			continue
		}
		path := concrete(r.Path, d, c, job)
		for _, who := range []*client{ada, b.browser(), b.program("")} {
			res := who.get(path)
			for name, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
				"Cross-Origin-Opener-Policy": "same-origin",
			} {
				if got := res.header.Get(name); got != want {
					t.Errorf("%s: %s is %q", path, name, got)
				}
			}
			csp := res.header.Get("Content-Security-Policy")
			if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "script-src 'self'") || strings.Contains(csp, "unsafe") {
				t.Errorf("%s: policy is %q", path, csp)
			}
			if res.header.Get("X-Request-Id") == "" || !strings.Contains(strings.Join(res.header.Values("Vary"), ","), "HX-Request-Type") {
				t.Errorf("%s: headers are %v", path, res.header)
			}
			if !strings.HasPrefix(res.header.Get("Content-Type"), "text/html") {
				continue
			}
			seen++
			if found := active(t, res.body); len(found) > 0 {
				t.Errorf("%s holds %q", path, found)
			}
		}
	}
	if seen < 12 {
		t.Errorf("only %d pages were looked at", seen)
	}
}

// Rows 14, 15, 20 and 21: what a name or an error holds stays text.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user("ada", store.Admin, true)
	ada, p := b.signedIn("ada"), b.program(b.token(store.Admin, true))
	names := []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, "a\r\nSet-Cookie: x=1", "\u202egnp.exe", `@everyone`, `x";DROP TABLE users;--`,
		"../../etc/passwd", `a'b"c` + "`d", "[x](javascript:alert(1))", "{{.Secret}}", `<div hx-get="/sign-out" hx-trigger="load">`, "$(touch /tmp/x)",
		strings.Repeat("long ", 2000), "all", "``` end\n# new", "naïve ☃", "| a | b |", "%2e%2e", "50%", " ", "-rf",
	}
	for _, name := range names {
		d, c, body := b.database(name)
		sum := c.SHA256
		path := "/databases/" + d.ID
		page := ada.get(path)
		guidePage, guide := ada.get("/restore-guide/"+d.ID), p.get("/restore-guide/"+d.ID)
		for what, res := range map[string]response{"page": page, "guide page": guidePage, "list": ada.get("/list?database=" + url.QueryEscape(name)), "overview": ada.get("/")} {
			if res.status != 200 {
				t.Errorf("%.30q: %s answers %d %.200s", name, what, res.status, res.body)
			}
			for _, bad := range []string{"<script>alert", "<img src=x", `<div hx-get="/sign-out"`, "href=\"\u202e"} {
				if strings.Contains(res.body, bad) {
					t.Errorf("%.30q: the %s holds %s", name, what, bad)
				}
			}
			if found := active(t, res.body); len(found) > 0 {
				t.Errorf("%.30q: the %s holds %q", name, what, found)
			}
		}
		if guide.header.Get("Content-Type") != "text/markdown; charset=utf-8" || strings.Count(guide.body, "\n# ") > 0 || !strings.HasPrefix(guide.body, "# Restore ") {
			t.Errorf("%.30q: the guide is %s %.200q", name, guide.header.Get("Content-Type"), guide.body)
		}
		res := p.get("/download/" + c.Date.String() + "/" + d.ID + "?backup=" + c.ID)
		if res.status != 200 || res.body != string(body) || res.header.Get("Etag") != `"`+sum+`"` {
			t.Errorf("%.30q: download answers %d", name, res.status)
		}
		cd := res.header.Get("Content-Disposition")
		if !strings.HasPrefix(cd, "attachment") || res.header.Get("Set-Cookie") != "" || strings.ContainsAny(cd, "\r\n") || strings.Contains(cd, "/") || len(cd) > 2000 {
			t.Errorf("%.30q: Content-Disposition is %q", name, cd)
		}
		if res := p.post("/trigger", `{"database":"`+d.ID+`"}`); res.status != http.StatusAccepted {
			t.Errorf("%.30q: trigger answers %d", name, res.status)
		}
		if got := b.asked.all(); got[len(got)-1].Databases[0] != name {
			t.Errorf("%.30q: %.30q was asked for", name, got[len(got)-1].Databases)
		}
	}
	for line := range strings.Lines(b.log.String()) {
		if !strings.HasPrefix(line, "time=") {
			t.Errorf("a name broke a line of the log: %.100q", line)
		}
	}
	// HTML in an error of D1.
	d, _, _ := b.database("plain")
	job := b.job(backup.JobFailed, backup.ResultFailed, d)
	if res := ada.get("/jobs/" + job); strings.Contains(res.body, "<b onclick") || !strings.Contains(res.body, "&lt;b onclick") {
		t.Errorf("an error of D1 is markup")
	}
}

// Row 14: hostile queries do no harm either.
func TestHostileQueries(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.database("groveauth")
	p := b.program(b.token(store.Admin, true))
	for query, want := range map[string]int{
		"/list?database=%00": 400, "/jobs?database=a%00b": 400, "/list?date=nonsense": 400, "/list?date=2026-02-30": 400, "/list?kind=x": 400,
		"/list?limit=0": 400, "/list?limit=99999999999999999999": 400, "/list?limit=-1": 400, "/list?cursor=%3Cscript%3E": 400, "/jobs?cursor=AAAA": 400,
		"/jobs?limit=501": 400, "/audit?cursor=x": 400, "/audit?format=xml": 400, "/list?database=%ff": 400, "/list?database=%27%20OR%201=1--": 200, "/jobs?status=nonsense": 200,
		"/databases?name=%25": 200, "/jobs/not-a-uuid": 404, "/jobs/" + uuid.NewString(): 404, "/audit?actor=%00": 400,
	} {
		if res := p.get(query); res.status != want || strings.Contains(res.body, "SQLSTATE") || want >= 400 && res.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s %.200s", query, res.status, res.header.Get("Content-Type"), res.body)
		}
	}
	if res := p.get("/list?database=" + strings.Repeat("x", 30_000)); res.status != 200 {
		t.Errorf("a long query: %d", res.status)
	}
}

// Row 24: nothing secret gets into the log, whatever happens.
func TestCanaries(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user("ada", store.Admin, true)
	_, c, _ := b.database("groveauth")
	ada := b.signedIn("ada")
	u, _ := url.Parse(b.http.URL)
	session := ada.http.Jar.Cookies(u)[0].Value
	secret := b.token(store.Admin, true)
	b.asked.answer = func(backup.Request) (backup.Started, error) { panic("canary-panic-77aa") }
	p := b.program(secret)
	if res := p.post("/trigger", `{"database":"groveauth","canary":"canary-body-1234"}`); res.status != 400 || strings.Contains(res.body, "canary-body") {
		t.Errorf("an unknown field: %d %s", res.status, res.body)
	}
	res := p.post("/trigger", `{"database":"groveauth"}`)
	if res.status != 500 || strings.Contains(res.body, "canary") || strings.Contains(res.body, "goroutine") {
		t.Errorf("a panic answers %d %s", res.status, res.body)
	}
	b.asked.answer = func(backup.Request) (backup.Started, error) {
		return backup.Started{}, fmt.Errorf("inner detail canary-cause-99bb")
	}
	if res := p.post("/trigger", `{"database":"groveauth"}`); res.status != 500 || strings.Contains(res.body, "canary") {
		t.Errorf("an error of no kind answers %d %s", res.status, res.body)
	}
	p.get("/download/" + c.Date.String() + "/groveauth")
	p.get("/list?database=canary-query-4242")
	b.browser().form("/sign-in", url.Values{"name": {"ada"}, "password": {"canary-password-31337"}})
	log := b.log.String()
	for _, canary := range []string{secret, session, password, "canary-panic", "canary-cell", "canary-query", "canary-password", "canary-body"} {
		if strings.Contains(log, canary) {
			t.Errorf("%.20s… is in the log", canary)
		}
	}
	if !strings.Contains(log, "panic") || !strings.Contains(log, "canary-cause") || !strings.Contains(log, "request_id=") {
		t.Errorf("the log does not tell what went wrong: %.2000s", log)
	}
	for _, line := range b.audited() {
		if strings.Contains(line, "canary-password") || strings.Contains(line, secret) {
			t.Errorf("a secret is in the audit log: %s", line)
		}
	}
}

func TestBodyLimits(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.program(b.token(store.Admin, true))
	if res := p.post("/trigger", `{"database":["`+strings.Repeat("x", 2<<20)+`"]}`); res.status != http.StatusRequestEntityTooLarge {
		t.Errorf("2 MiB: %d", res.status)
	}
	pr, pw := net.Pipe()
	go func() { // without a length
		defer pw.Close()
		buf := []byte(strings.Repeat(" ", 64<<10))
		for range 32 {
			if _, err := pw.Write(buf); err != nil {
				return
			}
		}
	}()
	if res := p.do("POST", "/trigger", pr, "Content-Type", "application/json"); res.status != http.StatusRequestEntityTooLarge {
		t.Errorf("2 MiB in pieces: %d", res.status)
	}
}

// The server has the timeouts that a server on the open net needs.
func TestServerTimeouts(t *testing.T) {
	t.Parallel()
	srv := newBench(t).server.HTTP(context.Background())
	if srv.ReadHeaderTimeout <= 0 || srv.ReadTimeout <= 0 || srv.IdleTimeout <= 0 || srv.MaxHeaderBytes <= 0 {
		t.Errorf("a timeout is missing: %+v", srv)
	}
}
