package store

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// RecordArchive enters an archive that was read back and found whole, and marks
// the copies that it holds: parts says where, by the copy's ID. A copy that was
// deleted meanwhile, or that another archive holds, stays as it is. An archive
// that is entered already with the same hash keeps its entry: recording twice
// changes nothing. Errors: ErrConflict where the week is entered with other bytes.
func (s *Store) RecordArchive(ctx context.Context, a backup.Archive, parts map[string]backup.Archived) error {
	return s.InTx(ctx, func(_ pgx.Tx, s *Store) error {
		missing := a.Missing
		if missing == nil {
			missing = []backup.ArchiveGap{}
		}
		_, err := s.db.Exec(ctx, `
			INSERT INTO archives (week, key, size_bytes, sha256, from_date, to_date, member_count, missing, job_id, created_at, verified_at, expires_at, expires_reason)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, nullif($9, '')::uuid, $10, $11, $12, $13)
			ON CONFLICT (week) DO UPDATE SET key = excluded.key, size_bytes = excluded.size_bytes, sha256 = excluded.sha256,
				from_date = excluded.from_date, to_date = excluded.to_date, member_count = excluded.member_count, missing = excluded.missing,
				job_id = excluded.job_id, created_at = excluded.created_at, verified_at = excluded.verified_at,
				expires_at = excluded.expires_at, expires_reason = excluded.expires_reason, deleted_at = NULL
				WHERE archives.deleted_at IS NOT NULL`,
			a.Week, a.Key, a.Size, a.SHA256, a.From.Time(), a.To.Time(), a.Members, missing, a.JobID, a.CreatedAt, a.VerifiedAt, a.ExpiresAt, a.ExpiresReason)
		if err != nil {
			return wrapErr("enter the archive "+a.Week, err)
		}
		var sha string
		if err := s.db.QueryRow(ctx, "SELECT sha256 FROM archives WHERE week = $1 FOR UPDATE", a.Week).Scan(&sha); err != nil {
			return wrapErr("enter the archive "+a.Week, err)
		}
		if sha != a.SHA256 {
			return backup.Errorf(backup.ErrConflict, "the archive %s is entered already, with other bytes", a.Week)
		}
		var ids, names []string
		var offsets, lengths []int64
		for id, p := range parts {
			ids, names, offsets, lengths = append(ids, id), append(names, p.Name), append(offsets, p.Offset), append(lengths, p.Length)
		}
		_, err = s.db.Exec(ctx, `
			UPDATE backup_inventory c SET archived_in = $1, archive_name = p.name, archive_offset = p.start, archive_length = p.length
			FROM unnest($2::uuid[], $3::text[], $4::bigint[], $5::bigint[]) AS p(id, name, start, length)
			WHERE c.id = p.id AND c.deleted_at IS NULL AND (c.archived_in IS NULL OR c.archived_in = $1)`, a.Week, ids, names, offsets, lengths)
		return wrapErr("mark what the archive "+a.Week+" holds", err)
	})
}

const archiveColumns = `week, key, size_bytes, sha256, from_date, to_date, member_count, missing, coalesce(job_id::text, ''),
	created_at, verified_at, expires_at, expires_reason, deleted_at, quarantined_at`

func scanArchive(row pgx.CollectableRow) (backup.Archive, error) {
	var a backup.Archive
	var from, to time.Time
	err := row.Scan(&a.Week, &a.Key, &a.Size, &a.SHA256, &from, &to, &a.Members, &a.Missing, &a.JobID,
		&a.CreatedAt, &a.VerifiedAt, &a.ExpiresAt, &a.ExpiresReason, &a.DeletedAt, &a.QuarantinedAt)
	a.From, a.To = backup.DateOf(from), backup.DateOf(to)
	return a, err
}

// Archive gives the archive of a week, deleted or not. Errors: ErrNotFound.
func (s *Store) Archive(ctx context.Context, week string) (backup.Archive, error) {
	rows, err := s.db.Query(ctx, "SELECT "+archiveColumns+" FROM archives WHERE week = $1", week)
	if err != nil {
		return backup.Archive{}, wrapErr("read an archive", err)
	}
	a, err := pgx.CollectExactlyOneRow(rows, scanArchive)
	if errors.Is(err, pgx.ErrNoRows) {
		return a, backup.Errorf(backup.ErrNotFound, "there is no archive %q", week)
	}
	return a, wrapErr("read an archive", err)
}

// Archives lists the archives that are there, newest first, at most limit (all
// when 0).
func (s *Store) Archives(ctx context.Context, limit int) ([]backup.Archive, error) {
	most := ""
	if limit > 0 {
		most = " LIMIT " + strconv.Itoa(limit)
	}
	rows, err := s.db.Query(ctx, "SELECT "+archiveColumns+" FROM archives WHERE deleted_at IS NULL ORDER BY week DESC"+most)
	if err != nil {
		return nil, wrapErr("list archives", err)
	}
	list, err := pgx.CollectRows(rows, scanArchive)
	return list, wrapErr("list archives", err)
}

