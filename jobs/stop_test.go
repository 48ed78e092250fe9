package jobs

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

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
