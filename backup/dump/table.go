package dump

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// TableOptions says how OneTable writes the one table.
type TableOptions struct {
	// ForD1 leaves out the framing, which D1 refuses, as ForD1 does.
	ForD1 bool
	// As is the name under which the table is made, beside the one that bears
	// its own; "" keeps its own. Its indexes and triggers are renamed in the
	// same way: where As is the table's name with something behind it, that
	// stands behind theirs too.
	As string
	// Reserved are names that the target database already uses: no index, no
	// trigger and no staging table will bear one of them, and As must not.
	Reserved []string
}

// OneTable writes one table of the dump in r: its CREATE, its rows, its own row
// of sqlite_sequence, its indexes and its triggers, and nothing that drops or
// changes what else the target holds. Statistics are left out, and so are the
// placeholders of other tables: those must be there.
//
// Under another name, what the table's own text says of itself means the new
// one: a foreign key to itself, a CHECK that says its name, a trigger's body
// that reads or writes it. Other tables stay those that the text names. A
// trigger that gives the table's name to something else as well, an alias or a
// WITH, cannot be told apart and is refused.
//
// The dump is verified on the way, and its end is known last: on an error what
// was written must be thrown away. For a table that the dump does not hold
// nothing is written, and the error is an *UnknownTable.
func OneTable(w io.Writer, r io.Reader, name string, opt TableOptions) error {
	x := &extract{
		out: bufio.NewWriterSize(w, 128<<10), src: NewReader(r, ReaderOptions{}), want: name, opt: opt,
		taken: map[string]bool{},
	}
	for _, n := range opt.Reserved {
		x.taken[fold(n)] = true
	}
	if err := x.check(); err != nil {
		return err
	}
	if err := x.run(); err != nil {
		return err
	}
	if err := x.out.Flush(); err != nil {
		return fmt.Errorf("dump: write: %w", err)
	}
	return nil
}

// extract is one run of OneTable.
type extract struct {
	out  *bufio.Writer
	src  *Reader
	opt  TableOptions
	want string

	found    bool
	name     string   // of the table, as the dump has it
	to       *renamer // nil where it keeps its name
	suffix   string   // of its indexes' and triggers' new names
	sequence bool     // it has AUTOINCREMENT
	taken    map[string]bool
	rows     int64

	section *Section // the table's own, while it goes on
	stage   string   // the target's staging table; "" while there is none
	staged  bool     // it was made
	values  []span
	buf     []byte
}

// check refuses a name that cannot be given.
func (x *extract) check() error {
	as := x.opt.As
	switch {
	case as == "":
		return nil
	case strings.IndexByte(as, 0) >= 0:
		return wrap(ErrInvalid, "the new name of the table holds a NUL")
	case internal(as):
		return wrap(ErrInvalid, "the name %s is one that SQLite keeps for itself", QuoteIdent(as))
	case equalFold(as, x.want):
		return wrap(ErrInvalid, "the new name %s is the table's own", QuoteIdent(as))
	case x.taken[fold(as)]:
		return wrap(ErrInvalid, "the name %s is already used in the target", QuoteIdent(as))
	}
	x.taken[fold(as)] = true
	return nil
}

func (x *extract) run() error {
	h, err := x.src.Header()
	if err != nil {
		return err
	}
	note := "to be loaded where no table of that name is"
	if x.opt.As != "" {
		note = "beside the table of its first name"
	}
	fmt.Fprintf(x.out, "-- One table of a Patina SQL dump, %s.\n%s%s\n", note, databaseLine, escape(nil, h.Database))
	if x.opt.ForD1 {
		x.line("PRAGMA defer_foreign_keys=ON;")
	} else {
		x.line(foreignKeysOff)
		x.line(begin)
	}
	for {
		s, err := x.src.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := x.statement(s); err != nil {
			return err
		}
	}
	x.endRows()
	if !x.found {
		return x.unknown()
	}
	if !x.opt.ForD1 {
		x.line(commit)
		x.line(foreignKeysOn)
	}
	fmt.Fprintf(x.out, "-- the end: 1 table, %d rows\n", x.rows)
	return nil
}

func (x *extract) line(text string) {
	_, _ = x.out.WriteString(text) // a bufio.Writer keeps its first error
	_ = x.out.WriteByte('\n')
}

// UnknownTable is the error for a table that a dump does not hold. It Is
// ErrInvalid.
type UnknownTable struct {
	Name   string
	Tables []string // those that it does hold
}

