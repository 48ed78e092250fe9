package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/restore"
	"github.com/AutumnsGrove/Patina/backup/source"
	"github.com/AutumnsGrove/Patina/store"
)

// queueRestore runs restores: somebody waits for them, so that they wait for
// nothing else.
const queueRestore = "restore"

// How long a restore is tried again while D1 or the bucket does not answer:
// before it has changed anything, and after.
const (
	restoreTries   = 5 * time.Minute
	restoreSettles = 2 * time.Hour
)

type restoreArgs struct {
	JobID string `json:"job_id"`
}

// Kind names the work in River.
func (restoreArgs) Kind() string { return "restore" }

var restoreOpts = river.InsertOpts{Queue: queueRestore, MaxAttempts: 100}

type restoreWorker struct {
	river.WorkerDefaults[restoreArgs]
	r *Runner
}

// Timeout is none: an import takes as long as D1 takes.
func (w *restoreWorker) Timeout(*river.Job[restoreArgs]) time.Duration { return -1 }

// NextRetry says when the next attempt is due, by River's clock.
func (w *restoreWorker) NextRetry(*river.Job[restoreArgs]) time.Time {
	return time.Now().Add(w.r.cfg.Backoff(1))
}

// Work takes a restore from the step that was saved last to its end.
func (w *restoreWorker) Work(ctx context.Context, job *river.Job[restoreArgs]) error {
	r := w.r
	j, fence, err := r.beginSolo(ctx, job.Args.JobID, job.ID)
	if errors.Is(err, store.ErrFenced) {
		return nil
	}
	if err != nil {
		return plain(err)
	}
	a := &restoring{r: r, job: j, fence: fence}
	if a.Restore, err = r.store.Restore(ctx, j.ID); err != nil {
		return plain(err)
	}
	a.changing.Store(restore.Changing(a.Step))
	work, end := a.context(ctx)
	defer end()
	return a.conclude(work, a.run(work))
}

// restoring is one attempt at a restore.
type restoring struct {
	backup.Restore
	r        *Runner
	job      backup.Job
	fence    int64
	changing atomic.Bool // something that was there may have changed: there is no stopping now
	done     atomic.Int64
	total    atomic.Int64
}

// context ends when the process stops, and while nothing was changed also when
// somebody cancels.
func (a *restoring) context(ctx context.Context) (context.Context, func()) {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if !errors.Is(context.Cause(ctx), rivertype.ErrJobCancelledRemotely) {
			cancel(errStopping)
		} else if !a.changing.Load() {
			cancel(errCancelled)
		}
	})
	progress, endProgress := context.WithCancel(work)
	go a.report(progress)
	return work, func() { stop(); endProgress(); cancel(nil) }
}

// report records the progress of the upload now and then.
func (a *restoring) report(ctx context.Context) {
	t := time.NewTicker(a.r.cfg.Timing.Progress)
	defer t.Stop()
	var last int64
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if n := a.done.Load(); n != last {
			last = n
			_ = a.r.store.SetRestoreProgress(ctx, a.ID, n, a.total.Load())
		}
	}
}

func (a *restoring) run(ctx context.Context) error {
	var c restore.Copy
	if a.CopyID != "" {
		stored, err := a.r.store.Copy(ctx, a.CopyID)
		if err == nil && (stored.DeletedAt != nil || stored.Manifest == nil) && !a.changing.Load() {
			err = backup.Errorf(backup.ErrNotFound, "the copy %s is not stored any more; nothing was changed", a.CopyID)
		}
		if err != nil {
			return err
		}
		release, err := a.r.store.ReadingFor(ctx, "it is being restored", a.CopyID)
		if err == nil {
			defer release()
		} else if !a.changing.Load() {
			return err
		}
		c = a.r.restoreCopy(stored)
	}
	return restore.Run(ctx, restore.Config{
		D1: a.r.cfg.Restore, Clock: a.r.cfg.Clock, Save: a.save, Safety: a.safety, Hook: a.r.cfg.Hook,
		Note: func(_ backup.RestoreStep, done, total int64) { a.done.Store(done); a.total.Store(total) },
	}, c, &a.Restore)
}

// restoreCopy is a stored copy as the restore reads it.
func (r *Runner) restoreCopy(c backup.Copy) restore.Copy {
	return restore.Copy{Manifest: c.Manifest, Open: func(ctx context.Context) (io.ReadCloser, error) {
		return archive.OpenSQL(ctx, r.cfg.Bucket, c)
	}}
}

// save records a step before it is taken, unless another attempt has taken the
// restore over, or somebody wants it stopped and nothing was changed yet.
func (a *restoring) save(ctx context.Context, rs *backup.Restore) error {
	err := a.r.persist(ctx, func(ctx context.Context, _ pgx.Tx, s *store.Store) error {
		job, err := s.HoldJob(ctx, a.ID, a.fence)
		if err != nil {
			return err
		}
		if job.CancelRequestedAt != nil && !a.changing.Load() {
			return errCancelled
		}
		return s.SaveRestore(ctx, *rs)
	})
	if err == nil && restore.Changing(rs.Step) {
		a.changing.Store(true)
	}
	return err
}

