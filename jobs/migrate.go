package jobs

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/AutumnsGrove/Patina/backup"
)

// Migrate brings River's own tables to the version this program was built
// with. It is given to store.Migrate, which holds the lock. Tables of a newer
// River are refused as ErrConflict.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	if _, err := QueueMigrations(ctx, pool); err != nil {
		return err
	}
	m, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return fmt.Errorf("migrate the queue: %w", err)
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return &backup.Error{Kind: backup.ErrUnavailable, Message: "migrate the queue", Err: err}
	}
	return nil
}

// QueueMigration is one of River's own changes of its tables.
type QueueMigration struct {
	Version int    `json:"version"`
	Name    string `json:"name"`
	Applied bool   `json:"applied"`
}

// QueueMigrations lists River's migrations that this program knows. It changes
// nothing. Errors: ErrConflict for tables of a newer River.
func QueueMigrations(ctx context.Context, pool *pgxpool.Pool) ([]QueueMigration, error) {
	driver := riverpgxv5.New(pool)
	m, err := rivermigrate.New(driver, nil)
	if err != nil {
		return nil, fmt.Errorf("look at the queue's tables: %w", err)
	}
	// The migrator itself fails on a version that it does not know.
	var there []*riverdriver.Migration
	e := driver.GetExecutor()
	exists, err := e.TableExists(ctx, &riverdriver.TableExistsParams{Table: "river_migration"})
	if err == nil && exists {
		there, err = e.MigrationGetByLine(ctx, &riverdriver.MigrationGetByLineParams{Line: riverdriver.MigrationLineMain})
	}
	if err != nil {
		return nil, &backup.Error{Kind: backup.ErrUnavailable, Message: "look at the queue's tables", Err: err}
	}
	applied, newest, known := map[int]bool{}, 0, 0
	for _, v := range there {
		applied[v.Version] = true
		newest = max(newest, v.Version)
	}
	var list []QueueMigration
	for _, v := range m.AllVersions() {
		list = append(list, QueueMigration{v.Version, v.Name, applied[v.Version]})
		known = max(known, v.Version)
	}
	if newest > known {
		return list, &backup.Error{
			Kind:    backup.ErrConflict,
			Message: fmt.Sprintf("the queue's tables are at version %d, made by a newer Patina; this program knows versions up to %d and has changed nothing in them", newest, known),
			Next:    "Start the newer Patina again, or restore the Postgres backup made before the upgrade.",
		}
	}
	return list, nil
}

// CheckMigrated tells whether River's tables are of this program's version:
// ErrConflict for those of a newer one, ErrUnavailable while migrations wait.
func CheckMigrated(ctx context.Context, pool *pgxpool.Pool) error {
	list, err := QueueMigrations(ctx, pool)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(list, func(m QueueMigration) bool { return !m.Applied }) {
		return &backup.Error{Kind: backup.ErrUnavailable, Message: "migrations of the queue's tables in Postgres wait", Next: "Run: patina migrate"}
	}
	return nil
}
