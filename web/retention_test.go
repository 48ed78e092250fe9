package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/retention"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web"
)

// retained is the answer of /settings/retention, as far as a test looks.
type retained struct {
	Policy struct {
		Daily  int      `json:"daily_days"`
		Weekly int      `json:"weekly_weeks"`
		Other  int      `json:"other_days"`
		Fixed  []string `json:"fixed"`
	}
	Frozen, Held string
	Pending      *struct {
		Why         string
		Since       time.Time
		ConfirmedBy string `json:"confirmed_by"`
	}
	Copies int `json:"copies_to_delete"`
	Plan   []struct {
		Action, ID, Reason, Held string
	}
}

// month stores a copy made on demand for each of so many days.
func (b *bench) month(d backup.Database, body []byte, days int) []backup.Copy {
	b.t.Helper()
	var list []backup.Copy
	for n := range days {
		list = append(list, b.copyOf(d, body, time.Now().AddDate(0, 0, -n).Add(-time.Hour), func(c *backup.Copy) {
			c.Kind, c.Proof = backup.Manual, backup.ProofProven
		}))
	}
	return list
}

// TestRetentionPage: the plan is shown with each reason; a policy that would
// delete much waits, for all to see, until an admin confirms it or takes it back.
func TestRetentionPage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, _, body := b.database("groveauth")
	list := b.month(d, body, 35)
	p := b.program(b.token(store.Admin, false))
	var got retained
	p.get("/settings/retention").json(t, &got)
	if got.Policy.Daily != 7 || got.Policy.Weekly != 12 || got.Policy.Other != 30 || len(got.Policy.Fixed) != 0 || got.Copies != 5 || got.Pending != nil {
		t.Fatalf("%+v", got)
	}
	if e := got.Plan[0]; e.Action != retention.Delete || e.Reason != "30 days of copies made on demand" || !strings.HasPrefix(e.ID, list[34].ID) {
		t.Errorf("%+v", e)
	}
	p.get("/settings/retention?all=true").json(t, &got)
	if len(got.Plan) != 36 {
		t.Errorf("%d lines of all", len(got.Plan))
	}
	if res := p.post("/settings/retention", `{"other_days": 5}`); res.status != http.StatusOK {
		t.Fatalf("%d %s", res.status, res.body)
	} else if res.json(t, &got); got.Pending == nil || got.Policy.Other != 5 || got.Copies != 5 || !strings.Contains(got.Pending.Why, "groveauth would lose 2") {
		t.Fatalf("%+v", got)
	}
	b.user("root", store.Admin, false)
	root := b.signedIn("root")
	page := root.get("/settings/retention")
	for _, want := range []string{"Much would be deleted", "It may be deleted now", "held back", "5 days of copies made on demand", "A cleanup now would delete 5 copies’ objects", `value="5"`} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if res := p.post("/settings/retention/change", `{"since": "2020-01-01T00:00:00Z"}`); res.status != http.StatusConflict {
		t.Errorf("another one confirmed: %d", res.status)
	}
	if res := root.form("/settings/retention/change", url.Values{"since": {got.Pending.Since.UTC().Format(time.RFC3339)}}); res.status != http.StatusSeeOther {
		t.Errorf("confirmed: %d %s", res.status, res.body)
	}
	p.get("/settings/retention").json(t, &got)
	if got.Copies < 25 {
		t.Errorf("confirmed, %d copies go", got.Copies)
	}
	if page = root.get("/settings/retention"); !strings.Contains(page.body, "root</bdi> has confirmed it") {
		t.Error("the page does not say who confirmed it")
	}
	got = retained{}
	p.post("/settings/retention", `{"other_days": 30}`).json(t, &got)
	if got.Pending != nil || got.Copies != 5 {
		t.Errorf("taken back: %+v", got)
	}
	log := b.audited()
	for _, want := range []string{"set retention|retention|done", "root|confirm deletion|retention|done"} {
		if !contains(log, want) {
			t.Errorf("%q is not on record: %q", want, log)
		}
	}
	for _, bad := range []string{`{"other_days": 0}`, `{"daily_days": -1}`, `{"weekly_weeks": 521}`, `{"daily_days": "soon"}`, `{"daily_days": [1]}`, `[`} {
		if res := p.post("/settings/retention", bad); res.status != http.StatusBadRequest && res.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", bad, res.status)
		}
	}
}

