package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// diagnosis is what one run of the doctor found.
type diagnosis struct {
	t    *testing.T
	code int
	all  []finding
}

func diagnose(t *testing.T, e env, args ...string) diagnosis {
	t.Helper()
	a := patina(t, e, append([]string{"doctor", "--json"}, args...)...)
	var found struct{ Findings []finding }
	decode(t, a.out, &found)
	for _, f := range found.Findings {
		if (f.State == findingFail || f.State == findingStale) && f.Next == "" {
			t.Errorf("%s fails and nothing says what to do: %s", f.Check, f.Message)
		}
	}
	return diagnosis{t, a.code, found.Findings}
}

// finds fails the test unless there is a finding of this state whose message
// holds all the parts.
func (d diagnosis) finds(check, state string, parts ...string) {
	d.t.Helper()
	var close []string
next:
	for _, f := range d.all {
		if f.Check != check {
			continue
		}
		close = append(close, f.State+": "+f.Message)
		if f.State != state {
			continue
		}
		for _, p := range parts {
			if !strings.Contains(f.Message, p) && !strings.Contains(f.Next, p) {
				continue next
			}
		}
		if state == findingFail && d.code != exitError {
			d.t.Errorf("exit code %d although something fails", d.code)
		}
		return
	}
	d.t.Errorf("no %s of %q with %q; there is\n  %s", state, check, parts, strings.Join(close, "\n  "))
}

