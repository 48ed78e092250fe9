package store

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// ErrReading says that something reads what was to be deleted; nothing was
// changed.
var ErrReading = errors.New("it is being read")

// Removal is an object that nothing lists any more and that is to be deleted.
type Removal struct {
	Key    string
	Size   int64 // bytes, as they were recorded
	CopyID string
	Week   string // of an archive
	Reason string // why it went, in words
	At     time.Time
}

// refused says that a rule forbids a deletion after all; nothing was changed.
func refused(format string, args ...any) error {
	return backup.Errorf(backup.ErrConflict, format, args...)
}

// DropCopy takes a copy's own object off the list, so that it can be deleted:
// after this, never before. Where a verified archive holds the copy it is read
// out of that from now on; otherwise it is gone. In the same transaction it is
// looked at once more whether that is allowed. Errors, and nothing is changed:
// ErrReading; ErrConflict where it may not go after all, or is gone already.
func (s *Store) DropCopy(ctx context.Context, id, reason string, now time.Time) (Removal, error) {
	return s.drop(ctx, id, reason, now, func(ctx context.Context, s *Store, c backup.Copy, archived bool) error {
		switch {
		case c.Pinned:
			return refused("%s was pinned meanwhile", c.Key)
		case c.QuarantinedAt != nil:
			return refused("%s is in quarantine", c.Key)
		case c.Kind == backup.Daily && c.Proof != backup.ProofSuspect && !archived:
			return refused("%s lies in no verified archive", c.Key)
		}
		return s.mayDrop(ctx, c, now)
	})
}

// EraseCopy is DropCopy for the copy of a database whose copies an admin wants
// gone: no rule but the readers' holds it, and nothing of it stays listed.
func (s *Store) EraseCopy(ctx context.Context, id, reason string, now time.Time) (Removal, error) {
	return s.drop(ctx, id, reason, now, func(ctx context.Context, s *Store, c backup.Copy, _ bool) error {
		var erased bool
		err := s.db.QueryRow(ctx, "SELECT EXISTS (SELECT FROM databases WHERE id = $1 AND erased_at IS NOT NULL)", c.DatabaseID).Scan(&erased)
		if err == nil && !erased {
			err = refused("nobody wants the copies of %s gone", c.DatabaseName)
		}
		if err == nil {
			_, err = s.db.Exec(ctx, "UPDATE backup_inventory SET deleted_at = $2, pinned = false WHERE id = $1", c.ID, now)
		}
		return err
	})
}

type dropCheck = func(ctx context.Context, s *Store, c backup.Copy, archived bool) error

func (s *Store) drop(ctx context.Context, id, reason string, now time.Time, check dropCheck) (Removal, error) {
	var rm Removal
	err := s.InTx(ctx, func(_ pgx.Tx, s *Store) error {
		var archived bool
		var week string
		// The row's lock is what a reader waits for, and we for it.
		if err := s.db.QueryRow(ctx, "SELECT coalesce(archived_in, '') FROM backup_inventory WHERE id = $1 FOR UPDATE", id).Scan(&week); err != nil {
			return err
		}
		if week != "" {
			err := s.db.QueryRow(ctx, "SELECT deleted_at IS NULL AND quarantined_at IS NULL FROM archives WHERE week = $1 FOR SHARE", week).Scan(&archived)
			if err != nil {
				return err
			}
		}
		c, err := s.Copy(ctx, id)
		if err != nil {
			return err
		}
		if c.DeletedAt != nil {
			return refused("%s is gone already", c.Key)
		}
		if err := s.unread(ctx, id); err != nil {
			return err
		}
		if err := check(ctx, s, c, archived); err != nil {
			return err
		}
		rm = Removal{Key: c.Key, Size: c.Size, CopyID: c.ID, Reason: reason, At: now}
		if c.ObjectGone { // there is no object of its own
			rm = Removal{}
			return nil
		}
		if err := s.addRemoval(ctx, rm); err != nil {
			return err
		}
		if archived {
			_, err = s.db.Exec(ctx, "UPDATE backup_inventory SET location = 'archive' WHERE id = $1 AND deleted_at IS NULL", id)
		} else {
			_, err = s.db.Exec(ctx, "UPDATE backup_inventory SET deleted_at = coalesce(deleted_at, $2) WHERE id = $1", id, now)
		}
		return err
	})
	return rm, wrapErr("drop backup "+id, err)
}

