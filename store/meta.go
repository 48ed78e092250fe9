package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// MetaFormat is the version of the file that Encode writes.
const MetaFormat = 1

// maxMeta bounds what DecodeMeta reads.
const maxMeta = 1 << 30

// Meta is what lives in Postgres alone: what the bucket's manifests do not tell.
// It holds no secret in the clear: passwords and tokens as their hashes, the
// addresses of channels sealed.
type Meta struct {
	WrittenAt time.Time                  `json:"written_at"`
	Version   string                     `json:"patina_version"`
	Schema    int64                      `json:"schema"`     // the newest migration
	AuditHead AuditHead                  `json:"audit_head"` // how far the audit log had come
	Tables    map[string]json.RawMessage `json:"tables"`     // their rows, as Postgres writes them
	Copies    []CopyState                `json:"copies"`     // of every listed copy
}

// CopyState is what Postgres alone knows of a copy.
type CopyState struct {
	ID            string            `json:"id"`
	Key           string            `json:"key"`
	SHA256        string            `json:"sha256"`
	Proof         backup.ProofState `json:"proof"`
	ProvenAt      *time.Time        `json:"proven_at,omitempty"`
	ProofError    string            `json:"proof_error,omitempty"`
	Pinned        bool              `json:"pinned,omitempty"`
	QuarantinedAt *time.Time        `json:"quarantined_at,omitempty"`
	CreatedAt     time.Time         `json:"created_at"`
	ExpiresAt     *time.Time        `json:"expires_at,omitempty"`
	ExpiresReason string            `json:"expires_reason,omitempty"`
	Findings      []backup.Finding  `json:"findings,omitempty"` // the proof's beside the export's
}

// metaTable is a table whose rows are kept, and how they come back. A new table
// of which Postgres alone knows needs a line here; a column needs nothing.
type metaTable struct {
	name     string
	only     string            // which rows are kept; "" for all
	replace  map[string]string // what a column comes back as; $2 is now
	conflict string            // what happens to a row that is there already
	unless   string            // rows of m that stay away
}

// metaTables are in the order in which they come back.
var metaTables = []metaTable{
	{
		name: "databases", conflict: "(id) DO UPDATE",
		unless: "EXISTS (SELECT FROM databases d WHERE d.name = m.name AND d.id <> m.id AND d.gone_at IS NULL AND m.gone_at IS NULL)",
	},
	// What was due before now is not due again; see how a rebuild fills the ledger.
	{name: "schedules", replace: map[string]string{"created_at": "$2::timestamptz"}, conflict: "(id) DO UPDATE SET paused = excluded.paused"},
	{name: "settings", only: "key NOT IN ('" + frozenSetting + "', 'first_admin_nonce')", conflict: "DO NOTHING"},
	{name: "users", conflict: "DO NOTHING"},
	{name: "identities", conflict: "DO NOTHING", unless: "NOT EXISTS (SELECT FROM users u WHERE u.id = m.user_id)"},
	{name: "api_tokens", conflict: "DO NOTHING"},
	{name: "alert_config", conflict: "DO NOTHING"},
	{name: "alert_thresholds", conflict: "DO NOTHING"},
	{name: "alert_mutes", conflict: "DO NOTHING"},
	{ // jobs that left no manifest
		name: "backup_jobs", only: soloEnded, conflict: "DO NOTHING",
		replace: map[string]string{"river_job_id": "0", "fence": "0", "retry_of": "NULL"},
	},
	{name: "restores", only: "ended_at IS NOT NULL AND id" + ofSoloEnded, conflict: "DO NOTHING"},
	{name: "drills", only: "ended_at IS NOT NULL AND id" + ofSoloEnded, conflict: "DO NOTHING"},
	{name: "drill_results", only: "job_id" + ofSoloEnded, conflict: "DO NOTHING"},
}

const (
	soloEnded   = "kind <> 'backup' AND status NOT IN ('queued', 'running')"
	ofSoloEnded = " IN (SELECT id FROM backup_jobs WHERE " + soloEnded + ")"
)

// Meta reads all of it as it is at one moment.
func (s *Store) Meta(ctx context.Context, now time.Time, version string) (*Meta, error) {
	var tables strings.Builder
	for i, t := range metaTables {
		if i > 0 {
			tables.WriteString(", ")
		}
		only := t.only
		if only == "" {
			only = "true"
		}
		fmt.Fprintf(&tables, "'%s', (SELECT coalesce(json_agg(t), '[]') FROM (SELECT * FROM %s WHERE %s ORDER BY 1) t)", t.name, t.name, only)
	}
	m := &Meta{WrittenAt: now.UTC(), Version: version}
	var rows, copies []byte
	// One statement sees one moment.
	err := s.db.QueryRow(ctx, `SELECT json_build_object(`+tables.String()+`),
		(SELECT coalesce(json_agg(c), '[]') FROM (SELECT id, key, sha256, proof, proven_at, proof_error, pinned, quarantined_at, created_at, expires_at, expires_reason, manifest->'findings' AS findings
			FROM backup_inventory WHERE deleted_at IS NULL ORDER BY key, id) c),
		coalesce((SELECT id FROM audit_log ORDER BY id DESC LIMIT 1), 0), coalesce((SELECT encode(hash, 'hex') FROM audit_log ORDER BY id DESC LIMIT 1), ''),
		(SELECT max(version_id) FROM goose_db_version WHERE is_applied)`).Scan(&rows, &copies, &m.AuditHead.ID, &m.AuditHead.Hash, &m.Schema)
	if err != nil {
		return nil, wrapErr("read what is to be kept beside the backups", err)
	}
	if err := json.Unmarshal(rows, &m.Tables); err != nil {
		return nil, fmt.Errorf("read what is to be kept beside the backups: %w", err)
	}
	if err := json.Unmarshal(copies, &m.Copies); err != nil {
		return nil, fmt.Errorf("read what is to be kept beside the backups: %w", err)
	}
	return m, nil
}

