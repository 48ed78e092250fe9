package web_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

type redacts struct {
	Database string
	Rules    []string
	Fixed    bool
}

// TestRedactionPage: an admin sets what is left out, line by line; what the file
// says is shown and not changed; everything is on record.
func TestRedactionPage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, _, _ := b.database("groveauth")
	other, _, _ := b.database("other")
	b.user("ada", store.Admin, false)
	ada, p := b.signedIn("ada"), b.program(b.token(store.Admin, false))
	path := "/settings/redaction/groveauth"
	if res := ada.form(path, url.Values{"rules": {"users.password_hash = null\r\n\r\n sessions.token=hash \r\n"}}); res.status != http.StatusSeeOther || res.header.Get("Location") != path {
		t.Fatalf("%d %s", res.status, res.body)
	}
	var got redacts
	p.get(path).json(t, &got)
	want := []string{"sessions.token → hash", "users.password_hash → null"}
	if got.Database != "groveauth" || got.Fixed || !slices.Equal(got.Rules, want) {
		t.Errorf("%+v", got)
	}
	page := ada.get(path)
	if page.status != 200 || !strings.Contains(page.body, "users.password_hash = null\n</textarea>") || !strings.Contains(page.body, "The newest copy has no table sessions") {
		t.Errorf("%d %s", page.status, page.body)
	}
	if list := ada.get("/settings/redaction"); strings.Index(list.body, "groveauth") > strings.Index(list.body, ">other<") || !strings.Contains(list.body, "sessions.token → hash") {
		t.Errorf("%s", list.body)
	}
	if none := ada.get("/settings/redaction?q=nowhere"); !strings.Contains(none.body, "No database is called that") {
		t.Errorf("%s", none.body)
	}

	// What cannot be read changes nothing.
	if res := p.post(path, `{"rules":"users.password_hash = drop\na.b = null\nA.B = hash"}`); res.status != http.StatusBadRequest || !strings.Contains(res.body, "null or hash") || !strings.Contains(res.body, "named twice") {
		t.Errorf("%d %s", res.status, res.body)
	}
	if res := p.post(path, `{}`); res.status != http.StatusOK {
		t.Errorf("%d %s", res.status, res.body)
	}
	p.get(path).json(t, &got)
	if !slices.Equal(got.Rules, want) {
		t.Errorf("%+v", got)
	}
	p.post(path, `{"rules":""}`).json(t, &got)
	if len(got.Rules) != 0 {
		t.Errorf("%+v", got)
	}

	// What patina.toml says.
	rules, err := backup.ParseRedactions([]string{"users.name = null"})
	must(t, err)
	must(t, b.store.FixRedactions(t.Context(), other.ID, rules))
	if res := p.post("/settings/redaction/other", `{"rules":""}`); res.status != http.StatusConflict || !strings.Contains(res.body, "patina.toml") {
		t.Errorf("%d %s", res.status, res.body)
	}
	if page := ada.get("/settings/redaction/other"); strings.Contains(page.body, "<textarea") || !strings.Contains(page.body, "users.name → null") {
		t.Errorf("%s", page.body)
	}
	mine := b.program(b.token(store.Admin, true, func(tok *store.Token) { tok.Databases = []string{d.ID} }))
	if res := mine.get("/settings/redaction"); res.status != 200 || strings.Contains(res.body, "other") {
		t.Errorf("%d %s", res.status, res.body)
	}
	if res := mine.post("/settings/redaction/other", `{"rules":""}`); res.status != http.StatusNotFound {
		t.Errorf("%d %s", res.status, res.body)
	}
	log := b.audited()
	for _, want := range []string{"ada|set redaction|database groveauth", "token test admin|set redaction|database groveauth"} {
		if !contains(log, want) {
			t.Errorf("not on record: %s in %q", want, log)
		}
	}
}

// TestRedactedCopyIsCalledSo everywhere, and is not restored over its database.
func TestRedactedCopyIsCalledSo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, _, body := b.database("groveauth")
	c := b.copyOf(d, body, time.Now().Add(time.Minute), func(c *backup.Copy) {
		c.Kind, c.Proof = backup.Manual, backup.ProofProven
		c.Redactions = []string{"users.password_hash → null"}
	})
	b.user("ada", store.Admin, true)
	ada, p := b.signedIn("ada"), b.program(b.token(store.Admin, true))
	var list struct {
		Backups []struct {
			ID         string
			Redactions []string
		}
	}
	p.get("/list").json(t, &list)
	for _, x := range list.Backups {
		if (x.ID == c.ID) != (len(x.Redactions) == 1 && x.Redactions[0] == "users.password_hash → null") || x.Redactions == nil {
			t.Errorf("%+v", x)
		}
	}
	for _, path := range []string{"/backups/" + c.ID, "/backups/" + c.ID + "/restore", "/list"} {
		if page := ada.get(path); page.status != 200 || !strings.Contains(page.body, "users.password_hash") {
			t.Errorf("%s: %d %s", path, page.status, page.body)
		}
	}
	if page := ada.get("/backups/" + c.ID); strings.Count(page.body, "users.password_hash → null") != 1 || strings.Contains(page.body, "on purpose, and") {
		t.Errorf("said twice: %s", page.body)
	}
	if guide := p.get("/restore-guide/groveauth", "Accept", "text/markdown"); !strings.Contains(guide.body, "| redacted | `users.password_hash → null` |") || !strings.Contains(guide.body, "leaves values out on purpose") {
		t.Errorf("%.3000s", guide.body)
	}
}
