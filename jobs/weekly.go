package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/store"
)

// archiveAttempts is how often an archive is tried: with the pauses between
// them it waits out some hours without a bucket.
const archiveAttempts = 8

// waitsForNightly is the reason of a slot that was due while the nightly ran. It
// is made once the nightly has ended.
const waitsForNightly = "the nightly backup was still running; the archive is made when it has ended"

// weekOf gives the week that a slot's archive is of: the one that ends on the
// Sunday of the slot, or on the last before it.
func weekOf(slot time.Time) object.Week {
	date := backup.DateOf(slot)
	return object.WeekOf(date.AddDays(-int(date.Time().Weekday())).Time())
}

// startWeekly makes the archive's job of a weekly slot, in the transaction that
// claimed the slot. Where a nightly is still running the slot is skipped, and
// that is said at once; resumeWeekly comes back to it.
func (r *Runner) startWeekly(ctx context.Context, tx pgx.Tx, s *store.Store, scheduleID string, slot time.Time) (jobID string, started bool, err error) {
	nightly, err := s.OpenInSchedule(ctx, NightlySchedule)
	if err != nil {
		return "", false, err
	}
	if nightly == nil {
		jobID, err = r.startArchive(ctx, tx, s, scheduleID, slot)
		return jobID, err == nil, err
	}
	now := r.now()
	if err := s.EndSlot(ctx, scheduleID, slot, "", store.SlotSkipped, now, waitsForNightly); err != nil {
		return "", false, err
	}
	_, err = s.AddEvent(ctx, backup.Event{
		ID: newID(), At: now, Kind: backup.EventWeeklySkipped, Once: slot.Format(time.RFC3339), JobID: nightly.ID,
		Message: fmt.Sprintf("The archive of %s was not begun at %s: the nightly backup was still running.", weekOf(slot), slot.Format("2006-01-02 15:04 UTC")),
		Next:    "Nothing needs to be done: it is made when the nightly has ended. If the nightly hangs, look at its job.",
	})
	return "", false, err
}

// startArchive records the job of a slot that is claimed, and queues its work.
func (r *Runner) startArchive(ctx context.Context, tx pgx.Tx, s *store.Store, scheduleID string, slot time.Time) (string, error) {
	job := archiveJob(weekOf(slot), r.now())
	job.Trigger, job.ScheduleID, job.Slot, job.RequestedBy = backup.TriggerWeekly, scheduleID, &slot, "schedule "+scheduleID
	return job.ID, r.queueArchive(ctx, tx, s, job, weekOf(slot))
}

func archiveJob(w object.Week, now time.Time) backup.Job {
	_, sunday := archive.Dates(w)
	return backup.Job{ID: newID(), Kind: backup.JobArchive, Status: backup.JobQueued, Date: sunday, CreatedAt: now}
}

func (r *Runner) queueArchive(ctx context.Context, tx pgx.Tx, s *store.Store, job backup.Job, w object.Week) error {
	return r.startSolo(ctx, tx, s, job, archiveArgs{job.ID, w.String()}, &river.InsertOpts{MaxAttempts: archiveAttempts})
}

// resumeWeekly starts the newest slot if it was skipped for a nightly that has
// ended since.
func (r *Runner) resumeWeekly(ctx context.Context, sc store.Schedule) error {
	waiting := func(s *store.Store) (slot time.Time, ok bool, err error) {
		slots, err := s.Slots(ctx, sc.ID, 1)
		if err != nil || len(slots) == 0 || slots[0].Status != store.SlotSkipped || slots[0].JobID != "" || slots[0].Reason != waitsForNightly {
			return slot, false, err
		}
		nightly, err := s.OpenInSchedule(ctx, NightlySchedule)
		return slots[0].Slot, err == nil && nightly == nil, err
	}
	if _, ok, err := waiting(r.store); err != nil || !ok {
		return err
	}
	return r.store.InTx(ctx, func(tx pgx.Tx, s *store.Store) error {
		if err := s.LockRequests(ctx); err != nil { // one process does it
			return err
		}
		slot, ok, err := waiting(s)
		if err != nil || !ok {
			return err
		}
		_, err = r.startArchive(ctx, tx, s, sc.ID, slot)
		return err
	})
}

// requestArchive starts the archive of a week that is over. One that is being
// made is not made twice: its job is the answer.
func (r *Runner) requestArchive(ctx context.Context, tx pgx.Tx, s *store.Store, req backup.Request) (backup.Started, error) {
	w, err := object.ParseWeek(req.Week)
	if err != nil {
		return backup.Started{}, err
	}
	now := r.now()
	_, sunday := archive.Dates(w)
	if over := r.weekIsOver(sunday); now.Before(over) {
		return backup.Started{}, &backup.Error{
			Kind: backup.ErrInvalid, Message: fmt.Sprintf("the week %s is not over: its last nightly backup is due at %s; nothing was started", w, over.Format("2006-01-02 15:04 UTC")),
			Next: "An archive is closed for good once it is made. Wait until then.",
		}
	}
	nightly, err := s.OpenInSchedule(ctx, NightlySchedule)
	if err != nil {
		return backup.Started{}, err
	}
	if nightly != nil {
		return backup.Started{}, &backup.Error{
			Kind: backup.ErrConflict, Message: "the nightly backup is running, as job " + nightly.ID + "; no archive was started",
			Next: "Ask again when it has ended.",
		}
	}
	if open, err := s.OpenOn(ctx, backup.JobArchive, sunday); err != nil || open != nil {
		if err != nil {
			return backup.Started{}, err
		}
		return backup.Started{JobID: open.ID, Status: open.Status}, nil
	}
	job := archiveJob(w, now)
	job.RequestedBy, job.Trigger = req.Actor, req.Trigger
	if job.Trigger == "" {
		job.Trigger = backup.TriggerManual
	}
	return backup.Started{JobID: job.ID, Status: job.Status}, r.queueArchive(ctx, tx, s, job, w)
}

// weekIsOver gives when the last nightly of a week that ends on a Sunday is due.
func (r *Runner) weekIsOver(sunday backup.Date) time.Time {
	due, err := NextRun(r.cfg.Nightly, sunday.Time().Add(-time.Second))
	if err != nil || backup.DateOf(due) != sunday { // no nightly on that day
		return sunday.AddDays(1).Time()
	}
	return due
}
