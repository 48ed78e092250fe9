package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// databaseColumns is what scanDatabase reads.
const databaseColumns = `id::text, name, binding, description, priority, estimated_size, source, paused,
	objective_seconds, first_seen_at, last_seen_at, gone_at, redact, redact_fixed`

func scanDatabase(row pgx.CollectableRow) (backup.Database, error) {
	var d backup.Database
	var objective int64
	var redact []string
	err := row.Scan(&d.ID, &d.Name, &d.Binding, &d.Description, &d.Priority, &d.EstimatedSize, &d.Origin, &d.Paused,
		&objective, &d.FirstSeenAt, &d.LastSeenAt, &d.GoneAt, &redact, &d.RedactFixed)
	d.Objective = time.Duration(objective) * time.Second
	if err == nil && len(redact) > 0 { // what cannot be read must not count as no rule
		d.Redact, err = backup.ParseRedactions(redact)
	}
	return d, err
}

// UpsertDatabase writes an entry of the registry, known by its ID: made when
// new, otherwise every field but FirstSeenAt and what is redacted. A name belongs to one database
// that is not gone: another that has it is marked gone as of d.LastSeenAt, for
// it was deleted and made anew under another ID. Errors: ErrInvalid.
func (s *Store) UpsertDatabase(ctx context.Context, d backup.Database) error {
	if !isUUID(d.ID) || d.Name == "" {
		return backup.Errorf(backup.ErrInvalid, "a database needs a UUID and a name, and has %q and %q", d.ID, d.Name)
	}
	if d.Priority == "" {
		d.Priority = backup.Normal
	}
	if d.Origin == "" {
		d.Origin = backup.FromDiscovery
	}
	if d.Objective <= 0 {
		d.Objective = backup.DefaultObjective
	}
	err := s.InTx(ctx, func(tx pgx.Tx, _ *Store) error {
		// Two that write the same name at once would otherwise collide.
		if _, err := tx.Exec(ctx, "LOCK TABLE databases IN SHARE ROW EXCLUSIVE MODE"); err != nil {
			return err
		}
		if d.GoneAt == nil {
			if _, err := tx.Exec(ctx, "UPDATE databases SET gone_at = $3 WHERE name = $2 AND id <> $1 AND gone_at IS NULL", d.ID, d.Name, d.LastSeenAt); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO databases (id, name, binding, description, priority, estimated_size, source, paused,
				objective_seconds, first_seen_at, last_seen_at, gone_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
			ON CONFLICT (id) DO UPDATE SET name = excluded.name, binding = excluded.binding, description = excluded.description,
				priority = excluded.priority, estimated_size = excluded.estimated_size, source = excluded.source,
				paused = excluded.paused, objective_seconds = excluded.objective_seconds,
				last_seen_at = excluded.last_seen_at, gone_at = excluded.gone_at`,
			d.ID, d.Name, d.Binding, d.Description, d.Priority, d.EstimatedSize, d.Origin, d.Paused,
			int64(d.Objective/time.Second), d.FirstSeenAt, d.LastSeenAt, d.GoneAt)
		return err
	})
	return wrapErr("record database "+d.Name, err)
}

// DatabaseFilter chooses entries of the registry.
type DatabaseFilter struct {
	Gone bool     // those too that the account no longer has
	IDs  []string // only these; nil: all
}

func (f DatabaseFilter) where() where {
	var q where
	if !f.Gone {
		q.add("gone_at IS NULL")
	}
	if f.IDs != nil {
		q.add("id = ANY($?::uuid[])", f.IDs)
	}
	return q
}

// Databases lists the registry by name; of one name the living one first.
func (s *Store) Databases(ctx context.Context, f DatabaseFilter) ([]backup.Database, error) {
	q := f.where()
	rows, err := s.db.Query(ctx, "SELECT "+databaseColumns+" FROM databases"+q.String()+" ORDER BY name, gone_at DESC NULLS FIRST, id", q.args...)
	if err != nil {
		return nil, wrapErr("list databases", err)
	}
	list, err := pgx.CollectRows(rows, scanDatabase)
	return list, wrapErr("list databases", err)
}

// DatabaseNames lists the names of the databases in the account, at most limit.
func (s *Store) DatabaseNames(ctx context.Context, limit int) ([]string, error) {
	rows, err := s.db.Query(ctx, "SELECT name FROM databases WHERE gone_at IS NULL ORDER BY name LIMIT $1", limit)
	if err != nil {
		return nil, wrapErr("list databases", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return list, wrapErr("list databases", err)
}

// Database gives one entry by its UUID. Errors: ErrNotFound.
func (s *Store) Database(ctx context.Context, id string) (backup.Database, error) {
	if !isUUID(id) {
		return backup.Database{}, backup.Errorf(backup.ErrNotFound, "there is no database %q", id)
	}
	return s.oneDatabase(ctx, id, "id = $1")
}

// DatabaseByName gives the database of that name, or where none has it now the
// one that had it last. Errors: ErrNotFound.
func (s *Store) DatabaseByName(ctx context.Context, name string) (backup.Database, error) {
	return s.oneDatabase(ctx, name, "name = $1 ORDER BY gone_at DESC NULLS FIRST, id LIMIT 1")
}

func (s *Store) oneDatabase(ctx context.Context, what, condition string) (backup.Database, error) {
	rows, err := s.db.Query(ctx, "SELECT "+databaseColumns+" FROM databases WHERE "+condition, what)
	if err != nil {
		return backup.Database{}, wrapErr("read a database", err)
	}
	d, err := pgx.CollectExactlyOneRow(rows, scanDatabase)
	if errors.Is(err, pgx.ErrNoRows) {
		return d, backup.Errorf(backup.ErrNotFound, "there is no database %q", what)
	}
	return d, wrapErr("read a database", err)
}

// DatabaseChange changes what people decide of an entry; nil fields stay.
type DatabaseChange struct {
	Paused      *bool
	Priority    *backup.Priority
	Binding     *string
	Description *string
	Objective   *time.Duration // whole seconds
}

// ChangeDatabase changes an entry and gives it as it is then. Errors:
// ErrNotFound; ErrInvalid for a priority that is none.
func (s *Store) ChangeDatabase(ctx context.Context, id string, c DatabaseChange) (backup.Database, error) {
	if c.Objective != nil && *c.Objective < time.Second {
		return backup.Database{}, backup.Errorf(backup.ErrInvalid, "an objective is at least a second")
	}
	var objective *int64
	if c.Objective != nil {
		n := int64(*c.Objective / time.Second)
		objective = &n
	}
	if !isUUID(id) {
		return backup.Database{}, backup.Errorf(backup.ErrNotFound, "there is no database %q", id)
	}
	rows, err := s.db.Query(ctx, `
		UPDATE databases SET paused = coalesce($2, paused), priority = coalesce($3, priority), binding = coalesce($4, binding),
			description = coalesce($5, description), objective_seconds = coalesce($6, objective_seconds)
		WHERE id = $1 RETURNING `+databaseColumns, id, c.Paused, c.Priority, c.Binding, c.Description, objective)
	if err != nil {
		return backup.Database{}, wrapErr("change database "+id, err)
	}
	d, err := pgx.CollectExactlyOneRow(rows, scanDatabase)
	if errors.Is(err, pgx.ErrNoRows) {
		return d, backup.Errorf(backup.ErrNotFound, "there is no database %q", id)
	}
	return d, wrapErr("change database "+id, err)
}

// SetDatabaseSize records the size that the newest export saw, in bytes.
func (s *Store) SetDatabaseSize(ctx context.Context, id string, size int64) error {
	_, err := s.db.Exec(ctx, "UPDATE databases SET estimated_size = $2 WHERE id = $1", id, size)
	return wrapErr("record the size of database "+id, err)
}
