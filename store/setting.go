package store

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// Setting reads the setting key into v, as JSON; false where it was never set.
func (s *Store) Setting(ctx context.Context, key string, v any) (bool, error) {
	var raw []byte
	err := s.db.QueryRow(ctx, "SELECT value FROM settings WHERE key = $1", key).Scan(&raw)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, wrapErr("setting "+key, err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return false, &backup.Error{Kind: backup.ErrCorrupt, Message: "setting " + key + " cannot be read", Err: err}
	}
	return true, nil
}

// SetSetting keeps v, as JSON, under key.
func (s *Store) SetSetting(ctx context.Context, key string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return &backup.Error{Kind: backup.ErrInvalid, Message: "setting " + key + " is not JSON", Err: err}
	}
	_, err = s.db.Exec(ctx, "INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, raw)
	return wrapErr("setting "+key, err)
}

// DeleteSetting forgets key; one that was never set is no error.
func (s *Store) DeleteSetting(ctx context.Context, key string) error {
	_, err := s.db.Exec(ctx, "DELETE FROM settings WHERE key = $1", key)
	return wrapErr("setting "+key, err)
}

// ChangeSetting reads a setting into v, lets edit change that, and keeps it:
// one caller at a time. An error of edit's changes nothing.
func (s *Store) ChangeSetting(ctx context.Context, key string, v any, edit func() error) error {
	return s.InTx(ctx, func(_ pgx.Tx, s *Store) error {
		if err := s.LockRequests(ctx); err != nil {
			return err
		}
		if _, err := s.Setting(ctx, key, v); err != nil {
			return err
		}
		if err := edit(); err != nil {
			return err
		}
		return s.SetSetting(ctx, key, v)
	})
}
