package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

// commit records a stored copy: the inventory, the result, the free slot and
// what follows, in one transaction, and only if this attempt still holds the
// result. It goes on although the work is being cancelled: the copy is there.
func (r *Runner) commit(ctx context.Context, a *attempt, m *backup.Manifest) error {
	r.cfg.Hook("before:commit")
	res := a.result
	res.Fence = a.fence
	err := r.persist(ctx, func(ctx context.Context, tx pgx.Tx, s *store.Store) error {
		if _, err := s.LockJob(ctx, a.job.ID); err != nil {
			return err
		}
		at := r.now()
		c, err := r.expect(ctx, s, copyOf(m, at))
		if err != nil {
			return err
		}
		id, err := s.RecordCopy(ctx, c)
		if err != nil {
			return err
		}
		res.CopyID, res.Key, res.Size, res.Tables, res.Rows = id, m.Key, m.Size, m.TableCount, m.Rows
		res.Consistency, res.Findings, res.Cost = m.Consistency, m.Findings, m.Cost
		res.CompletedAt, res.Duration = &at, at.Sub(a.At)
		if err := s.SucceedResult(ctx, res); err != nil {
			return err
		}
		if err := r.noteAnomalies(ctx, s, res); err != nil {
			return err
		}
		if err := s.FreeExportSlot(ctx, a.fence); err != nil {
			return err
		}
		if err := r.proveLater(ctx, tx, id); err != nil {
			return err
		}
		return r.follow(ctx, tx, s, a.job.ID)
	})
	if err != nil {
		return err
	}
	r.cfg.Hook("after:commit")
	r.log.Info("stored", "job_id", a.job.ID, "database", res.DatabaseName, "copy_id", res.CopyID, "key", res.Key, "bytes", res.Size,
		"rows", res.Rows, "duration_ms", res.Duration.Milliseconds(), "attempt", a.Number)
	return nil
}

// conclude records what became of an attempt that did not succeed, and tells
// River what to do with its job.
func (r *Runner) conclude(ctx context.Context, a *attempt, err error) error {
	v := judge(ctx, err, a.Number, a.most)
	switch v {
	case done:
		return nil
	case lost:
		return r.free(ctx, a)
	case busy:
		return river.JobSnooze(r.cfg.Timing.Busy)
	case notBegun:
		return river.JobSnooze(0)
	case stopped, again:
		message, next := "", ""
		if v == again {
			message, next = words(ctx, err)
		}
		if saveErr := r.giveBack(ctx, a, message, next); saveErr != nil {
			return saveErr
		}
		if v == stopped {
			return context.Canceled // River puts the job back and refunds the attempt
		}
		r.log.Warn("export will be tried again", "job_id", a.job.ID, "database", a.result.DatabaseName, "attempt", a.Number, "error", kindName(err))
		return plain(err)
	}
	if saveErr := r.end(ctx, a, v, err); saveErr != nil {
		return saveErr
	}
	if v == refused {
		return nil
	}
	r.log.Warn("export ended without a copy", "job_id", a.job.ID, "database", a.result.DatabaseName, "attempt", a.Number, "error", kindName(err))
	return river.JobCancel(plain(err))
}

// giveBack returns a result, and its slot, to the queue.
func (r *Runner) giveBack(ctx context.Context, a *attempt, message, next string) error {
	if a.fence == 0 {
		return nil
	}
	err := r.persist(ctx, func(ctx context.Context, _ pgx.Tx, s *store.Store) error {
		if err := s.RequeueResult(ctx, a.ResultID, a.fence, message, next); err != nil {
			return err
		}
		return s.FreeExportSlot(ctx, a.fence)
	})
	if errors.Is(err, store.ErrFenced) {
		return r.free(ctx, a)
	}
	return err
}

// end records a result that has no copy, for good.
func (r *Runner) end(ctx context.Context, a *attempt, v verdict, cause error) error {
	status, fence := backup.ResultFailed, a.fence
	message, next := words(ctx, cause)
	err := r.persist(ctx, func(ctx context.Context, tx pgx.Tx, s *store.Store) error {
		job, err := s.LockJob(ctx, a.result.JobID)
		if err != nil {
			return err
		}
		res, err := s.Result(ctx, a.ResultID)
		if err != nil {
			return err
		}
		switch {
		case a.fence == 0 && (res.Status.Ended() || res.RiverJobID != a.RiverJobID):
			return store.ErrFenced
		case a.fence == 0:
			fence = res.Fence
		}
		switch v {
		case cancelled:
			message, next = cancelledBy(job), ""
			if a.fence == 0 {
				status = backup.ResultSkipped
			}
		case refused:
			status, message, next = backup.ResultSkipped, "stored for this slot already by another job", ""
		}
		if err := s.EndResult(ctx, a.ResultID, fence, status, r.now(), message, next); err != nil {
			return err
		}
		if err := s.FreeExportSlot(ctx, a.fence); err != nil {
			return err
		}
		return r.follow(ctx, tx, s, job.ID)
	})
	if errors.Is(err, store.ErrFenced) {
		return r.free(ctx, a)
	}
	return err
}

// free gives the slot back where nothing else is left to record.
func (r *Runner) free(ctx context.Context, a *attempt) error {
	if a.fence == 0 {
		return nil
	}
	return r.persist(ctx, func(ctx context.Context, _ pgx.Tx, s *store.Store) error { return s.FreeExportSlot(ctx, a.fence) })
}

// persist runs a transaction that must not be lost because the work's context
// has ended or Postgres is restarting. A transaction whose answer was lost is
// tried again: each is guarded by the fencing token.
func (r *Runner) persist(ctx context.Context, fn func(context.Context, pgx.Tx, *store.Store) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	wait := 100 * time.Millisecond
	for {
		err := r.store.InTx(ctx, func(tx pgx.Tx, s *store.Store) error { return fn(ctx, tx, s) })
		if !errors.Is(err, backup.ErrUnavailable) {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("record what became of an export: %w", err)
		case <-t.C:
		}
		wait = min(2*wait, 5*time.Second)
	}
}

// copyOf makes the catalogue's entry of a stored dump.
func copyOf(m *backup.Manifest, at time.Time) backup.Copy {
	return backup.Copy{
		ID: m.CopyID, ResultID: m.ResultID, JobID: m.JobID, DatabaseID: m.DatabaseID, DatabaseName: m.DatabaseName,
		Kind: m.Kind, Date: m.Date, TakenAt: m.StartedAt, Key: m.Key, Size: m.Size, SHA256: m.SHA256, BodySHA256: m.BodySHA256,
		Tables: m.TableCount, Rows: m.Rows, Consistency: m.Consistency, BookmarkBefore: m.BookmarkBefore, BookmarkAfter: m.BookmarkAfter,
		Compression: m.Compression, Proof: backup.ProofPending, CreatedAt: at, Manifest: m,
	}
}
