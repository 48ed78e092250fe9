package store

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/AutumnsGrove/Patina/backup"
)

const restoreColumns = `id::text, target, coalesce(copy_id::text, ''), coalesce(database_id::text, ''), database_name, tables, name, target_id, bookmark,
	step, coalesce(safety_copy_id::text, ''), bookmark_before, import_bookmark, bookmark_after, statements, rows_written,
	progress_bytes, progress_total, checks, created_at, ended_at, outcome, next`

func scanRestore(row pgx.CollectableRow) (backup.Restore, error) {
	var r backup.Restore
	var checks []byte
	err := row.Scan(&r.ID, &r.Target, &r.CopyID, &r.DatabaseID, &r.DatabaseName, &r.Tables, &r.Name, &r.TargetID, &r.Bookmark,
		&r.Step, &r.SafetyCopyID, &r.BookmarkBefore, &r.ImportBookmark, &r.BookmarkAfter, &r.Statements, &r.RowsWritten,
		&r.ProgressBytes, &r.ProgressTotal, &checks, &r.CreatedAt, &r.EndedAt, &r.Outcome, &r.Next)
	if err == nil {
		err = json.Unmarshal(checks, &r.Checks)
	}
	r.Confirm = r.Name // it was compared when the restore was asked for
	return r, err
}

// InsertRestore records a restore that was asked for; its job is there already.
// Errors: ErrConflict where another one into that database is open.
func (s *Store) InsertRestore(ctx context.Context, r backup.Restore) error {
	if r.Tables == nil {
		r.Tables = []string{}
	}
	_, err := s.db.Exec(ctx, `
		INSERT INTO restores (id, target, copy_id, database_id, database_name, tables, name, target_id, bookmark, step, created_at)
		VALUES ($1, $2, nullif($3, '')::uuid, nullif($4, '')::uuid, $5, $6, $7, $8, $9, $10, $11)`,
		r.ID, r.Target, r.CopyID, r.DatabaseID, r.DatabaseName, r.Tables, r.Name, r.TargetID, r.Bookmark, backup.StepQueued, r.CreatedAt)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23505" {
		return &backup.Error{
			Kind: backup.ErrConflict, Message: "another restore into " + r.Name + " has not ended; nothing was started",
			Next: "See its page among the jobs, and wait for its end or cancel it.",
		}
	}
	return wrapErr("record a restore", err)
}

// SaveRestore records how far a restore has come.
func (s *Store) SaveRestore(ctx context.Context, r backup.Restore) error {
	if r.Checks == nil {
		r.Checks = []backup.Check{}
	}
	for i := range r.Checks {
		r.Checks[i].Text = storable(r.Checks[i].Text)
	}
	_, err := s.db.Exec(ctx, `
		UPDATE restores SET target_id = $2, step = $3, safety_copy_id = nullif($4, '')::uuid, bookmark_before = $5, import_bookmark = $6,
			bookmark_after = $7, statements = $8, rows_written = $9, checks = $10, ended_at = $11, outcome = $12, next = $13
		WHERE id = $1`,
		r.ID, r.TargetID, r.Step, r.SafetyCopyID, r.BookmarkBefore, r.ImportBookmark,
		r.BookmarkAfter, r.Statements, r.RowsWritten, r.Checks, r.EndedAt, storable(r.Outcome), storable(r.Next))
	return wrapErr("record restore "+r.ID, err)
}

// SetRestoreProgress records how much of the SQL was given to D1.
func (s *Store) SetRestoreProgress(ctx context.Context, id string, done, total int64) error {
	_, err := s.db.Exec(ctx, "UPDATE restores SET progress_bytes = $2, progress_total = $3 WHERE id = $1 AND ended_at IS NULL", id, done, total)
	return wrapErr("record the progress of restore "+id, err)
}

// Restore gives one restore. Errors: ErrNotFound.
func (s *Store) Restore(ctx context.Context, id string) (backup.Restore, error) {
	if isUUID(id) {
		list, err := s.restores(ctx, "id = $1", id)
		if err != nil || len(list) == 1 {
			return first(list), err
		}
	}
	return backup.Restore{}, backup.Errorf(backup.ErrNotFound, "there is no restore %q", id)
}

