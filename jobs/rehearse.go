package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/prove"
	"github.com/AutumnsGrove/Patina/backup/source"
	"github.com/AutumnsGrove/Patina/store"
)

// A copy is rehearsed: proven once more although it may be proven already,
// timed, and compared with its source where that is wanted. A drill does so
// with many copies, a job of kind prove with one.

// rehearseTries is how often a copy is tried that cannot be tried just now.
const rehearseTries = 3

// rehearsal is one copy that is to be proven.
type rehearsal struct {
	jobID    string
	role     backup.DrillRole
	database backup.Database // by id and name
	copyID   string
	live     bool // compare with the source
}

// rehearse proves a copy, which nothing deletes meanwhile, and says what was
// found; the result of a copy that could not be tried says so, after a few
// tries. Errors: ErrNotFound where the copy is not stored any more; Postgres's;
// the context's.
func (r *Runner) rehearse(ctx context.Context, w rehearsal) (backup.DrillResult, error) {
	release, err := r.store.ReadingFor(ctx, "a proof", w.copyID)
	if err != nil {
		return backup.DrillResult{}, err
	}
	defer release()
	c, err := r.store.Copy(ctx, w.copyID) // from now on it lies where this says
	if err != nil {
		return backup.DrillResult{}, err
	}
	res := backup.DrillResult{
		JobID: w.jobID, Role: w.role, DatabaseID: w.database.ID, DatabaseName: w.database.Name,
		CopyID: c.ID, Key: c.Key, Kind: c.Kind, Date: c.Date, TakenAt: &c.TakenAt, Size: c.Size, Tables: c.Tables, Rows: c.Rows, Consistency: c.Consistency,
	}
	opt := prove.Options{Clock: r.cfg.Clock}
	if w.live {
		opt.Live = func(string, string) source.Source { return r.cfg.Source(w.database) }
	}
	for try := 1; ; try++ {
		p, err := r.prove(ctx, c, opt)
		if ctx.Err() != nil {
			return res, context.Cause(ctx)
		}
		if p != nil {
			res.Load, res.Check, res.Again, res.Findings = p.Load, p.Check, p.Again, len(p.Findings)
			if p.Live != nil {
				res.Source, res.SourceText = p.Live.State, p.Live.Text
			}
		}
		res.At, res.Passed = r.now(), err == nil
		if err == nil {
			return res, nil
		}
		res.Error, res.Next = words(ctx, err)
		if errors.Is(err, backup.ErrCorrupt) {
			res.Next = "Earlier copies are untouched. Back the database up again, and look what the reason says."
			return res, nil
		}
		r.log.Warn("a proof could not be tried", "job_id", w.jobID, "database", c.DatabaseName, "copy_id", c.ID, "attempt", try, "error", kindName(err))
		if try == rehearseTries {
			res.Error, res.Next = "it could not be tried: "+res.Error, "Prove it again once what the reason says is mended; nothing speaks against the copy itself."
			res.Untried = true
			return res, nil
		}
		if err := backup.Pause(ctx, r.cfg.Backoff(try)); err != nil {
			return res, err
		}
	}
}

// recordRehearsal records what was found of a copy: the line of the job, the
// copy's own state, and the event where it is no good.
func (r *Runner) recordRehearsal(ctx context.Context, s *store.Store, res backup.DrillResult) error {
	if err := s.AddDrillResult(ctx, res); err != nil {
		return err
	}
	switch {
	case res.CopyID == "" || res.Untried:
		return nil
	case res.Passed:
		return s.SetProof(ctx, res.CopyID, backup.ProofProven, res.At, "")
	}
	c, err := s.Copy(ctx, res.CopyID)
	if err != nil {
		return err
	}
	return r.markSuspect(ctx, s, c, res.Error)
}

// halted tells why the context of a job's work ended: errCancelled where a
// person asked for it, errStopping where the process stops.
func halted(ctx context.Context) error {
	switch {
	case ctx.Err() == nil:
		return nil
	case errors.Is(context.Cause(ctx), rivertype.ErrJobCancelledRemotely):
		return errCancelled
	}
	return errStopping
}

// proveCopyArgs is one copy that somebody wants proven now.
type proveCopyArgs struct {
	JobID  string `json:"job_id"`
	CopyID string `json:"copy_id"`
	Values bool   `json:"values"`
}

// Kind names the work in River.
func (proveCopyArgs) Kind() string { return "prove_copy" }

type proveCopyWorker struct {
	river.WorkerDefaults[proveCopyArgs]
	r *Runner
}

// Timeout bounds one proof.
func (w *proveCopyWorker) Timeout(*river.Job[proveCopyArgs]) time.Duration { return proveTimeout }

