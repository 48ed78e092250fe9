package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// Days gives what became of these databases (UUIDs) on each date from one on,
// by date, for those that a backup ended on. What was proven and is deleted
// since still counts as proven.
func (s *Store) Days(ctx context.Context, ids []string, from backup.Date) (map[string][]backup.Day, error) {
	out := map[string][]backup.Day{}
	if len(ids) == 0 {
		return out, nil
	}
	// A result is made on its date or, where a run is caught up, after it.
	rows, err := s.db.Query(ctx, `
		SELECT r.database_id::text, r.date, bool_or(r.status = 'success'), bool_or(r.status = 'failed'),
			coalesce(bool_or(i.proof = 'proven' AND i.quarantined_at IS NULL), false),
			coalesce(bool_or(i.proof = 'suspect' OR i.quarantined_at IS NOT NULL), false),
			coalesce((array_agg(r.size_bytes ORDER BY r.created_at DESC) FILTER (WHERE r.status = 'success'))[1], 0),
			coalesce((array_agg(r.row_count ORDER BY r.created_at DESC) FILTER (WHERE r.status = 'success'))[1], 0),
			(array_agg(r.job_id::text ORDER BY r.created_at DESC))[1]
		FROM backup_results r LEFT JOIN backup_inventory i ON i.id = r.copy_id
		WHERE r.database_id = ANY($1::uuid[]) AND r.created_at >= $2 AND r.date >= $2::date AND r.status IN ('success', 'failed')
		GROUP BY r.database_id, r.date ORDER BY r.database_id, r.date`, ids, from.Time())
	if err != nil {
		return nil, wrapErr("read the days", err)
	}
	var d backup.Day
	var date time.Time
	_, err = pgx.ForEachRow(rows, []any{&d.DatabaseID, &date, &d.Stored, &d.Failed, &d.Proven, &d.Suspect, &d.Size, &d.Rows, &d.JobID}, func() error {
		d.Date = backup.DateOf(date)
		out[d.DatabaseID] = append(out[d.DatabaseID], d)
		return nil
	})
	return out, wrapErr("read the days", err)
}
