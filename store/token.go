package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// Token is what a program signs in with. The token itself is shown once and
// never stored: only its SHA-256.
type Token struct {
	ID         string // UUIDv7
	Name       string
	SHA256     []byte `json:"-"` // of the whole token; 32 bytes
	Hint       string // the end of the token, for people to tell them apart
	Role       Role
	Downloader bool
	Databases  []string // UUIDs of the only databases it sees; nil: all
	CreatedBy  string
	CreatedAt  time.Time
	ExpiresAt  *time.Time // nil: never
	LastUsedAt *time.Time // to the minute
	RevokedAt  *time.Time
}

const tokenColumns = "id::text, name, sha256, hint, role, downloader, databases::text[], created_by, created_at, expires_at, last_used_at, revoked_at" //nolint:gosec // names of columns

func scanToken(row pgx.CollectableRow) (Token, error) {
	var t Token
	err := row.Scan(&t.ID, &t.Name, &t.SHA256, &t.Hint, &t.Role, &t.Downloader, &t.Databases, &t.CreatedBy, &t.CreatedAt, &t.ExpiresAt, &t.LastUsedAt, &t.RevokedAt)
	return t, err
}

// InsertToken adds a token and gives its ID: a new UUIDv7 where t has none.
// Errors: ErrConflict where that very token is there already; ErrInvalid.
func (s *Store) InsertToken(ctx context.Context, t Token) (string, error) {
	id, added, err := s.insertToken(ctx, t)
	if err == nil && !added {
		return "", backup.Errorf(backup.ErrConflict, "this API token is there already")
	}
	return id, err
}

// EnsureToken adds a token unless that very token is there already, whatever
// became of it since, and tells whether it did: for one that the configuration
// gives.
func (s *Store) EnsureToken(ctx context.Context, t Token) (added bool, err error) {
	_, added, err = s.insertToken(ctx, t)
	return added, err
}

func (s *Store) insertToken(ctx context.Context, t Token) (id string, added bool, err error) {
	if t.Name == "" || len(t.SHA256) != 32 || !t.Role.Valid() {
		return "", false, backup.Errorf(backup.ErrInvalid, "an API token needs a name, its SHA-256, and a role: viewer, operator or admin")
	}
	if t.Databases != nil && len(t.Databases) == 0 {
		return "", false, backup.Errorf(backup.ErrInvalid, "an API token that sees no database is of no use")
	}
	if t.ID == "" {
		t.ID = uuid.Must(uuid.NewV7()).String()
	}
	tag, err := s.db.Exec(ctx, `
		INSERT INTO api_tokens (id, name, sha256, hint, role, downloader, databases, created_by, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7::uuid[], $8, $9, $10) ON CONFLICT (sha256) DO NOTHING`,
		t.ID, t.Name, t.SHA256, t.Hint, t.Role, t.Downloader, t.Databases, t.CreatedBy, t.CreatedAt, t.ExpiresAt)
	return t.ID, tag.RowsAffected() == 1, wrapErr("add API token "+t.Name, err)
}

// TokenBySHA256 gives the token with this hash, expired or revoked ones too.
// Errors: ErrNotFound.
func (s *Store) TokenBySHA256(ctx context.Context, sha []byte) (Token, error) {
	return s.oneToken(ctx, "sha256 = $1", sha)
}

// Token gives a token by ID. Errors: ErrNotFound.
func (s *Store) Token(ctx context.Context, id string) (Token, error) {
	if !isUUID(id) {
		return Token{}, backup.Errorf(backup.ErrNotFound, "there is no such API token")
	}
	return s.oneToken(ctx, "id = $1", id)
}

func (s *Store) oneToken(ctx context.Context, condition string, arg any) (Token, error) {
	rows, err := s.db.Query(ctx, "SELECT "+tokenColumns+" FROM api_tokens WHERE "+condition, arg)
	if err != nil {
		return Token{}, wrapErr("read an API token", err)
	}
	t, err := pgx.CollectExactlyOneRow(rows, scanToken)
	if errors.Is(err, pgx.ErrNoRows) {
		return t, backup.Errorf(backup.ErrNotFound, "there is no such API token")
	}
	return t, wrapErr("read an API token", err)
}

// TouchToken records that a token was used, at most once a minute.
func (s *Store) TouchToken(ctx context.Context, id string, at time.Time) error {
	_, err := s.db.Exec(ctx, "UPDATE api_tokens SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2::timestamptz - interval '1 minute')", id, at)
	return wrapErr("record the use of an API token", err)
}

// Tokens lists every token, the newest first, the revoked too.
func (s *Store) Tokens(ctx context.Context) ([]Token, error) {
	rows, err := s.db.Query(ctx, "SELECT "+tokenColumns+" FROM api_tokens ORDER BY created_at DESC, id DESC")
	if err != nil {
		return nil, wrapErr("list API tokens", err)
	}
	list, err := pgx.CollectRows(rows, scanToken)
	return list, wrapErr("list API tokens", err)
}

// RevokeToken ends a token for good. Errors: ErrNotFound.
func (s *Store) RevokeToken(ctx context.Context, id string, at time.Time) error {
	if !isUUID(id) {
		return backup.Errorf(backup.ErrNotFound, "there is no such API token")
	}
	tag, err := s.db.Exec(ctx, "UPDATE api_tokens SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1", id, at)
	if err == nil && tag.RowsAffected() == 0 {
		return backup.Errorf(backup.ErrNotFound, "there is no such API token")
	}
	return wrapErr("revoke an API token", err)
}
