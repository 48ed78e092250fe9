package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// Role is what a person or a token may do; each holds the rights of the one before.
type Role string

// The roles.
const (
	Viewer   Role = "viewer"
	Operator Role = "operator"
	Admin    Role = "admin"
)

// Valid tells whether r is one of the roles.
func (r Role) Valid() bool { return r == Viewer || r == Operator || r == Admin }

// User is a person who may sign in.
type User struct {
	ID           string // UUIDv7
	Name         string // unique whatever its case
	PasswordHash string `json:"-"` // argon2id, made elsewhere; "" where only single sign-on leads in
	Role         Role
	Downloader   bool // may read what is inside the copies
	Epoch        int  // a session made in an earlier one has ended
	CreatedAt    time.Time
	LastSignInAt *time.Time
	DisabledAt   *time.Time
}

const userColumns = "id::text, name, password_hash, role, downloader, epoch, created_at, last_sign_in_at, disabled_at"

func scanUser(row pgx.CollectableRow) (User, error) {
	var u User
	err := row.Scan(&u.ID, &u.Name, &u.PasswordHash, &u.Role, &u.Downloader, &u.Epoch, &u.CreatedAt, &u.LastSignInAt, &u.DisabledAt)
	return u, err
}

// LockUsers lets one transaction at a time change who there is, until it ends.
func (s *Store) LockUsers(ctx context.Context) error {
	_, err := s.db.Exec(ctx, "LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")
	return wrapErr("wait for other changes of people", err)
}

