package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/store"
)

type person struct {
	ID, Name, Role, Link string
	Downloader, Password bool
	Sessions             int
	DisabledAt           *time.Time `json:"disabled_at"`
	SignIns              []struct {
		ID, Method, IP string
		UserAgent      string `json:"user_agent"`
		Current        bool
	} `json:"sign_ins"`
}

// program gives a person as a program sees them.
func (c *client) person(id string) (p person) {
	c.b.t.Helper()
	c.get("/settings/people/"+id, "Accept", "application/json").json(c.b.t, &p)
	return p
}

// A person is added with a link, sets a password by it once, and is signed in.
func TestPersonByLink(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user("root", store.Admin, true)
	root := b.signedIn("root")
	page := root.form("/settings/people", url.Values{"name": {"olga"}, "role": {"operator"}, "downloader": {"true"}})
	at := strings.Index(page.body, "/set-password?key=")
	if page.status != 200 || at < 0 {
		t.Fatalf("add: %d %.300s", page.status, page.body)
	}
	link := page.body[at : at+strings.IndexAny(page.body[at:], "< \"")]
	u, err := b.store.UserByName(t.Context(), "olga")
	must(t, err)
	if again := root.get("/settings/people/" + u.ID); strings.Contains(again.body, "key=") {
		t.Error("the link is shown a second time")
	}
	olga, key := b.browser(), strings.TrimPrefix(link, "/set-password?key=")
	if res := olga.get(link); res.status != 200 || !strings.Contains(res.body, "olga") {
		t.Errorf("the form: %d", res.status)
	}
	if res := olga.form("/set-password", url.Values{"key": {key}, "password": {"short"}}); res.status != 400 {
		t.Errorf("a short password: %d", res.status)
	}
	if res := olga.form("/set-password", url.Values{"key": {key}, "password": {"a password of hers"}}); res.status != 303 {
		t.Fatalf("set: %d %.300s", res.status, res.body)
	}
	if res := olga.get("/status"); res.status != 200 {
		t.Errorf("she is not signed in: %d", res.status)
	}
	for _, used := range []string{link, "/set-password?key=x", "/set-password"} {
		if res := b.browser().get(used); res.status != 404 {
			t.Errorf("%s: %d", used, res.status)
		}
	}
	if res := b.browser().form("/set-password", url.Values{"key": {key}, "password": {"another password"}}); res.status != 404 {
		t.Errorf("the link works twice: %d", res.status)
	}
	if res := b.browser().form("/sign-in", url.Values{"name": {"olga"}, "password": {"a password of hers"}}); res.status != 303 {
		t.Errorf("her password does not work: %d", res.status)
	}
	if p := root.person(u.ID); !p.Password || !p.Downloader || p.Role != "operator" || p.Sessions != 2 {
		t.Errorf("%+v", p)
	}
	for _, want := range []string{"root|person|user olga|added|operator and downloader, with a link that sets a password", "olga|password|user olga|set|"} {
		if !contains(b.audited(), want) {
			t.Errorf("not on record: %s", want)
		}
	}
	if strings.Contains(b.log.String(), key) || contains(b.audited(), key) {
		t.Error("the link's key is in a log")
	}
}

// A link ends: with time, with a newer one, and when its person is shut out.
func TestLinksEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.subjects()
	p := b.program(b.token(store.Admin, true))
	newLink := func() string {
		var made person
		p.post("/settings/people/"+personID+"/link", "").json(t, &made)
		if !strings.HasPrefix(made.Link, "/set-password?key=") {
			t.Fatalf("%+v", made)
		}
		return made.Link
	}
	works := func(link string) bool { return b.browser().get(link).status == 200 }
	first, second := newLink(), newLink()
	if works(first) || !works(second) {
		t.Errorf("the earlier link: %v, the newer: %v", works(first), works(second))
	}
	p.post("/settings/people/"+personID+"/disable", "")
	if works(second) {
		t.Error("a link leads in somebody who is shut out")
	}
	if res := p.post("/settings/people/"+personID+"/link", ""); res.status != http.StatusConflict {
		t.Errorf("a link for somebody who is shut out: %d", res.status)
	}
	p.post("/settings/people/"+personID+"/enable", "")
	third := newLink()
	_, err := b.store.Pool().Exec(t.Context(), "UPDATE password_links SET expires_at = now() - interval '1 second'")
	must(t, err)
	if works(third) {
		t.Error("an expired link works")
	}
}

