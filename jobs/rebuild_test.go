package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/catalogue"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/object/objecttest"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

// nights is an account whose clock a test moves from night to night.
type nights struct {
	*account
	clock atomic.Int64 // Unix microseconds
}

func (n *nights) now() time.Time { return time.UnixMicro(n.clock.Load()).UTC() }

func (n *nights) set(at time.Time) { n.clock.Store(at.UnixMicro()) }

func (n *nights) with(c *Config) { c.Clock, c.Nightly, c.Version = n.now, "0 3 * * *", "test" }

func newNights(t *testing.T, change ...func(*Config)) *nights {
	n := &nights{}
	n.set(at("2026-11-20T02:50:00Z"))
	n.account = newAccount(t, append(change, n.with)...)
	return n
}

// night lets the next night come, and waits until its job, its proofs and its
// settings are done.
func (n *nights) night(date string) backup.Job {
	n.t.Helper()
	n.set(at(date + "T03:00:07Z"))
	var job backup.Job
	n.until("the night's job has ended", func() bool {
		jobs, _, err := n.store.Jobs(n.t.Context(), store.JobFilter{Trigger: backup.TriggerNightly, Limit: 1})
		if err != nil || len(jobs) == 0 || jobs[0].Date.String() != date || !jobs[0].Status.Ended() {
			return false
		}
		job = jobs[0]
		return true
	})
	n.until("the night's settings are written", func() bool {
		_, err := n.bucket.Stat(n.t.Context(), "meta/"+date+".json")
		return err == nil && n.count("SELECT count(*) FROM river_job WHERE state IN ('available', 'running', 'scheduled', 'retryable')") == 0
	})
	return job
}

// again gives a Runner over an empty Postgres and the same bucket.
func (n *nights) again() *Runner {
	n.t.Helper()
	n.url = storetest.NewURL(n.t, Migrate)
	s, err := store.Open(n.t.Context(), n.url)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(s.Close)
	n.store = s
	return n.bench.runner(nil, n.over, n.with)
}

func (n *nights) look() (*catalogue.Found, *store.Meta) {
	n.t.Helper()
	f, err := catalogue.Scan(n.t.Context(), n.bucket, catalogue.Options{})
	if err != nil {
		n.t.Fatal(err)
	}
	m, _, unread, err := LoadMeta(n.t.Context(), n.bucket, f.Meta, n.now())
	if err != nil || len(unread) > 0 {
		n.t.Fatal(unread, err)
	}
	return f, m
}

// rows gives the answer of a query as text, a line a row.
func rows(t *testing.T, s *store.Store, query string) string {
	t.Helper()
	r, err := s.Pool().Query(t.Context(), "SELECT to_jsonb(x)::text FROM ("+query+") x")
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(r, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, "\n")
}

// what a rebuild gives back to the letter.
var toTheLetter = []string{
	"SELECT * FROM backup_inventory ORDER BY key",
	"SELECT * FROM databases ORDER BY id",
	"SELECT * FROM users ORDER BY id",
	"SELECT * FROM api_tokens ORDER BY id",
	"SELECT * FROM alert_config ORDER BY id",
	"SELECT id, kind, spec, paused FROM schedules ORDER BY id",
	"SELECT key, value FROM settings WHERE key <> 'retention_frozen' ORDER BY key",
	"SELECT id, kind, trigger, status, schedule_id, slot, date, databases_total, databases_succeeded, size_bytes, row_count FROM backup_jobs ORDER BY id",
	`SELECT id, job_id, database_id, database_name, status, schedule_id, slot, date, copy_id, key, size_bytes, table_count, row_count, consistency, findings,
		requests, retries, rows_read, bytes_received FROM backup_results ORDER BY id`,
	"SELECT schedule_id, slot, status, job_id FROM schedule_slots WHERE schedule_id = 'nightly' ORDER BY slot",
}

