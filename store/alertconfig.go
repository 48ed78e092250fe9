package store

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// AlertConfig is a channel that alerts go out by.
type AlertConfig struct {
	ID            string // UUIDv7
	Kind          string // "webhook" or "discord"
	Name          string // unique whatever its case
	URLSealed     []byte `json:"-"` // sealed with PATINA_SECRET, elsewhere
	Enabled       bool
	NotifySuccess bool
	NotifyFailure bool
	CreatedAt     time.Time
	UpdatedAt     time.Time

	NotifySummary  bool
	Address        string // what may be shown of the URL
	SecretSealed   []byte `json:"-"` // signs what a webhook gets; nil for Discord
	PreviousSealed []byte `json:"-"` // signs too, while receivers change over; nil for none
	Origin         string // "dashboard", or the variable of the configuration
	DisabledReason string // why it was disabled by itself; "" otherwise
}

const alertConfigColumns = `id::text, kind, name, url_sealed, enabled, notify_success, notify_failure, created_at, updated_at,
	notify_summary, address, secret_sealed, previous_sealed, origin, disabled_reason`

func scanAlertConfig(row pgx.CollectableRow) (AlertConfig, error) {
	var a AlertConfig
	err := row.Scan(&a.ID, &a.Kind, &a.Name, &a.URLSealed, &a.Enabled, &a.NotifySuccess, &a.NotifyFailure, &a.CreatedAt, &a.UpdatedAt,
		&a.NotifySummary, &a.Address, &a.SecretSealed, &a.PreviousSealed, &a.Origin, &a.DisabledReason)
	return a, err
}

// InsertAlertConfig adds a channel and gives its ID: a new UUIDv7 where a has
// none. Errors: ErrConflict where another has its name; ErrInvalid.
func (s *Store) InsertAlertConfig(ctx context.Context, a AlertConfig) (string, error) {
	if a.Name == "" || len(a.URLSealed) == 0 {
		return "", backup.Errorf(backup.ErrInvalid, "a channel needs a name and a sealed URL")
	}
	if a.ID == "" {
		a.ID = uuid.Must(uuid.NewV7()).String()
	}
	if a.Origin == "" {
		a.Origin = "dashboard"
	}
	_, err := s.db.Exec(ctx, `
		INSERT INTO alert_config (id, kind, name, url_sealed, enabled, notify_success, notify_failure, created_at, updated_at,
			notify_summary, address, secret_sealed, previous_sealed, origin, disabled_reason)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10, $11, $12, $13, $14)`,
		a.ID, a.Kind, a.Name, a.URLSealed, a.Enabled, a.NotifySuccess, a.NotifyFailure, a.CreatedAt,
		a.NotifySummary, a.Address, a.SecretSealed, a.PreviousSealed, a.Origin, a.DisabledReason)
	return a.ID, alertConfigErr(a.Name, err)
}

// EnsureAlertConfig adds the channel of an origin, once: one that was deleted
// does not come back. A name that is taken gets a number behind it.
func (s *Store) EnsureAlertConfig(ctx context.Context, a AlertConfig) (made bool, err error) {
	key := "channel." + a.Origin
	err = s.InTx(ctx, func(_ pgx.Tx, s *Store) error {
		if err := s.LockRequests(ctx); err != nil { // two processes may start at once
			return err
		}
		var before bool
		if _, err := s.Setting(ctx, key, &before); err != nil || before {
			return err
		}
		list, err := s.AlertConfigs(ctx)
		if err != nil {
			return err
		}
		taken := map[string]bool{}
		for _, c := range list {
			taken[strings.ToLower(c.Name)] = true
		}
		for base, n := a.Name, 2; taken[strings.ToLower(a.Name)]; n++ {
			a.Name = base + " " + strconv.Itoa(n)
		}
		if _, err := s.InsertAlertConfig(ctx, a); err != nil {
			return err
		}
		made = true
		return s.SetSetting(ctx, key, true)
	})
	return made && err == nil, err
}

// UpdateAlertConfig changes every field of a channel but ID, Kind, Origin and
// CreatedAt. Errors: ErrNotFound; ErrConflict; ErrInvalid.
func (s *Store) UpdateAlertConfig(ctx context.Context, a AlertConfig) error {
	if a.Name == "" || len(a.URLSealed) == 0 {
		return backup.Errorf(backup.ErrInvalid, "a channel needs a name and a sealed URL")
	}
	return s.changeAlertConfig(ctx, a.ID, a.Name, `UPDATE alert_config SET name = $2, url_sealed = $3, enabled = $4,
		notify_success = $5, notify_failure = $6, updated_at = $7, notify_summary = $8, address = $9, secret_sealed = $10,
		previous_sealed = $11, disabled_reason = $12 WHERE id = $1`,
		a.Name, a.URLSealed, a.Enabled, a.NotifySuccess, a.NotifyFailure, a.UpdatedAt, a.NotifySummary, a.Address, a.SecretSealed,
		a.PreviousSealed, a.DisabledReason)
}

// DeleteAlertConfig removes a channel. Errors: ErrNotFound.
func (s *Store) DeleteAlertConfig(ctx context.Context, id string) error {
	return s.changeAlertConfig(ctx, id, id, "DELETE FROM alert_config WHERE id = $1")
}

func (s *Store) changeAlertConfig(ctx context.Context, id, name, sql string, args ...any) error {
	if !isUUID(id) {
		return backup.Errorf(backup.ErrNotFound, "there is no channel %q", id)
	}
	tag, err := s.db.Exec(ctx, sql, append([]any{id}, args...)...)
	if err == nil && tag.RowsAffected() == 0 {
		return backup.Errorf(backup.ErrNotFound, "there is no channel %q", id)
	}
	return alertConfigErr(name, err)
}

func alertConfigErr(name string, err error) error {
	if isUnique(err, "alert_config_name") {
		return &backup.Error{Kind: backup.ErrConflict, Message: "there is a channel " + name + " already", Err: err}
	}
	return wrapErr("channel "+name, err)
}

// AlertConfigs lists the channels by name.
func (s *Store) AlertConfigs(ctx context.Context) ([]AlertConfig, error) {
	rows, err := s.db.Query(ctx, "SELECT "+alertConfigColumns+" FROM alert_config ORDER BY lower(name)")
	if err != nil {
		return nil, wrapErr("list channels", err)
	}
	list, err := pgx.CollectRows(rows, scanAlertConfig)
	return list, wrapErr("list channels", err)
}

// AlertConfig gives a channel by ID. Errors: ErrNotFound.
func (s *Store) AlertConfig(ctx context.Context, id string) (AlertConfig, error) {
	if !isUUID(id) {
		return AlertConfig{}, backup.Errorf(backup.ErrNotFound, "there is no channel %q", id)
	}
	rows, err := s.db.Query(ctx, "SELECT "+alertConfigColumns+" FROM alert_config WHERE id = $1", id)
	if err != nil {
		return AlertConfig{}, wrapErr("read a channel", err)
	}
	a, err := pgx.CollectExactlyOneRow(rows, scanAlertConfig)
	if errors.Is(err, pgx.ErrNoRows) {
		return a, backup.Errorf(backup.ErrNotFound, "there is no channel %q", id)
	}
	return a, wrapErr("read a channel", err)
}