// Error says it in words, the names made inert.
func (e *UnknownTable) Error() string {
	const listed = 30
	show := func(name string) string { return string(escape(nil, fmt.Sprintf("%.200s", name))) }
	names := make([]string, 0, listed)
	for _, t := range e.Tables[:min(len(e.Tables), listed)] {
		names = append(names, show(t))
	}
	list := "it holds no table"
	if n := len(e.Tables); n > listed {
		list = fmt.Sprintf("it holds %s and %d more", strings.Join(names, ", "), n-listed)
	} else if n > 0 {
		list = "it holds " + strings.Join(names, ", ")
	}
	return "the dump has no table " + show(e.Name) + ": " + list
}

// Is makes it an ErrInvalid.
func (e *UnknownTable) Is(target error) bool { return target == ErrInvalid }

// unknown is the error for a table that the dump does not hold.
func (x *extract) unknown() error {
	e := &UnknownTable{Name: x.want}
	for _, s := range x.src.Contents().Sections {
		if s.Kind != KindSchema {
			e.Tables = append(e.Tables, s.Name)
		}
	}
	return e
}

// statement writes one statement where it belongs to the table.
func (x *extract) statement(s Statement) error {
	section := x.src.section
	if s.Kind == Framing || section == nil {
		return nil
	}
	own := section.Kind != KindSchema && equalFold(section.Name, x.want)
	if x.section != nil && section != x.section {
		x.endRows()
	}
	if section.Kind != KindSchema {
		x.taken[fold(section.Name)] = true
	}
	if own && !x.found {
		x.begin(section.Name)
	}
	switch {
	case own, x.found && (s.Kind == CreateIndex || s.Kind == CreateTrigger) && equalFold(s.Table, x.name):
	case x.found && s.Kind == Insert && section.Kind == KindSchema && (equalFold(s.Table, x.name) || equalFold(s.Table, sequenceTable)):
	default:
		return nil
	}
	if err := Allowed(s); err != nil {
		return err
	}
	return x.write(s, own)
}

// begin settles the names when the table's section begins.
func (x *extract) begin(name string) {
	x.found, x.name, x.section = true, name, x.src.section
	as := x.opt.As
	if as != "" {
		x.to = newRenamer(name, as)
		var ok bool
		if x.suffix, ok = strings.CutPrefix(as, name); !ok {
			x.suffix = "_" + as
		}
		name = as
	}
	fmt.Fprintf(x.out, "%s%s\n", marker(x.section.Kind), escape(nil, name))
}

// write writes a statement of the table.
func (x *extract) write(s Statement, own bool) error {
	sql := s.SQL
	switch {
	case s.Stage:
		x.stageStatement(s)
		return nil
	case s.Kind == DropTable, isPlaceholder(s):
		return nil
	case s.Kind == CreateTable, s.Kind == CreateVirtualTable:
		if x.to != nil {
			sql = x.to.create(sql)
		}
		x.line(string(sql))
		if s.Kind == CreateTable && makesSequence(s.SQL) {
			x.sequence = true
		}
		return nil
	case s.Kind == CreateIndex || s.Kind == CreateTrigger:
		x.unstage()
		return x.object(s)
	case s.Kind != Insert:
		return nil
	case equalFold(s.Table, sequenceTable):
		return x.sequenceRow(sql)
	case !own:
		if x.to != nil {
			sql = x.to.command(sql)
		}
		x.line(string(sql))
		return nil
	}
	return x.row(sql)
}

// object writes an index or a trigger.
func (x *extract) object(s Statement) error {
	sql := s.SQL
	if x.to == nil {
		x.line(string(sql))
		return nil
	}
	name := unique(s.Name, x.suffix, x.taken)
	x.to.objects[fold(s.Name)] = name
	if s.Kind == CreateIndex {
		sql = x.to.index(sql, name)
	} else {
		var err error
		if sql, err = x.to.trigger(sql, name); err != nil {
			return err
		}
	}
	x.line(string(sql))
	return nil
}

// sequenceRow writes the table's own row of sqlite_sequence, in the place of
// the one that its rows made.
func (x *extract) sequenceRow(sql []byte) error {
	var ok bool
	if x.values, ok = splitInsert(x.values[:0], sql); !ok || len(x.values) < 2 || !x.sequence {
		return nil
	}
	at := x.values[len(x.values)-2:]
	name, ok := textLiteral(sql[at[0].from:at[0].to])
	if !ok || string(name) != x.name {
		return nil
	}
	fmt.Fprintf(x.out, "INSERT INTO \"sqlite_sequence\"(name,seq) VALUES(%s,%s);\n", QuoteText([]byte(x.target())), sql[at[1].from:at[1].to])
	return nil
}