// The last admin stays; who changes their rights or is shut out is signed out.
func TestLastAdmin(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rootID, adaID := b.user("root", store.Admin, true), b.user("ada", store.Operator, false)
	root, ada := b.signedIn("root"), b.signedIn("ada")
	for _, path := range []string{"/disable", "/rights"} {
		res := root.form("/settings/people/"+rootID+path, url.Values{"role": {"operator"}})
		if res.status != http.StatusConflict || !strings.Contains(res.body, "only admin") {
			t.Errorf("%s of the last admin: %d %.300s", path, res.status, res.body)
		}
	}
	if !contains(b.audited(), "root|person|user root|refused|the last admin stays: not disabled") {
		t.Errorf("not on record: %v", b.audited())
	}
	if res := root.get("/settings/people"); res.status != 200 {
		t.Errorf("a refusal signed root out: %d", res.status)
	}
	if res := root.form("/settings/people/"+adaID+"/rights", url.Values{"role": {"admin"}}); res.status != 303 {
		t.Fatalf("rights: %d", res.status)
	}
	if res := ada.get("/status"); res.status != 401 {
		t.Errorf("after a change of rights: %d", res.status)
	}
	if res := root.form("/settings/people/"+rootID+"/rights", url.Values{"role": {"viewer"}}); res.status != 303 {
		t.Errorf("root steps down: %d", res.status)
	}
	if res := root.get("/status"); res.status != 401 {
		t.Errorf("root's own session outlived the change: %d", res.status)
	}
	ada = b.signedIn("ada")
	other := b.signedIn("root")
	if res := ada.form("/settings/people/"+rootID+"/disable", nil); res.status != 303 || other.get("/status").status != 401 {
		t.Errorf("disable: %d", res.status)
	}
	if res := b.browser().form("/sign-in", url.Values{"name": {"root"}, "password": {password}}); res.status != 401 {
		t.Errorf("a person who is shut out signs in: %d", res.status)
	}
	// ada may not download, and root may: so it is not hers to give back.
	if res := ada.form("/settings/people/"+rootID+"/rights", url.Values{"role": {"viewer"}}); res.status != 303 {
		t.Errorf("take the right to download away: %d", res.status)
	}
	if res := ada.form("/settings/people/"+rootID+"/enable", nil); res.status != 303 {
		t.Errorf("enable: %d", res.status)
	}
}

// Nobody grants a right that they lack, by any way that leads to it.
func TestNobodyGrantsMore(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.subjects()
	loaderID := b.user("loader", store.Viewer, true)
	d, _, _ := b.database("groveauth")
	lacking := b.program(b.token(store.Admin, false))
	for path, body := range map[string]string{
		"/settings/people":                         `{"name":"eve","role":"viewer","downloader":true}`,
		"/settings/people/" + personID + "/rights": `{"role":"viewer","downloader":true}`,
		"/settings/people/" + loaderID + "/link":   ``,
		"/settings/tokens":                         `{"name":"eve","role":"viewer","downloader":true}`,
	} {
		if res := lacking.post(path, body); res.status != http.StatusForbidden {
			t.Errorf("%s: %d %.200s", path, res.status, res.body)
		}
	}
	if n := strings.Count(strings.Join(b.audited(), "\n"), "|refused|tried to grant a right that they lack"); n != 4 {
		t.Errorf("%d refusals are on record: %v", n, b.audited())
	}
	must(t, b.store.DisableUser(t.Context(), loaderID, time.Now()))
	if res := lacking.post("/settings/people/"+loaderID+"/enable", ""); res.status != http.StatusForbidden {
		t.Errorf("give the right back: %d", res.status)
	}
	// A token of one database has no say in who may see the others.
	confined := b.program(b.token(store.Admin, true, func(t *store.Token) { t.Databases = []string{d.ID} }))
	for _, r := range b.server.Routes() {
		if !strings.HasPrefix(r.Path, "/settings/people") && !strings.HasPrefix(r.Path, "/settings/tokens") {
			continue
		}
		res := confined.do(r.Method, concrete(r.Path, d, b.copyOf(d, dumpOf(t, d), time.Now()), ""), strings.NewReader(`{"name":"eve","role":"admin"}`), "Content-Type", "application/json")
		if res.status != http.StatusForbidden {
			t.Errorf("%s %s by a confined token: %d", r.Method, r.Path, res.status)
		}
	}
	// What a token makes does not outlive it.
	soon := time.Now().Add(time.Hour)
	brief := b.program(b.token(store.Admin, false, func(t *store.Token) { t.ExpiresAt = &soon }))
	var made struct {
		ExpiresAt *time.Time `json:"expires_at"`
	}
	brief.post("/settings/tokens", `{"name":"heir","role":"admin","expires_days":0}`).json(t, &made)
	if made.ExpiresAt == nil || made.ExpiresAt.After(soon.Add(time.Second)) {
		t.Errorf("the heir lasts until %v", made.ExpiresAt)
	}
}

