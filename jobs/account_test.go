package jobs

import (
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/prove"
	"github.com/AutumnsGrove/Patina/store"
)

// account is a bench with a simulated account of three databases, the real
// client, the real exporter and a folder bucket.
type account struct {
	*bench
	sim    *d1sim.Account
	bucket object.Bucket
	client *d1.Client
	runner *Runner
	ids    map[string]string
	proof  atomic.Pointer[func(context.Context, *backup.Manifest) error] // asked before each rehearsal; its error is the proof's
}

// over makes a Runner work on the account.
func (a *account) over(c *Config) { c.Bucket, c.D1, c.Source = a.bucket, a.client, nil }

func newAccount(t *testing.T, change ...func(*Config)) *account {
	return newPatientAccount(t, 500*time.Millisecond, change...)
}

// newPatientAccount is an account whose answers may be silent for so long.
func newPatientAccount(t *testing.T, idle time.Duration, change ...func(*Config)) *account {
	a := &account{bench: newBench(t), ids: map[string]string{}}
	a.real = true
	var err error
	if a.sim, err = d1sim.New(d1sim.Config{Dir: t.TempDir(), AccountID: "acc", Token: "tok"}); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(a.sim.Handler())
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		_ = a.sim.Close()
	})
	for _, name := range []string{"fine", "spoilt", "whole"} {
		if a.ids[name], err = a.sim.Create(name); err != nil {
			t.Fatal(err)
		}
		for _, q := range []string{
			`CREATE TABLE a(id INTEGER PRIMARY KEY, v TEXT)`, `CREATE TABLE b(id INTEGER PRIMARY KEY, v TEXT)`,
			`INSERT INTO a WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 500) SELECT x, 'row ' || x FROM n`,
			`INSERT INTO b SELECT id, v FROM a`,
		} {
			if err := a.sim.Exec(a.ids[name], q); err != nil {
				t.Fatal(err)
			}
		}
	}
	if a.bucket, err = object.Open(t.Context(), "file://"+t.TempDir(), object.Config{}); err != nil {
		t.Fatal(err)
	}
	client, err := d1.New(d1.Config{
		AccountID: "acc", Token: "tok", BaseURL: srv.URL, Limiter: d1.NewLocalLimiter(1e6, 1e6),
		Idle: idle, Pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
	if err != nil {
		t.Fatal(err)
	}
	a.client = client
	a.runner = a.bench.runner(nil, append([]func(*Config){a.over}, change...)...)
	proof := a.runner.prove
	a.runner.prove = func(ctx context.Context, c backup.Copy, opt prove.Options) (*prove.Proof, error) {
		if f := a.proof.Load(); f != nil {
			if err := (*f)(ctx, c.Manifest); err != nil {
				return nil, err
			}
		}
		return proof(ctx, c, opt)
	}
	if _, err := a.runner.Discover(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.start(a.runner)
	return a
}

// backUp runs a manual backup of everything to its end.
func (a *account) backUp() backup.Job {
	a.t.Helper()
	started := a.request(a.runner, backup.Request{Action: backup.ActionBackup, Trigger: backup.TriggerManual, Actor: "test"})
	return a.ended(started.JobID)
}

// check reads every listed copy from the bucket; each must be whole.
func (a *account) check() map[string]int {
	a.t.Helper()
	copies, _, err := a.store.Copies(a.t.Context(), store.CopyFilter{Limit: 100})
	if err != nil {
		a.t.Fatal(err)
	}
	n := map[string]int{}
	for _, c := range copies {
		n[c.DatabaseName]++
		r, err := a.bucket.Open(a.t.Context(), c.Key, 0, -1)
		if err != nil {
			a.t.Fatal(err)
		}
		_, contents, err := dump.Verify(r)
		_ = r.Close()
		if err != nil || contents.SHA256 != c.SHA256 || contents.Rows != 1000 {
			a.t.Errorf("%s is listed and not whole: %v", c.Key, err)
		}
	}
	stored := 0
	for _, err := range a.bucket.List(a.t.Context(), "manual/") {
		if err != nil {
			a.t.Fatal(err)
		}
		stored++
	}
	if stored != 2*len(copies) {
		a.t.Errorf("%d objects are stored for %d copies and their manifests", stored, len(copies))
	}
	return n
}

// TestAccountFaults: whatever one database answers, it fails with its cause, the
// others succeed, the job is partial, and what was stored before is untouched.
func TestAccountFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault d1sim.Fault
		says  string
	}{
		{"429", d1sim.Fault{Effect: d1sim.RateLimited}, "throttling"},
		{"503", d1sim.Fault{Effect: d1sim.Unavailable}, "Service Unavailable"},
		{"HTML with 200", d1sim.Fault{Effect: d1sim.HTML}, "not JSON"},
		{"cut JSON", d1sim.Fault{Effect: d1sim.Cut, CutAfter: 300}, "cut"},
		{"success false", d1sim.Fault{Effect: d1sim.SuccessFalse}, "internal error"},
		{"no answer", d1sim.Fault{Effect: d1sim.Nothing}, "no answer"},
		{"silence", d1sim.Fault{Effect: d1sim.Hang}, "stopped coming"},
		{"a replica", d1sim.Fault{Effect: d1sim.Replica}, "replica"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAccount(t)
			if job := a.backUp(); job.Status != backup.JobCompleted {
				t.Fatalf("before the fault the job is %s: %s", job.Status, job.Error)
			}
			before := a.check()
			f := c.fault
			f.Database, f.Call, f.Times = a.ids["spoilt"], "raw", -1
			fired := a.sim.Faults().Add(f)
			job := a.backUp()
			if fired() == 0 {
				t.Fatal("the fault did not fire")
			}
			results := a.results(job.ID)
			if job.Status != backup.JobPartial || job.Totals.Succeeded != 2 || job.Totals.Failed != 1 {
				t.Errorf("the job is %s with %+v", job.Status, job.Totals)
			}
			r := results["spoilt"]
			if r.Status != backup.ResultFailed || !strings.Contains(r.Error, c.says) || !strings.Contains(r.Error, "spoilt") || r.Next == "" {
				t.Errorf("the result is %s: %q; next: %q", r.Status, r.Error, r.Next)
			}
			after := a.check()
			if before["spoilt"] != 1 || after["spoilt"] != 1 || after["fine"] != 2 || after["whole"] != 2 {
				t.Errorf("copies %v became %v", before, after)
			}
		})
	}
}