// healthy fails the test where a check has anything but good to say.
func (d diagnosis) healthy(checks ...string) {
	d.t.Helper()
	for _, check := range checks {
		seen := false
		for _, f := range d.all {
			if f.Check == check {
				seen = true
				if f.State != findingOK {
					d.t.Errorf("%s: %s: %s", check, f.State, f.Message)
				}
			}
		}
		if !seen {
			d.t.Errorf("nothing is said of %s", check)
		}
	}
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	e, _ := groveEnv(t)
	folder := t.TempDir()
	e["PATINA_BUCKET"] = "file://" + folder
	if err := os.Chmod(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	d := diagnose(t, e, "--embedded")
	d.healthy("configuration", "secrets", "bucket", "clock", "account", "postgres", "scratch")
	d.finds("migrations", findingFail, "wait", "patina migrate")
	if sub, err := filepath.Glob(filepath.Join(folder, "*", "doctor-*")); err != nil || len(sub) > 0 {
		t.Errorf("the doctor left %v behind, %v", sub, err)
	}
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	diagnose(t, e, "--embedded").finds("bucket", findingFail, "not private", "0755")
	if err := os.Chmod(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	patina(t, e, "migrate").want(t, exitDone)
	d = diagnose(t, e, "--embedded")
	d.healthy("migrations", "audit log")
	d.finds("worker", findingFail, "nothing will be backed up", "patina serve")
	d.finds("schedules", findingFail, "no worker has ever run")
	d.finds("coverage", findingFail, "holds no database", "databases sync")

	r := begin(t, e, "serve", "--embedded", "--log", "json")
	r.await("dashboard started")
	patina(t, e, "databases", "sync").want(t, exitDone)
	d = diagnose(t, e, "--embedded")
	d.healthy("worker", "schedules")
	d.finds("coverage", findingStale, "groveauth has never been backed up", "patina backup groveauth")
	if d.code != exitStale {
		t.Errorf("exit code %d where only backups are missing", d.code)
	}
	patina(t, e, "backup", "--all", "--wait").want(t, exitDone)
	d = diagnose(t, e, "--embedded")
	d.finds("coverage", findingOK, "6 of 6")
	if d.code != exitDone {
		t.Errorf("exit code %d where all is well: %+v", d.code, d.all)
	}
	text := patina(t, e, "doctor", "--embedded").want(t, exitDone).out
	has(t, text, "ok     postgres", "note   token", "→ Make CLOUDFLARE_API_TOKEN one that may only read")
	if strings.Contains(text, canary) || strings.Contains(text, e["PATINA_SECRET"]) {
		t.Errorf("the doctor shows a secret:\n%s", text)
	}
}

// Everything that a running installation can lack, one after another.
func TestDoctorFindsWhatIsMissing(t *testing.T) {
	t.Parallel()
	e, sim := groveEnv(t)
	e["PATINA_BUCKET"] = "file://" + filepath.Join(t.TempDir(), "bucket")
	var hook http.HandlerFunc = func(http.ResponseWriter, *http.Request) {}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { hook(w, r) }))
	defer receiver.Close()
	e["PATINA_WEBHOOK_URL"], e["PATINA_WEBHOOK_ALLOW"], e["PATINA_HEARTBEAT_URL"] = receiver.URL+"/hook", "127.0.0.1", receiver.URL+"/beat"
	r := begin(t, e, "serve", "--embedded", "--log", "json")
	r.await("dashboard started")
	r.await("the account changed")
	patina(t, e, "backup", "--all", "--wait").want(t, exitDone)
	conn, err := pgx.Connect(t.Context(), e["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	exec := func(q string, args ...any) {
		t.Helper()
		if tag, err := conn.Exec(t.Context(), q, args...); err != nil || tag.RowsAffected() == 0 {
			t.Fatalf("%s: %v, %v", q, tag, err)
		}
	}
	d := diagnose(t, e, "--embedded", "--send")
	d.healthy("channels", "heartbeat", "worker", "schedules", "audit log", "coverage")
	d.finds("channels", findingOK, "took the test message")

	t.Run("coverage", func(t *testing.T) { //nolint:paralleltest // one installation
		if _, err := sim.Create("newcomer"); err != nil {
			t.Fatal(err)
		}
		diagnose(t, e, "--embedded").finds("coverage", findingFail, "1 of the account's databases are not protected: newcomer", "databases sync")
		file := filepath.Join(t.TempDir(), "patina.toml")
		write(t, file, "[discovery]\nexclude = ['new*']\n")
		diagnose(t, e, "--embedded", "--config", file).finds("coverage", findingNote, "left out", "newcomer")
		exec(`UPDATE databases SET paused = true WHERE name = 'groveauth'`)
		exec(`UPDATE backup_inventory SET taken_at = taken_at - interval '30 hours' WHERE database_name = 'scout-db'`)
		exec(`UPDATE backup_inventory SET proof = 'pending', proven_at = NULL, created_at = created_at - interval '2 hours' WHERE database_name = 'autumnsgrove-posts'`)
		exec(`UPDATE backup_inventory SET size_bytes = 1000000000000000 WHERE database_name = 'grove-domain-jobs'`)
		d := diagnose(t, e, "--embedded", "--config", file)
		d.finds("coverage", findingNote, "groveauth is paused")
		d.finds("coverage", findingStale, "newest backup of scout-db is 30h")
		d.finds("coverage", findingStale, "autumnsgrove-posts has backups, and none of them is proven", "patina verify")
		d.finds("scratch", findingFail, "TMPDIR", "free")
		for _, db := range sim.Databases() {
			if db.Name == "grove-engine-db" {
				if err := sim.Delete(db.ID); err != nil {
					t.Fatal(err)
				}
			}
		}
		diagnose(t, e, "--embedded", "--config", file).finds("coverage", findingNote, "no longer has grove-engine-db")
	})
	t.Run("channels", func(t *testing.T) { //nolint:paralleltest // one installation
		other := env{}
		for k, v := range e {
			other[k] = v
		}
		other["PATINA_SECRET"] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
		diagnose(t, other, "--embedded").finds("channels", findingFail, "does not open", "PATINA_SECRET")
		hook = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }
		diagnose(t, e, "--embedded", "--send").finds("channels", findingFail, "not taken", "418")
		exec(`UPDATE deliveries SET status = 'dead', ended_at = now(), error = 'gone', next_at = NULL`)
		diagnose(t, e, "--embedded").finds("channels", findingFail, "messages did not get through", "mark them as seen")
		receiver.Close()
		d := diagnose(t, e, "--embedded")
		d.finds("channels", findingFail, "refuses connections")
		d.finds("heartbeat", findingFail, "refuses connections")
		exec(`UPDATE alert_config SET enabled = false, disabled_reason = 'it said gone'`)
		d = diagnose(t, e, "--embedded")
		d.finds("channels", findingNote, "is disabled: it said gone")
		d.finds("channels", findingNote, "nobody is told")
		delete(e, "PATINA_HEARTBEAT_URL")
		diagnose(t, e, "--embedded").finds("heartbeat", findingNote, "Patina itself is dead")
	})
	if code := r.ended(); code != exitDone {
		t.Fatalf("exit code %d after a stop", code)
	}
	t.Run("schedules", func(t *testing.T) { //nolint:paralleltest // one installation
		exec(`INSERT INTO schedule_slots(schedule_id, slot, status, created_at, ended_at) VALUES('nightly', $1, 'missed', now(), now())`, time.Now().UTC().Add(-3*24*time.Hour))
		exec(`UPDATE schedules SET created_at = now() - interval '4 days' WHERE id IN ('nightly', 'summary')`)
		exec(`UPDATE schedules SET paused = true WHERE id = 'drill'`)
		exec(`INSERT INTO schedule_slots(schedule_id, slot, status, reason, created_at, ended_at) VALUES('scrub', now(), 'failed', 'the bucket was away', now(), now())`)
		exec(`INSERT INTO schedule_slots(schedule_id, slot, status, created_at, ended_at) VALUES('cleanup', now(), 'missed', now(), now())`)
		d := diagnose(t, e, "--embedded")
		d.finds("schedules", findingFail, "nightly was due at", "did not start", "tick")
		d.finds("schedules", findingFail, "summary was due at")
		d.finds("schedules", findingNote, "drill is paused")
		d.finds("schedules", findingNote, "the last run of scrub", "the bucket was away")
		d.finds("schedules", findingNote, "1 times of cleanup passed")
		d.finds("worker", findingFail, "no worker")
	})
	exec(`UPDATE audit_log SET actor = 'nobody' WHERE id = (SELECT min(id) FROM audit_log)`)
	diagnose(t, e, "--embedded").finds("audit log", findingFail)
	exec(`INSERT INTO river_migration(line, version) VALUES('main', 999)`)
	diagnose(t, e, "--embedded").finds("migrations", findingFail, "queue's tables are at version 999", "newer Patina")
	exec(`INSERT INTO goose_db_version(version_id, is_applied) VALUES(9999, true)`)
	diagnose(t, e, "--embedded").finds("migrations", findingFail, "version 9999", "newer Patina")
	has(t, patina(t, e, "list").want(t, exitError).err, "newer Patina", "changed nothing")
}

func TestDoctorSecrets(t *testing.T) {
	t.Parallel()
	e := env{"PATINA_DATA": t.TempDir(), "PATINA_SECRET": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "PATINA_BOOTSTRAP_TOKEN": "aaaaaaaaaaaaaaaaaaaaaaaa", "PATINA_METRICS_TOKEN": "passwordpassword"}
	d := diagnose(t, e)
	d.finds("secrets", findingFail, "PATINA_SECRET looks thought up", "PATINA_SECRET_PREVIOUS")
	d.finds("secrets", findingFail, "PATINA_BOOTSTRAP_TOKEN")
	d.finds("secrets", findingFail, "PATINA_METRICS_TOKEN")
	for _, missing := range []string{"DATABASE_URL", "CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_API_TOKEN", "PATINA_BUCKET"} {
		d.finds("configuration", findingFail, missing)
	}
}