// InsertUser adds a person and gives the ID: a new UUIDv7 where u has none.
// Errors: ErrConflict where somebody has the name; ErrInvalid.
func (s *Store) InsertUser(ctx context.Context, u User) (string, error) {
	if u.Name == "" || !u.Role.Valid() {
		return "", backup.Errorf(backup.ErrInvalid, "a person needs a name, and a role: viewer, operator or admin")
	}
	if u.ID == "" {
		u.ID = uuid.Must(uuid.NewV7()).String()
	}
	_, err := s.db.Exec(ctx, `
		INSERT INTO users (id, name, password_hash, role, downloader, epoch, created_at, last_sign_in_at, disabled_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		u.ID, u.Name, u.PasswordHash, u.Role, u.Downloader, max(u.Epoch, 1), u.CreatedAt, u.LastSignInAt, u.DisabledAt)
	if isUnique(err, "users_name") {
		return "", &backup.Error{Kind: backup.ErrConflict, Message: "there is a user " + u.Name + " already", Err: err}
	}
	return u.ID, wrapErr("add user "+u.Name, err)
}

// User gives a person by ID. Errors: ErrNotFound.
func (s *Store) User(ctx context.Context, id string) (User, error) {
	if !isUUID(id) {
		return User{}, backup.Errorf(backup.ErrNotFound, "there is no user %q", id)
	}
	return s.oneUser(ctx, id, "id = $1")
}

// UserByName gives a person by name, whatever its case. Errors: ErrNotFound.
func (s *Store) UserByName(ctx context.Context, name string) (User, error) {
	return s.oneUser(ctx, name, "lower(name) = lower($1)")
}

func (s *Store) oneUser(ctx context.Context, what, condition string) (User, error) {
	rows, err := s.db.Query(ctx, "SELECT "+userColumns+" FROM users WHERE "+condition, what)
	if err != nil {
		return User{}, wrapErr("read a user", err)
	}
	u, err := pgx.CollectExactlyOneRow(rows, scanUser)
	if errors.Is(err, pgx.ErrNoRows) {
		return u, backup.Errorf(backup.ErrNotFound, "there is no user %q", what)
	}
	return u, wrapErr("read a user", err)
}

// Users lists everybody by name, the disabled too.
func (s *Store) Users(ctx context.Context) ([]User, error) {
	rows, err := s.db.Query(ctx, "SELECT "+userColumns+" FROM users ORDER BY lower(name)")
	if err != nil {
		return nil, wrapErr("list users", err)
	}
	list, err := pgx.CollectRows(rows, scanUser)
	return list, wrapErr("list users", err)
}

// CountUsers counts everybody, the disabled too: 0 means a first start.
func (s *Store) CountUsers(ctx context.Context) (n int, err error) {
	err = s.db.QueryRow(ctx, "SELECT count(*) FROM users").Scan(&n)
	return n, wrapErr("count users", err)
}

// SignedIn records a sign-in. Errors: ErrNotFound.
func (s *Store) SignedIn(ctx context.Context, id string, at time.Time) error {
	return s.changeUser(ctx, id, "last_sign_in_at = $2", at)
}

// SetPassword replaces the hash of a password and ends every session of that
// person. Errors: ErrNotFound.
func (s *Store) SetPassword(ctx context.Context, id, hash string) error {
	return s.changeUser(ctx, id, "password_hash = $2, epoch = epoch + 1", hash)
}

// SetRights changes what a person may do and ends every session of that
// person. Errors: ErrNotFound; ErrInvalid; ErrConflict where no admin who can
// sign in would be left.
func (s *Store) SetRights(ctx context.Context, id string, role Role, downloader bool) error {
	if !role.Valid() {
		return backup.Errorf(backup.ErrInvalid, "%q is no role: viewer, operator or admin", role)
	}
	return s.changeKeepingAdmin(ctx, id, "role = $2, downloader = $3, epoch = epoch + 1", role, downloader)
}

// DisableUser shuts a person out and ends every session of that person.
// Errors: ErrNotFound; ErrConflict where no admin who can sign in would be left.
func (s *Store) DisableUser(ctx context.Context, id string, at time.Time) error {
	return s.changeKeepingAdmin(ctx, id, "disabled_at = coalesce(disabled_at, $2), epoch = epoch + 1", at)
}

// EnableUser lets a person in again. Errors: ErrNotFound.
func (s *Store) EnableUser(ctx context.Context, id string) error {
	return s.changeUser(ctx, id, "disabled_at = NULL")
}

// changeKeepingAdmin changes a person unless that takes the last admin away.
func (s *Store) changeKeepingAdmin(ctx context.Context, id, set string, args ...any) error {
	const admins = "SELECT count(*) FROM users WHERE role = 'admin' AND disabled_at IS NULL"
	return s.InTx(ctx, func(tx pgx.Tx, s *Store) error {
		if err := s.LockUsers(ctx); err != nil {
			return err
		}
		inner, err := tx.Begin(ctx) // a savepoint: a refusal leaves the caller's transaction usable
		if err != nil {
			return wrapErr("change a user", err)
		}
		defer func() { _ = inner.Rollback(context.WithoutCancel(ctx)) }()
		var before, after int
		if err := inner.QueryRow(ctx, admins).Scan(&before); err != nil {
			return wrapErr("count admins", err)
		}
		if err := s.With(inner).changeUser(ctx, id, set, args...); err != nil {
			return err
		}
		if err := inner.QueryRow(ctx, admins).Scan(&after); err != nil {
			return wrapErr("count admins", err)
		}
		if before > 0 && after == 0 {
			return &backup.Error{
				Kind: backup.ErrConflict, Message: "this is the only admin who can sign in, and stays one",
				Next: "Make somebody else an admin first.",
			}
		}
		return wrapErr("change a user", inner.Commit(ctx))
	})
}

func (s *Store) changeUser(ctx context.Context, id, set string, args ...any) error {
	if !isUUID(id) {
		return backup.Errorf(backup.ErrNotFound, "there is no user %q", id)
	}
	tag, err := s.db.Exec(ctx, "UPDATE users SET "+set+" WHERE id = $1", append([]any{id}, args...)...)
	if err == nil && tag.RowsAffected() == 0 {
		return backup.Errorf(backup.ErrNotFound, "there is no user %q", id)
	}
	return wrapErr("change a user", err)
}
