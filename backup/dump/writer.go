package dump

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Writer writes one dump. Its methods are called by one goroutine, in order:
// tables and parts, one at a time, and Finish at the end; Progress alone may be
// called from any. After an error every method gives that error.
type Writer struct {
	stream
	reserved map[string]struct{} // names in lower case
	sequence bool                // sqlite_sequence exists in what was written
	lint     *Linter
	err      error

	part       bool   // a part is open
	open       bool   // a table is open
	table      Table  // the open one
	insert     []byte // up to "VALUES(" for the open table
	width      int    // values in a row of it
	stageTable string // quoted; "" while the section has none
}

// Cutter may be implemented by the io.Writer that a Writer writes to. Cut is
// called between the bytes before a section and those of it, and once more
// behind the last section: where a gzip member may end and the next begin.
type Cutter interface {
	Cut() error
}

// NewWriter starts a dump on w. Up to 4 MiB of the body are held back, so that
// the header of a small dump states its tables and rows; that of a larger one
// says that the footer does.
func NewWriter(w io.Writer, h Header) *Writer {
	h.Redactions = slices.Clone(h.Redactions)
	d := &Writer{reserved: map[string]struct{}{}, lint: NewLinter()}
	d.start(w, h)
	d.err = checkHeader(h)
	d.buf = append(d.buf, foreignKeysOff+"\n"+begin+"\n"...)
	return d
}

// Reserve tells the names of the database's tables, indexes, views and
// triggers, none of which the staging table will bear.
func (w *Writer) Reserve(names ...string) {
	for _, name := range names {
		w.reserved[strings.ToLower(name)] = struct{}{}
	}
}

// fail keeps the first error and gives it.
func (w *Writer) fail(format string, args ...any) error {
	if w.err == nil {
		w.err = fmt.Errorf("dump: "+format, args...)
	}
	return w.err
}

// keep is fail for an error from below.
func (w *Writer) keep(err error) error {
	if err != nil && w.err == nil {
		w.err = err
	}
	return w.err
}

// BeginTable begins a table's section: its marker, its DROP TABLE IF EXISTS
// and its CREATE. SQLite's own sqlite_sequence and sqlite_stat1 are emptied
// instead; they may also be begun within a part, whose rows theirs then are.
func (w *Writer) BeginTable(t Table) error {
	switch {
	case w.err != nil:
		return w.err
	case w.open || w.part && !internal(t.Name):
		return w.fail("%w: table %s begins before the last section's end", ErrInvalid, QuoteIdent(t.Name))
	case strings.IndexByte(t.Name, 0) >= 0:
		return w.fail("%w: the name of table %s holds a NUL", ErrInvalid, QuoteIdent(t.Name))
	case internal(t.Name) && !refillable(t.Name):
		return w.fail("%w: table %s is SQLite's own, and cannot be filled by a dump", ErrInvalid, QuoteIdent(t.Name))
	}
	w.Reserve(t.Name)
	w.open, w.table = true, t
	w.tableName.Store(&t.Name)
	if !w.part {
		kind := KindTable
		switch {
		case internal(t.Name):
			kind = KindSchema
		case t.Virtual:
			kind = KindVirtual
		}
		if err := w.keep(w.section(t.Name, kind)); err != nil {
			return err
		}
	}
	if err := w.makeTable(t); err != nil {
		return err
	}
	return w.prepareInsert(t)
}

// makeTable writes what comes before a table's rows.
func (w *Writer) makeTable(t Table) error {
	switch {
	case equalFold(t.Name, sequenceTable):
		if !w.sequence { // SQLite makes it for the first AUTOINCREMENT table, and keeps it
			stage := w.stage()
			w.buf = append(w.buf, "CREATE TABLE "+stage+sequenceColumns+"\nDROP TABLE "+stage+";\n"...)
			w.sequence = true
		}
		w.buf = append(w.buf, "DELETE FROM "+QuoteIdent(t.Name)+";\n"...)
		return nil
	case equalFold(t.Name, statTable):
		w.buf = append(w.buf, "ANALYZE sqlite_schema;\nDELETE FROM "+QuoteIdent(t.Name)+";\n"...)
		return nil
	}
	w.buf = append(w.buf, "DROP TABLE IF EXISTS "...)
	w.buf = appendIdent(w.buf, t.Name)
	w.buf = append(w.buf, ";\n"...)
	kind := CreateTable
	if t.Virtual {
		kind = CreateVirtualTable
	}
	sql := terminate(t.SQL)
	got, _, name := classify(sql)
	if got != kind || !equalFold(name, t.Name) {
		return w.fail("%w: the schema of table %s is not the CREATE of a table of that name and sort", ErrInvalid, QuoteIdent(t.Name))
	}
	if makesSequence(sql) {
		w.sequence = true
	}
	return w.schema(sql, t.Name)
}

