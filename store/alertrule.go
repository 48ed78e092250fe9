package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// thresholdSetting is the key of the thresholds for all databases.
const thresholdSetting = "alert.thresholds"

// Thresholds say from when on something is worth telling; nil is as for all,
// or the default where it is for all; zero is never.
type Thresholds struct {
	LongSeconds *int64 `json:"long_seconds"`
	SizePercent *int   `json:"size_percent"`
	RowsPercent *int   `json:"rows_percent"`
}

// Thresholds gives those for all databases, and those of single ones by UUID.
func (s *Store) Thresholds(ctx context.Context) (all Thresholds, of map[string]Thresholds, err error) {
	if _, err := s.Setting(ctx, thresholdSetting, &all); err != nil {
		return all, nil, err
	}
	rows, err := s.db.Query(ctx, "SELECT database_id::text, long_seconds, size_percent, rows_percent FROM alert_thresholds")
	if err != nil {
		return all, nil, wrapErr("list thresholds", err)
	}
	of = map[string]Thresholds{}
	var id string
	var t Thresholds
	_, err = pgx.ForEachRow(rows, []any{&id, &t.LongSeconds, &t.SizePercent, &t.RowsPercent}, func() error {
		of[id] = t
		t = Thresholds{}
		return nil
	})
	return all, of, wrapErr("list thresholds", err)
}

// SetThresholds keeps the thresholds of a database, by UUID, or for all ("").
// Without any of its own a database is as all others.
func (s *Store) SetThresholds(ctx context.Context, databaseID string, t Thresholds) error {
	if databaseID == "" {
		return s.SetSetting(ctx, thresholdSetting, t)
	}
	if t == (Thresholds{}) {
		_, err := s.db.Exec(ctx, "DELETE FROM alert_thresholds WHERE database_id = $1", databaseID)
		return wrapErr("set thresholds", err)
	}
	_, err := s.db.Exec(ctx, `INSERT INTO alert_thresholds (database_id, long_seconds, size_percent, rows_percent) VALUES ($1, $2, $3, $4)
		ON CONFLICT (database_id) DO UPDATE SET long_seconds = excluded.long_seconds, size_percent = excluded.size_percent, rows_percent = excluded.rows_percent`,
		databaseID, t.LongSeconds, t.SizePercent, t.RowsPercent)
	return wrapErr("set thresholds", err)
}

// Mute keeps a database's events, or all, from being told until a time.
type Mute struct {
	ID         string
	DatabaseID string // "" for all
	Until      time.Time
	Reason     string
	CreatedBy  string
	CreatedAt  time.Time
}

// InsertMute adds a mute and gives its ID.
func (s *Store) InsertMute(ctx context.Context, m Mute) (string, error) {
	id := uuid.Must(uuid.NewV7()).String()
	_, err := s.db.Exec(ctx, "INSERT INTO alert_mutes (id, database_id, until, reason, created_by, created_at) VALUES ($1, nullif($2, '')::uuid, $3, $4, $5, $6)",
		id, m.DatabaseID, m.Until, storable(m.Reason), storable(m.CreatedBy), m.CreatedAt)
	return id, wrapErr("mute", err)
}

// EndMute ends a mute now; one that has ended, or never was, is no error.
func (s *Store) EndMute(ctx context.Context, id string) error {
	if !isUUID(id) {
		return backup.Errorf(backup.ErrNotFound, "there is no mute %q", id)
	}
	_, err := s.db.Exec(ctx, "DELETE FROM alert_mutes WHERE id = $1", id)
	return wrapErr("end a mute", err)
}

// Mutes lists the mutes that have not ended, the one that ends first first.
func (s *Store) Mutes(ctx context.Context, now time.Time) ([]Mute, error) {
	rows, err := s.db.Query(ctx, "SELECT id::text, coalesce(database_id::text, ''), until, reason, created_by, created_at FROM alert_mutes WHERE until > $1 ORDER BY until, id", now)
	if err != nil {
		return nil, wrapErr("list mutes", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Mute])
	return out, wrapErr("list mutes", err)
}

// Successes lists a database's last results that were stored, newest first,
// but for one.
func (s *Store) Successes(ctx context.Context, databaseID, but string, limit int) ([]backup.Result, error) {
	return s.results(ctx, "database_id = $1 AND status = 'success' AND id <> $2 ORDER BY created_at DESC, id DESC LIMIT $3", databaseID, but, limit)
}
