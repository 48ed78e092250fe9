package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// MonthCost is what the backups of a month cost, failed ones included.
type MonthCost struct {
	Month   time.Time // its first day, UTC
	Backups int64     // that were tried
	Stored  int64     // bytes of those that were stored
	Cost    backup.Cost
}

// CostByMonth sums what a database's backups cost, newest month first, at most
// months of them.
func (s *Store) CostByMonth(ctx context.Context, databaseID string, months int) ([]MonthCost, error) {
	if !isUUID(databaseID) {
		return nil, nil
	}
	rows, err := s.db.Query(ctx, `SELECT date_trunc('month', date::timestamp), count(*), sum(size_bytes)::bigint, sum(requests)::bigint, sum(retries)::bigint,
			sum(rows_read)::bigint, sum(bytes_received)::bigint
		FROM backup_results WHERE database_id = $1 AND status IN ('success', 'failed') GROUP BY 1 ORDER BY 1 DESC LIMIT $2`, databaseID, months)
	if err != nil {
		return nil, wrapErr("sum the cost", err)
	}
	var out []MonthCost
	var m MonthCost
	_, err = pgx.ForEachRow(rows, []any{&m.Month, &m.Backups, &m.Stored, &m.Cost.Requests, &m.Cost.Retries, &m.Cost.RowsRead, &m.Cost.Bytes}, func() error {
		out = append(out, m)
		return nil
	})
	return out, wrapErr("sum the cost", err)
}

// ResultTotals sums every result that has ended.
type ResultTotals struct {
	ByStatus map[backup.ResultStatus]int64
	Cost     backup.Cost
}

// ResultTotals sums every result that has ended.
func (s *Store) ResultTotals(ctx context.Context) (ResultTotals, error) {
	t := ResultTotals{ByStatus: map[backup.ResultStatus]int64{}}
	var success, failed, skipped int64
	err := s.db.QueryRow(ctx, `SELECT coalesce(sum(succeeded), 0)::bigint, coalesce(sum(failed), 0)::bigint, coalesce(sum(skipped), 0)::bigint,
			coalesce(sum(requests), 0)::bigint, coalesce(sum(retries), 0)::bigint, coalesce(sum(rows_read), 0)::bigint, coalesce(sum(bytes_received), 0)::bigint
		FROM database_standing`).Scan(&success, &failed, &skipped, &t.Cost.Requests, &t.Cost.Retries, &t.Cost.RowsRead, &t.Cost.Bytes)
	t.ByStatus[backup.ResultSuccess], t.ByStatus[backup.ResultFailed], t.ByStatus[backup.ResultSkipped] = success, failed, skipped
	return t, wrapErr("sum the results", err)
}
