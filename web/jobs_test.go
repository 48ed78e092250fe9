package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/web"
)

func TestTrigger(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user("ada", store.Operator, false)
	b.database("groveauth")
	b.database("scout-db")
	p, ada := b.program(b.token(store.Operator, false)), b.signedIn("ada")
	last := func() backup.Request {
		all := b.asked.all()
		return all[len(all)-1]
	}
	res := p.post("/trigger", `{"database":"groveauth"}`, "Idempotency-Key", "k1")
	var started struct {
		JobID     string `json:"job_id"`
		Status    string
		Databases []string
		URL       string
	}
	res.json(t, &started)
	if res.status != 202 || started.JobID == "" || res.header.Get("Location") != "/jobs/"+started.JobID || started.URL != "/jobs/"+started.JobID || started.Status != "queued" || len(started.Databases) != 1 {
		t.Errorf("%d %v %+v", res.status, res.header, started)
	}
	one := last()
	if one.Action != backup.ActionBackup || one.IdempotencyKey != "k1" || one.Actor != "token test operator" || one.Trigger != backup.TriggerAPI || len(one.BodySHA256) != 64 {
		t.Errorf("asked for %+v", one)
	}
	p.post("/trigger", `{"database":"scout-db"}`, "Idempotency-Key", "k1")
	if last().BodySHA256 == one.BodySHA256 {
		t.Error("two bodies have one hash")
	}
	for body, want := range map[string]string{`{"database":"all"}`: "", `{"database":["groveauth","scout-db","groveauth"]}`: "groveauth,scout-db"} {
		if res := p.post("/trigger", body); res.status != 202 {
			t.Errorf("%s: %d", body, res.status)
		}
		if got := strings.Join(last().Databases, ","); got != want {
			t.Errorf("%s asks for %q", body, got)
		}
	}
	if res := ada.form("/trigger", url.Values{"database": {"groveauth"}}); res.status != http.StatusSeeOther || !strings.HasPrefix(res.header.Get("Location"), "/jobs/") {
		t.Errorf("the form: %d %v", res.status, res.header)
	}
	if got := last(); got.Trigger != backup.TriggerManual || got.Actor != "ada" {
		t.Errorf("the form asks for %+v", got)
	}
	if res := ada.form("/trigger", url.Values{"database": {"groveauth"}}, "HX-Request", "true", "HX-Request-Type", "partial"); res.status != 200 || !strings.HasPrefix(res.header.Get("HX-Redirect"), "/jobs/") {
		t.Errorf("htmx: %d %v", res.status, res.header)
	}
	if !contains(b.audited(), "ada|trigger|job ", "started|groveauth") {
		t.Errorf("not on record: %q", b.audited())
	}
}

func TestTriggerRefusals(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user("ada", store.Operator, false)
	b.database("groveauth")
	p := b.program(b.token(store.Operator, false))
	for body, want := range map[string]int{
		`{"database":"nothing"}`: 404, `{"database":["groveauth","nothing"]}`: 404, `{"database":""}`: 400, `{"database":[]}`: 400, `{"database":null}`: 400,
		`{"database":7}`: 400, `{}`: 400, ``: 400, `{"database":"groveauth"} x`: 400, `{"database":["all","groveauth"]}`: 400, `["groveauth"]`: 400, `{"database":{"a":1}}`: 400,
		`{"database":"a\u0000b"}`: 400, `{"databases":"groveauth"}`: 400,
	} {
		if res := p.post("/trigger", body); res.status != want {
			t.Errorf("%s: %d %s", body, res.status, res.body)
		}
	}
	if res := p.post("/trigger", `database=groveauth`, "Content-Type", "text/plain"); res.status != http.StatusUnsupportedMediaType {
		t.Errorf("text/plain: %d", res.status)
	}
	if res := p.post("/trigger", `{"database":"groveauth"}`, "Idempotency-Key", strings.Repeat("k", 256)); res.status != 400 {
		t.Errorf("a long key: %d", res.status)
	}
	if n := len(b.asked.all()); n != 0 {
		t.Fatalf("%d jobs were asked for", n)
	}
	busy := uuid.NewString()
	b.asked.answer = func(backup.Request) (backup.Started, error) {
		return backup.Started{}, &backup.BusyError{Name: "groveauth", JobID: busy}
	}
	var problem struct {
		Type, Title, Detail string
		Status              int
		JobID               string `json:"job_id"`
	}
	res := p.post("/trigger", `{"database":"groveauth"}`)
	res.json(t, &problem)
	if res.status != 409 || problem.JobID != busy || problem.Status != 409 || problem.Title == "" || res.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("busy: %d %s", res.status, res.body)
	}
	if page := b.signedIn("ada").form("/trigger", url.Values{"database": {"groveauth"}}); page.status != 409 || !strings.Contains(page.body, `href="/jobs/`+busy+`"`) {
		t.Errorf("the page does not lead to the busy job: %d %.900s", page.status, page.body)
	}
	b.asked.answer = func(backup.Request) (backup.Started, error) {
		return backup.Started{Skipped: []backup.Skipped{{Name: "groveauth", JobID: busy}}}, nil
	}
	if res := p.post("/trigger", `{"database":"all"}`); res.status != 409 || !strings.Contains(res.body, busy) {
		t.Errorf("all busy: %d %s", res.status, res.body)
	}
	b.asked.answer = func(backup.Request) (backup.Started, error) {
		return backup.Started{JobID: "j", Status: backup.JobQueued, Databases: []string{"a"}, Skipped: []backup.Skipped{{Name: "groveauth", JobID: busy}}}, nil
	}
	if res := p.post("/trigger", `{"database":"all"}`); res.status != 202 || !strings.Contains(res.body, `"skipped":[{"name":"groveauth","job_id":"`+busy+`"}]`) {
		t.Errorf("some busy: %d %s", res.status, res.body)
	}
	for kind, want := range map[error]int{backup.ErrNotFound: 404, backup.ErrInvalid: 400, backup.ErrConflict: 409, backup.ErrDenied: 403, backup.ErrUnavailable: 503, backup.ErrCorrupt: 500, errors.New("x"): 500} {
		b.asked.answer = func(backup.Request) (backup.Started, error) {
			return backup.Started{}, &backup.Error{Kind: kind, Message: "What happened.", Next: "What to do."}
		}
		if res := p.post("/trigger", `{"database":"all"}`); res.status != want {
			t.Errorf("%v: %d", kind, res.status)
		}
	}
}

