package web_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web"
)

// drill makes a drill of a job, which proved one copy of a database.
func (b *bench) drill(job string, d backup.Database, c backup.Copy, edit ...func(*backup.DrillResult)) {
	b.t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	must(b.t, b.store.InsertDrill(b.t.Context(), job, now))
	must(b.t, b.store.SizeDrill(b.t.Context(), job, 1))
	b.found(job, d, c, edit...)
}

func (b *bench) found(job string, d backup.Database, c backup.Copy, edit ...func(*backup.DrillResult)) {
	b.t.Helper()
	r := backup.DrillResult{
		JobID: job, Role: backup.DrillNewest, DatabaseID: d.ID, DatabaseName: d.Name, At: time.Now(), CopyID: c.ID, Key: c.Key, Kind: c.Kind, Date: c.Date, TakenAt: &c.TakenAt,
		Size: c.Size, Tables: c.Tables, Rows: c.Rows, Consistency: c.Consistency, Passed: true, Load: 1234 * time.Millisecond, Check: 20 * time.Millisecond, Again: 30 * time.Millisecond,
		Source: backup.SourceMoved, SourceText: "the source has moved on: 2 tables differ",
	}
	for _, e := range edit {
		e(&r)
	}
	must(b.t, b.store.AddDrillResult(b.t.Context(), r))
}

func (b *bench) endDrill(job string, verdict backup.DrillVerdict, passed, failed int, text string) {
	b.t.Helper()
	at := time.Now().Add(-49 * time.Hour)
	must(b.t, b.store.EndDrill(b.t.Context(), backup.Drill{ID: job, Verdict: verdict, Databases: passed + failed, Passed: passed, Failed: failed, Text: text, EndedAt: &at}))
}

// The certificate says who, what, when and how long, in all its faces, and the
// overview leads to it.
func TestCertificate(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *web.Config) { c.Drill = func(at time.Time) time.Time { return at.Add(7 * 24 * time.Hour) } })
	b.user("vera", store.Viewer, false)
	vera := b.signedIn("vera")
	if res := vera.get("/drills"); !strings.Contains(res.body, "No drill has run yet") || !strings.Contains(res.body, "in 7\u00a0days.") {
		t.Errorf("before the first: %.300s", res.body)
	}
	if res := vera.get("/"); strings.Contains(res.body, "Last drill") {
		t.Error("the overview tells of a drill before the first")
	}
	d, c, _ := b.database("groveauth")
	e, bad, _ := b.database("scout<db>")
	job := b.job(backup.JobRunning, backup.ResultQueued, d)
	b.drill(job, d, c)
	must(t, b.store.SizeDrill(t.Context(), job, 2))
	b.found(job, e, bad, func(r *backup.DrillResult) {
		r.Passed, r.Error, r.Next = false, "the body's hash is <b>another</b>", "Back it up again."
	})
	for _, want := range []string{"2 of 2 databases done", "hx-trigger", "restored"} {
		if res := vera.get("/drills/" + job); !strings.Contains(res.body, want) {
			t.Errorf("the certificate lacks %q", want)
		}
	}
	b.endDrill(job, backup.DrillFailed, 1, 1, "1 of 2 databases did not restore: scout<db>")
	page := vera.get("/drills/" + job).body
	for _, want := range []string{
		"Age as armor. Time as protection.", "1 of 2 databases did not restore", "1.2 s", c.Date.String(), "has moved on", "2 tables differ", "&lt;b&gt;another&lt;/b&gt;",
		"Back it up again.", "2,000 rows in 1 table", job, "Signed by Patina", `href="/databases/groveauth"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the certificate lacks %q", want)
		}
	}
	if strings.Contains(page, "<b>another") || strings.Contains(page, "hx-trigger") {
		t.Error("the certificate shows raw text, or asks for itself for ever")
	}
	var got struct {
		ID, Verdict, Text, URL string
		Databases, Passed      int
		Restore                int `json:"restore_ms"`
		Results                []struct {
			Database, Source, Error string
			Passed                  bool
			Load                    int `json:"load_ms"`
		}
	}
	p := b.program(b.token(store.Viewer, false))
	p.get("/drills/"+job).json(t, &got)
	if got.ID != job || got.Verdict != "failed" || got.Passed != 1 || got.Restore != 1234 || len(got.Results) != 2 || got.Results[0].Load != 1234 || got.Results[0].Passed || !got.Results[1].Passed {
		t.Errorf("%+v", got)
	}
	if res := vera.get("/"); !strings.Contains(res.body, "Last drill failed 2\u00a0days ago.") || !strings.Contains(res.body, `href="/drills/`+job) {
		t.Error("the overview does not tell of the drill")
	}
	if res := vera.get("/databases/groveauth"); !strings.Contains(res.body, `href="/drills/`+job) {
		t.Error("the database's page does not lead to the drill")
	}
	if res := vera.get("/jobs/" + job); res.status != 200 {
		t.Errorf("the job: %d", res.status)
	}
	for _, path := range []string{"/drills/x", "/drills/" + c.ID} {
		if res := vera.get(path); res.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, res.status)
		}
	}
	if res := p.get("/drills?limit=x"); res.status != http.StatusBadRequest {
		t.Errorf("a limit that is none: %d", res.status)
	}
}

