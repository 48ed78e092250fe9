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
	"github.com/AutumnsGrove/Patina/backup/archive"
	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/store"
)

// archiveTimeout bounds one attempt at an archive, its reading back included.
const archiveTimeout = 12 * time.Hour

type archiveArgs struct {
	JobID string `json:"job_id"`
	Week  string `json:"week"`
}

// Kind names the work in River.
func (archiveArgs) Kind() string { return "archive" }

type archiveWorker struct {
	river.WorkerDefaults[archiveArgs]
	r *Runner
}

// Timeout bounds one attempt.
func (w *archiveWorker) Timeout(*river.Job[archiveArgs]) time.Duration { return archiveTimeout }

// NextRetry says when the next attempt is due, by River's clock.
func (w *archiveWorker) NextRetry(job *river.Job[archiveArgs]) time.Time {
	return time.Now().Add(w.r.cfg.Backoff(job.Attempt))
}

// archiving is one attempt at a week's archive.
type archiving struct {
	r     *Runner
	job   backup.Job
	fence int64
	week  object.Week
	bad   []*archive.DamagedError // copies that are not what was stored
}

// Work makes one attempt at a week's archive and records what became of it.
func (w *archiveWorker) Work(ctx context.Context, job *river.Job[archiveArgs]) error {
	r := w.r
	a := &archiving{r: r}
	var err error
	if a.job, a.fence, err = r.beginSolo(ctx, job.Args.JobID, job.ID); errors.Is(err, store.ErrFenced) {
		return nil
	} else if err != nil {
		return plain(err)
	}
	if a.week, err = object.ParseWeek(job.Args.Week); err == nil {
		err = a.run(ctx)
	}
	v := judge(ctx, err, job.Attempt, job.MaxAttempts)
	switch v {
	case done, lost:
		return nil
	case again, stopped:
		r.log.Warn("the archive will be tried again", "job_id", a.job.ID, "week", job.Args.Week, "attempt", job.Attempt, "error", kindName(err))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return plain(err)
	}
	r.log.Error("the archive was not made", "job_id", a.job.ID, "week", job.Args.Week, "attempt", job.Attempt, "error", kindName(err))
	return a.failed(ctx, v, err)
}

// run makes the archive, or sees that the one there is whole.
func (a *archiving) run(ctx context.Context) error {
	old, err := a.r.store.Archive(ctx, a.week.String())
	if err == nil && old.DeletedAt == nil {
		return a.check(ctx, old)
	}
	if err != nil && !errors.Is(err, backup.ErrNotFound) {
		return err
	}
	for {
		plan, err := a.choose(ctx)
		if err != nil {
			return err
		}
		if len(plan.Copies) == 0 {
			return a.end(ctx, backup.Totals{Skipped: len(plan.Missing)}, "there was no copy to put into an archive", nil)
		}
		m, adopted, err := a.make(ctx, plan)
		var damaged *archive.DamagedError
		if errors.As(err, &damaged) { // the others are archived without it
			a.bad = append(a.bad, damaged)
			if len(a.bad) > len(plan.Copies)/2 {
				return &backup.Error{
					Kind: backup.ErrCorrupt, Message: fmt.Sprintf("%d of %d copies are not in the bucket as they were recorded, the last of them %s; nothing was changed", len(a.bad), len(plan.Copies)+len(a.bad)-1, damaged.Error()),
					Next: "Check that PATINA_BUCKET names the bucket that the catalogue is of; patina doctor looks at it.",
				}
			}
			continue
		}
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return err
		}
		return a.commit(ctx, m, adopted)
	}
}

var errGone = errors.New("a copy went while the archive was being begun")

// make makes the archive while nothing that goes into it can be deleted.
func (a *archiving) make(ctx context.Context, plan archive.Plan) (*backup.ArchiveManifest, bool, error) {
	ids := make([]string, len(plan.Copies))
	for i, c := range plan.Copies {
		ids[i] = c.ID
	}
	release, err := a.r.store.ReadingFor(ctx, "the archive of "+a.week.String(), ids...)
	if errors.Is(err, backup.ErrNotFound) {
		return nil, false, errGone
	}
	if err != nil {
		return nil, false, err
	}
	defer release()
	return archive.Make(ctx, a.r.cfg.Bucket, archive.Request{Week: a.week, Plan: plan, Manifest: a.manifest, Known: a.known, Hook: a.hook})
}

// hook names the steps of an archive apart from those of an export.
func (a *archiving) hook(step string) {
	when, what, _ := strings.Cut(step, ":")
	a.r.cfg.Hook(when + ":archive." + what)
}

func (a *archiving) choose(ctx context.Context) (archive.Plan, error) {
	from, to := archive.Dates(a.week)
	copies, err := a.r.store.CopiesForArchive(ctx, from, to)
	if err != nil {
		return archive.Plan{}, err
	}
	for _, d := range a.bad {
		for i := range copies {
			if copies[i].ID == d.Copy.ID {
				copies[i].Proof = backup.ProofSuspect
			}
		}
	}
	databases, err := a.r.store.Databases(ctx, store.DatabaseFilter{Gone: true})
	return archive.Choose(a.week, databases, copies), err
}

func (a *archiving) manifest(ctx context.Context, c backup.Copy) (*backup.Manifest, error) {
	full, err := a.r.store.Copy(ctx, c.ID)
	if err == nil && full.Manifest == nil {
		err = backup.Errorf(backup.ErrCorrupt, "the catalogue has no manifest of %s", c.Key)
	}
	return full.Manifest, err
}

