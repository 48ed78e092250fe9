package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/source"
	"github.com/AutumnsGrove/Patina/store"
)

// newArchiveRig is an installation with a week of dailies, whose weekly archive
// was due an hour ago.
func newArchiveRig(t *testing.T, s3 bool) (*rig, object.Week) {
	t.Helper()
	r := newRig(t, s3)
	due := time.Now().UTC().Add(-time.Hour)
	spec := fmt.Sprintf("%d %d * * %d", due.Minute(), due.Hour(), due.Weekday())
	r.env = append(r.env, "PATINA_NIGHTLY=0 3 29 2 *", "PATINA_WEEKLY="+spec)
	r.exec("DELETE FROM schedules")
	r.exec(`INSERT INTO schedules(id, kind, spec, created_at) VALUES('weekly', 'archive', $1, $2)`, spec, due.Add(-time.Hour))
	s, err := store.Open(t.Context(), r.database)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	srv := httptest.NewServer(r.sim.Handler())
	defer srv.Close()
	client, err := d1.New(d1.Config{AccountID: "acc", Token: "tok", BaseURL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	databases, err := s.Databases(t.Context(), store.DatabaseFilter{})
	if err != nil || len(databases) != 2 {
		t.Fatal(databases, err)
	}
	today := backup.DateOf(due)
	w := object.WeekOf(today.AddDays(-int(due.Weekday())).Time())
	for i, db := range databases {
		if s3 && i == 1 { // hard to compress, so that there are several parts
			if err := r.sim.Exec(db.ID, "UPDATE t SET v = hex(randomblob(500))"); err != nil {
				t.Fatal(err)
			}
		}
		for day := range archive.Days {
			if s3 && day > 1 {
				break
			}
			date := w.Monday().AddDays(day)
			at := date.Time().Add(3 * time.Hour)
			m, err := export.Run(t.Context(), source.D1(client, db.ID, db.Name), r.bucket, export.Request{
				Key: object.Key{Kind: backup.Daily, Date: date, Slug: db.Name}, CopyID: uuid.NewString(), Kind: backup.Daily, Date: date, Clock: func() time.Time { return at },
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.RecordCopy(t.Context(), backup.Copy{
				ID: m.CopyID, DatabaseID: db.ID, DatabaseName: db.Name, Kind: backup.Daily, Date: date, TakenAt: at, Key: m.Key, Size: m.Size, SHA256: m.SHA256,
				BodySHA256: m.BodySHA256, Tables: m.TableCount, Rows: m.Rows, Consistency: m.Consistency, Compression: m.Compression, Proof: backup.ProofProven,
				CreatedAt: at, Manifest: m,
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return r, w
}

// TestKill9Archive kills the process before and after each named step of an
// archive. A restart ends the job by itself: one archive, whole, with every copy
// of the week in it, and not one byte of a copy changed.
func TestKill9Archive(t *testing.T) {
	t.Parallel()
	type point struct {
		s3   bool
		name string
	}
	var points []point
	for _, when := range []string{"before", "after"} {
		for _, step := range []string{"upload.create", "upload.complete", "verify", "manifest", "commit"} {
			points = append(points, point{false, when + ":archive." + step})
		}
		for _, step := range []string{"upload.part", "upload.part:2", "upload.complete"} {
			points = append(points, point{true, when + ":archive." + step})
		}
	}
	gate := make(chan struct{}, 2) // two at a time: each is a whole installation
	for _, p := range points {
		t.Run(fmt.Sprintf("%s s3=%v", p.name, p.s3), func(t *testing.T) {
			t.Parallel()
			gate <- struct{}{}
			defer func() { <-gate }()
			r, w := newArchiveRig(t, p.s3)
			before := r.objects()
			died := r.serve(p.name)
			late := time.AfterFunc(2*time.Minute, func() { _ = died.Process.Signal(syscall.SIGTERM) })
			_ = died.Wait()
			late.Stop()
			if ws, ok := died.ProcessState.Sys().(syscall.WaitStatus); !ok || !ws.Signaled() || ws.Signal() != syscall.SIGKILL {
				t.Fatalf("the fault did not fire: %v\n%s", died.ProcessState, tail(r.log.String()))
			}
			s, err := store.Open(t.Context(), r.database)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			start := time.Now()
			again := r.serve("")
			r.wait(time.Minute, "the archive's end after the restart", func() bool {
				slots, err := s.Slots(t.Context(), "weekly", 1)
				return err == nil && len(slots) == 1 && slots[0].Status != store.SlotRunning
			})
			t.Logf("ended %.1f s after the restart", time.Since(start).Seconds())
			r.checkArchive(s, w, before)
			r.wait(30*time.Second, "the dashboard", func() bool {
				res, err := http.Get("http://" + r.addr + "/healthz") //nolint:noctx // the loopback's
				if err != nil {
					return false
				}
				_ = res.Body.Close()
				return res.StatusCode == http.StatusOK
			})
			stop(t, again)
		})
	}
}

// checkArchive looks at Postgres and the bucket directly.
func (r *rig) checkArchive(s *store.Store, w object.Week, before map[string]string) {
	t, ctx := r.t, r.t.Context()
	t.Helper()
	slots, err := s.Slots(ctx, "weekly", 5)
	if err != nil || len(slots) != 1 || slots[0].Status != store.SlotDone {
		t.Fatalf("the slots are %+v, %v\n%s", slots, err, tail(r.log.String()))
	}
	a, err := s.Archive(ctx, w.String())
	if err != nil {
		t.Fatal(err)
	}
	m, err := archive.Check(ctx, r.bucket, w, a.SHA256)
	if err != nil || len(m.Members) != len(before) || len(before) < 4 {
		t.Fatalf("%d members of %d: %v", len(m.Members), len(before), err)
	}
	members, err := s.ArchiveMembers(ctx, w.String())
	if err != nil || len(members) != len(before) {
		t.Errorf("%d copies are in the archive, want %d: %v", len(members), len(before), err)
	}
	after := r.objects()
	for key, was := range before {
		if after[key] != was {
			t.Errorf("%s was %q and is %q now", key, was, after[key])
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d dailies, and %d before", len(after), len(before))
	}
}