// A job that proves copies leads to what was found.
func TestJobOfAProof(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user("vera", store.Viewer, false)
	vera := b.signedIn("vera")
	d, c, _ := b.database("groveauth")
	solo := func() string {
		now := time.Now().UTC()
		j := backup.Job{ID: uuid.NewString(), Kind: backup.JobProve, Trigger: backup.TriggerMonthly, Status: backup.JobQueued, Date: backup.DateOf(now), RequestedBy: "ci", CreatedAt: now, Totals: backup.Totals{Databases: 1}}
		must(t, b.store.InsertJob(t.Context(), j))
		must(t, b.store.StartJob(t.Context(), j.ID, now, "test"))
		return j.ID
	}
	one := solo()
	if res := vera.get("/jobs/" + one); !strings.Contains(res.body, "At work.") || !strings.Contains(res.body, "Monthly proof of") {
		t.Errorf("before its end: %.2000s", res.body)
	}
	b.found(one, d, c, func(r *backup.DrillResult) { r.Role, r.Source = backup.DrillAsked, backup.SourceEqual })
	for _, want := range []string{"What was found", "Restored in", "1.2 s", "equal", c.Key} {
		if res := vera.get("/jobs/" + one); !strings.Contains(res.body, want) {
			t.Errorf("the job lacks %q", want)
		}
	}
	drill := solo()
	b.drill(drill, d, c)
	if res := vera.get("/jobs/" + drill); res.status != http.StatusSeeOther || res.header.Get("Location") != "/drills/"+drill {
		t.Errorf("the job does not lead to the certificate: %d %v", res.status, res.header)
	}
}

// Starting a drill, and proving one copy: what is asked of the job layer, what
// is answered, and what is on record.
func TestAskingForProofs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, c, _ := b.database("groveauth")
	b.user("olga", store.Operator, false)
	olga, p := b.signedIn("olga"), b.program(b.token(store.Operator, false))

	res := p.post("/drills", "", "Idempotency-Key", "k1")
	var s struct {
		Job string `json:"job_id"`
		URL string
	}
	res.json(t, &s)
	if res.status != http.StatusAccepted || s.URL != "/drills/"+s.Job || res.header.Get("Location") != s.URL {
		t.Errorf("%d %+v %v", res.status, s, res.header)
	}
	if res := olga.form("/drills", nil); res.status != http.StatusSeeOther || !strings.HasPrefix(res.header.Get("Location"), "/drills/") {
		t.Errorf("from a page: %d %v", res.status, res.header)
	}
	if res := p.post("/backups/"+c.ID+"/verify", `{"values":true}`); res.status != http.StatusAccepted || !strings.HasPrefix(res.header.Get("Location"), "/jobs/") {
		t.Errorf("verify: %d %v", res.status, res.header)
	}
	if res := olga.form("/backups/"+c.ID+"/verify", map[string][]string{"values": {"true"}}); res.status != http.StatusSeeOther {
		t.Errorf("verify from a page: %d", res.status)
	}
	if res := p.post("/backups/"+c.ID+"/verify", ""); res.status != http.StatusAccepted {
		t.Errorf("verify without a body: %d", res.status)
	}
	want := []backup.Request{
		{Action: backup.ActionDrill, Trigger: backup.TriggerAPI, IdempotencyKey: "k1"},
		{Action: backup.ActionDrill, Trigger: backup.TriggerManual},
		{Action: backup.ActionProve, Trigger: backup.TriggerAPI, CopyID: c.ID, Values: true},
		{Action: backup.ActionProve, Trigger: backup.TriggerManual, CopyID: c.ID, Values: true},
		{Action: backup.ActionProve, Trigger: backup.TriggerAPI, CopyID: c.ID},
	}
	got := b.asked.all()
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i, w := range want {
		g := got[i]
		if g.Action != w.Action || g.Trigger != w.Trigger || g.CopyID != w.CopyID || g.Values != w.Values || g.IdempotencyKey != w.IdempotencyKey || g.Actor == "" || g.BodySHA256 == "" {
			t.Errorf("asked for %+v, want %+v", g, w)
		}
	}
	if got[2].BodySHA256 == got[4].BodySHA256 {
		t.Error("with values and without is the same request")
	}
	if log := b.audited(); !contains(log, "token test operator|drill|job ") || !contains(log, "olga|verify|backup "+c.ID) {
		t.Errorf("on record: %v", log)
	}
	for _, path := range []string{"/backups/x/verify", "/backups/" + d.ID + "/verify"} {
		if res := p.post(path, ""); res.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, res.status)
		}
	}
	if res := p.post("/backups/"+c.ID+"/verify", `{"values":"yes"}`); res.status != http.StatusBadRequest {
		t.Errorf("another body: %d", res.status)
	}
}

