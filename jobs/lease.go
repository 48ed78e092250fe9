package jobs

import (
	"context"
	"errors"
	"os"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

// thisProcess describes this process for the table of leases. The pid is only
// compared within the same host and pid namespace.
func thisProcess() store.Process {
	host, _ := os.Hostname()
	namespace, _ := os.Readlink("/proc/self/ns/pid")
	return store.Process{ID: newID(), Hostname: host, PID: os.Getpid(), Namespace: namespace}
}

func (r *Runner) beat(ctx context.Context) error { return r.store.Beat(ctx, r.process) }

// buryNeighbours ends the leases of processes that can be seen to be dead: of
// this host and pid namespace, with a pid that nobody has. So after a crash and
// a restart nothing waits for a lease to run out. Others run out by themselves.
func (r *Runner) buryNeighbours(ctx context.Context) error {
	processes, err := r.store.Processes(ctx)
	if err != nil {
		return err
	}
	for _, p := range processes {
		if p.Hostname != r.process.Hostname || p.Namespace != r.process.Namespace || p.Namespace == "" || p.PID <= 0 {
			continue
		}
		if errors.Is(syscall.Kill(p.PID, 0), syscall.ESRCH) {
			if err := r.store.RemoveProcess(ctx, p.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweep brings to an end what dead processes left and nothing else would end:
// their running jobs go back into the queue, results without a job in the
// queue are ended, and jobs without an open result finished.
func (r *Runner) sweep(ctx context.Context) error {
	// Postgres may have been away for longer than a lease: our own comes first.
	if err := r.beat(ctx); err != nil {
		return err
	}
	handed, err := r.store.HandBack(ctx, r.cfg.Timing.Lease, r.process.ID, r.hand.list())
	if err != nil {
		return err
	}
	if len(handed) > 0 {
		r.log.Warn("took over the jobs of a process that fell silent", "jobs", len(handed))
	}
	results, err := r.store.LostResults(ctx)
	if err != nil {
		return err
	}
	for _, res := range results {
		if err := r.endLost(ctx, res); err != nil {
			return err
		}
	}
	slots, err := r.store.LostSlots(ctx)
	if err != nil {
		return err
	}
	for _, sl := range slots {
		if err := r.store.EndSlot(ctx, sl.ScheduleID, sl.Slot, "", store.SlotFailed, r.now(), "its work was given up"); err != nil {
			return err
		}
	}
	if err := r.endLostJobs(ctx); err != nil {
		return err
	}
	if err := r.requeueDeliveries(ctx); err != nil {
		return err
	}
	return r.finishAll(ctx)
}

// finishAll ends the jobs whose last result has ended.
func (r *Runner) finishAll(ctx context.Context) error {
	jobs, err := r.store.JobsToFinish(ctx)
	for _, id := range jobs {
		if err := r.finish(ctx, id); err != nil {
			return err
		}
	}
	return err
}

// endLost ends a result that nothing in the queue will ever end.
func (r *Runner) endLost(ctx context.Context, res backup.Result) error {
	err := r.store.InTx(ctx, func(_ pgx.Tx, s *store.Store) error {
		job, err := s.LockJob(ctx, res.JobID)
		if err != nil {
			return err
		}
		status, message, next := backup.ResultFailed, "its work in the queue was given up", "Retry this database; earlier copies are untouched."
		if res.Error != "" {
			message += "; the last try said: " + res.Error
		}
		if job.CancelRequestedAt != nil {
			message, next = cancelledBy(job), ""
			if res.StartedAt == nil {
				status = backup.ResultSkipped
			}
		}
		return s.EndResult(ctx, res.ID, res.Fence, status, r.now(), message, next)
	})
	if errors.Is(err, store.ErrFenced) {
		return nil
	}
	return err
}

func cancelledBy(job backup.Job) string {
	if job.CancelRequestedBy == "" {
		return "cancelled"
	}
	return "cancelled by " + job.CancelRequestedBy
}
