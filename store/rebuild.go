package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// RebuildAction is the audit log's word for a catalogue made again: the log
// itself begins anew with it.
const RebuildAction = "rebuild"

// HoldCatalogue keeps others from listing copies until the transaction ends.
func (s *Store) HoldCatalogue(ctx context.Context) error {
	_, err := s.db.Exec(ctx, "LOCK TABLE backup_inventory IN SHARE ROW EXCLUSIVE MODE")
	return wrapErr("hold the catalogue", err)
}

// ListedCopy names a listed copy and its bytes.
type ListedCopy struct{ ID, SHA256 string }

// ListedCopies gives every listed copy by its key, those in quarantine too.
func (s *Store) ListedCopies(ctx context.Context) (map[string]ListedCopy, error) {
	rows, err := s.db.Query(ctx, "SELECT key, id::text, sha256 FROM backup_inventory WHERE deleted_at IS NULL")
	if err != nil {
		return nil, wrapErr("list the catalogue", err)
	}
	listed := map[string]ListedCopy{}
	var key string
	var c ListedCopy
	_, err = pgx.ForEachRow(rows, []any{&key, &c.ID, &c.SHA256}, func() error {
		listed[key] = c
		return nil
	})
	return listed, wrapErr("list the catalogue", err)
}

// InsertHistory records jobs that have ended, and their results, as something
// outside remembers them. Those that are on record already stay as they are.
func (s *Store) InsertHistory(ctx context.Context, jobs []backup.Job, results []backup.Result) error {
	var b pgx.Batch
	for _, j := range jobs {
		t := j.Totals
		b.Queue(`
			INSERT INTO backup_jobs (id, kind, trigger, status, schedule_id, slot, date, requested_by, created_at, started_at, completed_at,
				databases_total, databases_succeeded, databases_failed, databases_skipped, size_bytes, row_count, error, transitions)
			VALUES ($1, $2, $3, $4, nullif($5, ''), $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) ON CONFLICT DO NOTHING`,
			j.ID, j.Kind, j.Trigger, j.Status, j.ScheduleID, j.Slot, j.Date.Time(), j.RequestedBy, j.CreatedAt, j.StartedAt, j.CompletedAt,
			t.Databases, t.Succeeded, t.Failed, t.Skipped, t.Bytes, t.Rows, j.Error, j.Transitions)
	}
	for _, r := range results {
		findings := r.Findings
		if findings == nil {
			findings = []backup.Finding{}
		}
		b.Queue(`
			INSERT INTO backup_results (id, job_id, database_id, database_name, status, schedule_id, slot, date, attempt, created_at, started_at,
				completed_at, duration_ms, copy_id, key, size_bytes, table_count, row_count, consistency, findings, requests, retries, rows_read, bytes_received)
			VALUES ($1, $2, $3, $4, $5, nullif($6, ''), $7, $8, $9, $10, $11, $12, $13, nullif($14, '')::uuid, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)
			ON CONFLICT DO NOTHING`,
			r.ID, r.JobID, r.DatabaseID, r.DatabaseName, r.Status, r.ScheduleID, r.Slot, r.Date.Time(), r.Attempt, r.CreatedAt, r.StartedAt,
			r.CompletedAt, r.Duration.Milliseconds(), r.CopyID, r.Key, r.Size, r.Tables, r.Rows, r.Consistency, findings,
			r.Cost.Requests, r.Cost.Retries, r.Cost.RowsRead, r.Cost.Bytes)
	}
	return wrapErr("record what was done before", s.db.SendBatch(ctx, &b).Close())
}

// InsertSlots records slots that have ended, with the jobs that answered for
// them. Those in the ledger already stay as they are.
func (s *Store) InsertSlots(ctx context.Context, slots []Slot) error {
	var b pgx.Batch
	for _, l := range slots {
		b.Queue(`INSERT INTO schedule_slots (schedule_id, slot, status, job_id, reason, created_at, ended_at)
			VALUES ($1, $2, $3, nullif($4, '')::uuid, $5, $6, $7) ON CONFLICT DO NOTHING`,
			l.ScheduleID, l.Slot, l.Status, l.JobID, l.Reason, l.CreatedAt, l.EndedAt)
	}
	return wrapErr("record slots", s.db.SendBatch(ctx, &b).Close())
}

// CountSlotsFrom makes a schedule count from an earlier time on: slots before
// it do not.
func (s *Store) CountSlotsFrom(ctx context.Context, scheduleID string, from time.Time) error {
	_, err := s.db.Exec(ctx, "UPDATE schedules SET created_at = least(created_at, $2) WHERE id = $1", scheduleID, from)
	return wrapErr("change schedule "+scheduleID, err)
}
