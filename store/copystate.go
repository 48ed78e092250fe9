package store

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// CopiesOn lists the copies that a download of a date may give for a database,
// by its UUID, or by its name when they were taken; newest first. A copy taken
// before a restore (safety) is not among them: it is asked for by its ID.
func (s *Store) CopiesOn(ctx context.Context, date backup.Date, database string) ([]backup.Copy, error) {
	column := "database_name = $2"
	if isUUID(database) {
		column = "(database_name = $2 OR database_id = $2::uuid)"
	}
	return s.copies(ctx, " WHERE date = $1 AND "+column+` AND deleted_at IS NULL AND quarantined_at IS NULL AND kind <> 'safety'
		ORDER BY taken_at DESC, id DESC`, date.Time(), database)
}

// BestCopy gives the copy that stands for a database and date: the proven
// daily, else the newest proven one, else the newest stored one; never one
// that is suspect. Errors: ErrNotFound.
func (s *Store) BestCopy(ctx context.Context, databaseID string, date backup.Date) (backup.Copy, error) {
	if !isUUID(databaseID) {
		return backup.Copy{}, backup.Errorf(backup.ErrNotFound, "there is no database %q", databaseID)
	}
	list, err := s.copies(ctx, ` WHERE database_id = $1 AND date = $2 AND deleted_at IS NULL AND quarantined_at IS NULL
		AND kind <> 'safety' AND proof <> 'suspect'
		ORDER BY CASE WHEN proof <> 'proven' THEN 2 WHEN kind = 'daily' THEN 0 ELSE 1 END, taken_at DESC, id DESC LIMIT 1`,
		databaseID, date.Time())
	if err != nil {
		return backup.Copy{}, err
	}
	if len(list) == 0 {
		return backup.Copy{}, backup.Errorf(backup.ErrNotFound, "there is no backup of database %s for %s", databaseID, date)
	}
	return list[0], nil
}

// NewestCopies lists the newest listed copies of a database, at most limit.
func (s *Store) NewestCopies(ctx context.Context, databaseID string, limit int) ([]backup.Copy, error) {
	return s.copies(ctx, " WHERE database_id = $1 AND deleted_at IS NULL ORDER BY taken_at DESC, id DESC LIMIT "+strconv.Itoa(max(limit, 0)), databaseID)
}

// ExpiredCopies lists copies whose time has come, the longest expired first.
// Pinned ones are never among them. Whether one may go is for others to judge.
func (s *Store) ExpiredCopies(ctx context.Context, now time.Time, limit int) ([]backup.Copy, error) {
	return s.copies(ctx, " WHERE expires_at <= $1 AND deleted_at IS NULL AND NOT pinned ORDER BY expires_at, id LIMIT "+strconv.Itoa(max(limit, 0)), now)
}

// SetProof records what proving a copy found. Proven clears an earlier
// reason; suspect keeps the reason; pending forgets both. Errors: ErrNotFound.
func (s *Store) SetProof(ctx context.Context, id string, state backup.ProofState, at time.Time, reason string) error {
	if state != backup.ProofSuspect {
		reason = ""
	}
	var proven *time.Time
	if state == backup.ProofProven {
		proven = &at
	}
	return s.changeCopy(ctx, id, "proof = $2, proven_at = $3, proof_error = $4", state, proven, reason)
}

// AddFindings adds what a proof found to what the export had: to the copy and to
// the result that made it. What is there already is not added again. Errors:
// ErrNotFound.
func (s *Store) AddFindings(ctx context.Context, id string, findings []backup.Finding) error {
	c, err := s.Copy(ctx, id)
	if err != nil {
		return err
	}
	add := []backup.Finding{}
	for _, f := range findings {
		if c.Manifest == nil || !slices.ContainsFunc(c.Manifest.Findings, func(old backup.Finding) bool { return old.Code == f.Code && old.Object == f.Object }) {
			add = append(add, f)
		}
	}
	if len(add) == 0 {
		return nil
	}
	err = s.changeCopy(ctx, id, "manifest = jsonb_set(manifest, '{findings}', coalesce(manifest->'findings', '[]') || $2::jsonb)", add)
	if err == nil && c.ResultID != "" {
		_, err = s.db.Exec(ctx, "UPDATE backup_results SET findings = findings || $2::jsonb WHERE id = $1", c.ResultID, add)
	}
	return wrapErr("add the findings of backup "+id, err)
}

