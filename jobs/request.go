package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

// answersKept is how long the answer to an idempotency key is remembered.
const answersKept = 24 * time.Hour

// Request asks for work, and answers once it is recorded and in the queue; a
// process that was started does it. It needs no started Runner.
//
// Errors: ErrNotFound for an unknown database or job; *backup.BusyError, an
// ErrConflict, where the databases asked for are being backed up already;
// ErrConflict for a job that cannot be cancelled or retried; ErrInvalid for an
// idempotency key used before for something else.
func (r *Runner) Request(ctx context.Context, req backup.Request) (backup.Started, error) {
	var started backup.Started
	err := r.store.InTx(ctx, func(tx pgx.Tx, s *store.Store) error {
		// One request at a time decides what is busy.
		if err := s.LockRequests(ctx); err != nil {
			return err
		}
		repeated, err := r.repeated(ctx, s, req, &started)
		if err != nil || repeated {
			return err
		}
		switch req.Action {
		case backup.ActionBackup:
			started, err = r.requestBackup(ctx, tx, s, req)
		case backup.ActionCancel:
			started, err = r.requestCancel(ctx, tx, s, req)
		case backup.ActionArchive:
			started, err = r.requestArchive(ctx, tx, s, req)
		case backup.ActionCleanup:
			started, err = r.requestCleanup(ctx, tx, s, req)
		case backup.ActionErase:
			started, err = r.requestErase(ctx, tx, s, req)
		case backup.ActionRestore:
			started, err = r.requestRestore(ctx, tx, s, req)
		case backup.ActionProve:
			started, err = r.requestProve(ctx, tx, s, req)
		case backup.ActionDrill:
			started, err = r.requestDrill(ctx, tx, s, req)
		case backup.ActionRetry:
			started, err = r.requestRetry(ctx, tx, s, req)
		case backup.ActionTest:
			started, err = r.requestTest(ctx, tx, s, req)
		default:
			err = backup.Errorf(backup.ErrInvalid, "%q is nothing that can be asked for", req.Action)
		}
		if err != nil || req.IdempotencyKey == "" {
			return err
		}
		return s.KeepAnswer(ctx, store.Answer{Actor: req.Actor, Key: req.IdempotencyKey, BodySHA256: req.BodySHA256, CreatedAt: r.now()}, started)
	})
	if err != nil {
		return backup.Started{}, err
	}
	return started, nil
}

// repeated finds the answer that an idempotency key got before.
func (r *Runner) repeated(ctx context.Context, s *store.Store, req backup.Request, started *backup.Started) (bool, error) {
	if req.IdempotencyKey == "" {
		return false, nil
	}
	old, found, err := s.Answer(ctx, req.Actor, req.IdempotencyKey, started)
	if err != nil || !found {
		return false, err
	}
	if old.BodySHA256 != req.BodySHA256 {
		return false, &backup.Error{Kind: backup.ErrInvalid, Message: "this idempotency key was used before for another request; nothing was started", Next: "Send a new key with a new request."}
	}
	started.Repeated = true
	return true, nil
}

func (r *Runner) requestBackup(ctx context.Context, tx pgx.Tx, s *store.Store, req backup.Request) (backup.Started, error) {
	databases, err := r.named(ctx, s, req.Databases)
	if err != nil {
		return backup.Started{}, err
	}
	now := r.now()
	job := backup.Job{
		ID: newID(), Kind: backup.JobBackup, Trigger: req.Trigger, Status: backup.JobQueued,
		Date: backup.DateOf(now), RequestedBy: req.Actor, CreatedAt: now,
	}
	if job.Trigger == "" {
		job.Trigger = backup.TriggerManual
	}
	return r.startFree(ctx, tx, s, job, databases)
}

