package web_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/net/html"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/store"
)

// hostile is what a database, a table, a person, a token or a channel may be
// called by somebody who means harm.
var hostile = []string{
	`<script>alert("canary-run")</script>`,
	`"><img src=x onerror=alert(1) data-x='`,
	"a\r\nSet-Cookie: canary=1\r\n\r\n<b>",
	"\u202egnp.exe\u2066\u200f",
	`@everyone <div hx-get="/sign-out" hx-trigger="load">`,
	`x";DROP TABLE users;--`,
	"[x](javascript:alert(1)) `b` | c | {{.Secret}} ${x}",
	"../../etc/passwd%2e%2e%5c",
	strings.Repeat("ab<i>&", 1700),
}

// subject is one hostile name, and everything that bears it.
type subject struct {
	name                      string
	db                        backup.Database
	copy                      backup.Copy
	job, user, token, channel string
}

// bear lets everything that has a name have this one.
func (b *bench) bear(sealer *alert.Sealer, name string) subject {
	b.t.Helper()
	ctx, now := b.t.Context(), time.Now().UTC().Truncate(time.Microsecond)
	s := subject{name: name, db: backup.Database{
		ID: uuid.NewString(), Name: name, Binding: name, Description: name, Priority: backup.Normal, Origin: backup.FromDiscovery, Objective: backup.DefaultObjective, FirstSeenAt: now, LastSeenAt: now,
	}}
	must(b.t, b.store.UpsertDatabase(ctx, s.db))
	var buf bytes.Buffer
	w := dump.NewWriter(&buf, dump.Header{Database: name, DatabaseID: s.db.ID, JobID: "j", TakenAt: now, Consistency: "snapshot"})
	quoted := `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
	must(b.t, w.BeginTable(dump.Table{Name: name, SQL: "CREATE TABLE " + quoted + " (" + quoted + " TEXT)", Columns: []string{name}, AllColumns: true}))
	must(b.t, w.Row([]dump.Value{{Kind: dump.Text, Bytes: []byte(name)}}))
	must(b.t, w.EndTable())
	_, err := w.Finish(dump.Footer{Consistency: "snapshot"})
	must(b.t, err)
	b.table = name
	s.copy = b.copyOf(s.db, buf.Bytes(), now.Add(-time.Hour))
	s.job = b.job(backup.JobFailed, backup.ResultFailed, s.db)
	b.restored(s.job, s.db, s.copy)
	b.drill(s.job, s.db, s.copy, func(r *backup.DrillResult) { r.SourceText = name })
	s.user, err = b.store.InsertUser(ctx, store.User{Name: name, Role: store.Viewer, CreatedAt: now})
	must(b.t, err)
	must(b.t, b.store.InsertIdentity(ctx, store.Identity{Issuer: name, Subject: name, UserID: s.user, Email: name, CreatedAt: now}))
	_, err = b.store.InsertSignIn(ctx, store.SignIn{UserID: s.user, Epoch: 1, Method: "password", CreatedAt: now, ExpiresAt: now.Add(time.Hour), IP: name, UserAgent: name})
	must(b.t, err)
	s.token = uuid.NewString()
	b.token(store.Viewer, false, func(t *store.Token) {
		t.ID, t.Name, t.Hint, t.CreatedBy, t.Databases = s.token, name, name, name, []string{s.db.ID}
	})
	ch := store.AlertConfig{ID: uuid.NewString(), Kind: alert.Webhook, Name: name, Address: name, DisabledReason: name, CreatedAt: now, UpdatedAt: now}
	ch.URLSealed, err = sealer.Seal("https://hooks.example/x", alert.Purpose(ch.ID, "url"))
	must(b.t, err)
	s.channel, err = b.store.InsertAlertConfig(ctx, ch)
	must(b.t, err)
	_, err = b.store.InsertMute(ctx, store.Mute{DatabaseID: s.db.ID, Until: now.Add(time.Hour), Reason: name, CreatedBy: name, CreatedAt: now})
	must(b.t, err)
	_, err = b.store.AppendAudit(ctx, store.AuditEntry{At: now, Actor: name, Action: name, Target: name, Outcome: name, Reason: name, IP: name, UserAgent: name, RequestID: name})
	must(b.t, err)
	return s
}

// at fills a route's parameters with what bears the name.
func (s subject) at(path, week string) string {
	id := s.job
	for prefix, of := range map[string]string{"/backups/": s.copy.ID, "/alerts/": s.channel, "/settings/people/": s.user, "/settings/tokens/": s.token} {
		if strings.HasPrefix(path, prefix) {
			id = of
		}
	}
	path = strings.NewReplacer(":date", s.copy.Date.String(), ":db", s.db.ID, ":week", week, ":id", id, ":other", s.copy.ID).Replace(path)
	if strings.HasPrefix(path, "/download/") {
		path += "?backup=" + s.copy.ID
	}
	return path
}

// Row 14, everywhere: whatever bears a hostile name, no page, fragment, header,
// file name or message of any route makes more of it than text.
func TestHostileNamesOnEveryRoute(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.works()
	sealer, err := alert.NewSealer(bytes.Repeat([]byte("s"), 32))
	must(t, err)
	var all []subject
	var copies []backup.Copy
	for _, name := range hostile {
		s := b.bear(sealer, name)
		all, copies = append(all, s), append(copies, s.copy)
	}
	week := b.archived(copies...)[0].Archived.Week
	b.user("ada", store.Admin, true)
	ada, program := b.signedIn("ada"), b.program(b.token(store.Admin, true))
	seen := 0
	for _, r := range b.server.Routes() {
		if r.Method != "GET" || r.Stream || r.Path == "/sign-in" || r.Path == "/metrics" {
			continue
		}
		for i, s := range all {
			path := s.at(r.Path, week)
			if i > 0 && path == all[0].at(r.Path, week) {
				break // a route that is about nothing of its own
			}
			seen++
			for face, res := range map[string]response{"page": ada.get(path), "part": ada.get(path, "HX-Request", "true", "HX-Request-Type", "partial"), "program": program.get(path)} {
				for _, wrong := range inert(t, s, res) {
					t.Errorf("%s (%s), named %.20q: %s", r.Path, face, s.name, wrong)
				}
				if res.status >= 500 {
					t.Errorf("%s (%s), named %.20q: %d %.200s", r.Path, face, s.name, res.status, res.body)
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d were looked at", seen)
	}
	for line := range strings.Lines(b.log.String()) {
		if !strings.HasPrefix(line, "time=") || strings.ContainsAny(line, "\u202e\u2066") {
			t.Errorf("a name broke a line of the log: %.100q", line)
		}
	}
}

// inert tells what an answer makes of a name beyond text.
func inert(t *testing.T, s subject, res response) (wrong []string) {
	for name, values := range res.header {
		for _, v := range values {
			if strings.ContainsAny(v, "\r\n\u202e\u2066\u200f<>") && name != "Content-Security-Policy" || strings.Contains(v, "canary=1") && name == "Set-Cookie" || len(v) > 4000 {
				wrong = append(wrong, "header "+name+" is "+v[:min(len(v), 100)])
			}
		}
	}
	if d := res.header.Get("Content-Disposition"); d != "" && (strings.Contains(d, "/") || strings.Contains(d, `\`) || !strings.HasPrefix(d, "attachment")) {
		wrong = append(wrong, "Content-Disposition is "+d)
	}
	kind, _, _ := strings.Cut(res.header.Get("Content-Type"), ";")
	switch {
	case kind == "text/html":
		for _, bad := range []string{"<script>alert", "<img src=x", `<div hx-get="/sign-out"`, "<b>", "<i>&"} {
			if strings.Contains(res.body, bad) {
				wrong = append(wrong, "the page holds "+bad)
			}
		}
		for _, shown := range shownTexts(t, res.body) {
			if strings.ContainsAny(shown, "\u202e\u2066\u200f") {
				wrong = append(wrong, "the page turns its reading direction in "+shown[:min(len(shown), 100)])
			}
		}
		for _, found := range active(t, res.body) {
			wrong = append(wrong, "the page holds "+found[:min(len(found), 100)])
		}
	case strings.HasSuffix(kind, "json"):
		if !json.Valid([]byte(res.body)) {
			wrong = append(wrong, "the JSON is none")
		}
	}
	if kind != "application/sql" && kind != "application/gzip" && kind != "application/x-sqlite3" && !utf8.ValidString(res.body) {
		wrong = append(wrong, "the answer to "+http.MethodGet+" is not UTF-8")
	}
	return wrong
}

// shownTexts gives the texts of a page that people see or hear: not what a form
// sends back as it was given.
func shownTexts(t *testing.T, page string) (out []string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	must(t, err)
	for n := range root.Descendants() {
		if n.Type == html.TextNode {
			out = append(out, n.Data)
		}
		kind := ""
		for _, a := range n.Attr {
			if a.Key == "type" {
				kind = a.Val
			}
		}
		for _, a := range n.Attr {
			if a.Key != "value" || n.Data == "input" && kind != "hidden" && kind != "checkbox" && kind != "radio" {
				out = append(out, a.Val)
			}
		}
	}
	return out
}
