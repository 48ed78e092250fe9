package jobs

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/catalogue"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/retention"
)

// newShortVault is a vault that keeps archives two weeks, and a Sunday's cleanup is
// due in it: seven dailies and an archive are to go, and a pinned copy is to be
// taken out of that one.
func newShortVault(t *testing.T, s3 bool) *vault {
	v := newVault(t, s3, 1, func(c *Config) { c.Keep = retention.Fixed{Weekly: 2} })
	in := retention.Policy{Daily: 7, Weekly: 2, Other: 30}
	if err := v.store.SetSetting(t.Context(), retention.StateSetting, retention.State{InForce: &in}); err != nil {
		t.Fatal(err)
	}
	v.night()
	v.days(9) // Sunday the 22nd
	pin := ""
	for _, c := range v.listed() {
		if c.ObjectGone {
			pin = c.ID
			break
		}
	}
	if pin == "" {
		t.Fatal("no copy lies in an archive alone")
	}
	if err := v.store.SetPinned(t.Context(), pin, true); err != nil {
		t.Fatal(err)
	}
	for range 7 {
		v.set(v.now().AddDate(0, 0, 1))
		v.night()
	}
	v.archive()
	return v
}

// settledShort is what a short vault holds once the cleanup has ended.
var settledShort = []string{
	"daily/2026-11-23/db-a.sql", "daily/2026-11-24/db-a.sql", "daily/2026-11-25/db-a.sql", "daily/2026-11-26/db-a.sql", "daily/2026-11-27/db-a.sql",
	"daily/2026-11-28/db-a.sql", "daily/2026-11-29/db-a.sql", "kept/2026-11-13/db-a.sql", "weekly/2026-W47.tar.gz", "weekly/2026-W48.tar.gz",
}

// TestKillCleanup kills a cleanup before and after each of its steps. What was
// listed then is there; what comes next ends the same job with the same bucket.
func TestKillCleanup(t *testing.T) {
	steps := []string{
		"before:cleanup.reconcile", "after:cleanup.reconcile", "before:cleanup.keep", "before:upload.create", "after:upload.create", "before:upload.complete",
		"after:upload.complete", "before:cleanup.kept", "after:cleanup.keep", "before:cleanup.unlist", "after:cleanup.unlist", "before:cleanup.delete",
		"after:cleanup.object", "after:cleanup.object-2", "after:cleanup.delete", "after:cleanup.unlist-4", "after:cleanup.object-9",
		"after:cleanup.unlist-8", "after:cleanup.object-15", "before:cleanup.compact", "after:cleanup.compact", "before:cleanup.end", "after:cleanup.end",
	}
	for _, step := range steps {
		t.Run(step, func(t *testing.T) {
			v := newShortVault(t, false)
			idle := v.bench.runner(nil, func(c *Config) { c.Bucket, c.Clock = v.bucket, v.now })
			v.stop(v.runner)
			started := v.request(idle, backup.Request{Action: backup.ActionCleanup, Actor: "test"})
			killed := v.child(childConfig{KillAt: step, SQLite: v.files, Bucket: v.bucket.String(), Now: v.now(), Weekly: 2})
			if sig := killed.dies(); sig != syscall.SIGKILL {
				t.Fatalf("the child ended by %v", sig)
			}
			for _, c := range v.listed() {
				if err := catalogue.Check(t.Context(), v.bucket, c); err != nil {
					t.Errorf("killed, and %s of %s is listed: %v", c.Kind, c.Date, err)
				}
			}
			restarted := time.Now()
			v.runner = v.vaultRunner(func(c *Config) { c.Keep = retention.Fixed{Weekly: 2} })
			job := v.ended(started.JobID)
			if took := time.Since(restarted); job.Status != backup.JobCompleted || took > time.Minute {
				t.Errorf("after %v the job is %s: %s", took, job.Status, job.Error)
			}
			if got := v.keys(); strings.Join(got, " ") != strings.Join(settledShort, " ") {
				t.Logf("%+v", v.report())
				t.Errorf("the bucket holds %v", got)
			}
			v.whole()
			for u, err := range v.bucket.Uploads(t.Context()) {
				if err != nil || !strings.HasPrefix(step, "after:upload.create") && !strings.HasPrefix(step, "before:upload.complete") {
					t.Errorf("an upload is left: %+v, %v", u, err)
				}
			}
			if rep := v.clean(); rep.Copies+rep.Archives+rep.Kept+rep.Unknown != 0 {
				t.Errorf("done twice: %+v", rep)
			}
		})
	}
}

// TestCleanupShort is the same without a fault, in a folder and at an S3 server.
func TestCleanupShort(t *testing.T) {
	for _, s3 := range []bool{false, true} {
		t.Run(fmt.Sprintf("s3=%v", s3), func(t *testing.T) {
			v := newShortVault(t, s3)
			rep := v.clean()
			if got := v.keys(); strings.Join(got, " ") != strings.Join(settledShort, " ") || rep.Copies != 7 || rep.Archives != 1 || rep.Kept != 1 {
				t.Errorf("the bucket holds %v; %+v", got, rep)
			}
			v.whole()
			kept, err := v.store.CopyByKey(t.Context(), "kept/2026-11-13/db-a.sql")
			if err != nil {
				t.Fatal(err)
			}
			if kept.Kind != backup.Kept || kept.Proof != backup.ProofProven || !kept.Pinned {
				t.Errorf("%+v", kept)
			}
			if _, err := v.bucket.Stat(t.Context(), object.ManifestKey(kept.Key)); err != nil {
				t.Error(err)
			}
		})
	}
}
