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

// gate holds exports until they are let through.
type gate struct {
	arrived chan string
	open    chan struct{}
	running atomic.Int32
	most    atomic.Int32
}

func newGate() *gate { return &gate{arrived: make(chan string, 100), open: make(chan struct{}, 100)} }

// wrap makes an exporter that waits at the gate first.
func (g *gate) wrap(exp exporter) exporter {
	return func(ctx context.Context, db backup.Database, req export.Request) (*backup.Manifest, error) {
		now := g.running.Add(1)
		defer g.running.Add(-1)
		for old := g.most.Load(); now > old && !g.most.CompareAndSwap(old, now); old = g.most.Load() {
		}
		g.arrived <- db.Name
		select {
		case <-g.open:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		return exp(ctx, db, req)
	}
}

func (b *bench) arrival(g *gate) string {
	b.t.Helper()
	select {
	case name := <-g.arrived:
		return name
	case <-time.After(40 * time.Second):
		b.dump()
		b.t.Fatal("no export began")
		return ""
	}
}

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
	key := "manual/" + job.Date.String() + "/" + job.CreatedAt.Format("150405Z") + "-" + job.ID[:8] + "/db-b.sql"
	if res.Status != backup.ResultSuccess || res.Key != key || res.Attempt != 1 || res.Size != 42 || res.Tables != 2 || res.Consistency != backup.Snapshot || res.CompletedAt == nil || res.CopyID == "" {
		t.Errorf("the result is %+v, want key %s", res, key)
	}
	b.settled()
}

func TestTwoRunnersOneSlot(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal, backup.Critical, backup.High, backup.Normal)
	clock := clockAt("2026-11-20T10:00:00Z")
	change := func(c *Config) {
		c.Nightly = "0 3 * * *"
		c.Clock = func() time.Time { return *clock.Load() }
	}
	one, two := b.start(b.runner(nil, change)), b.start(b.runner(nil, change))
	set(clock, "2026-11-23T03:00:00Z")
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			if err := []*Runner{one, two}[i%2].tick(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	slot, err := b.store.Slot(t.Context(), NightlySchedule, at("2026-11-23T03:00:00Z"))
	if err != nil {
		t.Fatal(err)
	}
	if job := b.ended(slot.JobID); job.Status != backup.JobCompleted || job.Totals.Succeeded != 4 {
		t.Errorf("the job is %+v", job)
	}
	b.wantLedger("11-21T03:00 missed", "11-22T03:00 missed", "11-23T03:00 done")
	if calls := b.out.order(); len(calls) != 4 {
		t.Errorf("exported %v", calls)
	}
	for name, res := range b.results(slot.JobID) {
		if res.Key != "daily/2026-11-23/"+name+".sql" {
			t.Errorf("%s went to %s", name, res.Key)
		}
	}
	b.settled()
}

func TestThreeAtOnce(t *testing.T) {
	b := newBench(t)
	b.register(make([]backup.Priority, 10)...)
	g := newGate()
	one, two := b.runner(g.wrap(b.out.export)), b.runner(g.wrap(b.out.export))
	b.start(one)
	b.start(two)
	got := b.request(one, backup.Request{Action: backup.ActionBackup, Actor: "ada"})
	for range 3 {
		b.arrival(g)
	}
	// Both processes have taken all that they may from the queue: six, three of which wait.
	b.until("six are taken", func() bool { return b.count("SELECT count(*) FROM river_job WHERE state = 'running'") == 6 })
	for range 10 {
		g.open <- struct{}{}
	}
	if job := b.ended(got.JobID); job.Status != backup.JobCompleted || job.Totals.Succeeded != 10 {
		t.Errorf("the job is %+v", job)
	}
	if most := g.most.Load(); most != 3 {
		t.Errorf("%d exports ran at once", most)
	}
	b.settled()
}

