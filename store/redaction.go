package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// EnterDatabase is UpsertDatabase for an entry of patina.toml: what that says of
// redaction is written in the same transaction, so that no other process backs
// the database up in between.
func (s *Store) EnterDatabase(ctx context.Context, d backup.Database) error {
	return s.InTx(ctx, func(_ pgx.Tx, s *Store) error {
		if err := s.UpsertDatabase(ctx, d); err != nil || !d.RedactFixed {
			return err
		}
		return s.FixRedactions(ctx, d.ID, d.Redact)
	})
}

// FixRedactions records the rules that patina.toml says for a database.
func (s *Store) FixRedactions(ctx context.Context, id string, rules []backup.Redaction) error {
	_, err := s.db.Exec(ctx, "UPDATE databases SET redact = $2, redact_fixed = true WHERE id = $1", id, backup.RedactionTexts(rules))
	return wrapErr("record what is redacted of database "+id, err)
}

// FreeRedactions hands the rules of a database, which patina.toml says no
// longer, to the dashboard. They stay as they are: a line that went missing in a
// file must not put secrets into the next copy.
func (s *Store) FreeRedactions(ctx context.Context, id string) error {
	_, err := s.db.Exec(ctx, "UPDATE databases SET redact_fixed = false WHERE id = $1", id)
	return wrapErr("hand over what is redacted of database "+id, err)
}

// SetRedactions replaces the rules of a database, and gives those of before.
// Errors: ErrNotFound; ErrConflict where patina.toml says them.
func (s *Store) SetRedactions(ctx context.Context, id string, rules []backup.Redaction) (before []backup.Redaction, err error) {
	err = s.InTx(ctx, func(tx pgx.Tx, s *Store) error {
		db, err := s.Database(ctx, id)
		if err != nil {
			return err
		}
		before = db.Redact
		tag, err := tx.Exec(ctx, "UPDATE databases SET redact = $2 WHERE id = $1 AND NOT redact_fixed", id, backup.RedactionTexts(rules))
		if err == nil && tag.RowsAffected() == 0 {
			return backup.Errorf(backup.ErrConflict, "What is redacted of %s is set by patina.toml, and is changed there.", db.Name)
		}
		return err
	})
	return before, wrapErr("set what is redacted of database "+id, err)
}
