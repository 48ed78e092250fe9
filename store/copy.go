package store

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// copyColumns is what scanCopy reads.
const copyColumns = `id::text, coalesce(result_id::text, ''), coalesce(job_id::text, ''), database_id::text, database_name, kind, date,
	taken_at, key, size_bytes, sha256, body_sha256, table_count, row_count, consistency, bookmark_before, bookmark_after,
	compression, proof, proven_at, proof_error, pinned, quarantined_at, created_at, expires_at, expires_reason, deleted_at,
	coalesce(archived_in, ''), archive_name, archive_offset, archive_length, location = 'archive', coalesce(redactions, '[]')`

func scanCopy(row pgx.CollectableRow) (backup.Copy, error) { return scanCopyAnd(row) }

func scanCopyAnd(row pgx.CollectableRow, more ...any) (backup.Copy, error) {
	var c backup.Copy
	var date time.Time
	err := row.Scan(append([]any{
		&c.ID, &c.ResultID, &c.JobID, &c.DatabaseID, &c.DatabaseName, &c.Kind, &date,
		&c.TakenAt, &c.Key, &c.Size, &c.SHA256, &c.BodySHA256, &c.Tables, &c.Rows, &c.Consistency, &c.BookmarkBefore, &c.BookmarkAfter,
		&c.Compression, &c.Proof, &c.ProvenAt, &c.ProofError, &c.Pinned, &c.QuarantinedAt, &c.CreatedAt, &c.ExpiresAt, &c.ExpiresReason, &c.DeletedAt,
		&c.Archived.Week, &c.Archived.Name, &c.Archived.Offset, &c.Archived.Length, &c.ObjectGone, &c.Redactions,
	}, more...)...)
	c.Date = backup.DateOf(date)
	if len(c.Redactions) == 0 {
		c.Redactions = nil
	}
	return c, err
}

// RecordCopy lists a stored copy, with its manifest, and gives its ID: a new
// UUIDv7 where c has none. An object that is listed already with the same hash
// keeps its entry, whose ID is given: recording twice changes nothing. Errors:
// ErrConflict where the key is listed with other bytes; ErrInvalid.
func (s *Store) RecordCopy(ctx context.Context, c backup.Copy) (string, error) {
	if c.Manifest == nil {
		return "", backup.Errorf(backup.ErrInvalid, "a copy is listed with its manifest only")
	}
	if c.ID == "" {
		c.ID = uuid.Must(uuid.NewV7()).String()
	}
	if c.Proof == "" {
		c.Proof = backup.ProofPending
	}
	if c.Compression == "" {
		c.Compression = backup.Plain
	}
	doing := "list the copy " + c.Key
	tag, err := s.db.Exec(ctx, `
		INSERT INTO backup_inventory (id, result_id, job_id, database_id, database_name, kind, date, taken_at, key, size_bytes,
			sha256, body_sha256, table_count, row_count, consistency, bookmark_before, bookmark_after, compression, proof,
			proven_at, proof_error, pinned, quarantined_at, created_at, expires_at, expires_reason, manifest,
			archived_in, archive_name, archive_offset, archive_length, location)
		VALUES ($1, nullif($2, '')::uuid, nullif($3, '')::uuid, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
			$20, $21, $22, $23, $24, $25, $26, $27, nullif($28, ''), $29, $30, $31, $32)
		ON CONFLICT DO NOTHING`,
		c.ID, c.ResultID, c.JobID, c.DatabaseID, c.DatabaseName, c.Kind, c.Date.Time(), c.TakenAt, c.Key, c.Size,
		c.SHA256, c.BodySHA256, c.Tables, c.Rows, c.Consistency, c.BookmarkBefore, c.BookmarkAfter, c.Compression, c.Proof,
		c.ProvenAt, c.ProofError, c.Pinned, c.QuarantinedAt, c.CreatedAt, c.ExpiresAt, c.ExpiresReason, c.Manifest,
		c.Archived.Week, c.Archived.Name, c.Archived.Offset, c.Archived.Length, c.Location())
	if err != nil {
		return "", wrapErr(doing, err)
	}
	if tag.RowsAffected() == 1 {
		return c.ID, nil
	}
	var id, sha string
	err = s.db.QueryRow(ctx, "SELECT id::text, sha256 FROM backup_inventory WHERE key = $1 AND deleted_at IS NULL", c.Key).Scan(&id, &sha)
	switch {
	case err == nil && sha == c.SHA256:
		return id, nil
	case err == nil:
		return "", backup.Errorf(backup.ErrConflict, "%s is listed already, with other bytes", c.Key)
	case errors.Is(err, pgx.ErrNoRows):
		return "", backup.Errorf(backup.ErrConflict, "the copy %s was listed before under another key, or deleted", c.ID)
	}
	return "", wrapErr(doing, err)
}

// Copy gives one copy with its manifest, deleted or not. Errors: ErrNotFound.
func (s *Store) Copy(ctx context.Context, id string) (backup.Copy, error) {
	if !isUUID(id) {
		return backup.Copy{}, backup.Errorf(backup.ErrNotFound, "there is no backup %q", id)
	}
	return s.oneCopy(ctx, id, "id = $1")
}

// CopyByKey gives the listed copy of an object, with its manifest. Errors:
// ErrNotFound.
func (s *Store) CopyByKey(ctx context.Context, key string) (backup.Copy, error) {
	return s.oneCopy(ctx, key, "key = $1 AND deleted_at IS NULL")
}