func TestPriorities(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal, backup.High, backup.Critical, backup.Normal, backup.Critical)
	r := b.runner(nil, func(c *Config) { c.Concurrency = 1 })
	got := b.request(r, backup.Request{Action: backup.ActionBackup, Actor: "ada"})
	b.start(r)
	b.ended(got.JobID)
	if order := b.out.order(); !slices.Equal(order, []string{"db-c", "db-e", "db-b", "db-a", "db-d"}) {
		t.Errorf("exported in the order %v", order)
	}
	if !slices.Equal(got.Databases, []string{"db-c", "db-e", "db-b", "db-a", "db-d"}) {
		t.Errorf("announced %v", got.Databases)
	}
}

// failing makes an exporter that fails for some databases.
func failing(exp exporter, errs map[string]error) exporter {
	return func(ctx context.Context, db backup.Database, req export.Request) (*backup.Manifest, error) {
		if err := errs[db.Name]; err != nil {
			return nil, err
		}
		return exp(ctx, db, req)
	}
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

// The cause of a failed attempt can be read while the next one is awaited.
func TestCauseVisibleMeanwhile(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal)
	r := b.runner(failing(nil, map[string]error{"db-a": backup.Errorf(backup.ErrUnavailable, "D1 answered 429")}),
		func(c *Config) { c.Backoff = func(int) time.Duration { return time.Hour } })
	b.start(r)
	got := b.request(r, backup.Request{Action: backup.ActionBackup, Actor: "ada"})
	b.until("the first attempt has failed", func() bool { return b.results(got.JobID)["db-a"].Error != "" })
	res := b.results(got.JobID)["db-a"]
	if res.Status != backup.ResultQueued || res.Error != "D1 answered 429" || res.Attempt != 1 {
		t.Errorf("meanwhile %+v", res)
	}
	b.request(r, backup.Request{Action: backup.ActionCancel, JobID: got.JobID, Actor: "ada"})
	if job := b.ended(got.JobID); job.Status != backup.JobCancelled {
		t.Errorf("%+v", job)
	}
	b.settled()
}

func TestPanicFails(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal)
	r := b.start(b.runner(func(context.Context, backup.Database, export.Request) (*backup.Manifest, error) {
		panic("secret value")
	}))
	got := b.request(r, backup.Request{Action: backup.ActionBackup, Actor: "ada"})
	job := b.ended(got.JobID)
	res := b.results(got.JobID)["db-a"]
	if job.Status != backup.JobFailed || res.Attempt != 3 || strings.Contains(res.Error, "secret") || res.Error == "" {
		t.Errorf("%+v, %+v", job, res)
	}
	if n := b.count("SELECT count(*) FROM river_job WHERE errors::text LIKE '%secret%'"); n != 0 {
		t.Error("the panic's value reached the queue")
	}
	b.settled()
}

func TestProgress(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal)
	g := newGate()
	r := b.start(b.runner(func(ctx context.Context, db backup.Database, req export.Request) (*backup.Manifest, error) {
		req.Progress(backup.Progress{Table: "users", Rows: 12, Bytes: 345})
		return g.wrap(b.out.export)(ctx, db, req)
	}))
	got := b.request(r, backup.Request{Action: backup.ActionBackup, Actor: "ada"})
	b.until("progress is recorded", func() bool {
		p := b.results(got.JobID)["db-a"].Progress
		return p.Table == "users" && p.Rows == 12 && p.Bytes == 345 && !p.At.IsZero()
	})
	g.open <- struct{}{}
	b.ended(got.JobID)
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

