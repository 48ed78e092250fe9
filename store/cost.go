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
	t := ResultTotals{ByStatus: map[backup.ResultStatus]int64{backup.ResultSuccess: 0, backup.ResultFailed: 0, backup.ResultSkipped: 0}}
	rows, err := s.db.Query(ctx, `SELECT status, count(*), sum(requests)::bigint, sum(retries)::bigint, sum(rows_read)::bigint, sum(bytes_received)::bigint
		FROM backup_results WHERE status IN ('success', 'failed', 'skipped') GROUP BY status`)
	if err != nil {
		return t, wrapErr("sum the results", err)
	}
	var status backup.ResultStatus
	var n int64
	var c backup.Cost
	_, err = pgx.ForEachRow(rows, []any{&status, &n, &c.Requests, &c.Retries, &c.RowsRead, &c.Bytes}, func() error {
		t.ByStatus[status] = n
		t.Cost.Requests += c.Requests
		t.Cost.Retries += c.Retries
		t.Cost.RowsRead += c.RowsRead
		t.Cost.Bytes += c.Bytes
		return nil
	})
	return t, wrapErr("sum the results", err)
}
