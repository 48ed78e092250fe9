package jobs

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/export"
)

func TestManualBackup(t *testing.T) {
	b := newBench(t)
	b.register(backup.Critical, backup.Normal)
	g := newGate()
	r := b.runner(g.wrap(b.out.export))
	web := b.runner(nil) // another process, that only takes requests
	got := b.request(web, backup.Request{Action: backup.ActionBackup, Trigger: backup.TriggerAPI, Actor: "token ci", Databases: []string{"db-b", "db-b"}})
	if got.JobID == "" || got.Status != backup.JobQueued || !slices.Equal(got.Databases, []string{"db-b"}) || got.Skipped != nil || got.Repeated {
		t.Fatalf("started %+v", got)
	}
	b.start(r)
	b.arrival(g)
	job := b.job(got.JobID)
	if job.Status != backup.JobRunning || job.StartedAt == nil || len(job.Transitions) != 2 {
		t.Errorf("the running job is %+v", job)
	}
	g.open <- struct{}{}
	job = b.ended(got.JobID)
	if job.Status != backup.JobCompleted || job.Trigger != backup.TriggerAPI || job.RequestedBy != "token ci" ||
		job.Totals != (backup.Totals{Databases: 1, Succeeded: 1, Bytes: 42, Rows: 7}) || job.CompletedAt == nil || len(job.Transitions) != 3 || job.Error != "" {
		t.Errorf("the job is %+v", job)
	}
	res := b.results(job.ID)["db-b"]
	key := "manual/" + job.Date.String() + "/" + job.CreatedAt.Format("150405Z") + "-" + job.ID[28:] + "/db-b.sql"
	if res.Status != backup.ResultSuccess || res.Key != key || res.Attempt != 1 || res.Size != 42 || res.Tables != 2 || res.Consistency != backup.Snapshot || res.CompletedAt == nil || res.CopyID == "" {
		t.Errorf("the result is %+v, want key %s", res, key)
	}
	b.settled()
}

func TestPartialThenRetry(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal, backup.Normal, backup.Normal)
	clock := clockAt("2026-11-20T10:00:00Z")
	change := func(c *Config) {
		c.Nightly = "0 3 * * *"
		c.Clock = func() time.Time { return *clock.Load() }
	}
	var broken atomic.Bool
	broken.Store(true)
	var tries atomic.Int32
	r := b.runner(func(ctx context.Context, db backup.Database, req export.Request) (*backup.Manifest, error) {
		switch {
		case broken.Load() && db.Name == "db-a":
			return nil, &backup.Error{Kind: backup.ErrDenied, Message: "the token may not read db-a", Next: "Give it D1 Read."}
		case broken.Load() && db.Name == "db-b":
			tries.Add(1)
			return nil, backup.Errorf(backup.ErrUnavailable, "D1 answered 503")
		}
		return b.out.export(ctx, db, req)
	}, change)
	b.start(r)
	set(clock, "2026-11-21T03:00:00Z")
	b.tick(r)
	slot, err := b.store.Slot(t.Context(), NightlySchedule, at("2026-11-21T03:00:00Z"))
	if err != nil {
		t.Fatal(err)
	}
	job := b.ended(slot.JobID)
	if job.Status != backup.JobPartial || job.Totals.Succeeded != 1 || job.Totals.Failed != 2 || !strings.Contains(job.Error, "2 of 3 databases failed: db-a, db-b") {
		t.Errorf("the job is %+v", job)
	}
	res := b.results(job.ID)
	if a := res["db-a"]; a.Status != backup.ResultFailed || a.Attempt != 1 || a.Error != "the token may not read db-a" || a.Next != "Give it D1 Read." {
		t.Errorf("db-a: %+v", a)
	}
	if bb := res["db-b"]; bb.Status != backup.ResultFailed || bb.Attempt != 3 || tries.Load() != 3 || bb.Error != "D1 answered 503" || bb.Next == "" {
		t.Errorf("db-b after %d tries: %+v", tries.Load(), bb)
	}
	b.wantLedger("11-21T03:00 failed")

	broken.Store(false)
	set(clock, "2026-11-22T01:00:00Z") // the next date: the retry files under the slot's
	retry := b.request(r, backup.Request{Action: backup.ActionRetry, JobID: job.ID, Actor: "ada"})
	if !slices.Equal(retry.Databases, []string{"db-a", "db-b"}) {
		t.Errorf("the retry is %+v", retry)
	}
	again := b.ended(retry.JobID)
	if again.Status != backup.JobCompleted || again.RetryOf != job.ID || again.Date != job.Date {
		t.Errorf("the retry is %+v", again)
	}
	for name, res := range b.results(again.ID) {
		if res.Key != "daily/2026-11-21/"+name+".sql" {
			t.Errorf("%s went to %s", name, res.Key)
		}
	}
	b.wantLedger("11-21T03:00 done")
	if _, err := r.Request(t.Context(), backup.Request{Action: backup.ActionRetry, JobID: job.ID, Actor: "ada"}); !errors.Is(err, backup.ErrConflict) {
		t.Errorf("a retry with nothing left: %v", err)
	}
	b.settled()
}

