package web_test

import (
	"bufio"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web"
	"github.com/AutumnsGrove/Patina/web/auth"
)

// realIssuer starts a whole issuer, in a process of its own, that knows three people, and gives its address.
func realIssuer(t *testing.T, redirect string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "oidc")
	build := exec.Command("go", "build", "-o", bin, ".")
	build.Dir = filepath.Join("..", ".ci", "tools", "oidc")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build an issuer: %v\n%s", err, out)
	}
	people := filepath.Join(t.TempDir(), "people.json")
	must(t, os.WriteFile(people, []byte(`{
		"1": {"ID": "1", "Username": "ada", "Password": "pw", "Email": "ada@grove.place", "EmailVerified": true, "PreferredLanguage": "en"},
		"2": {"ID": "2", "Username": "bob", "Password": "pw", "Email": "bob@grove.place", "EmailVerified": false, "PreferredLanguage": "en"},
		"3": {"ID": "3", "Username": "eve", "Password": "pw", "Email": "eve@elsewhere.example", "EmailVerified": true, "PreferredLanguage": "en"}
	}`), 0o600))
	cmd := exec.Command(bin, "-redirect", redirect, "-people", people)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	return strings.TrimSpace(line)
}

// withIssuer gives a server that knows its own address, and an issuer's.
func withIssuer(t *testing.T, allowed string, issuer func(redirect string) string) (*bench, string) {
	t.Helper()
	rules, err := auth.ParseAllowed(allowed)
	must(t, err)
	front := newFront(t)
	where := issuer(front.url + auth.CallbackPath)
	b := newBench(t, func(c *web.Config) {
		c.PublicURL, c.TrustedProxies = front.url, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		c.Issuer = &auth.Issuer{URL: where, ClientID: "patina", ClientSecret: "client-secret", Allowed: rules}
	})
	front.set(b.server.Handler())
	b.http.Close()
	b.http.URL = front.url
	return b, where
}

var (
	requestID = regexp.MustCompile(`name="id" value="([^"]+)"`)
	formWhere = regexp.MustCompile(`action="([^"]+)"`)
)

// atIssuer takes a browser through the issuer's own sign-in page, and gives the
// address that it is sent back to.
func (c *client) atIssuer(t *testing.T, where, name string) string {
	t.Helper()
	follow := *c.http
	follow.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == auth.CallbackPath {
			return http.ErrUseLastResponse
		}
		return nil
	}
	page := func(res *http.Response, err error) (string, *http.Response) {
		must(t, err)
		defer res.Body.Close()
		var text strings.Builder
		_, err = bufio.NewReader(res.Body).WriteTo(&text)
		must(t, err)
		return text.String(), res
	}
	text, res := page(follow.Get(where))
	id := requestID.FindStringSubmatch(text)
	if id == nil {
		t.Fatalf("the issuer shows no form: %d %.500s", res.StatusCode, text)
	}
	at, err := res.Request.URL.Parse(formWhere.FindStringSubmatch(text)[1])
	must(t, err)
	text, res = page(follow.PostForm(at.String(), url.Values{"username": {name}, "password": {"pw"}, "id": {id[1]}}))
	back := res.Header.Get("Location")
	if !strings.Contains(back, auth.CallbackPath) {
		t.Fatalf("the issuer leads to %q: %d %.500s", back, res.StatusCode, text)
	}
	return back
}

func (c *client) back(t *testing.T, address string) response {
	t.Helper()
	u, err := url.Parse(address)
	must(t, err)
	return c.get(u.RequestURI())
}

