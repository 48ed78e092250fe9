package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

const (
	// leaseMost is how many tokens a process takes at once while there are
	// plenty: one statement for five requests. The price: for leaseFor after
	// another process called Pause, this one may still send up to four.
	leaseMost = 5
	leaseFor  = time.Second
)

// Limiter is a token bucket that every process with the same database shares,
// by the clock of Postgres. It is safe for concurrent use.
type Limiter struct {
	store     *Store
	name      string
	perSecond float64
	burst     int

	mu     sync.Mutex
	leased int       // tokens taken and not given out
	until  time.Time // when they lapse
	paused time.Time // nobody here asks before
}

// Limiter gives the bucket of that name: it holds burst tokens at most and
// gains perSecond a second; those of the process that asked last count.
func (s *Store) Limiter(name string, perSecond float64, burst int) *Limiter {
	return &Limiter{store: New(s.pool), name: name, perSecond: perSecond, burst: max(burst, 1)}
}

// Wait returns when one request may be sent. Tokens are given in the order in
// which they were asked for, over all processes: whoever finds the bucket
// empty goes into debt and waits until that is paid. Errors: that of ctx;
// ErrUnavailable without Postgres.
func (l *Limiter) Wait(ctx context.Context) error {
	if !(l.perSecond > 0) {
		return backup.Errorf(backup.ErrInvalid, "rate limit %s: %v a second lets nothing through", l.name, l.perSecond)
	}
	if l.fromLease() {
		return nil
	}
	taken, debt, pause, err := l.take(ctx)
	if err != nil {
		return wrapErr("rate limit "+l.name, err)
	}
	if taken > 1 {
		l.mu.Lock()
		l.leased, l.until = l.leased+taken-1, time.Now().Add(leaseFor)
		l.mu.Unlock()
	}
	wait := max(pause, debt)
	for wait > 0 {
		if err := backup.Pause(ctx, wait); err != nil {
			l.giveBack(ctx)
			return err
		}
		// A pause may have begun meanwhile, here or elsewhere.
		if wait, err = l.pause(ctx); err != nil {
			return wrapErr("rate limit "+l.name, err)
		}
	}
	return nil
}

// Pause keeps everybody from asking before d has passed; a longer pause that
// has begun stays.
func (l *Limiter) Pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	l.mu.Lock()
	l.leased = 0
	if until := time.Now().Add(d); until.After(l.paused) {
		l.paused = until
	}
	l.mu.Unlock()
	_, err := l.store.db.Exec(ctx, `
		INSERT INTO rate_limits (name, tokens, capacity, per_second, refilled_at, paused_until)
		VALUES ($1, $2, $2, $3, clock_timestamp(), clock_timestamp() + $4)
		ON CONFLICT (name) DO UPDATE SET paused_until = greatest(rate_limits.paused_until, excluded.paused_until)`,
		l.name, float64(l.burst), l.perSecond, d)
	return wrapErr("rate limit "+l.name, err)
}

// fromLease gives out a token taken before, where there is one.
func (l *Limiter) fromLease() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.leased == 0 || now.After(l.until) || now.Before(l.paused) {
		l.leased = 0
		return false
	}
	l.leased--
	return true
}

// take takes one token or, while there are plenty, several. It tells how long
// until the bucket is out of debt, and how long a pause still lasts.
func (l *Limiter) take(ctx context.Context) (taken int, debt, pause time.Duration, err error) {
	// The row is locked before it is read, so that the sum is over its newest
	// version, however many wait for it.
	const sql = `
		WITH bucket AS (
			SELECT clock_timestamp() AS at,
				least($3, tokens + $2 * greatest(0, extract(epoch FROM clock_timestamp() - refilled_at)::float8)) AS available
			FROM rate_limits WHERE name = $1 FOR UPDATE),
		amount AS (SELECT at, available, CASE WHEN available >= 4 * $4::int THEN $4 ELSE 1 END AS n FROM bucket)
		UPDATE rate_limits SET tokens = available - n, refilled_at = greatest(refilled_at, at), capacity = $3, per_second = $2
		FROM amount WHERE name = $1
		RETURNING n, tokens, coalesce(extract(epoch FROM paused_until - clock_timestamp()), 0)::float8`
	var tokens, paused float64
	for range 2 {
		err = l.store.db.QueryRow(ctx, sql, l.name, l.perSecond, float64(l.burst), leaseMost).Scan(&taken, &tokens, &paused)
		if !errors.Is(err, pgx.ErrNoRows) {
			break
		}
		_, err = l.store.db.Exec(ctx, `INSERT INTO rate_limits (name, tokens, capacity, per_second, refilled_at)
			VALUES ($1, $2, $2, $3, clock_timestamp()) ON CONFLICT DO NOTHING`, l.name, float64(l.burst), l.perSecond)
		if err != nil {
			return 0, 0, 0, err
		}
	}
	return taken, limitSeconds(-tokens / l.perSecond), limitSeconds(paused), err
}

// pause tells how long a pause still lasts.
func (l *Limiter) pause(ctx context.Context) (time.Duration, error) {
	var paused float64
	err := l.store.db.QueryRow(ctx, "SELECT coalesce(extract(epoch FROM paused_until - clock_timestamp()), 0)::float8 FROM rate_limits WHERE name = $1", l.name).Scan(&paused)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return limitSeconds(paused), err
}

// giveBack returns the token of one who stopped waiting, as far as possible.
func (l *Limiter) giveBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = l.store.db.Exec(ctx, "UPDATE rate_limits SET tokens = least(capacity, tokens + 1) WHERE name = $1", l.name)
}

func limitSeconds(s float64) time.Duration {
	return max(0, time.Duration(min(s, 1e6)*float64(time.Second)))
}
