package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web"
	"github.com/AutumnsGrove/Patina/web/auth"
)

// concrete fills a route's parameters with things that exist.
func concrete(path string, d backup.Database, c backup.Copy, job string) string {
	if strings.HasPrefix(path, "/backups/") {
		job = c.ID
	}
	for prefix, id := range map[string]string{"/alerts/": channelID, "/settings/people/": personID, "/settings/tokens/": tokenID} {
		if strings.HasPrefix(path, prefix) {
			job = id
		}
	}
	return strings.NewReplacer(":date", c.Date.String(), ":db", d.Name, ":week", c.Archived.Week, ":id", job, ":other", c.ID, ":page", "operating").Replace(path)
}

// Row 1: nobody gets anywhere without signing in.
func TestEveryRouteUnauthenticated(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user("ada", store.Admin, true)
	d, c, body := b.database("groveauth")
	c = b.archived(c)[0]
	job := b.job(backup.JobRunning, backup.ResultQueued, d)
	b.restored(job, d, c)
	open := map[string]bool{"GET /sign-in": true, "POST /sign-in": true, "GET /setup": true, "POST /setup": true, "GET /healthz": true, "GET /readyz": true, "GET /metrics": true, "GET /set-password": true, "POST /set-password": true, "GET /sign-in/sso": true, "GET /sign-in/callback": true}
	if n := len(b.server.Routes()); n < 20 {
		t.Fatalf("only %d routes were walked", n)
	}
	for _, r := range b.server.Routes() {
		if got := r.Right == auth.Public; got != open[r.Method+" "+r.Path] {
			t.Errorf("%s %s: public is %v", r.Method, r.Path, got)
		}
		if r.Right == auth.Public {
			continue
		}
		path := concrete(r.Path, d, c, job)
		for _, method := range []string{r.Method, "HEAD"} {
			if method == "HEAD" && r.Method != "GET" {
				continue
			}
			for _, who := range []*client{b.program(""), b.program("patina_wrong"), b.browser()} {
				res := who.do(method, path, nil)
				if strings.HasPrefix(res.header.Get("Location"), "/sign-in?next=%2F") && res.status == http.StatusSeeOther && who.accept == chrome && method == "GET" {
					continue
				}
				if res.status != http.StatusUnauthorized && !(r.Stream && method == "HEAD" && res.status == http.StatusMethodNotAllowed) {
					t.Errorf("%s %s: %d", method, path, res.status)
				}
				if strings.Contains(res.body, "groveauth") && !strings.Contains(path, "groveauth") || strings.Contains(res.body, string(body[:40])) {
					t.Errorf("%s %s tells something: %.200s", method, path, res.body)
				}
			}
		}
		if r.Method == "GET" {
			stale := b.browser()
			stale.token = "patina_wrong"
			if page := stale.get(path); page.status != 401 || !strings.Contains(page.body, `action="/sign-in"`) {
				t.Errorf("%s shows no sign-in page: %.200s", path, page.body)
			}
			if p := b.program("").get(path); p.header.Get("Content-Type") != "application/problem+json" || !strings.Contains(p.header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%s answers a program %v", path, p.header)
			}
		}
	}
	if len(b.asked.all()) != 0 {
		t.Error("somebody unknown started a job")
	}
}