// A nightly run waits for the manual backup of the same database instead of
// failing, and no attempt is spent.
func TestNightlyWaitsForManual(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal)
	g := newGate()
	clock := clockAt("2026-11-20T10:00:00Z")
	r := b.start(b.runner(g.wrap(b.out.export), func(c *Config) {
		c.Nightly = "0 3 * * *"
		c.Clock = func() time.Time { return *clock.Load() }
	}))
	manual := b.request(r, backup.Request{Action: backup.ActionBackup, Actor: "ada"})
	b.arrival(g)
	id, _, err := r.StartSlot(t.Context(), NightlySchedule, at("2026-11-20T03:00:00Z"))
	if err != nil {
		t.Fatal(err)
	}
	b.until("the nightly export was snoozed", func() bool {
		return b.count("SELECT count(*) FROM river_job WHERE (metadata->>'snoozes')::int >= 2") == 1
	})
	if got := g.most.Load(); got != 1 {
		t.Errorf("%d exports of one database at once", got)
	}
	g.open <- struct{}{}
	g.open <- struct{}{}
	if job := b.ended(manual.JobID); job.Status != backup.JobCompleted {
		t.Errorf("%+v", job)
	}
	if job := b.ended(id); job.Status != backup.JobCompleted {
		t.Errorf("%+v", job)
	}
	if res := b.results(id)["db-a"]; res.Attempt != 1 {
		t.Errorf("%+v", res)
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

func TestDiscardedAndGoneAreFinalised(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal, backup.Normal, backup.Normal)
	r := b.runner(nil) // not started: nothing will run them
	got := b.request(r, backup.Request{Action: backup.ActionBackup, Actor: "ada"})
	res := b.results(got.JobID)
	b.exec("UPDATE river_job SET state = 'discarded', finalized_at = now() WHERE id = $1", res["db-a"].RiverJobID)
	b.exec("DELETE FROM river_job WHERE id = $1", res["db-b"].RiverJobID)
	if err := r.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := b.results(got.JobID)
	if now["db-a"].Status != backup.ResultFailed || now["db-b"].Status != backup.ResultFailed || now["db-c"].Status != backup.ResultQueued || now["db-a"].Error == "" {
		t.Fatalf("%+v", now)
	}
	if job := b.job(got.JobID); job.Status.Ended() {
		t.Fatalf("%+v", job)
	}
	b.exec("UPDATE river_job SET state = 'cancelled', finalized_at = now() WHERE id = $1", res["db-c"].RiverJobID)
	if err := r.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if job := b.job(got.JobID); job.Status != backup.JobFailed || job.Totals.Failed != 3 {
		t.Fatalf("%+v", job)
	}
	b.settled()
}

// A stop that does not wait cuts the export, and its attempt is not spent.
func TestGracefulStop(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal)
	g := newGate()
	one := b.runner(g.wrap(b.out.export), func(c *Config) { c.SoftStopTimeout = 20 * time.Millisecond })
	if err := one.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := b.request(one, backup.Request{Action: backup.ActionBackup, Actor: "ada"})
	b.arrival(g)
	if err := one.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	res := b.results(got.JobID)["db-a"]
	if res.Status != backup.ResultQueued || res.Error != "" {
		t.Errorf("after the stop %+v", res)
	}
	if n := b.count("SELECT count(*) FROM river_job WHERE state = 'available' AND attempt = 0"); n != 1 {
		t.Error("the attempt was spent")
		b.dump()
	}
	if n := b.count("SELECT count(*) FROM processes"); n != 0 {
		t.Errorf("%d leases are left", n)
	}
	b.start(b.runner(nil))
	if job := b.ended(got.JobID); job.Status != backup.JobCompleted {
		t.Errorf("%+v", job)
	}
	if res := b.results(got.JobID)["db-a"]; res.Attempt != 1 {
		t.Errorf("%+v", res)
	}
	b.settled()
}

// A stop that can wait lets the export end.
func TestGracefulStopWaits(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal)
	g := newGate()
	r := b.runner(g.wrap(b.out.export))
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := b.request(r, backup.Request{Action: backup.ActionBackup, Actor: "ada"})
	b.arrival(g)
	stopped := make(chan error, 1)
	go func() { stopped <- r.Stop(t.Context()) }()
	g.open <- struct{}{}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if res := b.results(got.JobID)["db-a"]; res.Status != backup.ResultSuccess {
		t.Errorf("%+v", res)
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

// What waits for a slot when the process stops goes back at once; what runs
// may end.
func TestStopDoesNotBegin(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal, backup.Normal)
	g := newGate()
	first := b.runner(g.wrap(b.out.export), func(c *Config) { c.Concurrency = 1 })
	b.start(first)
	got := b.request(first, backup.Request{Action: backup.ActionBackup, Actor: "ada"})
	b.arrival(g)
	second := b.runner(nil, func(c *Config) { c.Concurrency = 1 })
	if err := second.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.until("the second waits for a slot", func() bool { return b.count("SELECT count(*) FROM river_job WHERE state = 'running'") == 2 })
	if err := second.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := b.count("SELECT count(*) FROM river_job WHERE state = 'available' AND attempt = 0"); n != 1 {
		t.Errorf("%d exports are back in the queue", n)
	}
	g.open <- struct{}{}
	g.open <- struct{}{}
	if job := b.ended(got.JobID); job.Status != backup.JobCompleted || job.Totals.Succeeded != 2 {
		t.Errorf("%+v", job)
	}
	b.settled()
}

