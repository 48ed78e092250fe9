package jobs

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/prove"
	"github.com/AutumnsGrove/Patina/store"
)

// The week of these tests holds 23 to 29 November 2026.
const (
	w48      = "2026-W48"
	w48Slot  = "2026-11-29T04:00:00Z"
	w48After = "2026-12-01T12:00:00Z"
	sundays  = "0 4 * * 0"
)

// weekly is a bench whose copies are real ones, of SQLite files.
type weekly struct {
	*bench
	files  string
	names  []string
	bucket object.Bucket
	clock  *atomic.Pointer[time.Time]
}

func newWeekly(t *testing.T, rowBytes int) *weekly {
	t.Helper()
	b := newBench(t)
	b.real = true
	w := &weekly{bench: b, names: b.register(backup.Critical, backup.Normal), clock: clockAt("2026-11-28T12:00:00Z")}
	b.exec("UPDATE databases SET first_seen_at = '2026-01-01'")
	w.files = b.sqliteFiles(w.names, rowBytes)
	var err error
	if w.bucket, err = object.OpenFolder(b.out.dir); err != nil {
		t.Fatal(err)
	}
	return w
}

// stored makes a copy of database n for a date, lists it and gives its ID.
func (w *weekly) stored(n int, date string, kind backup.CopyKind, proof backup.ProofState) string {
	w.t.Helper()
	d, err := backup.ParseDate(date)
	if err != nil {
		w.t.Fatal(err)
	}
	at := d.Time().Add(3 * time.Hour)
	db := backup.Database{ID: uuidOf(n + 1), Name: w.names[n]}
	m, err := export.Run(w.t.Context(), sqliteFile{db, filepath.Join(w.files, db.Name+".db")}, w.bucket, export.Request{
		Key: object.Key{Kind: kind, Date: d, At: at, JobID: newID(), Slug: db.Name}, CopyID: newID(), Kind: kind, Date: d, Clock: func() time.Time { return at },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	c := copyOf(m, at)
	c.Proof = proof
	id, err := w.store.RecordCopy(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// week makes the dailies of both databases on these days of November.
func (w *weekly) week(days ...int) (ids []string) {
	for _, day := range days {
		for n := range w.names {
			ids = append(ids, w.stored(n, fmt.Sprintf("2026-11-%02d", day), backup.Daily, backup.ProofProven))
		}
	}
	return ids
}

func (w *weekly) run(change ...func(*Config)) *Runner {
	w.t.Helper()
	return w.start(w.runner(nil, append([]func(*Config){overFiles(w.files, w.out.dir), func(c *Config) {
		c.Clock, c.Weekly = func() time.Time { return *w.clock.Load() }, sundays
	}}, change...)...))
}

// slotEnded waits for a weekly slot's end.
func (w *weekly) slotEnded(slot string) store.Slot {
	w.t.Helper()
	var sl store.Slot
	w.until("the weekly slot has ended", func() bool {
		var err error
		sl, err = w.store.Slot(w.t.Context(), WeeklySchedule, at(slot))
		return err == nil && sl.Status != store.SlotRunning && sl.Reason != waitsForNightly
	})
	return sl
}

func (w *weekly) archive(week string) backup.Archive {
	w.t.Helper()
	a, err := w.store.Archive(w.t.Context(), week)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// members gives what lies in an archive: "2026-11-23/db-a.sql".
func (w *weekly) members(week string) (names []string) {
	w.t.Helper()
	list, err := w.store.ArchiveMembers(w.t.Context(), week)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range list {
		names = append(names, c.Archived.Name)
		if err := w.store.MoveToArchive(w.t.Context(), c.ID); err != nil {
			w.t.Error(err)
		}
		c.ObjectGone = true
		r, err := archive.OpenCopy(w.t.Context(), w.bucket, c)
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			w.t.Errorf("%s out of the archive: %v", c.Archived.Name, err)
		}
		_ = r.Close()
	}
	return names
}

func (w *weekly) object(key string) []byte {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.out.dir, key))
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

func (w *weekly) events(kind backup.EventKind) (out []backup.Event) {
	w.t.Helper()
	all, err := w.store.Events(w.t.Context(), time.Time{}, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range all {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

// TestWeekly: at the slot the week is archived: its dailies, the newest manual
// copy of a date that has none, and by name what is missing. Suspect copies are
// left out. A second time changes nothing.
func TestWeekly(t *testing.T) {
	w := newWeekly(t, 10)
	w.week(23, 24, 25, 28, 29)
	w.stored(0, "2026-11-26", backup.Manual, backup.ProofPending)
	suspect := w.stored(1, "2026-11-26", backup.Daily, backup.ProofSuspect)
	w.stored(0, "2026-11-27", backup.Daily, backup.ProofPending)
	r := w.run()
	set(w.clock, w48Slot)
	sl := w.slotEnded(w48Slot)
	job := w.job(sl.JobID)
	if sl.Status != store.SlotDone || job.Kind != backup.JobArchive || job.Trigger != backup.TriggerWeekly || job.Status != backup.JobCompleted || job.Error != "" || job.Totals.Succeeded != 2 {
		t.Fatalf("%+v, %+v", sl, job)
	}
	a := w.archive(w48)
	if a.Members != 12 || a.Key != "weekly/2026-W48.tar.gz" || a.From.String() != "2026-11-23" || a.To.String() != "2026-11-29" || a.JobID != job.ID || a.Size != job.Totals.Bytes {
		t.Errorf("%+v", a)
	}
	var missing []string
	for _, g := range a.Missing {
		missing = append(missing, g.Date.String()+" "+g.DatabaseName+": "+g.Reason)
	}
	if want := []string{"2026-11-26 db-b: its copy is suspect and was left out", "2026-11-27 db-b: no copy was made"}; !slices.Equal(missing, want) {
		t.Errorf("missing %q", missing)
	}
	before := w.object(a.Key)
	set(w.clock, w48After)
	// Asked for again, it is read once more, and stays as it is.
	again := w.ended(w.request(r, backup.Request{Action: backup.ActionArchive, Week: w48, Actor: "ada"}).JobID)
	if again.Status != backup.JobCompleted || again.Trigger != backup.TriggerManual || !bytes.Equal(w.object(a.Key), before) {
		t.Errorf("%+v", again)
	}
	if got := w.members(w48); len(got) != 12 || !slices.Contains(got, "2026-11-26/db-a.sql") || slices.Contains(got, "2026-11-26/db-b.sql") {
		t.Errorf("members %q", got)
	}
	if got, err := w.store.Archived(t.Context(), suspect); err != nil || len(got) != 0 {
		t.Errorf("a suspect copy is archived: %v, %v", got, err)
	}
	if n := len(w.events(backup.EventJobFailed)) + len(w.events(backup.EventWeeklySkipped)); n != 0 {
		t.Errorf("%d events", n)
	}
	w.settledArchive()
}

// settledArchive checks what must hold once no archive is being made.
func (w *weekly) settledArchive() {
	w.t.Helper()
	if n := w.count("SELECT count(*) FROM backup_jobs WHERE status IN ('queued', 'running')"); n != 0 {
		w.t.Errorf("%d jobs are open", n)
	}
	if n := w.count("SELECT count(*) FROM schedule_slots WHERE status = 'running'"); n != 0 {
		w.t.Errorf("%d slots are open", n)
	}
	for u, err := range w.bucket.Uploads(w.t.Context()) {
		w.t.Errorf("an upload of %s is left: %v", u.Key, err)
	}
}

// TestWeeklyWaitsForNightly: a nightly that still runs at the slot is told at
// once, and the same slot is made when it has ended, with what it stored.
func TestWeeklyWaitsForNightly(t *testing.T) {
	w := newWeekly(t, 10)
	w.week(27, 28)
	open := make(chan struct{})
	r := w.runner(nil, overFiles(w.files, w.out.dir), func(c *Config) {
		c.Nightly, c.Weekly = "0 3 * * *", sundays
		c.Clock = func() time.Time { return *w.clock.Load() }
	})
	real := r.export
	r.export = func(ctx context.Context, db backup.Database, req export.Request) (*backup.Manifest, error) {
		<-open
		return real(ctx, db, req)
	}
	w.start(r)
	set(w.clock, "2026-11-29T03:00:00Z")
	w.until("the nightly runs", func() bool {
		return w.count("SELECT count(*) FROM backup_results WHERE status = 'running'") == 2
	})
	set(w.clock, w48Slot)
	w.until("the weekly is skipped", func() bool { return len(w.events(backup.EventWeeklySkipped)) == 1 })
	e := w.events(backup.EventWeeklySkipped)[0]
	if sl, err := w.store.Slot(t.Context(), WeeklySchedule, at(w48Slot)); err != nil || sl.Status != store.SlotSkipped || e.JobID == "" || e.Next == "" || !strings.Contains(e.Message, w48) {
		t.Fatalf("%+v, %+v, %v", sl, e, err)
	}
	if _, err := r.Request(t.Context(), backup.Request{Action: backup.ActionArchive, Week: w48}); backup.Kind(err) != backup.ErrConflict {
		t.Errorf("asked for meanwhile: %v", err)
	}
	close(open)
	if sl := w.slotEnded(w48Slot); sl.Status != store.SlotDone {
		t.Fatalf("%+v", sl)
	}
	if got := w.members(w48); !slices.Contains(got, "2026-11-29/db-a.sql") || len(got) != 6 {
		t.Errorf("members %q", got)
	}
	if n := w.count("SELECT count(*) FROM backup_jobs WHERE kind = 'archive'"); n != 1 || len(w.events(backup.EventWeeklySkipped)) != 1 {
		t.Errorf("%d jobs", n)
	}
}

// TestLateDaily: what comes after its week's archive was closed goes into the
// next one, under its own date.
func TestLateDaily(t *testing.T) {
	w := newWeekly(t, 10)
	w.week(23, 24, 25)
	w.run()
	set(w.clock, w48Slot)
	w.slotEnded(w48Slot)
	first := w.object("weekly/2026-W48.tar.gz")
	w.week(26)
	w.week(30)
	set(w.clock, "2026-12-06T04:00:00Z")
	w.slotEnded("2026-12-06T04:00:00Z")
	if got := w.members("2026-W49"); !slices.Equal(got, []string{"2026-11-26/db-a.sql", "2026-11-26/db-b.sql", "2026-11-30/db-a.sql", "2026-11-30/db-b.sql"}) {
		t.Errorf("members %q", got)
	}
	if !bytes.Equal(w.object("weekly/2026-W48.tar.gz"), first) {
		t.Error("the archive that was closed has changed")
	}
}

// TestArchiveWithoutDamaged: a copy that is not what was stored is taken out of
// use, and the others are archived; where most of them are not, nothing is
// changed.
func TestArchiveWithoutDamaged(t *testing.T) {
	w := newWeekly(t, 10)
	ids := w.week(23, 24)
	text := w.object("daily/2026-11-24/db-a.sql")
	text[300] ^= 1
	if err := os.WriteFile(filepath.Join(w.out.dir, "daily/2026-11-24/db-a.sql"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	set(w.clock, w48After)
	r := w.run(func(c *Config) { c.Weekly = never })
	job := w.ended(w.request(r, backup.Request{Action: backup.ActionArchive, Week: w48}).JobID)
	if got := w.members(w48); job.Status != backup.JobCompleted || len(got) != 3 || slices.Contains(got, "2026-11-24/db-a.sql") {
		t.Errorf("%s, members %q", job.Status, got)
	}
	c, err := w.store.Copy(t.Context(), ids[2])
	if e := w.events(backup.EventObjectDamaged); err != nil || c.QuarantinedAt == nil || len(e) != 1 || e[0].CopyID != c.ID {
		t.Errorf("%+v, %+v, %v", c, e, err)
	}
	if !bytes.Equal(w.object("daily/2026-11-24/db-a.sql"), text) {
		t.Error("the damaged object was touched")
	}
	// Another bucket than the catalogue's.
	w.week(30)
	if err := os.Rename(filepath.Join(w.out.dir, "daily"), filepath.Join(w.out.dir, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	set(w.clock, "2026-12-07T12:00:00Z")
	job = w.ended(w.request(r, backup.Request{Action: backup.ActionArchive, Week: "2026-W49"}).JobID)
	if n := w.count("SELECT count(*) FROM backup_inventory WHERE quarantined_at IS NOT NULL"); job.Status != backup.JobFailed || n != 1 || len(w.events(backup.EventObjectDamaged)) != 2 {
		t.Errorf("%+v, and %d copies are in quarantine, %+v", job, n, w.events(backup.EventObjectDamaged))
	}
}

// TestArchiveKeyTaken: what lies at the key and is not ours stays; the job fails
// and says so; the copies go into the next archive.
func TestArchiveKeyTaken(t *testing.T) {
	w := newWeekly(t, 10)
	w.week(23, 30)
	foreign := []byte("somebody's own file")
	if err := w.bucket.Replace(t.Context(), "weekly/2026-W48.tar.gz", foreign, ""); err != nil {
		t.Fatal(err)
	}
	set(w.clock, "2026-12-07T12:00:00Z")
	r := w.run(func(c *Config) { c.Weekly = never })
	job := w.ended(w.request(r, backup.Request{Action: backup.ActionArchive, Week: w48}).JobID)
	if e := w.events(backup.EventJobFailed); job.Status != backup.JobFailed || len(e) != 1 || e[0].JobID != job.ID || e[0].Next == "" {
		t.Errorf("%+v, %+v", job, e)
	}
	if !bytes.Equal(w.object("weekly/2026-W48.tar.gz"), foreign) {
		t.Error("the foreign object was changed")
	}
	w.ended(w.request(r, backup.Request{Action: backup.ActionArchive, Week: "2026-W49"}).JobID)
	if got := w.members("2026-W49"); len(got) != 4 {
		t.Errorf("members %q", got)
	}
}

// TestArchiveLater: a bucket that is away for a while costs attempts, and the
// archive is made in the end; nothing is listed before.
func TestArchiveLater(t *testing.T) {
	w := newWeekly(t, 10)
	w.week(23)
	set(w.clock, w48After)
	away := &awayBucket{Bucket: w.bucket}
	away.left.Store(3)
	r := w.run(func(c *Config) { c.Bucket, c.Weekly = away, never })
	job := w.ended(w.request(r, backup.Request{Action: backup.ActionArchive, Week: w48}).JobID)
	if job.Status != backup.JobCompleted || away.left.Load() != 0 || w.archive(w48).Members != 2 {
		t.Errorf("%+v, %d left", job, away.left.Load())
	}
	w.settledArchive()
}

// awayBucket refuses to begin an upload some times.
type awayBucket struct {
	object.Bucket
	left atomic.Int64
}

func (b *awayBucket) Create(ctx context.Context, key string, opt object.CreateOptions) (object.Upload, error) {
	if b.left.Load() > 0 {
		b.left.Add(-1)
		return nil, backup.Errorf(backup.ErrUnavailable, "the bucket answers 503")
	}
	return b.Bucket.Create(ctx, key, opt)
}

func TestRequestArchiveRefused(t *testing.T) {
	w := newWeekly(t, 10)
	r := w.run(func(c *Config) { c.Nightly = "0 3 * * *" })
	for week, kind := range map[string]error{"2026-W54": backup.ErrInvalid, "2026-48": backup.ErrInvalid, "": backup.ErrInvalid, w48: backup.ErrInvalid} {
		if _, err := r.Request(t.Context(), backup.Request{Action: backup.ActionArchive, Week: week}); backup.Kind(err) != kind {
			t.Errorf("%q: %v", week, err)
		}
	}
	// A week without a copy ends well, and nothing is made.
	job := w.ended(w.request(r, backup.Request{Action: backup.ActionArchive, Week: "2026-W40"}).JobID)
	if _, err := w.store.Archive(t.Context(), "2026-W40"); job.Status != backup.JobCompleted || backup.Kind(err) != backup.ErrNotFound {
		t.Errorf("%+v, %v", job, err)
	}
}

func TestWeekOf(t *testing.T) {
	t.Parallel()
	for slot, want := range map[string]string{
		w48Slot: w48, "2026-11-30T05:00:00Z": w48, "2026-12-05T23:00:00Z": w48, "2027-01-03T04:00:00Z": "2026-W53", "2027-01-10T04:00:00Z": "2027-W01", "2025-01-05T04:00:00Z": "2025-W01",
	} {
		if got := weekOf(at(slot)).String(); got != want {
			t.Errorf("the slot %s is of %s, want %s", slot, got, want)
		}
	}
}

// TestKillTheArchive kills the process before and after each named step of an
// archive. A restart ends the job by itself: one archive, whole, every copy in
// it, and no byte of a copy changed.
func TestKillTheArchive(t *testing.T) {
	for _, step := range []string{"upload.create", "upload.part", "upload.complete", "verify", "manifest", "commit"} {
		for _, when := range []string{"before:", "after:"} {
			t.Run(when+step, func(t *testing.T) {
				w := newWeekly(t, 10)
				if step == "upload.part" {
					w.noise()
				}
				ids := w.week(23, 24, 25)
				before := map[string][]byte{}
				for _, id := range ids {
					c, err := w.store.Copy(t.Context(), id)
					if err != nil {
						t.Fatal(err)
					}
					before[c.Key] = w.object(c.Key)
				}
				set(w.clock, w48After)
				asking := w.runner(nil, overFiles(w.files, w.out.dir), func(c *Config) { c.Clock = func() time.Time { return *w.clock.Load() } })
				started := w.request(asking, backup.Request{Action: backup.ActionArchive, Week: "2026-W48", Actor: "ada"})
				killed := w.child(childConfig{KillAt: when + "archive." + step, SQLite: w.files})
				if sig := killed.dies(); sig != syscall.SIGKILL {
					t.Fatalf("the child ended by %v", sig)
				}
				restarted := time.Now()
				w.start(w.runner(nil, overFiles(w.files, w.out.dir)))
				if job := w.ended(started.JobID); job.Status != backup.JobCompleted {
					t.Errorf("%+v", job)
				}
				if took := time.Since(restarted); took > time.Minute {
					t.Errorf("it took %v to end", took)
				}
				for key, text := range before {
					if !bytes.Equal(w.object(key), text) {
						t.Errorf("%s has changed", key)
					}
				}
				a := w.archive("2026-W48")
				week, _ := object.ParseWeek(a.Week)
				if m, err := archive.Check(t.Context(), w.bucket, week, a.SHA256); err != nil || len(m.Members) != 6 {
					t.Errorf("%v", err)
				}
				if got := w.members(a.Week); len(got) != 6 {
					t.Errorf("members %q", got)
				}
			})
		}
	}
}

// noise makes one database's rows hard to compress, so that an archive has more
// than one part.
func (w *weekly) noise() {
	w.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(w.files, w.names[0]+".db"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("UPDATE notes SET body = hex(randomblob(8000))"); err != nil {
		w.t.Fatal(err)
	}
}

// TestCompressed: with gzip a night's copies are stored, proven and archived as
// they are, and one that lies in the archive alone proves again.
func TestCompressed(t *testing.T) {
	w := newWeekly(t, 10)
	set(w.clock, "2026-11-29T02:00:00Z")
	r := w.run(func(c *Config) { c.Compress, c.Nightly, c.Weekly = backup.Gzip, "0 3 * * *", sundays })
	set(w.clock, "2026-11-29T03:00:00Z")
	w.until("both copies are proven", func() bool {
		return w.count("SELECT count(*) FROM backup_inventory WHERE proof = 'proven' AND compression = 'gzip' AND key LIKE 'daily/2026-11-29/db-_.sql.gz'") == 2
	})
	w.stored(0, "2026-11-28", backup.Daily, backup.ProofProven) // a plain one beside them
	set(w.clock, w48Slot)
	if sl := w.slotEnded(w48Slot); sl.Status != store.SlotDone {
		t.Fatalf("%+v", sl)
	}
	stored := w.object("weekly/2026-W48.tar.gz")
	list, err := w.store.ArchiveMembers(t.Context(), w48)
	if err != nil || len(list) != 3 {
		t.Fatalf("%d members, %v", len(list), err)
	}
	for _, c := range list {
		if part := stored[c.Archived.Offset : c.Archived.Offset+c.Archived.Length]; c.Compression == backup.Gzip && !bytes.Equal(part, w.object(c.Key)) {
			t.Errorf("%s is not in the archive as it was stored", c.Key)
		}
		if err := w.store.MoveToArchive(t.Context(), c.ID); err != nil {
			t.Fatal(err)
		}
		if err := w.bucket.Delete(t.Context(), c.Key); err != nil {
			t.Fatal(err)
		}
		alone, err := w.store.Copy(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.prove(t.Context(), alone, prove.Options{}); err != nil {
			t.Errorf("%s out of the archive: %v", c.Archived.Name, err)
		}
		s := alone.Manifest.Sections[0]
		rd, err := archive.OpenSection(t.Context(), w.bucket, alone, s)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(rd); err != nil || !bytes.HasPrefix(text, []byte("-- table: notes\n")) {
			t.Errorf("the table out of the archive: %v, %.40q", err, text)
		}
	}
}
