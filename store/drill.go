package store

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// InsertDrill records a drill, whose job is recorded already.
func (s *Store) InsertDrill(ctx context.Context, id string, at time.Time) error {
	_, err := s.db.Exec(ctx, "INSERT INTO drills (id, created_at) VALUES ($1, $2)", id, at)
	return wrapErr("record drill "+id, err)
}

// SizeDrill records over how many databases a drill goes.
func (s *Store) SizeDrill(ctx context.Context, id string, databases int) error {
	_, err := s.db.Exec(ctx, "UPDATE drills SET databases = $2 WHERE id = $1", id, databases)
	return wrapErr("record the size of drill "+id, err)
}

// EndDrill records how a drill ended; one that has ended stays as it is.
func (s *Store) EndDrill(ctx context.Context, d backup.Drill) error {
	_, err := s.db.Exec(ctx, `UPDATE drills SET verdict = $2, databases = $3, passed = $4, failed = $5, text = $6, ended_at = $7
		WHERE id = $1 AND verdict = ''`, d.ID, d.Verdict, d.Databases, d.Passed, d.Failed, storable(d.Text), d.EndedAt)
	return wrapErr("end drill "+d.ID, err)
}

// A drill whose job ended without it, whyever, has failed, or was cancelled.
const drillColumns = `d.id::text, j.trigger, j.requested_by, d.created_at, j.started_at, coalesce(d.ended_at, j.completed_at),
	CASE WHEN d.verdict <> '' THEN d.verdict WHEN j.status = 'cancelled' THEN 'cancelled' WHEN j.completed_at IS NOT NULL THEN 'failed' ELSE '' END,
	d.databases, d.passed, d.failed, coalesce(nullif(d.text, ''), j.error)`

func scanDrill(row pgx.CollectableRow) (backup.Drill, error) {
	var d backup.Drill
	err := row.Scan(&d.ID, &d.Trigger, &d.RequestedBy, &d.CreatedAt, &d.StartedAt, &d.EndedAt, &d.Verdict, &d.Databases, &d.Passed, &d.Failed, &d.Text)
	return d, err
}

func (s *Store) drills(ctx context.Context, condition string, args ...any) ([]backup.Drill, error) {
	rows, err := s.db.Query(ctx, "SELECT "+drillColumns+" FROM drills d JOIN backup_jobs j USING (id) "+condition, args...)
	if err != nil {
		return nil, wrapErr("list drills", err)
	}
	out, err := pgx.CollectRows(rows, scanDrill)
	return out, wrapErr("list drills", err)
}

// Drills lists drills without their results, newest first, and the cursor of
// the page after, "" when this is the last; limit is 50 when zero, at most 500.
// Errors: ErrInvalid for a cursor that is not ours.
func (s *Store) Drills(ctx context.Context, limit int, cursor string) (drills []backup.Drill, next string, err error) {
	if limit <= 0 {
		limit = 50
	}
	limit = min(limit, 500)
	var q where
	if cursor != "" {
		at, id, err := parseTimeCursor(cursor)
		if err != nil {
			return nil, "", err
		}
		q.add("(d.created_at, d.id) < ($?, $?::uuid)", at, id)
	}
	drills, err = s.drills(ctx, q.String()+" ORDER BY d.created_at DESC, d.id DESC LIMIT "+strconv.Itoa(limit+1), q.args...)
	if len(drills) > limit {
		drills = drills[:limit]
		next = timeCursor(drills[limit-1].CreatedAt, drills[limit-1].ID)
	}
	return drills, next, err
}

// IsDrill tells whether a job is a drill.
func (s *Store) IsDrill(ctx context.Context, id string) (is bool, err error) {
	err = s.db.QueryRow(ctx, "SELECT EXISTS (SELECT FROM drills WHERE id = $1)", id).Scan(&is)
	return is, wrapErr("look for drill "+id, err)
}

// Drill gives one drill with its results. Errors: ErrNotFound.
func (s *Store) Drill(ctx context.Context, id string) (backup.Drill, error) {
	missing := backup.Errorf(backup.ErrNotFound, "there is no drill %q", id)
	if !isUUID(id) {
		return backup.Drill{}, missing
	}
	list, err := s.drills(ctx, "WHERE d.id = $1", id)
	if err != nil {
		return backup.Drill{}, err
	}
	if len(list) == 0 {
		return backup.Drill{}, missing
	}
	list[0].Results, err = s.DrillResults(ctx, id)
	return list[0], err
}

