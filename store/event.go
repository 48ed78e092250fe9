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

// storableText tells whether Postgres can hold a text as it is.
func storableText(s string) bool { return s == storable(s) }

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

// Outcome is what was decided about an event.
type Outcome string

// The outcomes.
const (
	EventTold     Outcome = "told"     // channels get it, or wait for it
	EventMuted    Outcome = "muted"    // somebody asked for quiet
	EventUnwanted Outcome = "unwanted" // no channel asked for such news
	EventNobody   Outcome = "nobody"   // it should have been told, and no channel is there for it
)

// OpenEvents lists the events about which nothing was decided yet, oldest
// first, at most limit.
func (s *Store) OpenEvents(ctx context.Context, limit int) ([]backup.Event, error) {
	return s.events(ctx, "decided_at IS NULL ORDER BY at, id LIMIT "+strconv.Itoa(limit))
}

// DecideEvent records what was decided about an event.
func (s *Store) DecideEvent(ctx context.Context, id string, outcome Outcome, at time.Time) error {
	_, err := s.db.Exec(ctx, "UPDATE events SET decided_at = $2, outcome = $3 WHERE id = $1", id, at, outcome)
	return wrapErr("decide about an event", err)
}

// EventsBetween lists what happened from a time on and before another, oldest
// first, at most limit.
func (s *Store) EventsBetween(ctx context.Context, from, to time.Time, limit int) ([]backup.Event, error) {
	return s.events(ctx, "at >= $1 AND at < $2 ORDER BY at, id LIMIT "+strconv.Itoa(limit), from, to)
}

// UnrecoveredStale lists the events that told a database stale and that no
// recovery followed.
func (s *Store) UnrecoveredStale(ctx context.Context) ([]backup.Event, error) {
	return s.events(ctx, `kind = 'stale' AND NOT EXISTS (
		SELECT FROM events r WHERE r.kind = 'recovered' AND r.once = events.once) ORDER BY at, id LIMIT 5000`)
}

// ForgetEvents deletes what happened before a time, but for those that still
// wait to be told.
func (s *Store) ForgetEvents(ctx context.Context, before time.Time) error {
	_, err := s.db.Exec(ctx, `DELETE FROM events WHERE at < $1 AND decided_at IS NOT NULL
		AND NOT EXISTS (SELECT FROM event_channels c WHERE c.event_id = events.id AND c.delivery_id IS NULL)`, before)
	return wrapErr("forget old events", err)
}