// known tells whether the catalogue has the copy that is a member of an archive.
func (a *archiving) known(ctx context.Context, m backup.ArchiveMember) (bool, error) {
	c, err := a.r.store.Copy(ctx, m.CopyID)
	if errors.Is(err, backup.ErrNotFound) {
		return false, nil
	}
	return err == nil && c.SHA256 == m.SHA256 && c.DatabaseID == m.DatabaseID, err
}

// commit records the archive and what it holds, and ends the job.
func (a *archiving) commit(ctx context.Context, m *backup.ArchiveManifest, adopted bool) error {
	a.hook("before:commit")
	now := a.r.now()
	entry := backup.Archive{
		Week: m.Week, Key: m.Key, Size: m.Size, SHA256: m.SHA256, From: m.From, To: m.To, Members: len(m.Members), Missing: m.Missing,
		JobID: a.job.ID, CreatedAt: now, VerifiedAt: now,
	}
	parts := make(map[string]backup.Archived, len(m.Members))
	databases := map[string]bool{}
	totals := backup.Totals{Bytes: m.Size}
	for _, f := range m.Members {
		parts[f.CopyID] = backup.Archived{Week: m.Week, Name: f.Name, Offset: f.Offset, Length: f.Length}
		databases[f.DatabaseID] = true
	}
	totals.Databases, totals.Succeeded = len(databases), len(databases)
	why := ""
	if n := len(m.Missing); n > 0 {
		why = fmt.Sprintf("%d dates of databases have no copy and are named as missing", n)
	}
	err := a.end(ctx, totals, why, func(ctx context.Context, _ pgx.Tx, s *store.Store) error {
		for _, d := range a.bad {
			if err := a.quarantine(ctx, s, d); err != nil {
				return err
			}
		}
		return s.RecordArchive(ctx, entry, parts)
	})
	if err != nil {
		return err
	}
	a.hook("after:commit")
	a.r.log.Info("archived", "job_id", a.job.ID, "week", m.Week, "key", m.Key, "bytes", m.Size, "members", len(m.Members), "missing", len(m.Missing), "adopted", adopted)
	return nil
}

func (a *archiving) end(ctx context.Context, totals backup.Totals, why string, also func(context.Context, pgx.Tx, *store.Store) error) error {
	return a.r.endSolo(ctx, a.job.ID, a.fence, totals, backup.JobCompleted, why, also)
}

// check reads an archive that the catalogue has once more.
func (a *archiving) check(ctx context.Context, old backup.Archive) error {
	release, err := a.r.store.ReadingArchive(ctx, "a look at it", old.Week)
	if err != nil {
		return err
	}
	defer release()
	m, err := archive.Check(ctx, a.r.cfg.Bucket, a.week, old.SHA256)
	if err != nil {
		return err
	}
	return a.end(ctx, backup.Totals{Bytes: m.Size}, "the week was archived before; its archive was read again and is whole", nil)
}

// quarantine takes a copy out of use whose bytes are not what was stored. Its
// object stays where it is. A copy that has gone or moved meanwhile is none.
func (a *archiving) quarantine(ctx context.Context, s *store.Store, d *archive.DamagedError) error {
	c, err := s.Copy(ctx, d.Copy.ID)
	if err != nil || c.DeletedAt != nil || c.ObjectGone || c.QuarantinedAt != nil {
		return err
	}
	a.r.log.Error("a copy is damaged", "database", c.DatabaseName, "copy_id", c.ID, "key", c.Key)
	reason, _ := words(ctx, d.Err)
	if err := s.Quarantine(ctx, c.ID, a.r.now(), "found while the archive of "+a.week.String()+" was made: "+reason); err != nil {
		return err
	}
	_, err = s.AddEvent(ctx, backup.Event{
		ID: newID(), At: a.r.now(), Kind: backup.EventObjectDamaged, Once: c.ID, DatabaseID: c.DatabaseID, DatabaseName: c.DatabaseName, JobID: a.job.ID, CopyID: c.ID,
		Message: "The copy of " + c.DatabaseName + " at " + c.Key + " is damaged: " + reason + ". It was taken out of use and left where it is; the other copies of the week are archived.",
		Next:    "Earlier copies are untouched. Back the database up again if there is no other good copy of it.",
	})
	return err
}

// failed ends the job without an archive, and says so.
func (a *archiving) failed(ctx context.Context, v verdict, cause error) error {
	status, kind := backup.JobFailed, backup.EventJobFailed
	message, next := words(ctx, cause)
	if errors.Is(cause, backup.ErrCorrupt) {
		kind = backup.EventObjectDamaged
	}
	if v == cancelled {
		if job, err := a.r.store.Job(context.WithoutCancel(ctx), a.job.ID); err == nil {
			a.job = job // who it was
		}
		status, message, next = backup.JobCancelled, cancelledBy(a.job), ""
	}
	err := a.r.endSolo(ctx, a.job.ID, a.fence, backup.Totals{}, status, message, func(ctx context.Context, _ pgx.Tx, s *store.Store) error {
		_, err := s.AddEvent(ctx, backup.Event{
			ID: newID(), At: a.r.now(), Kind: kind, Once: a.job.ID, JobID: a.job.ID,
			Message: "The archive of " + a.week.String() + " was not made; every copy is where it was: " + message, Next: next,
		})
		return err
	})
	if errors.Is(err, store.ErrFenced) {
		return nil
	}
	return err
}