// LastDrill gives the newest drill that passed or failed, without its results;
// nil where there was none.
func (s *Store) LastDrill(ctx context.Context) (*backup.Drill, error) {
	list, err := s.drills(ctx, `WHERE d.verdict IN ('passed', 'failed') OR d.verdict = '' AND j.status IN ('completed', 'partial', 'failed')
		ORDER BY d.created_at DESC, d.id DESC LIMIT 1`)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// OpenDrill gives the drill that waits or runs; "" for none.
func (s *Store) OpenDrill(ctx context.Context) (id string, err error) {
	err = s.db.QueryRow(ctx, "SELECT id::text FROM drills d JOIN backup_jobs j USING (id) WHERE j.status IN ('queued', 'running') ORDER BY d.created_at LIMIT 1").Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return id, wrapErr("look for an open drill", err)
}

// AddDrillResult records what proving one copy found.
func (s *Store) AddDrillResult(ctx context.Context, r backup.DrillResult) error {
	var date *time.Time
	if !r.Date.IsZero() {
		t := r.Date.Time()
		date = &t
	}
	_, err := s.db.Exec(ctx, `
		INSERT INTO drill_results (job_id, role, database_id, database_name, at, copy_id, key, kind, date, taken_at, size_bytes, table_count, row_count,
			consistency, passed, untried, error, next, load_us, check_us, again_us, findings, source, source_text)
		VALUES ($1, $2, $3, $4, $5, nullif($6, '')::uuid, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)`,
		r.JobID, r.Role, r.DatabaseID, r.DatabaseName, r.At, r.CopyID, r.Key, r.Kind, date, r.TakenAt, r.Size, r.Tables, r.Rows,
		r.Consistency, r.Passed, r.Untried, storable(r.Error), storable(r.Next), r.Load.Microseconds(), r.Check.Microseconds(), r.Again.Microseconds(), r.Findings, r.Source, storable(r.SourceText))
	return wrapErr("record a proof in job "+r.JobID, err)
}

// DrillResults gives the proofs of a job, by database, the newest copy first.
func (s *Store) DrillResults(ctx context.Context, jobID string) ([]backup.DrillResult, error) {
	return s.drillResults(ctx, "job_id = $1 ORDER BY database_name, database_id, role", jobID)
}

// DatabaseProofs lists the proofs of a database's copies that a drill or a
// person asked for, newest first, at most limit.
func (s *Store) DatabaseProofs(ctx context.Context, databaseID string, limit int) ([]backup.DrillResult, error) {
	return s.drillResults(ctx, "database_id = $1 ORDER BY at DESC, role LIMIT "+strconv.Itoa(max(limit, 0)), databaseID)
}

func (s *Store) drillResults(ctx context.Context, condition string, args ...any) ([]backup.DrillResult, error) {
	rows, err := s.db.Query(ctx, `SELECT job_id::text, role, database_id::text, database_name, at, coalesce(copy_id::text, ''), key, kind, date, taken_at,
		size_bytes, table_count, row_count, consistency, passed, untried, error, next, load_us, check_us, again_us, findings, source, source_text
		FROM drill_results WHERE `+condition, args...)
	if err != nil {
		return nil, wrapErr("list proofs", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (backup.DrillResult, error) {
		var r backup.DrillResult
		var date *time.Time
		var load, check, again int64
		err := row.Scan(&r.JobID, &r.Role, &r.DatabaseID, &r.DatabaseName, &r.At, &r.CopyID, &r.Key, &r.Kind, &date, &r.TakenAt,
			&r.Size, &r.Tables, &r.Rows, &r.Consistency, &r.Passed, &r.Untried, &r.Error, &r.Next, &load, &check, &again, &r.Findings, &r.Source, &r.SourceText)
		if date != nil {
			r.Date = backup.DateOf(*date)
		}
		r.Load, r.Check, r.Again = time.Duration(load)*time.Microsecond, time.Duration(check)*time.Microsecond, time.Duration(again)*time.Microsecond
		return r, err
	})
	return out, wrapErr("list proofs", err)
}

// OldestCopy gives the oldest listed copy of a database that may be restored:
// neither suspect nor one taken before a restore. Errors: ErrNotFound.
func (s *Store) OldestCopy(ctx context.Context, databaseID string) (backup.Copy, error) {
	list, err := s.copies(ctx, ` WHERE database_id = $1 AND deleted_at IS NULL AND quarantined_at IS NULL AND kind <> 'safety' AND proof <> 'suspect'
		ORDER BY taken_at, id LIMIT 1`, databaseID)
	if err != nil {
		return backup.Copy{}, err
	}
	if len(list) == 0 {
		return backup.Copy{}, backup.Errorf(backup.ErrNotFound, "there is no backup of database %s", databaseID)
	}
	return list[0], nil
}
