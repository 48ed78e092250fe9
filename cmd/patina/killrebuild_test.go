package main_test

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

// A rebuild that is killed has made all of the catalogue or none of it, and the
// next one makes what is missing.
func TestKill9Rebuild(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	first := r.serve("")
	c := r.conn()
	r.wait(time.Minute, "the night's end and its settings", func() bool {
		_, ended := r.ended(c)
		return ended && len(r.keys("meta/")) == 1
	})
	before := r.objects()
	_ = c.Close(t.Context())
	stop(t, first)

	for _, point := range []string{"before:rebuild.mend", "after:rebuild.mend", "before:rebuild.commit", "after:rebuild.commit"} {
		var lost string
		for key := range before { // its manifest has to be made again
			lost = object.ManifestKey(key)
		}
		if err := r.bucket.Delete(t.Context(), lost); err != nil {
			t.Fatal(err)
		}
		r.database = storetest.EmptyURL(t)
		environ := append(r.env, "DATABASE_URL="+r.database)
		run := func(failpoint string) (string, *exec.Cmd) {
			cmd := exec.Command(r.binary, "rebuild")
			cmd.Env = append(environ, "PATINA_FAILPOINT="+failpoint)
			out, _ := cmd.CombinedOutput()
			return string(out), cmd
		}
		out, died := run(point)
		if ws, ok := died.ProcessState.Sys().(syscall.WaitStatus); !ok || !ws.Signaled() || ws.Signal() != syscall.SIGKILL {
			t.Fatalf("%s: the fault did not fire: %v\n%s", point, died.ProcessState, out)
		}
		c := r.conn()
		count := func(query string) (n int) {
			t.Helper()
			if err := c.QueryRow(t.Context(), query).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		want := 0
		if point == "after:rebuild.commit" {
			want = 2
		}
		if n := count("SELECT count(*) FROM backup_inventory"); n != want {
			t.Errorf("%s: %d copies are listed, want %d", point, n, want)
		}
		if n := count("SELECT count(*) FROM databases"); n != want {
			t.Errorf("%s: %d databases are registered, want %d", point, n, want)
		}
		out, again := run("")
		says := "The catalogue was made again: 2 backups"
		if want == 2 {
			says = "says all of this already"
		}
		if again.ProcessState.ExitCode() != 0 || !strings.Contains(out, says) {
			t.Errorf("%s: the second run ended with %d\n%s", point, again.ProcessState.ExitCode(), out)
		}
		r.check(c, before)
		if n := count("SELECT count(*) FROM audit_log WHERE action = 'rebuild'"); n != 1 {
			t.Errorf("%s: %d rebuilds are on record", point, n)
		}
		if n := count("SELECT count(*) FROM settings WHERE key = 'retention_frozen'"); n != 1 {
			t.Errorf("%s: retention is not frozen", point)
		}
		_ = c.Close(t.Context())
	}
}

// keys lists keys.
func (r *rig) keys(prefix string) (keys []string) {
	r.t.Helper()
	for info, err := range r.bucket.List(r.t.Context(), prefix) {
		if err != nil {
			r.t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}