// safety makes the copy of what the database holds, and all of it: nothing is
// redacted, for this copy is the way back. It is the same one for each attempt. It is in the catalogue before anything is changed.
func (a *restoring) safety(ctx context.Context, id, name string) (*backup.Manifest, error) {
	r := a.r
	k := object.Key{Kind: backup.Safety, Date: a.job.Date, At: a.job.CreatedAt, JobID: a.job.ID, Slug: object.Slug(name, id, false), Gzip: r.cfg.Compress == backup.Gzip}
	m, err := export.Run(ctx, source.D1(r.cfg.Restore, id, name), r.cfg.Bucket, export.Request{
		Key: k, CopyID: newID(), JobID: a.job.ID, Kind: backup.Safety, Trigger: a.job.Trigger, Date: k.Date,
		Version: r.cfg.Version, Compress: r.cfg.Compress, Clock: r.cfg.Clock,
	})
	if err != nil {
		return nil, err
	}
	return m, r.persist(ctx, func(ctx context.Context, tx pgx.Tx, s *store.Store) error {
		if _, err := s.HoldJob(ctx, a.ID, a.fence); err != nil {
			return err
		}
		c, err := r.expect(ctx, s, copyOf(m, r.now()))
		if err != nil {
			return err
		}
		known, err := s.RecordCopy(ctx, c)
		if err != nil {
			return err
		}
		m.CopyID = known
		return r.proveLater(ctx, tx, known)
	})
}

// conclude records what became of an attempt.
func (a *restoring) conclude(ctx context.Context, err error) error {
	r := a.r
	switch {
	case err == nil:
		return a.end(ctx, backup.JobCompleted, a.Outcome, a.Next)
	case errors.Is(err, store.ErrFenced):
		return nil
	case errors.Is(err, errCancelled), errors.Is(context.Cause(ctx), errCancelled):
		job, e := r.store.Job(context.WithoutCancel(ctx), a.ID)
		if e != nil {
			return plain(e)
		}
		return a.end(ctx, backup.JobCancelled, cancelledBy(job)+" before anything was changed"+a.left(), "")
	case errors.Is(context.Cause(ctx), errStopping):
		return context.Canceled // River puts the job back and refunds the attempt
	case errors.Is(err, restore.ErrUnsettled) && r.now().Sub(a.CreatedAt) < restoreSettles,
		errors.Is(err, backup.ErrUnavailable) && !a.changing.Load() && r.now().Sub(a.CreatedAt) < restoreTries:
		r.log.Warn("a restore will be taken up again", "job_id", a.ID, "database", a.Name, "step", string(a.Step), "error", kindName(err))
		if e := a.save(ctx, &a.Restore); e != nil && !errors.Is(e, errCancelled) {
			return plain(e)
		}
		return river.JobSnooze(r.cfg.Backoff(1))
	}
	message, next := words(ctx, err)
	if !a.changing.Load() {
		message += a.left()
	}
	return a.end(ctx, backup.JobFailed, message, next)
}

// left names what a restore that changed nothing has made.
func (a *restoring) left() string {
	var left []string
	if a.Target == backup.RestoreNew && a.TargetID != "" {
		left = append(left, fmt.Sprintf("the empty database %s (%s) is left: delete it", a.Name, a.TargetID))
	}
	if a.SafetyCopyID != "" {
		left = append(left, "the safety copy "+a.SafetyCopyID+" is kept")
	}
	if len(left) == 0 {
		return ""
	}
	return "; " + strings.Join(left, ", and ")
}

// end records the end of a restore, whom to tell, and the line of the audit
// log, in one transaction.
func (a *restoring) end(ctx context.Context, status backup.JobStatus, outcome, next string) error {
	at := a.r.now()
	a.EndedAt, a.Outcome, a.Next = &at, outcome, next
	totals := backup.Totals{Databases: 1, Rows: a.RowsWritten}
	why := ""
	switch status {
	case backup.JobCompleted:
		a.Step, totals.Succeeded = backup.StepDone, 1
	case backup.JobFailed:
		totals.Failed, why = 1, outcome
	default:
		totals.Skipped, why = 1, outcome
	}
	err := a.r.endSolo(ctx, a.ID, a.fence, totals, status, why, func(ctx context.Context, _ pgx.Tx, s *store.Store) error {
		if err := s.SaveRestore(ctx, a.Restore); err != nil {
			return err
		}
		return a.r.tellRestore(ctx, s, a.job, a.Restore, status)
	})
	if errors.Is(err, store.ErrFenced) {
		return nil
	}
	if err == nil {
		a.r.cfg.Hook("after:restore.end")
	}
	return err
}

// tellRestore records the event and the audit line of a restore that ended.
func (r *Runner) tellRestore(ctx context.Context, s *store.Store, job backup.Job, rs backup.Restore, status backup.JobStatus) error {
	kind := backup.EventRestoreFailed
	if status == backup.JobCompleted {
		kind = backup.EventRestoreFinished
	}
	_, err := s.AddEvent(ctx, backup.Event{
		ID: newID(), At: r.now(), Kind: kind, Once: rs.ID, DatabaseID: rs.DatabaseID, DatabaseName: rs.Name, JobID: rs.ID, CopyID: rs.CopyID,
		Message: "Restore into " + rs.Name + ": " + rs.Outcome, Next: rs.Next,
	})
	if err != nil {
		return err
	}
	_, err = s.AppendAudit(ctx, store.AuditEntry{
		At: r.now(), Actor: job.RequestedBy, Action: "restore ended", Target: "job " + rs.ID + ", " + string(rs.Target) + " " + rs.Name, Outcome: string(status), Reason: rs.Outcome,
	})
	return err
}

// restoreClient is the client that restores write with.
func restoreClient(c Config) *d1.Client {
	if c.Restore != nil {
		return c.Restore
	}
	return c.D1
}