func (s *Store) oneCopy(ctx context.Context, what, condition string) (backup.Copy, error) {
	rows, err := s.db.Query(ctx, "SELECT "+copyColumns+", manifest FROM backup_inventory WHERE "+condition, what)
	if err != nil {
		return backup.Copy{}, wrapErr("read a backup", err)
	}
	c, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (backup.Copy, error) {
		var m backup.Manifest
		c, err := scanCopyAnd(row, &m)
		c.Manifest = &m
		return c, err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return c, backup.Errorf(backup.ErrNotFound, "there is no backup %q", what)
	}
	return c, wrapErr("read a backup", err)
}

// CopyFilter chooses copies; zero fields choose all.
type CopyFilter struct {
	Database    string   // its name when the copy was taken
	DatabaseID  string   // its UUID
	DatabaseIDs []string // any of these UUIDs; nil: all
	Date        backup.Date
	From, To    backup.Date // both included
	Kind        backup.CopyKind
	Archive     string // the week of the archive that holds them
	Proofs      []backup.ProofState
	JobID       string
	Quarantined bool   // those too that are in quarantine
	Deleted     bool   // those too whose object was deleted
	Limit       int    // 50 when zero, at most 1000
	Cursor      string // the next of the answer before; "" for the first page
}

func (f CopyFilter) where() (where, error) {
	var q where
	if !f.Deleted {
		q.add("deleted_at IS NULL")
	}
	if !f.Quarantined {
		q.add("quarantined_at IS NULL")
	}
	if f.Database != "" {
		q.add("database_name = $?", f.Database)
	}
	if f.DatabaseID != "" {
		q.add("database_id = $?", f.DatabaseID)
	}
	if f.DatabaseIDs != nil {
		q.add("database_id = ANY($?::uuid[])", f.DatabaseIDs)
	}
	if !f.Date.IsZero() {
		q.add("date = $?", f.Date.Time())
	}
	if !f.From.IsZero() {
		q.add("date >= $?", f.From.Time())
	}
	if !f.To.IsZero() {
		q.add("date <= $?", f.To.Time())
	}
	switch f.Kind {
	case "":
	case backup.Weekly: // whatever it was made for, a weekly archive holds it
		q.add("archived_in IS NOT NULL")
	default:
		q.add("kind = $?", f.Kind)
	}
	if f.Archive != "" {
		q.add("archived_in = $?", f.Archive)
	}
	if len(f.Proofs) > 0 {
		q.add("proof = ANY($?)", f.Proofs)
	}
	if f.JobID != "" {
		q.add("job_id = $?", f.JobID)
	}
	if f.Cursor != "" {
		p, err := parseCopyCursor(f.Cursor)
		if err != nil {
			return q, err
		}
		// The first condition alone bounds the index; the second is exact.
		q.add("database_name >= $?", p.Name)
		q.add("(database_name > $? OR (date, taken_at, id) < ($?, $?, $?::uuid))", p.Name, p.Date.Time(), p.TakenAt, p.ID)
	}
	return q, nil
}

// Copies lists copies without their manifests, by database name, and of one
// name the newest date first, and the cursor of the page after, "" when this
// is the last. Errors: ErrInvalid for a cursor that is not ours.
func (s *Store) Copies(ctx context.Context, f CopyFilter) (copies []backup.Copy, next string, err error) {
	limit := f.Limit
	if limit <= 0 {
		limit = 50
	}
	limit = min(limit, 1000)
	q, err := f.where()
	if err != nil {
		return nil, "", err
	}
	// The id of the table, not the text of it that is selected: the index has that order.
	copies, err = s.copies(ctx, q.String()+" ORDER BY database_name, date DESC, taken_at DESC, backup_inventory.id DESC LIMIT "+strconv.Itoa(limit+1), q.chosen()...)
	if err != nil {
		return nil, "", err
	}
	if len(copies) > limit {
		copies = copies[:limit]
		next = copyCursor(copies[limit-1])
	}
	return copies, next, nil
}

func (s *Store) copies(ctx context.Context, condition string, args ...any) ([]backup.Copy, error) {
	rows, err := s.db.Query(ctx, "SELECT "+copyColumns+" FROM backup_inventory"+condition, args...)
	if err != nil {
		return nil, wrapErr("list backups", err)
	}
	copies, err := pgx.CollectRows(rows, scanCopy)
	return copies, wrapErr("list backups", err)
}

// copyPlace is a place in the list of copies.
type copyPlace struct {
	Name    string      `json:"n"`
	Date    backup.Date `json:"d"`
	TakenAt time.Time   `json:"t"`
	ID      string      `json:"i"`
}

func copyCursor(c backup.Copy) string {
	b, _ := json.Marshal(copyPlace{c.DatabaseName, c.Date, c.TakenAt.UTC(), c.ID}) // cannot fail
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseCopyCursor(cursor string) (copyPlace, error) {
	var p copyPlace
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil || !isUUID(p.ID) || p.Date.IsZero() || p.Name == "" || p.TakenAt.Year() < 1 || p.TakenAt.Year() > 9999 {
		return p, backup.Errorf(backup.ErrInvalid, "the cursor is not one of ours")
	}
	return p, nil
}
