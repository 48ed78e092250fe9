package jobs

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/catalogue"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/retention"
	"github.com/AutumnsGrove/Patina/store"
)

// meddled is a bucket that somebody meddles with.
type meddled struct {
	object.Bucket
	omit    atomic.Pointer[string] // a key that its listing leaves out
	omitted atomic.Int64
	opened  func(key string) // told of each read; may be nil
}

func (m *meddled) List(ctx context.Context, prefix string) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		for info, err := range m.Bucket.List(ctx, prefix) {
			if left := m.omit.Load(); left != nil && info.Key == *left {
				m.omitted.Add(1)
				continue
			}
			if !yield(info, err) {
				return
			}
		}
	}
}

func (m *meddled) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if m.opened != nil {
		m.opened(key)
	}
	return m.Bucket.Open(ctx, key, offset, length)
}

// TestListingOmitsKeys: while the bucket's listing leaves out one key, nothing is
// deleted, whatever is due, and that is told; the next whole listing goes on.
func TestListingOmitsKeys(t *testing.T) {
	inBoth(t, func(t *testing.T, s3 bool) {
		v := newShortVault(t, s3)
		m := &meddled{Bucket: v.bucket}
		v.stop(v.runner)
		v.runner = v.vaultRunner(func(c *Config) { c.Bucket, c.Keep = m, retention.Fixed{Weekly: 2} })
		before := v.keys()
		key := before[len(before)-3]
		m.omit.Store(&key)
		rep := v.clean()
		if m.omitted.Load() == 0 {
			t.Fatal("nothing was left out")
		}
		if after := v.keys(); !slices.Equal(before, after) || rep.Omitted != 1 || !strings.Contains(rep.Held, key) {
			t.Errorf("%v became %v: %+v", before, after, rep)
		}
		if told := v.told(backup.EventRetentionHeldBack); len(told) != 1 || !strings.Contains(told[0].Message, key) {
			t.Errorf("told: %+v", told)
		}
		m.omit.Store(nil)
		if v.clean(); !slices.Equal(v.keys(), settledShort) {
			t.Errorf("then: %v", v.keys())
		}
		v.whole()
	})
}

