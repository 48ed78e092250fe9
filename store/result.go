package store

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// ErrFenced says that another attempt has taken the result over, or that it
// has ended: nothing was written.
var ErrFenced = errors.New("another attempt has taken the result over")

// ErrRunning says that another export of the same database is running.
var ErrRunning = errors.New("another export of this database is running")

// ErrSlotTaken says that this database has a successful result for the slot.
var ErrSlotTaken = errors.New("this database is already stored for the slot")

const resultColumns = `id::text, job_id::text, database_id::text, database_name, status, coalesce(schedule_id, ''), slot, date,
	attempt, fence, river_job_id, created_at, started_at, completed_at, duration_ms, coalesce(copy_id::text, ''), key,
	size_bytes, table_count, row_count, consistency, error, next, findings, requests, retries, rows_read, bytes_received,
	progress_table, progress_rows, progress_bytes, progress_at`

func scanResult(row pgx.CollectableRow) (backup.Result, error) {
	var r backup.Result
	var date time.Time
	var ms int64
	var at *time.Time
	err := row.Scan(&r.ID, &r.JobID, &r.DatabaseID, &r.DatabaseName, &r.Status, &r.ScheduleID, &r.Slot, &date,
		&r.Attempt, &r.Fence, &r.RiverJobID, &r.CreatedAt, &r.StartedAt, &r.CompletedAt, &ms, &r.CopyID, &r.Key,
		&r.Size, &r.Tables, &r.Rows, &r.Consistency, &r.Error, &r.Next, &r.Findings, &r.Cost.Requests, &r.Cost.Retries,
		&r.Cost.RowsRead, &r.Cost.Bytes, &r.Progress.Table, &r.Progress.Rows, &r.Progress.Bytes, &at)
	r.Date = backup.DateOf(date)
	r.Duration = time.Duration(ms) * time.Millisecond
	if at != nil {
		r.Progress.At = *at
	}
	return r, err
}

// InsertResults records new results in one round trip. Only a skipped one may
// have ended.
func (s *Store) InsertResults(ctx context.Context, results []backup.Result) error {
	var b pgx.Batch
	for _, r := range results {
		b.Queue(`
			INSERT INTO backup_results (id, job_id, database_id, database_name, status, schedule_id, slot, date, river_job_id, created_at, completed_at, error, next)
			VALUES ($1, $2, $3, $4, $5, nullif($6, ''), $7, $8, $9, $10, $11, $12, $13)`,
			r.ID, r.JobID, r.DatabaseID, r.DatabaseName, r.Status, r.ScheduleID, r.Slot, r.Date.Time(), r.RiverJobID, r.CreatedAt, r.CompletedAt, r.Error, r.Next)
	}
	return wrapErr("record results", s.db.SendBatch(ctx, &b).Close())
}

// Result gives one result. Errors: ErrNotFound.
func (s *Store) Result(ctx context.Context, id string) (backup.Result, error) {
	rows, err := []backup.Result(nil), error(nil)
	if isUUID(id) {
		rows, err = s.results(ctx, "id = $1", id)
	}
	if err == nil && len(rows) == 0 {
		err = backup.Errorf(backup.ErrNotFound, "there is no result %q", id)
	}
	if err != nil {
		return backup.Result{}, err
	}
	return rows[0], nil
}

// JobResults gives the results of a job, critical databases first, then by name.
func (s *Store) JobResults(ctx context.Context, jobID string) ([]backup.Result, error) {
	if !isUUID(jobID) {
		return nil, nil
	}
	return s.results(ctx, `job_id = $1 ORDER BY
		(SELECT CASE d.priority WHEN 'critical' THEN 1 WHEN 'high' THEN 2 ELSE 3 END FROM databases d WHERE d.id = database_id) NULLS LAST,
		database_name, id`, jobID)
}