// named gives the databases of these names, each once; of every scheduled one
// where there is no name.
func (r *Runner) named(ctx context.Context, s *store.Store, names []string) ([]backup.Database, error) {
	if len(names) == 0 {
		all, err := r.scheduled(ctx, s)
		if err == nil && len(all) == 0 {
			err = &backup.Error{Kind: backup.ErrNotFound, Message: "the registry holds no database to back up", Next: "Run patina databases sync."}
		}
		return all, err
	}
	all, err := s.Databases(ctx, store.DatabaseFilter{})
	if err != nil {
		return nil, err
	}
	byName := make(map[string]backup.Database, len(all))
	for _, db := range all {
		if db.GoneAt == nil {
			byName[db.Name] = db
		}
	}
	var out []backup.Database
	var unknown []string
	seen := map[string]bool{}
	for _, name := range names {
		db, ok := byName[name]
		switch {
		case seen[name]:
		case !ok:
			unknown = append(unknown, fmt.Sprintf("%q", name))
		default:
			out = append(out, db)
		}
		seen[name] = true
	}
	if len(unknown) > 0 {
		return nil, &backup.Error{
			Kind: backup.ErrNotFound, Message: "no database of the registry is called " + strings.Join(unknown, ", ") + "; nothing was started",
			Next: "See patina databases list; a new database enters with patina databases sync.",
		}
	}
	return out, nil
}

// startFree starts a job over those of the databases that no other job has,
// and names the others.
func (r *Runner) startFree(ctx context.Context, tx pgx.Tx, s *store.Store, job backup.Job, databases []backup.Database) (backup.Started, error) {
	ids := make([]string, len(databases))
	for i, db := range databases {
		ids[i] = db.ID
	}
	open, err := s.OpenResults(ctx, ids)
	if err != nil {
		return backup.Started{}, err
	}
	holder := map[string]string{}
	for _, res := range open {
		if _, ok := holder[res.DatabaseID]; !ok {
			holder[res.DatabaseID] = res.JobID
		}
	}
	started := backup.Started{JobID: job.ID, Status: backup.JobQueued}
	var free []backup.Database
	var skipped []backup.Result
	for _, db := range databases {
		jobID, busy := holder[db.ID]
		if !busy {
			free = append(free, db)
			continue
		}
		started.Skipped = append(started.Skipped, backup.Skipped{Name: db.Name, JobID: jobID})
		res := r.newResult(job, db, backup.ResultSkipped)
		res.CompletedAt, res.Error = &job.CreatedAt, "already being backed up by job "+jobID
		skipped = append(skipped, res)
	}
	switch {
	case len(free) > 0:
	case len(databases) == 1:
		return backup.Started{}, &backup.BusyError{Name: databases[0].Name, JobID: started.Skipped[0].JobID}
	default:
		return backup.Started{}, &backup.Error{
			Kind: backup.ErrConflict, Message: fmt.Sprintf("all %d databases are already being backed up; nothing was started", len(databases)),
			Err: &backup.BusyError{Name: databases[0].Name, JobID: started.Skipped[0].JobID},
		}
	}
	if err := r.fanOut(ctx, tx, s, job, free, skipped); err != nil {
		return backup.Started{}, err
	}
	for _, db := range free {
		started.Databases = append(started.Databases, db.Name)
	}
	return started, nil
}

// requestCancel stops a job: what waits is skipped at once, what runs is told
// to stop, in whichever process it runs.
func (r *Runner) requestCancel(ctx context.Context, tx pgx.Tx, s *store.Store, req backup.Request) (backup.Started, error) {
	job, err := s.LockJob(ctx, req.JobID)
	if err != nil {
		return backup.Started{}, err
	}
	if job.Status.Ended() {
		return backup.Started{}, backup.Errorf(backup.ErrConflict, "the job has ended already (%s); there is nothing to cancel", job.Status)
	}
	if job.Kind != backup.JobBackup {
		return r.cancelSolo(ctx, tx, s, job, req.Actor)
	}
	now := r.now()
	if err := s.CancelJob(ctx, job.ID, req.Actor, now); err != nil {
		return backup.Started{}, err
	}
	if job.CancelRequestedAt == nil {
		job.CancelRequestedBy = req.Actor
	}
	results, err := s.JobResults(ctx, job.ID)
	if err != nil {
		return backup.Started{}, err
	}
	// The queue's rows are locked before the results: handing back does the same.
	started := backup.Started{JobID: job.ID, Status: job.Status}
	for _, res := range results {
		if res.Status.Ended() {
			continue
		}
		started.Databases = append(started.Databases, res.DatabaseName)
		if err := r.cancelRiver(ctx, tx, res.RiverJobID); err != nil {
			return backup.Started{}, err
		}
	}
	if err := s.SkipQueued(ctx, job.ID, now, cancelledBy(job)); err != nil {
		return backup.Started{}, err
	}
	return started, r.follow(ctx, tx, s, job.ID)
}

