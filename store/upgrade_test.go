package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"golang.org/x/sync/errgroup"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/jobs"
	"github.com/AutumnsGrove/Patina/migrations"
	"github.com/AutumnsGrove/Patina/store"
	"github.com/AutumnsGrove/Patina/store/storetest"
)

// queueThen is the version of the queue's tables that the first Patina had.
const queueThen = 5

// seed runs testdata/upgrade/NNNNN.sql, which fills what a migration made.
func seed(t *testing.T, s *store.Store, version int64) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "upgrade", fmt.Sprintf("%05d.sql", version)))
	if os.IsNotExist(err) && version > 1 {
		return
	}
	if err == nil {
		_, err = s.Pool().Exec(t.Context(), string(text))
	}
	if err != nil {
		t.Fatalf("seed %d: %v", version, err)
	}
}

// installed makes a database as a Patina of that version left it, with data of
// every version up to it.
func installed(t *testing.T, url string, version int64) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	db := stdlib.OpenDBFromPool(s.Pool())
	defer db.Close()
	p, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	queue, err := rivermigrate.New(riverpgxv5.New(s.Pool()), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, src := range p.ListSources() {
		if src.Version > version {
			break
		}
		if _, err := p.UpTo(t.Context(), src.Version); err != nil {
			t.Fatal(err)
		}
		if src.Version == 1 {
			if _, err := queue.Migrate(t.Context(), rivermigrate.DirectionUp, &rivermigrate.MigrateOpts{TargetVersion: queueThen}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Pool().Exec(t.Context(), `INSERT INTO river_job(args, kind, max_attempts, queue, state, priority) VALUES('{"result_id": "x"}', 'export', 3, 'default', 'available', 1)`); err != nil {
				t.Fatal(err)
			}
		}
		seed(t, s, src.Version)
	}
	return s
}

// rows gives every row of every table as JSON, by table.
func rows(t *testing.T, s *store.Store) map[string][]string {
	t.Helper()
	query := func(q string) []string {
		r, err := s.Pool().Query(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		out, err := pgx.CollectRows(r, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	all := map[string][]string{}
	for _, table := range query(`SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname NOT IN ('goose_db_version', 'river_migration') ORDER BY relname`) {
		if list := query(`SELECT to_jsonb(t)::text FROM ` + pgx.Identifier{table}.Sanitize() + ` t`); len(list) > 0 {
			all[table] = list
		}
	}
	return all
}

// A database that any version made comes to this one with all that it held,
// and this program reads it.
func TestUpgradeFromEveryVersion(t *testing.T) {
	t.Parallel()
	probe := storetest.New(t)
	list, err := probe.Migrations(t.Context())
	if err != nil || len(list) < 2 {
		t.Fatal(list, err)
	}
	for _, m := range list {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			s := installed(t, storetest.EmptyURL(t), m.Version)
			before := rows(t, s)
			if len(before["backup_inventory"]) != 3 || len(before["river_job"]) != 1 {
				t.Fatalf("the seed holds too little: %v", before)
			}
			if err := store.Migrate(t.Context(), s.Pool(), jobs.Migrate); err != nil {
				t.Fatal(err)
			}
			for table, list := range before {
				for _, row := range list {
					var n int
					if err := s.Pool().QueryRow(t.Context(), `SELECT count(*) FROM `+pgx.Identifier{table}.Sanitize()+` t WHERE to_jsonb(t) @> $1::jsonb`, row).Scan(&n); err != nil {
						t.Fatalf("%s: %v", table, err)
					}
					if n == 0 {
						t.Errorf("%s lost or changed %s", table, row)
					}
				}
			}
			reads(t, s)
			if err := store.Migrate(t.Context(), s.Pool(), jobs.Migrate); err != nil {
				t.Errorf("a second time: %v", err)
			}
		})
	}
}

// reads looks at an upgraded database through the store.
func reads(t *testing.T, s *store.Store) {
	t.Helper()
	ctx := t.Context()
	if err := s.CheckMigrated(ctx); err != nil {
		t.Error(err)
	}
	if err := jobs.CheckMigrated(ctx, s.Pool()); err != nil {
		t.Error(err)
	}
	if head, err := s.VerifyAudit(ctx); err != nil || head.ID != 2 {
		t.Errorf("the audit log: %+v, %v", head, err)
	}
	standings, err := s.Standings(ctx, store.DatabaseFilter{})
	if err != nil || len(standings) != 2 {
		t.Fatalf("%+v, %v", standings, err)
	}
	auth := standings[0]
	if auth.Database.Name != "groveauth" || auth.Proven == nil || auth.Proven.ID != "ddddddd1-0000-7000-8000-000000000001" || auth.Last == nil || auth.Last.Status != "success" || auth.Open == nil {
		t.Errorf("groveauth stands as %+v", auth)
	}
	if scout := standings[1]; scout.Newest != nil || scout.Last == nil || scout.Last.Status != "failed" {
		t.Errorf("scout-db stands as %+v", scout)
	}
	if _, err := s.AppendAudit(ctx, store.AuditEntry{At: time.Now(), Actor: "x", Action: "y", Outcome: "z"}); err != nil {
		t.Error(err)
	}
	if err := s.UpsertDatabase(ctx, backup.Database{
		ID: "44444444-4444-4444-8444-444444444444", Name: "new", Priority: backup.Normal, Origin: backup.FromDiscovery, Objective: time.Hour,
		FirstSeenAt: time.Now(), LastSeenAt: time.Now(),
	}); err != nil {
		t.Error(err)
	}
}

// Every table that a migration makes has a row in the seeds: otherwise the test
// above would not see it lose one.
func TestUpgradeSeedsEveryTable(t *testing.T) {
	t.Parallel()
	s := installed(t, storetest.EmptyURL(t), 1<<40)
	if err := store.Migrate(t.Context(), s.Pool(), jobs.Migrate); err != nil {
		t.Fatal(err)
	}
	filled := rows(t, s)
	r, err := s.Pool().Query(t.Context(), `SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(r, pgx.RowTo[string])
	if err != nil || len(names) < 16 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		if filled[name] == nil && !strings.HasPrefix(name, "river_") && name != "goose_db_version" {
			t.Errorf("no row of %s is in testdata/upgrade: add one to the file of the migration that made it", name)
		}
	}
}

// Old and new processes that migrate an old database at once all succeed, and
// each migration is applied once.
func TestUpgradeAtOnce(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyURL(t)
	before := rows(t, installed(t, url, 1))
	var g errgroup.Group
	for range 4 {
		g.Go(func() error {
			s, err := store.Open(context.WithoutCancel(t.Context()), url)
			if err != nil {
				return err
			}
			defer s.Close()
			return store.Migrate(t.Context(), s.Pool(), jobs.Migrate)
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
	var twice int
	if err := s.Pool().QueryRow(t.Context(), `SELECT count(*) - count(DISTINCT version_id) FROM goose_db_version`).Scan(&twice); err != nil || twice != 0 {
		t.Errorf("%d migrations are recorded twice, %v", twice, err)
	}
	if after := rows(t, s); len(after["databases"]) != len(before["databases"]) {
		t.Errorf("%d databases became %d", len(before["databases"]), len(after["databases"]))
	}
	reads(t, s)
}

// Tables of a newer queue are refused, and those of a newer Patina, whichever
// of the two is newer.
func TestUpgradeRefusesNewerQueue(t *testing.T) {
	t.Parallel()
	s := storetest.New(t, jobs.Migrate)
	if _, err := s.Pool().Exec(t.Context(), "INSERT INTO river_migration(line, version) VALUES('main', 999)"); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func(context.Context, *pgxpool.Pool) error{"migrate": jobs.Migrate, "check": jobs.CheckMigrated} {
		if err := f(t.Context(), s.Pool()); backup.Kind(err) != backup.ErrConflict || !strings.Contains(err.Error(), "newer Patina") || backup.Next(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list, err := s.Migrations(t.Context()); err != nil || slices.ContainsFunc(list, func(m store.Migration) bool { return m.AppliedAt.IsZero() }) {
		t.Errorf("%v, %v", list, err)
	}
}