// Postgres is lost; the bucket gives it back, and the nights go on.
func TestRebuild(t *testing.T) {
	n := newNights(t)
	ctx := t.Context()
	for _, date := range []string{"2026-11-20", "2026-11-21", "2026-11-22"} {
		if job := n.night(date); job.Status != backup.JobCompleted {
			t.Fatalf("%s: %+v", date, job)
		}
	}
	n.set(at("2026-11-22T14:00:00Z"))
	n.backUp()
	n.until("all is proven", func() bool {
		return n.count("SELECT count(*) FROM backup_inventory WHERE proof = 'proven'") == 12
	})
	first, err := n.store.CopyByKey(ctx, "daily/2026-11-20/fine.sql")
	must(t, err)
	bad, err := n.store.CopyByKey(ctx, "daily/2026-11-20/spoilt.sql")
	must(t, err)
	must(t, n.store.SetPinned(ctx, first.ID, true))
	must(t, n.store.AddFindings(ctx, first.ID, []backup.Finding{{Code: "order", Object: "a", Message: "found by the proof"}}))
	must(t, n.store.Quarantine(ctx, bad.ID, n.now(), "a bit flipped"))
	paused := true
	_, err = n.store.ChangeDatabase(ctx, n.ids["whole"], store.DatabaseChange{Paused: &paused})
	must(t, err)
	_, err = n.store.InsertUser(ctx, store.User{Name: "ada", PasswordHash: "$argon2id$hash", Role: store.Admin, Downloader: true, CreatedAt: n.now()})
	must(t, err)
	_, err = n.store.InsertToken(ctx, store.Token{Name: "ci", SHA256: bytes.Repeat([]byte{3}, 32), Hint: "x", Role: store.Viewer, CreatedBy: "ada", CreatedAt: n.now()})
	must(t, err)
	_, err = n.store.InsertAlertConfig(ctx, store.AlertConfig{Kind: "webhook", Name: "ops", URLSealed: []byte{0, 9, 8}, CreatedAt: n.now()})
	must(t, err)
	must(t, n.store.SetSetting(ctx, "keep", 7))
	key, err := n.runner.SaveMeta(ctx)
	must(t, err)
	if key != "meta/2026-11-22.json" {
		t.Error(key)
	}
	must(t, n.runner.Stop(ctx))
	before := n.store

	// The disaster.
	r := n.again()
	n.set(at("2026-11-22T20:00:00Z"))
	found, meta := n.look()
	out, err := r.Rebuild(ctx, found, meta, "ada")
	must(t, err)
	if out.Unchanged || out.Copies != 12 || out.Proven != 11 || out.Queued != 0 || out.Jobs != 4 || out.Databases != 0 || out.Mended != 0 {
		t.Errorf("%+v", out)
	}
	for _, query := range toTheLetter {
		if a, b := rows(t, before, query), rows(t, n.store, query); a != b || a == "" {
			t.Errorf("%.60s:\n%s\nis now\n%s", query, a, b)
		}
	}
	if reason, frozen, err := n.store.RetentionFrozen(ctx); err != nil || !frozen || !strings.Contains(reason, "2026-11-22") || !strings.Contains(reason, "ada") {
		t.Errorf("retention is frozen: %v %q, %v", frozen, reason, err)
	}
	log, _, err := n.store.Audit(ctx, store.AuditFilter{})
	must(t, err)
	if len(log) != 1 || log[0].Action != store.RebuildAction || log[0].Actor != "ada" {
		t.Errorf("%+v", log)
	}

	// Once more: nothing happens.
	out, err = r.Rebuild(ctx, found, meta, "ada")
	must(t, err)
	if log, _, _ := n.store.Audit(ctx, store.AuditFilter{}); !out.Unchanged || len(log) != 1 {
		t.Errorf("%+v, %d lines in the audit log", out, len(log))
	}

	// The nights go on: what ran is not run again, what is due runs.
	n.start(r)
	n.runner = r
	job := n.night("2026-11-23")
	if job.Status != backup.JobCompleted || job.Totals.Databases != 2 {
		t.Errorf("%+v", job)
	}
	if got := n.count("SELECT count(*) FROM schedule_slots WHERE schedule_id = 'nightly' AND status <> 'done'"); got != 0 {
		t.Errorf("%d slots of the nightly are not done:\n%s", got, rows(t, n.store, "SELECT * FROM schedule_slots"))
	}
	if got := n.count("SELECT count(*) FROM backup_jobs WHERE trigger = 'nightly'"); got != 4 {
		t.Errorf("%d nightly jobs", got)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// With nothing but the dumps: no manifest, no settings.
func TestRebuildFromDumpsAlone(t *testing.T) {
	n := newNights(t)
	ctx := t.Context()
	n.night("2026-11-20")
	n.night("2026-11-21")
	must(t, n.runner.Stop(ctx))
	before := n.store
	for _, key := range objecttest.Keys(t, n.bucket, "") {
		if strings.HasSuffix(key, ".json") {
			must(t, n.bucket.Delete(ctx, key))
		}
	}
	r := n.again()
	n.set(at("2026-11-22T01:00:00Z"))
	found, meta := n.look()
	if meta != nil {
		t.Fatalf("settings were found: %+v", meta)
	}
	out, err := r.Rebuild(ctx, found, meta, "ada")
	must(t, err)
	if out.Copies != 6 || out.Queued != 6 || out.Databases != 3 || out.Mended != 6 || out.Jobs != 2 {
		t.Errorf("%+v", out)
	}
	for _, query := range []string{
		`SELECT database_id, database_name, kind, date, key, size_bytes, sha256, body_sha256, table_count, row_count, consistency, bookmark_before, bookmark_after, job_id
			FROM backup_inventory ORDER BY key`,
		"SELECT id, name FROM databases ORDER BY id",
		"SELECT id, kind, trigger, status, slot, date, size_bytes, row_count FROM backup_jobs ORDER BY id",
		"SELECT job_id, database_id, status, slot, key, size_bytes FROM backup_results ORDER BY key",
		"SELECT slot, status, job_id FROM schedule_slots WHERE schedule_id = 'nightly' ORDER BY slot",
	} {
		if a, b := rows(t, before, query), rows(t, n.store, query); a != b || a == "" {
			t.Errorf("%.60s:\n%s\nis now\n%s", query, a, b)
		}
	}
	n.start(r)
	n.until("all is proven anew", func() bool {
		return n.count("SELECT count(*) FROM backup_inventory WHERE proof = 'proven'") == 6
	})
	again, _ := n.look()
	if len(again.Damaged) > 0 || slices.ContainsFunc(again.Copies, func(c catalogue.Copy) bool { return c.Made }) {
		t.Errorf("after mending: %+v", again.Damaged)
	}
	if job := n.night("2026-11-22"); job.Status != backup.JobCompleted || job.Totals.Succeeded != 3 {
		t.Errorf("%+v", job)
	}
}

// A catalogue that holds something else is left alone, and a damaged copy is
// entered as what it is.
func TestRebuildIsRefusedAndDamageIsEntered(t *testing.T) {
	n := newNights(t)
	ctx := t.Context()
	n.night("2026-11-20")
	must(t, n.runner.Stop(ctx))
	found, meta := n.look()
	for change, after := range map[string]func(f *catalogue.Found){
		"a copy is missing": func(f *catalogue.Found) { f.Copies = f.Copies[1:] },
		"a copy is another": func(f *catalogue.Found) { f.Copies[0].Manifest.SHA256 = strings.Repeat("0", 64) },
		"a copy is new":     func(f *catalogue.Found) { f.Copies[0].Manifest.Key = "daily/2026-11-19/fine.sql" },
	} {
		other, _ := n.look()
		after(other)
		if out, err := n.runner.Rebuild(ctx, other, meta, "ada"); !errors.Is(err, backup.ErrConflict) || backup.Next(err) == "" {
			t.Errorf("%s: %+v, %v", change, out, err)
		}
	}
	if out, err := n.runner.Rebuild(ctx, found, meta, "ada"); err != nil || !out.Unchanged {
		t.Errorf("%+v, %v", out, err)
	}
	if _, frozen, err := n.store.RetentionFrozen(ctx); frozen || err != nil {
		t.Errorf("retention was frozen by a rebuild that did nothing: %v", err)
	}

	body := objecttest.Get(t, n.bucket, "daily/2026-11-20/fine.sql", 0, -1)
	must(t, n.bucket.Replace(ctx, "daily/2026-11-20/fine.sql", body[:len(body)-10], "application/sql"))
	r := n.again()
	found, meta = n.look()
	out, err := r.Rebuild(ctx, found, meta, "ada")
	must(t, err)
	c, err := n.store.CopyByKey(ctx, "daily/2026-11-20/fine.sql")
	must(t, err)
	if out.Copies != 2 || out.Quarantined != 1 || c.QuarantinedAt == nil || c.Proof != backup.ProofSuspect || !strings.Contains(c.ProofError, "not a whole dump") {
		t.Errorf("%+v\n%+v", out, c)
	}
	if out, err := r.Rebuild(ctx, found, meta, "ada"); err != nil || !out.Unchanged {
		t.Errorf("%+v, %v", out, err)
	}
}

// The newest settings that can be read are taken; those of a clock gone wrong
// come last; old ones go, and nothing else does.
func TestMetaFiles(t *testing.T) {
	n := newNights(t)
	ctx := t.Context()
	for i := range 100 {
		n.set(at("2026-06-01T12:00:00Z").AddDate(0, 0, i))
		_, err := n.runner.SaveMeta(ctx)
		must(t, err)
	}
	must(t, n.bucket.Replace(ctx, "meta/notes.json", []byte("mine"), "text/plain"))
	must(t, n.bucket.Replace(ctx, "meta/2026-06-01.json.bak", []byte("mine"), "text/plain"))
	_, err := n.runner.SaveMeta(ctx)
	must(t, err)
	keys := objecttest.Keys(t, n.bucket, "meta/")
	if len(keys) != 92 || !slices.Contains(keys, "meta/notes.json") || slices.Contains(keys, "meta/2026-06-10.json") || !slices.Contains(keys, "meta/2026-06-11.json") {
		t.Errorf("%d: %v", len(keys), keys)
	}
	date := func(s string) backup.Date {
		d, err := backup.ParseDate(s)
		must(t, err)
		return d
	}
	must(t, n.bucket.Replace(ctx, "meta/2099-01-01.json", objecttest.Get(t, n.bucket, "meta/2026-07-01.json", 0, -1), "application/json"))
	must(t, n.bucket.Replace(ctx, "meta/2026-09-08.json", []byte("{"), "application/json"))
	dates := []backup.Date{date("2099-01-01"), date("2026-09-08"), date("2026-09-07"), date("2026-09-06")}
	m, key, unread, err := LoadMeta(ctx, n.bucket, dates, n.now())
	if err != nil || key != "meta/2026-09-07.json" || len(unread) != 1 || unread[0].Key != "meta/2026-09-08.json" || backup.DateOf(m.WrittenAt) != dates[2] {
		t.Errorf("%s, %+v, %v", key, unread, err)
	}
	if m, key, _, err := LoadMeta(ctx, n.bucket, dates[:2], n.now()); err != nil || key != "meta/2099-01-01.json" || m == nil {
		t.Errorf("%s, %v", key, err)
	}
	if m, key, _, err := LoadMeta(ctx, n.bucket, nil, n.now()); err != nil || key != "" || m != nil {
		t.Errorf("%s, %v", key, err)
	}
	if _, _, _, err := LoadMeta(ctx, away{n.bucket}, dates, n.now()); !errors.Is(err, backup.ErrUnavailable) {
		t.Errorf("a bucket that is away: %v", err)
	}
}

// away is a bucket that gives nothing.
type away struct{ object.Bucket }

func (away) Open(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return nil, fmt.Errorf("read: %w", backup.ErrUnavailable)
}
