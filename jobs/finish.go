package jobs

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/alert"
	"github.com/AutumnsGrove/Patina/store"
)

type finishArgs struct {
	JobID string `json:"job_id"`
}

// Kind names the work in River.
func (finishArgs) Kind() string { return "finish" }

type finishWorker struct {
	river.WorkerDefaults[finishArgs]
	r *Runner
}

// Work ends the job once each of its results has ended.
func (w *finishWorker) Work(ctx context.Context, job *river.Job[finishArgs]) error {
	return w.r.finish(ctx, job.Args.JobID)
}

// queueFinish puts the end of a job into the queue.
func (r *Runner) queueFinish(ctx context.Context, tx pgx.Tx, jobID string) error {
	if _, err := r.river.InsertTx(ctx, tx, finishArgs{jobID}, nil); err != nil {
		return fmt.Errorf("queue the end of job %s: %w", jobID, err)
	}
	return nil
}

// follow puts what follows the end of a result into the queue, in the
// transaction that ended it and that has locked the job: so the last of two
// results that end at once sees that it is the last.
func (r *Runner) follow(ctx context.Context, tx pgx.Tx, s *store.Store, jobID string) error {
	if open, err := s.OpenInJob(ctx, jobID); err != nil || open {
		return err
	}
	return r.queueFinish(ctx, tx, jobID)
}

// finish is the one place where a backup job ends: it totals the results,
// moves the job to its last status, and ends the slot it answers for. It does
// nothing to a job that has ended, or that has an open result.
func (r *Runner) finish(ctx context.Context, jobID string) error {
	r.cfg.Hook("before:finish")
	var ended *backup.Job
	err := r.persist(ctx, func(ctx context.Context, tx pgx.Tx, s *store.Store) error {
		job, err := s.LockJob(ctx, jobID)
		if err != nil || job.Status.Ended() {
			return err
		}
		results, err := s.JobResults(ctx, jobID)
		if err != nil {
			return err
		}
		totals, open := total(results)
		if open > 0 {
			return nil
		}
		status, why := outcome(job, totals, results)
		at := r.now()
		if err := s.FinishJob(ctx, jobID, totals, backup.Transition{Status: status, At: at, By: r.who(), Reason: why}, why); err != nil {
			return err
		}
		job.Status, job.Totals = status, totals
		ended = &job
		if err := r.note(ctx, s, alert.JobEnded(job, why)); err != nil {
			return err
		}
		if err := r.pingEnd(ctx, tx, job); err != nil {
			return err
		}
		if err := r.endSlot(ctx, s, job, why); err != nil || job.Slot == nil {
			return err
		}
		return r.queueMeta(ctx, tx, job.ID)
	})
	if err != nil {
		return fmt.Errorf("finish job %s: %w", jobID, err)
	}
	r.cfg.Hook("after:finish")
	if ended != nil {
		r.log.Info("job ended", "job_id", jobID, "status", ended.Status, "succeeded", ended.Totals.Succeeded,
			"failed", ended.Totals.Failed, "skipped", ended.Totals.Skipped, "bytes", ended.Totals.Bytes, "rows", ended.Totals.Rows)
	}
	return nil
}

// endSlot ends the slot that a job answers for: done only when each database
// that was tried for it is stored, by this job or one before.
func (r *Runner) endSlot(ctx context.Context, s *store.Store, job backup.Job, why string) error {
	if job.Slot == nil {
		return nil
	}
	status := store.SlotFailed
	if job.Status == backup.JobCompleted {
		missing, err := s.UnstoredInSlot(ctx, job.ScheduleID, *job.Slot)
		if err != nil {
			return err
		}
		if missing == 0 {
			status = store.SlotDone
		} else if why == "" {
			why = fmt.Sprintf("%d databases have no copy for this slot", missing)
		}
	}
	return s.EndSlot(ctx, job.ScheduleID, *job.Slot, job.ID, status, r.now(), why)
}

func total(results []backup.Result) (t backup.Totals, open int) {
	t.Databases = len(results)
	for _, res := range results {
		switch res.Status {
		case backup.ResultSuccess:
			t.Succeeded++
			t.Bytes += res.Size
			t.Rows += res.Rows
		case backup.ResultFailed:
			t.Failed++
		case backup.ResultSkipped:
			t.Skipped++
		default:
			open++
		}
	}
	return t, open
}

// outcome gives a job's last status, and in words why it is not better.
func outcome(job backup.Job, t backup.Totals, results []backup.Result) (backup.JobStatus, string) {
	switch {
	case job.CancelRequestedAt != nil && t.Succeeded < t.Databases:
		return backup.JobCancelled, cancelledBy(job)
	case t.Databases == 0:
		return backup.JobFailed, "the registry holds no database to back up"
	case t.Failed == 0:
		return backup.JobCompleted, ""
	}
	var names []string
	for _, res := range results {
		if res.Status == backup.ResultFailed {
			names = append(names, res.DatabaseName)
		}
	}
	if len(names) > 5 {
		names = append(names[:5], "…")
	}
	why := fmt.Sprintf("%d of %d databases failed: %s", t.Failed, t.Databases, strings.Join(names, ", "))
	if t.Succeeded == 0 {
		return backup.JobFailed, why
	}
	return backup.JobPartial, why
}

// who names this process in a job's transitions.
func (r *Runner) who() string {
	return fmt.Sprintf("process %d on %s", r.process.PID, r.process.Hostname)
}