// Rows 2 and 3: every role on every route.
func TestEveryRoleOnEveryRoute(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, c, _ := b.database("groveauth")
	c = b.archived(c)[0]
	job := b.job(backup.JobFailed, backup.ResultFailed, d)
	b.restored(job, d, c)
	b.drill(job, d, c)
	b.subjects()
	type role struct {
		name   string
		holds  map[auth.Right]bool
		client *client
	}
	var roles []role
	for _, r := range []struct {
		role   store.Role
		loader bool
		rights []auth.Right
	}{
		{store.Viewer, false, []auth.Right{auth.View}},
		{store.Viewer, true, []auth.Right{auth.View, auth.Download}},
		{store.Operator, false, []auth.Right{auth.View, auth.Operate}},
		{store.Operator, true, []auth.Right{auth.View, auth.Operate, auth.Download}},
		{store.Admin, false, []auth.Right{auth.View, auth.Operate, auth.Admin}},
		{store.Admin, true, []auth.Right{auth.View, auth.Operate, auth.Admin, auth.Download}},
	} {
		holds := map[auth.Right]bool{auth.Public: true}
		for _, x := range r.rights {
			holds[x] = true
		}
		name := string(r.role)
		if r.loader {
			name += "-downloader"
		}
		b.user(name, r.role, r.loader)
		roles = append(roles, role{name, holds, b.signedIn(name)}, role{name + " token", holds, b.program(b.token(r.role, r.loader))})
	}
	tried := 0
	for _, r := range b.server.Routes() {
		if r.Right == auth.Public || r.Path == "/sign-out" || r.Method == "POST" && strings.HasPrefix(r.Path, "/settings/account/") {
			continue // what each does to themselves has its own tests
		}
		path := concrete(r.Path, d, c, job)
		for _, who := range roles {
			tried++
			var res response
			if r.Method == "POST" {
				// What a route does not know it leaves aside.
				res = who.client.form(path, url.Values{
					"database": {"groveauth"}, "hours": {"1"}, "kind": {"webhook"}, "url": {"https://hooks.example/x"}, "enabled": {"true"},
					"name": {fmt.Sprint("channel-", tried)}, "target": {"new"}, "confirm": {"groveauth"}, "pinned": {"true"},
					"role": {"viewer"},
				})
			} else {
				res = who.client.do(r.Method, path, nil)
			}
			switch {
			case who.holds[r.Right] && res.status >= 400:
				t.Errorf("%s %s as %s: %d %.200s", r.Method, path, who.name, res.status, res.body)
			case !who.holds[r.Right] && res.status != http.StatusForbidden:
				t.Errorf("%s %s as %s: %d, want 403", r.Method, path, who.name, res.status)
			}
		}
	}
	if tried < 150 {
		t.Errorf("only %d pairs were tried", tried)
	}
	log := b.audited()
	for _, want := range [][]string{
		{"viewer|denied|POST /trigger|refused"},
		{"viewer|denied|POST /drills|refused"},
		{"token test viewer|denied|POST /backups/" + c.ID + "/verify"},
		{"viewer|denied|GET /download/"},
		{"operator|denied|GET /audit"},
		{"token test viewer|denied|POST /jobs/" + job + "/cancel"},
		{"admin|denied|GET /download/"},
		{"admin|denied|GET /archives/" + c.Archived.Week + "/download"},
	} {
		if !contains(log, want...) {
			t.Errorf("not on record: %v", want)
		}
	}
}

// A button that a person may not press is not shown.
func TestButtonsFollowRights(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, c, _ := b.database("groveauth")
	failed, running := b.job(backup.JobFailed, backup.ResultFailed, d), b.job(backup.JobRunning, backup.ResultQueued, d)
	b.user("vera", store.Viewer, false)
	b.user("olga", store.Operator, true)
	vera, olga := b.signedIn("vera"), b.signedIn("olga")
	for _, path := range []string{"/", "/databases/groveauth", "/jobs/" + failed, "/jobs/" + running, "/list", "/drills", "/backups/" + c.ID} {
		v, o := vera.get(path), olga.get(path)
		if v.status != 200 || o.status != 200 {
			t.Fatalf("%s: %d, %d", path, v.status, o.status)
		}
		for _, button := range []string{`action="/trigger"`, `/cancel"`, `/retry"`, `/pin"`, `href="/download/`, `/verify"`, `action="/drills"`} {
			if strings.Contains(v.body, button) {
				t.Errorf("%s shows a viewer %s", path, button)
			}
		}
		if strings.Contains(v.body, `href="/audit"`) {
			t.Errorf("%s leads a viewer to the audit log", path)
		}
	}
	for path, button := range map[string]string{
		"/": `href="/download/`, "/jobs/" + failed: "/jobs/" + failed + `/retry"`, "/jobs/" + running: "/jobs/" + running + `/cancel"`, "/list": `href="/download/`,
		"/drills": `action="/drills"`, "/databases/groveauth": `/verify"`, "/backups/" + c.ID: `name="values" value="true"`,
	} {
		if !strings.Contains(olga.get(path).body, button) {
			t.Errorf("%s does not show an operator %s", path, button)
		}
	}
}

