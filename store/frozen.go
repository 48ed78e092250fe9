package store

import (
	"context"
	"encoding/json"
	"time"
)

// frozenSetting holds why retention deletes nothing.
const frozenSetting = "retention_frozen"

// ConfirmRetentionAction is the audit log's word for letting retention go on.
const ConfirmRetentionAction = "retention confirm"

type freeze struct {
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// RetentionFrozen tells whether retention must delete nothing until an admin
// says that it may, and why.
func (s *Store) RetentionFrozen(ctx context.Context) (reason string, frozen bool, err error) {
	var f freeze
	frozen, err = s.Setting(ctx, frozenSetting, &f)
	return f.Reason, frozen || err != nil, err
}

// FreezeRetention keeps retention from deleting anything, for a reason that
// people read. One that is frozen already keeps its first reason.
func (s *Store) FreezeRetention(ctx context.Context, reason string, at time.Time) error {
	raw, err := json.Marshal(freeze{reason, at.UTC()})
	if err == nil {
		_, err = s.db.Exec(ctx, "INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING", frozenSetting, raw)
	}
	return wrapErr("freeze retention", err)
}

// ThawRetention lets retention go on, and tells whether it was frozen.
func (s *Store) ThawRetention(ctx context.Context) (was bool, err error) {
	tag, err := s.db.Exec(ctx, "DELETE FROM settings WHERE key = $1", frozenSetting)
	return err == nil && tag.RowsAffected() == 1, wrapErr("let retention go on", err)
}
