package jobs

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/restore"
	"github.com/AutumnsGrove/Patina/store"
)

// requestRestore starts a restore, once it is clear what goes where. Errors:
// ErrNotFound for an unknown copy or database; ErrInvalid where the name was not
// typed as it must be; ErrConflict where the copy is suspect, or the database is
// busy.
func (r *Runner) requestRestore(ctx context.Context, tx pgx.Tx, s *store.Store, req backup.Request) (backup.Started, error) {
	rs, _, err := r.resolveRestore(ctx, s, req)
	if err != nil {
		return backup.Started{}, err
	}
	if err := confirmed(rs); err != nil {
		return backup.Started{}, err
	}
	if rs.Target != backup.RestoreNew {
		open, err := s.OpenResults(ctx, []string{rs.TargetID})
		if err != nil {
			return backup.Started{}, err
		}
		if len(open) > 0 {
			return backup.Started{}, &backup.BusyError{Name: rs.Name, JobID: open[0].JobID}
		}
	}
	now := r.now()
	job := backup.Job{
		ID: newID(), Kind: backup.JobRestore, Trigger: req.Trigger, Status: backup.JobQueued, Date: backup.DateOf(now),
		RequestedBy: req.Actor, CreatedAt: now, Totals: backup.Totals{Databases: 1},
	}
	if job.Trigger == "" {
		job.Trigger = backup.TriggerManual
	}
	rs.ID, rs.CreatedAt = job.ID, now
	if err := r.startSolo(ctx, tx, s, job, restoreArgs{job.ID}, &restoreOpts); err != nil {
		return backup.Started{}, err
	}
	if err := s.InsertRestore(ctx, rs); err != nil {
		return backup.Started{}, err
	}
	return backup.Started{JobID: job.ID, Status: job.Status, Databases: []string{rs.Name}}, nil
}

// Preview gives what a restore would do, without doing any of it.
func (r *Runner) Preview(ctx context.Context, req backup.Request) (*restore.Plan, backup.Restore, error) {
	rs, c, err := r.resolveRestore(ctx, r.store, req)
	if err != nil {
		return nil, rs, err
	}
	if r.cfg.Restore == nil {
		return nil, rs, &backup.Error{
			Kind: backup.ErrUnavailable, Message: "this process has no access to the account, and cannot look at the target",
			Next: "The dashboard shows the same: /backups/" + req.CopyID + "/restore. Or set CLOUDFLARE_ACCOUNT_ID and CLOUDFLARE_API_TOKEN for this command.",
		}
	}
	rs.Confirm, rs.CreatedAt = rs.Name, r.now()
	plan, err := restore.Preview(ctx, restore.Config{D1: r.cfg.Restore, Clock: r.cfg.Clock}, c, rs)
	if err != nil || rs.Target == backup.RestoreNew {
		return plan, rs, err
	}
	open, err := r.store.OpenResults(ctx, []string{rs.TargetID})
	if err == nil && len(open) > 0 {
		plan.Problems = append(plan.Problems, (&backup.BusyError{Name: rs.Name, JobID: open[0].JobID}).Error())
	}
	return plan, rs, err
}

// resolveRestore fills in what a request leaves out, and refuses what cannot be.
func (r *Runner) resolveRestore(ctx context.Context, s *store.Store, req backup.Request) (rs backup.Restore, c restore.Copy, err error) {
	if req.Restore == nil {
		return rs, c, backup.Errorf(backup.ErrInvalid, "say what to restore where")
	}
	rs = *req.Restore
	if req.CopyID != "" {
		stored, err := s.Copy(ctx, req.CopyID)
		if err != nil {
			return rs, c, err
		}
		if err := restorable(stored); err != nil {
			return rs, c, err
		}
		rs.CopyID, rs.DatabaseID, rs.DatabaseName = stored.ID, stored.DatabaseID, stored.DatabaseName
		c = r.restoreCopy(stored)
		if rs.Target == backup.RestoreBookmark && rs.Bookmark == "" {
			rs.Bookmark = stored.BookmarkBefore
		}
	}
	switch rs.Target {
	case backup.RestoreNew:
		if rs.Name == "" {
			rs.Name = rs.DatabaseName + "-restored-" + strings.ReplaceAll(backup.DateOf(r.now()).String(), "-", "")
		}
	case backup.RestoreInPlace, backup.RestoreBookmark:
		if err := r.resolvePlace(ctx, s, &rs); err != nil {
			return rs, c, err
		}
	default:
		return rs, c, backup.Errorf(backup.ErrInvalid, "target is new, in_place or bookmark")
	}
	if rs.CopyID == "" && rs.Target != backup.RestoreBookmark {
		return rs, c, backup.Errorf(backup.ErrInvalid, "say which copy to restore")
	}
	return rs, c, nil
}

