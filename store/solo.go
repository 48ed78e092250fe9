package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// Jobs that are one piece of work have one River job each, and no results.

// AssignJob says which River job does a job's work.
func (s *Store) AssignJob(ctx context.Context, id string, riverJobID int64) error {
	_, err := s.db.Exec(ctx, "UPDATE backup_jobs SET river_job_id = $2 WHERE id = $1", id, riverJobID)
	return wrapErr("assign job "+id, err)
}

// JobRiver gives the River job that does a job's work; 0 for none.
func (s *Store) JobRiver(ctx context.Context, id string) (river int64, err error) {
	err = s.db.QueryRow(ctx, "SELECT river_job_id FROM backup_jobs WHERE id = $1", id).Scan(&river)
	return river, wrapErr("job "+id, err)
}

// BeginJob takes a job for one attempt of the River job that does its work:
// it is running from now on, under a new fencing token. Errors: ErrFenced where
// the job has ended or another River job does it.
func (s *Store) BeginJob(ctx context.Context, id string, riverJobID int64, at time.Time, by string) (fence int64, err error) {
	err = s.db.QueryRow(ctx, `UPDATE backup_jobs SET fence = nextval('fence')
		WHERE id = $1 AND river_job_id = $2 AND status IN ('queued', 'running') RETURNING fence`, id, riverJobID).Scan(&fence)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, ErrFenced
	}
	if err != nil {
		return 0, wrapErr("begin job "+id, err)
	}
	return fence, s.StartJob(ctx, id, at, by)
}

// HoldJob locks a job for the holder of its fencing token until the
// transaction ends. Errors: ErrFenced where another attempt has taken it over,
// or it has ended.
func (s *Store) HoldJob(ctx context.Context, id string, fence int64) (backup.Job, error) {
	var held int64
	if err := s.db.QueryRow(ctx, "SELECT fence FROM backup_jobs WHERE id = $1 FOR UPDATE", id).Scan(&held); err != nil {
		return backup.Job{}, wrapErr("hold job "+id, err)
	}
	j, err := s.Job(ctx, id)
	if err == nil && (held != fence || j.Status.Ended()) {
		err = ErrFenced
	}
	return j, err
}

// LostJobs gives the open jobs that are one piece of work and that nothing
// will ever end: their River job was cancelled, discarded, completed or is gone.
func (s *Store) LostJobs(ctx context.Context) ([]string, error) {
	rows, err := s.db.Query(ctx, `SELECT j.id::text FROM backup_jobs j LEFT JOIN river_job q ON q.id = j.river_job_id
		WHERE j.status IN ('queued', 'running') AND j.kind <> 'backup' AND j.river_job_id <> 0 AND `+lost+` ORDER BY j.created_at LIMIT 1000`)
	if err != nil {
		return nil, wrapErr("list lost jobs", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return ids, wrapErr("list lost jobs", err)
}

// OpenJobs gives the jobs of a kind that have not ended, oldest first.
func (s *Store) OpenJobs(ctx context.Context, kind backup.JobKind) ([]string, error) {
	rows, err := s.db.Query(ctx, "SELECT id::text FROM backup_jobs WHERE status IN ('queued', 'running') AND kind = $1 ORDER BY created_at, id", kind)
	if err != nil {
		return nil, wrapErr("list open jobs", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return ids, wrapErr("list open jobs", err)
}
