package store

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// jobColumns is what scanJob reads.
const jobColumns = `id::text, kind, trigger, status, coalesce(schedule_id, ''), slot, date, requested_by,
	coalesce(retry_of::text, ''), created_at, started_at, completed_at, cancel_requested_at, cancel_requested_by,
	databases_total, databases_succeeded, databases_failed, databases_skipped, size_bytes, row_count, error, transitions`

func scanJob(row pgx.CollectableRow) (backup.Job, error) {
	var j backup.Job
	var date time.Time
	t := &j.Totals
	err := row.Scan(&j.ID, &j.Kind, &j.Trigger, &j.Status, &j.ScheduleID, &j.Slot, &date, &j.RequestedBy,
		&j.RetryOf, &j.CreatedAt, &j.StartedAt, &j.CompletedAt, &j.CancelRequestedAt, &j.CancelRequestedBy,
		&t.Databases, &t.Succeeded, &t.Failed, &t.Skipped, &t.Bytes, &t.Rows, &j.Error, &j.Transitions)
	j.Date = backup.DateOf(date)
	return j, err
}

// InsertJob records a new job with its first transition.
func (s *Store) InsertJob(ctx context.Context, j backup.Job) error {
	first := []backup.Transition{{Status: j.Status, At: j.CreatedAt, By: j.RequestedBy}}
	_, err := s.db.Exec(ctx, `
		INSERT INTO backup_jobs (id, kind, trigger, status, schedule_id, slot, date, requested_by, retry_of, created_at, databases_total, transitions)
		VALUES ($1, $2, $3, $4, nullif($5, ''), $6, $7, $8, nullif($9, '')::uuid, $10, $11, $12)`,
		j.ID, j.Kind, j.Trigger, j.Status, j.ScheduleID, j.Slot, j.Date.Time(), j.RequestedBy, j.RetryOf, j.CreatedAt, j.Totals.Databases, first)
	return wrapErr("record job "+j.ID, err)
}

// Job gives one job. Errors: ErrNotFound.
func (s *Store) Job(ctx context.Context, id string) (backup.Job, error) {
	return s.job(ctx, id, "")
}

// LockJob gives one job and keeps others from changing it, or from ending any
// of its results, until the transaction ends. Errors: ErrNotFound.
func (s *Store) LockJob(ctx context.Context, id string) (backup.Job, error) {
	return s.job(ctx, id, " FOR UPDATE")
}

func (s *Store) job(ctx context.Context, id, lock string) (backup.Job, error) {
	if !isUUID(id) {
		return backup.Job{}, backup.Errorf(backup.ErrNotFound, "there is no job %q", id)
	}
	rows, err := s.db.Query(ctx, "SELECT "+jobColumns+" FROM backup_jobs WHERE id = $1"+lock, id)
	if err != nil {
		return backup.Job{}, wrapErr("read job", err)
	}
	j, err := pgx.CollectExactlyOneRow(rows, scanJob)
	return j, wrapErr("job "+id, err)
}

// MoveJob changes a job's status and records the transition. Running sets
// when it started, an ended status when it completed. A job that has ended
// stays as it is: ErrConflict.
func (s *Store) MoveJob(ctx context.Context, id string, t backup.Transition) error {
	tag, err := s.db.Exec(ctx, `
		UPDATE backup_jobs SET status = $2, transitions = transitions || $3::jsonb,
			started_at = CASE WHEN $2 = 'running' THEN coalesce(started_at, $4) ELSE started_at END,
			completed_at = CASE WHEN $5 THEN $4 ELSE completed_at END
		WHERE id = $1 AND status IN ('queued', 'running')`,
		id, t.Status, []backup.Transition{t}, t.At, t.Status.Ended())
	if err == nil && tag.RowsAffected() == 0 {
		err = backup.Errorf(backup.ErrConflict, "the job has ended or is gone")
	}
	return wrapErr("move job "+id+" to "+string(t.Status), err)
}

// StartJob moves a queued job to running; one that runs already is left alone.
func (s *Store) StartJob(ctx context.Context, id string, at time.Time, by string) error {
	var status backup.JobStatus
	if err := s.db.QueryRow(ctx, "SELECT status FROM backup_jobs WHERE id = $1 FOR UPDATE", id).Scan(&status); err != nil {
		return wrapErr("start job "+id, err)
	}
	if status != backup.JobQueued {
		return nil
	}
	return s.MoveJob(ctx, id, backup.Transition{Status: backup.JobRunning, At: at, By: by})
}

