package backup

import (
	"encoding/json"
	"io"
	"time"
)

// ManifestFormat is the version of the manifest that this program writes.
const ManifestFormat = 1

// Manifest describes one stored dump: everything the catalogue needs, so that
// the bucket alone can rebuild it. It lies beside the object as <key>.json.
type Manifest struct {
	Format         int         `json:"format"`
	Kind           CopyKind    `json:"kind"`
	DatabaseID     string      `json:"database_id"`
	DatabaseName   string      `json:"database_name"`
	CopyID         string      `json:"copy_id"`
	JobID          string      `json:"job_id,omitempty"`
	ResultID       string      `json:"result_id,omitempty"`
	Trigger        Trigger     `json:"trigger,omitempty"`
	Date           Date        `json:"date"`
	StartedAt      time.Time   `json:"started_at"`
	CompletedAt    time.Time   `json:"completed_at"`
	Consistency    Consistency `json:"consistency"`
	BookmarkBefore string      `json:"bookmark_before,omitempty"`
	BookmarkAfter  string      `json:"bookmark_after,omitempty"`
	Key            string      `json:"key"`
	Size           int64       `json:"size_bytes"`       // stored bytes
	SHA256         string      `json:"sha256"`           // of the stored bytes
	SQLSize        int64       `json:"sql_bytes"`        // of the dump before compression
	SQLSHA256      string      `json:"sql_sha256"`       // of the dump before compression
	BodySize       int64       `json:"body_bytes"`       // of the dump's body
	BodySHA256     string      `json:"body_sha256"`      // of the dump's body
	Compression    Compression `json:"compression"`      //
	TableCount     int         `json:"tables"`           //
	Rows           int64       `json:"rows"`             //
	Sections       []Section   `json:"contents"`         // in the order of the dump
	ForeignKeys    int64       `json:"foreign_key_rows"` // rows of foreign_key_check at the source; -1 where it was not asked in the same transaction
	Findings       []Finding   `json:"findings,omitempty"`
	Redactions     []string    `json:"redactions,omitempty"` // table.column → rule
	Cost           Cost        `json:"cost"`
	Version        string      `json:"patina_version"`
	Rebuilt        bool        `json:"rebuilt,omitempty"` // made again from the object, the original having been lost
}

// Section is one entry of a dump's table of contents: a table's own part, from
// its "-- table:" line to the last of its statements, or a part that belongs to
// no one table (sequences, indexes, views, triggers, statistics).
type Section struct {
	Name         string `json:"name"`                    // the table, or the part's name
	Kind         string `json:"kind"`                    // "table", "virtual" or "schema"
	Offset       int64  `json:"offset"`                  // bytes from the start of the SQL
	Length       int64  `json:"length"`                  // bytes of SQL
	Rows         int64  `json:"rows"`                    //
	SHA256       string `json:"sha256"`                  // of those bytes
	StoredOffset int64  `json:"stored_offset,omitempty"` // with gzip: where the member begins
	StoredLength int64  `json:"stored_length,omitempty"` // with gzip: the member's length
}

// Finding is something about a copy that a person should know although the
// copy was made: what cannot be restored, or not into D1.
type Finding struct {
	Code    string `json:"code"`              // e.g. "fts5-contentless"
	Object  string `json:"object,omitempty"`  // the table, index, view or trigger
	Message string `json:"message"`           // in words
	Serious bool   `json:"serious,omitempty"` // something is missing from the copy
}

// Encode writes the manifest as indented JSON, ending in a newline. It refuses
// one that DecodeManifest would.
func (m *Manifest) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	if err == nil && len(b) >= MaxManifest {
		return nil, Errorf(ErrInvalid, "the manifest would be longer than %d bytes", MaxManifest)
	}
	return append(b, '\n'), err
}

// MaxManifest bounds what DecodeManifest reads: 32 MiB is a database of some
// 100,000 tables.
const MaxManifest = 32 << 20

// DecodeManifest reads a manifest of at most MaxManifest bytes. It refuses, as
// ErrCorrupt, what is not one, and a format newer than this program's.
func DecodeManifest(r io.Reader) (*Manifest, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxManifest+1))
	if err != nil {
		kind := Kind(err)
		if kind == nil {
			kind = ErrUnavailable
		}
		return nil, &Error{Kind: kind, Message: "the manifest cannot be read", Err: err}
	}
	if len(text) > MaxManifest {
		return nil, Errorf(ErrCorrupt, "the manifest is longer than %d bytes", MaxManifest)
	}
	if swollen(text) {
		return nil, Errorf(ErrCorrupt, "the manifest holds more values than a manifest of its length can")
	}
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, &Error{Kind: ErrCorrupt, Message: "the manifest cannot be read", Err: err}
	}
	if m.Format < 1 || m.Format > ManifestFormat {
		return nil, Errorf(ErrCorrupt, "the manifest is of format %d, and this program reads format %d", m.Format, ManifestFormat)
	}
	if !m.Kind.Valid() || m.DatabaseName == "" || m.Key == "" || m.SHA256 == "" {
		return nil, Errorf(ErrCorrupt, "the manifest lacks its kind, database, key or hash")
	}
	return &m, nil
}

// swollen tells whether a text of JSON has far more objects or elements than
// Encode would write in its length: a section takes 150 bytes of text, and as
// many in memory, where "{}" would take them too.
func swollen(text []byte) bool {
	objects, commas := 0, 0
	inString := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{':
			objects++
		case c == ',':
			commas++
		}
	}
	return objects > 100+len(text)/100 || commas > 1000+len(text)/8
}