// ArchiveMembers lists the copies that an archive holds, by date and name.
func (s *Store) ArchiveMembers(ctx context.Context, week string) ([]backup.Copy, error) {
	return s.copies(ctx, " WHERE archived_in = $1 AND deleted_at IS NULL ORDER BY date, database_name, taken_at, backup_inventory.id", week)
}

// Archived tells which of these copies lie in a verified archive that is there,
// and in which: the week by the copy's ID. Only such a daily may be deleted.
func (s *Store) Archived(ctx context.Context, copyIDs ...string) (map[string]string, error) {
	rows, err := s.db.Query(ctx, `SELECT c.id::text, a.week FROM backup_inventory c JOIN archives a ON a.week = c.archived_in
		WHERE c.id = ANY($1::uuid[]) AND c.deleted_at IS NULL AND a.deleted_at IS NULL`, copyIDs)
	if err != nil {
		return nil, wrapErr("look for archived copies", err)
	}
	weeks := map[string]string{}
	var id, week string
	_, err = pgx.ForEachRow(rows, []any{&id, &week}, func() error {
		weeks[id] = week
		return nil
	})
	return weeks, wrapErr("look for archived copies", err)
}

// MoveToArchive says that a copy is read out of its archive from now on, so that
// its own object can be deleted: after this, never before. Errors: ErrConflict
// where no verified archive holds the copy; ErrNotFound.
func (s *Store) MoveToArchive(ctx context.Context, copyID string) error {
	c, err := s.Copy(ctx, copyID)
	if err != nil {
		return err
	}
	tag, err := s.db.Exec(ctx, `UPDATE backup_inventory c SET location = 'archive' FROM archives a
		WHERE c.id = $1 AND c.deleted_at IS NULL AND a.week = c.archived_in AND a.deleted_at IS NULL`, copyID)
	if err == nil && tag.RowsAffected() == 0 {
		return backup.Errorf(backup.ErrConflict, "%s lies in no verified archive; its object stays", c.Key)
	}
	return wrapErr("move "+c.Key+" into its archive", err)
}

// SetArchiveExpiry says when an archive may go and why then; nil for never.
func (s *Store) SetArchiveExpiry(ctx context.Context, week string, at *time.Time, reason string) error {
	_, err := s.db.Exec(ctx, "UPDATE archives SET expires_at = $2, expires_reason = $3 WHERE week = $1", week, at, reason)
	return wrapErr("change the archive "+week, err)
}

// MarkArchiveDeleted takes an archive, and the copies that lie in it alone, out
// of the list, so that its object can be deleted: after this, never before.
// Copies that have an object of their own stay, and count as not archived.
// Errors: ErrConflict, and nothing is changed, where a pinned copy lies in it
// alone.
func (s *Store) MarkArchiveDeleted(ctx context.Context, week string, at time.Time) error {
	return s.InTx(ctx, func(_ pgx.Tx, s *Store) error {
		if _, err := s.db.Exec(ctx, "UPDATE archives SET deleted_at = coalesce(deleted_at, $2) WHERE week = $1", week, at); err != nil {
			return wrapErr("delete the archive "+week, err)
		}
		var pinned int
		err := s.db.QueryRow(ctx, "SELECT count(*) FROM backup_inventory WHERE archived_in = $1 AND location = 'archive' AND deleted_at IS NULL AND pinned", week).Scan(&pinned)
		if err != nil {
			return wrapErr("delete the archive "+week, err)
		}
		if pinned > 0 {
			return backup.Errorf(backup.ErrConflict, "%d pinned copies lie in the archive %s alone; it stays", pinned, week)
		}
		_, err = s.db.Exec(ctx, "UPDATE backup_inventory SET deleted_at = $2 WHERE archived_in = $1 AND location = 'archive' AND deleted_at IS NULL", week, at)
		if err == nil {
			_, err = s.db.Exec(ctx, `UPDATE backup_inventory SET archived_in = NULL, archive_name = '', archive_offset = 0, archive_length = 0
				WHERE archived_in = $1 AND location = 'object'`, week)
		}
		return wrapErr("delete the archive "+week, err)
	})
}

// CopiesForArchive lists what an archive of the dates up to to is chosen from:
// dailies that no archive holds, and every daily and manual copy of the dates
// from from on. Those in quarantine are among them.
func (s *Store) CopiesForArchive(ctx context.Context, from, to backup.Date) ([]backup.Copy, error) {
	return s.copies(ctx, ` WHERE deleted_at IS NULL AND date <= $2 AND (kind = 'daily' AND archived_in IS NULL OR kind IN ('daily', 'manual') AND date >= $1)
		ORDER BY date, database_name, taken_at, backup_inventory.id`, from.Time(), to.Time())
}