// A token of one database sees of a drill what concerns that one.
func TestDrillForATokenOfOneDatabase(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	mine, mineCopy, _ := b.database("mine")
	theirs, theirCopy, _ := b.database("theirs")
	both, other := b.job(backup.JobFailed, backup.ResultFailed), b.job(backup.JobFailed, backup.ResultFailed)
	b.drill(both, mine, mineCopy)
	b.found(both, theirs, theirCopy, func(r *backup.DrillResult) { r.Passed, r.Error = false, "bad" })
	b.endDrill(both, backup.DrillFailed, 1, 1, "1 of 2 databases did not restore: theirs")
	b.drill(other, theirs, theirCopy)
	p := b.program(b.token(store.Admin, true, func(tok *store.Token) { tok.Databases = []string{mine.ID} }))
	var got struct {
		Verdict, Text     string
		Databases, Failed int
		Results           []struct{ Database string }
	}
	res := p.get("/drills/" + both)
	if res.json(t, &got); got.Verdict != "passed" || got.Databases != 1 || got.Failed != 0 || len(got.Results) != 1 || strings.Contains(res.body, "theirs") {
		t.Errorf("%s", res.body)
	}
	if res := p.get("/drills"); strings.Contains(res.body, other) || strings.Contains(res.body, "theirs") || !strings.Contains(res.body, both) {
		t.Errorf("%s", res.body)
	}
	if res := p.get("/drills/" + other); res.status != http.StatusNotFound {
		t.Errorf("a drill of others: %d", res.status)
	}
	if res := p.post("/drills", ""); res.status != http.StatusForbidden {
		t.Errorf("a drill over every database: %d", res.status)
	}
	if res := p.post("/backups/"+theirCopy.ID+"/verify", ""); res.status != http.StatusNotFound {
		t.Errorf("the proof of another's copy: %d", res.status)
	}
	if res := p.post("/backups/"+mineCopy.ID+"/verify", ""); res.status != http.StatusAccepted {
		t.Errorf("the proof of its own copy: %d", res.status)
	}
	if res := p.get("/"); strings.Contains(res.body, "Last drill") {
		t.Error("the overview tells of a drill over others")
	}
	proof := func(by string, db backup.Database, c backup.Copy, done bool) string {
		now := time.Now().UTC()
		j := backup.Job{ID: uuid.NewString(), Kind: backup.JobProve, Trigger: backup.TriggerAPI, Status: backup.JobQueued, Date: backup.DateOf(now), RequestedBy: by, CreatedAt: now, Totals: backup.Totals{Databases: 1}}
		must(t, b.store.InsertJob(t.Context(), j))
		if done {
			b.found(j.ID, db, c, func(r *backup.DrillResult) { r.Role = backup.DrillAsked })
		}
		return j.ID
	}
	for _, c := range []struct {
		what, job string
		want      int
	}{
		{"its own, not yet ended", proof("token test "+string(store.Admin), mine, mineCopy, false), http.StatusOK},
		{"of its own database", proof("ada", mine, mineCopy, true), http.StatusOK},
		{"another's, not yet ended", proof("ada", theirs, theirCopy, false), http.StatusNotFound},
		{"of another's database", proof("ada", theirs, theirCopy, true), http.StatusNotFound},
		{"a drill", both, http.StatusNotFound},
	} {
		if res := p.get("/jobs/" + c.job); res.status != c.want {
			t.Errorf("the job of a proof, %s: %d, not %d", c.what, res.status, c.want)
		}
	}
}