// makesSequence tells whether a CREATE TABLE has an AUTOINCREMENT.
func makesSequence(sql []byte) bool {
	for w := newWords(sql); w.tok.Kind != TokenEnd; {
		if w.is("AUTOINCREMENT") {
			return true
		}
		w.next()
	}
	return false
}

// prepareInsert writes the head that every row of the table repeats.
func (w *Writer) prepareInsert(t Table) error {
	w.insert = append(w.insert[:0], "INSERT INTO "...)
	w.insert = appendIdent(w.insert, t.Name)
	w.width = len(t.Columns)
	first := true
	column := func(quoted string) {
		if first {
			w.insert = append(w.insert, '(')
		} else {
			w.insert = append(w.insert, ',')
		}
		first = false
		w.insert = append(w.insert, quoted...)
	}
	if t.Rowid {
		w.width++
		name := t.RowidName
		if name == "" {
			name = "rowid"
		}
		if !equalFold(name, "rowid") && !equalFold(name, "_rowid_") && !equalFold(name, "oid") {
			return w.fail("%w: table %s has no rowid called %s", ErrInvalid, QuoteIdent(t.Name), QuoteIdent(name))
		}
		column(name)
	}
	if t.Rowid || !t.AllColumns {
		for _, c := range t.Columns {
			if strings.IndexByte(c, 0) >= 0 {
				return w.fail("%w: a column's name of table %s holds a NUL", ErrInvalid, QuoteIdent(t.Name))
			}
			column(QuoteIdent(c))
		}
		if !first {
			w.insert = append(w.insert, ')')
		}
	}
	w.insert = append(w.insert, " VALUES("...)
	return nil
}

// Row writes one row of the open table. The values are not kept.
func (w *Writer) Row(values []Value) error {
	switch {
	case w.err != nil:
		return w.err
	case !w.open:
		return w.fail("%w: a row outside of a table", ErrInvalid)
	case len(values) != w.width || w.width == 0:
		return w.fail("%w: a row of %d values for the %d of table %s", ErrInvalid, len(values), w.width, QuoteIdent(w.table.Name))
	}
	size := len(w.insert)
	for i := range values {
		size += len(values[i].Bytes) + 1
	}
	if size > MaxD1Statement {
		if err := w.stagedRow(values); err != nil {
			return err
		}
	} else if err := w.shortRow(values); err != nil {
		return err
	}
	w.counted()
	return w.spill()
}

// shortRow writes a row as one statement, and turns to stagedRow where the
// quotes make it too long.
func (w *Writer) shortRow(values []Value) error {
	start := len(w.buf)
	buf := append(w.buf, w.insert...)
	for i := range values {
		if i > 0 {
			buf = append(buf, ',')
		}
		var ok bool
		if buf, ok = appendLiteral(buf, values[i]); !ok {
			return w.invalidValue(values)
		}
	}
	if len(buf)+len(");")-start > MaxD1Statement {
		w.buf = buf[:start]
		return w.stagedRow(values)
	}
	w.buf = append(buf, ");\n"...)
	return nil
}

func (w *Writer) invalidValue(values []Value) error {
	for i, v := range values {
		if v.Check() != nil {
			return w.fail("%w: value %d of a row of table %s is not written as its kind, %v, asks", ErrInvalid, i+1, QuoteIdent(w.table.Name), v.Kind)
		}
	}
	return nil
}

// Placeholder makes, for the open table's rows, an empty table of another name
// where none is: D1's importer takes no row that references a table which does
// not exist, and in a cycle of foreign keys one must come first. Each key is a
// list of columns that are referenced together. The named table's own section
// drops the placeholder.
func (w *Writer) Placeholder(name string, keys ...[]string) error {
	switch {
	case w.err != nil:
		return w.err
	case !w.open || w.sections[len(w.sections)-1].Rows > 0:
		return w.fail("%w: a placeholder behind a table's rows", ErrInvalid)
	case len(keys) == 0 || internal(name) || equalFold(name, w.table.Name):
		return w.fail("%w: no placeholder can be made for %s", ErrInvalid, QuoteIdent(name))
	}
	start := len(w.buf)
	w.buf = append(w.buf, placeholderHead...)
	w.buf = append(appendIdent(w.buf, name), '(')
	var seen []string
	for _, key := range keys {
		for _, column := range key {
			if !slices.ContainsFunc(seen, func(s string) bool { return equalFold(s, column) }) {
				seen = append(seen, column)
				w.buf = append(appendIdent(w.buf, column), ',')
			}
		}
	}
	for i, key := range keys {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		w.buf = append(w.buf, "UNIQUE("...)
		for j, column := range key {
			if j > 0 {
				w.buf = append(w.buf, ',')
			}
			w.buf = appendIdent(w.buf, column)
		}
		w.buf = append(w.buf, ')')
	}
	w.buf = append(w.buf, ");\n"...)
	if err := w.keep(w.grow(len(w.buf) - start)); err != nil {
		return err
	}
	return w.spill()
}