func TestCancelAndRetry(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, _, _ := b.database("groveauth")
	failed, running := b.job(backup.JobFailed, backup.ResultFailed, d), b.job(backup.JobRunning, backup.ResultQueued, d)
	p := b.program(b.token(store.Operator, false))
	if res := p.post("/jobs/"+running+"/cancel", ""); res.status != 202 || res.header.Get("Location") != "/jobs/"+running {
		t.Errorf("cancel: %d %s", res.status, res.body)
	}
	if res := p.post("/jobs/"+failed+"/retry", ""); res.status != 202 {
		t.Errorf("retry: %d %s", res.status, res.body)
	}
	for _, path := range []string{"/jobs/nonsense/cancel", "/jobs/" + uuid.NewString() + "/retry"} {
		if res := p.post(path, ""); res.status != 404 {
			t.Errorf("%s: %d", path, res.status)
		}
	}
	got := b.asked.all()
	if len(got) != 2 || got[0].Action != backup.ActionCancel || got[0].JobID != running || got[1].Action != backup.ActionRetry || got[1].JobID != failed {
		t.Errorf("asked for %+v", got)
	}
	log := b.audited()
	if !contains(log, "|cancel|job "+running) || !contains(log, "|retry|job "+failed) {
		t.Errorf("not on record: %q", log)
	}
}

// stream opens the events of a job.
func (c *client) stream(ctx context.Context, path string, header ...string) (*http.Response, *bufio.Scanner) {
	c.b.t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", c.b.http.URL+path, nil)
	must(c.b.t, err)
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Accept", "text/event-stream")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.http.Do(req)
	must(c.b.t, err)
	c.b.t.Cleanup(func() { res.Body.Close() })
	s := bufio.NewScanner(res.Body)
	s.Buffer(nil, 1<<20)
	return res, s
}

// next gives the next event: its name and its data.
func next(s *bufio.Scanner) (event, data string, ok bool) {
	for s.Scan() {
		line := s.Text()
		switch {
		case strings.HasPrefix(line, "event: "):
			event = strings.TrimPrefix(line, "event: ")
		case strings.HasPrefix(line, "data: "):
			data += strings.TrimPrefix(line, "data: ") + "\n"
		case line == "" && data != "":
			return event, data, true
		}
	}
	return "", "", false
}

