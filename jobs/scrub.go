package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/catalogue"
	"github.com/AutumnsGrove/Patina/store"
)

// Every object is read back at least once a month: each day the share of all
// that is stored which makes the round in scrubRound days, whatever was not read
// for the longest time first. Days that were missed are made up for.
const (
	scrubRound   = 24
	scrubMissed  = 7       // days made up for at most
	scrubAtLeast = 1 << 20 // bytes; less is not worth counting
)

type scrubArgs struct {
	ScheduleID string    `json:"schedule_id"`
	Slot       time.Time `json:"slot"`
}

// Kind names the work in River.
func (scrubArgs) Kind() string { return "scrub" }

type scrubWorker struct {
	river.WorkerDefaults[scrubArgs]
	r *Runner
}

// Timeout bounds one attempt.
func (w *scrubWorker) Timeout(*river.Job[scrubArgs]) time.Duration { return cleanupTimeout }

// NextRetry says when the next attempt is due, by River's clock.
func (w *scrubWorker) NextRetry(job *river.Job[scrubArgs]) time.Time {
	return time.Now().Add(w.r.cfg.Backoff(job.Attempt))
}

// Work reads a day's share back and ends the slot.
func (w *scrubWorker) Work(ctx context.Context, job *river.Job[scrubArgs]) error {
	r := w.r
	err := r.recordEnds(ctx)
	if err == nil {
		_, err = r.Scrub(ctx)
	}
	status, why := store.SlotDone, ""
	switch judge(ctx, err, job.Attempt, job.MaxAttempts) {
	case done:
	case again, stopped:
		r.log.Warn("a scrub will be taken up again", "attempt", job.Attempt, "error", kindName(err))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return plain(err)
	default:
		status = store.SlotFailed
		why, _ = words(ctx, err)
		r.log.Error("a scrub failed", "attempt", job.Attempt, "error", kindName(err))
	}
	return r.persist(ctx, func(ctx context.Context, _ pgx.Tx, s *store.Store) error {
		return s.EndSlot(ctx, job.Args.ScheduleID, job.Args.Slot, "", status, r.now(), why)
	})
}

// queueScrub puts a slot's scrub into the queue, in the transaction that claimed
// the slot.
func (r *Runner) queueScrub(ctx context.Context, tx pgx.Tx, s *store.Store, scheduleID string, slot time.Time) error {
	in, err := r.river.InsertTx(ctx, tx, scrubArgs{scheduleID, slot}, &river.InsertOpts{Queue: queueCleanup, MaxAttempts: r.cfg.Attempts})
	if err != nil {
		return fmt.Errorf("queue a scrub: %w", err)
	}
	return s.AssignSlot(ctx, scheduleID, slot, "", in.Job.ID, "")
}

// Scrubbed is what a scrub did.
type Scrubbed struct {
	Objects int   // read back
	Bytes   int64 // of them
	Damaged int   // not as they were stored
	Mended  int   // of those, read out of an archive from now on
}

// scrubSetting keeps when the last scrub came to its end.
const scrubSetting = "scrub_last"

// Scrub reads back a day's share of what is stored. Damage is recorded as it is
// found, and is no error.
func (r *Runner) Scrub(ctx context.Context) (Scrubbed, error) {
	var done Scrubbed
	if r.cfg.Bucket == nil {
		return done, backup.Errorf(backup.ErrInvalid, "there is no bucket to read back")
	}
	now := r.now()
	total, _, err := r.store.InUse(ctx)
	if err != nil {
		return done, err
	}
	var last time.Time
	if _, err := r.store.Setting(ctx, scrubSetting, &last); err != nil {
		return done, err
	}
	days := int64(1)
	if !last.IsZero() && last.Before(now) {
		days = min(max(int64((now.Sub(last)+12*time.Hour)/(24*time.Hour)), 1), scrubMissed)
	}
	budget := max((total+scrubRound-1)/scrubRound, scrubAtLeast) * days
	if err := r.scrub(ctx, budget, now, &done); err != nil {
		return done, err
	}
	r.log.Info("read back", "objects", done.Objects, "bytes", done.Bytes, "damaged", done.Damaged, "mended", done.Mended, "of_bytes", total)
	return done, r.store.SetSetting(ctx, scrubSetting, now)
}

// scrub reads back what was not read for the longest time until the budget is
// spent, or everything was read.
func (r *Runner) scrub(ctx context.Context, budget int64, began time.Time, done *Scrubbed) error {
	const most = 10_000
	list, err := r.store.LeastRead(ctx, most)
	if err != nil {
		return err
	}
	for _, o := range list {
		if done.Bytes >= budget || o.ReadAt != nil && !o.ReadAt.Before(began) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.scrubObject(ctx, o, done); err != nil {
			return err
		}
	}
	return nil
}

// scrubObject reads one object back. One that is gone by now, or going, is left.
func (r *Runner) scrubObject(ctx context.Context, o store.StoredObject, done *Scrubbed) error {
	var c backup.Copy
	var a backup.Archive
	var release func()
	var err error
	sum := ""
	if o.Week != "" {
		if a, err = r.store.Archive(ctx, o.Week); err == nil {
			sum = a.SHA256
			release, err = r.store.ReadingArchive(ctx, "it is being read back", o.Week)
		}
	} else {
		if c, err = r.store.Copy(ctx, o.CopyID); err == nil && !c.ObjectGone {
			sum = c.SHA256
			release, err = r.store.ReadingFor(ctx, "it is being read back", o.CopyID)
		}
	}
	if errors.Is(err, backup.ErrNotFound) || err == nil && release == nil {
		return nil
	}
	if err != nil {
		return err
	}
	defer release()
	err = catalogue.CheckObject(ctx, r.cfg.Bucket, o.Key, o.Size, sum)
	done.Objects++
	done.Bytes += o.Size
	switch {
	case err == nil:
		return r.store.ReadBack(ctx, o, r.now())
	case !errors.Is(err, backup.ErrCorrupt):
		return err
	}
	done.Damaged++
	if o.Week != "" {
		return r.damagedArchive(ctx, a, err.Error())
	}
	mended, err := r.damagedCopy(ctx, c, err.Error())
	if mended {
		done.Mended++
	}
	return err
}
