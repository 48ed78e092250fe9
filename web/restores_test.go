package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

// holds fails the test unless a page was found and holds each of the parts.
func holds(t *testing.T, page response, parts ...string) {
	t.Helper()
	if page.status != http.StatusOK {
		t.Fatalf("%d %.300s", page.status, page.body)
	}
	for _, p := range parts {
		if !strings.Contains(page.body, p) {
			t.Errorf("%q is missing from the page", p)
		}
	}
}

func TestRestoreByProgram(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, c, _ := b.database("groveauth")
	other, theirs, _ := b.database("other")
	p := b.program(b.token(store.Admin, false))
	path := "/backups/" + c.ID + "/restore"
	res := p.post(path, `{"target":"in_place","confirm":"groveauth","tables":["users"]}`)
	if res.status != http.StatusAccepted || !strings.HasPrefix(res.header.Get("Location"), "/restores/") {
		t.Fatalf("%d %s", res.status, res.body)
	}
	got := b.asked.all()[0]
	if got.Action != backup.ActionRestore || got.CopyID != c.ID || got.Restore.Target != backup.RestoreInPlace || got.Restore.Confirm != "groveauth" || len(got.Restore.Tables) != 1 || got.Trigger != backup.TriggerAPI {
		t.Errorf("%+v %+v", got, got.Restore)
	}
	for body, want := range map[string]int{
		`{"target":"new","surprise":1}`: http.StatusBadRequest, `nonsense`: http.StatusBadRequest, `{"target":"new"}{}`: http.StatusBadRequest,
		"{\"target\":\"new\",\"name\":\"\\u0000\"}": http.StatusBadRequest,
	} {
		if res := p.post(path, body); res.status != want {
			t.Errorf("%s: %d", body, res.status)
		}
	}
	if res := p.post("/backups/"+d.ID+"/restore", `{"target":"new"}`); res.status != http.StatusNotFound {
		t.Errorf("no backup: %d", res.status)
	}
	var choice struct {
		Tables []string
		Plan   *struct {
			Tables []struct{ Name, Action string }
		}
	}
	p.get(path+"?target=in_place").json(t, &choice)
	if len(choice.Tables) != 1 || choice.Tables[0] != "users" || choice.Plan == nil || choice.Plan.Tables[0].Action != "replaced" {
		t.Errorf("%+v", choice)
	}
	// A token of one database neither sees nor touches another's.
	mine := b.program(b.token(store.Admin, true, func(tok *store.Token) { tok.Databases = []string{d.ID} }))
	job := b.job(backup.JobCompleted, backup.ResultSuccess, other)
	b.restored(job, other, theirs)
	for _, path := range []string{"/backups/" + theirs.ID + "/restore", "/restores/" + job} {
		if res := mine.get(path); res.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, res.status)
		}
	}
	if res := mine.post("/backups/"+theirs.ID+"/restore", `{"target":"new"}`); res.status != http.StatusNotFound {
		t.Errorf("another's backup: %d", res.status)
	}
	if res := mine.post(path, `{"target":"in_place","name":"other","confirm":"other"}`); res.status != http.StatusNotFound {
		t.Errorf("over another's database: %d", res.status)
	}
	if res := mine.get("/restores"); strings.Contains(res.body, other.ID) {
		t.Error("another's restore is listed")
	}
	if n := len(b.asked.all()); n != 1 {
		t.Errorf("%d restores were asked for", n)
	}
}

func TestRestorePages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user("ada", store.Admin, true)
	d, c, _ := b.database("groveauth")
	ada := b.signedIn("ada")
	path := "/backups/" + c.ID + "/restore"
	page := ada.get(path)
	holds(t, page, "Look at what would happen", "Nothing is changed yet", `value="users"`, "A new database", "Over groveauth")
	page = ada.get(path + "?target=in_place")
	holds(t, page, "Over what groveauth holds", "replaced", "lost", "Restore now", `name="confirm" required`, "A &lt;b&gt;note&lt;/b&gt;.", "&lt;i&gt;later&lt;/i&gt;")
	res := ada.form(path, url.Values{"target": {"in_place"}, "name": {"groveauth"}, "confirm": {"groveauth"}, "table": {"users"}})
	if res.status != http.StatusSeeOther || !strings.HasPrefix(res.header.Get("Location"), "/restores/") {
		t.Fatalf("%d %s", res.status, res.body)
	}
	job := b.job(backup.JobCompleted, backup.ResultSuccess, d)
	b.restored(job, d, c)
	page = ada.get("/restores/" + job)
	holds(t, page, "holds what the copy does", "Undo the restore", "all of them", "one is missing", "Bookmark before")
	holds(t, ada.get("/restores"), job, "in place")
	res = ada.form("/restores/"+job+"/undo", url.Values{"confirm": {"groveauth"}})
	asked := b.asked.all()
	last := asked[len(asked)-1]
	if res.status != http.StatusSeeOther || last.Restore.Target != backup.RestoreBookmark || last.Restore.Bookmark != "0000-beef" || last.Restore.Name != "groveauth" || last.Restore.Confirm != "groveauth" {
		t.Errorf("undo: %d, %+v", res.status, last.Restore)
	}
	log := strings.Join(b.audited(), "\n")
	if !strings.Contains(log, "ada|restore|job ") {
		t.Errorf("audit:\n%s", log)
	}
}
