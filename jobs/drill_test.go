package jobs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

// six makes an account of six databases, with two copies of each that are
// proven.
func six(t *testing.T, change ...func(*Config)) *account {
	a := newPatientAccount(t, 20*time.Second, change...)
	for _, name := range []string{"four", "five", "six"} {
		id, err := a.sim.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		a.ids[name] = id
		for _, q := range []string{`CREATE TABLE c(id INTEGER PRIMARY KEY, v REAL)`, `INSERT INTO c VALUES(1, 0.1), (2, 1e300), (9007199254740993, NULL)`} {
			if err := a.sim.Exec(id, q); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := a.runner.Discover(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if job := a.backUp(); job.Status != backup.JobCompleted {
			t.Fatalf("the backup is %s: %s", job.Status, job.Error)
		}
	}
	a.until("every copy is proven", func() bool { return a.count("SELECT count(*) FROM backup_inventory WHERE proof = 'proven'") == 12 })
	return a
}

// drill runs a drill to its end.
func (a *account) drill() (backup.Job, backup.Drill) {
	a.t.Helper()
	job := a.ended(a.request(a.runner, backup.Request{Action: backup.ActionDrill, Trigger: backup.TriggerManual, Actor: "ada"}).JobID)
	d, err := a.store.Drill(a.t.Context(), job.ID)
	if err != nil {
		a.t.Fatal(err)
	}
	return job, d
}

// of gives what a drill found of a database's copy.
func of(t *testing.T, d backup.Drill, database string, role backup.DrillRole) backup.DrillResult {
	t.Helper()
	for _, r := range d.Results {
		if r.DatabaseName == database && r.Role == role {
			return r
		}
	}
	t.Fatalf("the drill says nothing of the %s copy of %s", role, database)
	return backup.DrillResult{}
}

// told counts the events of a kind.
func (b *bench) told(kind backup.EventKind) int {
	return b.count("SELECT count(*) FROM events WHERE kind = $1", kind)
}

// flip changes one bit in the middle of a stored object.
func (a *account) flip(key string) {
	a.t.Helper()
	r, err := a.bucket.Open(a.t.Context(), key, 0, -1)
	if err != nil {
		a.t.Fatal(err)
	}
	body, err := io.ReadAll(r)
	_ = r.Close()
	if err != nil {
		a.t.Fatal(err)
	}
	spoilt := bytes.Clone(body)
	spoilt[len(spoilt)/2] ^= 4
	if err := a.bucket.Replace(a.t.Context(), key, spoilt, "application/sql"); err != nil {
		a.t.Fatal(err)
	}
}

func (a *account) newest(name string) backup.Copy {
	a.t.Helper()
	list, err := a.store.NewestCopies(a.t.Context(), a.ids[name], 1)
	if err != nil || len(list) != 1 {
		a.t.Fatal(list, err)
	}
	return list[0]
}

// A drill over six databases: their newest and their oldest copies are proven
// from the stored bytes, timed, and the newest are equal to their sources.
func TestDrillPasses(t *testing.T) {
	a := six(t)
	before := a.newest("fine")
	job, d := a.drill()
	if job.Status != backup.JobCompleted || job.Kind != backup.JobProve || job.Totals.Succeeded != 6 || job.Totals.Databases != 6 || job.Totals.Rows == 0 {
		t.Errorf("the job is %+v", job)
	}
	if d.Verdict != backup.DrillPassed || d.Passed != 6 || d.Failed != 0 || d.Databases != 6 || d.EndedAt == nil || d.StartedAt == nil || d.RequestedBy != "ada" {
		t.Errorf("the drill is %+v", d)
	}
	if len(d.Results) != 12 {
		t.Errorf("%d copies were proven, not the newest and the oldest of six", len(d.Results))
	}
	for _, r := range d.Results {
		if !r.Passed || r.Error != "" || r.Load <= 0 || r.Check <= 0 || r.Again <= 0 || r.Rows == 0 || r.Size == 0 || r.Key == "" || r.TakenAt == nil || r.Date.IsZero() {
			t.Errorf("%+v", r)
		}
		if want := map[backup.DrillRole]backup.SourceState{backup.DrillNewest: backup.SourceEqual, backup.DrillOldest: backup.SourceNotAsked}[r.Role]; r.Source != want {
			t.Errorf("%s of %s: the source is %q: %s", r.Role, r.DatabaseName, r.Source, r.SourceText)
		}
	}
	if after := a.newest("fine"); !after.ProvenAt.After(*before.ProvenAt) {
		t.Error("a copy that was proven before keeps its old date of proof")
	}
	if n := a.told(backup.EventDrillFailed) + a.told(backup.EventProofFailed); n != 0 {
		t.Errorf("%d events of failure", n)
	}
	last, err := a.store.LastDrill(t.Context())
	if err != nil || last == nil || last.ID != d.ID || last.Verdict != backup.DrillPassed {
		t.Errorf("the last drill is %+v, %v", last, err)
	}
}

// A flipped bit in one stored copy fails the drill, makes that copy suspect and
// is told; the other databases are rehearsed all the same.
func TestDrillFindsAFlippedBit(t *testing.T) {
	a := six(t)
	bad := a.newest("spoilt")
	a.flip(bad.Key)
	job, d := a.drill()
	if job.Status != backup.JobPartial || job.Totals.Succeeded != 5 || job.Totals.Failed != 1 || !strings.Contains(job.Error, "spoilt") {
		t.Errorf("the job is %+v", job)
	}
	if d.Verdict != backup.DrillFailed || d.Passed != 5 || d.Failed != 1 || len(d.Results) != 12 {
		t.Errorf("the drill is %+v", d)
	}
	if r := of(t, d, "spoilt", backup.DrillNewest); r.Passed || r.Untried || r.CopyID != bad.ID || r.Error == "" || r.Next == "" {
		t.Errorf("%+v", r)
	}
	if r := of(t, d, "spoilt", backup.DrillOldest); !r.Passed {
		t.Errorf("%+v", r)
	}
	if c := a.newest("spoilt"); c.Proof != backup.ProofSuspect || c.ProofError == "" {
		t.Errorf("the copy is %+v", c)
	}
	if a.told(backup.EventProofFailed) != 1 || a.told(backup.EventDrillFailed) != 1 {
		t.Errorf("%d and %d events", a.told(backup.EventProofFailed), a.told(backup.EventDrillFailed))
	}
	// The next drill takes the newest that is not suspect, and passes.
	if _, d = a.drill(); d.Verdict != backup.DrillPassed || of(t, d, "spoilt", backup.DrillNewest).CopyID == bad.ID {
		t.Errorf("the next drill is %+v", d)
	}
}

// Differences from a source that was written to since are told; from one that
// was not, they fail the copy. A database that nobody backed up yet fails the
// drill too: it could not be restored.
func TestDrillAgainstTheSources(t *testing.T) {
	a := six(t)
	if err := a.sim.Exec(a.ids["fine"], `UPDATE a SET v = 'other' WHERE id = 7`); err != nil {
		t.Fatal(err)
	}
	if _, err := a.sim.DB(a.ids["whole"]).Exec(`UPDATE a SET v = 'row x' WHERE id = 7`); err != nil {
		t.Fatal(err)
	}
	if _, err := a.sim.Create("new"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.runner.Discover(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, d := a.drill()
	if d.Verdict != backup.DrillFailed || d.Databases != 7 || d.Failed != 2 || !strings.Contains(d.Text, "new, whole") {
		t.Errorf("%+v", d)
	}
	if r := of(t, d, "fine", backup.DrillNewest); !r.Passed || r.Source != backup.SourceMoved || r.SourceText != "the source has moved on: 1 table differs" {
		t.Errorf("%+v", r)
	}
	if r := of(t, d, "whole", backup.DrillNewest); r.Passed || r.Source != backup.SourceDiffers || !strings.Contains(r.Error, `table "a", column "v"`) {
		t.Errorf("%+v", r)
	}
	if r := of(t, d, "new", backup.DrillNewest); r.Passed || r.CopyID != "" || r.Next == "" {
		t.Errorf("%+v", r)
	}
	if c := a.newest("whole"); c.Proof != backup.ProofSuspect {
		t.Errorf("the copy that is not what its source holds is %s", c.Proof)
	}
}

// A copy that cannot be tried fails the drill, and nothing is said against it.
func TestDrillThatCannotTry(t *testing.T) {
	a := six(t)
	var tries atomic.Int64
	away := func(_ context.Context, m *backup.Manifest) error {
		if m.DatabaseName != "four" {
			return nil
		}
		tries.Add(1)
		return backup.Errorf(backup.ErrUnavailable, "the bucket is away")
	}
	a.proof.Store(&away)
	job, d := a.drill()
	if r := of(t, d, "four", backup.DrillNewest); r.Passed || !r.Untried || !strings.Contains(r.Error, "the bucket is away") || tries.Load() != 2*rehearseTries {
		t.Errorf("%d tries, %+v", tries.Load(), r)
	}
	if job.Status != backup.JobPartial || d.Verdict != backup.DrillFailed || d.Failed != 1 {
		t.Errorf("%s, %+v", job.Status, d)
	}
	if c := a.newest("four"); c.Proof != backup.ProofProven {
		t.Errorf("the copy is %s", c.Proof)
	}
	if a.told(backup.EventProofFailed) != 0 || a.told(backup.EventDrillFailed) != 1 {
		t.Error("the events are others")
	}
}

// hold makes the rehearsals of a database's copies wait until their context
// ends; reached is closed when the first does.
func (a *account) hold(database string) (reached chan struct{}) {
	reached = make(chan struct{})
	var once sync.Once
	wait := func(ctx context.Context, m *backup.Manifest) error {
		if m.DatabaseName != database {
			return nil
		}
		once.Do(func() { close(reached) })
		<-ctx.Done()
		return ctx.Err()
	}
	a.proof.Store(&wait)
	return reached
}

// A drill that is cancelled ends where it is; a second one is refused while one
// runs, and runs after.
func TestDrillIsCancelled(t *testing.T) {
	a := six(t)
	reached := a.hold("four")
	started := a.request(a.runner, backup.Request{Action: backup.ActionDrill, Trigger: backup.TriggerAPI, Actor: "ci"})
	<-reached
	if n := a.count("SELECT count(*) FROM readers"); n != 1 {
		t.Errorf("%d readers keep the copy from being deleted while it is proven", n)
	}
	var busy *backup.BusyError
	if _, err := a.runner.Request(t.Context(), backup.Request{Action: backup.ActionDrill}); !errors.Is(err, backup.ErrConflict) || !errors.As(err, &busy) || busy.JobID != started.JobID {
		t.Errorf("a second drill: %v", err)
	}
	a.request(a.runner, backup.Request{Action: backup.ActionCancel, JobID: started.JobID, Actor: "grace"})
	job := a.ended(started.JobID)
	d, err := a.store.Drill(t.Context(), job.ID)
	if err != nil || job.Status != backup.JobCancelled || d.Verdict != backup.DrillCancelled || d.Text != "cancelled by grace" {
		t.Errorf("%v: %+v, %+v", err, job, d)
	}
	if n := len(d.Results); n >= 12 {
		t.Errorf("%d copies were proven all the same", n)
	}
	if a.told(backup.EventDrillFailed) != 0 {
		t.Error("a cancelled drill was told as failed")
	}
	if last, err := a.store.LastDrill(t.Context()); err != nil || last != nil {
		t.Errorf("a cancelled drill counts as the last: %+v, %v", last, err)
	}
	// One that waits in the queue is cancelled too.
	waiting := a.request(a.bench.runner(nil), backup.Request{Action: backup.ActionDrill})
	a.request(a.runner, backup.Request{Action: backup.ActionCancel, JobID: waiting.JobID, Actor: "grace"})
	if job := a.ended(waiting.JobID); job.Status != backup.JobCancelled {
		t.Errorf("%+v", job)
	}
	a.until("the drill has its verdict", func() bool {
		d, err := a.store.Drill(t.Context(), waiting.JobID)
		return err == nil && d.Verdict == backup.DrillCancelled
	})
}

// A process that stops amid a drill gives it back; the next goes on where it
// was, and no copy is proven twice.
func TestDrillGoesOnAfterAStop(t *testing.T) {
	a := six(t, func(c *Config) { c.SoftStopTimeout = 10 * time.Millisecond })
	reached := a.hold("four")
	started := a.request(a.runner, backup.Request{Action: backup.ActionDrill})
	<-reached
	before, err := a.store.DrillResults(t.Context(), started.JobID)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.runner.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if job := a.job(started.JobID); job.Status != backup.JobRunning {
		t.Fatalf("after the stop the job is %s", job.Status)
	}
	next := a.bench.runner(nil, func(c *Config) { c.Bucket, c.D1, c.Source = a.bucket, a.runner.cfg.D1, nil })
	a.start(next)
	if job := a.ended(started.JobID); job.Status != backup.JobCompleted || job.Totals.Succeeded != 6 {
		t.Errorf("%+v", job)
	}
	after, err := a.store.DrillResults(t.Context(), started.JobID)
	if err != nil || len(before) == 0 || len(before) >= 12 || len(after) != 12 {
		t.Fatalf("%d results, then %d, %v", len(before), len(after), err)
	}
	for _, r := range before {
		if !slices.ContainsFunc(after, func(x backup.DrillResult) bool { return x.CopyID == r.CopyID && x.At.Equal(r.At) }) {
			t.Errorf("the copy %s was proven again", r.Key)
		}
	}
}

// A process killed at any step of a drill leaves what it found; the next one
// goes on from there to the same end.
func TestDrillGoesOnAfterAKill(t *testing.T) {
	for _, step := range []string{"before:drill.result", "after:drill.result", "before:drill.end", "after:drill.end"} {
		t.Run(step, func(t *testing.T) {
			b := newBench(t)
			b.real = true
			names := b.register(backup.Critical, backup.Normal, backup.Normal)
			files := b.sqliteFiles(names, 10)
			first := b.runner(nil, overFiles(files, b.out.dir))
			if err := first.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			b.ended(b.request(first, backup.Request{Action: backup.ActionBackup}).JobID)
			b.until("every copy is proven", func() bool { return b.count("SELECT count(*) FROM backup_inventory WHERE proof = 'proven'") == 3 })
			if err := first.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			id := b.request(first, backup.Request{Action: backup.ActionDrill}).JobID
			killed := b.child(childConfig{KillAt: step, SQLite: files})
			if sig := killed.dies(); sig != syscall.SIGKILL {
				t.Fatalf("the child ended by %v", sig)
			}
			before, err := b.store.DrillResults(t.Context(), id)
			if want := map[string]int{"before:drill.result": 0, "after:drill.result": 1}[step]; err != nil || strings.HasSuffix(step, "result") && len(before) != want {
				t.Errorf("%d copies are on record after the kill, %v", len(before), err)
			}
			b.start(b.runner(nil, overFiles(files, b.out.dir)))
			if job := b.ended(id); job.Status != backup.JobCompleted || job.Totals.Succeeded != 3 {
				t.Errorf("%+v", job)
			}
			d, err := b.store.Drill(t.Context(), id)
			if err != nil || d.Verdict != backup.DrillPassed || len(d.Results) != 3 {
				t.Errorf("%v: %+v", err, d)
			}
			for _, r := range before {
				if !of(t, d, r.DatabaseName, r.Role).At.Equal(r.At) {
					t.Errorf("%s was proven again", r.DatabaseName)
				}
			}
		})
	}
}

// The monthly slot makes a drill, once, and ends with it.
func TestDrillOfASlot(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal)
	r := b.start(b.runner(nil))
	b.ended(b.request(r, backup.Request{Action: backup.ActionBackup}).JobID)
	id, started, err := r.StartSlot(t.Context(), DrillSchedule, today)
	if err != nil || !started {
		t.Fatal(started, err)
	}
	if again, started, err := r.StartSlot(t.Context(), DrillSchedule, today); err != nil || started || again != id {
		t.Errorf("the second start: %s, %v, %v", again, started, err)
	}
	job := b.ended(id)
	if job.Status != backup.JobCompleted || job.Trigger != backup.TriggerMonthly || job.Date.String() != "2028-02-29" {
		t.Errorf("%+v", job)
	}
	slot, err := b.store.Slot(t.Context(), DrillSchedule, today)
	if err != nil || slot.Status != store.SlotDone || slot.JobID != id {
		t.Errorf("%+v, %v", slot, err)
	}
}
