package store

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// StoredObject is an object in use: a copy's own, or a week's archive.
type StoredObject struct {
	CopyID string
	Week   string // of an archive; then there is no CopyID
	Key    string
	Size   int64
	ReadAt *time.Time // when it was read back last and found whole; nil for never
}

// inUse gives the objects in use. A proof reads an object back too.
const inUse = `(SELECT id::text AS copy, '' AS week, key, size_bytes, greatest(scrubbed_at, proven_at) AS at FROM backup_inventory
		WHERE deleted_at IS NULL AND location = 'object' AND quarantined_at IS NULL
	UNION ALL SELECT '', week, key, size_bytes, greatest(scrubbed_at, verified_at) FROM archives
		WHERE deleted_at IS NULL AND quarantined_at IS NULL) o`

// LeastRead lists the objects in use, those that were not read back for the
// longest time first, at most limit.
func (s *Store) LeastRead(ctx context.Context, limit int) ([]StoredObject, error) {
	rows, err := s.db.Query(ctx, "SELECT copy, week, key, size_bytes, at FROM "+inUse+" ORDER BY at NULLS FIRST, key LIMIT "+strconv.Itoa(max(limit, 0)))
	if err != nil {
		return nil, wrapErr("list what is to be read back", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[StoredObject])
	return list, wrapErr("list what is to be read back", err)
}

// ReadBack says that an object was read and found whole.
func (s *Store) ReadBack(ctx context.Context, o StoredObject, at time.Time) error {
	if o.Week == "" {
		return s.changeCopy(ctx, o.CopyID, "scrubbed_at = $2", at)
	}
	_, err := s.db.Exec(ctx, "UPDATE archives SET scrubbed_at = $2 WHERE week = $1", o.Week, at)
	return wrapErr("record that the archive "+o.Week+" was read back", err)
}

// InUse sums the bytes of the objects in use, and tells since when one of them
// has not been read back: nil where each was.
func (s *Store) InUse(ctx context.Context) (bytes int64, oldest *time.Time, err error) {
	err = s.db.QueryRow(ctx, "SELECT coalesce(sum(size_bytes), 0)::bigint, min(at) FROM "+inUse).Scan(&bytes, &oldest)
	return bytes, oldest, wrapErr("sum what is to be read back", err)
}