// OpenResults gives the results of these databases (UUIDs) that have not ended,
// oldest first; of every database when ids is nil.
func (s *Store) OpenResults(ctx context.Context, ids []string) ([]backup.Result, error) {
	if ids == nil {
		return s.results(ctx, "status IN ('queued', 'running') ORDER BY created_at, id")
	}
	return s.results(ctx, "status IN ('queued', 'running') AND database_id = ANY($1) ORDER BY created_at, id", ids)
}

// DatabaseResults gives a database's results, newest first, begun before the
// given time (zero: now), at most limit (100 when 0).
func (s *Store) DatabaseResults(ctx context.Context, databaseID string, before time.Time, limit int) ([]backup.Result, error) {
	if limit <= 0 {
		limit = 100
	}
	if !isUUID(databaseID) {
		return nil, nil
	}
	if before.IsZero() {
		return s.results(ctx, "database_id = $1 ORDER BY created_at DESC, id DESC LIMIT "+strconv.Itoa(limit), databaseID)
	}
	return s.results(ctx, "database_id = $1 AND created_at < $2 ORDER BY created_at DESC, id DESC LIMIT "+strconv.Itoa(limit), databaseID, before)
}

// StoredInSlot gives those of the databases (UUIDs) that have a successful
// result for a slot; of all when ids is nil.
func (s *Store) StoredInSlot(ctx context.Context, scheduleID string, slot time.Time, ids []string) (map[string]bool, error) {
	rows, err := s.db.Query(ctx, `SELECT database_id::text FROM backup_results
		WHERE schedule_id = $1 AND slot = $2 AND status = 'success' AND ($3::uuid[] IS NULL OR database_id = ANY($3))`, scheduleID, slot, ids)
	if err != nil {
		return nil, wrapErr("read a slot's results", err)
	}
	stored, err := pgx.CollectRows(rows, pgx.RowTo[string])
	out := make(map[string]bool, len(stored))
	for _, id := range stored {
		out[id] = true
	}
	return out, wrapErr("read a slot's results", err)
}

