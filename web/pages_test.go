package web_test

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/docs"
	"github.com/AutumnsGrove/Patina/static"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web"
)

// The three faces of every page.
func TestFaces(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user("ada", store.Admin, true)
	d, c, _ := b.database("groveauth")
	job := b.job(backup.JobFailed, backup.ResultFailed, d)
	b.drill(job, d, c)
	ada := b.signedIn("ada")
	for _, path := range []string{"/", "/status", "/databases", "/databases/groveauth", "/list", "/jobs", "/jobs/" + job, "/drills", "/drills/" + job, "/audit"} {
		page := ada.get(path)
		if page.status != 200 || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") || !strings.Contains(page.body, "<html") || !strings.Contains(page.body, "<h1") {
			t.Errorf("%s as a page: %d %s", path, page.status, page.header.Get("Content-Type"))
		}
		data := ada.get(path, "Accept", "application/json")
		if data.status != 200 || data.header.Get("Content-Type") != "application/json" || !json.Valid([]byte(data.body)) {
			t.Errorf("%s as JSON: %d %s", path, data.status, data.header.Get("Content-Type"))
		}
		if path == "/databases/groveauth" {
			continue // has no part of its own
		}
		part := ada.get(path, "HX-Request", "true", "HX-Request-Type", "partial")
		if part.status != 200 || strings.Contains(part.body, "<html") || !strings.Contains(part.body, "<") {
			t.Errorf("%s as a fragment: %d %.200s", path, part.status, part.body)
		}
		if full := ada.get(path, "HX-Request", "true", "HX-Request-Type", "full"); !strings.Contains(full.body, "<html") {
			t.Errorf("%s for htmx in full is no page", path)
		}
	}
	if res := ada.get("/restore-guide/groveauth"); !strings.Contains(res.body, ">Restore groveauth</h1>") || !strings.Contains(res.body, c.SHA256) {
		t.Errorf("the guide as a page: %d %.600s", res.status, res.body)
	}
	if res := ada.get("/nothing/here"); res.status != 404 || !strings.Contains(res.body, "There is nothing here") || !strings.Contains(res.body, "Sign out") {
		t.Errorf("an unknown page: %d", res.status)
	}
	if res := ada.get("/jobs/x", "HX-Request", "true", "HX-Request-Type", "partial"); res.status != 404 || strings.Contains(res.body, "<html") {
		t.Errorf("an error as a fragment: %d %.100s", res.status, res.body)
	}
	if res := b.browser().get("/jobs", "HX-Request", "true", "HX-Request-Type", "partial"); res.status != 401 || res.header.Get("HX-Refresh") != "true" {
		t.Errorf("a fragment after the session ended: %d %v", res.status, res.header)
	}
}

func TestGuide(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, c, _ := b.database("groveauth")
	older := b.copyOf(d, []byte("older"), time.Now().Add(-30*time.Hour))
	bad := b.copyOf(d, []byte("bad"), time.Now())
	must(t, b.store.SetProof(t.Context(), bad.ID, backup.ProofSuspect, time.Now(), "differs"))
	p := b.program(b.token(store.Viewer, false))
	guide := p.get("/restore-guide/groveauth").body
	for _, want := range []string{
		d.ID, c.SHA256, c.Key, older.ID, b.http.URL + "/download/" + c.Date.String() + "/groveauth?backup=" + c.ID,
		"&for=d1", "wrangler d1 time-travel", "wrangler d1 execute --remote --file=groveauth-" + c.Date.String() + ".d1.sql groveauth-restored", "patina restore " + c.ID + " --in-place groveauth --confirm groveauth", "| `users` | 2,000 |", "sha256sum -c", "| size | ",
	} {
		if !strings.Contains(guide, want) {
			t.Errorf("the guide lacks %q", want)
		}
	}
	if strings.Contains(guide, "| object | `"+bad.Key) || strings.Contains(guide, "<no value>") || strings.Contains(guide, "%!") {
		t.Error("the guide restores a suspect copy, or is not filled in")
	}
	file := p.get("/restore-guide/groveauth?format=markdown", "Accept", "text/html")
	if !strings.HasPrefix(file.body, "# Restore groveauth\n") || file.header.Get("Content-Disposition") != `attachment; filename=restore-groveauth.md` || file.header.Get("Content-Type") != "text/markdown; charset=utf-8" {
		t.Errorf("as a file: %v %.100s", file.header, file.body)
	}
	// No guide hands the raw file to wrangler.
	for line := range strings.Lines(guide) {
		if strings.Contains(line, "wrangler d1 execute") && strings.Contains(line, "--file=") && !strings.Contains(line, ".d1.sql") {
			t.Errorf("the raw dump is handed to wrangler: %s", line)
		}
	}
	now := time.Now()
	empty := backup.Database{ID: uuid.NewString(), Name: "empty", FirstSeenAt: now, LastSeenAt: now}
	must(t, b.store.UpsertDatabase(t.Context(), empty))
	if res := p.get("/restore-guide/empty"); res.status != 200 || !strings.Contains(res.body, "no copy of this database yet") || strings.Contains(res.body, "## 2.") {
		t.Errorf("without a copy: %d %s", res.status, res.body)
	}
	if res := p.get("/restore-guide/nothing"); res.status != 404 {
		t.Errorf("unknown: %d", res.status)
	}
}

