package web_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/restore"
	"github.com/AutumnsGrove/Patina/jobs"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
	"github.com/AutumnsGrove/Patina/web"
	"github.com/AutumnsGrove/Patina/web/auth"
)

const (
	password = "correct horse battery staple"
	chrome   = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
)

// bench is a whole server over a real Postgres and a folder, with a Requester
// that only takes notes.
type bench struct {
	t      testing.TB
	store  *store.Store
	bucket object.Bucket
	asked  *requests
	server *web.Server
	http   *httptest.Server
	log    *lockedBuffer
	table  string // what the table of a copy is called in its manifest; "": users
}

type requests struct {
	mu     sync.Mutex
	got    []backup.Request
	answer func(backup.Request) (backup.Started, error)
}

func (r *requests) Request(_ context.Context, req backup.Request) (backup.Started, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, req)
	if r.answer != nil {
		return r.answer(req)
	}
	id := req.JobID
	if id == "" {
		id = uuid.Must(uuid.NewV7()).String()
	}
	return backup.Started{JobID: id, Status: backup.JobQueued, Databases: req.Databases}, nil
}

func (r *requests) Preview(_ context.Context, req backup.Request) (*restore.Plan, backup.Restore, error) {
	rs := *req.Restore
	if rs.Name == "" {
		rs.Name = "groveauth"
	}
	return &restore.Plan{
		Tables: []restore.PlanTable{{Name: "users", Action: restore.TableReplaced, Rows: 3, Now: 2}, {Name: "<i>later</i>", Action: restore.TableLost, Now: 1}},
		Rows:   3, Notes: []string{"A <b>note</b>."},
	}, rs, nil
}

func (r *requests) all() []backup.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]backup.Request(nil), r.got...)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newBench(t testing.TB, edit ...func(*web.Config)) *bench {
	t.Helper()
	b := &bench{t: t, store: storetest.New(t, jobs.Migrate), asked: &requests{}, log: &lockedBuffer{}}
	var err error
	b.bucket, err = object.Open(t.Context(), "file://"+t.TempDir(), object.Config{})
	must(t, err)
	cfg := web.Config{
		Store: b.store, Bucket: b.bucket, Requests: b.asked, Secret: bytes.Repeat([]byte("s"), 32), Version: "test",
		Log: slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Interval: 5 * time.Millisecond,
		Nightly: func(at time.Time) time.Time { return at.Add(14 * time.Hour) },
		Weekly:  func(at time.Time) time.Time { return at.Add(100 * time.Hour) },
	}
	cfg.Sealer, err = alert.NewSealer(cfg.Secret)
	must(t, err)
	b.channel(cfg.Sealer, "Team")
	for _, e := range edit {
		e(&cfg)
	}
	b.server, err = web.New(cfg)
	must(t, err)
	b.http = httptest.NewServer(b.server.Handler())
	t.Cleanup(func() {
		b.server.Close()
		b.http.Close()
		if t.Failed() {
			for line := range strings.Lines(b.log.String()) {
				if strings.Contains(line, "error=") {
					t.Log(line)
				}
			}
		}
	})
	return b
}

// channelID is that of the channel that every bench has.
const channelID = "0198c0de-0000-7000-8000-000000000001"

func (b *bench) channel(sealer *alert.Sealer, name string) {
	b.t.Helper()
	c := store.AlertConfig{ID: channelID, Kind: alert.Webhook, Name: name, Address: "https://hooks.example/…", Enabled: true, NotifyFailure: true, CreatedAt: time.Now(), UpdatedAt: time.Now()}
	var err error
	c.URLSealed, err = sealer.Seal("https://hooks.example/canary-hook", alert.Purpose(c.ID, "url"))
	must(b.t, err)
	c.SecretSealed, err = sealer.Seal(alert.NewSigningSecret(), alert.Purpose(c.ID, "secret"))
	must(b.t, err)
	_, err = b.store.InsertAlertConfig(b.t.Context(), c)
	must(b.t, err)
}

// A person and a token for the routes that are about one.
const (
	personID = "0198c0de-0000-7000-8000-000000000002"
	tokenID  = "0198c0de-0000-7000-8000-000000000003"
)

// subjects makes the person and the token that concrete names.
func (b *bench) subjects() {
	b.t.Helper()
	_, err := b.store.InsertUser(b.t.Context(), store.User{ID: personID, Name: "somebody", Role: store.Viewer, CreatedAt: time.Now()})
	must(b.t, err)
	b.token(store.Viewer, false, func(t *store.Token) { t.ID, t.Name = tokenID, "some token" })
}

