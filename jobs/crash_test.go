package jobs

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// today gives a slot of the tests' schedule, which never comes due by itself.
var today = at("2028-02-29T03:00:00Z")

// slotJob starts the slot of today and gives its job.
func (b *bench) slotJob() string {
	b.t.Helper()
	r := b.runner(nil)
	if err := r.enterSchedules(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	id, started, err := r.StartSlot(b.t.Context(), NightlySchedule, today)
	if err != nil || !started {
		b.t.Fatal(started, err)
	}
	return id
}

// stored checks that a slot of n databases ended well: one success a
// database, one copy, one object.
func (b *bench) stored(jobID string, n int) {
	b.t.Helper()
	job := b.ended(jobID)
	if job.Status != backup.JobCompleted || job.Totals.Succeeded != n {
		b.t.Errorf("the job is %+v", job)
	}
	ends := 0
	for _, tr := range job.Transitions {
		if tr.Status.Ended() {
			ends++
		}
	}
	if ends != 1 {
		b.t.Errorf("the job ended %d times: %+v", ends, job.Transitions)
	}
	if got := b.count("SELECT count(*) FROM backup_inventory"); got != n {
		b.t.Errorf("%d copies are listed, want %d", got, n)
	}
	for name, res := range b.results(jobID) {
		if res.Status != backup.ResultSuccess || res.Key != "daily/2028-02-29/"+name+".sql" || res.Attempt != 1 {
			b.t.Errorf("%s: %+v", name, res)
		}
	}
	if slot, err := b.store.Slot(b.t.Context(), NightlySchedule, today); err != nil || slot.Status != "done" {
		b.t.Errorf("the slot is %+v, %v", slot, err)
	}
	b.settled()
}

// A process killed before or after any step of an export's end leaves nothing
// that the next one does not bring to the same end.
func TestKill(t *testing.T) {
	for _, step := range []string{"export", "exported", "before:commit", "after:commit", "before:finish", "after:finish"} {
		t.Run(step, func(t *testing.T) {
			b := newBench(t)
			b.register(backup.Critical, backup.Normal)
			id := b.slotJob()
			killed := b.child(childConfig{KillAt: step})
			if sig := killed.dies(); sig != syscall.SIGKILL {
				t.Fatalf("the child ended by %v", sig)
			}
			open := b.count("SELECT count(*) FROM backup_jobs WHERE status IN ('queued', 'running')")
			if want := 1; step == "after:finish" && open != 0 || step != "after:finish" && open != want {
				t.Fatalf("%d jobs are open after the kill", open)
			}
			began := time.Now()
			b.start(b.runner(nil))
			b.stored(id, 2)
			t.Logf("ended %v after the restart", time.Since(began).Round(time.Millisecond))
		})
	}
}

// The dead process is on another host, as far as anyone can tell: its lease
// has to run out. Its attempt is not spent.
func TestDeadLeaseHandedBack(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal)
	id := b.slotJob()
	c := b.child(childConfig{HoldAt: "export"})
	c.says("export")
	b.exec("UPDATE processes SET hostname = 'elsewhere'")
	before := b.results(id)["db-a"]
	c.signal(syscall.SIGKILL)
	c.dies()
	b.start(b.runner(nil))
	b.stored(id, 1)
	after := b.results(id)["db-a"]
	if before.Fence == 0 || after.Fence <= before.Fence || after.RiverJobID == before.RiverJobID {
		t.Errorf("before %+v, after %+v", before, after)
	}
	var attempt int
	if attempt = b.count("SELECT attempt FROM river_job WHERE id = $1", after.RiverJobID); attempt != 1 {
		t.Errorf("the queue counts %d attempts", attempt)
	}
}

// A process that was paused for longer than its lease, and wakes before or
// after its export was stored, finds that another has it: it changes nothing.
func TestPausedProcessWakes(t *testing.T) {
	for _, hold := range []string{"export", "exported", "before:commit"} {
		t.Run(hold, func(t *testing.T) {
			b := newBench(t)
			b.register(backup.Normal)
			id := b.slotJob()
			c := b.child(childConfig{HoldAt: hold})
			c.says(hold)
			c.signal(syscall.SIGSTOP)
			before := b.results(id)["db-a"]
			b.start(b.runner(nil))
			b.stored(id, 1)
			rows := func() string {
				var all string
				if err := b.store.Pool().QueryRow(t.Context(), `SELECT jsonb_build_array(
					(SELECT jsonb_agg(r) FROM backup_results r), (SELECT jsonb_agg(i) FROM backup_inventory i), (SELECT jsonb_agg(j) FROM backup_jobs j))::text`).Scan(&all); err != nil {
					t.Fatal(err)
				}
				return all
			}
			b.until("the copy is proven", func() bool {
				return b.count("SELECT count(*) FROM backup_inventory WHERE proof = 'proven'") == 1
			})
			want := rows()
			c.signal(syscall.SIGCONT)
			if _, err := fmt.Fprintln(c.in); err != nil {
				t.Fatal(err)
			}
			c.says("held " + hold)
			b.until("the woken process has reported to the queue", func() bool {
				return b.count("SELECT count(*) FROM river_job WHERE id = $1 AND state = 'cancelled'", before.RiverJobID) == 1
			})
			c.signal(syscall.SIGTERM) // it ends its work first
			if sig := c.dies(); sig != -1 || c.cmd.ProcessState.ExitCode() != 0 {
				t.Errorf("the child ended by %v with %d", sig, c.cmd.ProcessState.ExitCode())
			}
			for line := range c.lines {
				if line == "after:commit" {
					t.Error("the woken process committed")
				}
			}
			if got := rows(); got != want {
				t.Errorf("the woken process changed\n%s\nto\n%s", want, got)
			}
			b.settled()
		})
	}
}

// A cancel that finds the process dead ends the job all the same.
func TestCancelOfDeadProcess(t *testing.T) {
	b := newBench(t)
	b.register(backup.Normal)
	id := b.slotJob()
	c := b.child(childConfig{HoldAt: "export"})
	c.says("export")
	c.signal(syscall.SIGKILL)
	c.dies()
	r := b.runner(nil)
	b.request(r, backup.Request{Action: backup.ActionCancel, JobID: id, Actor: "grace"})
	b.start(r)
	if job := b.ended(id); job.Status != backup.JobCancelled {
		t.Errorf("%+v", job)
	}
	if res := b.results(id)["db-a"]; res.Status != backup.ResultFailed || res.Error != "cancelled by grace" {
		t.Errorf("%+v", res)
	}
	if n := len(b.out.order()); n != 0 {
		t.Errorf("%d exports after the cancel", n)
	}
	b.settled()
}