// metaFile is a Meta as it is stored, with a hash that tells whether it was
// changed.
type metaFile struct {
	About  string          `json:"about"`
	Format int             `json:"format"`
	SHA256 string          `json:"sha256"` // of the state without its white space
	State  json.RawMessage `json:"state"`
}

const aboutMeta = "What Patina knows of this bucket beyond its manifests; patina rebuild reads it."

// Encode writes it as JSON, ending in a newline.
func (m *Meta) Encode() ([]byte, error) {
	state, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode the settings: %w", err)
	}
	// As it will be read back: a raw row may have had white space of its own.
	sum := sha256.Sum256(state)
	b, err := json.MarshalIndent(metaFile{aboutMeta, MetaFormat, hex.EncodeToString(sum[:]), state}, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode the settings: %w", err)
	}
	return append(b, '\n'), nil
}

// DecodeMeta reads what Encode wrote. It refuses as ErrCorrupt what is not as it
// was written, and a format newer than this program's.
func DecodeMeta(r io.Reader) (*Meta, error) {
	var f metaFile
	if err := json.NewDecoder(io.LimitReader(r, maxMeta)).Decode(&f); err != nil {
		return nil, &backup.Error{Kind: backup.ErrCorrupt, Message: "the settings cannot be read", Err: err}
	}
	if f.Format < 1 || f.Format > MetaFormat {
		return nil, backup.Errorf(backup.ErrCorrupt, "the settings are of format %d, and this program reads format %d", f.Format, MetaFormat)
	}
	var state bytes.Buffer
	if err := json.Compact(&state, f.State); err != nil {
		return nil, &backup.Error{Kind: backup.ErrCorrupt, Message: "the settings cannot be read", Err: err}
	}
	if sum := sha256.Sum256(state.Bytes()); hex.EncodeToString(sum[:]) != f.SHA256 {
		return nil, backup.Errorf(backup.ErrCorrupt, "the settings are not as they were written: their hash is another")
	}
	var m Meta
	if err := json.Unmarshal(state.Bytes(), &m); err != nil {
		return nil, &backup.Error{Kind: backup.ErrCorrupt, Message: "the settings cannot be read", Err: err}
	}
	return &m, nil
}

// MetaRows counts the rows of one table.
type MetaRows struct {
	Kept     int `json:"kept"`     // in the file
	Restored int `json:"restored"` // that came back; the others were there already, or their name is taken
}

// RestoreMeta writes the tables of m back, and gives what became of each. Rows
// that are there already stay, but for the registry, where m is right. What is
// known of the copies is the caller's to enter.
func (s *Store) RestoreMeta(ctx context.Context, m *Meta, now time.Time) (map[string]MetaRows, error) {
	out := map[string]MetaRows{}
	for _, t := range metaTables {
		rows := m.Tables[t.name]
		if len(rows) == 0 {
			continue
		}
		n, err := s.restoreTable(ctx, t, rows, now)
		if err != nil {
			return nil, wrapErr("restore the table "+t.name, err)
		}
		out[t.name] = n
	}
	return out, nil
}

func (s *Store) restoreTable(ctx context.Context, t metaTable, rows json.RawMessage, now time.Time) (MetaRows, error) {
	var list []map[string]json.RawMessage
	if err := json.Unmarshal(rows, &list); err != nil {
		return MetaRows{}, &backup.Error{Kind: backup.ErrCorrupt, Message: "the kept rows of " + t.name + " cannot be read", Err: err}
	}
	n := MetaRows{Kept: len(list)}
	if n.Kept == 0 {
		return n, nil
	}
	var columns []string
	err := s.db.QueryRow(ctx, `SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`, t.name).Scan(&columns)
	if err != nil {
		return n, err
	}
	// A column that is newer than the file has its default.
	columns = slices.DeleteFunc(columns, func(c string) bool { return list[0][c] == nil })
	values := make([]string, len(columns))
	var update []string
	for i, c := range columns {
		if values[i] = t.replace[c]; values[i] == "" {
			values[i] = "m." + c
		}
		update = append(update, c+" = excluded."+c)
	}
	conflict, unless := t.conflict, t.unless
	if conflict == "(id) DO UPDATE" {
		conflict += " SET " + strings.Join(update, ", ")
	}
	if unless == "" {
		unless = "false"
	}
	tag, err := s.db.Exec(ctx, fmt.Sprintf(`INSERT INTO %[1]s (%[2]s) SELECT %[3]s FROM json_populate_recordset(NULL::%[1]s, $1::json) m
		WHERE NOT (%[4]s) AND $2::timestamptz IS NOT NULL ON CONFLICT %[5]s`,
		t.name, strings.Join(columns, ", "), strings.Join(values, ", "), unless, conflict), string(rows), now)
	n.Restored = int(tag.RowsAffected())
	return n, err
}