// TestClockJumps: a clock that has gone back, by an hour or by years, lets
// nothing go; one that has gone on by years lets no more go than an ordinary
// week, until a day has passed on it, and coming back leaves nothing behind.
func TestClockJumps(t *testing.T) {
	v := newShortVault(t, false)
	right, before := v.now(), v.keys()
	for _, back := range []time.Duration{2 * time.Hour, 24 * time.Hour, 5 * 365 * 24 * time.Hour} {
		v.set(right.Add(-back))
		if rep := v.clean(); !slices.Equal(before, v.keys()) || rep.Copies+rep.Archives != 0 {
			t.Errorf("back by %v: %v, %+v", back, v.keys(), rep)
		}
	}
	v.set(right.AddDate(1, 0, 0))
	rep := v.clean()
	if !strings.Contains(rep.Held, "waits until") || !slices.Contains(v.keys(), "weekly/2026-W48.tar.gz") || !slices.Contains(v.keys(), "weekly/2026-W47.tar.gz") {
		t.Errorf("on by a year: %v, %+v", v.keys(), rep)
	}
	v.set(right)
	if rep = v.clean(); !strings.Contains(rep.Held, "the clock has gone back") && rep.Stayed > 0 {
		t.Errorf("right again: %+v", rep)
	}
	// There are records of the future now: an admin says that the clock is right.
	err := v.store.SetSetting(t.Context(), retention.ClockSetting, retention.ClockRight{UpTo: right.AddDate(4, 0, 0), By: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	v.clean()
	if !slices.Equal(v.keys(), settledShort[1:]) { // the Monday's was a day from its end
		t.Errorf("confirmed: %v", v.keys())
	}
	v.whole()
}

// TestPolicyChangeWaits: a shorter policy waits for a day, and is told; an
// admin's word ends the wait; meanwhile the old one is carried out.
func TestPolicyChangeWaits(t *testing.T) {
	v := newVault(t, false, 1)
	v.night()
	v.days(30)
	ctx := t.Context()
	if err := v.store.SetSetting(ctx, retention.PolicySetting, retention.Policy{Daily: 7, Weekly: 1, Other: 30}); err != nil {
		t.Fatal(err)
	}
	before := v.keys()
	rep := v.clean()
	if !slices.Equal(before, v.keys()) || !strings.Contains(rep.Held, "waits until 2026-12-14") {
		t.Fatalf("at once: %v, %+v", v.keys(), rep)
	}
	if told := v.told(backup.EventRetentionHeldBack); len(told) != 1 || !strings.Contains(told[0].Message, "db-a would lose") {
		t.Errorf("told: %+v", told)
	}
	var state retention.State
	if _, err := v.store.Setting(ctx, retention.StateSetting, &state); err != nil || state.Pending == nil || state.InForce.Weekly != 12 {
		t.Fatalf("%+v, %v", state, err)
	}
	state.Pending.ConfirmedBy = "ada"
	if err := v.store.SetSetting(ctx, retention.StateSetting, state); err != nil {
		t.Fatal(err)
	}
	if rep = v.clean(); rep.Archives != 4 || rep.Held != "" {
		t.Errorf("confirmed: %v, %+v", v.keys(), rep)
	}
	v.whole()
}

// TestReconciliation: a lost object and one of another size are found, told and
// quarantined, or read out of the archive that holds them too; a lost manifest
// is written anew; what is not ours stays; an old upload is given up.
func TestReconciliation(t *testing.T) {
	inBoth(t, func(t *testing.T, s3 bool) {
		v := newVault(t, s3, 2)
		v.night()
		v.days(4) // Tuesday; the archive of Sunday holds Friday to Sunday
		ctx := t.Context()
		copies := v.listed()
		of := func(name string, date string) backup.Copy {
			i := slices.IndexFunc(copies, func(c backup.Copy) bool { return c.DatabaseName == name && c.Date.String() == date })
			return copies[i]
		}
		lost, archived, cut, bare := of("db-a", "2026-11-16"), of("db-a", "2026-11-14"), of("db-b", "2026-11-16"), of("db-b", "2026-11-17")
		put := func(key, body string) {
			if err := v.bucket.Replace(ctx, key, []byte(body), "text/plain"); err != nil {
				t.Fatal(err)
			}
		}
		for _, key := range []string{lost.Key, archived.Key, object.ManifestKey(bare.Key), "weekly/2026-W46.tar.gz.json"} {
			if err := v.bucket.Delete(ctx, key); err != nil {
				t.Fatal(err)
			}
		}
		v.exec("ALTER TABLE backup_results DROP CONSTRAINT backup_results_job_id_fkey")
		v.exec(`INSERT INTO backup_results (id, job_id, database_id, database_name, status, date, created_at)
			VALUES (gen_random_uuid(), gen_random_uuid(), $1, 'db-a', 'success', '2026-11-16', '2026-11-16')`, v.id("db-a"))
		put(cut.Key, "cut")
		put("photos/cat.jpg", "a cat")
		put("daily/2026-11-16/stray.sql", "-- nobody's")
		up, err := v.bucket.Create(ctx, "daily/2026-11-18/db-a.sql", object.CreateOptions{PartSize: 5 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := up.Write(make([]byte, 6<<20)); err != nil {
			t.Fatal(err)
		}
		// What others have put there, or left, is old by then.
		v.set(time.Now().AddDate(0, 0, 3))
		rep := v.clean()
		if rep.Missing != 2 || rep.Resized != 1 || rep.Unknown != 2 || rep.Manifests != 2 || rep.Uploads != 1 || rep.Orphaned != 1 || rep.Copies+rep.Archives != 0 || !strings.Contains(rep.Held, "is not in the bucket") {
			t.Errorf("%+v", rep)
		}
		for c, want := range map[*backup.Copy]string{&lost: "quarantined", &cut: "quarantined", &archived: "archive"} {
			now, err := v.store.Copy(ctx, c.ID)
			if err != nil {
				t.Fatal(err)
			}
			if (now.QuarantinedAt != nil) != (want == "quarantined") || now.ObjectGone != (want == "archive") || now.DeletedAt != nil {
				t.Errorf("%s is not %s: %+v", c.Key, want, now)
			}
		}
		if told := v.told(backup.EventObjectDamaged); len(told) != 3 {
			t.Errorf("told: %+v", told)
		}
		for u, err := range v.bucket.Uploads(ctx) {
			t.Errorf("an upload is left: %+v, %v", u, err)
		}
		m, err := catalogue.Scan(ctx, v.bucket, catalogue.Options{})
		if err != nil || len(m.Unknown) != 1 || !slices.ContainsFunc(m.Copies, func(c catalogue.Copy) bool { return c.Manifest.CopyID == bare.ID && !c.Made }) {
			t.Errorf("the bucket by itself: %+v, %v", m, err)
		}
		// The second time there is nothing new, and deletions go on.
		if rep = v.clean(); rep.Missing+rep.Resized+rep.Manifests+rep.Uploads != 0 || rep.Unknown != 2 || rep.Held != "" {
			t.Errorf("again: %+v", rep)
		}
		if got := v.keys(); !slices.Contains(got, "photos/cat.jpg") || !slices.Contains(got, "daily/2026-11-16/stray.sql") || !slices.Contains(got, cut.Key) {
			t.Errorf("what is unknown or damaged was deleted: %v", got)
		}
		if len(v.told(backup.EventObjectDamaged)) != 3 {
			t.Error("told twice")
		}
	})
}

// TestCleanupUnderReaders: what is read when a cleanup comes stays, and goes with
// the next.
func TestCleanupUnderReaders(t *testing.T) {
	v := newShortVault(t, false)
	read := v.listed()[slices.IndexFunc(v.listed(), func(c backup.Copy) bool { return c.Date.String() == "2026-11-17" })]
	release, err := v.store.ReadingFor(t.Context(), "a download", read.ID)
	if err != nil {
		t.Fatal(err)
	}
	within, err := v.store.ReadingArchive(t.Context(), "a download", "2026-W46")
	if err != nil {
		t.Fatal(err)
	}
	rep := v.clean()
	want := append([]string{"daily/2026-11-17/db-a.sql"}, settledShort[:8]...)
	want = append(want, "weekly/2026-W46.tar.gz", "weekly/2026-W47.tar.gz", "weekly/2026-W48.tar.gz")
	if got := v.keys(); !slices.Equal(got, want) && !slices.Equal(got, slices.DeleteFunc(want, func(k string) bool { return strings.HasPrefix(k, "kept/") })) {
		t.Errorf("the bucket holds %v: %+v", got, rep)
	}
	release()
	within()
	if v.clean(); !slices.Equal(v.keys(), settledShort) {
		t.Errorf("then: %v", v.keys())
	}
	v.whole()
}

// TestProofHoldsItsCopy: a copy cannot be deleted while it is being proven.
func TestProofHoldsItsCopy(t *testing.T) {
	b := newBench(t)
	names := b.register(backup.Normal)
	r := b.runner(nil)
	proving, goOn := make(chan struct{}), make(chan struct{})
	slow(r, proving, goOn)
	b.start(r)
	job := b.request(r, backup.Request{Action: backup.ActionBackup, Databases: names, Actor: "test"})
	b.ended(job.JobID)
	<-proving
	res := b.results(job.JobID)[names[0]]
	if _, err := b.store.DropCopy(t.Context(), res.CopyID, "old", time.Now()); !errors.Is(err, store.ErrReading) {
		t.Errorf("dropped while it was proven: %v", err)
	}
	close(goOn)
	b.until("the copy is proven", func() bool {
		c, err := b.store.Copy(t.Context(), res.CopyID)
		return err == nil && c.Proof == backup.ProofProven
	})
}

// TestErase: an admin has what a gone database left behind deleted, pinned or
// not; what is in archives goes with them; the others are untouched.
func TestErase(t *testing.T) {
	v := newVault(t, false, 2)
	v.night()
	v.days(5)
	ctx := t.Context()
	for _, c := range v.listed() {
		if c.DatabaseName == "db-b" {
			if err := v.store.SetPinned(ctx, c.ID, true); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	ask := backup.Request{Action: backup.ActionErase, Databases: []string{v.id("db-b")}, Actor: "ada"}
	if _, err := v.runner.Request(ctx, ask); !errors.Is(err, backup.ErrConflict) {
		t.Fatalf("while it is in the account: %v", err)
	}
	gone := v.now()
	v.enter("db-b", &gone)
	job := v.ended(v.request(v.runner, ask).JobID)
	if job.Status != backup.JobCompleted {
		t.Fatalf("%s: %s", job.Status, job.Error)
	}
	for _, c := range v.listed() {
		if c.DatabaseName == "db-b" {
			t.Errorf("%s is listed", c.Key)
		}
	}
	for _, key := range v.keys() {
		if strings.Contains(key, "db-b") {
			t.Errorf("%s is stored", key)
		}
	}
	v.whole()
	audit, _, err := v.store.Audit(ctx, store.AuditFilter{})
	if err != nil || len(audit) != 1 || audit[0].Actor != "ada" || audit[0].Action != "erase ended" || !strings.Contains(audit[0].Reason, "6 objects") {
		t.Errorf("on record: %+v, %v", audit, err)
	}
}

// TestCleanupSlot: a Sunday's slot starts one cleanup, which ends the slot; a
// second request while it is under way is told so.
func TestCleanupSlot(t *testing.T) {
	v := newVault(t, false, 1, func(c *Config) { c.Cleanup = "0 5 * * 0" })
	v.night()
	v.set(time.Date(2026, 11, 15, 5, 0, 30, 0, time.UTC))
	var slots []store.Slot
	v.until("the slot has ended", func() bool {
		var err error
		if slots, err = v.store.Slots(t.Context(), CleanupSchedule, 10); err != nil {
			t.Fatal(err)
		}
		return len(slots) == 1 && slots[0].EndedAt != nil
	})
	job := v.job(slots[0].JobID)
	if slots[0].Status != store.SlotDone || job.Kind != backup.JobCleanup || job.Trigger != backup.TriggerWeekly || job.Status != backup.JobCompleted {
		t.Errorf("%+v, %+v", slots[0], job)
	}
	v.stop(v.runner)
	idle := v.bench.runner(nil, func(c *Config) { c.Bucket, c.Clock = v.bucket, v.now })
	started := v.request(idle, backup.Request{Action: backup.ActionCleanup, Actor: "test"})
	_, err := idle.Request(t.Context(), backup.Request{Action: backup.ActionCleanup, Actor: "test"})
	var busy *backup.BusyError
	if !errors.As(err, &busy) || busy.JobID != started.JobID || !errors.Is(err, backup.ErrConflict) {
		t.Errorf("asked twice: %v", err)
	}
	cancelled := v.request(idle, backup.Request{Action: backup.ActionCancel, JobID: started.JobID, Actor: "test"})
	v.runner = v.vaultRunner()
	if job = v.ended(cancelled.JobID); job.Status != backup.JobCancelled {
		t.Errorf("cancelled, it is %s", job.Status)
	}
}