// Two jobs that answer for one slot: one copy and one success a database.
func TestSlotStoredOnce(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal, backup.Normal)
	one := b.slotJob()
	b.exec("DELETE FROM schedule_slots")
	two := b.slotJob()
	b.start(b.runner(nil))
	b.start(b.runner(nil))
	sum := backup.Totals{}
	for _, id := range []string{one, two} {
		job := b.ended(id)
		sum.Succeeded += job.Totals.Succeeded
		sum.Skipped += job.Totals.Skipped
		if job.Status != backup.JobCompleted {
			t.Errorf("%+v", job)
		}
	}
	if sum.Succeeded != 2 || sum.Skipped != 2 || b.count("SELECT count(*) FROM backup_inventory") != 2 {
		t.Errorf("%+v", sum)
	}
	b.settled()
}

// Connections that Postgres cuts at the worst moments cost no attempt.
func TestConnectionsCut(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal, backup.Normal)
	var cut atomic.Int32
	r := b.start(b.runner(nil, func(c *Config) {
		c.Hook = func(step string) {
			if step == "before:commit" || step == "before:finish" {
				cut.Add(int32(b.count("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'runner'")))
			}
		}
	}))
	got := b.request(r, backup.Request{Action: backup.ActionBackup, Actor: "ada"})
	job := b.ended(got.JobID)
	if job.Status != backup.JobCompleted || job.Totals.Succeeded != 2 || cut.Load() < 3 {
		t.Errorf("%+v after %d cuts", job, cut.Load())
	}
	for name, res := range b.results(got.JobID) {
		if res.Attempt != 1 {
			t.Errorf("%s: %+v", name, res)
		}
	}
	b.settled()
}

// A River job that this process took long ago and does not have in hand: its
// end was never recorded.
func TestNotInHand(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal, backup.Normal)
	r := b.runner(nil)
	got := b.request(r, backup.Request{Action: backup.ActionBackup, Actor: "ada"})
	if err := r.beat(t.Context()); err != nil {
		t.Fatal(err)
	}
	res := b.results(got.JobID)
	b.exec("UPDATE river_job SET state = 'running', attempt = 1, attempted_by = ARRAY[$1], attempted_at = now() - interval '1 hour'", r.process.ID)
	r.hand.set(res["db-a"].RiverJobID, time.Time{})
	if err := r.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := b.results(got.JobID)
	if now["db-a"].RiverJobID != res["db-a"].RiverJobID || now["db-b"].RiverJobID == res["db-b"].RiverJobID {
		t.Errorf("before %+v, after %+v", res, now)
	}
	if n := b.count("SELECT count(*) FROM river_job WHERE id = $1 AND state = 'available' AND attempt = 0", now["db-b"].RiverJobID); n != 1 {
		t.Error("the one not in hand is not in the queue")
	}
}

// Results that end in the same moment: one of them is the last, and puts the
// job's end into the queue without anybody looking for it.
func TestLastResultFinishes(t *testing.T) {
	b := newBench(t)
	b.register(make([]backup.Priority, 8)...)
	var arrived sync.WaitGroup
	arrived.Add(8)
	r := b.start(b.runner(nil, func(c *Config) {
		c.Concurrency = 8
		c.Timing.Sweep = time.Hour
		c.Hook = func(step string) {
			if step == "before:commit" {
				arrived.Done()
				arrived.Wait()
			}
		}
	}))
	got := b.request(r, backup.Request{Action: backup.ActionBackup, Actor: "ada"})
	if job := b.ended(got.JobID); job.Status != backup.JobCompleted || job.Totals.Succeeded != 8 {
		t.Errorf("%+v", job)
	}
	b.settled()
}
