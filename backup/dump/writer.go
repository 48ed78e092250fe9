package dump

import "io"

// Writer writes one dump.
type Writer struct{}

// NewWriter starts a dump on w.
func NewWriter(w io.Writer, h Header) *Writer { return &Writer{} }

// Reserve tells the names of the database's tables, indexes, views and triggers, which the staging table's name must not meet.
func (w *Writer) Reserve(names ...string) {}

// BeginTable begins a table's section.
func (w *Writer) BeginTable(t Table) error { return nil }

// Row writes one row of the open table.
func (w *Writer) Row(values []Value) error { return nil }

// EndTable ends the table.
func (w *Writer) EndTable() error { return nil }

// BeginPart begins a section that belongs to no one table: sequences, indexes, views, triggers, statistics, fts.
func (w *Writer) BeginPart(name string) error { return nil }

// Statement writes one statement of the open part, as sqlite_schema holds it.
func (w *Writer) Statement(sql string) error { return nil }

// Comment writes a comment of one line.
func (w *Writer) Comment(text string) error { return nil }

// EndPart ends the part.
func (w *Writer) EndPart() error { return nil }

// Finish writes the footer and gives the table of contents.
func (w *Writer) Finish(f Footer) (Contents, error) { return Contents{}, nil }

// Progress tells the table being written, and the rows and bytes so far.
func (w *Writer) Progress() (table string, rows, bytes int64) { return "", 0, 0 }