func TestEvents(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d, _, _ := b.database("groveauth")
	id := b.job(backup.JobRunning, backup.ResultQueued, d)
	p := b.program(b.token(store.Viewer, false))
	res, events := p.stream(t.Context(), "/jobs/"+id+"/events")
	htmx, parts := p.stream(t.Context(), "/jobs/"+id+"/events", "HX-Request", "true", "HX-Request-Type", "partial", "Accept", "text/html, text/event-stream")
	for _, r := range []*http.Response{res, htmx} {
		if r.StatusCode != 200 || r.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("%d %v", r.StatusCode, r.Header)
		}
	}
	var job struct {
		Status    string
		Databases []struct {
			Name, Status string
			Progress     struct{ Rows int64 }
		}
	}
	_, data, ok := next(events)
	must(t, json.Unmarshal([]byte(data), &job))
	if !ok || job.Status != "running" || job.Databases[0].Status != "queued" {
		t.Errorf("first event: %s", data)
	}
	if _, data, _ := next(parts); !strings.Contains(data, "safe to close this page") || strings.Contains(data, "<html") {
		t.Errorf("first fragment: %.300s", data)
	}
	rs, err := b.store.JobResults(t.Context(), id)
	must(t, err)
	fence, err := b.store.StartResult(t.Context(), store.Attempt{ResultID: rs[0].ID, RiverJobID: 0, ProcessID: uuid.NewString(), At: time.Now()})
	must(t, err)
	must(t, b.store.SetProgress(t.Context(), rs[0].ID, fence, backup.Progress{Table: "users", Rows: 1204, Bytes: 99, At: time.Now()}))
	for {
		_, data, ok := next(events)
		if !ok {
			t.Fatal("the stream ended before the progress came")
		}
		must(t, json.Unmarshal([]byte(data), &job))
		if job.Databases[0].Progress.Rows == 1204 {
			break
		}
	}
	must(t, b.store.EndResult(t.Context(), rs[0].ID, fence, backup.ResultFailed, time.Now(), "no", ""))
	must(t, b.store.FinishJob(t.Context(), id, backup.Totals{Databases: 1, Failed: 1}, backup.Transition{Status: backup.JobFailed, At: time.Now()}, ""))
	final := ""
	for {
		event, data, ok := next(events)
		if !ok {
			t.Fatal("the stream ended without saying that it is done")
		}
		if event == "done" {
			break
		}
		final = data
	}
	if !strings.Contains(final, `"status":"failed"`) {
		t.Errorf("the last event is %s", final)
	}
	if _, _, more := next(events); more {
		t.Error("something came after done")
	}
	done := false
	for event, _, ok := next(parts); ok; event, _, ok = next(parts) {
		done = done || event == "done"
	}
	if !done {
		t.Error("htmx was not told that it is done")
	}
}

// Row 28: streams are capped, and end with the server.
func TestEventsCap(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *web.Config) { c.Interval = time.Hour })
	d, _, _ := b.database("groveauth")
	id := b.job(backup.JobRunning, backup.ResultQueued, d)
	p, other := b.program(b.token(store.Viewer, false)), b.program(b.token(store.Viewer, false))
	var open []*bufio.Scanner
	var leave context.CancelFunc
	for {
		ctx, cancel := context.WithCancel(t.Context())
		res, s := p.stream(ctx, "/jobs/"+id+"/events")
		if res.StatusCode == http.StatusTooManyRequests {
			cancel()
			break
		}
		if res.StatusCode != 200 {
			t.Fatalf("stream %d: %d", len(open), res.StatusCode)
		}
		if _, _, ok := next(s); !ok {
			t.Fatal("no first event")
		}
		open, leave = append(open, s), cancel
		defer cancel()
		if len(open) > 50 {
			t.Fatal("there is no cap")
		}
	}
	res, _ := p.stream(t.Context(), "/jobs/"+id+"/events", "HX-Request", "true", "HX-Request-Type", "partial", "Accept", "text/html, text/event-stream")
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") || res.StatusCode != 200 {
		t.Errorf("htmx past the cap: %d %v", res.StatusCode, res.Header)
	}
	if part := p.get("/jobs/"+id, "Accept", chrome, "HX-Request", "true", "HX-Request-Type", "partial"); !strings.Contains(part.body, `hx-trigger="every 2s"`) || strings.Contains(part.body, "<html") {
		t.Errorf("the fragment does not ask again: %.300s", part.body)
	}
	theirs, s := other.stream(t.Context(), "/jobs/"+id+"/events")
	if theirs.StatusCode != 200 {
		t.Errorf("somebody else is kept out: %d", theirs.StatusCode)
	}
	leave()
	b.server.Close()
	if _, _, ok := next(open[0]); ok {
		t.Error("the server went on sending")
	}
	next(s)
	if _, _, ok := next(s); ok {
		t.Error("the server went on sending to the other")
	}
}

// Without JavaScript a page of a running job asks again by itself; a finished
// one does not.
func TestJobPage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user("ada", store.Operator, false)
	ada := b.signedIn("ada")
	d, _, _ := b.database("groveauth")
	running, failed := b.job(backup.JobRunning, backup.ResultQueued, d), b.job(backup.JobFailed, backup.ResultFailed, d)
	r, f := ada.get("/jobs/"+running).body, ada.get("/jobs/"+failed).body
	if !strings.Contains(r, `<noscript><meta http-equiv="refresh" content="3"></noscript>`) || !strings.Contains(r, `hx-sse:connect="/jobs/`+running+`/events"`) {
		t.Errorf("a running job does not follow itself: %.1500s", r)
	}
	if strings.Contains(f, "http-equiv=\"refresh\"") || strings.Contains(f, "hx-sse:connect") {
		t.Error("a finished job asks again")
	}
	if !strings.Contains(f, "Check the token.") || !strings.Contains(f, "Retry 1 failed database") {
		t.Error("a failed job does not say what to do")
	}
}