func TestCancelReachesAnotherRunner(t *testing.T) {
	b := newBench(t)
	b.register(backup.Critical, backup.Normal, backup.Normal)
	g := newGate()
	b.start(b.runner(g.wrap(b.out.export), func(c *Config) { c.Concurrency = 1 }))
	web := b.runner(nil)
	got := b.request(web, backup.Request{Action: backup.ActionBackup, Actor: "ada"})
	b.arrival(g)
	cancel := b.request(web, backup.Request{Action: backup.ActionCancel, JobID: got.JobID, Actor: "grace"})
	if len(cancel.Databases) != 3 {
		t.Errorf("cancel answers %+v", cancel)
	}
	job := b.ended(got.JobID)
	if job.Status != backup.JobCancelled || job.Error != "cancelled by grace" || job.CancelRequestedBy != "grace" || job.Totals.Failed != 1 || job.Totals.Skipped != 2 {
		t.Errorf("the job is %+v", job)
	}
	for name, want := range map[string]backup.ResultStatus{"db-a": backup.ResultFailed, "db-b": backup.ResultSkipped, "db-c": backup.ResultSkipped} {
		if res := b.results(job.ID)[name]; res.Status != want || res.Error != "cancelled by grace" {
			t.Errorf("%s: %+v", name, res)
		}
	}
	if _, err := web.Request(t.Context(), backup.Request{Action: backup.ActionCancel, JobID: got.JobID, Actor: "grace"}); !errors.Is(err, backup.ErrConflict) {
		t.Errorf("cancelling what has ended: %v", err)
	}
	b.settled()

	// What a cancelled job did not come to can be retried.
	retry := b.request(web, backup.Request{Action: backup.ActionRetry, JobID: got.JobID, Actor: "ada"})
	for range 3 {
		g.open <- struct{}{}
	}
	if job := b.ended(retry.JobID); job.Status != backup.JobCompleted || job.Totals.Succeeded != 3 {
		t.Errorf("the retry is %+v", job)
	}
}