// NextRetry says when the next attempt is due, by River's clock.
func (w *proveCopyWorker) NextRetry(*river.Job[proveCopyArgs]) time.Time {
	return time.Now().Add(w.r.cfg.Backoff(1))
}

// Work proves one copy, whether it is proven already or not.
func (w *proveCopyWorker) Work(ctx context.Context, job *river.Job[proveCopyArgs]) error {
	r := w.r
	j, fence, err := r.beginSolo(ctx, job.Args.JobID, job.ID)
	if errors.Is(err, store.ErrFenced) {
		return nil
	}
	if err != nil {
		return plain(err)
	}
	res, err := r.rehearseOne(ctx, j.ID, job.Args)
	switch {
	case errors.Is(halted(ctx), errStopping):
		return context.Canceled // River puts the job back and refunds the attempt
	case ctx.Err() != nil:
		job, _ := r.store.Job(context.WithoutCancel(ctx), j.ID)
		return r.endProve(ctx, j, fence, backup.Totals{Databases: 1, Skipped: 1}, backup.JobCancelled, cancelledBy(job), nil)
	case errors.Is(err, backup.ErrNotFound):
		return r.endProve(ctx, j, fence, backup.Totals{Databases: 1, Skipped: 1}, backup.JobFailed, "the copy is not stored any more", nil)
	case err != nil:
		return plain(err)
	}
	status, totals := backup.JobCompleted, backup.Totals{Databases: 1, Succeeded: 1, Bytes: res.Size, Rows: res.Rows}
	if !res.Passed {
		status, totals.Succeeded, totals.Failed = backup.JobFailed, 0, 1
	}
	r.log.Info("a copy was proven on demand", "job_id", j.ID, "database", res.DatabaseName, "copy_id", res.CopyID, "passed", res.Passed, "duration_ms", (res.Load + res.Check + res.Again).Milliseconds())
	return r.endProve(ctx, j, fence, totals, status, res.Error, func(ctx context.Context, s *store.Store) error { return r.recordRehearsal(ctx, s, res) })
}

func (r *Runner) rehearseOne(ctx context.Context, jobID string, args proveCopyArgs) (backup.DrillResult, error) {
	c, err := r.store.Copy(ctx, args.CopyID)
	if err != nil {
		return backup.DrillResult{}, err
	}
	return r.rehearse(ctx, rehearsal{
		jobID: jobID, role: backup.DrillAsked, database: backup.Database{ID: c.DatabaseID, Name: c.DatabaseName}, copyID: c.ID, live: args.Values,
	})
}

func (r *Runner) endProve(ctx context.Context, j backup.Job, fence int64, totals backup.Totals, status backup.JobStatus, why string, also func(context.Context, *store.Store) error) error {
	err := r.endSolo(ctx, j.ID, fence, totals, status, why, func(ctx context.Context, _ pgx.Tx, s *store.Store) error {
		if also == nil {
			return nil
		}
		return also(ctx, s)
	})
	if err != nil && !errors.Is(err, store.ErrFenced) {
		return plain(err)
	}
	return nil
}

// requestProve queues the proof of one copy as a job of its own.
func (r *Runner) requestProve(ctx context.Context, tx pgx.Tx, s *store.Store, req backup.Request) (backup.Started, error) {
	c, err := s.Copy(ctx, req.CopyID)
	if err == nil && (c.DeletedAt != nil || c.Manifest == nil) {
		err = backup.Errorf(backup.ErrNotFound, "the backup %s is not stored any more", req.CopyID)
	}
	if err != nil {
		return backup.Started{}, err
	}
	job := r.soloJob(backup.JobProve, req)
	job.Totals.Databases = 1
	opt := &river.InsertOpts{Queue: queueProve, MaxAttempts: proveAttempts, Priority: 1}
	if err := r.startSolo(ctx, tx, s, job, proveCopyArgs{job.ID, c.ID, req.Values}, opt); err != nil {
		return backup.Started{}, err
	}
	return backup.Started{JobID: job.ID, Status: job.Status, Databases: []string{c.DatabaseName}}, nil
}

// soloJob makes the record of a job of one piece of work that is asked for.
func (r *Runner) soloJob(kind backup.JobKind, req backup.Request) backup.Job {
	now := r.now()
	job := backup.Job{
		ID: newID(), Kind: kind, Trigger: req.Trigger, Status: backup.JobQueued, Date: backup.DateOf(now), RequestedBy: req.Actor, CreatedAt: now,
	}
	def(&job.Trigger, backup.TriggerManual)
	return job
}