// unread refuses where something reads one of these.
func (s *Store) unread(ctx context.Context, what ...string) error {
	var reading bool
	err := s.db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM readers WHERE what = ANY($1) AND until > clock_timestamp())
		OR EXISTS (SELECT FROM `+openRestores+" AND copy_id::text = ANY($1))", what).Scan(&reading)
	if err == nil && reading {
		err = ErrReading
	}
	return err
}

// mayDrop refuses where retention is frozen, where the copy's date is being
// backed up, or where no other copy stands for the database: a newer proven one
// for a proven one, else one that is proven or newer. That one is locked until
// the transaction ends, so that it stays what it is.
func (s *Store) mayDrop(ctx context.Context, c backup.Copy, now time.Time) error {
	if reason, frozen, err := s.RetentionFrozen(ctx); err != nil || frozen {
		return errors.Join(err, refused("retention is frozen: %s", strings.TrimSuffix(reason, ".")))
	}
	var open bool
	err := s.db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM backup_results
		WHERE database_id = $1 AND date = $2 AND status IN ('queued', 'running'))`, c.DatabaseID, c.Date.Time()).Scan(&open)
	if err == nil && open {
		err = refused("%s is being backed up for %s", c.DatabaseName, c.Date)
	}
	if err != nil {
		return err
	}
	var stands string // what another copy must be
	switch {
	case c.Proof == backup.ProofProven && c.Kind == backup.Safety:
		stands = "proof = 'proven' AND taken_at >= $3"
	case c.Proof == backup.ProofProven:
		stands = "proof = 'proven' AND taken_at >= $3 AND kind <> 'safety'"
	case c.Proof == backup.ProofSuspect:
		stands = "(proof <> 'suspect' OR taken_at >= $3)"
	default:
		stands = "(proof = 'proven' OR proof <> 'suspect' AND taken_at >= $3)"
	}
	var id string
	err = s.db.QueryRow(ctx, `SELECT id::text FROM backup_inventory o
		WHERE database_id = $1 AND id <> $2 AND deleted_at IS NULL AND quarantined_at IS NULL AND taken_at <= $4
			AND (location = 'object' OR EXISTS (SELECT FROM archives a WHERE a.week = o.archived_in AND a.deleted_at IS NULL AND a.quarantined_at IS NULL))
			AND `+stands+" ORDER BY taken_at DESC, o.id LIMIT 1 FOR SHARE", c.DatabaseID, c.ID, c.TakenAt, now.Add(time.Minute)).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return refused("%s is the last copy of %s that can be relied on", c.Key, c.DatabaseName)
	}
	return err
}

// DropArchive takes a week's archive, and the copies that lie in it alone, off
// the list, so that its object can be deleted: after this, never before. Errors,
// and nothing is changed: ErrReading; ErrConflict where it may not go after all.
func (s *Store) DropArchive(ctx context.Context, week, reason string, now time.Time) (Removal, error) {
	var rm Removal
	err := s.InTx(ctx, func(_ pgx.Tx, s *Store) error {
		var free bool
		err := s.db.QueryRow(ctx, "SELECT deleted_at IS NULL AND quarantined_at IS NULL FROM archives WHERE week = $1 FOR UPDATE", week).Scan(&free)
		if err == nil && !free {
			err = refused("the archive %s is gone already, or in quarantine", week)
		}
		if err != nil {
			return err
		}
		rows, err := s.db.Query(ctx, "SELECT id::text FROM backup_inventory WHERE archived_in = $1 AND deleted_at IS NULL ORDER BY id FOR UPDATE", week)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		if err := s.unread(ctx, append(ids, week)...); err != nil {
			return err
		}
		if err := s.mayDropArchive(ctx, week, now); err != nil {
			return err
		}
		a, err := s.Archive(ctx, week)
		if err != nil {
			return err
		}
		rm = Removal{Key: a.Key, Size: a.Size, Week: week, Reason: reason, At: now}
		if err := s.MarkArchiveDeleted(ctx, week, now); err != nil {
			return err
		}
		return s.addRemoval(ctx, rm)
	})
	return rm, wrapErr("drop the archive "+week, err)
}

