package main_test

import (
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// held makes every export of the rig's account wait within the rows of a table
// until it is let go; reached tells how many wait.
func (r *rig) held(table string) (reached func() int, release func()) {
	gate := make(chan struct{})
	var mu sync.Mutex
	waiting := map[string]bool{}
	r.sim.Faults().Hook = func(id, sql string) {
		if !strings.Contains(sql, `"`+table+`"`) { // only its rows, not the schema
			return
		}
		mu.Lock()
		waiting[id] = true
		mu.Unlock()
		<-gate
	}
	return func() int { mu.Lock(); defer mu.Unlock(); return len(waiting) }, sync.OnceFunc(func() { close(gate) })
}

// exit waits for a process's own end, at most for d, and gives its exit code.
func (r *rig) exit(cmd *exec.Cmd, d time.Duration) int {
	r.t.Helper()
	late := time.AfterFunc(d, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	if !late.Stop() {
		r.t.Fatalf("it had not ended after %v\n%s", d, tail(r.log.String()))
	}
	return cmd.ProcessState.ExitCode()
}

// A process that is told to stop in the middle of exports takes nothing new,
// lets them finish, ends their job and itself cleanly.
func TestStopLetsExportsFinish(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	reached, release := r.held("t")
	defer release()
	cmd := r.serve("")
	r.wait(time.Minute, "both exports", func() bool { return reached() == 2 })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r.wait(30*time.Second, "the end of the dashboard", func() bool {
		res, err := http.Get("http://" + r.addr + "/healthz") //nolint:noctx // a look
		if err == nil {
			_ = res.Body.Close()
		}
		return err != nil
	})
	c := r.conn()
	defer c.Close(t.Context())
	if status, over := r.ended(c); over {
		t.Fatalf("the job is %s while its exports are held", status)
	}
	release()
	if code := r.exit(cmd, time.Minute); code != 0 {
		t.Errorf("exit code %d\n%s", code, tail(r.log.String()))
	}
	r.check(c, nil)
	r.nobodyHolds()
}

// A process whose exports do not finish in time hands them back: nothing of
// them is visible, no attempt is spent, and the next process carries them out.
func TestStopHandsBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	r.env = append(r.env, "PATINA_STOP_TIMEOUT=1s")
	reached, release := r.held("t")
	defer release()
	cmd := r.serve("")
	r.wait(time.Minute, "both exports", func() bool { return reached() == 2 })
	began := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := r.exit(cmd, time.Minute); code != 0 {
		t.Errorf("exit code %d\n%s", code, tail(r.log.String()))
	}
	t.Logf("ended %.1f s after SIGTERM", time.Since(began).Seconds())
	if left := r.objects(); len(left) != 0 {
		t.Errorf("objects are visible of exports that did not finish: %v", left)
	}
	r.nobodyHolds()
	c := r.conn()
	defer c.Close(t.Context())
	var queued int
	if err := c.QueryRow(t.Context(), `SELECT count(*) FROM backup_results r JOIN river_job q ON q.id = r.river_job_id WHERE r.status = 'queued' AND q.state IN ('available', 'retryable', 'scheduled')`).Scan(&queued); err != nil || queued != 2 {
		t.Errorf("%d results wait in the queue, want 2, %v", queued, err)
	}
	release()
	again := r.serve("")
	r.wait(time.Minute, "the job's end in the next process", func() bool { _, ok := r.ended(c); return ok })
	r.check(c, nil)
	stop(t, again)
}

// A second signal ends a process at once, and loses nothing.
func TestStopTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	reached, release := r.held("t")
	defer release()
	cmd := r.serve("")
	r.wait(time.Minute, "both exports", func() bool { return reached() == 2 })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r.wait(30*time.Second, "the first signal", func() bool { return strings.Contains(r.log.String(), "stopping") })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = r.exit(cmd, 10*time.Second)
	release()
	again := r.serve("")
	c := r.conn()
	defer c.Close(t.Context())
	r.wait(time.Minute, "the job's end in the next process", func() bool { _, ok := r.ended(c); return ok })
	r.check(c, nil)
	stop(t, again)
}

// nobodyHolds fails the test where a stopped process still has a lease, an
// export slot or a result in hand.
func (r *rig) nobodyHolds() {
	r.t.Helper()
	c := r.conn()
	defer c.Close(r.t.Context())
	var leases, slots, running int
	if err := c.QueryRow(r.t.Context(), `SELECT (SELECT count(*) FROM processes), (SELECT count(*) FROM export_slots WHERE result_id IS NOT NULL), (SELECT count(*) FROM backup_results WHERE status = 'running')`).
		Scan(&leases, &slots, &running); err != nil {
		r.t.Fatal(err)
	}
	if leases+slots+running > 0 {
		r.t.Errorf("a stopped process left %d leases, %d export slots and %d running results", leases, slots, running)
	}
}
