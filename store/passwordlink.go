package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// SetPasswordLink keeps the hash of the one link by which a person may set a
// password; an earlier link ends.
func (s *Store) SetPasswordLink(ctx context.Context, userID string, sha []byte, by string, now, until time.Time) error {
	_, err := s.db.Exec(ctx, `INSERT INTO password_links (user_id, sha256, created_by, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (user_id) DO UPDATE SET sha256 = excluded.sha256, created_by = excluded.created_by, created_at = excluded.created_at, expires_at = excluded.expires_at`,
		userID, sha, by, now, until)
	return wrapErr("keep a link that sets a password", err)
}

// PasswordLink gives the person whose link has this hash. Errors: ErrNotFound
// where it was used, has expired, or its person is shut out.
func (s *Store) PasswordLink(ctx context.Context, sha []byte, now time.Time) (User, error) {
	rows, err := s.db.Query(ctx, "SELECT "+userColumns+" FROM users WHERE disabled_at IS NULL AND id = (SELECT user_id FROM password_links WHERE sha256 = $1 AND expires_at > $2)", sha, now)
	if err != nil {
		return User{}, wrapErr("read a link that sets a password", err)
	}
	u, err := pgx.CollectExactlyOneRow(rows, scanUser)
	if errors.Is(err, pgx.ErrNoRows) {
		return u, backup.Errorf(backup.ErrNotFound, "there is no such link")
	}
	return u, wrapErr("read a link that sets a password", err)
}

// UsePasswordLink sets the password of the person whose link has this hash,
// ends the link and every session of theirs, and gives the person as they are
// then. Of two at once one succeeds. Errors: ErrNotFound, as PasswordLink.
func (s *Store) UsePasswordLink(ctx context.Context, sha []byte, hash string, now time.Time) (u User, err error) {
	err = s.InTx(ctx, func(tx pgx.Tx, s *Store) error {
		if u, err = s.PasswordLink(ctx, sha, now); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, "DELETE FROM password_links WHERE sha256 = $1", sha)
		if err == nil && tag.RowsAffected() == 0 {
			return backup.Errorf(backup.ErrNotFound, "there is no such link")
		}
		if err != nil {
			return wrapErr("end a link that sets a password", err)
		}
		if err := s.SetPassword(ctx, u.ID, hash); err != nil {
			return err
		}
		u, err = s.User(ctx, u.ID)
		return err
	})
	return u, err
}

// PasswordLinks tells until when each person's link may be used, by their ID.
func (s *Store) PasswordLinks(ctx context.Context, now time.Time) (map[string]time.Time, error) {
	rows, err := s.db.Query(ctx, "SELECT user_id::text, expires_at FROM password_links WHERE expires_at > $1", now)
	if err != nil {
		return nil, wrapErr("list links that set a password", err)
	}
	out := map[string]time.Time{}
	var id string
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &at}, func() error { out[id] = at; return nil })
	return out, wrapErr("list links that set a password", err)
}
