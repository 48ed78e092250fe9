package jobs

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/AutumnsGrove/Patina/backup"
)

// Migrate brings River's own tables to the version this program was built
// with. It is given to store.Migrate, which holds the lock.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	m, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return fmt.Errorf("migrate the queue: %w", err)
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return &backup.Error{Kind: backup.ErrUnavailable, Message: "migrate the queue", Err: err}
	}
	return nil
}
