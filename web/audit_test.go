package web_test

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

// logged is one line of the audit log as a program gets it.
type logged struct {
	ID                                         int64
	Actor, Action, Target, Outcome, Reason, IP string
	At                                         time.Time
}

func (c *client) log(query string) (list []logged, next string) {
	c.b.t.Helper()
	var l struct {
		Entries []logged
		Next    string `json:"next_cursor"`
	}
	c.get("/audit"+query, "Accept", "application/json").json(c.b.t, &l)
	return l.Entries, l.Next
}

// Every POST leaves a line in the audit log, which says who, what, and from where.
func TestEveryPostIsOnRecord(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.subjects()
	b.user("ada", store.Admin, true)
	d, c, _ := b.database("groveauth")
	c = b.archived(c)[0]
	gone := time.Now()
	old := backup.Database{ID: "11111111-1111-4111-8111-111111111111", Name: "old", Priority: backup.Normal, Origin: backup.FromDiscovery, FirstSeenAt: gone, LastSeenAt: gone, GoneAt: &gone}
	must(t, b.store.UpsertDatabase(t.Context(), old))
	job := b.job(backup.JobFailed, backup.ResultFailed, d)
	b.restored(job, d, c)
	must(t, b.store.FreezeRetention(t.Context(), "a test", time.Now()))
	mute, err := b.store.InsertMute(t.Context(), store.Mute{Until: time.Now().Add(time.Hour), CreatedBy: "ada", CreatedAt: time.Now()})
	must(t, err)
	b.user("someone", store.Viewer, false)
	link, err := b.link("someone")
	must(t, err)
	ada, tried := b.signedIn("ada"), 0
	for _, r := range b.server.Routes() {
		if r.Method != "POST" || r.Path == "/setup" { // which needs that nobody is there, and has its own test
			continue
		}
		tried++
		path := concrete(r.Path, d, c, job)
		if r.Path == "/alerts/mutes/:id/end" {
			path = "/alerts/mutes/" + mute + "/end"
		}
		before := b.newestAudit().ID
		res := ada.form(path, url.Values{
			"database": {"groveauth"}, "hours": {"1"}, "kind": {"webhook"}, "url": {"https://hooks.example/x"}, "enabled": {"true"}, "confirm": {"groveauth"},
			"name": {fmt.Sprint("name-", tried)}, "target": {"new"}, "pinned": {"true"}, "role": {"viewer"}, "key": {link}, "current": {password}, "password": {password},
			"daily_days": {fmt.Sprint(7 + tried)}, "weekly_weeks": {"12"}, "other_days": {"30"},
		})
		e := b.newestAudit()
		if r.Path == "/sign-out" || r.Path == "/set-password" {
			ada = b.signedIn("ada")
		}
		if e.ID == before {
			t.Errorf("POST %s answered %d, and left no line in the log", path, res.status)
			continue
		}
		if want := map[string]string{"/set-password": "someone", "/sign-in": "nobody"}[r.Path]; e.IP != "127.0.0.1" || e.Action == "" || e.Target == "" || e.Outcome == "" || e.RequestID == "" ||
			e.Actor != want && (want != "" || e.Actor != "ada") {
			t.Errorf("POST %s: on record is %+v", path, e)
		}
	}
	if tried < 30 {
		t.Errorf("only %d were tried", tried)
	}
	if _, err := b.store.VerifyAudit(t.Context()); err != nil {
		t.Errorf("the chain: %v", err)
	}
}

func (b *bench) newestAudit() store.AuditEntry {
	b.t.Helper()
	list, _, err := b.store.Audit(b.t.Context(), store.AuditFilter{Limit: 1})
	must(b.t, err)
	if len(list) == 0 {
		return store.AuditEntry{}
	}
	return list[0]
}

// link gives the key of a new link that sets a person's password.
func (b *bench) link(name string) (string, error) {
	b.t.Helper()
	var made person
	b.program(b.token(store.Admin, true)).post("/settings/people/"+b.idOf(name)+"/link", "").json(b.t, &made)
	_, key, _ := strings.Cut(made.Link, "key=")
	return key, nil
}

