package web_test

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/store"
)

// front is an address that a server can be put behind once it is known.
type front struct {
	url     string
	mu      sync.Mutex
	handler http.Handler
}

func newFront(t *testing.T) *front {
	t.Helper()
	f := &front{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		h := f.handler
		f.mu.Unlock()
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	f.url = srv.URL
	return f
}

func (f *front) set(h http.Handler) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handler = h
}

// forger is an issuer that lies as it is told to. As it is made it tells the truth.
type forger struct {
	t   *testing.T
	url string

	mu       sync.Mutex
	down     bool
	visits   int
	kid      string
	key      *rsa.PrivateKey
	nonce    string // that it was asked with
	verifier string // that it was given at the exchange
	asked    url.Values
	claims   func(map[string]any)                   // changes what the token says
	sign     func(head, body map[string]any) string // makes the token in another way
}

func newForger(t *testing.T) *forger {
	t.Helper()
	f := &forger{t: t, kid: "one"}
	var err error
	f.key, err = rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	f.url = srv.URL
	return f
}

func (f *forger) set(edit func(*forger)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	edit(f)
}

func part(v any) string {
	text, _ := json.Marshal(v)
	return base64.RawURLEncoding.EncodeToString(text)
}

func signed(key *rsa.PrivateKey, head, body map[string]any) string {
	text := part(head) + "." + part(body)
	sum := sha256.Sum256([]byte(text))
	sig, _ := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func (f *forger) public() map[string]any {
	n := base64.RawURLEncoding.EncodeToString(f.key.N.Bytes())
	return map[string]any{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": f.kid, "n": n, "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(f.key.E)).Bytes())}
}