// Row 4: for a token of one database no other exists.
func TestTokenOfOneDatabase(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	mine, mineCopy, _ := b.database("mine")
	theirs, theirCopy, _ := b.database("theirs")
	both, their := b.job(backup.JobFailed, backup.ResultFailed, mine, theirs), b.job(backup.JobRunning, backup.ResultQueued, theirs)
	p := b.program(b.token(store.Admin, true, func(tok *store.Token) { tok.Databases = []string{mine.ID} }))
	date := theirCopy.Date.String()
	for _, path := range []string{
		"/databases/theirs", "/databases/" + theirs.ID, "/restore-guide/theirs", "/jobs/" + their, "/jobs/" + their + "/events",
		"/download/" + date + "/theirs", "/download/" + date + "/theirs?backup=" + theirCopy.ID, "/download/" + date + "/mine?backup=" + theirCopy.ID,
		"/download/" + date + "/" + theirs.ID, "/backups/" + theirCopy.ID, "/backups/" + mineCopy.ID + "/diff/" + theirCopy.ID,
		"/backups/" + theirCopy.ID + "/diff/" + mineCopy.ID, "/backups/" + mineCopy.ID + "/diff/" + theirCopy.ID + "?table=users&rows=1",
	} {
		if res := p.get(path); res.status != http.StatusNotFound || strings.Contains(res.body, theirs.ID) && !strings.Contains(path, theirs.ID) {
			t.Errorf("%s: %d %.200s", path, res.status, res.body)
		}
	}
	for _, body := range []string{`{"database":"theirs"}`, `{"database":["mine","theirs"]}`, `{"database":"` + theirs.ID + `"}`} {
		if res := p.post("/trigger", body); res.status != http.StatusNotFound {
			t.Errorf("trigger %s: %d", body, res.status)
		}
	}
	if res := p.post("/jobs/"+their+"/cancel", ""); res.status != http.StatusNotFound {
		t.Errorf("cancel theirs: %d", res.status)
	}
	if res := p.post("/jobs/"+both+"/retry", ""); res.status != http.StatusForbidden {
		t.Errorf("retry a job of both: %d", res.status)
	}
	if len(b.asked.all()) != 0 {
		t.Error("something was started")
	}
	for _, path := range []string{"/", "/status", "/list", "/databases", "/jobs", "/jobs/" + both, "/databases/mine", "/download/" + date + "/mine?backup=" + mineCopy.ID, "/backups/" + mineCopy.ID} {
		res := p.get(path)
		if res.status != 200 || strings.Contains(res.body, "theirs") || strings.Contains(res.body, theirs.ID) || strings.Contains(res.body, their) {
			t.Errorf("%s tells of the other: %d %.300s", path, res.status, res.body)
		}
	}
	var job struct {
		Totals struct{ Databases, Failed int }
	}
	p.get("/jobs/"+both).json(t, &job)
	if job.Totals.Databases != 1 || job.Totals.Failed != 1 {
		t.Errorf("the totals count the other: %+v", job.Totals)
	}
	if res := p.post("/trigger", `{"database":"all"}`); res.status != http.StatusAccepted {
		t.Errorf("all of mine: %d %s", res.status, res.body)
	}
	if got := b.asked.all(); len(got) != 1 || len(got[0].Databases) != 1 || got[0].Databases[0] != "mine" {
		t.Errorf("all of mine asked for %+v", got)
	}
}

// Row 5: what has ended is refused at once.
func TestExpiredAndRevoked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	past, future := time.Now().Add(-time.Second), time.Now().Add(time.Hour)
	expired := b.token(store.Admin, true, func(tok *store.Token) { tok.ExpiresAt = &past })
	if res := b.program(expired).get("/status"); res.status != http.StatusUnauthorized {
		t.Errorf("an expired token: %d", res.status)
	}
	living := b.token(store.Viewer, false, func(tok *store.Token) { tok.ExpiresAt = &future })
	p := b.program(living)
	if res := p.get("/status"); res.status != 200 {
		t.Fatalf("a living token: %d %s", res.status, res.body)
	}
	list, err := b.store.Tokens(t.Context())
	must(t, err)
	for _, tok := range list {
		must(t, b.store.RevokeToken(t.Context(), tok.ID, time.Now()))
	}
	if res := p.get("/status"); res.status != http.StatusUnauthorized {
		t.Errorf("a revoked token: %d", res.status)
	}
	// A bad token is not made good by a session beside it.
	b.user("ada", store.Admin, true)
	ada := b.signedIn("ada")
	if res := ada.get("/status", "Authorization", "Bearer "+living); res.status != http.StatusUnauthorized {
		t.Errorf("a revoked token beside a session: %d", res.status)
	}
}

