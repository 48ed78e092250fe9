package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

const bootstrapToken = "bootstrap-0123456789abcdef"

// ask sends a request with the token and decodes the JSON answer.
func ask(t *testing.T, method, url, token, body string, v any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if v != nil {
		if err := json.Unmarshal(text, v); err != nil {
			t.Fatalf("%s %s: %d %s", method, url, res.StatusCode, text)
		}
	}
	return res.StatusCode
}

// groveEnv serves a sample account and gives the environment of an
// installation of it.
func groveEnv(t *testing.T) (env, *d1sim.Account) {
	t.Helper()
	sim, err := d1sim.New(d1sim.Config{Dir: t.TempDir(), AccountID: "acc", Token: "account-" + canary})
	if err != nil {
		t.Fatal(err)
	}
	if err := d1sim.Grove(t.Context(), sim); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim.Handler())
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close(); _ = sim.Close() })
	return env{
		"DATABASE_URL": storetest.EmptyURL(t), "PATINA_DATA": t.TempDir(), "PATINA_ADDR": "127.0.0.1:0",
		"PATINA_SECRET":         "q0Pk3cVb0m8yVd9iJmXo4u3y1Wf7sN2hTzRb6aLxGkE=",
		"CLOUDFLARE_ACCOUNT_ID": "acc", "CLOUDFLARE_API_TOKEN": "account-" + canary, "CLOUDFLARE_BASE_URL": srv.URL,
		"PATINA_BOOTSTRAP_TOKEN": bootstrapToken,
	}, sim
}

func TestServe(t *testing.T) {
	t.Parallel()
	e, _ := groveEnv(t)
	e["PATINA_BUCKET"] = "file://" + t.TempDir()
	has(t, patina(t, e, "serve").want(t, exitUsage).err, "PATINA_BUCKET is a folder")

	r := begin(t, e, "serve", "--embedded", "--log", "json")
	link := regexp.MustCompile(`"url":"([^"]+)"`).FindStringSubmatch(r.await("makes the first admin"))
	if link == nil || !strings.Contains(link[1], "/setup?key=") {
		t.Fatalf("the log holds no link for the first admin:\n%s", r.text)
	}
	addr := regexp.MustCompile(`"address":"([^"]+)"`).FindStringSubmatch(r.await("dashboard started"))
	if addr == nil {
		t.Fatal("the log does not say where the dashboard listens")
	}
	base := "http://" + addr[1]
	ready(t, base)
	if code := ask(t, "GET", base+"/list", "wrong", "", nil); code != http.StatusUnauthorized {
		t.Errorf("a wrong token gets %d", code)
	}

	patina(t, e, "databases", "sync").want(t, exitDone)
	has(t, patina(t, e, "databases").want(t, exitDone).out, "groveauth", "scout-db", "protected")
	a := patina(t, e, "backup", "--all", "--wait", "--json").want(t, exitDone)
	var job struct {
		ID, Status string
		Totals     struct{ Succeeded int }
	}
	decode(t, a.out, &job)
	if job.Status != "completed" || job.Totals.Succeeded != 6 {
		t.Errorf("%s", a.out)
	}
	if strings.Contains(a.err, "No worker is running") {
		t.Errorf("a worker runs, and it says none does:\n%s", a.err)
	}
	var seen struct{ ID, Status string }
	if code := ask(t, "GET", base+"/jobs/"+job.ID, bootstrapToken, "", &seen); code != http.StatusOK || seen.Status != "completed" {
		t.Errorf("/jobs/:id answers %d %+v", code, seen)
	}
	downloadAgain(t, e)
	if code := r.ended(); code != exitDone {
		t.Errorf("exit code %d after a stop:\n%s", code, r.text)
	}
	for _, secret := range []string{canary, bootstrapToken, e["PATINA_SECRET"]} {
		if strings.Contains(r.text.String(), secret) {
			t.Errorf("the log shows a secret:\n%s", r.text)
		}
	}
}

// ready waits until everything is as it must be: the queue takes a moment to
// choose its leader.
func ready(t *testing.T, base string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		code := ask(t, "GET", base+"/readyz", "", "", nil)
		if code == http.StatusOK {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("/readyz still answers %d", code)
		}
	}
}