// FinishJob totals the job's results and moves it to its last status.
func (s *Store) FinishJob(ctx context.Context, id string, totals backup.Totals, t backup.Transition, jobErr string) error {
	if err := s.MoveJob(ctx, id, t); err != nil {
		return err
	}
	_, err := s.db.Exec(ctx, `
		UPDATE backup_jobs SET databases_total = $2, databases_succeeded = $3, databases_failed = $4,
			databases_skipped = $5, size_bytes = $6, row_count = $7, error = $8 WHERE id = $1`,
		id, totals.Databases, totals.Succeeded, totals.Failed, totals.Skipped, totals.Bytes, totals.Rows, jobErr)
	return wrapErr("total job "+id, err)
}

// CancelJob records that somebody wants the job stopped. The first to ask is
// remembered.
func (s *Store) CancelJob(ctx context.Context, id, by string, at time.Time) error {
	_, err := s.db.Exec(ctx, `
		UPDATE backup_jobs SET cancel_requested_at = $2, cancel_requested_by = $3,
			transitions = transitions || jsonb_build_object('status', status, 'at', $4::text, 'by', $3::text, 'reason', 'asked to stop')
		WHERE id = $1 AND cancel_requested_at IS NULL`, id, at, by, at.UTC().Format(time.RFC3339Nano))
	return wrapErr("cancel job "+id, err)
}

// JobFilter chooses jobs; a zero field chooses all.
type JobFilter struct {
	Status   []backup.JobStatus
	Kind     backup.JobKind
	Trigger  backup.Trigger
	Database string      // the name of a database that has a result in the job, whatever it was called then
	From, To backup.Date // the job's date, both included
	Limit    int         // 50 when zero, at most 500
	Cursor   string      // the next of the answer before; "" for the first page
}

// Jobs lists jobs, newest first, and the cursor of the page after, "" when
// this is the last. Errors: ErrInvalid for a cursor that is not ours.
func (s *Store) Jobs(ctx context.Context, f JobFilter) (jobs []backup.Job, next string, err error) {
	limit := f.Limit
	if limit <= 0 {
		limit = 50
	}
	limit = min(limit, 500)
	var q where
	if len(f.Status) > 0 {
		q.add("status = ANY($?)", f.Status)
	}
	if f.Kind != "" {
		q.add("kind = $?", f.Kind)
	}
	if f.Trigger != "" {
		q.add("trigger = $?", f.Trigger)
	}
	if f.Database != "" {
		q.add("EXISTS (SELECT FROM backup_results r WHERE r.job_id = backup_jobs.id AND r.database_id = ANY(ARRAY(SELECT id FROM databases WHERE name = $?)))", f.Database)
	}
	if !f.From.IsZero() {
		q.add("date >= $?", f.From.Time())
	}
	if !f.To.IsZero() {
		q.add("date <= $?", f.To.Time())
	}
	if f.Cursor != "" {
		at, id, err := parseTimeCursor(f.Cursor)
		if err != nil {
			return nil, "", err
		}
		q.add("(created_at, id) < ($?, $?::uuid)", at, id)
	}
	rows, err := s.db.Query(ctx, "SELECT "+jobColumns+" FROM backup_jobs"+q.String()+
		" ORDER BY created_at DESC, id DESC LIMIT "+strconv.Itoa(limit+1), q.chosen()...)
	if err != nil {
		return nil, "", wrapErr("list jobs", err)
	}
	jobs, err = pgx.CollectRows(rows, scanJob)
	if err != nil {
		return nil, "", wrapErr("list jobs", err)
	}
	if len(jobs) > limit {
		jobs = jobs[:limit]
		last := jobs[limit-1]
		next = timeCursor(last.CreatedAt, last.ID)
	}
	return jobs, next, nil
}

// ActiveJob gives the backup job that is running, or else the one queued
// longest; nil when there is none.
func (s *Store) ActiveJob(ctx context.Context) (*backup.Job, error) {
	return s.oneJob(ctx, "status IN ('queued', 'running') AND kind = 'backup' ORDER BY status DESC, created_at, id LIMIT 1")
}

// LastCompletedJob gives the backup job that completed last without a failed
// database; nil when there was none.
func (s *Store) LastCompletedJob(ctx context.Context) (*backup.Job, error) {
	return s.oneJob(ctx, "completed_at IS NOT NULL AND kind = 'backup' AND status = 'completed' ORDER BY completed_at DESC LIMIT 1")
}

// OpenInSchedule gives the open job that answers for a slot of a schedule; nil
// when there is none.
func (s *Store) OpenInSchedule(ctx context.Context, scheduleID string) (*backup.Job, error) {
	return s.oneJob(ctx, "status IN ('queued', 'running') AND schedule_id = $1 ORDER BY created_at, id LIMIT 1", scheduleID)
}

// OpenOn gives the open job of a kind for a date; nil when there is none.
func (s *Store) OpenOn(ctx context.Context, kind backup.JobKind, date backup.Date) (*backup.Job, error) {
	return s.oneJob(ctx, "status IN ('queued', 'running') AND kind = $1 AND date = $2 ORDER BY created_at, id LIMIT 1", kind, date.Time())
}

