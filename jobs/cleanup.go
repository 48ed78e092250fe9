package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/retention"
	"github.com/AutumnsGrove/Patina/store"
)

// queueCleanup runs what reads or deletes much of the bucket, one at a time in
// a process, so that it never holds up a backup.
const queueCleanup = "cleanup"

// cleanupTimeout bounds one attempt at a cleanup or a scrub. What was done stays
// done, and the next goes on from there.
const cleanupTimeout = 6 * time.Hour

type cleanupArgs struct {
	JobID string `json:"job_id"`
	Erase string `json:"erase,omitempty"` // the UUID of a database whose copies are to go, and nothing else
}

// Kind names the work in River.
func (cleanupArgs) Kind() string { return "cleanup" }

type cleanupWorker struct {
	river.WorkerDefaults[cleanupArgs]
	r *Runner
}

// Timeout bounds one attempt.
func (w *cleanupWorker) Timeout(*river.Job[cleanupArgs]) time.Duration { return cleanupTimeout }

// NextRetry says when the next attempt is due, by River's clock.
func (w *cleanupWorker) NextRetry(job *river.Job[cleanupArgs]) time.Time {
	return time.Now().Add(w.r.cfg.Backoff(job.Attempt))
}

// Work deletes what retention lets go and brings bucket and catalogue together.
func (w *cleanupWorker) Work(ctx context.Context, job *river.Job[cleanupArgs]) error {
	r := w.r
	j, fence, err := r.beginSolo(ctx, job.Args.JobID, job.ID)
	if errors.Is(err, store.ErrFenced) {
		return nil
	}
	if err != nil {
		return plain(err)
	}
	c := &cleaner{r: r, job: j, fence: fence, now: r.now(), report: retention.Report{JobID: j.ID}}
	c.report.At = c.now
	if job.Args.Erase != "" {
		err = c.erase(ctx, job.Args.Erase)
	} else {
		err = c.run(ctx)
	}
	return c.conclude(ctx, err, job.Attempt, job.MaxAttempts)
}

// conclude records what became of an attempt, and tells River.
func (c *cleaner) conclude(ctx context.Context, err error, attempt, attempts int) error {
	r := c.r
	status, why := backup.JobCompleted, ""
	switch judge(ctx, err, attempt, attempts) {
	case done:
	case lost:
		return nil
	case stopped:
		return context.Canceled // River puts the job back and refunds the attempt
	case again, busy, notBegun:
		r.log.Warn("a cleanup will be taken up again", "job_id", c.job.ID, "attempt", attempt, "error", kindName(err))
		return plain(err)
	case cancelled:
		j, e := r.store.Job(context.WithoutCancel(ctx), c.job.ID)
		if e != nil {
			return plain(e)
		}
		status, why = backup.JobCancelled, cancelledBy(j)
	default:
		status = backup.JobFailed
		why, _ = words(ctx, err)
		r.log.Error("a cleanup failed", "job_id", c.job.ID, "error", kindName(err))
	}
	r.cfg.Hook("before:cleanup.end")
	err = r.endSolo(ctx, c.job.ID, c.fence, backup.Totals{Bytes: c.report.Bytes}, status, why, func(ctx context.Context, _ pgx.Tx, s *store.Store) error {
		return c.keepReport(ctx, s, status)
	})
	if errors.Is(err, store.ErrFenced) {
		return nil
	}
	r.cfg.Hook("after:cleanup.end")
	return err
}

// keepReport records what was done, the state for the next run, and the event
// where something was held back, in the transaction that ends the job.
func (c *cleaner) keepReport(ctx context.Context, s *store.Store, status backup.JobStatus) error {
	if c.erasing != nil {
		if status != backup.JobCompleted {
			return nil
		}
		return c.tellErased(ctx, s)
	}
	if err := s.SetSetting(ctx, retention.ReportSetting, c.report); err != nil {
		return err
	}
	if status == backup.JobCompleted && c.planned {
		if err := c.keepState(ctx, s); err != nil {
			return err
		}
	}
	if c.report.Held == "" {
		return nil
	}
	_, err := s.AddEvent(ctx, backup.Event{
		ID: newID(), At: c.r.now(), Kind: backup.EventRetentionHeldBack, Once: c.job.ID, JobID: c.job.ID,
		Message: "Retention deleted less than it would have: " + c.report.Held + ".",
		Next:    "Look at /settings/retention; nothing is lost by waiting.",
	})
	return err
}