func TestStatusAndList(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, c, _ := b.database("groveauth")
	now := time.Now()
	never := backup.Database{ID: uuid.NewString(), Name: "never", FirstSeenAt: now, LastSeenAt: now}
	must(t, b.store.UpsertDatabase(t.Context(), never))
	job := b.job(backup.JobRunning, backup.ResultQueued, d)
	p := b.program(b.token(store.Viewer, false))
	var s struct {
		Active *struct {
			ID        string
			Databases []struct{ Name, Status string }
		} `json:"active_job"`
		Next, Nightly, Weekly *time.Time
		Databases             []struct {
			Name, State string
			Age         *int64     `json:"age_seconds"`
			Last        *time.Time `json:"last_success_at"`
			Proven      *time.Time `json:"last_proven_at"`
		}
	}
	p.get("/status").json(t, &s)
	if s.Active == nil || s.Active.ID != job || len(s.Active.Databases) != 1 || len(s.Databases) != 2 {
		t.Fatalf("%+v", s)
	}
	if g := s.Databases[0]; g.Name != "groveauth" || g.State != "stored" || g.Age == nil || *g.Age < 3590 || *g.Age > 3700 || g.Proven != nil {
		t.Errorf("%+v", g)
	}
	if n := s.Databases[1]; n.State != "unknown" || n.Age != nil || n.Last != nil {
		t.Errorf("%+v", n)
	}
	for i := range 5 {
		b.copyOf(d, []byte{byte(i)}, time.Now().Add(-time.Duration(i)*24*time.Hour))
	}
	seen, cursor := map[string]bool{}, ""
	for range 10 {
		var l struct {
			Backups []struct {
				ID, Database, Date, Key, SHA256, Location, Proof string
				Size                                             int64 `json:"size_bytes"`
				Available                                        bool
				URL                                              string `json:"download_url"`
			}
			Next string `json:"next_cursor"`
		}
		p.get("/list?limit=2&database=groveauth&cursor="+cursor).json(t, &l)
		for _, e := range l.Backups {
			if seen[e.ID] {
				t.Errorf("%s is listed twice", e.ID)
			}
			seen[e.ID] = true
			if e.Database != "groveauth" || !e.Available || e.Location != "object" || e.URL != "/download/"+e.Date+"/groveauth?backup="+e.ID || e.Size == 0 {
				t.Errorf("%+v", e)
			}
		}
		if cursor = l.Next; cursor == "" {
			break
		}
	}
	if len(seen) != 6 || !seen[c.ID] {
		t.Errorf("%d copies were listed", len(seen))
	}
	if res := p.get("/list?kind=weekly"); !strings.Contains(res.body, `"backups":[]`) {
		t.Errorf("weekly: %s", res.body)
	}
}

// brokenBucket answers no list while it is broken.
type brokenBucket struct {
	object.Bucket
	broken atomic.Bool
}

