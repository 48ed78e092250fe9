package main_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// id gives the id of a database of the rig's account.
func (r *rig) id(name string) string {
	r.t.Helper()
	for _, db := range r.sim.Databases() {
		if db.Name == name {
			return db.ID
		}
	}
	r.t.Fatalf("the account has no %s", name)
	return ""
}

// sum is what a database holds, in one number and a list of tables.
func (r *rig) sum(name string) string {
	r.t.Helper()
	var s string
	err := r.sim.DB(r.id(name)).QueryRowContext(r.t.Context(), `SELECT (SELECT count(*) || ' ' || sum(id) || ' ' || sum(length(v)) FROM t) || ' ' ||
		(SELECT group_concat(name) FROM (SELECT name FROM sqlite_schema WHERE name NOT LIKE '\_cf\_%' ESCAPE '\' ORDER BY name))`).Scan(&s)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// TestKill9Restore kills the process before and after each step of a restore.
// After the restart it comes to its end by itself: the target holds what the
// copy does, and nothing else was touched.
func TestKill9Restore(t *testing.T) {
	t.Parallel()
	for target, c := range map[string]struct {
		args  []string
		steps []string
	}{
		"in place": {[]string{"--in-place", "one", "--confirm", "one"}, []string{"preflight", "safety", "bookmark", "upload", "empty", "import", "check"}},
		"new":      {[]string{"--to", "three"}, []string{"preflight", "create", "upload", "import", "check"}},
		"a table":  {[]string{"--in-place", "one", "--confirm", "one", "--table", "t"}, []string{"upload", "import", "check"}},
	} {
		points := []string{"after:restore.ingest", "after:restore.end"}
		for _, s := range c.steps {
			points = append(points, "before:restore."+s) // what comes after a step comes before the next
			if s == "safety" || s == "create" || s == "empty" || s == "import" {
				points = append(points, "after:restore."+s)
			}
		}
		gate := make(chan struct{}, 1) // one of each target at a time: each is a whole installation
		for _, point := range points {
			t.Run(target+" "+point, func(t *testing.T) {
				t.Parallel()
				gate <- struct{}{}
				defer func() { <-gate }()
				killRestore(t, c.args, point)
			})
		}
	}
}

func killRestore(t *testing.T, args []string, point string) {
	r := newRig(t, false)
	died := r.serve(point)
	late := time.AfterFunc(2*time.Minute, func() { _ = died.Process.Signal(syscall.SIGTERM) })
	defer late.Stop()
	c := r.conn()
	defer c.Close(t.Context())
	var copyID string
	r.wait(time.Minute, "the copies", func() bool {
		return c.QueryRow(t.Context(), `SELECT id::text FROM backup_inventory WHERE database_name = 'one' AND proof = 'proven'`).Scan(&copyID) == nil
	})
	whole, two := r.sum("one"), r.sum("two")
	for _, q := range []string{`DELETE FROM t WHERE id % 2 = 0`, `CREATE TABLE later(x)`} {
		if err := r.sim.Exec(r.id("one"), q); err != nil {
			t.Fatal(err)
		}
	}
	spoiled := r.sum("one")
	cmd := exec.Command(r.binary, append([]string{"restore", copyID, "--no-wait"}, args...)...)
	cmd.Env = r.env
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, tail(r.log.String()))
	}
	id := strings.TrimSpace(string(out))
	_ = died.Wait()
	if ws, ok := died.ProcessState.Sys().(syscall.WaitStatus); !ok || !ws.Signaled() || ws.Signal() != syscall.SIGKILL {
		t.Fatalf("the fault did not fire: %v\n%s", died.ProcessState, tail(r.log.String()))
	}
	start := time.Now()
	again := r.serve("")
	var status, outcome string
	r.wait(time.Minute, "the restore's end after the restart", func() bool {
		return c.QueryRow(t.Context(), `SELECT j.status, r.outcome FROM backup_jobs j JOIN restores r ON r.id = j.id WHERE j.id = $1 AND r.ended_at IS NOT NULL AND j.completed_at IS NOT NULL`, id).Scan(&status, &outcome) == nil
	})
	t.Logf("ended %.1f s after the restart: %s", time.Since(start).Seconds(), outcome)
	if status != "completed" {
		t.Errorf("%s: %s\n%s", status, outcome, tail(r.log.String()))
	}
	switch {
	case args[0] == "--to":
		if got := r.sum("three"); got != whole || r.sum("one") != spoiled || len(r.sim.Databases()) != 3 {
			t.Errorf("three is %s, one is %s, of %d", got, r.sum("one"), len(r.sim.Databases()))
		}
	case len(args) > 4:
		if got := r.sum("one"); strings.Split(got, " ")[0] != "25" || !strings.Contains(got, "t_restored_") || !strings.Contains(outcome, "t_restored_") {
			t.Errorf("one is %s", got)
		}
	default:
		if got := r.sum("one"); got != whole {
			t.Errorf("one is %s, the copy was %s", got, whole)
		}
		var safety int
		if err := c.QueryRow(t.Context(), `SELECT count(*) FROM backup_inventory WHERE kind = 'safety'`).Scan(&safety); err != nil || safety != 1 {
			t.Errorf("%d safety copies: %v", safety, err)
		}
	}
	if r.sum("two") != two {
		t.Error("another database was touched")
	}
	var told int
	if err := c.QueryRow(t.Context(), `SELECT count(*) FROM events WHERE kind = 'restore.finished'`).Scan(&told); err != nil || told != 1 {
		t.Errorf("told %d times: %v", told, err)
	}
	r.wait(time.Minute, "the dashboard", func() bool {
		res, err := http.Get("http://" + r.addr + "/healthz") //nolint:noctx // it answers or refuses at once
		if err != nil {
			return false
		}
		return res.Body.Close() == nil && res.StatusCode == http.StatusOK
	})
	stop(t, again)
}

// TestKill9FileRestore: a restore of a file has no record; killed, it leaves a
// database whose name the next try refuses, and says what that may be.
func TestKill9FileRestore(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	file := t.TempDir() + "/one.sql"
	r.run("export", "one", "-o", file)
	for i, point := range []string{"after:restore.create", "before:restore.import", "after:restore.ingest"} {
		name := fmt.Sprintf("fresh-%d", i)
		cmd := exec.Command(r.binary, "restore", file, "--to", name)
		cmd.Env = append(r.env, "PATINA_FAILPOINT="+point)
		if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the fault did not fire: %v\n%s", err, out)
		}
		cmd = exec.Command(r.binary, "restore", file, "--to", name)
		cmd.Env = r.env
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "the account has a database called "+name+" already ("+r.id(name)+")") {
			t.Errorf("%s: %v\n%s", point, err, out)
		}
	}
}