// SetExpiry says when a copy may go and why then; nil for never. Errors:
// ErrNotFound.
func (s *Store) SetExpiry(ctx context.Context, id string, at *time.Time, reason string) error {
	return s.changeCopy(ctx, id, "expires_at = $2, expires_reason = $3", at, reason)
}

// SetPinned keeps a copy for ever, or no longer; why it stays then is for
// retention to say anew. Errors: ErrNotFound, also for one that was deleted.
func (s *Store) SetPinned(ctx context.Context, id string, pinned bool) error {
	if !isUUID(id) {
		return backup.Errorf(backup.ErrNotFound, "there is no backup %q", id)
	}
	tag, err := s.db.Exec(ctx, `UPDATE backup_inventory SET pinned = $2, expires_reason = CASE WHEN $2 OR NOT pinned THEN expires_reason ELSE '' END
		WHERE id = $1 AND deleted_at IS NULL`, id, pinned)
	if err == nil && tag.RowsAffected() == 0 {
		return backup.Errorf(backup.ErrNotFound, "there is no backup %q", id)
	}
	return wrapErr("change backup "+id, err)
}

// MarkDeleted takes a copy out of the list, its object having been deleted.
// Errors: ErrNotFound.
func (s *Store) MarkDeleted(ctx context.Context, id string, at time.Time) error {
	return s.changeCopy(ctx, id, "deleted_at = coalesce(deleted_at, $2)", at)
}

// Quarantine takes a copy out of use, and leaves its object where it is: the
// copy is suspect, for this reason. Errors: ErrNotFound.
func (s *Store) Quarantine(ctx context.Context, id string, at time.Time, reason string) error {
	return s.changeCopy(ctx, id, "quarantined_at = coalesce(quarantined_at, $2), proof = 'suspect', proven_at = NULL, proof_error = $3", at, reason)
}

// Unquarantine puts a copy back into use; it has to be proven anew. Errors:
// ErrNotFound.
func (s *Store) Unquarantine(ctx context.Context, id string) error {
	return s.changeCopy(ctx, id, "quarantined_at = NULL, proof = 'pending', proven_at = NULL, proof_error = ''")
}

func (s *Store) changeCopy(ctx context.Context, id, set string, args ...any) error {
	if !isUUID(id) {
		return backup.Errorf(backup.ErrNotFound, "there is no backup %q", id)
	}
	tag, err := s.db.Exec(ctx, "UPDATE backup_inventory SET "+set+" WHERE id = $1", append([]any{id}, args...)...)
	if err == nil && tag.RowsAffected() == 0 {
		return backup.Errorf(backup.ErrNotFound, "there is no backup %q", id)
	}
	return wrapErr("change backup "+id, err)
}

// CopyTotals sums the listed copies.
type CopyTotals struct {
	Copies int64
	Bytes  int64 // as stored
}

// MoreCopiesThan tells whether more than n copies are listed, without counting
// them all.
func (s *Store) MoreCopiesThan(ctx context.Context, n int) (more bool, err error) {
	err = s.db.QueryRow(ctx, "SELECT count(*) > $1 FROM (SELECT FROM backup_inventory WHERE deleted_at IS NULL LIMIT $1 + 1) listed", n).Scan(&more)
	return more, wrapErr("count the backups", err)
}

// CopyTotals sums the copies of each kind; one that has none is missing.
func (s *Store) CopyTotals(ctx context.Context) (map[backup.CopyKind]CopyTotals, error) {
	rows, err := s.db.Query(ctx, "SELECT kind, count(*), sum(size_bytes)::bigint FROM backup_inventory WHERE deleted_at IS NULL GROUP BY kind")
	if err != nil {
		return nil, wrapErr("sum the backups", err)
	}
	totals := map[backup.CopyKind]CopyTotals{}
	var kind backup.CopyKind
	var t CopyTotals
	_, err = pgx.ForEachRow(rows, []any{&kind, &t.Copies, &t.Bytes}, func() error {
		totals[kind] = t
		return nil
	})
	return totals, wrapErr("sum the backups", err)
}
