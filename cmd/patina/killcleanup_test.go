package main_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/catalogue"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/store"
)

// aged stores, for each database of the rig that has a copy, one made on demand
// so many days ago, with the same bytes.
func (r *rig) aged(s *store.Store, ago int) {
	r.t.Helper()
	ctx := r.t.Context()
	list, _, err := s.Copies(ctx, store.CopyFilter{Kind: backup.Daily, Limit: 10})
	if err != nil || len(list) != 2 {
		r.t.Fatalf("%d dailies: %v", len(list), err)
	}
	for _, c := range list {
		full, err := s.Copy(ctx, c.ID)
		if err != nil {
			r.t.Fatal(err)
		}
		body, err := r.bucket.Open(ctx, c.Key, 0, -1)
		if err != nil {
			r.t.Fatal(err)
		}
		bytesOf, err := io.ReadAll(body)
		_ = body.Close()
		if err != nil {
			r.t.Fatal(err)
		}
		at := time.Now().UTC().AddDate(0, 0, -ago).Truncate(time.Second)
		m := *full.Manifest
		m.Kind, m.Date, m.StartedAt, m.CopyID = backup.Manual, backup.DateOf(at), at, uuid.Must(uuid.NewV7()).String()
		m.Key = object.Key{Kind: backup.Manual, Date: m.Date, At: at, JobID: m.CopyID, Slug: c.DatabaseName}.String()
		full.ID, full.Kind, full.Date, full.TakenAt, full.CreatedAt, full.Key, full.Manifest = m.CopyID, m.Kind, m.Date, at, at, m.Key, &m
		full.Proof = backup.ProofPending
		text, err := m.Encode()
		if err != nil {
			r.t.Fatal(err)
		}
		for key, b := range map[string][]byte{m.Key: bytesOf, object.ManifestKey(m.Key): text} {
			if err := r.bucket.Replace(ctx, key, bytes.Clone(b), ""); err != nil {
				r.t.Fatal(err)
			}
		}
		if _, err := s.RecordCopy(ctx, full); err != nil {
			r.t.Fatal(err)
		}
	}
}

// TestKill9Cleanup kills the process at steps of a cleanup that was asked for on
// the command line. What was listed then is there; after the restart the same
// job ends by itself, and exactly what had expired is gone.
func TestKill9Cleanup(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{}, 1) // each is a whole installation
	for n, point := range []string{
		"before:cleanup.unlist", "after:cleanup.unlist", "before:cleanup.delete", "after:cleanup.object", "after:cleanup.object:2", "after:cleanup.delete",
		"after:cleanup.unlist:2", "before:cleanup.compact", "before:cleanup.end", "after:cleanup.end",
	} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			gate <- struct{}{}
			defer func() { <-gate }()
			r := newRig(t, n%2 == 1)
			ctx := t.Context()
			s, err := store.Open(ctx, r.database)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			c := r.conn()
			defer c.Close(ctx)
			first := r.serve("")
			r.wait(time.Minute, "the nightly", func() bool { _, ok := r.ended(c); return ok })
			stop(t, first)
			r.aged(s, 40)
			r.aged(s, 20)
			r.run(append([]string{"prune"}, r.flags...)...)
			died := r.serve(point)
			late := time.AfterFunc(time.Minute, func() { _ = died.Process.Signal(syscall.SIGTERM) })
			_ = died.Wait()
			late.Stop()
			if ws, ok := died.ProcessState.Sys().(syscall.WaitStatus); !ok || !ws.Signaled() || ws.Signal() != syscall.SIGKILL {
				t.Fatalf("the fault did not fire: %v\n%s", died.ProcessState, tail(r.log.String()))
			}
			r.there(s)
			again := r.serve("")
			r.wait(time.Minute, "the cleanup's end after the restart", func() bool {
				var status string
				return c.QueryRow(ctx, "SELECT status FROM backup_jobs WHERE kind = 'cleanup' AND completed_at IS NOT NULL").Scan(&status) == nil && status == "completed"
			})
			r.wait(time.Minute, "the server", func() bool { // it may only just have begun
				req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.addr+"/healthz", nil)
				res, err := http.DefaultClient.Do(req)
				if err == nil {
					_ = res.Body.Close()
				}
				return err == nil
			})
			stop(t, again)
			if got := r.there(s); got != 4 {
				t.Errorf("%d copies are listed, want the nightly's and those of 20 days", got)
			}
			var stored int
			for _, err := range r.bucket.List(ctx, "manual/") {
				if err != nil {
					t.Fatal(err)
				}
				stored++
			}
			if stored != 4 {
				t.Errorf("%d objects lie under manual/, want two copies and their manifests", stored)
			}
			var left int
			if err := c.QueryRow(ctx, "SELECT count(*) FROM removals").Scan(&left); err != nil || left != 0 {
				t.Errorf("%d objects are left to be deleted, %v", left, err)
			}
		})
	}
}

// there counts the listed copies, each of which must be in the bucket, byte for
// byte.
func (r *rig) there(s *store.Store) int {
	r.t.Helper()
	h, err := s.Holdings(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, c := range h.Copies {
		if err := catalogue.Check(r.t.Context(), r.bucket, c); err != nil {
			r.t.Error(fmt.Errorf("%s is listed: %w", c.Key, err))
		}
	}
	return len(h.Copies)
}
