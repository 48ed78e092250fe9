package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// Identity is who a person is to an OpenID Connect issuer.
type Identity struct {
	Issuer, Subject string
	UserID          string
	Email           string // verified, when they came first
	CreatedAt       time.Time
}

// UserByIdentity gives the person whom an issuer knows as subject. Errors:
// ErrNotFound.
func (s *Store) UserByIdentity(ctx context.Context, issuer, subject string) (User, error) {
	rows, err := s.db.Query(ctx, "SELECT "+userColumns+" FROM users WHERE id = (SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2)", storable(issuer), storable(subject))
	if err != nil {
		return User{}, wrapErr("read an identity", err)
	}
	u, err := pgx.CollectExactlyOneRow(rows, scanUser)
	if errors.Is(err, pgx.ErrNoRows) {
		return u, backup.Errorf(backup.ErrNotFound, "nobody is known by that identity")
	}
	return u, wrapErr("read an identity", err)
}

// InsertIdentity ties a person to an issuer's subject. Errors: ErrConflict
// where somebody is known by it already.
func (s *Store) InsertIdentity(ctx context.Context, i Identity) error {
	tag, err := s.db.Exec(ctx, `INSERT INTO identities (issuer, subject, user_id, email, created_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (issuer, subject) DO UPDATE SET user_id = excluded.user_id, email = excluded.email
		WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = identities.user_id)`,
		storable(i.Issuer), storable(i.Subject), i.UserID, storable(i.Email), i.CreatedAt)
	if err == nil && tag.RowsAffected() == 0 {
		return backup.Errorf(backup.ErrConflict, "somebody is known by that identity already")
	}
	return wrapErr("keep an identity", err)
}

// Identities gives those of every person, by their ID.
func (s *Store) Identities(ctx context.Context) (map[string][]Identity, error) {
	rows, err := s.db.Query(ctx, "SELECT issuer, subject, user_id::text, email, created_at FROM identities ORDER BY created_at, issuer, subject")
	if err != nil {
		return nil, wrapErr("list identities", err)
	}
	out := map[string][]Identity{}
	var i Identity
	_, err = pgx.ForEachRow(rows, []any{&i.Issuer, &i.Subject, &i.UserID, &i.Email, &i.CreatedAt}, func() error {
		out[i.UserID] = append(out[i.UserID], i)
		return nil
	})
	return out, wrapErr("list identities", err)
}