// An API token is shown once, does what it says, and ends when it is revoked.
func TestTokenPage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user("root", store.Admin, true)
	b.database("mine")
	b.database("theirs")
	root := b.signedIn("root")
	page := root.form("/settings/tokens", url.Values{"name": {"deploy"}, "role": {"viewer"}, "database": {"mine"}, "expires_days": {"30"}})
	at := strings.Index(page.body, "patina_")
	if page.status != 200 || at < 0 {
		t.Fatalf("make: %d %.300s", page.status, page.body)
	}
	secret := page.body[at : at+len("patina_")+43]
	again := root.get("/settings/tokens")
	if strings.Contains(again.body, secret) || !strings.Contains(again.body, "deploy") || !strings.Contains(again.body, "mine") {
		t.Error("the list shows the token, or not its name")
	}
	p := b.program(secret)
	if mine, theirs := p.get("/databases/mine").status, p.get("/databases/theirs").status; mine != 200 || theirs != 404 {
		t.Errorf("mine %d, theirs %d", mine, theirs)
	}
	var list struct {
		Tokens []struct {
			ID, State  string
			Databases  []string
			ExpiresAt  time.Time  `json:"expires_at"`
			LastUsedAt *time.Time `json:"last_used_at"`
		}
	}
	root.get("/settings/tokens", "Accept", "application/json").json(t, &list)
	tok := list.Tokens[0]
	if days := time.Until(tok.ExpiresAt).Hours() / 24; len(list.Tokens) != 1 || tok.State != "valid" || len(tok.Databases) != 1 || tok.Databases[0] != "mine" || days < 29 || days > 31 || tok.LastUsedAt == nil {
		t.Errorf("%+v", list)
	}
	if res := root.form("/settings/tokens/"+tok.ID+"/revoke", nil); res.status != 303 || p.get("/databases/mine").status != 401 {
		t.Errorf("revoke: %d", res.status)
	}
	for body, want := range map[string]int{
		`{"name":"x","role":"viewer","databases":["mine","theirs"]}`: 200, `{"name":"x","role":"viewer","databases":["none"]}`: 400, `{"name":"","role":"viewer"}`: 400,
		`{"name":"x","role":"king"}`: 400, `{"name":"x","role":"viewer","expires_days":-1}`: 400, `{"name":"x","role":"viewer","databases":[1]}`: 400, `{"name":["x"],"role":"viewer"}`: 400,
	} {
		if res := root.post("/settings/tokens", body, "Accept", "application/json"); res.status != want {
			t.Errorf("%s: %d %.200s", body, res.status, res.body)
		}
	}
	for _, want := range []string{"root|token|token deploy|made|viewer, 1 database, until ", "root|token|token deploy|revoked|"} {
		if !contains(b.audited(), want) {
			t.Errorf("not on record: %s in %v", want, b.audited())
		}
	}
}