// Filters choose by who, what, what it was about, how it ended and when.
func TestAuditFilters(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	at := time.Date(2026, 11, 20, 23, 59, 59, 0, time.UTC)
	for i := range 6 {
		e := store.AuditEntry{At: at.AddDate(0, 0, i), Actor: "ada", Action: "download", Target: "backup x of GroveAuth", Outcome: "sent", IP: "192.0.2.1"}
		switch i {
		case 1:
			e.Actor, e.Action, e.Target, e.Reason = "bob", "trigger", "job 1", "groveauth, scout-db"
		case 2:
			e.Action, e.Outcome, e.Target = "denied", "refused", "GET /audit"
		}
		_, err := b.store.AppendAudit(t.Context(), e)
		must(t, err)
	}
	p := b.program(b.token(store.Admin, false))
	for query, want := range map[string]string{
		"": "6 5 4 3 2 1", "?actor=bob": "2", "?action=denied": "3", "?database=groveauth": "6 5 4 2 1", "?database=scout": "2", "?outcome=refused": "3",
		"?from=2026-11-22": "6 5 4 3", "?to=2026-11-21": "2 1", "?from=2026-11-21&to=2026-11-21": "2", "?actor=ada&database=GROVEAUTH&to=2026-11-23": "4 1", "?database=%25": "",
		"?actor=nobody": "", "?limit=2&action=download": "6 5",
	} {
		list, _ := p.log(query)
		var ids []string
		for _, e := range list {
			ids = append(ids, fmt.Sprint(e.ID))
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	list, next := p.log("?limit=2&action=download")
	rest, last := p.log("?limit=2&action=download&cursor=" + next)
	if len(list) != 2 || len(rest) != 2 || rest[0].ID != 4 || last != "" {
		t.Errorf("pages: %+v %+v %q", list, rest, last)
	}
	for _, bad := range []string{"?from=x", "?to=2026-02-30", "?database=%00", "?outcome=%ff"} {
		if res := p.get("/audit" + bad); res.status != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, res.status)
		}
	}
	b.user("root", store.Admin, false)
	page := b.signedIn("root").get("/audit?actor=ada&database=groveauth&from=2026-11-20&limit=1")
	for _, want := range []string{`value="2026-11-20"`, `value="groveauth"`, `<option value="trigger"`, "cursor=", "actor=ada&amp;database=groveauth&amp;format=csv&amp;from=2026-11-20"} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

// The file holds every line that is chosen, and no cell is a formula.
func TestAuditCSV(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, actor := range []string{"=1+1", "+1", "-1", "@SUM(A1)", "＝1", "\t=1", "\r=1", `=HYPERLINK("x")`, "a,\"b\"\nc", "\u202egnp", "ada"} {
		_, err := b.store.AppendAudit(t.Context(), store.AuditEntry{At: time.Now(), Actor: actor, Action: "download", Target: actor, Outcome: "sent", Reason: actor, UserAgent: actor})
		must(t, err)
	}
	// More than is read at once.
	_, err := b.store.Pool().Exec(t.Context(), `INSERT INTO audit_log (id, at, actor, action, outcome, previous, hash)
		SELECT 100 + i, now(), 'many', 'trigger', 'done', '\x00', '\x00' FROM generate_series(1, 2500) i`)
	must(t, err)
	p := b.program(b.token(store.Admin, false))
	res := p.get("/audit?format=csv")
	rows, err := csv.NewReader(strings.NewReader(res.body)).ReadAll()
	must(t, err)
	if len(rows) != 2512 || rows[0][2] != "actor" || res.header.Get("Content-Disposition") != "attachment; filename=patina-audit.csv" {
		t.Errorf("%d rows, %v", len(rows), res.header)
	}
	for _, row := range rows[1:] {
		for _, cell := range row {
			if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r") || strings.HasPrefix(cell, "＝") || strings.Contains(cell, "\u202e") {
				t.Errorf("a cell begins as a formula does: %q", cell)
			}
		}
	}
	if few := p.get("/audit?format=csv&action=download&limit=3"); strings.Count(few.body, "sent") != 3 {
		t.Errorf("limit=3: %q", few.body)
	}
}
