package jobs

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/store"
)

type exportArgs struct {
	ResultID string `json:"result_id"`
}

// Kind names the work in River.
func (exportArgs) Kind() string { return "export" }

type exportWorker struct {
	river.WorkerDefaults[exportArgs]
	r *Runner
}

// Timeout bounds one attempt, its wait for an export slot included.
func (w *exportWorker) Timeout(*river.Job[exportArgs]) time.Duration { return w.r.cfg.ExportTimeout }

// NextRetry says when the next attempt is due, by River's clock.
func (w *exportWorker) NextRetry(job *river.Job[exportArgs]) time.Time {
	return time.Now().Add(w.r.cfg.Backoff(job.Attempt))
}

// attempt is one attempt at a result.
type attempt struct {
	store.Attempt
	most   int // attempts that the result has in all
	job    backup.Job
	result backup.Result
	fence  int64 // 0 until the result is ours
}

// Work makes one attempt at one database of a job.
func (w *exportWorker) Work(ctx context.Context, job *river.Job[exportArgs]) error {
	r := w.r
	a := &attempt{most: job.MaxAttempts, Attempt: store.Attempt{ResultID: job.Args.ResultID, RiverJobID: job.ID, ProcessID: r.process.ID, Number: job.Attempt}}
	err := r.begin(ctx, a)
	if errors.Is(err, backup.ErrUnavailable) { // Postgres: the attempt has not begun
		r.log.Warn("export cannot begin", "error", err)
		return river.JobSnooze(r.cfg.Timing.Busy)
	}
	if err == nil {
		var m *backup.Manifest
		if m, err = r.run(ctx, a); err == nil {
			err = r.commit(ctx, a, m)
		}
	}
	return r.conclude(ctx, a, err)
}

// begin waits for an export slot and takes the result under a new fencing
// token. The wait is in place, not a snooze: a snoozed job goes to the end of
// the line, and a normal database that is fetched meanwhile would take the slot
// of a critical one. No more than the queue's MaxWorkers wait in a process.
func (r *Runner) begin(ctx context.Context, a *attempt) error {
	var err error
	if a.result, err = r.store.Result(ctx, a.ResultID); err != nil {
		return err
	}
	poll := r.cfg.Timing.SlotPoll
	if db, err := r.store.Database(ctx, a.result.DatabaseID); err == nil {
		poll = poll * time.Duration(db.Priority.Rank()) / 3
	}
	t := time.NewTicker(poll)
	defer t.Stop()
	for {
		select {
		case <-r.stopping:
			return errStopping
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		if err := r.tryBegin(ctx, a); !errors.Is(err, errNoSlot) {
			return err
		}
		select {
		case <-r.stopping:
		case <-ctx.Done():
		case <-t.C:
		}
	}
}

// tryBegin takes a slot and the result in one transaction, or neither.
func (r *Runner) tryBegin(ctx context.Context, a *attempt) error {
	var fence int64
	err := r.store.InTx(ctx, func(_ pgx.Tx, s *store.Store) error {
		slot, err := s.LockExportSlot(ctx)
		if err != nil {
			return err
		}
		job, err := s.LockJob(ctx, a.result.JobID)
		if err != nil {
			return err
		}
		a.job, a.At = job, r.now()
		if err := a.mayBegin(ctx, s); err != nil {
			return err
		}
		if slot == 0 {
			return errNoSlot
		}
		if job.Status == backup.JobQueued {
			if err := s.MoveJob(ctx, job.ID, backup.Transition{Status: backup.JobRunning, At: a.At, By: r.who()}); err != nil {
				return err
			}
		}
		if fence, err = s.StartResult(ctx, a.Attempt); err != nil {
			return err
		}
		return s.TakeExportSlot(ctx, slot, fence, a.Attempt)
	})
	if err == nil {
		a.fence = fence
	}
	return err
}

// mayBegin tells whether there is still something to do.
func (a *attempt) mayBegin(ctx context.Context, s *store.Store) error {
	if a.job.CancelRequestedAt != nil {
		return errCancelled
	}
	if a.job.Status.Ended() {
		return store.ErrFenced
	}
	if a.job.Slot == nil {
		return nil
	}
	stored, err := s.StoredInSlot(ctx, a.job.ScheduleID, *a.job.Slot, []string{a.result.DatabaseID})
	if err == nil && len(stored) > 0 {
		err = store.ErrSlotTaken
	}
	return err
}

// run exports the database. A panic becomes an error: it must not keep the
// result and its slot from ending.
func (r *Runner) run(ctx context.Context, a *attempt) (m *backup.Manifest, err error) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("export stopped at an internal error", "job_id", a.job.ID, "database", a.result.DatabaseName, "stack", string(debug.Stack()))
			err = errors.New("the export stopped at an internal error")
		}
	}()
	key, err := r.key(ctx, a)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	note, end := r.report(ctx, a, cancel)
	defer end()
	db := backup.Database{ID: a.result.DatabaseID, Name: a.result.DatabaseName}
	m, err = r.export(ctx, db, export.Request{
		Key: key, CopyID: newID(), JobID: a.job.ID, ResultID: a.result.ID, Kind: key.Kind, Trigger: a.job.Trigger, Date: key.Date,
		Version: r.cfg.Version, Compress: r.cfg.Compress, Clock: r.cfg.Clock, Progress: note, Hook: r.cfg.Hook,
	})
	if cause := context.Cause(ctx); errors.Is(cause, store.ErrFenced) {
		return nil, cause
	}
	return m, err
}