// Row 5: a token in an address is refused and not logged.
func TestTokenInQuery(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	secret := b.token(store.Admin, true)
	for _, query := range []string{"?token=" + secret, "?access_token=" + secret, "?x=" + secret, "?backup=1&API_KEY=" + secret} {
		for _, c := range []*client{b.program(""), b.program(secret), b.browser()} {
			res := c.get("/status" + query)
			if res.status != http.StatusUnauthorized || strings.Contains(res.body, secret) {
				t.Errorf("%s: %d", query[:10], res.status)
			}
		}
	}
	if strings.Contains(b.log.String(), secret) || strings.Contains(b.log.String(), secret[:20]) {
		t.Error("the token is in the log")
	}
}

// Rows 5 and 7: sessions are renamed at sign-in, and end at sign-out, when
// rights change, and when somebody is shut out.
func TestSessions(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user("root", store.Admin, true)
	id := b.user("ada", store.Operator, true)

	// Fixation: a name that the browser brought along is not the session's.
	c := b.browser()
	u, _ := url.Parse(b.http.URL)
	c.http.Jar.SetCookies(u, []*http.Cookie{{Name: "patina", Value: "chosen-by-somebody-else", Path: "/"}})
	if res := c.form("/sign-in", url.Values{"name": {"ada"}, "password": {password}}); res.status != http.StatusSeeOther {
		t.Fatalf("sign in: %d", res.status)
	}
	first := c.http.Jar.Cookies(u)[0].Value
	if first == "chosen-by-somebody-else" || len(first) < 40 {
		t.Fatalf("the session is called %q", first)
	}
	replay := func(value string) int {
		r := b.browser()
		r.http.Jar.SetCookies(u, []*http.Cookie{{Name: "patina", Value: value, Path: "/"}})
		return r.get("/status").status
	}
	if replay(first) != 200 {
		t.Fatal("the session does not work")
	}
	// Signing in again renames it and ends the old one.
	c.form("/sign-in", url.Values{"name": {"ada"}, "password": {password}})
	second := c.http.Jar.Cookies(u)[0].Value
	if second == first || replay(first) != 401 || replay(second) != 200 {
		t.Errorf("after signing in again: renamed %v, old %d, new %d", second != first, replay(first), replay(second))
	}
	// Only hashes are stored.
	var clear int
	must(t, b.store.Pool().QueryRow(t.Context(), "SELECT count(*) FROM sessions WHERE token = $1", second).Scan(&clear))
	if clear != 0 {
		t.Error("the session's name is stored as it is")
	}
	// An expired one is refused, and gone at the next sign-in.
	_, err := b.store.Pool().Exec(t.Context(), "UPDATE sessions SET expiry = current_timestamp - interval '1 second'")
	must(t, err)
	if s := replay(second); s != 401 {
		t.Errorf("an expired session: %d", s)
	}
	c.form("/sign-in", url.Values{"name": {"ada"}, "password": {password}})
	must(t, b.store.Pool().QueryRow(t.Context(), "SELECT count(*) FROM sessions").Scan(&clear))
	if clear != 1 {
		t.Errorf("%d sessions are kept", clear)
	}
	second = c.http.Jar.Cookies(u)[0].Value
	// Sign-out ends it at the server.
	if res := c.form("/sign-out", nil); res.status != http.StatusSeeOther || res.header.Get("Location") != "/sign-in" {
		t.Errorf("sign out: %d", res.status)
	}
	if replay(second) != 401 {
		t.Error("the session outlived sign-out")
	}
	// A change of rights ends every session; so does shutting somebody out.
	one, two := b.signedIn("ada"), b.signedIn("ada")
	must(t, b.store.SetRights(t.Context(), id, store.Viewer, false))
	if a, z := one.get("/status").status, two.get("/status").status; a != 401 || z != 401 {
		t.Errorf("after a change of rights: %d %d", a, z)
	}
	three := b.signedIn("ada")
	must(t, b.store.DisableUser(t.Context(), id, time.Now()))
	if s := three.get("/status").status; s != 401 {
		t.Errorf("a person shut out: %d", s)
	}
	if res := b.browser().form("/sign-in", url.Values{"name": {"ada"}, "password": {password}}); res.status != 401 {
		t.Errorf("a person shut out signs in: %d", res.status)
	}
	log := b.audited()
	if !contains(log, "ada|sign-in|user ada|done") || !contains(log, "ada|sign-out|user ada|done") || !contains(log, "nobody|sign-in|user ada|refused") {
		t.Errorf("not all of it is on record: %q", log)
	}
}