// Somebody signs in with a real issuer: made at first, the same afterwards, with
// the rights that the rules give and an admin changes.
func TestSignOnWithRealIssuer(t *testing.T) {
	t.Parallel()
	b, issuer := withIssuer(t, "ada@grove.place=operator+downloader, @grove.place=viewer", func(redirect string) string { return realIssuer(t, redirect) })
	b.user("root", store.Admin, true)
	ada := b.browser()
	page := ada.get("/sign-in?next=%2Fjobs%3Fx%3D1")
	if !strings.Contains(page.body, "Sign in with 127.0.0.1") || !strings.Contains(page.body, `href="/sign-in/sso?next=%2Fjobs%3Fx%3D1"`) {
		t.Fatalf("no button: %.500s", page.body)
	}
	leave := ada.get("/sign-in/sso?next=%2Fjobs%3Fx%3D1")
	to, err := url.Parse(leave.header.Get("Location"))
	must(t, err)
	q := to.Query()
	if leave.status != http.StatusSeeOther || !strings.HasPrefix(to.String(), issuer) || q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" || len(q.Get("state")) < 20 || len(q.Get("nonce")) < 20 || q.Get("state") == q.Get("nonce") {
		t.Fatalf("leave: %d %s", leave.status, to)
	}
	back := ada.atIssuer(t, to.String(), "ada")
	// Another browser cannot use what this one was given.
	if res := b.browser().back(t, back); res.status != http.StatusUnauthorized {
		t.Errorf("another browser comes back with it: %d", res.status)
	}
	res := ada.back(t, back)
	if res.status != http.StatusSeeOther || res.header.Get("Location") != "/jobs?x=1" {
		t.Fatalf("back: %d %.500s", res.status, res.body)
	}
	var me person
	ada.get("/settings/account", "Accept", "application/json").json(t, &me)
	if me.Name != "ada@grove.place" || me.Role != "operator" || !me.Downloader || me.SignIns[0].Method != "single sign-on" {
		t.Errorf("%+v", me)
	}
	if again := ada.back(t, back); again.status != http.StatusUnauthorized {
		t.Errorf("the same answer works twice: %d", again.status)
	}
	signs := func(who *client, name string) response {
		return who.back(t, who.atIssuer(t, who.get("/sign-in/sso").header.Get("Location"), name))
	}
	// An admin's change stays, and shutting out does.
	id := b.idOf("ada@grove.place")
	must(t, b.store.SetRights(t.Context(), id, store.Viewer, false))
	if res := signs(ada, "ada"); res.status != http.StatusSeeOther {
		t.Fatalf("again: %d", res.status)
	}
	if ada.get("/settings/account", "Accept", "application/json").json(t, &me); me.Role != "viewer" || me.Downloader {
		t.Errorf("after a change: %+v", me)
	}
	must(t, b.store.DisableUser(t.Context(), id, time.Now()))
	if res := signs(b.browser(), "ada"); res.status != http.StatusForbidden || !strings.Contains(res.body, "You are shut out") {
		t.Errorf("shut out: %d", res.status)
	}
	// An address that is not verified is none, and who no rule fits stays out.
	for _, name := range []string{"bob", "eve"} {
		if res := signs(b.browser(), name); res.status != http.StatusForbidden || !strings.Contains(res.body, "nobody has allowed you in") {
			t.Errorf("%s: %d", name, res.status)
		}
	}
	if users, _ := b.store.Users(t.Context()); len(users) != 2 {
		t.Errorf("%d people are known", len(users))
	}
	for _, want := range []string{
		"ada@grove.place|person|user ada@grove.place|added|by 127.0.0.1: ada@grove.place=operator+downloader", "ada@grove.place|sign-in|user ada@grove.place|done|by 127.0.0.1",
		"nobody|sign-in|single sign-on|refused|no rule lets eve@elsewhere.example in", "nobody|sign-in|single sign-on|refused|user ada@grove.place is shut out",
	} {
		if !contains(b.audited(), want) {
			t.Errorf("not on record: %s", want)
		}
	}
	// A password goes on to work beside it.
	if res := b.browser().form("/sign-in", url.Values{"name": {"root"}, "password": {password}}); res.status != http.StatusSeeOther {
		t.Errorf("a password: %d", res.status)
	}
}

// Whoever has somebody's name at the issuer does not become them here.
func TestSignOnTakesNobodysName(t *testing.T) {
	t.Parallel()
	f := newForger(t)
	b, _ := withIssuer(t, "*=viewer", func(string) string { return f.url })
	rootID := b.user("ada@grove.place", store.Admin, true)
	ada := b.browser()
	if res := ada.signOn(f); res.status != http.StatusSeeOther {
		t.Fatalf("%d %.300s", res.status, res.body)
	}
	var me person
	ada.get("/settings/account", "Accept", "application/json").json(t, &me)
	if me.Name != "ada@grove.place+2" || me.Role != "viewer" {
		t.Errorf("%+v", me)
	}
	if p := b.signedIn("ada@grove.place").person(rootID); p.Sessions != 1 || p.Role != "admin" {
		t.Errorf("%+v", p)
	}
}

// An issuer that is down keeps nobody with a password out, and is asked again.
func TestSignOnIssuerDown(t *testing.T) {
	t.Parallel()
	f := newForger(t)
	b, _ := withIssuer(t, "*=viewer", func(string) string { return f.url })
	b.user("root", store.Admin, true)
	f.set(func(f *forger) { f.down = true })
	res := b.browser().get("/sign-in/sso")
	if res.status != http.StatusServiceUnavailable || !strings.Contains(res.body, "does not answer as it should") || !strings.Contains(res.body, `action="/sign-in"`) {
		t.Errorf("down: %d %.300s", res.status, res.body)
	}
	if res := b.browser().form("/sign-in", url.Values{"name": {"root"}, "password": {password}}); res.status != http.StatusSeeOther {
		t.Errorf("a password meanwhile: %d", res.status)
	}
	f.set(func(f *forger) { f.down = false })
	if res := b.browser().signOn(f); res.status != http.StatusSeeOther {
		t.Errorf("up again: %d %.300s", res.status, res.body)
	}
	// Down between leaving and coming back.
	c := b.browser()
	back := f.answer(c.get("/sign-in/sso").header.Get("Location"))
	f.set(func(f *forger) { f.down = true })
	if res := c.get(back); res.status != http.StatusServiceUnavailable || c.get("/status").status == 200 {
		t.Errorf("down at the exchange: %d", res.status)
	}
	if plain := newBench(t).browser(); plain.get("/sign-in/sso").status != 404 || plain.get("/sign-in/callback").status != 404 || strings.Contains(plain.get("/sign-in").body, "Sign in with") {
		t.Error("without an issuer there is a way to it")
	}
}
