package store

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Fresh keeps what was read from Postgres, and gives it again only while not one
// transaction has written since: every Get asks Postgres for its snapshot, and
// what was read under an equal one is what would be read now. So it never tells
// more than Postgres would, and tells nothing while Postgres does not answer.
// What is kept is forgotten after MaxAge all the same, since words such as "3 h
// ago" age by themselves. The zero Fresh is ready.
type Fresh[K comparable, V any] struct {
	MaxAge time.Duration // 1 s when 0

	mu   sync.Mutex
	kept map[K]*freshEntry[V]
}

type freshEntry[V any] struct {
	mu       sync.Mutex
	snapshot string // "" while nothing is kept
	at       time.Time
	value    V
}

// maxFresh bounds how many different answers are kept.
const maxFresh = 64

// Get gives what read gives, or gave under the same snapshot. Read sees one
// moment, whatever it asks; of many callers with one key, one reads.
func (f *Fresh[K, V]) Get(ctx context.Context, s *Store, key K, now time.Time, read func(*Store) (V, error)) (V, error) {
	var none V
	snapshot, err := s.snapshot(ctx)
	if err != nil {
		return none, err
	}
	e := f.entry(key)
	e.mu.Lock()
	defer e.mu.Unlock()
	maxAge := f.MaxAge
	if maxAge == 0 {
		maxAge = time.Second
	}
	if age := now.Sub(e.at); e.snapshot == snapshot && age < maxAge && age > -maxAge {
		return e.value, nil
	}
	tx, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return none, wrapErr("begin a transaction", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	in := s.With(tx)
	if err := tx.QueryRow(ctx, currentSnapshot).Scan(&snapshot); err != nil {
		return none, wrapErr("ask for the snapshot", err)
	}
	v, err := read(in)
	if err != nil {
		return none, err
	}
	e.snapshot, e.at, e.value = snapshot, now, v
	return v, nil
}

func (f *Fresh[K, V]) entry(key K) *freshEntry[V] {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.kept[key]
	if e == nil {
		if f.kept == nil || len(f.kept) >= maxFresh {
			f.kept = map[K]*freshEntry[V]{}
		}
		e = &freshEntry[V]{}
		f.kept[key] = e
	}
	return e
}

const currentSnapshot = "SELECT pg_current_snapshot()::text"

type snapshotKey struct{}

// OneLook gives a context in which Postgres is asked for its snapshot once: at
// the first Get of it, and what is read under it is as of then. It is for one
// request of one client.
func OneLook(ctx context.Context) context.Context {
	return context.WithValue(ctx, snapshotKey{}, new(string))
}

// snapshot names what a statement sees that begins now.
func (s *Store) snapshot(ctx context.Context) (string, error) {
	once, _ := ctx.Value(snapshotKey{}).(*string)
	if once != nil && *once != "" {
		return *once, nil
	}
	var snapshot string
	if err := s.db.QueryRow(ctx, currentSnapshot).Scan(&snapshot); err != nil {
		return "", wrapErr("ask for the snapshot", err)
	}
	if once != nil {
		*once = snapshot
	}
	return snapshot, nil
}