// downloadAgain fetches a stored dump by the command line, and notices when the
// object was changed.
func downloadAgain(t *testing.T, e env) {
	t.Helper()
	var list struct {
		Backups []struct {
			ID, Database, Date, Kind, Key, SHA256 string
			Size                                  int64 `json:"size_bytes"`
		}
	}
	decode(t, patina(t, e, "list", "--database", "groveauth", "--json").want(t, exitDone).out, &list)
	if len(list.Backups) != 1 || list.Backups[0].Kind != "manual" {
		t.Fatalf("%+v", list)
	}
	b := list.Backups[0]
	for _, args := range [][]string{{"groveauth"}, {"groveauth", "--date", b.Date}, {b.ID}} {
		a := patina(t, e, append([]string{"download"}, args...)...).want(t, exitDone)
		if h, _, err := dump.Verify(strings.NewReader(a.out)); err != nil || h.Database != "groveauth" || int64(len(a.out)) != b.Size {
			t.Errorf("%v: %d bytes of %q, %v", args, len(a.out), h.Database, err)
		}
	}
	has(t, patina(t, e, "download", "groveauth", "--date", "2001-01-01").want(t, exitError).err, "no backup")
	one := patina(t, e, "download", "groveauth", "--table", "users", "--as", "users_2", "--for", "d1").want(t, exitDone)
	has(t, one.out, "PRAGMA defer_foreign_keys=ON;", `CREATE TABLE "users_2"`, `INSERT INTO "users_2"`)
	if strings.Contains(one.out, "DROP TABLE") || strings.Contains(one.out, "CREATE TABLE sessions") {
		t.Errorf("more than one table: %.3000s", one.out)
	}
	has(t, patina(t, e, "download", "groveauth", "--table", "nope").want(t, exitError).err, "no table nope", "users")
	patina(t, e, "download", "groveauth", "--as", "x").want(t, exitUsage)
	file := filepath.Join(t.TempDir(), "groveauth.sql")
	patina(t, e, "download", "groveauth", "-o", file).want(t, exitDone)
	has(t, patina(t, e, "diff", b.ID, file, "--rows", "--exit-code").want(t, exitDone).out, "nothing differs")
	patina(t, e, "diff", b.ID, "01a20d05-4cf1-732b-b675-75b4ac1ac044").want(t, exitError)
	object := filepath.Join(strings.TrimPrefix(e["PATINA_BUCKET"], "file://"), filepath.FromSlash(b.Key))
	text, err := os.ReadFile(object)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	write(t, object, string(text))
	a := patina(t, e, "download", "groveauth").want(t, exitCorrupt)
	if a.out != "" {
		t.Error("bytes of a corrupt object went to stdout")
	}
	if err := os.Remove(object); err != nil {
		t.Fatal(err)
	}
	patina(t, e, "download", "groveauth").want(t, exitCorrupt)
}

func TestServeInTwoParts(t *testing.T) {
	t.Parallel()
	e, _ := groveEnv(t)
	e["PATINA_BUCKET"] = "file://" + t.TempDir()
	pages := begin(t, e, "serve", "--embedded", "--worker=false", "--log", "json")
	addr := regexp.MustCompile(`"address":"([^"]+)"`).FindStringSubmatch(pages.await("dashboard started"))
	if addr == nil {
		t.Fatal("no address")
	}
	if strings.Contains(pages.text.String(), "worker started") {
		t.Error("a worker was started though --worker=false")
	}
	patina(t, e, "databases", "sync").want(t, exitDone)
	has(t, patina(t, e, "backup", "groveauth").want(t, exitDone).err, "No worker is running")
	worker := begin(t, e, "serve", "--embedded", "--web=false", "--log", "json")
	worker.await("worker started")
	if strings.Contains(worker.text.String(), "dashboard started") {
		t.Error("pages are served though --web=false")
	}

	var started struct {
		JobID string `json:"job_id"`
	}
	if code := ask(t, "POST", "http://"+addr[1]+"/trigger", bootstrapToken, `{"database":"autumnsgrove-posts"}`, &started); code != http.StatusAccepted {
		t.Fatalf("POST /trigger answers %d", code)
	}
	waitForJob(t, "http://"+addr[1], started.JobID, "completed")
	if worker.ended() != exitDone || pages.ended() != exitDone {
		t.Errorf("a clean stop should end with 0:\n%s\n%s", worker.text, pages.text)
	}
}

func TestPartial(t *testing.T) {
	t.Parallel()
	e, sim := groveEnv(t)
	e["PATINA_BUCKET"] = "file://" + t.TempDir()
	r := begin(t, e, "serve", "--embedded", "--web=false", "--log", "json")
	r.await("the account changed") // its first look at the account has been
	for _, db := range sim.Databases() {
		if db.Name == "scout-db" {
			if err := sim.Delete(db.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	a := patina(t, e, "backup", "groveauth", "scout-db", "--wait").want(t, exitPartial)
	has(t, a.out, "groveauth", "success", "scout-db", "failed")
	has(t, a.err, "partial: 1 of 2")
	patina(t, e, "backup", "scout-db", "--wait").want(t, exitError)
	if code := r.ended(); code != exitDone {
		t.Errorf("exit code %d after a stop", code)
	}
}

func waitForJob(t *testing.T, base, id, status string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var job struct{ Status string }
		if ask(t, "GET", base+"/jobs/"+id, bootstrapToken, "", &job); job.Status == status {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("job %s is %q, want %q", id, job.Status, status)
		case <-tick.C:
		}
	}
}

func TestBusyPort(t *testing.T) {
	t.Parallel()
	held := httptest.NewServer(http.NotFoundHandler())
	defer held.Close()
	e, _ := groveEnv(t)
	e["PATINA_BUCKET"], e["PATINA_ADDR"] = "file://"+t.TempDir(), strings.TrimPrefix(held.URL, "http://")
	a := patina(t, e, "serve", "--embedded").want(t, exitError)
	has(t, a.err, "cannot listen on "+e["PATINA_ADDR"], "PATINA_ADDR")
}
