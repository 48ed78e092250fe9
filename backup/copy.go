package backup

import (
	"fmt"
	"time"
)

// Date is a UTC calendar date, printed as 2006-01-02. The zero Date is no date.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// DateOf gives the UTC date of t.
func DateOf(t time.Time) Date {
	y, m, d := t.UTC().Date()
	return Date{y, m, d}
}

// ParseDate reads a date written exactly as 2006-01-02, and that exists.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Format(time.DateOnly) != s || t.Year() < 1 {
		return Date{}, Errorf(ErrInvalid, "%q is not a date of the form YYYY-MM-DD", s)
	}
	return DateOf(t), nil
}

// IsZero tells whether d is no date.
func (d Date) IsZero() bool { return d == Date{} }

// Time gives midnight UTC at the start of d.
func (d Date) Time() time.Time { return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC) }

// AddDays gives the date n days later.
func (d Date) AddDays(n int) Date { return DateOf(d.Time().AddDate(0, 0, n)) }

// String prints 2006-01-02, or "" for the zero Date.
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return fmt.Sprintf("%04d-%02d-%02d", d.Year, int(d.Month), d.Day)
}

// MarshalText implements encoding.TextMarshaler.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; "" is the zero Date.
func (d *Date) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*d = Date{}
		return nil
	}
	v, err := ParseDate(string(b))
	*d = v
	return err
}

// CopyKind says why a copy was made, and so where it lies and how long it stays.
type CopyKind string

// The kinds of copy.
const (
	Daily  CopyKind = "daily"  // scheduled: one a database and date
	Manual CopyKind = "manual" // on demand
	Weekly CopyKind = "weekly" // a member of a weekly archive
	Safety CopyKind = "safety" // what a database held just before a restore in place
	Kept   CopyKind = "kept"   // taken out of an expiring archive
)

// Valid tells whether k is one of the kinds.
func (k CopyKind) Valid() bool {
	switch k {
	case Daily, Manual, Weekly, Safety, Kept:
		return true
	}
	return false
}

// Consistency says what a copy's rows have in common.
type Consistency string

// The three labels, strongest first.
const (
	Snapshot Consistency = "snapshot" // one transaction
	Quiet    Consistency = "quiet"    // many requests, the bookmarks before and after equal
	Fuzzy    Consistency = "fuzzy"    // many requests while others wrote
)

// ProofState says whether a copy was restored and found equal.
type ProofState string

// The proof states.
const (
	ProofPending ProofState = "pending"
	ProofProven  ProofState = "proven"
	ProofSuspect ProofState = "suspect"
)

// Copy is one stored dump of one database: a row of backup_inventory. It is
// listed if and only if its object exists with this size and SHA-256.
type Copy struct {
	ID             string // UUIDv7
	ResultID       string // "" for a copy found in the bucket
	JobID          string
	DatabaseID     string
	DatabaseName   string
	Kind           CopyKind
	Date           Date
	TakenAt        time.Time
	Key            string
	Size           int64  // stored bytes
	SHA256         string // of the stored bytes, hex
	BodySHA256     string // of the dump's body, hex: equal means nothing changed
	Tables         int
	Rows           int64
	Consistency    Consistency
	BookmarkBefore string // Time Travel bookmarks; "" where there are none
	BookmarkAfter  string
	Compression    Compression
	Redactions     []string // what it leaves out, as its manifest says it
	Proof          ProofState
	ProvenAt       *time.Time
	ProofError     string
	Pinned         bool
	QuarantinedAt  *time.Time
	CreatedAt      time.Time
	ExpiresAt      *time.Time // nil: kept until something else decides
	ExpiresReason  string
	DeletedAt      *time.Time
	Archived       Archived  // the weekly archive that holds it, alone or too
	ObjectGone     bool      // its own object is gone or going: it is read out of the archive
	Manifest       *Manifest // nil where a query did not ask for it
}

// Location says where the copy's bytes are read.
func (c *Copy) Location() Location {
	if c.ObjectGone {
		return InArchive
	}
	return InObject
}

// Compression is how a dump's bytes are stored.
type Compression string

// The compressions.
const (
	Plain Compression = "none"
	Gzip  Compression = "gzip"
)