// works lets a worker be alive and lead the queue.
func (b *bench) works() {
	b.t.Helper()
	must(b.t, b.store.Beat(b.t.Context(), store.Process{ID: uuid.NewString(), Hostname: "here", PID: 1}))
	_, err := b.store.Pool().Exec(b.t.Context(), "INSERT INTO river_leader (elected_at, expires_at, leader_id) VALUES (now(), now() + interval '1 hour', 'here')")
	must(b.t, err)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hashed is computed once: it costs 30 ms.
var hashed = sync.OnceValues(func() (string, error) { return auth.HashPassword(password) })

func (b *bench) user(name string, role store.Role, downloader bool) string {
	b.t.Helper()
	hash, err := hashed()
	must(b.t, err)
	id, err := b.store.InsertUser(b.t.Context(), store.User{Name: name, PasswordHash: hash, Role: role, Downloader: downloader, CreatedAt: time.Now()})
	must(b.t, err)
	return id
}

func (b *bench) token(role store.Role, downloader bool, edit ...func(*store.Token)) string {
	b.t.Helper()
	secret, sha, hint := auth.NewToken()
	tok := store.Token{Name: "test " + string(role), SHA256: sha, Hint: hint, Role: role, Downloader: downloader, CreatedBy: "test", CreatedAt: time.Now()}
	for _, e := range edit {
		e(&tok)
	}
	_, err := b.store.InsertToken(b.t.Context(), tok)
	must(b.t, err)
	return secret
}

// database registers one and stores a copy of it, whose bytes it gives.
func (b *bench) database(name string) (backup.Database, backup.Copy, []byte) {
	b.t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	d := backup.Database{
		ID: uuid.NewString(), Name: name, Priority: backup.Normal, Origin: backup.FromDiscovery,
		Objective: backup.DefaultObjective, FirstSeenAt: now, LastSeenAt: now,
	}
	must(b.t, b.store.UpsertDatabase(b.t.Context(), d))
	body := dumpOf(b.t, d)
	return d, b.copyOf(d, body, now.Add(-time.Hour)), body
}

// restored makes a job's restore: over a database, and ended.
func (b *bench) restored(job string, d backup.Database, c backup.Copy) {
	b.t.Helper()
	at := time.Now().UTC().Truncate(time.Microsecond)
	r := backup.Restore{ID: job, Target: backup.RestoreInPlace, CopyID: c.ID, DatabaseID: d.ID, DatabaseName: d.Name, Name: d.Name, TargetID: d.ID, CreatedAt: at}
	must(b.t, b.store.InsertRestore(b.t.Context(), r))
	r.Step, r.BookmarkBefore, r.EndedAt, r.Outcome, r.Next = backup.StepDone, "0000-beef", &at, d.Name+" holds what the copy does", "The way back."
	r.Checks = []backup.Check{{Name: "rows", OK: true, Text: "all of them"}, {Name: "tables", Text: "one is missing"}}
	must(b.t, b.store.SaveRestore(b.t.Context(), r))
}

func dumpOf(t testing.TB, d backup.Database) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := dump.NewWriter(&buf, dump.Header{Database: d.Name, DatabaseID: d.ID, JobID: "j", TakenAt: time.Now(), Consistency: "snapshot"})
	must(t, w.BeginTable(dump.Table{Name: "users", SQL: "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)", Columns: []string{"id", "name"}, AllColumns: true}))
	for i := range 2000 {
		must(t, w.Row([]dump.Value{{Kind: dump.Integer, Bytes: fmt.Append(nil, i)}, {Kind: dump.Text, Bytes: []byte("COMMIT; canary-cell-5e1f")}}))
	}
	must(t, w.EndTable())
	_, err := w.Finish(dump.Footer{Consistency: "snapshot"})
	must(t, err)
	return buf.Bytes()
}

func (b *bench) copyOf(d backup.Database, body []byte, at time.Time, edit ...func(*backup.Copy)) backup.Copy {
	b.t.Helper()
	sum := sha256.Sum256(body)
	c := backup.Copy{
		ID: uuid.Must(uuid.NewV7()).String(), DatabaseID: d.ID, DatabaseName: d.Name, Kind: backup.Daily, Date: backup.DateOf(at), TakenAt: at,
		Key: "daily/" + backup.DateOf(at).String() + "/" + d.ID + "-" + uuid.NewString()[:8] + ".sql", Size: int64(len(body)), SHA256: hex.EncodeToString(sum[:]),
		BodySHA256: "b" + hex.EncodeToString(sum[1:]), Tables: 1, Rows: 2000, Consistency: backup.Snapshot, Compression: backup.Plain, Proof: backup.ProofPending, CreatedAt: at,
	}
	for _, e := range edit {
		e(&c)
	}
	table := "users"
	if b.table != "" {
		table = b.table
	}
	c.Manifest = &backup.Manifest{
		Format: 1, Kind: c.Kind, DatabaseID: d.ID, DatabaseName: d.Name, Key: c.Key, SHA256: c.SHA256, Size: c.Size,
		Sections: []backup.Section{{Name: table, Kind: "table", Rows: 2000, Length: c.Size}}, Redactions: c.Redactions,
	}
	for _, r := range c.Redactions {
		c.Manifest.Findings = append(c.Manifest.Findings, backup.Finding{Code: "redacted", Message: "redacted on purpose, and not in this copy: " + r})
	}
	must(b.t, b.bucket.Replace(b.t.Context(), c.Key, body, "application/sql"))
	id, err := b.store.RecordCopy(b.t.Context(), c)
	must(b.t, err)
	c.ID = id
	return c
}