// key gives where the copy goes. It is the same for each attempt at a result,
// so that a second attempt finds what the first one stored.
func (r *Runner) key(ctx context.Context, a *attempt) (object.Key, error) {
	k := object.Key{Kind: backup.Manual, Date: a.job.Date, At: a.job.CreatedAt, JobID: a.job.ID, Gzip: r.cfg.Compress == backup.Gzip}
	if a.job.Slot != nil {
		k = object.Key{Kind: backup.Daily, Date: backup.DateOf(*a.job.Slot), Gzip: k.Gzip}
	}
	k.Slug = object.Slug(a.result.DatabaseName, a.result.DatabaseID, false)
	other, err := r.store.CopyByKey(ctx, k.String())
	switch {
	case errors.Is(err, backup.ErrNotFound):
		return k, nil
	case err == nil && other.DatabaseID != a.result.DatabaseID:
		k.Slug = object.Slug(a.result.DatabaseName, a.result.DatabaseID, true)
	}
	return k, err
}

// report records an export's progress now and then, and stops an export that
// another attempt has taken over. The note it returns never blocks.
func (r *Runner) report(ctx context.Context, a *attempt, cancel context.CancelCauseFunc) (note func(backup.Progress), end func()) {
	var latest atomic.Pointer[backup.Progress]
	latest.Store(&backup.Progress{})
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(r.cfg.Timing.Progress)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			p := *latest.Load()
			p.At = r.now()
			if err := r.store.SetProgress(ctx, a.ResultID, a.fence, p); errors.Is(err, store.ErrFenced) {
				cancel(store.ErrFenced)
				return
			}
		}
	}()
	return func(p backup.Progress) { latest.Store(&p) }, func() { stop(); <-ended }
}

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
		id, err := s.RecordCopy(ctx, copyOf(m, at))
		if err != nil {
			return err
		}
		res.CopyID, res.Key, res.Size, res.Tables, res.Rows = id, m.Key, m.Size, m.TableCount, m.Rows
		res.Consistency, res.Findings, res.Cost = m.Consistency, m.Findings, m.Cost
		res.CompletedAt, res.Duration = &at, at.Sub(a.At)
		if err := s.SucceedResult(ctx, res); err != nil {
			return err
		}
		if err := s.FreeExportSlot(ctx, a.fence); err != nil {
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