func (s *Store) oneJob(ctx context.Context, condition string, args ...any) (*backup.Job, error) {
	rows, err := s.db.Query(ctx, "SELECT "+jobColumns+" FROM backup_jobs WHERE "+condition, args...)
	if err != nil {
		return nil, wrapErr("read a job", err)
	}
	jobs, err := pgx.CollectRows(rows, scanJob)
	if err != nil || len(jobs) == 0 {
		return nil, wrapErr("read a job", err)
	}
	return &jobs[0], nil
}

// JobsToFinish gives the backup jobs that are open although each of their
// results has ended.
func (s *Store) JobsToFinish(ctx context.Context) ([]string, error) {
	rows, err := s.db.Query(ctx, `
		SELECT id::text FROM backup_jobs j WHERE status IN ('queued', 'running') AND kind = 'backup' AND NOT EXISTS (
			SELECT FROM backup_results r WHERE r.job_id = j.id AND r.status IN ('queued', 'running'))
		ORDER BY created_at LIMIT 1000`)
	if err != nil {
		return nil, wrapErr("list jobs to finish", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return ids, wrapErr("list jobs to finish", err)
}

// JobVersions gives of each of these jobs (UUIDs) a text that is another one as
// soon as anything is written about it: the job, its results, what they stored,
// what proving found. A job that is not there is missing.
func (s *Store) JobVersions(ctx context.Context, ids []string) (map[string]string, error) {
	const written = ".xmin::text::bigint), 0)" // names who wrote a row last
	rows, err := s.db.Query(ctx, `SELECT j.id::text, concat_ws(' ', j.xmin,
			(SELECT count(*) || '.' || coalesce(sum(r`+written+` || '.' || coalesce(sum(c`+written+` FROM backup_results r LEFT JOIN backup_inventory c ON c.id = r.copy_id WHERE r.job_id = j.id),
			(SELECT coalesce(sum(d`+written+` FROM drill_results d WHERE d.job_id = j.id))
		FROM backup_jobs j WHERE j.id = ANY($1::uuid[])`, ids)
	if err != nil {
		return nil, wrapErr("look which jobs have changed", err)
	}
	out := map[string]string{}
	var id, version string
	_, err = pgx.ForEachRow(rows, []any{&id, &version}, func() error {
		out[id] = version
		return nil
	})
	return out, wrapErr("look which jobs have changed", err)
}

// where gathers conditions; $? in one stands for the next argument.
type where struct {
	conditions []string
	args       []any
}

func (w *where) add(condition string, args ...any) {
	for _, a := range args {
		w.args = append(w.args, a)
		condition = strings.Replace(condition, "$?", "$"+strconv.Itoa(len(w.args)), 1)
	}
	w.conditions = append(w.conditions, condition)
}

// chosen gives the arguments of a list that people narrow: it is planned for
// them each time. A plan for any of them would read on and on for what is rare.
func (w *where) chosen() []any { return append([]any{pgx.QueryExecModeCacheDescribe}, w.args...) }

func (w *where) String() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}

// timeCursor names a place in a list ordered by a time and a UUID.
func timeCursor(at time.Time, id string) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%s", at.UnixMicro(), id))
}

func parseTimeCursor(c string) (at time.Time, id string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(c)
	micros, id, ok := strings.Cut(string(b), ".")
	n, err2 := strconv.ParseInt(micros, 10, 64)
	if err != nil || err2 != nil || !ok || !isUUID(id) || n < 0 || n > 1<<52 {
		return time.Time{}, "", backup.Errorf(backup.ErrInvalid, "the cursor is not one of ours")
	}
	return time.UnixMicro(n).UTC(), id, nil
}

// isUUID tells whether id is a UUID in its usual form.
func isUUID(id string) bool {
	if len(id) != 36 {
		return false
	}
	for i, c := range []byte(id) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		hex := c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
		if dash != (c == '-') || !dash && !hex {
			return false
		}
	}
	return true
}

// JobsEndedBetween lists the jobs that ended from a time on and before
// another, oldest first, at most limit.
func (s *Store) JobsEndedBetween(ctx context.Context, from, to time.Time, limit int) ([]backup.Job, error) {
	rows, err := s.db.Query(ctx, "SELECT "+jobColumns+" FROM backup_jobs WHERE completed_at >= $1 AND completed_at < $2 ORDER BY completed_at, id LIMIT $3", from, to, limit)
	if err != nil {
		return nil, wrapErr("list ended jobs", err)
	}
	jobs, err := pgx.CollectRows(rows, scanJob)
	return jobs, wrapErr("list ended jobs", err)
}
