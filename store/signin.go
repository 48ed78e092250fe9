package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// SignIn is one time that a person signed in, while it lasts.
type SignIn struct {
	ID        string // UUIDv7
	UserID    string
	Epoch     int    // of the person, then
	Method    string // "password", "link" or "single sign-on"
	CreatedAt time.Time
	SeenAt    time.Time // to the minute
	ExpiresAt time.Time
	IP        string
	UserAgent string
}

const signInColumns = "s.id::text, s.user_id::text, s.epoch, s.method, s.created_at, s.seen_at, s.expires_at, s.ip, s.user_agent"

func signInFields(s *SignIn) []any {
	return []any{&s.ID, &s.UserID, &s.Epoch, &s.Method, &s.CreatedAt, &s.SeenAt, &s.ExpiresAt, &s.IP, &s.UserAgent}
}

// current is what makes a sign-in one that still counts, at $1.
const current = "s.expires_at > $1 AND s.epoch = u.epoch AND u.disabled_at IS NULL"

// InsertSignIn records that somebody signed in, gives its ID, and forgets the
// sign-ins that have ended.
func (s *Store) InsertSignIn(ctx context.Context, in SignIn) (string, error) {
	if in.ID == "" {
		in.ID = uuid.Must(uuid.NewV7()).String()
	}
	err := s.InTx(ctx, func(tx pgx.Tx, _ *Store) error {
		if _, err := tx.Exec(ctx, "DELETE FROM sign_ins s USING users u WHERE u.id = s.user_id AND NOT ("+current+")", in.CreatedAt); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO sign_ins (id, user_id, epoch, method, created_at, seen_at, expires_at, ip, user_agent)
			VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8)`,
			in.ID, in.UserID, in.Epoch, in.Method, in.CreatedAt, in.ExpiresAt, storable(in.IP), storable(in.UserAgent))
		return err
	})
	return in.ID, wrapErr("record a sign-in", err)
}

// SignInOf gives a sign-in that still counts, and whose it is. Errors:
// ErrNotFound, also for one that has ended.
func (s *Store) SignInOf(ctx context.Context, id string, now time.Time) (SignIn, User, error) {
	var in SignIn
	var u User
	gone := backup.Errorf(backup.ErrNotFound, "that sign-in has ended")
	if !isUUID(id) {
		return in, u, gone
	}
	err := s.db.QueryRow(ctx, "SELECT "+signInColumns+`, u.id::text, u.name, u.role, u.downloader, u.epoch
		FROM sign_ins s JOIN users u ON u.id = s.user_id WHERE `+current+" AND s.id = $2", now, id).
		Scan(append(signInFields(&in), &u.ID, &u.Name, &u.Role, &u.Downloader, &u.Epoch)...)
	if errors.Is(err, pgx.ErrNoRows) {
		return in, u, gone
	}
	return in, u, wrapErr("read a sign-in", err)
}

// SignIns lists where somebody is signed in, the newest first.
func (s *Store) SignIns(ctx context.Context, userID string, now time.Time) ([]SignIn, error) {
	rows, err := s.db.Query(ctx, "SELECT "+signInColumns+" FROM sign_ins s JOIN users u ON u.id = s.user_id WHERE "+current+
		" AND s.user_id = $2 ORDER BY s.created_at DESC, s.id DESC", now, userID)
	if err != nil {
		return nil, wrapErr("list sign-ins", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (in SignIn, err error) {
		return in, row.Scan(signInFields(&in)...)
	})
	return list, wrapErr("list sign-ins", err)
}

// CountSignIns tells how often each person is signed in, by their ID.
func (s *Store) CountSignIns(ctx context.Context, now time.Time) (map[string]int, error) {
	rows, err := s.db.Query(ctx, "SELECT s.user_id::text, count(*) FROM sign_ins s JOIN users u ON u.id = s.user_id WHERE "+current+" GROUP BY 1", now)
	if err != nil {
		return nil, wrapErr("count sign-ins", err)
	}
	out := map[string]int{}
	var id string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&id, &n}, func() error { out[id] = n; return nil })
	return out, wrapErr("count sign-ins", err)
}

// TouchSignIn records that a sign-in was used, at most once a minute.
func (s *Store) TouchSignIn(ctx context.Context, id string, at time.Time) error {
	_, err := s.db.Exec(ctx, "UPDATE sign_ins SET seen_at = $2 WHERE id = $1 AND seen_at < $2::timestamptz - interval '1 minute'", id, at)
	return wrapErr("record the use of a sign-in", err)
}

// EndSignIn signs a person out in one place, and tells whether they were
// signed in there.
func (s *Store) EndSignIn(ctx context.Context, userID, id string) (was bool, err error) {
	if !isUUID(id) || !isUUID(userID) {
		return false, nil
	}
	tag, err := s.db.Exec(ctx, "DELETE FROM sign_ins WHERE id = $1 AND user_id = $2", id, userID)
	return tag.RowsAffected() == 1, wrapErr("end a sign-in", err)
}

// ForgetSignIn ends a sign-in, whoever's it is; one that has ended is no error.
func (s *Store) ForgetSignIn(ctx context.Context, id string) error {
	_, err := s.db.Exec(ctx, "DELETE FROM sign_ins WHERE id = $1", id)
	return wrapErr("end a sign-in", err)
}

// EndSignIns signs somebody out everywhere but where except says, and tells in
// how many places.
func (s *Store) EndSignIns(ctx context.Context, userID, except string) (int, error) {
	tag, err := s.db.Exec(ctx, "DELETE FROM sign_ins WHERE user_id = $1 AND id::text <> $2", userID, except)
	return int(tag.RowsAffected()), wrapErr("end sign-ins", err)
}