func (b *brokenBucket) List(ctx context.Context, prefix string) iter.Seq2[object.Info, error] {
	if !b.broken.Load() {
		return b.Bucket.List(ctx, prefix)
	}
	return func(yield func(object.Info, error) bool) {
		yield(object.Info{}, backup.Errorf(backup.ErrUnavailable, "canary-bucket"))
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	bucket := &brokenBucket{}
	b := newBench(t, func(c *web.Config) { bucket.Bucket, c.Bucket = c.Bucket, bucket })
	p := b.program("")
	if res := p.get("/healthz"); res.status != 200 || !strings.Contains(res.body, `"status":"ok"`) {
		t.Errorf("healthz: %d %s", res.status, res.body)
	}
	if res := p.get("/readyz"); res.status != 503 || !strings.Contains(res.body, `"queue":"failed"`) || !strings.Contains(res.body, `"leader":"failed"`) || strings.Count(res.body, `"ok"`) != 3 {
		t.Errorf("without a worker: %d %s", res.status, res.body)
	}
	b.works()
	if res := p.get("/readyz"); res.status != 200 || strings.Count(res.body, `"ok"`) != 6 {
		t.Errorf("readyz: %d %s", res.status, res.body)
	}
	bucket.broken.Store(true)
	if res := p.get("/readyz"); res.status != 503 || !strings.Contains(res.body, `"bucket":"failed"`) || !strings.Contains(res.body, `"postgres":"ok"`) || strings.Contains(res.body, "canary") {
		t.Errorf("without the bucket: %d %s", res.status, res.body)
	}
	b.store.Close()
	if res := p.get("/readyz"); res.status != 503 || !strings.Contains(res.body, `"postgres":"failed"`) {
		t.Errorf("without Postgres: %d %s", res.status, res.body)
	}
	if res := p.get("/healthz"); res.status != 200 {
		t.Errorf("healthz without Postgres: %d", res.status)
	}
	if res := b.program("patina_x").get("/status"); res.status != 503 {
		t.Errorf("a token without Postgres: %d %s", res.status, res.body)
	}
}

func TestStatic(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.program("")
	for _, name := range []string{"patina.css", "patina.js", "patina.svg", "htmx-4.0.1.min.js", "hx-sse-4.0.1.min.js"} {
		res := p.get(static.URL(name), "Accept-Encoding", "identity")
		if res.status != 200 || !strings.Contains(res.header.Get("Cache-Control"), "immutable") || len(res.body) < 100 || res.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", name, res.status, res.header)
		}
	}
	for _, path := range []string{"/static/", "/static/patina.css", "/static/static.go", "/static/patina.000000000000.css"} {
		if res := p.get(path); res.status != 404 {
			t.Errorf("%s: %d", path, res.status)
		}
	}
}

// openAPIPath turns /jobs/:id into /jobs/{id}.
func openAPIPath(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if name, ok := strings.CutPrefix(p, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	return strings.Join(parts, "/")
}

// Every route is described, with the right that it demands, and nothing else is.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	doc, err := openapi3.NewLoader().LoadFromData(docs.OpenAPI)
	must(t, err)
	must(t, doc.Validate(t.Context(), openapi3.IsOpenAPI31OrLater()))
	var routes, described []string
	for _, r := range b.server.Routes() {
		routes = append(routes, r.Method+" "+openAPIPath(r.Path)+" "+r.Right.String())
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			right, _ := op.Extensions["x-right"].(string)
			described = append(described, method+" "+path+" "+right)
			if open := op.Security != nil && len(*op.Security) == 0; open != (right == "public") {
				t.Errorf("%s %s: security says something other than x-right", method, path)
			}
		}
	}
	slices.Sort(routes)
	slices.Sort(described)
	if !slices.Equal(routes, described) {
		t.Errorf("routes:\n%s\ndescribed:\n%s", strings.Join(routes, "\n"), strings.Join(described, "\n"))
	}
	if res := b.program(b.token(store.Viewer, false)).get("/openapi.json"); res.status != http.StatusOK || res.body != string(docs.OpenAPI) {
		t.Errorf("/openapi.json: %d", res.status)
	}
}

