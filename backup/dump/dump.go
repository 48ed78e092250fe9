// Package dump owns the SQL dump: its text, byte for byte, and the reading of
// it. A Writer turns a schema and rows into a dump; a Reader takes one apart,
// statement by statement, and vouches for it at the end. Around them lie the
// table of contents, the lexer, the linter for D1's limits, the form that D1's
// importer takes, one table by itself, and the comparison of two dumps.
//
// It talks to no database and no bucket, executes nothing (not even to find
// where a statement ends), and imports only the standard library.
//
// # The text
//
// The header is the comment lines at the top, through "-- tables: …". The body
// follows, from "PRAGMA foreign_keys=OFF;" through "PRAGMA foreign_keys=ON;".
// The footer is three or more comment lines after it, and ends the file. The
// same data gives the same body; times, jobs and bookmarks are in the header
// and the footer alone.
package dump

import (
	"errors"
	"fmt"
	"time"
)

// Version is the version of the format that this package writes and reads.
const Version = 1

// MaxD1Statement is the longest statement, in bytes, that D1 takes; the Writer
// keeps each row within it.
const MaxD1Statement = 100_000

// MaxStatement is the longest statement, in bytes, that the Writer makes and
// that the Reader accepts unless told otherwise.
const MaxStatement = 4 << 20

// The kinds of error, found by errors.Is.
var (
	// ErrCorrupt is what the Reader gives for anything that is not a whole,
	// unchanged dump.
	ErrCorrupt = errors.New("corrupt dump")
	// ErrTruncated is an ErrCorrupt: the text ends too early.
	ErrTruncated = fmt.Errorf("%w: truncated", ErrCorrupt)
	// ErrVersion is an ErrCorrupt: a dump of a format this package does not read.
	ErrVersion = fmt.Errorf("%w: unknown version", ErrCorrupt)
	// ErrInvalid is what the Writer gives for a value, name or order of calls
	// that no dump can hold.
	ErrInvalid = errors.New("invalid")
	// ErrRefused is what Allowed gives for a statement that no Writer makes.
	ErrRefused = errors.New("refused statement")
)

// Header is what a dump says of itself at its top.
type Header struct {
	Database    string    // any text; made inert on its line, given back exactly
	DatabaseID  string    // "" for a local file
	JobID       string    // "" where no job made it
	TakenAt     time.Time // UTC, whole seconds
	Consistency string    // "" : the footer says
	Bookmark    string    // Time Travel bookmark before the first row; "" : the footer says
	Redactions  []string  // a line each; none for a whole copy
}

// Footer is what is known only when the last row was written.
type Footer struct {
	Consistency   string
	BookmarkAfter string        // "" where there is none
	Duration      time.Duration // written in whole milliseconds
}

// Table says how a table's part of the dump is written.
type Table struct {
	Name       string
	SQL        string   // the CREATE text as in sqlite_schema, without ";"; "" for sqlite_ tables
	Columns    []string // of the INSERT, in order, without the rowid
	Rowid      bool     // the first value of each row is the rowid: INSERT INTO t(rowid, …)
	RowidName  string   // rowid, _rowid_ or oid, whichever no column hides; "" means rowid
	AllColumns bool     // Columns are all that an INSERT can take: INSERT INTO t VALUES(…)
	Virtual    bool     // a virtual table
}

// Section is one entry of the table of contents: a table's part of the dump,
// from its marker line ("-- table: …") to the byte before the next marker, or
// a part that belongs to no one table.
type Section struct {
	Name   string
	Kind   string // "table", "virtual" or "schema"
	Offset int64  // bytes from the start of the dump
	Length int64  // bytes
	Rows   int64
	SHA256 string // of those bytes, lower-case hex
}

// The kinds of section.
const (
	KindTable   = "table"
	KindVirtual = "virtual"
	KindSchema  = "schema"
)

// Contents is a dump's table of contents and its measures. The Reader gives
// the same as the Writer did.
type Contents struct {
	Sections   []Section
	Tables     int    // sections of kind table and virtual
	Rows       int64  // the sum of the sections' rows
	Size       int64  // bytes of the dump
	BodySize   int64  // bytes of its body
	SHA256     string // of the whole dump, lower-case hex
	BodySHA256 string // of the body
	Footer     Footer
}

// wrap makes an error of a kind with words of its own.
func wrap(kind error, format string, args ...any) error {
	return fmt.Errorf("%w: %s", kind, fmt.Sprintf(format, args...))
}