// UnstoredInSlot counts the databases that were tried for a slot without one
// success.
func (s *Store) UnstoredInSlot(ctx context.Context, scheduleID string, slot time.Time) (n int, err error) {
	err = s.db.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM backup_results
		WHERE schedule_id = $1 AND slot = $2 GROUP BY database_id HAVING bool_and(status <> 'success')) AS tried`, scheduleID, slot).Scan(&n)
	return n, wrapErr("count a slot's failures", err)
}

func (s *Store) results(ctx context.Context, condition string, args ...any) ([]backup.Result, error) {
	rows, err := s.db.Query(ctx, "SELECT "+resultColumns+" FROM backup_results WHERE "+condition, args...)
	if err != nil {
		return nil, wrapErr("read results", err)
	}
	out, err := pgx.CollectRows(rows, scanResult)
	return out, wrapErr("read results", err)
}

// OpenInJob tells whether a job has a result that has not ended.
func (s *Store) OpenInJob(ctx context.Context, jobID string) (open bool, err error) {
	err = s.db.QueryRow(ctx, "SELECT EXISTS (SELECT FROM backup_results WHERE job_id = $1 AND status IN ('queued', 'running'))", jobID).Scan(&open)
	return open, wrapErr("look for open results", err)
}

// Attempt names one attempt at a result: what River runs, and where.
type Attempt struct {
	ResultID   string
	RiverJobID int64
	ProcessID  string
	Number     int // 1 for the first
	At         time.Time
}

// StartResult marks a result running under a new fencing token, which it
// returns. Errors: ErrFenced where the result has ended or belongs to another
// River job; ErrRunning where the database is being exported already; both
// spoil the transaction.
func (s *Store) StartResult(ctx context.Context, a Attempt) (fence int64, err error) {
	err = s.db.QueryRow(ctx, `
		UPDATE backup_results SET status = 'running', fence = nextval('fence'), process_id = $3, attempt = $4,
			started_at = $5, progress_table = '', progress_rows = 0, progress_bytes = 0, progress_at = NULL
		WHERE id = $1 AND river_job_id = $2 AND status IN ('queued', 'running') RETURNING fence`,
		a.ResultID, a.RiverJobID, a.ProcessID, a.Number, a.At).Scan(&fence)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, ErrFenced
	case isUnique(err, "backup_results_running"):
		return 0, ErrRunning
	}
	return fence, wrapErr("start a result", err)
}

// SetProgress records how far a running result has come. Errors: ErrFenced.
func (s *Store) SetProgress(ctx context.Context, id string, fence int64, p backup.Progress) error {
	return s.fenced(ctx, "record progress", `
		UPDATE backup_results SET progress_table = $3, progress_rows = $4, progress_bytes = $5, progress_at = $6
		WHERE id = $1 AND fence = $2 AND status = 'running'`, id, fence, p.Table, p.Rows, p.Bytes, p.At)
}

// SucceedResult records what a running result stored. Errors: ErrFenced;
// ErrSlotTaken, which spoils the transaction.
func (s *Store) SucceedResult(ctx context.Context, r backup.Result) error {
	findings := r.Findings
	if findings == nil {
		findings = []backup.Finding{}
	}
	err := s.fenced(ctx, "record a result", `
		UPDATE backup_results SET status = 'success', process_id = NULL, completed_at = $3, duration_ms = $4, copy_id = $5, key = $6,
			size_bytes = $7, table_count = $8, row_count = $9, consistency = $10, findings = $11, requests = $12, retries = $13,
			rows_read = $14, bytes_received = $15, error = '', next = ''
		WHERE id = $1 AND fence = $2 AND status = 'running'`,
		r.ID, r.Fence, r.CompletedAt, r.Duration.Milliseconds(), r.CopyID, r.Key, r.Size, r.Tables, r.Rows, r.Consistency,
		findings, r.Cost.Requests, r.Cost.Retries, r.Cost.RowsRead, r.Cost.Bytes)
	if isUnique(err, "backup_results_slot") {
		return ErrSlotTaken
	}
	return err
}

// EndResult records that a result failed or was skipped, and why. Errors:
// ErrFenced where it has ended, or another attempt holds it.
func (s *Store) EndResult(ctx context.Context, id string, fence int64, status backup.ResultStatus, at time.Time, message, next string) error {
	return s.fenced(ctx, "end a result", `
		UPDATE backup_results SET status = $3, process_id = NULL, completed_at = $4, error = $5, next = $6,
			duration_ms = CASE WHEN started_at IS NULL THEN 0 ELSE greatest(0, extract(epoch FROM $4 - started_at) * 1000)::bigint END
		WHERE id = $1 AND fence = $2 AND status IN ('queued', 'running')`, id, fence, status, at, message, next)
}

// SkipQueued skips the results of a job that no attempt has begun, or that
// wait for their next one, under a new fencing token.
func (s *Store) SkipQueued(ctx context.Context, jobID string, at time.Time, message string) error {
	_, err := s.db.Exec(ctx, `
		UPDATE backup_results SET status = 'skipped', fence = nextval('fence'), completed_at = $2, error = $3, next = ''
		WHERE job_id = $1 AND status = 'queued'`, jobID, at, message)
	return wrapErr("skip what waits", err)
}

// RequeueResult gives a running result back to the queue, with the cause of
// the attempt that did not succeed ("": none to tell). Errors: ErrFenced.
func (s *Store) RequeueResult(ctx context.Context, id string, fence int64, message, next string) error {
	return s.fenced(ctx, "give a result back", `
		UPDATE backup_results SET status = 'queued', process_id = NULL, error = $3, next = $4
		WHERE id = $1 AND fence = $2 AND status = 'running'`, id, fence, message, next)
}

func (s *Store) fenced(ctx context.Context, doing, sql string, args ...any) error {
	tag, err := s.db.Exec(ctx, sql, args...)
	if err == nil && tag.RowsAffected() == 0 {
		return ErrFenced
	}
	return wrapErr(doing, err)
}
