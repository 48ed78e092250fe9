package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// requestLock is the advisory lock under which requests for work are decided.
const requestLock = 0x706174696e610002

// LockRequests lets one transaction at a time decide what is busy and what an
// idempotency key was used for.
func (s *Store) LockRequests(ctx context.Context) error {
	_, err := s.db.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(requestLock))
	return wrapErr("wait for other requests", err)
}

// Answer is what a request with an idempotency key was answered.
type Answer struct {
	Actor, Key string
	BodySHA256 string // of the request
	CreatedAt  time.Time
}

// Answer reads into v, as JSON, what actor's earlier request with this key was
// answered; false where there was none.
func (s *Store) Answer(ctx context.Context, actor, key string, v any) (a Answer, found bool, err error) {
	var b []byte
	a = Answer{Actor: actor, Key: key}
	err = s.db.QueryRow(ctx, "SELECT body_sha256, created_at, answer FROM idempotency_keys WHERE actor = $1 AND key = $2", actor, key).
		Scan(&a.BodySHA256, &a.CreatedAt, &b)
	if errors.Is(err, pgx.ErrNoRows) {
		return a, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	return a, err == nil, wrapErr("read an earlier answer", err)
}

// KeepAnswer remembers the answer v, as JSON.
func (s *Store) KeepAnswer(ctx context.Context, a Answer, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = s.db.Exec(ctx, "INSERT INTO idempotency_keys (actor, key, body_sha256, answer, created_at) VALUES ($1, $2, $3, $4, $5)",
			a.Actor, a.Key, a.BodySHA256, b, a.CreatedAt)
	}
	return wrapErr("keep an answer", err)
}

// ForgetAnswers forgets the answers given before a time.
func (s *Store) ForgetAnswers(ctx context.Context, before time.Time) error {
	_, err := s.db.Exec(ctx, "DELETE FROM idempotency_keys WHERE created_at < $1", before)
	return wrapErr("forget old answers", err)
}
