package store

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// Holdings gives all that retention decides about, as of one moment, but for
// what the bucket itself says and what an admin has confirmed.
func (s *Store) Holdings(ctx context.Context) (backup.Holdings, error) {
	var h backup.Holdings
	tx, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return h, wrapErr("read what is stored", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	in := s.With(tx)
	if h.Copies, err = in.copies(ctx, " WHERE deleted_at IS NULL ORDER BY database_name, date, taken_at, backup_inventory.id"); err != nil {
		return h, err
	}
	if h.Archives, err = in.Archives(ctx, 0); err != nil {
		return h, err
	}
	if h.Reading, err = in.Readers(ctx); err != nil {
		return h, err
	}
	reason, frozen, err := in.RetentionFrozen(ctx)
	if err != nil {
		return h, err
	}
	if frozen {
		h.Frozen = "retention is frozen: " + strings.TrimSuffix(reason, ".")
	}
	if h.Gone, h.Erased, err = in.goneAndErased(ctx); err != nil {
		return h, err
	}
	h.Newest, err = in.newestTime(ctx)
	return h, err
}

func (s *Store) goneAndErased(ctx context.Context) (gone, erased map[string]bool, err error) {
	gone, erased = map[string]bool{}, map[string]bool{}
	rows, err := s.db.Query(ctx, "SELECT id::text, gone_at IS NOT NULL, erased_at IS NOT NULL FROM databases WHERE gone_at IS NOT NULL OR erased_at IS NOT NULL")
	if err != nil {
		return nil, nil, wrapErr("list databases that are gone", err)
	}
	var id string
	var isGone, isErased bool
	_, err = pgx.ForEachRow(rows, []any{&id, &isGone, &isErased}, func() error {
		gone[id], erased[id] = isGone, isErased
		return nil
	})
	return gone, erased, wrapErr("list databases that are gone", err)
}

// newestTime gives the newest time on record; zero where there is none.
func (s *Store) newestTime(ctx context.Context) (time.Time, error) {
	var at *time.Time
	err := s.db.QueryRow(ctx, `SELECT greatest(
		(SELECT max(greatest(created_at, taken_at, proven_at, deleted_at, quarantined_at)) FROM backup_inventory),
		(SELECT max(greatest(created_at, verified_at)) FROM archives),
		(SELECT max(created_at) FROM backup_jobs), (SELECT max(completed_at) FROM backup_jobs),
		(SELECT max(created_at) FROM schedule_slots), (SELECT max(at) FROM events), (SELECT max(at) FROM audit_log))`).Scan(&at)
	if err != nil || at == nil {
		return time.Time{}, wrapErr("look for the newest time on record", err)
	}
	return at.UTC(), nil
}

// Expiry is when something may go and why it stays until then.
type Expiry struct {
	ID     string // of a copy
	Until  *time.Time
	Reason string
}

// SetExpiries records the ends of many copies; those that are as recorded are
// left alone. It gives how many changed.
func (s *Store) SetExpiries(ctx context.Context, list []Expiry) (changed int64, err error) {
	ids, untils, reasons := make([]string, len(list)), make([]*time.Time, len(list)), make([]string, len(list))
	for i, e := range list {
		ids[i], untils[i], reasons[i] = e.ID, e.Until, storable(e.Reason)
	}
	tag, err := s.db.Exec(ctx, `UPDATE backup_inventory c SET expires_at = e.until, expires_reason = e.reason
		FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS e(id, until, reason)
		WHERE c.id = e.id AND c.deleted_at IS NULL AND (c.expires_at IS DISTINCT FROM e.until OR c.expires_reason <> e.reason)`, ids, untils, reasons)
	return tag.RowsAffected(), wrapErr("record when copies may go", err)
}

// MoveToKept says that a copy which lay in an archive alone has an object of its
// own again, under kept/; its manifest is m. Done twice it changes nothing.
// Errors: ErrConflict where it is gone, or lies elsewhere.
func (s *Store) MoveToKept(ctx context.Context, id string, m *backup.Manifest) error {
	tag, err := s.db.Exec(ctx, `UPDATE backup_inventory SET kind = 'kept', key = $2, manifest = $3, location = 'object', expires_at = NULL, scrubbed_at = NULL
		WHERE id = $1 AND deleted_at IS NULL AND (location = 'archive' OR key = $2)`, id, m.Key, m)
	if err == nil && tag.RowsAffected() == 0 {
		err = refused("the copy %s is gone, or has an object of its own", id)
	}
	return wrapErr("keep backup "+id, err)
}

// QuarantineArchive says that an archive is damaged. Copies that have objects of
// their own count as not archived any more, so that the next archive takes
// them; damaged are those, by id, that it holds alone and that cannot be read out
// of it: they are quarantined. The others in it stay readable.
func (s *Store) QuarantineArchive(ctx context.Context, week string, damaged []string, at time.Time, reason string) error {
	if damaged == nil {
		damaged = []string{}
	}
	err := s.InTx(ctx, func(_ pgx.Tx, s *Store) error {
		_, err := s.db.Exec(ctx, "UPDATE archives SET quarantined_at = coalesce(quarantined_at, $2), quarantine_reason = $3 WHERE week = $1", week, at, storable(reason))
		if err == nil {
			_, err = s.db.Exec(ctx, `UPDATE backup_inventory SET archived_in = NULL, archive_name = '', archive_offset = 0, archive_length = 0
				WHERE archived_in = $1 AND location = 'object'`, week)
		}
		if err == nil {
			_, err = s.db.Exec(ctx, `UPDATE backup_inventory SET quarantined_at = coalesce(quarantined_at, $3), proof = 'suspect', proven_at = NULL, proof_error = $4
				WHERE archived_in = $1 AND location = 'archive' AND deleted_at IS NULL AND id = ANY($2::uuid[])`, week, damaged, at, storable(reason))
		}
		return err
	})
	return wrapErr("quarantine the archive "+week, err)
}

// ForgetOrphanedResults removes results whose job has no row. Results outlive
// their objects, and no age removes them.
func (s *Store) ForgetOrphanedResults(ctx context.Context) (int64, error) {
	tag, err := s.db.Exec(ctx, "DELETE FROM backup_results r WHERE NOT EXISTS (SELECT FROM backup_jobs j WHERE j.id = r.job_id)")
	return tag.RowsAffected(), wrapErr("forget results without a job", err)
}

// SomethingStores tells whether a job that writes into the bucket is running.
func (s *Store) SomethingStores(ctx context.Context) (running bool, err error) {
	err = s.db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM backup_results WHERE status = 'running')
		OR EXISTS (SELECT FROM backup_jobs WHERE status = 'running' AND kind IN ('archive', 'restore'))`).Scan(&running)
	return running, wrapErr("look whether something is being stored", err)
}

// EraseDatabase says that an admin wants the copies of a database gone that the
// account no longer has. Errors: ErrNotFound; ErrConflict while it is there.
func (s *Store) EraseDatabase(ctx context.Context, id string, at time.Time) error {
	db, err := s.Database(ctx, id)
	if err != nil {
		return err
	}
	tag, err := s.db.Exec(ctx, "UPDATE databases SET erased_at = coalesce(erased_at, $2) WHERE id = $1 AND gone_at IS NOT NULL", id, at)
	if err == nil && tag.RowsAffected() == 0 {
		return &backup.Error{
			Kind: backup.ErrConflict, Message: db.Name + " is in the account still; its copies stay",
			Next: "Only what a database that is gone has left behind can be erased.",
		}
	}
	return wrapErr("erase "+db.Name, err)
}

// compactable are the tables that change much, and whose indexes are worth
// looking after. The audit log only grows.
var compactable = []string{
	"backup_inventory", "backup_results", "backup_jobs", "schedule_slots", "events", "archives", "readers", "removals",
	"databases", "idempotency_keys", "sessions", "settings", "processes", "export_slots",
}

// swollen is when an index is built anew: from a megabyte on, where it takes
// more than this many bytes a row.
const swollen = 400

// Compact frees what deleted rows take up in the tables of metadata, renews what
// the planner knows of them, and builds indexes anew that have swollen, while
// others go on. It gives the names of those. It cannot run in a transaction.
func (s *Store) Compact(ctx context.Context) (rebuilt []string, err error) {
	if s.tx != nil {
		return nil, errors.New("tables cannot be compacted within a transaction")
	}
	for _, table := range compactable {
		if _, err := s.db.Exec(ctx, "VACUUM (ANALYZE) "+pgx.Identifier{table}.Sanitize()); err != nil {
			return nil, wrapErr("compact "+table, err)
		}
	}
	rows, err := s.db.Query(ctx, `SELECT i.relname FROM pg_class t JOIN pg_index x ON x.indrelid = t.oid JOIN pg_class i ON i.oid = x.indexrelid
		WHERE t.relname = ANY($1) AND t.relnamespace = current_schema()::text::regnamespace
			AND pg_relation_size(i.oid) > 1 << 20 AND pg_relation_size(i.oid) > $2 * greatest(t.reltuples, 1) ORDER BY 1`, compactable, swollen)
	if err != nil {
		return nil, wrapErr("look for swollen indexes", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, wrapErr("look for swollen indexes", err)
	}
	for _, name := range names {
		if _, err := s.db.Exec(ctx, "REINDEX INDEX CONCURRENTLY "+pgx.Identifier{name}.Sanitize()); err != nil {
			return rebuilt, wrapErr("build the index "+name+" anew", err)
		}
		rebuilt = append(rebuilt, name)
	}
	return rebuilt, nil
}
