package backup

import (
	"encoding/json"
	"io"
	"time"
)

// Location says where a copy's bytes are read.
type Location string

// The locations.
const (
	InObject  Location = "object"  // under the copy's own key
	InArchive Location = "archive" // out of the weekly archive that holds it
)

// Archived says where in a weekly archive a copy lies; zero where no verified
// archive holds it.
type Archived struct {
	Week   string // 2026-W48
	Name   string // of the file in the archive: 2026-11-23/groveauth.sql
	Offset int64  // of its gzip bytes within the archive
	Length int64  // of them
}

// Archive is one weekly archive: a row of archives. It is there from the moment
// it was read back and found whole.
type Archive struct {
	Week          string // ISO year and week: 2026-W48
	Key           string
	Size          int64
	SHA256        string
	From, To      Date // the seven UTC dates, both included
	Members       int
	Missing       []ArchiveGap // dates of databases that it holds no copy of
	JobID         string
	CreatedAt     time.Time
	VerifiedAt    time.Time
	ExpiresAt     *time.Time // nil: kept until something else decides
	ExpiresReason string
	DeletedAt     *time.Time
	QuarantinedAt *time.Time // found damaged: what of it is whole can be read, and nothing relies on it
}

// ArchiveFormat is the version of the archive's manifest that this program writes.
const ArchiveFormat = 1

// ArchiveManifest describes one weekly archive, so that the bucket alone can
// rebuild the catalogue and any member is one range request away. It lies
// beside the archive as <key>.json.
type ArchiveManifest struct {
	Format  int             `json:"format"`
	Week    string          `json:"week"`
	From    Date            `json:"from"`
	To      Date            `json:"to"`
	Key     string          `json:"key"`
	Size    int64           `json:"size_bytes"`
	SHA256  string          `json:"sha256"`
	Members []ArchiveMember `json:"members"`           // in the order of the archive
	Missing []ArchiveGap    `json:"missing,omitempty"` // dates without a copy
}

// ArchiveMember is one dump in an archive. Its gzip bytes unpack to the SQL;
// where the copy was stored with gzip, they are the copy's own bytes.
type ArchiveMember struct {
	Name           string          `json:"name"` // 2026-11-23/groveauth.sql
	Date           Date            `json:"date"`
	Kind           CopyKind        `json:"kind"`
	DatabaseID     string          `json:"database_id"`
	DatabaseName   string          `json:"database_name"`
	CopyID         string          `json:"copy_id"`
	CopyKey        string          `json:"copy_key"`    // where the copy lay as an object
	Compression    Compression     `json:"compression"` // of the copy as it was stored
	Size           int64           `json:"size_bytes"`  // of the copy as it was stored
	SHA256         string          `json:"sha256"`      // of the copy as it was stored
	SQLSize        int64           `json:"sql_bytes"`
	SQLSHA256      string          `json:"sql_sha256"`
	BodySHA256     string          `json:"body_sha256"`
	Offset         int64           `json:"offset"`      // of its gzip bytes within the archive
	Length         int64           `json:"length"`      // of them
	GzipSHA256     string          `json:"gzip_sha256"` // of them
	ManifestOffset int64           `json:"manifest_offset"`
	ManifestLength int64           `json:"manifest_length"`
	ManifestSHA256 string          `json:"manifest_sha256"`    // of the copy's manifest as it lies in the archive, unpacked
	Manifest       json.RawMessage `json:"manifest,omitempty"` // the copy's
}

// ArchiveGap is a date of a database that an archive holds no copy of.
type ArchiveGap struct {
	Date         Date   `json:"date"`
	DatabaseID   string `json:"database_id"`
	DatabaseName string `json:"database_name"`
	Reason       string `json:"reason"` // in words
}

// Encode writes the manifest as indented JSON, ending in a newline.
func (m *ArchiveManifest) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", " ")
	return append(b, '\n'), err
}

// MaxArchiveManifest bounds what DecodeArchiveManifest reads.
const MaxArchiveManifest = 512 << 20

// DecodeArchiveManifest reads an archive's manifest. It refuses, as ErrCorrupt,
// what is not one, and a format newer than this program's.
func DecodeArchiveManifest(r io.Reader) (*ArchiveManifest, error) {
	var m ArchiveManifest
	if err := json.NewDecoder(io.LimitReader(r, MaxArchiveManifest)).Decode(&m); err != nil {
		return nil, &Error{Kind: ErrCorrupt, Message: "the archive's manifest cannot be read", Err: err}
	}
	if m.Format < 1 || m.Format > ArchiveFormat {
		return nil, Errorf(ErrCorrupt, "the archive's manifest is of format %d, and this program reads format %d", m.Format, ArchiveFormat)
	}
	if m.Week == "" || m.Key == "" || m.SHA256 == "" {
		return nil, Errorf(ErrCorrupt, "the archive's manifest lacks its week, key or hash")
	}
	return &m, nil
}
