package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// Glances tells how all databases stand as Standings does, by name, with less of
// each, for those who look at thousands every minute: of a copy its ID, database,
// time, size and rows; of the last result its ID, job, status, end, duration and
// cost; nothing of an open one.
func (s *Store) Glances(ctx context.Context, f DatabaseFilter) ([]backup.Standing, error) {
	q := f.where()
	rows, err := s.db.Query(ctx, `SELECT d.id::text, d.name, d.priority, d.paused, d.objective_seconds, d.first_seen_at, d.last_seen_at, d.gone_at,
			st.newest_id::text, st.newest_at, st.newest_size, st.newest_rows, st.proven_id::text, st.proven_at, coalesce(st.suspect, 0),
			r.id::text, r.job_id::text, r.status, r.completed_at, r.duration_ms, r.requests, r.retries, r.rows_read, r.bytes_received
		FROM (SELECT * FROM databases`+q.String()+`) d LEFT JOIN database_standing st ON st.database_id = d.id LEFT JOIN backup_results r ON r.id = st.last_id
		ORDER BY d.name, d.gone_at DESC NULLS FIRST, d.id`, q.args...)
	if err != nil {
		return nil, wrapErr("look how the databases stand", err)
	}
	list, err := pgx.CollectRows(rows, scanGlance)
	return list, wrapErr("look how the databases stand", err)
}

func scanGlance(row pgx.CollectableRow) (backup.Standing, error) {
	var s backup.Standing
	var objective int64
	var newest, proven, last, job, status *string
	var newestAt, provenAt, lastAt *time.Time
	var size, rows, ms, requests, retries, read, received *int64
	d := &s.Database
	err := row.Scan(&d.ID, &d.Name, &d.Priority, &d.Paused, &objective, &d.FirstSeenAt, &d.LastSeenAt, &d.GoneAt,
		&newest, &newestAt, &size, &rows, &proven, &provenAt, &s.Suspect,
		&last, &job, &status, &lastAt, &ms, &requests, &retries, &read, &received)
	d.Objective = time.Duration(objective) * time.Second
	if newest != nil {
		s.Newest = &backup.Copy{ID: *newest, DatabaseID: d.ID, DatabaseName: d.Name, TakenAt: *newestAt, Size: *size, Rows: *rows}
	}
	if proven != nil {
		s.Proven = &backup.Copy{ID: *proven, DatabaseID: d.ID, DatabaseName: d.Name, TakenAt: *provenAt, Proof: backup.ProofProven}
	}
	if last != nil {
		s.Last = &backup.Result{
			ID: *last, JobID: *job, DatabaseID: d.ID, DatabaseName: d.Name, Status: backup.ResultStatus(*status), CompletedAt: lastAt,
			Duration: time.Duration(*ms) * time.Millisecond,
			Cost:     backup.Cost{Requests: int(*requests), Retries: int(*retries), RowsRead: *read, Bytes: *received},
		}
	}
	return s, err
}