// TestTableDroppedBetweenPages: a migration in the middle ends the attempt; in
// every attempt, it ends the result with a word about the schema.
func TestTableDroppedBetweenPages(t *testing.T) {
	a := newAccount(t)
	a.backUp()
	var mu sync.Mutex
	dropped := 0
	a.sim.Faults().Hook = func(id, sql string) {
		if id != a.ids["spoilt"] || !strings.Contains(sql, `FROM "b"`) {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		dropped++
		for _, q := range []string{`DROP TABLE b`, fmt.Sprintf(`CREATE TABLE b(id INTEGER PRIMARY KEY, v TEXT, again%d)`, dropped)} {
			if err := a.sim.Exec(id, q); err != nil {
				t.Error(err)
			}
		}
	}
	job := a.backUp()
	r := a.results(job.ID)["spoilt"]
	if dropped < 3 || job.Status != backup.JobPartial || r.Status != backup.ResultFailed || !strings.Contains(r.Error, "the schema changed") || !strings.Contains(r.Error, "earlier copies are untouched") {
		t.Errorf("dropped %d times; the job is %s, the result %s: %q", dropped, job.Status, r.Status, r.Error)
	}
	if n := a.check(); n["spoilt"] != 1 || n["fine"] != 2 {
		t.Errorf("copies %v", n)
	}
}

// TestRetryOfFailures: once the fault is gone, a retry backs up what failed, and
// nothing else.
func TestRetryOfFailures(t *testing.T) {
	a := newAccount(t)
	a.sim.Faults().Add(d1sim.Fault{Effect: d1sim.HTML, Database: a.ids["spoilt"], Call: "raw", Times: -1})
	job := a.backUp()
	a.sim.Faults().Clear()
	again := a.ended(a.request(a.runner, backup.Request{Action: backup.ActionRetry, JobID: job.ID, Trigger: backup.TriggerManual, Actor: "test"}).JobID)
	var names []string
	for n := range a.results(again.ID) {
		names = append(names, n)
	}
	if again.Status != backup.JobCompleted || !slices.Equal(names, []string{"spoilt"}) || again.RetryOf != job.ID {
		t.Errorf("the retry is %s over %v", again.Status, names)
	}
	if n := a.check(); n["spoilt"] != 1 || n["fine"] != 1 {
		t.Errorf("copies %v", n)
	}
}
