package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/AutumnsGrove/Patina/backup"
)

// auditLock is the advisory lock under which one row is chained to another.
const auditLock = int64(0x706174696e610003)

// AuditEntry is one line of the audit log: who did what to what, and how it
// came out. Each carries the hash of the one before, so that none can be
// changed or taken out without a trace.
type AuditEntry struct {
	ID        int64 // 1, 2, 3 …
	At        time.Time
	Actor     string
	Action    string
	Target    string
	Outcome   string
	Reason    string
	IP        string
	UserAgent string
	RequestID string
	Previous  []byte // hash of the entry before; 32 zero bytes in the first
	Hash      []byte // SHA-256 over Previous and every field above
}

const auditColumns = "id, at, actor, action, target, outcome, reason, ip, user_agent, request_id, previous, hash"

func scanAudit(row pgx.CollectableRow) (AuditEntry, error) {
	var e AuditEntry
	err := row.Scan(&e.ID, &e.At, &e.Actor, &e.Action, &e.Target, &e.Outcome, &e.Reason, &e.IP, &e.UserAgent, &e.RequestID, &e.Previous, &e.Hash)
	return e, err
}

// AuditHead names the newest entry; kept elsewhere, it shows whether the log
// was cut since.
type AuditHead struct {
	ID   int64  `json:"id"` // 0 of an empty log
	Hash string `json:"hash"`
}

// sum gives the entry's hash: over the hash before it and each field with its
// length in front, so that no two entries spell the same bytes.
func (e AuditEntry) sum() []byte {
	h := sha256.New()
	field := func(b []byte) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	field(e.Previous)
	for _, f := range []string{
		strconv.FormatInt(e.ID, 10), e.At.UTC().Format(time.RFC3339Nano),
		e.Actor, e.Action, e.Target, e.Outcome, e.Reason, e.IP, e.UserAgent, e.RequestID,
	} {
		field([]byte(f))
	}
	return h.Sum(nil)
}

// AppendAudit adds an entry to the log and gives it as it was written: its ID
// and hashes are set here, times are kept to the microsecond, and text that
// Postgres cannot hold is made so that it can. Entries are chained one after
// another: in a transaction, others wait for its end, so append last.
func (s *Store) AppendAudit(ctx context.Context, e AuditEntry) (AuditEntry, error) {
	e.At = e.At.UTC().Truncate(time.Microsecond)
	for _, f := range []*string{&e.Actor, &e.Action, &e.Target, &e.Outcome, &e.Reason, &e.IP, &e.UserAgent, &e.RequestID} {
		*f = storable(*f)
	}
	err := s.InTx(ctx, func(tx pgx.Tx, _ *Store) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", auditLock); err != nil {
			return err
		}
		var last int64
		e.Previous = make([]byte, sha256.Size)
		err := tx.QueryRow(ctx, "SELECT id, hash FROM audit_log ORDER BY id DESC LIMIT 1").Scan(&last, &e.Previous)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		e.ID = last + 1
		e.Hash = e.sum()
		_, err = tx.Exec(ctx, "INSERT INTO audit_log ("+auditColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
			e.ID, e.At, e.Actor, e.Action, e.Target, e.Outcome, e.Reason, e.IP, e.UserAgent, e.RequestID, e.Previous, e.Hash)
		return err
	})
	return e, wrapErr("write to the audit log", err)
}

// AuditFilter chooses entries; zero fields choose all.
type AuditFilter struct {
	Actor, Action, Target, Outcome string
	About                          string    // what the target or the reason holds, whatever its case
	From, To                       time.Time // From included, To not
	Limit                          int       // 100 when zero, at most 1000
	Cursor                         string    // the next of the answer before; "" for the first page
}

// Audit lists entries, the newest first, and the cursor of the page after, ""
// when this is the last. Errors: ErrInvalid for a cursor that is not ours.
func (s *Store) Audit(ctx context.Context, f AuditFilter) (entries []AuditEntry, next string, err error) {
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, 1000)
	var q where
	for _, c := range [][2]string{{"actor", f.Actor}, {"action", f.Action}, {"target", f.Target}, {"outcome", f.Outcome}} {
		if c[1] != "" {
			q.add(c[0]+" = $?", c[1])
		}
	}
	if f.About != "" {
		q.add("position(lower($?) in lower(target || E'\n' || reason)) > 0", f.About)
	}
	if !f.From.IsZero() {
		q.add("at >= $?", f.From)
	}
	if !f.To.IsZero() {
		q.add("at < $?", f.To)
	}
	if f.Cursor != "" {
		id, err := parseAuditCursor(f.Cursor)
		if err != nil {
			return nil, "", err
		}
		q.add("id < $?", id)
	}
	rows, err := s.db.Query(ctx, "SELECT "+auditColumns+" FROM audit_log"+q.String()+" ORDER BY id DESC LIMIT "+strconv.Itoa(limit+1), q.chosen()...)
	if err != nil {
		return nil, "", wrapErr("read the audit log", err)
	}
	entries, err = pgx.CollectRows(rows, scanAudit)
	if err != nil {
		return nil, "", wrapErr("read the audit log", err)
	}
	if len(entries) > limit {
		entries = entries[:limit]
		next = base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "a%d", entries[limit-1].ID))
	}
	return entries, next, nil
}