// keepState keeps the state for the next run. Somebody's word that came
// meanwhile is kept with it.
func (c *cleaner) keepState(ctx context.Context, s *store.Store) error {
	var kept retention.State
	return s.ChangeSetting(ctx, retention.StateSetting, &kept, func() error {
		if p, was := c.state.Pending, kept.Pending; p != nil && was != nil && was.Policy == p.Policy && was.Since.Equal(p.Since) {
			p.ConfirmedBy = was.ConfirmedBy
		}
		kept = c.state
		return nil
	})
}

// requestCleanup starts a cleanup, or answers with the one that is under way.
func (r *Runner) requestCleanup(ctx context.Context, tx pgx.Tx, s *store.Store, req backup.Request) (backup.Started, error) {
	open, err := s.OpenJobs(ctx, backup.JobCleanup)
	if err != nil {
		return backup.Started{}, err
	}
	if len(open) > 0 {
		return backup.Started{}, &backup.Error{
			Kind: backup.ErrConflict, Message: "a cleanup is under way already", Next: "Wait for job " + open[0] + " to end.",
			Err: &backup.BusyError{Name: "the bucket", JobID: open[0]},
		}
	}
	return r.startCleanup(ctx, tx, s, r.soloJob(backup.JobCleanup, req), "")
}

func (r *Runner) startCleanup(ctx context.Context, tx pgx.Tx, s *store.Store, job backup.Job, erase string) (backup.Started, error) {
	err := r.startSolo(ctx, tx, s, job, cleanupArgs{job.ID, erase}, &river.InsertOpts{Queue: queueCleanup, MaxAttempts: r.cfg.Attempts})
	return backup.Started{JobID: job.ID, Status: job.Status}, err
}

// startCleanupSlot starts the cleanup of a slot, in the transaction that claimed
// it.
func (r *Runner) startCleanupSlot(ctx context.Context, tx pgx.Tx, s *store.Store, scheduleID string, slot time.Time) (jobID string, err error) {
	job := r.soloJob(backup.JobCleanup, backup.Request{Trigger: backup.TriggerWeekly, Actor: "schedule " + scheduleID})
	job.ScheduleID, job.Slot, job.Date = scheduleID, &slot, backup.DateOf(slot)
	started, err := r.startCleanup(ctx, tx, s, job, "")
	return started.JobID, err
}

// requestErase starts the deletion of all that a database which is gone has
// left behind.
func (r *Runner) requestErase(ctx context.Context, tx pgx.Tx, s *store.Store, req backup.Request) (backup.Started, error) {
	if len(req.Databases) != 1 {
		return backup.Started{}, backup.Errorf(backup.ErrInvalid, "one database at a time is erased")
	}
	db, err := s.Database(ctx, req.Databases[0])
	if err != nil {
		return backup.Started{}, err
	}
	if err := s.EraseDatabase(ctx, db.ID, r.now()); err != nil {
		return backup.Started{}, err
	}
	started, err := r.startCleanup(ctx, tx, s, r.soloJob(backup.JobCleanup, req), db.ID)
	started.Databases = []string{db.Name}
	return started, err
}

// notePolicy lets the wait begin of a policy that would delete much, as soon as
// a process starts with it: the environment may have changed.
func (r *Runner) notePolicy(ctx context.Context) {
	err := retention.Note(ctx, r.store, r.cfg.Keep, r.now(), func(ctx context.Context, edit func(*retention.State) error) error {
		var st retention.State
		return r.store.ChangeSetting(ctx, retention.StateSetting, &st, func() error { return edit(&st) })
	})
	if err != nil {
		r.log.Warn("the retention policy could not be looked at", "error", kindName(err))
	}
}
