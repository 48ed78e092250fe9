package dump

import "io"

// ReaderOptions bounds a Reader.
type ReaderOptions struct {
	MaxStatement int // bytes; 0 means MaxStatement
}

// StatementKind is what a statement does.
type StatementKind uint8

// The kinds of statement.
const (
	Other StatementKind = iota
	Framing
	CreateTable
	CreateVirtualTable
	CreateIndex
	CreateView
	CreateTrigger
	Insert
	Update
	Delete
	DropTable
	Drop
	Analyze
	Pragma
)

// Statement is one statement of a dump.
type Statement struct {
	SQL     []byte // with its ";"; valid until the next call of Next
	Kind    StatementKind
	Section string // the section's name; "" outside of sections
	Table   string // the table it acts on: the target of INSERT, the ON of an index or trigger
	Name    string // the name of what is created or dropped
	Stage   bool   // it makes, fills, empties or drops the staging table
	Offset  int64  // of its first byte in the dump
}

// Reader reads one dump.
type Reader struct{}

// NewReader reads a dump from r.
func NewReader(r io.Reader, opt ReaderOptions) *Reader { return &Reader{} }

// Header reads the header.
func (r *Reader) Header() (Header, error) { return Header{}, nil }

// Next gives the next statement, and io.EOF only after a valid footer with nothing behind it.
func (r *Reader) Next() (Statement, error) { return Statement{}, io.EOF }

// Contents gives the table of contents, after io.EOF.
func (r *Reader) Contents() Contents { return Contents{} }

// Verify reads a dump to its end.
func Verify(r io.Reader) (Header, Contents, error) { return Header{}, Contents{}, nil }

// ForD1 writes the dump as D1's importer takes it.
func ForD1(w io.Writer, r io.Reader) error { return nil }

// Allowed refuses every statement that no Writer makes.
func Allowed(s Statement) error { return nil }

// Finding is something about a dump that D1 would not take.
type Finding struct {
	Code    string
	Object  string
	Message string
	Offset  int64
}

// Lint checks a dump against D1's limits.
func Lint(r io.Reader) ([]Finding, error) { return nil, nil }