// mayDropArchive refuses where retention is frozen, or where a database that is
// not to be erased has nothing newer outside the archive to rely on than what
// lies in it alone.
func (s *Store) mayDropArchive(ctx context.Context, week string, now time.Time) error {
	if reason, frozen, err := s.RetentionFrozen(ctx); err != nil || frozen {
		return errors.Join(err, refused("retention is frozen: %s", strings.TrimSuffix(reason, ".")))
	}
	var name string
	err := s.db.QueryRow(ctx, `
		SELECT c.database_name FROM backup_inventory c LEFT JOIN databases d ON d.id = c.database_id
		WHERE c.archived_in = $1 AND c.location = 'archive' AND c.deleted_at IS NULL AND c.quarantined_at IS NULL AND d.erased_at IS NULL
			AND NOT EXISTS (SELECT FROM backup_inventory o WHERE o.database_id = c.database_id AND o.deleted_at IS NULL AND o.quarantined_at IS NULL
				AND (o.location = 'object' OR o.archived_in <> $1 AND EXISTS (SELECT FROM archives a WHERE a.week = o.archived_in AND a.deleted_at IS NULL AND a.quarantined_at IS NULL))
				AND o.taken_at <= $2
				AND CASE WHEN c.proof = 'proven' THEN o.proof = 'proven' AND o.taken_at >= c.taken_at
					ELSE o.proof = 'proven' OR o.taken_at >= c.taken_at END)
		LIMIT 1`, week, now.Add(time.Minute)).Scan(&name)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err == nil {
		err = refused("the archive %s holds the last copy of %s that can be relied on", week, name)
	}
	return err
}

func (s *Store) addRemoval(ctx context.Context, rm Removal) error {
	_, err := s.db.Exec(ctx, `INSERT INTO removals (key, size_bytes, copy_id, week, reason, created_at)
		VALUES ($1, $2, nullif($3, '')::uuid, nullif($4, ''), $5, $6)
		ON CONFLICT (key) DO UPDATE SET size_bytes = excluded.size_bytes, copy_id = excluded.copy_id, week = excluded.week`,
		rm.Key, rm.Size, rm.CopyID, rm.Week, storable(rm.Reason), rm.At)
	return err
}

// Removals lists the objects that are to be deleted and may still be there,
// oldest first.
func (s *Store) Removals(ctx context.Context) ([]Removal, error) {
	rows, err := s.db.Query(ctx, `SELECT key, size_bytes, coalesce(copy_id::text, ''), coalesce(week, ''), reason, created_at
		FROM removals ORDER BY created_at, key`)
	if err != nil {
		return nil, wrapErr("list what is to be deleted", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Removal])
	return list, wrapErr("list what is to be deleted", err)
}

// MayRemove tells whether nothing has come to list the object again.
func (s *Store) MayRemove(ctx context.Context, key string) (may bool, err error) {
	err = s.db.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM backup_inventory WHERE key = $1 AND deleted_at IS NULL AND location = 'object')
		AND NOT EXISTS (SELECT FROM archives WHERE key = $1 AND deleted_at IS NULL)`, key).Scan(&may)
	return may, wrapErr("look who lists "+key, err)
}

// Removed says that an object has gone.
func (s *Store) Removed(ctx context.Context, key string) error {
	_, err := s.db.Exec(ctx, "DELETE FROM removals WHERE key = $1", key)
	return wrapErr("forget what was deleted", err)
}