func TestBusy(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal, backup.Normal, backup.Normal)
	g := newGate()
	r := b.start(b.runner(g.wrap(b.out.export)))
	first := b.request(r, backup.Request{Action: backup.ActionBackup, Actor: "ada", Databases: []string{"db-a"}})
	b.arrival(g)
	_, err := r.Request(t.Context(), backup.Request{Action: backup.ActionBackup, Actor: "ada", Databases: []string{"db-a"}})
	var busy *backup.BusyError
	if !errors.As(err, &busy) || !errors.Is(err, backup.ErrConflict) || busy.JobID != first.JobID || busy.Name != "db-a" {
		t.Errorf("one that is busy: %v", err)
	}
	second := b.request(r, backup.Request{Action: backup.ActionBackup, Actor: "ada"})
	if !slices.Equal(second.Databases, []string{"db-b", "db-c"}) || len(second.Skipped) != 1 || second.Skipped[0] != (backup.Skipped{Name: "db-a", JobID: first.JobID}) {
		t.Errorf("all, one busy: %+v", second)
	}
	busy = nil
	_, err = r.Request(t.Context(), backup.Request{Action: backup.ActionBackup, Actor: "ada", Databases: []string{"db-a", "db-b"}})
	if !errors.As(err, &busy) || !errors.Is(err, backup.ErrConflict) || busy.JobID != first.JobID {
		t.Errorf("several, all busy: %v", err)
	}
	if _, err := r.Request(t.Context(), backup.Request{Action: backup.ActionBackup, Actor: "ada", Databases: []string{"db-a", "nope"}}); !errors.Is(err, backup.ErrNotFound) || !strings.Contains(err.Error(), `"nope"`) {
		t.Errorf("an unknown name: %v", err)
	}
	if _, err := r.Request(t.Context(), backup.Request{Action: backup.ActionCancel, JobID: "nope"}); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("an unknown job: %v", err)
	}
	if n := b.count("SELECT count(*) FROM backup_jobs"); n != 2 {
		t.Errorf("%d jobs were made", n)
	}
	for range 3 {
		g.open <- struct{}{}
	}
	b.ended(first.JobID)
	job := b.ended(second.JobID)
	if job.Status != backup.JobCompleted || job.Totals.Succeeded != 2 || job.Totals.Skipped != 1 {
		t.Errorf("%+v", job)
	}
	b.settled()
}

func TestIdempotency(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal, backup.Normal)
	r := b.runner(nil)
	req := backup.Request{Action: backup.ActionBackup, Actor: "token ci", IdempotencyKey: "k1", BodySHA256: "b1"}
	var mu sync.Mutex
	ids := map[string]int{}
	fresh := 0
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			got, err := r.Request(t.Context(), req)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ids[got.JobID]++
			if !got.Repeated {
				fresh++
			}
		})
	}
	wg.Wait()
	if len(ids) != 1 || fresh != 1 || b.count("SELECT count(*) FROM backup_jobs") != 1 || b.count("SELECT count(*) FROM river_job") != 2 {
		t.Errorf("50 at once gave %v, %d of them new", ids, fresh)
	}
	other := req
	other.BodySHA256 = "b2"
	if _, err := r.Request(t.Context(), other); !errors.Is(err, backup.ErrInvalid) {
		t.Errorf("the same key with another body: %v", err)
	}
	other = req
	other.Actor = "token cd"
	if _, err := r.Request(t.Context(), other); !errors.Is(err, backup.ErrConflict) {
		t.Errorf("another actor's same key is another request, and all is busy: %v", err)
	}
}

// A name used on that date by another database is told apart.
func TestKeyTaken(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal)
	clock := clockAt("2026-11-20T10:00:00Z")
	r := b.start(b.runner(nil, func(c *Config) {
		c.Nightly = "0 3 * * *"
		c.Clock = func() time.Time { return *clock.Load() }
	}))
	id, _, err := r.StartSlot(t.Context(), NightlySchedule, at("2026-11-20T03:00:00Z"))
	if err != nil {
		t.Fatal(err)
	}
	b.ended(id)
	// The database is deleted and made again: the same name, another UUID.
	if _, err := r.found(t.Context(), backup.Database{ID: uuidOf(99), Name: "db-a"}); err != nil {
		t.Fatal(err)
	}
	b.exec("DELETE FROM schedule_slots")
	id, started, err := r.StartSlot(t.Context(), NightlySchedule, at("2026-11-20T03:00:00Z"))
	if err != nil || !started {
		t.Fatal(started, err)
	}
	b.ended(id)
	if res := b.results(id)["db-a"]; res.Key != "daily/2026-11-20/db-a~"+uuidOf(99)[:8]+".sql" || res.DatabaseID != uuidOf(99) {
		t.Errorf("%+v", res)
	}
	b.settled()
}