// TestRetentionFixed: what the environment says is shown, and changed there.
func TestRetentionFixed(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *web.Config) { c.Keep = retention.Fixed{Daily: 14} })
	p := b.program(b.token(store.Admin, false))
	var got retained
	p.get("/settings/retention").json(t, &got)
	if got.Policy.Daily != 14 || len(got.Policy.Fixed) != 1 || got.Policy.Fixed[0] != "daily_days" {
		t.Errorf("%+v", got)
	}
	if res := p.post("/settings/retention", `{"daily_days": 3}`); res.status != http.StatusConflict || !strings.Contains(res.body, "PATINA_KEEP_DAILY") {
		t.Errorf("%d %s", res.status, res.body)
	}
	if res := p.post("/settings/retention", `{"weekly_weeks": 20}`); res.status != http.StatusOK {
		t.Errorf("%d %s", res.status, res.body)
	}
	b.user("root", store.Admin, false)
	if page := b.signedIn("root").get("/settings/retention"); !strings.Contains(page.body, "PATINA_KEEP_DAILY") || !strings.Contains(page.body, `value="14" disabled`) {
		t.Error("the page does not say that it is fixed")
	}
}

// TestRetentionClock: a clock that has gone back is shown, and an admin's word
// ends the hold.
func TestRetentionClock(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, _, body := b.database("groveauth")
	b.month(d, body, 35)
	_, err := b.store.AddEvent(t.Context(), backup.Event{ID: "01a20da4-5111-7dba-812e-6a2d1fcdbda8", At: time.Now().AddDate(2, 0, 0), Kind: backup.EventStale, Message: "x"})
	must(t, err)
	p := b.program(b.token(store.Admin, false))
	var got retained
	p.get("/settings/retention").json(t, &got)
	if !strings.Contains(got.Held, "the clock has gone back") || got.Copies != 0 {
		t.Fatalf("%+v", got)
	}
	b.user("root", store.Admin, false)
	if page := b.signedIn("root").get("/settings/retention"); !strings.Contains(page.body, "The clock is right as it is") {
		t.Error("the page does not ask")
	}
	got = retained{}
	p.post("/settings/retention/clock", "").json(t, &got)
	if got.Held != "" || got.Copies != 5 || !contains(b.audited(), "confirm the clock|retention|done") {
		t.Errorf("%+v %q", got, b.audited())
	}
}

// TestRetentionRun and erasure ask for work, and are on record; erasure needs
// the name typed. A token for some databases may not touch the policy.
func TestRetentionRunAndErase(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, _, _ := b.database("groveauth")
	p := b.program(b.token(store.Admin, false))
	res := p.post("/settings/retention/run", "")
	if res.status != http.StatusAccepted || !strings.HasPrefix(res.header.Get("Location"), "/jobs/") {
		t.Fatalf("%d %s", res.status, res.body)
	}
	if res = p.post("/databases/groveauth/erase", `{"confirm":"grove"}`); res.status != http.StatusBadRequest && res.status != http.StatusUnprocessableEntity || !strings.Contains(res.body, "nothing was deleted") {
		t.Errorf("another name typed: %d %s", res.status, res.body)
	}
	if res = p.post("/databases/groveauth/erase", `{"confirm":"groveauth"}`); res.status != http.StatusAccepted {
		t.Errorf("%d %s", res.status, res.body)
	}
	if res = p.post("/databases/nobody/erase", `{"confirm":"nobody"}`); res.status != http.StatusNotFound {
		t.Errorf("unknown: %d", res.status)
	}
	asked := b.asked.all()
	if len(asked) != 2 || asked[0].Action != backup.ActionCleanup || asked[1].Action != backup.ActionErase || asked[1].Databases[0] != d.ID || asked[1].Trigger != backup.TriggerAPI {
		t.Errorf("asked: %+v", asked)
	}
	if log := b.audited(); !contains(log, "cleanup|job ") || !contains(log, "erase|database groveauth") {
		t.Errorf("on record: %q", log)
	}
	some := b.program(b.token(store.Admin, false, func(t *store.Token) { t.Databases = []string{d.ID} }))
	for _, path := range []string{"/settings/retention", "/settings/retention/change", "/settings/retention/clock", "/settings/retention/run"} {
		if res := some.post(path, ""); res.status != http.StatusForbidden {
			t.Errorf("%s with a token for some databases: %d", path, res.status)
		}
	}
	// The form is there for a database that is gone, and for admins alone.
	b.user("root", store.Admin, false)
	b.user("eve", store.Operator, false)
	if page := b.signedIn("root").get("/databases/groveauth"); strings.Contains(page.body, "/erase") {
		t.Error("a database that is there can be erased")
	}
	gone := time.Now()
	d.GoneAt = &gone
	must(t, b.store.UpsertDatabase(t.Context(), d))
	if page := b.signedIn("root").get("/databases/" + d.ID); !strings.Contains(page.body, "Delete all copies of it") {
		t.Errorf("the page has no form: %d", page.status)
	}
	if page := b.signedIn("eve").get("/databases/" + d.ID); strings.Contains(page.body, "/erase") {
		t.Error("an operator is shown the form")
	}
}
