package jobs

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
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
		if slot == 0 {
			return errNoSlot
		}
		job, err := s.LockJob(ctx, a.result.JobID)
		if err != nil {
			return err
		}
		a.job, a.At = job, r.now()
		if err := a.mayBegin(ctx, s); err != nil {
			return err
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
	restoring, err := s.Restoring(ctx, a.result.DatabaseID)
	if err == nil && restoring {
		err = store.ErrRunning // a database that is half restored is not backed up
	}
	if err != nil {
		return err
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
	// Postgres being away for a moment costs no attempt.
	var key object.Key
	var rules []backup.Redaction
	err = r.persist(ctx, func(ctx context.Context, _ pgx.Tx, s *store.Store) error {
		var err error
		if rules, err = r.redactions(ctx, s, a.result.DatabaseID); err == nil {
			key, err = r.key(ctx, a)
		}
		return err
	})
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
		Redact: rules, HashKey: r.cfg.HashKey,
	})
	if cause := context.Cause(ctx); errors.Is(cause, store.ErrFenced) {
		return nil, cause
	}
	return m, err
}

// redactions gives what the copy leaves out. What the configuration says comes
// first, also of a database that it names and discovery found only now.
func (r *Runner) redactions(ctx context.Context, s *store.Store, id string) ([]backup.Redaction, error) {
	db, err := s.Database(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, c := range r.cfg.Redact {
		if c.ID != id && (c.ID != "" || c.Name != db.Name) {
			continue
		}
		if db.RedactFixed && slices.Equal(db.Redact, c.Redact) {
			return db.Redact, nil
		}
		return c.Redact, s.FixRedactions(ctx, id, c.Redact)
	}
	return db.Redact, nil
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