// AuditActions lists every action that is on record, in order. It steps from
// one to the next in their index, however long the log is.
func (s *Store) AuditActions(ctx context.Context) ([]string, error) {
	rows, err := s.db.Query(ctx, `WITH RECURSIVE a AS (
		SELECT min(action) AS action FROM audit_log
		UNION ALL SELECT (SELECT min(l.action) FROM audit_log l WHERE l.action > a.action) FROM a WHERE a.action IS NOT NULL
	) SELECT action FROM a WHERE action IS NOT NULL`)
	if err != nil {
		return nil, wrapErr("read the audit log", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return list, wrapErr("read the audit log", err)
}

func parseAuditCursor(c string) (int64, error) {
	b, err := base64.RawURLEncoding.DecodeString(c)
	digits, ok := strings.CutPrefix(string(b), "a")
	id, err2 := strconv.ParseInt(digits, 10, 64)
	if err != nil || err2 != nil || !ok || id < 1 {
		return 0, backup.Errorf(backup.ErrInvalid, "the cursor is not one of ours")
	}
	return id, nil
}

// AuditHead names the newest entry.
func (s *Store) AuditHead(ctx context.Context) (AuditHead, error) {
	var h AuditHead
	err := s.db.QueryRow(ctx, "SELECT id, encode(hash, 'hex') FROM audit_log ORDER BY id DESC LIMIT 1").Scan(&h.ID, &h.Hash)
	if errors.Is(err, pgx.ErrNoRows) {
		return AuditHead{}, nil
	}
	return h, wrapErr("read the audit log", err)
}

// AuditBegan tells when a rebuild began the log anew: heads that were kept
// elsewhere before are of another one. Zero where none did.
func (s *Store) AuditBegan(ctx context.Context) (time.Time, error) {
	var at time.Time
	err := s.db.QueryRow(ctx, "SELECT at FROM audit_log WHERE action = $1 ORDER BY id DESC LIMIT 1", RebuildAction).Scan(&at)
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, nil
	}
	return at, wrapErr("read the audit log", err)
}

// VerifyAudit reads the whole log and gives its head when it is unbroken and
// still holds every head of known, which were kept elsewhere. Errors:
// ErrCorrupt, naming the first entry that is not as it was written.
func (s *Store) VerifyAudit(ctx context.Context, known ...AuditHead) (AuditHead, error) {
	want := map[int64]string{}
	for _, k := range known {
		if k.ID > 0 {
			want[k.ID] = k.Hash
		}
	}
	rows, err := s.db.Query(ctx, "SELECT "+auditColumns+" FROM audit_log ORDER BY id")
	if err != nil {
		return AuditHead{}, wrapErr("read the audit log", err)
	}
	defer rows.Close()
	var last int64
	previous := make([]byte, sha256.Size)
	for rows.Next() {
		e, err := scanAudit(rows)
		if err != nil {
			return AuditHead{}, wrapErr("read the audit log", err)
		}
		switch {
		case e.ID != last+1:
			return AuditHead{}, auditBroken("entries %d to %d were taken out", last+1, e.ID-1)
		case !bytes.Equal(e.Previous, previous):
			return AuditHead{}, auditBroken("entry %d does not follow the one before it", e.ID)
		case !bytes.Equal(e.Hash, e.sum()):
			return AuditHead{}, auditBroken("entry %d was changed", e.ID)
		}
		if hash, ok := want[e.ID]; ok && hash != hex.EncodeToString(e.Hash) {
			return AuditHead{}, auditBroken("the log up to entry %d is not the one that was written", e.ID)
		}
		delete(want, e.ID)
		last, previous = e.ID, e.Hash
	}
	if err := rows.Err(); err != nil {
		return AuditHead{}, wrapErr("read the audit log", err)
	}
	for id := range want {
		return AuditHead{}, auditBroken("the log ends at entry %d, and entry %d had been written", last, id)
	}
	if last == 0 {
		return AuditHead{}, nil
	}
	return AuditHead{last, hex.EncodeToString(previous)}, nil
}

func auditBroken(format string, args ...any) error {
	return &backup.Error{
		Kind: backup.ErrCorrupt, Message: "the audit log was tampered with: " + fmt.Sprintf(format, args...),
		Next: "Find out who can write to Postgres; the heads in meta/ tell until when the log was whole.",
	}
}