// Index writes an index of the open table behind its rows: one that other
// tables' foreign keys need before their own rows come.
func (w *Writer) Index(sql string) error {
	switch {
	case w.err != nil:
		return w.err
	case !w.open:
		return w.fail("%w: an index outside of a table", ErrInvalid)
	}
	w.unstage()
	text := terminate(sql)
	if kind, table, name := classify(text); kind != CreateIndex || !equalFold(table, w.table.Name) {
		return w.fail("%w: %s is not an index of table %s", ErrInvalid, QuoteIdent(name), QuoteIdent(w.table.Name))
	}
	return w.schema(text, w.table.Name)
}

// EndTable ends the open table.
func (w *Writer) EndTable() error {
	switch {
	case w.err != nil:
		return w.err
	case !w.open:
		return w.fail("%w: the end of a table that was not begun", ErrInvalid)
	}
	w.unstage()
	w.open = false
	w.publish()
	return w.spill()
}

// BeginPart begins a section that belongs to no one table: sequences, indexes,
// views, triggers, statistics or fts.
func (w *Writer) BeginPart(name string) error {
	switch {
	case w.err != nil:
		return w.err
	case w.open || w.part:
		return w.fail("%w: part %s begins before the last section's end", ErrInvalid, name)
	}
	w.part = true
	w.tableName.Store(new(string))
	return w.keep(w.section(name, KindSchema))
}

// Statement writes one statement of the open part, as sqlite_schema holds it
// and without its ";". It takes only what Allowed lets through.
func (w *Writer) Statement(sql string) error {
	switch {
	case w.err != nil:
		return w.err
	case !w.part || w.open:
		return w.fail("%w: a statement outside of a part", ErrInvalid)
	}
	return w.schema(terminate(sql), w.sections[len(w.sections)-1].Name)
}

// schema writes a statement that came from outside.
func (w *Writer) schema(sql []byte, section string) error {
	kind, table, name := classify(sql)
	s := Statement{SQL: sql, Kind: kind, Table: table, Name: name, Section: section, Part: w.part}
	switch err := Allowed(s); {
	case len(sql) > MaxStatement:
		return w.fail("%w: the schema of %s takes %d bytes; a dump holds statements of at most %d", ErrInvalid, QuoteIdent(name), len(sql), MaxStatement)
	case err != nil:
		return w.fail("%w: the schema of %s cannot be dumped: %w", ErrInvalid, QuoteIdent(name), err)
	case kind == Insert && refillable(table):
		w.counted()
	}
	if err := w.keep(w.grow(len(sql))); err != nil {
		return err
	}
	w.lint.Add(s)
	w.buf = append(w.buf, sql...)
	w.buf = append(w.buf, '\n')
	return w.spill()
}

// Findings says, after Finish, what D1 would not take of what was written, as
// Lint says of the dump; they have no offsets.
func (w *Writer) Findings() []Finding { return w.lint.Findings() }

// terminate ends a statement with its semicolon: at the end of its last line,
// for a line feed before it would become part of the schema, but on a line of
// its own behind a -- comment, and behind the */ that SQLite does not ask for.
func terminate(sql string) []byte {
	b := append(make([]byte, 0, len(sql)+3), sql...)
	var last Token
	for l := NewLexer(b); ; {
		t := l.Next()
		if t.Kind == TokenEnd {
			break
		}
		last = t
	}
	if last.Kind == TokenComment && last.Open {
		if b[last.Start] == '-' {
			b = append(b, '\n')
		} else {
			b = append(b, "*/"...)
		}
	}
	return append(b, ';')
}

// Comment writes a comment of one line, made inert, into the section that is
// open or was last. It is part of the body: no times or ids belong in it.
func (w *Writer) Comment(text string) error {
	if w.err != nil {
		return w.err
	}
	return w.keep(w.line(noteMarker, text))
}

// EndPart ends the open part.
func (w *Writer) EndPart() error {
	switch {
	case w.err != nil:
		return w.err
	case !w.part || w.open:
		return w.fail("%w: the end of a part that was not begun", ErrInvalid)
	}
	w.part = false
	return nil
}

// Finish writes the rest of the body and the footer, and gives the table of
// contents. The underlying writer is not closed.
func (w *Writer) Finish(f Footer) (Contents, error) {
	switch {
	case w.err != nil:
		return Contents{}, w.err
	case w.open || w.part:
		return Contents{}, w.fail("%w: the dump ends before its last section", ErrInvalid)
	case f.Duration < 0:
		f.Duration = 0
	}
	f.Duration = f.Duration.Truncate(time.Millisecond)
	c, err := w.finish(f)
	if w.keep(err) != nil {
		return Contents{}, w.err
	}
	w.err = fmt.Errorf("dump: %w: the dump is finished", ErrInvalid)
	return c, nil
}

// Progress tells the table being written ("" for a part), and the rows and the
// bytes of the body so far, to within 64 rows of an open table.
func (w *Writer) Progress() (table string, rows, bytes int64) {
	return *w.tableName.Load(), w.rows.Load(), w.bytes.Load()
}