// requestRetry starts a new job over what failed in one that has ended; of a
// cancelled one also over what it did not come to. A scheduled job's slot is
// taken over, so that its copies are filed where the first would have been.
func (r *Runner) requestRetry(ctx context.Context, tx pgx.Tx, s *store.Store, req backup.Request) (backup.Started, error) {
	old, err := s.LockJob(ctx, req.JobID)
	if err != nil {
		return backup.Started{}, err
	}
	if !old.Status.Ended() {
		return backup.Started{}, backup.Errorf(backup.ErrConflict, "the job has not ended yet; retry it then")
	}
	if old.Kind != backup.JobBackup {
		return backup.Started{}, backup.Errorf(backup.ErrConflict, "a job of kind %s cannot be retried", old.Kind)
	}
	databases, err := r.failedOf(ctx, s, old)
	if err != nil {
		return backup.Started{}, err
	}
	now := r.now()
	job := backup.Job{
		ID: newID(), Kind: backup.JobBackup, Trigger: req.Trigger, Status: backup.JobQueued, ScheduleID: old.ScheduleID, Slot: old.Slot,
		Date: backup.DateOf(now), RequestedBy: req.Actor, RetryOf: old.ID, CreatedAt: now,
	}
	if job.Slot != nil {
		job.Date = old.Date
	}
	if job.Trigger == "" {
		job.Trigger = backup.TriggerManual
	}
	started, err := r.startFree(ctx, tx, s, job, databases)
	if err != nil || job.Slot == nil {
		return started, err
	}
	return started, s.AssignSlot(ctx, job.ScheduleID, *job.Slot, job.ID, 0, "retried by "+req.Actor)
}

// failedOf gives the databases that a retry of the job has to do.
func (r *Runner) failedOf(ctx context.Context, s *store.Store, old backup.Job) ([]backup.Database, error) {
	results, err := s.JobResults(ctx, old.ID)
	if err != nil {
		return nil, err
	}
	stored := map[string]bool{}
	if old.Slot != nil {
		if stored, err = s.StoredInSlot(ctx, old.ScheduleID, *old.Slot, nil); err != nil {
			return nil, err
		}
	}
	all, err := s.Databases(ctx, store.DatabaseFilter{})
	if err != nil {
		return nil, err
	}
	here := make(map[string]backup.Database, len(all))
	for _, db := range all {
		if db.GoneAt == nil {
			here[db.ID] = db
		}
	}
	var out []backup.Database
	for _, res := range results {
		failed := res.Status == backup.ResultFailed || res.Status == backup.ResultSkipped && old.Status == backup.JobCancelled
		if db, ok := here[res.DatabaseID]; ok && failed && !stored[res.DatabaseID] {
			out = append(out, db)
		}
	}
	if len(out) == 0 {
		return nil, backup.Errorf(backup.ErrConflict, "nothing is left to retry: no database of this job failed, or each was stored since")
	}
	return out, nil
}

// cancelRiver stops one River job: a waiting one is closed, a running one's
// context ends, wherever it runs. One that is gone is no error.
func (r *Runner) cancelRiver(ctx context.Context, tx pgx.Tx, id int64) error {
	if _, err := r.river.JobCancelTx(ctx, tx, id); err != nil && !errors.Is(err, river.ErrNotFound) {
		return fmt.Errorf("cancel work %d in the queue: %w", id, err)
	}
	return nil
}