// job records a job with a result for each database.
func (b *bench) job(status backup.JobStatus, results backup.ResultStatus, dbs ...backup.Database) string {
	b.t.Helper()
	now := time.Now().UTC()
	j := backup.Job{
		ID: uuid.Must(uuid.NewV7()).String(), Kind: backup.JobBackup, Trigger: backup.TriggerManual, Status: backup.JobQueued,
		Date: backup.DateOf(now), RequestedBy: "ada", CreatedAt: now, Totals: backup.Totals{Databases: len(dbs)},
	}
	must(b.t, b.store.InsertJob(b.t.Context(), j))
	var rs []backup.Result
	for _, d := range dbs {
		rs = append(rs, backup.Result{
			ID: uuid.Must(uuid.NewV7()).String(), JobID: j.ID, DatabaseID: d.ID, DatabaseName: d.Name,
			Status: backup.ResultQueued, Date: j.Date, CreatedAt: now,
		})
	}
	must(b.t, b.store.InsertResults(b.t.Context(), rs))
	if status == backup.JobQueued {
		return j.ID
	}
	must(b.t, b.store.StartJob(b.t.Context(), j.ID, now, "test"))
	if results == backup.ResultFailed {
		for _, r := range rs {
			must(b.t, b.store.EndResult(b.t.Context(), r.ID, 0, backup.ResultFailed, now, "the account answered <b onclick=x>no</b>", "Check the token."))
		}
	}
	if status != backup.JobRunning {
		must(b.t, b.store.FinishJob(b.t.Context(), j.ID, backup.Totals{Databases: len(dbs), Failed: len(dbs)}, backup.Transition{Status: status, At: now}, ""))
	}
	return j.ID
}

// A client is a person with a cookie jar, or a program with a token.
type client struct {
	b      *bench
	http   *http.Client
	token  string
	accept string
}

func (b *bench) program(token string) *client {
	return &client{b: b, http: &http.Client{CheckRedirect: noRedirect}, token: token, accept: "application/json"}
}

func (b *bench) browser() *client {
	jar, err := cookiejar.New(nil)
	must(b.t, err)
	return &client{b: b, http: &http.Client{Jar: jar, CheckRedirect: noRedirect}, accept: chrome}
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// signedIn gives a browser in which name is signed in.
func (b *bench) signedIn(name string) *client {
	b.t.Helper()
	c := b.browser()
	if res := c.form("/sign-in", url.Values{"name": {name}, "password": {password}}); res.status != http.StatusSeeOther {
		b.t.Fatalf("sign in as %s: %d %.300s", name, res.status, res.body)
	}
	return c
}

type response struct {
	status int
	header http.Header
	body   string
}

func (r response) json(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), v); err != nil {
		t.Fatalf("%v in %d %.500s", err, r.status, r.body)
	}
}

func (c *client) do(method, path string, body io.Reader, header ...string) response {
	c.b.t.Helper()
	req, err := http.NewRequestWithContext(c.b.t.Context(), method, c.b.http.URL+path, body)
	must(c.b.t, err)
	req.Header.Set("Accept", c.accept)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.http.Do(req)
	must(c.b.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(c.b.t, err)
	return response{res.StatusCode, res.Header, string(text)}
}

func (c *client) get(path string, header ...string) response {
	c.b.t.Helper()
	return c.do("GET", path, nil, header...)
}

func (c *client) form(path string, v url.Values, header ...string) response {
	c.b.t.Helper()
	return c.do("POST", path, strings.NewReader(v.Encode()), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)...)
}

func (c *client) post(path, body string, header ...string) response {
	c.b.t.Helper()
	return c.do("POST", path, strings.NewReader(body), append([]string{"Content-Type", "application/json"}, header...)...)
}

// audited gives the audit log, newest first, as "actor action target outcome".
func (b *bench) audited() []string {
	b.t.Helper()
	list, _, err := b.store.Audit(b.t.Context(), store.AuditFilter{Limit: 1000})
	must(b.t, err)
	var out []string
	for _, e := range list {
		out = append(out, strings.Join([]string{e.Actor, e.Action, e.Target, e.Outcome, e.Reason}, "|"))
	}
	return out
}

func contains(list []string, parts ...string) bool {
next:
	for _, s := range list {
		for _, p := range parts {
			if !strings.Contains(s, p) {
				continue next
			}
		}
		return true
	}
	return false
}