// Row 7: cookies carry what keeps them where they belong.
func TestCookie(t *testing.T) {
	t.Parallel()
	for public, want := range map[string]string{"": "patina=", "http://10.0.0.1:8080": "patina=", "https://patina.grove.place": "__Host-patina="} {
		b := newBench(t, func(c *web.Config) { c.PublicURL = public })
		b.user("ada", store.Viewer, false)
		res := b.browser().form("/sign-in", url.Values{"name": {"ada"}, "password": {password}})
		cookie := res.header.Get("Set-Cookie")
		if !strings.HasPrefix(cookie, want) || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") || !strings.Contains(cookie, "Path=/") || strings.Contains(cookie, "Domain") {
			t.Errorf("%q: cookie is %s", public, cookie)
		}
		https := strings.HasPrefix(public, "https")
		if strings.Contains(cookie, "Secure") != https {
			t.Errorf("%q: Secure is wrong in %s", public, cookie)
		}
		if hsts := res.header.Get("Strict-Transport-Security") != ""; hsts != https {
			t.Errorf("%q: HSTS is %v", public, hsts)
		}
	}
}

// The first admin is made by a link that works once.
func TestFirstAdmin(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	link, err := b.server.SetupURL(t.Context())
	must(t, err)
	if again, _ := b.server.SetupURL(t.Context()); again != link || !strings.HasPrefix(link, "/setup?key=") || len(link) < 50 {
		t.Fatalf("the link is %q, then %q", link, again)
	}
	c := b.browser()
	for _, wrong := range []string{"/setup", "/setup?key=", "/setup?key=" + strings.Repeat("A", 43)} {
		if res := c.get(wrong); res.status != http.StatusNotFound {
			t.Errorf("%s: %d", wrong, res.status)
		}
	}
	page := c.get(link)
	if page.status != 200 || !strings.Contains(page.body, `autocomplete="new-password"`) {
		t.Fatalf("the form: %d", page.status)
	}
	key := strings.TrimPrefix(link, "/setup?key=")
	for name, v := range map[string]url.Values{
		"short password": {"key": {key}, "name": {"ada"}, "password": {"short"}},
		"odd name":       {"key": {key}, "name": {"a\nb"}, "password": {password}},
	} {
		if res := c.form("/setup", v); res.status != http.StatusBadRequest || strings.Contains(res.body, "short\"") {
			t.Errorf("%s: %d", name, res.status)
		}
	}
	if res := c.form("/setup", url.Values{"name": {"eve"}, "password": {password}, "key": {"x"}}); res.status != http.StatusNotFound {
		t.Errorf("without the key: %d", res.status)
	}
	if res := c.form("/setup", url.Values{"key": {key}, "name": {"ada"}, "password": {password}}); res.status != http.StatusSeeOther {
		t.Fatalf("make the admin: %d %s", res.status, res.body)
	}
	if res := c.get("/audit"); res.status != 200 {
		t.Errorf("the new admin is not signed in: %d", res.status)
	}
	u, err := b.store.UserByName(t.Context(), "ada")
	must(t, err)
	if u.Role != store.Admin || !u.Downloader {
		t.Errorf("the first admin is %+v", u)
	}
	if res := b.browser().get(link); res.status != http.StatusNotFound {
		t.Errorf("the link works twice: %d", res.status)
	}
	if res := b.browser().form("/setup", url.Values{"key": {key}, "name": {"eve"}, "password": {password}}); res.status != http.StatusNotFound {
		t.Errorf("the link makes a second admin: %d", res.status)
	}
	if again, err := b.server.SetupURL(t.Context()); again != "" || err != nil {
		t.Errorf("with an admin the link is %q, %v", again, err)
	}
	if strings.Contains(b.log.String(), key) {
		t.Error("the key is in the request log")
	}
}
