package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

// A solo job is one piece of work, such as a restore or a cleanup: one River
// job does it, and it has no results.

// startSolo records a solo job and queues its work, and answers for the job's
// slot where it has one. The River job must carry the job's ID.
func (r *Runner) startSolo(ctx context.Context, tx pgx.Tx, s *store.Store, job backup.Job, args river.JobArgs, opt *river.InsertOpts) error {
	if err := s.InsertJob(ctx, job); err != nil {
		return err
	}
	in, err := r.river.InsertTx(ctx, tx, args, opt)
	if err != nil {
		return fmt.Errorf("queue job %s: %w", job.ID, err)
	}
	if err := s.AssignJob(ctx, job.ID, in.Job.ID); err != nil || job.Slot == nil {
		return err
	}
	return s.AssignSlot(ctx, job.ScheduleID, *job.Slot, job.ID, 0, "")
}

// beginSolo takes a solo job for this attempt. Errors: store.ErrFenced where
// there is nothing left to do for it.
func (r *Runner) beginSolo(ctx context.Context, jobID string, riverJobID int64) (job backup.Job, fence int64, err error) {
	err = r.persist(ctx, func(ctx context.Context, _ pgx.Tx, s *store.Store) error {
		if fence, err = s.BeginJob(ctx, jobID, riverJobID, r.now(), r.who()); err != nil {
			return err
		}
		job, err = s.Job(ctx, jobID)
		return err
	})
	return job, fence, err
}

// endSolo ends a solo job, and the slot that it answers for, in one
// transaction with what also records. Errors: store.ErrFenced, and nothing is
// recorded, where another attempt has taken it over.
func (r *Runner) endSolo(ctx context.Context, jobID string, fence int64, totals backup.Totals, status backup.JobStatus, why string, also func(context.Context, pgx.Tx, *store.Store) error) error {
	return r.persist(ctx, func(ctx context.Context, tx pgx.Tx, s *store.Store) error {
		job, err := s.HoldJob(ctx, jobID, fence)
		if err != nil {
			return err
		}
		if also != nil {
			if err := also(ctx, tx, s); err != nil {
				return err
			}
		}
		return r.finishSolo(ctx, s, job, totals, status, why)
	})
}

func (r *Runner) finishSolo(ctx context.Context, s *store.Store, job backup.Job, totals backup.Totals, status backup.JobStatus, why string) error {
	problem := why
	if status == backup.JobCompleted {
		problem = ""
	}
	if err := s.FinishJob(ctx, job.ID, totals, backup.Transition{Status: status, At: r.now(), By: r.who(), Reason: why}, problem); err != nil {
		return err
	}
	r.log.Info("job ended", "job_id", job.ID, "kind", job.Kind, "status", status)
	job.Status, job.Totals = status, totals
	if err := r.noteSolo(ctx, s, job, why); err != nil {
		return err
	}
	if job.Slot == nil {
		return nil
	}
	slot := store.SlotFailed
	if status == backup.JobCompleted {
		slot = store.SlotDone
	}
	return s.EndSlot(ctx, job.ScheduleID, *job.Slot, job.ID, slot, r.now(), why)
}

// endLostJobs ends the solo jobs whose work nothing will take up again.
func (r *Runner) endLostJobs(ctx context.Context) error {
	ids, err := r.store.LostJobs(ctx)
	for _, id := range ids {
		err := r.store.InTx(ctx, func(tx pgx.Tx, s *store.Store) error {
			job, err := s.LockJob(ctx, id)
			if err != nil || job.Status.Ended() {
				return err
			}
			if again, err := r.takeUpRestore(ctx, tx, s, job); err != nil || again {
				return err
			}
			if err := r.endLostDrill(ctx, s, job); err != nil {
				return err
			}
			if job.CancelRequestedAt != nil {
				return r.finishSolo(ctx, s, job, job.Totals, backup.JobCancelled, cancelledBy(job))
			}
			return r.finishSolo(ctx, s, job, job.Totals, backup.JobFailed, "its work in the queue was given up")
		})
		if err != nil && !errors.Is(err, backup.ErrConflict) {
			return err
		}
	}
	return err
}

// cancelSolo stops a solo job's work; whether what it was doing can still be
// stopped is for its worker to say.
func (r *Runner) cancelSolo(ctx context.Context, tx pgx.Tx, s *store.Store, job backup.Job, actor string) (backup.Started, error) {
	if err := s.CancelJob(ctx, job.ID, actor, r.now()); err != nil {
		return backup.Started{}, err
	}
	id, err := s.JobRiver(ctx, job.ID)
	if err != nil {
		return backup.Started{}, err
	}
	return backup.Started{JobID: job.ID, Status: job.Status}, r.cancelRiver(ctx, tx, id)
}
