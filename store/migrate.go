package store

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/migrations"
)

// migrateLock is the advisory lock under which all migrations run ("patina" in
// ASCII). Without it two processes that start on an empty database at once fail.
const migrateLock = int64(0x706174696e61)

// Migration is one numbered change of the tables.
type Migration struct {
	Version   int64     `json:"version"`
	Name      string    `json:"name"`       // its file
	AppliedAt time.Time `json:"applied_at"` // zero while it waits

	newer bool // this program does not know it
}

// Migrate brings the database to this program's version: ours first, then
// more in order (River's), all under one advisory lock on a connection of its
// own, so that any number of processes may call it at once. A database that a
// newer Patina migrated is refused as ErrConflict and left alone. The URL must
// lead to Postgres itself, not through a transaction pooler.
func Migrate(ctx context.Context, pool *pgxpool.Pool, more ...func(context.Context, *pgxpool.Pool) error) error {
	conn, err := pgx.ConnectConfig(ctx, pool.Config().ConnConfig)
	if err != nil {
		return wrapErr("migrate: connect", err)
	}
	// Closing the connection lets the lock go, whatever happened.
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", migrateLock); err != nil {
		return wrapErr("migrate: lock", err)
	}
	if err := migrateOurs(ctx, pool); err != nil {
		return err
	}
	for _, m := range more {
		if err := m(ctx, pool); err != nil {
			return wrapErr("migrate", err)
		}
	}
	return nil
}

func migrateOurs(ctx context.Context, pool *pgxpool.Pool) error {
	p, done, err := migrateProvider(pool)
	if err != nil {
		return err
	}
	defer done()
	have, known, err := p.GetVersions(ctx)
	if err != nil {
		return wrapErr("migrate: read the version", err)
	}
	if err := migrateCheck(have, known); err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return wrapErr("migrate", err)
	}
	return nil
}

// migrateCheck refuses a database newer than this program.
func migrateCheck(have, known int64) error {
	if have <= known {
		return nil
	}
	return &backup.Error{
		Kind:    backup.ErrConflict,
		Message: fmt.Sprintf("the database is at version %d, made by a newer Patina; this program knows versions up to %d and has changed nothing", have, known),
		Next:    "Start the newer Patina again, or restore the Postgres backup made before the upgrade.",
	}
}

func migrateProvider(pool *pgxpool.Pool) (*goose.Provider, func(), error) {
	db := stdlib.OpenDBFromPool(pool)
	p, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS, goose.WithDisableGlobalRegistry(true), goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		_ = db.Close()
		return nil, nil, wrapErr("migrate: read the migrations", err)
	}
	return p, func() { _ = db.Close() }, nil // leaves the pool open
}

// Migrations lists every migration this program knows, and those beyond that
// the database has seen, by version. It changes nothing.
func (s *Store) Migrations(ctx context.Context) ([]Migration, error) {
	applied, err := s.migrateApplied(ctx)
	if err != nil {
		return nil, err
	}
	p, done, err := migrateProvider(s.pool)
	if err != nil {
		return nil, err
	}
	defer done()
	var list []Migration
	for _, src := range p.ListSources() {
		list = append(list, Migration{Version: src.Version, Name: path.Base(src.Path), AppliedAt: applied[src.Version]})
		delete(applied, src.Version)
	}
	for _, v := range slices.Sorted(maps.Keys(applied)) {
		list = append(list, Migration{Version: v, Name: "of a newer Patina", AppliedAt: applied[v], newer: true})
	}
	return list, nil
}

// CheckMigrated tells whether the tables are of this program's version: ErrConflict
// for those of a newer one, ErrUnavailable while migrations wait.
func (s *Store) CheckMigrated(ctx context.Context) error {
	list, err := s.Migrations(ctx)
	if err != nil {
		return err
	}
	var have, known int64
	waiting := 0
	for _, m := range list {
		have = max(have, m.Version)
		if !m.newer {
			known = max(known, m.Version)
		}
		if m.AppliedAt.IsZero() {
			waiting++
		}
	}
	if err := migrateCheck(have, known); err != nil {
		return err
	}
	if waiting > 0 {
		return &backup.Error{Kind: backup.ErrUnavailable, Message: fmt.Sprintf("%d migrations of the tables in Postgres wait", waiting), Next: "Run: patina migrate"}
	}
	return nil
}

// migrateApplied reads goose's own table, which may not exist yet.
func (s *Store) migrateApplied(ctx context.Context) (map[int64]time.Time, error) {
	applied := map[int64]time.Time{}
	var exists bool
	if err := s.db.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", goose.DefaultTablename).Scan(&exists); err != nil {
		return nil, wrapErr("read the migrations", err)
	}
	if !exists {
		return applied, nil
	}
	rows, err := s.db.Query(ctx, "SELECT version_id, tstamp FROM goose_db_version WHERE is_applied AND version_id > 0 ORDER BY version_id")
	if err != nil {
		return nil, wrapErr("read the migrations", err)
	}
	var v int64
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&v, &at}, func() error {
		applied[v] = at
		return nil
	})
	return applied, wrapErr("read the migrations", err)
}
