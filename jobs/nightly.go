package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

// startNightly makes the job of a nightly slot and fans it out, in the
// transaction that claimed the slot: there is no moment at which a slot is
// claimed and its work is not in the queue.
func (r *Runner) startNightly(ctx context.Context, tx pgx.Tx, s *store.Store, scheduleID string, slot time.Time) (string, error) {
	databases, err := r.scheduled(ctx, s)
	if err != nil {
		return "", err
	}
	job := backup.Job{
		ID: newID(), Kind: backup.JobBackup, Trigger: backup.TriggerNightly, Status: backup.JobQueued,
		ScheduleID: scheduleID, Slot: &slot, Date: backup.DateOf(slot), RequestedBy: "schedule " + scheduleID, CreatedAt: r.now(),
	}
	if err := r.fanOut(ctx, tx, s, job, databases, nil); err != nil {
		return "", err
	}
	if err := r.ping(ctx, tx, pingStart); err != nil {
		return "", err
	}
	return job.ID, s.AssignSlot(ctx, scheduleID, slot, job.ID, 0, "")
}

// fanOut records a job with a result for each database, and puts one River job
// a database into the queue, critical ones first. The databases of skipped get
// a result that has ended.
func (r *Runner) fanOut(ctx context.Context, tx pgx.Tx, s *store.Store, job backup.Job, databases []backup.Database, skipped []backup.Result) error {
	job.Totals.Databases = len(databases) + len(skipped)
	if err := s.InsertJob(ctx, job); err != nil {
		return err
	}
	slices.SortStableFunc(databases, func(a, b backup.Database) int {
		return cmp.Or(cmp.Compare(a.Priority.Rank(), b.Priority.Rank()), cmp.Compare(a.Name, b.Name))
	})
	results := make([]backup.Result, len(databases), job.Totals.Databases)
	params := make([]river.InsertManyParams, len(databases))
	for i, db := range databases {
		results[i] = r.newResult(job, db, backup.ResultQueued)
		params[i] = river.InsertManyParams{
			Args:       exportArgs{ResultID: results[i].ID},
			InsertOpts: &river.InsertOpts{Queue: queueExport, Priority: db.Priority.Rank(), MaxAttempts: r.cfg.Attempts},
		}
	}
	if len(params) == 0 {
		if err := s.InsertResults(ctx, skipped); err != nil {
			return err
		}
		return r.queueFinish(ctx, tx, job.ID)
	}
	inserted, err := r.river.InsertManyTx(ctx, tx, params)
	if err != nil {
		return fmt.Errorf("queue the exports of job %s: %w", job.ID, err)
	}
	riverJobs := make(map[string]int64, len(inserted))
	for _, in := range inserted {
		var args exportArgs
		if err := json.Unmarshal(in.Job.EncodedArgs, &args); err != nil {
			return fmt.Errorf("queue the exports of job %s: %w", job.ID, err)
		}
		riverJobs[args.ResultID] = in.Job.ID
	}
	for i := range results {
		results[i].RiverJobID = riverJobs[results[i].ID]
	}
	return s.InsertResults(ctx, append(results, skipped...))
}

func (r *Runner) newResult(job backup.Job, db backup.Database, status backup.ResultStatus) backup.Result {
	return backup.Result{
		ID: newID(), JobID: job.ID, DatabaseID: db.ID, DatabaseName: db.Name, Status: status,
		ScheduleID: job.ScheduleID, Slot: job.Slot, Date: job.Date, CreatedAt: job.CreatedAt,
	}
}