// ServeHTTP answers as an issuer does.
func (f *forger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		http.Error(w, "down", http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	var answer any
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		answer = map[string]any{
			"issuer": f.url, "authorization_endpoint": f.url + "/authorize", "token_endpoint": f.url + "/token", "jwks_uri": f.url + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256", "none", "HS256"},
		}
	case "/keys":
		answer = map[string]any{"keys": []any{f.public()}}
	case "/token":
		f.verifier = r.PostFormValue("code_verifier")
		now := time.Now()
		body := map[string]any{
			"iss": f.url, "aud": "patina", "sub": "1", "exp": now.Add(time.Minute).Unix(), "iat": now.Unix(), "nonce": f.nonce,
			"email": "ada@grove.place", "email_verified": true,
		}
		if f.claims != nil {
			f.claims(body)
		}
		head := map[string]any{"alg": "RS256", "kid": f.kid, "typ": "JWT"}
		token := signed(f.key, head, body)
		if f.sign != nil {
			token = f.sign(head, body)
		}
		answer = map[string]any{"access_token": "access", "token_type": "Bearer", "id_token": token}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// answer is where the forger sends a browser that was sent to it.
func (f *forger) answer(asked string) string {
	f.t.Helper()
	u, err := url.Parse(asked)
	must(f.t, err)
	f.set(func(f *forger) { f.asked, f.nonce = u.Query(), u.Query().Get("nonce") })
	return "/sign-in/callback?code=c&state=" + url.QueryEscape(u.Query().Get("state"))
}

// signOn goes to the forger and comes back, each time from another address.
func (c *client) signOn(f *forger) response {
	c.b.t.Helper()
	f.set(func(f *forger) { f.visits++ })
	return c.get(f.answer(c.get("/sign-in/sso").header.Get("Location")), "X-Forwarded-For", fmt.Sprint("192.0.2.", f.visits))
}

// Row 9: what an issuer, or somebody in its name, cannot make us believe.
func TestSignOnForged(t *testing.T) {
	t.Parallel()
	f := newForger(t)
	b, _ := withIssuer(t, "*=viewer", func(string) string { return f.url })
	b.user("root", store.Admin, true)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	set := func(key string, value any) func(map[string]any) {
		return func(c map[string]any) { c[key] = value }
	}
	for name, tt := range map[string]struct {
		claims func(map[string]any)
		sign   func(head, body map[string]any) string
		reason string
	}{
		"nonce":            {claims: set("nonce", "another"), reason: "nonce"},
		"no nonce":         {claims: func(c map[string]any) { delete(c, "nonce") }, reason: "nonce"},
		"issuer":           {claims: set("iss", "https://evil.example"), reason: "issued by"},
		"audience":         {claims: set("aud", "another"), reason: "audience"},
		"two audiences":    {claims: set("aud", []string{"patina", "another"}), reason: "another program"},
		"authorised party": {claims: set("azp", "another"), reason: "another program"},
		"expired":          {claims: set("exp", time.Now().Add(-time.Minute).Unix()), reason: "expired"},
		"without an end":   {claims: func(c map[string]any) { delete(c, "exp") }, reason: "expired"},
		"alg none": {sign: func(head, body map[string]any) string {
			head["alg"] = "none"
			return part(head) + "." + part(body) + "."
		}, reason: "not valid"},
		"alg None": {sign: func(head, body map[string]any) string {
			head["alg"] = "None"
			return part(head) + "." + part(body) + "."
		}, reason: "not valid"},
		"another key":    {sign: func(head, body map[string]any) string { return signed(other, head, body) }, reason: "not valid"},
		"an unknown key": {sign: func(head, body map[string]any) string { head["kid"] = "x"; return signed(other, head, body) }, reason: "not valid"},
		"no signature":   {sign: func(head, body map[string]any) string { return part(head) + "." + part(body) + "." }, reason: "not valid"},
		"no token":       {sign: func(map[string]any, map[string]any) string { return "" }, reason: "not valid"},
		"HMAC by the key": {sign: func(head, body map[string]any) string { // the public key taken for a secret
			head["alg"] = "HS256"
			text := part(head) + "." + part(body)
			mac := hmac.New(sha256.New, f.key.N.Bytes())
			mac.Write([]byte(text))
			return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
		}, reason: "not valid"},
		"HMAC by the secret": {sign: func(head, body map[string]any) string {
			head["alg"] = "HS256"
			text := part(head) + "." + part(body)
			mac := hmac.New(sha256.New, []byte("client-secret"))
			mac.Write([]byte(text))
			return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
		}, reason: "not valid"},
	} {
		f.set(func(f *forger) { f.claims, f.sign = tt.claims, tt.sign })
		c := b.browser()
		res := c.signOn(f)
		if res.status != http.StatusUnauthorized || c.get("/status").status == http.StatusOK || !strings.Contains(res.body, "cannot be believed") {
			t.Errorf("%s: %d %.200s", name, res.status, res.body)
		}
		if e := b.newestAudit(); e.Outcome != "refused" || !strings.Contains(e.Reason, tt.reason) {
			t.Errorf("%s: on record is %q, %q", name, e.Outcome, e.Reason)
		}
		b.rested(f)
	}
	if users, _ := b.store.Users(t.Context()); len(users) != 1 {
		t.Errorf("a forger made somebody: %d", len(users))
	}
}

// rested sees that the truth is believed, and forgets whom it made.
func (b *bench) rested(f *forger) {
	b.t.Helper()
	f.set(func(f *forger) { f.claims, f.sign = nil, nil })
	if res := b.browser().signOn(f); res.status != http.StatusSeeOther {
		b.t.Fatalf("the truth is not believed: %d %.200s", res.status, res.body)
	}
	_, err := b.store.Pool().Exec(b.t.Context(), "DELETE FROM identities")
	must(b.t, err)
	_, err = b.store.Pool().Exec(b.t.Context(), "DELETE FROM users WHERE password_hash = ''")
	must(b.t, err)
}

// Row 9: the state binds an answer to the browser that asked.
func TestSignOnState(t *testing.T) {
	t.Parallel()
	f := newForger(t)
	b, _ := withIssuer(t, "*=viewer", func(string) string { return f.url })
	b.user("root", store.Admin, true)
	n := 0
	elsewhere := func() []string { // each time from another address
		n++
		return []string{"X-Forwarded-For", fmt.Sprint("198.51.100.", n)}
	}
	for name, change := range map[string]func(string) string{
		"another state":  func(string) string { return "/sign-in/callback?code=c&state=another" },
		"no state":       func(string) string { return "/sign-in/callback?code=c" },
		"another issuer": func(s string) string { return s + "&iss=https%3A%2F%2Fevil.example" },
		"refused":        func(s string) string { return s + "&error=access_denied" },
	} {
		c := b.browser()
		back := f.answer(c.get("/sign-in/sso").header.Get("Location"))
		if res := c.get(change(back), elsewhere()...); res.status != http.StatusUnauthorized || c.get("/status").status == 200 {
			t.Errorf("%s: %d", name, res.status)
		}
		if res := c.get(back, elsewhere()...); res.status != http.StatusUnauthorized {
			t.Errorf("%s: the right one works after it: %d", name, res.status)
		}
	}
	b.rested(f)
	// The cookie of one browser, in another's hands or changed, opens nothing.
	c := b.browser()
	leave := c.get("/sign-in/sso")
	back, u := f.answer(leave.header.Get("Location")), c.http.Jar
	at, _ := url.Parse(b.http.URL)
	var ticket *http.Cookie
	for _, k := range u.Cookies(at) {
		if k.Name == "patina-sign-in" {
			ticket = k
		}
	}
	if set := leave.header.Get("Set-Cookie"); ticket == nil || !strings.Contains(set, "HttpOnly") || !strings.Contains(set, "SameSite=Lax") || strings.Contains(ticket.Value, f.nonce) {
		t.Fatalf("the ticket: %v", leave.header)
	}
	ticket.Value = ticket.Value[:len(ticket.Value)-4] + "AAAA"
	u.SetCookies(at, []*http.Cookie{ticket})
	if res := c.get(back, elsewhere()...); res.status != http.StatusUnauthorized {
		t.Errorf("a changed ticket: %d", res.status)
	}
	// next leads nowhere else, and PKCE's secret is the one whose hash was sent.
	c = b.browser()
	res := c.get(f.answer(c.get("/sign-in/sso?next="+url.QueryEscape("//evil.example")).header.Get("Location")), elsewhere()...)
	if res.status != http.StatusSeeOther || res.header.Get("Location") != "/" {
		t.Errorf("next: %d %s", res.status, res.header.Get("Location"))
	}
	sum := sha256.Sum256([]byte(f.verifier))
	if f.verifier == "" || f.asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) {
		t.Errorf("the verifier %q does not fit", f.verifier)
	}
	codes := map[int]int{}
	for i := range 40 {
		codes[b.browser().get(fmt.Sprint("/sign-in/callback?code=c&state=", i)).status]++
	}
	if codes[429] == 0 {
		t.Errorf("nothing slows guessing down: %v", codes)
	}
}

// Row 9: an issuer that changes its key is believed again at once.
func TestSignOnKeyRotation(t *testing.T) {
	t.Parallel()
	f := newForger(t)
	b, _ := withIssuer(t, "sub:1=viewer", func(string) string { return f.url })
	if res := b.browser().signOn(f); res.status != http.StatusSeeOther {
		t.Fatalf("the first key: %d %.200s", res.status, res.body)
	}
	old := f.key
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	f.set(func(f *forger) { f.kid, f.key = "two", key })
	if res := b.browser().signOn(f); res.status != http.StatusSeeOther {
		t.Errorf("the second key: %d %.200s", res.status, res.body)
	}
	f.set(func(f *forger) {
		f.sign = func(head, body map[string]any) string { head["kid"] = "one"; return signed(old, head, body) }
	})
	if res := b.browser().signOn(f); res.status != http.StatusUnauthorized {
		t.Errorf("the key of before: %d", res.status)
	}
	if users, _ := b.store.Users(t.Context()); len(users) != 1 {
		t.Errorf("%d people were made of one", len(users))
	}
}
