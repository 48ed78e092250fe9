package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/store"
)

func TestPin(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, c, _ := b.database("groveauth")
	other, theirs, _ := b.database("other")
	pinned := func(id string) bool {
		t.Helper()
		got, err := b.store.Copy(t.Context(), id)
		must(t, err)
		return got.Pinned
	}
	p := b.program(b.token(store.Operator, false))
	path := "/backups/" + c.ID + "/pin"
	var entry struct {
		ID     string
		Pinned bool
	}
	if res := p.post(path, `{"pinned":true}`); res.status != http.StatusOK || !pinned(c.ID) {
		t.Fatalf("%d %s", res.status, res.body)
	} else if res.json(t, &entry); entry.ID != c.ID || !entry.Pinned {
		t.Errorf("%+v", entry)
	}
	p.post(path, `{"pinned":true}`) // again: the same
	for _, body := range []string{``, `{}`, `{"pinned":null}`, `{"pinned":"yes"}`, `{"pinned":true,"for":"ever"}`, `{"pinned":false}{}`, `true`} {
		if res := p.post(path, body); res.status != http.StatusBadRequest || !pinned(c.ID) {
			t.Errorf("%s: %d", body, res.status)
		}
	}
	if res := p.do("POST", path, strings.NewReader("x"), "Content-Type", "text/plain"); res.status != http.StatusUnsupportedMediaType {
		t.Errorf("neither JSON nor a form: %d", res.status)
	}
	if res := p.post(path, `{"pinned":false}`); res.status != http.StatusOK || pinned(c.ID) {
		t.Errorf("unpin: %d %s", res.status, res.body)
	}
	// What is not there, is gone, or belongs to somebody else's token does not exist.
	one := b.program(b.token(store.Admin, true, func(tok *store.Token) { tok.Databases = []string{other.ID} }))
	if res := one.post(path, `{"pinned":true}`); res.status != http.StatusNotFound {
		t.Errorf("another's token: %d", res.status)
	}
	must(t, b.store.MarkDeleted(t.Context(), theirs.ID, time.Now()))
	for _, id := range []string{theirs.ID, other.ID, "x"} {
		if res := p.post("/backups/"+id+"/pin", `{"pinned":true}`); res.status != http.StatusNotFound {
			t.Errorf("%s: %d", id, res.status)
		}
	}

	// By a person, from the list and back to it.
	b.user("olga", store.Operator, false)
	olga := b.signedIn("olga")
	list := "/list?database=groveauth"
	holds(t, olga.get(list), `action="`+path+`"`, `name="pinned" value="true"`, "no end is set")
	res := olga.form(path, url.Values{"pinned": {"true"}, "back": {list}})
	if res.status != http.StatusSeeOther || res.header.Get("Location") != list || !pinned(c.ID) {
		t.Errorf("%d to %s", res.status, res.header.Get("Location"))
	}
	holds(t, olga.get(list), `name="pinned" value="false"`, "pinned: kept for good")
	if res := olga.form(path, url.Values{"pinned": {"false"}, "back": {"//evil.example"}}); res.header.Get("Location") != "/list" {
		t.Errorf("led away to %s", res.header.Get("Location"))
	}
	// And from its own page.
	page := "/backups/" + c.ID
	holds(t, olga.get(page), `action="`+path+`"`, `name="back" value="`+page+`"`)
	if res := olga.form(path, url.Values{"pinned": {"true"}, "back": {page}}); res.header.Get("Location") != page || !pinned(c.ID) {
		t.Errorf("%d to %s", res.status, res.header.Get("Location"))
	}
	holds(t, olga.get(page), "pinned: kept for good", "Unpin")
	log := b.audited()
	for _, want := range []string{"token test operator|pin|backup " + c.ID + "|done", "token test operator|unpin|backup " + c.ID + "|done", "olga|pin|backup " + c.ID + "|done"} {
		if !contains(log, want) {
			t.Errorf("not on record: %s in %q", want, log)
		}
	}
}

// After a rebuild an admin is asked, and nobody else.
func TestConfirmRetention(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, _, _ := b.database("groveauth")
	b.user("ada", store.Admin, false)
	b.user("olga", store.Operator, true)
	ada, olga := b.signedIn("ada"), b.signedIn("olga")
	const banner = "/settings/retention/confirm"
	if strings.Contains(ada.get("/").body, banner) {
		t.Error("an admin is asked without a reason")
	}
	must(t, b.store.FreezeRetention(t.Context(), "The catalogue was made again <b>.", time.Now()))
	holds(t, ada.get("/"), `action="`+banner+`"`, "The catalogue was made again &lt;b&gt;.", "No backup expires for now")
	if page := olga.get("/").body; strings.Contains(page, banner) || strings.Contains(page, "made again") {
		t.Error("an operator is asked")
	}
	var home struct {
		Frozen string `json:"retention_frozen"`
	}
	admin := b.program(b.token(store.Admin, false))
	if admin.get("/").json(t, &home); home.Frozen == "" {
		t.Error("a program is not told")
	}
	if res := olga.form(banner, nil); res.status != http.StatusForbidden {
		t.Errorf("an operator confirms: %d", res.status)
	}
	if res := b.program(b.token(store.Admin, false, func(tok *store.Token) { tok.Databases = []string{d.ID} })).post(banner, ""); res.status != http.StatusForbidden {
		t.Errorf("a token of one database confirms: %d", res.status)
	}
	if res := ada.form(banner, nil); res.status != http.StatusSeeOther || res.header.Get("Location") != "/" {
		t.Errorf("%d %s", res.status, res.body)
	}
	if _, frozen, err := b.store.RetentionFrozen(t.Context()); frozen || err != nil {
		t.Error("still frozen", err)
	}
	var answer struct {
		Was bool `json:"was_frozen"`
	}
	if res := admin.post(banner, ""); res.status != http.StatusOK {
		t.Errorf("again: %d", res.status)
	} else if res.json(t, &answer); answer.Was {
		t.Error("it was frozen twice")
	}
	// Even a reason that cannot be read can be confirmed.
	must(t, b.store.SetSetting(t.Context(), "retention_frozen", 7))
	holds(t, ada.get("/"), banner)
	if res := ada.form(banner, nil); res.status != http.StatusSeeOther {
		t.Errorf("%d %s", res.status, res.body)
	}
	if log := b.audited(); !contains(log, "ada|retention confirm|retention|done") {
		t.Errorf("not on record: %q", log)
	}
}
