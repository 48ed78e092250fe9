package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// AddEvent records something that somebody may want to be told, within the
// transaction that caused it; false where that occasion is on record already.
func (s *Store) AddEvent(ctx context.Context, e backup.Event) (added bool, err error) {
	tag, err := s.db.Exec(ctx, `
		INSERT INTO events (id, at, kind, once, database_id, database_name, job_id, copy_id, message, next)
		VALUES ($1, $2, $3, $4, nullif($5, '')::uuid, $6, nullif($7, '')::uuid, nullif($8, '')::uuid, $9, $10)
		ON CONFLICT (kind, once) WHERE once <> '' DO NOTHING`,
		e.ID, e.At, e.Kind, e.Once, e.DatabaseID, storable(e.DatabaseName), e.JobID, e.CopyID, storable(e.Message), storable(e.Next))
	return err == nil && tag.RowsAffected() == 1, wrapErr("record an event", err)
}

// storable makes text that Postgres can hold.
func storable(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
}

const eventColumns = `id::text, at, kind, once, coalesce(database_id::text, ''), database_name,
	coalesce(job_id::text, ''), coalesce(copy_id::text, ''), message, next`

// Events lists what happened since a time, newest first, at most limit (100
// when 0).
func (s *Store) Events(ctx context.Context, since time.Time, limit int) ([]backup.Event, error) {
	if limit <= 0 {
		limit = 100
	}
	return s.events(ctx, "at >= $1 ORDER BY at DESC, id DESC LIMIT "+strconv.Itoa(limit), since)
}

func (s *Store) events(ctx context.Context, condition string, args ...any) ([]backup.Event, error) {
	rows, err := s.db.Query(ctx, "SELECT "+eventColumns+" FROM events WHERE "+condition, args...)
	if err != nil {
		return nil, wrapErr("list events", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[backup.Event])
	return out, wrapErr("list events", err)
}