// restorable refuses a copy that is gone or no good.
func restorable(c backup.Copy) error {
	switch {
	case c.DeletedAt != nil || c.Manifest == nil:
		return backup.Errorf(backup.ErrNotFound, "the copy %s is not stored any more", c.ID)
	case c.QuarantinedAt != nil || c.Proof == backup.ProofSuspect:
		return &backup.Error{
			Kind: backup.ErrConflict, Message: "the copy of " + c.DatabaseName + " of " + c.Date.String() + " is suspect and is not restored: " + c.ProofError,
			Next: "Take an earlier copy, or download this one and look at it by hand.",
		}
	}
	return nil
}

// resolvePlace finds the database to restore over: the copy's own where none is
// named.
func (r *Runner) resolvePlace(ctx context.Context, s *store.Store, rs *backup.Restore) error {
	var db backup.Database
	var err error
	if rs.Name == "" && rs.DatabaseID != "" {
		db, err = s.Database(ctx, rs.DatabaseID)
	} else {
		db, err = s.DatabaseByName(ctx, rs.Name)
	}
	if errors.Is(err, backup.ErrNotFound) || err == nil && db.GoneAt != nil {
		return &backup.Error{
			Kind: backup.ErrNotFound, Message: "the account has no database called " + rs.Name + " to restore over; nothing was started",
			Next: "Restore into a new database.",
		}
	}
	if err != nil {
		return err
	}
	rs.Name, rs.TargetID = db.Name, db.ID
	if rs.DatabaseID == "" {
		rs.DatabaseID, rs.DatabaseName = db.ID, db.Name
	}
	return nil
}

// confirmed refuses a restore over a database whose name was not typed.
func confirmed(rs backup.Restore) error {
	if rs.Target == backup.RestoreNew || rs.Confirm == rs.Name || rs.Confirm == rs.TargetID {
		return nil
	}
	return &backup.Error{
		Kind: backup.ErrInvalid, Message: "a restore over " + rs.Name + " must be confirmed by its name; nothing was started",
		Next: "Type the name of the database that will be overwritten.",
	}
}

// takeUpRestore puts a restore that had begun to change its target back into
// the queue, whatever ended its work; false where it had not.
func (r *Runner) takeUpRestore(ctx context.Context, tx pgx.Tx, s *store.Store, job backup.Job) (bool, error) {
	if job.Kind != backup.JobRestore {
		return false, nil
	}
	step, err := s.OpenRestore(ctx, job.ID)
	if err != nil || step == "" {
		return false, err
	}
	if restore.Changing(step) {
		in, err := r.river.InsertTx(ctx, tx, restoreArgs{job.ID}, &restoreOpts)
		if err != nil {
			return false, err
		}
		return true, s.AssignJob(ctx, job.ID, in.Job.ID)
	}
	outcome := "its work in the queue was given up before anything was changed"
	status := backup.JobFailed
	if job.CancelRequestedAt != nil {
		outcome, status = cancelledBy(job)+" before anything was changed", backup.JobCancelled
	}
	if err := s.EndRestore(ctx, job.ID, outcome, "Start it again.", r.now()); err != nil {
		return false, err
	}
	rs, err := s.Restore(ctx, job.ID)
	if err != nil {
		return false, err
	}
	return false, r.tellRestore(ctx, s, job, rs, status)
}
