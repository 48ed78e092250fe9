package jobs

import (
	"context"
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