// endRows ends the table's own section. What its rows left in sqlite_sequence
// goes: the dump may hold another number, or none.
func (x *extract) endRows() {
	x.unstage()
	if x.section != nil && x.sequence {
		fmt.Fprintf(x.out, "DELETE FROM \"sqlite_sequence\" WHERE name=%s;\n", QuoteText([]byte(x.target())))
	}
	x.section = nil
}

// target is the name that the table has where it is loaded.
func (x *extract) target() string {
	if x.opt.As != "" {
		return x.opt.As
	}
	return x.name
}

// row writes a row. One that its new table's name makes longer than D1 takes
// is put together from pieces, as the Writer would.
func (x *extract) row(sql []byte) error {
	x.rows++
	if x.to == nil && (x.src.stage == "" || x.src.stage == x.stage) {
		x.line(string(sql))
		return nil
	}
	x.buf = x.buf[:0]
	if x.to != nil {
		x.buf = x.to.row(x.buf, sql, x.src.insert, x.src.stage, x.stage)
	} else {
		x.buf = append(x.buf, restage(sql, x.src.stage, x.stage)...)
	}
	if len(x.buf) <= MaxD1Statement || len(sql) > MaxD1Statement {
		x.line(string(x.buf))
		return nil
	}
	return x.shorten(x.buf)
}

// shorten writes a row that is a little too long, its longest values through
// the staging table.
func (x *extract) shorten(sql []byte) error {
	var ok bool
	if x.values, ok = splitInsert(x.values[:0], sql); !ok {
		return wrap(ErrInvalid, "a row of table %s cannot be taken apart", QuoteIdent(x.name))
	}
	x.makeStage()
	stage := QuoteIdent(x.stage)
	longest := make([]int, len(x.values))
	for i := range longest {
		longest[i] = i
	}
	size := func(i int) int { return x.values[i].to - x.values[i].from }
	slices.SortStableFunc(longest, func(a, b int) int { return cmp.Compare(size(b), size(a)) })
	out := make([]bool, len(x.values))
	length := len(sql)
	for _, column := range longest {
		if length <= MaxD1Statement {
			break
		}
		v, ok := longLiteral(bytes.TrimSpace(sql[x.values[column].from:x.values[column].to]))
		saves := size(column) - len(appendStaged(nil, stage, column, v.Kind))
		if !ok || saves <= 0 {
			continue
		}
		out[column] = true
		length -= saves
		for number, rest := 0, v.Bytes; len(rest) > 0; number++ {
			n := pieceEnd(v.Kind, rest)
			_, _ = x.out.Write(appendPiece(nil, stage, column, number, Value{v.Kind, rest[:n]}))
			rest = rest[n:]
		}
	}
	var row []byte
	done := 0
	for column, at := range x.values {
		if out[column] {
			v, _ := longLiteral(sql[at.from:at.to])
			row = appendStaged(append(row, sql[done:at.from]...), stage, column, v.Kind)
			done = at.to
		}
	}
	x.line(string(append(row, sql[done:]...)))
	x.line("DELETE FROM " + stage + ";")
	return nil
}

// makeStage makes the staging table, under a name that the target does not use.
func (x *extract) makeStage() {
	if x.stage == "" {
		name := stagePrefix
		if x.src.stage != "" {
			name = x.src.stage
		}
		if x.to != nil {
			name = stagePrefix + "_" + x.opt.As
		}
		x.stage = unique(name, "", x.taken)
	}
	if !x.staged {
		_, _ = x.out.WriteString("CREATE TABLE " + QuoteIdent(x.stage) + stageColumns + "\n")
		x.staged = true
	}
}

// stageStatement writes the dump's own upkeep of the staging table.
func (x *extract) stageStatement(s Statement) {
	switch s.Kind {
	case CreateTable:
		x.makeStage()
	case DropTable:
		x.unstage()
	default:
		x.line(string(restage(s.SQL, s.Table, x.stage)))
	}
}

func (x *extract) unstage() {
	if x.staged {
		x.line("DROP TABLE " + QuoteIdent(x.stage) + ";")
		x.staged = false
	}
}