// Where somebody is signed in is listed, and can be ended by them and an admin.
func TestSessionsPage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user("root", store.Admin, false)
	vera := b.user("vera", store.Viewer, false)
	one, two, three := b.signedIn("vera"), b.browser(), b.signedIn("vera")
	const agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	two.form("/sign-in", url.Values{"name": {"vera"}, "password": {password}}, "User-Agent", agent)
	page := one.get("/settings/account")
	if page.status != 200 || !strings.Contains(page.body, "Firefox on Linux") || !strings.Contains(page.body, "you, here") || !strings.Contains(page.body, "127.0.0.1") || strings.Contains(page.body, "/settings/people") {
		t.Errorf("her account: %d", page.status)
	}
	var me person
	one.get("/settings/account", "Accept", "application/json").json(t, &me)
	if len(me.SignIns) != 3 {
		t.Fatalf("%+v", me)
	}
	for _, s := range me.SignIns {
		if s.UserAgent == agent {
			one.form("/settings/account/sessions/end", url.Values{"session": {s.ID}})
		}
	}
	if a, z, c := one.get("/status").status, two.get("/status").status, three.get("/status").status; a != 200 || z != 401 || c != 200 {
		t.Errorf("one ended: %d %d %d", a, z, c)
	}
	one.form("/settings/account/sessions/end", nil)
	if a, c := one.get("/status").status, three.get("/status").status; a != 200 || c != 401 {
		t.Errorf("all others ended: %d %d", a, c)
	}
	// Another's cannot be ended but by an admin.
	root := b.signedIn("root")
	rootSession := root.person(b.idOf("root")).SignIns[0].ID
	one.form("/settings/account/sessions/end", url.Values{"session": {rootSession}})
	if root.get("/status").status != 200 {
		t.Error("vera signed root out")
	}
	root.form("/settings/people/"+vera+"/sessions/end", url.Values{"session": {rootSession}})
	if root.get("/status").status != 200 || one.get("/status").status != 200 {
		t.Error("a session is ended by way of somebody else")
	}
	if p := root.person(vera); p.Sessions != 1 || p.SignIns[0].Method != "password" {
		t.Errorf("%+v", p)
	}
	root.form("/settings/people/"+vera+"/sessions/end", nil)
	if one.get("/status").status != 401 {
		t.Error("an admin cannot sign vera out")
	}
	if !contains(b.audited(), "root|person|user vera|signed out|everywhere") {
		t.Error("not on record")
	}
}

func (b *bench) idOf(name string) string {
	b.t.Helper()
	u, err := b.store.UserByName(b.t.Context(), name)
	must(b.t, err)
	return u.ID
}

// One's own password is changed by who knows it; every other session ends.
func TestOwnPassword(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user("ada", store.Viewer, false)
	here, there := b.signedIn("ada"), b.signedIn("ada")
	if res := here.form("/settings/account/password", url.Values{"current": {"wrong password"}, "password": {"a new password"}}); res.status != 403 {
		t.Errorf("a wrong one: %d", res.status)
	}
	if res := here.form("/settings/account/password", url.Values{"current": {password}, "password": {"short"}}); res.status != 400 {
		t.Errorf("a short one: %d", res.status)
	}
	if res := here.form("/settings/account/password", url.Values{"current": {password}, "password": {"a new password"}}); res.status != 303 {
		t.Fatalf("change: %d %.200s", res.status, res.body)
	}
	if a, z := here.get("/status").status, there.get("/status").status; a != 200 || z != 401 {
		t.Errorf("here %d, there %d", a, z)
	}
	if res := b.browser().form("/sign-in", url.Values{"name": {"ada"}, "password": {"a new password"}}); res.status != 303 {
		t.Errorf("the new one: %d", res.status)
	}
	codes := map[int]int{}
	for range 20 {
		codes[here.form("/settings/account/password", url.Values{"current": {"guess guess guess"}, "password": {"a new password"}}).status]++
	}
	if codes[403] > 10 || codes[429] == 0 {
		t.Errorf("guessing one's own password: %v", codes)
	}
	if res := b.program(b.token(store.Viewer, false)).post("/settings/account/password", `{"password":"a new password"}`); res.status != 400 {
		t.Errorf("a token: %d", res.status)
	}
}