// What is answered has the shape that is described.
func TestAnswersMatchOpenAPI(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, c, _ := b.database("groveauth")
	c = b.archived(c)[0]
	failed, running := b.job(backup.JobFailed, backup.ResultFailed, d), b.job(backup.JobRunning, backup.ResultQueued, d)
	b.restored(failed, d, c)
	b.drill(failed, d, c)
	b.drill(running, d, c)
	b.subjects()
	doc, err := openapi3.NewLoader().LoadFromData(docs.OpenAPI)
	must(t, err)
	p := b.program(b.token(store.Admin, true))
	if job := doc.Components.Schemas["Job"].Value; doc.ValidateSchemaJSON(job, map[string]any{"id": "x"}) == nil {
		t.Fatal("anything passes for a job")
	}
	check := func(method, path, described string, res response) {
		t.Helper()
		op := doc.Paths.Find(described).GetOperation(method)
		r := op.Responses.Status(res.status)
		if r == nil {
			t.Errorf("%s %s: %d is not described", method, path, res.status)
			return
		}
		media := r.Value.Content.Get(strings.Split(res.header.Get("Content-Type"), ";")[0])
		if media == nil {
			t.Errorf("%s %s: %s is not described", method, path, res.header.Get("Content-Type"))
			return
		}
		var v any
		res.json(t, &v)
		if err := doc.ValidateSchemaJSON(media.Schema.Value, v); err != nil {
			t.Errorf("%s %s: %v", method, path, err)
		}
	}
	for _, r := range b.server.Routes() {
		if r.Path == "/runbook" || strings.HasPrefix(r.Path, "/docs") {
			continue // Markdown
		}
		if r.Method != "GET" || r.Stream || strings.HasPrefix(r.Path, "/download") || strings.HasSuffix(r.Path, "/download") || r.Path == "/restore-guide/:db" || r.Path == "/sign-in" || r.Path == "/setup" || r.Path == "/set-password" || strings.HasPrefix(r.Path, "/sign-in/") {
			continue
		}
		for _, job := range []string{failed, running} {
			path := concrete(r.Path, d, c, job)
			check("GET", path, openAPIPath(r.Path), p.get(path))
			check("GET", path, openAPIPath(r.Path), b.program("").get(path))
		}
	}
	check("GET", "/jobs/x", "/jobs/{id}", p.get("/jobs/x"))
	check("POST", "/trigger", "/trigger", p.post("/trigger", `{"database":"groveauth"}`))
	check("POST", "/trigger", "/trigger", p.post("/trigger", `{}`))
	check("POST", "/jobs/x/retry", "/jobs/{id}/retry", p.post("/jobs/"+failed+"/retry", ""))
	check("POST", "/drills", "/drills", p.post("/drills", ""))
	check("GET", "/drills/x", "/drills/{id}", p.get("/drills/x"))
	check("POST", "/backups/x/verify", "/backups/{id}/verify", p.post("/backups/"+c.ID+"/verify", `{"values":true}`))
	check("POST", "/backups/x/verify", "/backups/{id}/verify", p.post("/backups/"+c.ID+"/verify", `{"other":1}`))
	check("POST", "/backups/x/verify", "/backups/{id}/verify", p.post("/backups/x/verify", ""))
	check("GET", "/download", "/download/{date}/{db}", p.get("/download/2020-01-01/groveauth"))
}

func TestAuditPage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user("root", store.Admin, false)
	root := b.signedIn("root")
	_, err := b.store.AppendAudit(t.Context(), store.AuditEntry{At: time.Now(), Actor: "=cmd|' /C calc'!A0", Action: "download", Target: "a\nb,\"c\"", Outcome: "sent", IP: "192.0.2.1"})
	must(t, err)
	if res := root.get("/audit"); !strings.Contains(res.body, "192.0.2.1") || !strings.Contains(res.body, "sign-in") {
		t.Errorf("the page: %d", res.status)
	}
	res := root.get("/audit?format=csv&action=download")
	if res.header.Get("Content-Type") != "text/csv; charset=utf-8" || !strings.Contains(res.body, ",'=cmd|") || strings.Count(res.body, "\n") != 2 || strings.Contains(res.body, "sign-in") {
		t.Errorf("csv: %v %q", res.header, res.body)
	}
	var l struct {
		Entries []struct{ Actor, Action, Outcome string }
		Next    string `json:"next_cursor"`
	}
	root.get("/audit?limit=1", "Accept", "application/json").json(t, &l)
	if len(l.Entries) != 1 || l.Entries[0].Action != "download" || l.Next == "" {
		t.Errorf("%+v", l)
	}
}

// Each operation says what it does and shows it: an example of what is sent and of
// what comes back, which is what its schema says.
func TestOpenAPIExamples(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromData(docs.OpenAPI)
	must(t, err)
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("it is OpenAPI %s", doc.OpenAPI)
	}
	names, shown := map[string]bool{}, 0
	example := func(what string, content openapi3.Content) {
		media := content.Get("application/json")
		if media == nil || media.Schema == nil || media.Schema.Ref == "" && media.Schema.Value.IsEmpty() {
			return
		}
		if media.Example == nil {
			t.Errorf("%s has no example", what)
			return
		}
		shown++
		if err := doc.ValidateSchemaJSON(media.Schema.Value, media.Example); err != nil {
			t.Errorf("the example of %s: %v", what, err)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			what := method + " " + path
			if op.OperationID == "" || names[op.OperationID] || len(op.Summary) < 8 {
				t.Errorf("%s has no name of its own, or does not say what it does", what)
			}
			names[op.OperationID] = true
			for _, p := range op.Parameters {
				if p.Value.Description == "" {
					t.Errorf("%s does not say what %s is", what, p.Value.Name)
				}
			}
			if op.RequestBody != nil {
				example("what "+what+" is sent", op.RequestBody.Value.Content)
			}
			for status, r := range op.Responses.Map() {
				if *r.Value.Description == "" {
					t.Errorf("%s does not say what %s means", what, status)
				}
				if strings.HasPrefix(status, "2") && path != "/openapi.json" {
					example("what "+what+" answers", r.Value.Content)
				}
			}
		}
	}
	if shown < 60 {
		t.Errorf("only %d examples were looked at", shown)
	}
}
