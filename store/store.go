// Package store keeps what Patina knows in Postgres: the registry, jobs and
// their results, the catalogue of copies, people, tokens, the audit log, and
// the buckets and slots that processes share.
//
// It owns every line of SQL of the program but River's own, one file an
// entity, and turns what Postgres answers into the kinds of error of package
// backup. It never decides what a job does, never opens a dump, and never logs.
package store

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/AutumnsGrove/Patina/backup"
)

// poolSize is how many connections a process holds at most where the URL says
// nothing (pool_max_conns).
const poolSize = 12

// Store gives access to the tables, through the pool or inside one transaction.
// It is safe for concurrent use unless it belongs to a transaction.
type Store struct {
	pool *pgxpool.Pool
	tx   pgx.Tx // nil outside a transaction
	db   querier
}

// querier is what a pool and a transaction have in common.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// Open connects to the Postgres that url names and checks that it answers.
// Errors: ErrInvalid for a URL that cannot be read, ErrDenied for a refused
// sign-in, ErrUnavailable where nothing answers. No error shows the password.
func Open(ctx context.Context, url string) (*Store, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, &backup.Error{Kind: backup.ErrInvalid, Message: "the Postgres URL cannot be read", Next: "Check DATABASE_URL: postgres://user:password@host:5432/name", Err: err}
	}
	if !strings.Contains(url, "pool_max_conns") {
		cfg.MaxConns = poolSize
	}
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	if cfg.ConnConfig.RuntimeParams["application_name"] == "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = "patina"
	}
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
	cfg.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		conn.TypeMap().RegisterType(&pgtype.Type{
			Name: "timestamptz", OID: pgtype.TimestamptzOID,
			Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
		})
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, wrapErr("connect to Postgres", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, wrapErr("connect to Postgres", err)
	}
	return New(pool), nil
}

// New makes a store of a pool that the caller opened.
func New(pool *pgxpool.Pool) *Store { return &Store{pool: pool, db: pool} }

// Pool gives the pool, for River and for sessions.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// Close closes the pool once every connection has come back to it.
func (s *Store) Close() { s.pool.Close() }

// With gives a store whose statements run inside tx.
func (s *Store) With(tx pgx.Tx) *Store { return &Store{pool: s.pool, tx: tx, db: tx} }

// InTx runs fn in one transaction: committed when fn returns nil, otherwise
// rolled back. On a store that already belongs to a transaction fn joins it,
// and its error is the outer function's to act upon.
func (s *Store) InTx(ctx context.Context, fn func(tx pgx.Tx, s *Store) error) error {
	if s.tx != nil {
		return fn(s.tx, s)
	}
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return wrapErr("begin a transaction", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // no-op after Commit
	if err := fn(tx, s.With(tx)); err != nil {
		return err
	}
	return wrapErr("commit", tx.Commit(ctx))
}

// Atomically runs fn in one transaction, as InTx does, for callers that know
// nothing of Postgres.
func (s *Store) Atomically(ctx context.Context, fn func(s *Store) error) error {
	return s.InTx(ctx, func(_ pgx.Tx, s *Store) error { return fn(s) })
}

// Ping tells whether Postgres answers.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	return wrapErr("ask Postgres", s.db.QueryRow(ctx, "SELECT 1").Scan(&one))
}

// wrapErr gives err the kind that it means and says what was being done. It
// gives nil for nil, and leaves an error that has a kind, and the end of the
// caller's own context, as they are but for the words.
func wrapErr(doing string, err error) error {
	if err == nil {
		return nil
	}
	kind := errKind(err)
	if kind == nil {
		return &opError{doing, err}
	}
	e := &backup.Error{Kind: kind, Message: doing, Err: err}
	if errors.Is(kind, backup.ErrUnavailable) {
		e.Next = "Check that Postgres runs and can be reached."
	}
	return e
}

// opError is an error of no kind, with what was being done.
type opError struct {
	doing string
	err   error
}

func (e *opError) Error() string { return e.doing + ": " + e.err.Error() }
func (e *opError) Unwrap() error { return e.err }

// errKind tells which kind an error of pgx or Postgres means; nil for none,
// and for one that has its kind already.
func errKind(err error) error {
	var pg *pgconn.PgError
	var conn *pgconn.ConnectError
	var network net.Error
	switch {
	case backup.Kind(err) != nil, errors.Is(err, context.Canceled):
		return nil //nolint:nilerr // a kind is returned, and this has none to add
	case errors.Is(err, pgx.ErrNoRows):
		return backup.ErrNotFound
	case errors.As(err, &pg):
		return errKindOf(pg.Code)
	case errors.As(err, &conn), errors.As(err, &network), errors.Is(err, io.EOF),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, context.DeadlineExceeded), pgconn.SafeToRetry(err),
		strings.Contains(err.Error(), "closed pool"), strings.Contains(err.Error(), "conn closed"):
		return backup.ErrUnavailable
	}
	return nil
}

// errKindOf maps an SQLSTATE (Postgres manual, appendix A) to a kind.
func errKindOf(code string) error {
	switch code {
	case "23505", "23P01": // unique, exclusion
		return backup.ErrConflict
	case "23503", "23514", "23502": // foreign key, check, not null
		return backup.ErrInvalid
	case "28000", "28P01", "42501": // authorization, password, privilege
		return backup.ErrDenied
	case "40001", "40P01", "55P03": // serialisation, deadlock, lock not available
		return backup.ErrUnavailable
	case "3D000": // no such database
		return backup.ErrUnavailable
	}
	switch {
	case strings.HasPrefix(code, "22"): // data exception
		return backup.ErrInvalid
	case strings.HasPrefix(code, "08"), strings.HasPrefix(code, "53"), strings.HasPrefix(code, "57P"), strings.HasPrefix(code, "58"):
		return backup.ErrUnavailable
	}
	return nil
}

// isUnique tells whether err is a violation of the named unique index.
func isUnique(err error, index string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505" && pg.ConstraintName == index
}