func first(list []backup.Restore) backup.Restore {
	if len(list) == 0 {
		return backup.Restore{}
	}
	return list[0]
}

// Restores lists the restores of a database's copies, or into it, newest
// first; of all where the UUID is "". At most limit (50 when 0).
func (s *Store) Restores(ctx context.Context, databaseID string, limit int) ([]backup.Restore, error) {
	if limit <= 0 {
		limit = 50
	}
	order := " ORDER BY created_at DESC, id DESC LIMIT " + strconv.Itoa(limit)
	if databaseID == "" {
		return s.restores(ctx, "true"+order)
	}
	return s.restores(ctx, "(database_id::text = $1 OR target_id = $1)"+order, databaseID)
}

// RestoreFilter chooses restores; zero fields choose all.
type RestoreFilter struct {
	DatabaseIDs []string // of copies of these databases (UUIDs), or into them; nil: all
	Limit       int      // 50 when zero, at most 500
	Cursor      string   // the next of the answer before; "" for the first page
}

// RestorePage lists restores, newest first, and the cursor of the page after, ""
// when this is the last. Errors: ErrInvalid for a cursor that is not ours.
func (s *Store) RestorePage(ctx context.Context, f RestoreFilter) (list []backup.Restore, next string, err error) {
	limit := f.Limit
	if limit <= 0 {
		limit = 50
	}
	limit = min(limit, 500)
	q := where{conditions: []string{"true"}}
	if f.DatabaseIDs != nil {
		q.add("(database_id::text = ANY($?) OR target_id = ANY($?))", f.DatabaseIDs, f.DatabaseIDs)
	}
	if f.Cursor != "" {
		at, id, err := parseTimeCursor(f.Cursor)
		if err != nil {
			return nil, "", err
		}
		q.add("(created_at, id) < ($?, $?::uuid)", at, id)
	}
	list, err = s.restores(ctx, strings.TrimPrefix(q.String(), " WHERE ")+" ORDER BY created_at DESC, restores.id DESC LIMIT "+strconv.Itoa(limit+1), q.args...)
	if len(list) > limit {
		list = list[:limit]
		next = timeCursor(list[limit-1].CreatedAt, list[limit-1].ID)
	}
	return list, next, err
}

// Restoring tells whether a restore over what this database holds is open. A
// new database is none that is backed up yet.
func (s *Store) Restoring(ctx context.Context, databaseID string) (open bool, err error) {
	err = s.db.QueryRow(ctx, "SELECT EXISTS (SELECT FROM restores WHERE target_id = $1 AND ended_at IS NULL)", databaseID).Scan(&open)
	return open, wrapErr("look for a restore", err)
}

// OpenRestore tells whether a job is a restore that has not ended, and which
// step it had begun; "" where it is none.
func (s *Store) OpenRestore(ctx context.Context, jobID string) (backup.RestoreStep, error) {
	var step backup.RestoreStep
	err := s.db.QueryRow(ctx, "SELECT step FROM restores WHERE id = $1 AND ended_at IS NULL", jobID).Scan(&step)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return step, wrapErr("look at restore "+jobID, err)
}

// EndRestore ends a restore that will not be taken up again.
func (s *Store) EndRestore(ctx context.Context, id, outcome, next string, at time.Time) error {
	_, err := s.db.Exec(ctx, "UPDATE restores SET ended_at = $2, outcome = $3, next = $4 WHERE id = $1 AND ended_at IS NULL", id, at, storable(outcome), storable(next))
	return wrapErr("end restore "+id, err)
}

func (s *Store) restores(ctx context.Context, condition string, args ...any) ([]backup.Restore, error) {
	rows, err := s.db.Query(ctx, "SELECT "+restoreColumns+" FROM restores WHERE "+condition, args...)
	if err != nil {
		return nil, wrapErr("read restores", err)
	}
	list, err := pgx.CollectRows(rows, scanRestore)
	return list, wrapErr("read restores", err)
}
