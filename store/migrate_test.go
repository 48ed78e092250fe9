package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

// Eight processes that start on one empty database at once all succeed, and
// what follows ours runs once at a time.
func TestMigrateAtOnce(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyURL(t)
	var g errgroup.Group
	for range 8 {
		g.Go(func() error {
			s, err := store.Open(t.Context(), url)
			if err != nil {
				return err
			}
			defer s.Close()
			return store.Migrate(t.Context(), s.Pool(), func(ctx context.Context, pool *pgxpool.Pool) error {
				_, err := pool.Exec(ctx, "CREATE TABLE IF NOT EXISTS more (n int)")
				return err
			})
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var n int
	if err := s.Pool().QueryRow(t.Context(), "SELECT count(*) FROM goose_db_version WHERE version_id = 1").Scan(&n); err != nil || n != 1 {
		t.Fatalf("version 1 is recorded %d times, %v", n, err)
	}
}

func TestMigrateRefusesNewer(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	if _, err := s.Pool().Exec(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)"); err != nil {
		t.Fatal(err)
	}
	called := false
	err := store.Migrate(t.Context(), s.Pool(), func(context.Context, *pgxpool.Pool) error {
		called = true
		return nil
	})
	if !errors.Is(err, backup.ErrConflict) || !strings.Contains(err.Error(), "newer Patina") || backup.Next(err) == "" {
		t.Fatalf("got %v", err)
	}
	if called {
		t.Fatal("the other migrations ran although ours were refused")
	}
	list, err := s.Migrations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if last := list[len(list)-1]; last.Version != 9999 || last.AppliedAt.IsZero() {
		t.Fatalf("the newer version is not listed: %+v", list)
	}
}

func TestMigrationsLists(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), storetest.EmptyURL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	list, err := s.Migrations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 || list[0].Name != "00001_init.sql" || !list[0].AppliedAt.IsZero() {
		t.Fatalf("before: %+v", list)
	}
	var tables int
	if err := s.Pool().QueryRow(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").Scan(&tables); err != nil || tables != 0 {
		t.Fatalf("asking made %d tables, %v", tables, err)
	}
	if err := store.Migrate(t.Context(), s.Pool()); err != nil {
		t.Fatal(err)
	}
	if list, err = s.Migrations(t.Context()); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(list, func(m store.Migration) bool { return m.AppliedAt.IsZero() }) {
		t.Fatalf("after: %+v", list)
	}
}
