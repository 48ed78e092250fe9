package dump

import (
	"bytes"
	"fmt"
	"strings"
)

// Allowed refuses, as ErrRefused, every statement that no Writer makes: it
// lets through the framing, the making of tables, indexes, views and triggers,
// rows of literals into the open table, and the upkeep of the staging table
// and of SQLite's own two tables. What it refuses it has only read.
//
// It judges one statement. What a view's or trigger's own text does when it is
// used later is for whoever loads it to bound.
func Allowed(s Statement) error {
	if why := refusal(s); why != "" {
		return fmt.Errorf("%w: %s at byte %d: %s", ErrRefused, s.Kind, s.Offset, why)
	}
	return nil
}

// refusal says why a statement is refused, or "".
func refusal(s Statement) string {
	if bytes.IndexByte(s.SQL, 0) >= 0 {
		return "it holds a NUL"
	}
	if StatementEnd(s.SQL) != len(s.SQL) {
		return "it is not one statement with its semicolon"
	}
	w := newWords(s.SQL)
	switch s.Kind {
	case Framing:
		switch string(s.SQL) {
		case foreignKeysOff, begin, commit, foreignKeysOn:
			return ""
		}
		return "it is not one of the framing lines"
	case CreateTable, CreateVirtualTable, CreateIndex, CreateView, CreateTrigger:
		return refuseCreate(w, s)
	case Insert:
		return refuseInsert(w, s)
	case DropTable:
		return refuseDrop(w, s)
	case Delete:
		if !upkept(s) || !w.is("DELETE") || !w.is("FROM") || w.tok.Kind != TokenQuoted {
			return "rows are only deleted from the staging table and SQLite's own"
		}
		w.next()
		return endsHere(w)
	case Analyze:
		if !w.is("ANALYZE") || !w.is("sqlite_schema") {
			return "only the schema is analyzed"
		}
		return endsHere(w)
	}
	return "no dump holds such a statement"
}

func endsHere(w *words) string {
	if !w.punct(';') || w.tok.Kind != TokenEnd {
		return "something follows where it should end"
	}
	return ""
}

// internal tells whether a table is SQLite's own.
func internal(name string) bool {
	return len(name) >= 7 && equalFold(name[:7], "sqlite_")
}

// refillable tells whether a table is one of SQLite's own that a dump fills.
func refillable(name string) bool {
	return equalFold(name, sequenceTable) || equalFold(name, statTable)
}

func upkept(s Statement) bool {
	return s.Stage && stageName(s.Table) || refillable(s.Table)
}

// refuseCreate lets through what sqlite_schema can hold.
func refuseCreate(w *words, s Statement) string {
	w.is("CREATE")
	w.is("UNIQUE")
	if w.is("TEMP") || w.is("TEMPORARY") {
		return "it is temporary"
	}
	if w.is("VIRTUAL") {
		w.is("TABLE")
	} else {
		w.next() // TABLE, INDEX, VIEW, TRIGGER
	}
	if w.is("IF") {
		return refusePlaceholder(w, s)
	}
	if internal(s.Name) {
		return "its name is one of SQLite's own"
	}
	if !w.isName() {
		return "it names nothing"
	}
	w.name()
	if w.punct('.') {
		return "its name has a schema before it"
	}
	if why := refusePlace(*w, s); why != "" {
		return why
	}
	for w.tok.Kind != TokenEnd {
		if w.tok.Kind == TokenIllegal {
			return "it holds what no schema can"
		}
		text, kind := w.Text(w.tok), w.tok.Kind
		w.next()
		if (kind == TokenWord || kind == TokenQuoted) && w.punct('(') && loadsCode(text, kind) {
			return "it calls a function that loads code"
		}
	}
	return ""
}

// refusePlace lets through what belongs to the section: a table's own, or, in a
// part, what belongs to no one table. w stands behind the name.
func refusePlace(w words, s Statement) string {
	switch s.Kind {
	case CreateTable:
		if s.Stage {
			if text := string(s.SQL); text != "CREATE TABLE "+QuoteIdent(s.Name)+stageColumns && text != "CREATE TABLE "+QuoteIdent(s.Name)+sequenceColumns {
				return "it is not the staging table"
			}
			return ""
		}
		fallthrough
	case CreateVirtualTable:
		if s.Part || !equalFold(s.Table, s.Section) {
			return "it makes a table other than its section's"
		}
		if w.is("AS") {
			return "it takes its rows from a query"
		}
	case CreateIndex, CreateTrigger:
		if !onTable(w) {
			return "it is on no table"
		}
		if !s.Part && (s.Kind == CreateTrigger || !equalFold(s.Table, s.Section)) {
			return "it stands in the section of a table"
		}
	case CreateView:
		if !s.Part {
			return "it stands in the section of a table"
		}
	}
	return ""
}

// isName tells whether the current token may be a name.
func (w *words) isName() bool {
	_, ok := identifier(w.Text(w.tok), w.tok.Kind)
	return ok
}

// onTable tells whether ON and a name follow, as in an index or a trigger.
func onTable(w words) bool {
	for w.tok.Kind != TokenEnd && !w.punct(';') {
		if w.is("ON") {
			return w.isName()
		}
		w.next()
	}
	return false
}

// placeholderHead begins what Writer.Placeholder writes, and nothing else.
const placeholderHead = "CREATE TABLE IF NOT EXISTS "

// isPlaceholder tells a placeholder from a table of the database's own.
func isPlaceholder(s Statement) bool {
	return s.Kind == CreateTable && strings.HasPrefix(string(s.SQL[:min(len(s.SQL), len(placeholderHead))]), placeholderHead)
}

// refusePlaceholder lets through names of columns and what is unique of them.
func refusePlaceholder(w *words, s Statement) string {
	if !isPlaceholder(s) || internal(s.Name) || equalFold(s.Name, s.Section) || stageName(s.Name) || w.is("NOT") && !w.is("EXISTS") {
		return "it has IF NOT EXISTS"
	}
	if !w.kind(TokenQuoted) || !w.punct('(') {
		return "it is not the placeholder of a table"
	}
	for {
		switch {
		case w.is("UNIQUE"):
			if !w.punct('(') || !w.kind(TokenQuoted) {
				return "it is not the placeholder of a table"
			}
			for w.punct(',') {
				if !w.kind(TokenQuoted) {
					return "it is not the placeholder of a table"
				}
			}
			if !w.punct(')') {
				return "it is not the placeholder of a table"
			}
		case !w.kind(TokenQuoted):
			return "it is not the placeholder of a table"
		}
		if !w.punct(',') {
			break
		}
	}
	if !w.punct(')') {
		return "it is not the placeholder of a table"
	}
	return endsHere(w)
}

// loadsCode tells whether a function, whose name may be quoted, brings foreign
// code into the process.
func loadsCode(text []byte, kind TokenKind) bool {
	name, _ := identifier(text, kind)
	return equalFold(name, "load_extension") || equalFold(name, "fts3_tokenizer")
}

func refuseDrop(w *words, s Statement) string {
	w.is("DROP")
	w.is("TABLE")
	guarded := w.is("IF") && w.is("EXISTS")
	if w.tok.Kind != TokenQuoted || w.src[w.tok.Start] != '"' {
		return "its name is not quoted"
	}
	w.next()
	switch {
	case internal(s.Table):
		return "it drops one of SQLite's own tables"
	case !guarded && !(s.Stage && stageName(s.Table)):
		return "only the staging table is dropped outright"
	case guarded && (s.Part || s.Section != s.Table):
		return "it drops a table other than its section's"
	}
	return endsHere(w)
}

// refuseInsert lets through rows of literals, and of what the staging table
// put together, into the section's table.
func refuseInsert(w *words, s Statement) string {
	if !w.is("INSERT") || !w.is("INTO") || w.tok.Kind != TokenQuoted || w.src[w.tok.Start] != '"' {
		return "it is not INSERT INTO a quoted name"
	}
	switch {
	case internal(s.Table) && !refillable(s.Table):
		return "it fills one of SQLite's own tables"
	case stageName(s.Table) && !s.Stage && s.Table != s.Section:
		return "it fills a staging table that is not there"
	case !s.Part && !s.Stage && !equalFold(s.Table, s.Section):
		return "it fills a table other than its section's"
	}
	w.next()
	command := false // to a full-text table: its first column bears its name
	if w.punct('(') {
		if name, ok := identifier(w.Text(w.tok), w.tok.Kind); ok {
			command = equalFold(name, s.Table)
		}
		for w.kind(TokenQuoted) || w.kind(TokenWord) {
			if !w.punct(',') {
				break
			}
		}
		if !w.punct(')') {
			return "its columns are not a list of names"
		}
	}
	if s.Part && !s.Stage && !refillable(s.Table) && !command {
		return "it fills a table outside of its section"
	}
	if !w.is("VALUES") || !w.punct('(') {
		return "it has no VALUES"
	}
	for {
		if !literal(w) {
			return "a value is not a literal"
		}
		if !w.punct(',') {
			break
		}
	}
	if !w.punct(')') {
		return "its values do not end"
	}
	return endsHere(w)
}

// literal steps over one value as the Writer writes it.
func literal(w *words) bool {
	switch {
	case w.is("NULL"):
		return true
	case w.is("CAST"):
		return w.punct('(') && w.kind(TokenBlob) && w.is("AS") && w.is("TEXT") && w.punct(')')
	case w.kind(TokenString), w.kind(TokenBlob):
		return true
	}
	w.punct('-')
	if w.kind(TokenNumber) {
		return true
	}
	if !w.punct('(') {
		return false
	}
	if w.tok.Kind == TokenWord {
		return staged(w)
	}
	for w.kind(TokenNumber) { // a product: see real.go
		if w.punct(')') {
			return true
		}
		if !w.punct('*') && !w.punct('/') {
			return false
		}
	}
	return false
}

func (w *words) kind(k TokenKind) bool {
	if w.tok.Kind == k {
		w.next()
		return true
	}
	return false
}

// staged steps over the rest of a staged value, behind its bracket, which must
// be just what appendStaged writes.
func staged(w *words) bool {
	from := w.tok.Start
	for depth := 1; depth > 0; {
		switch {
		case w.punct('('):
			depth++
		case w.punct(')'):
			depth--
		case w.tok.Kind == TokenEnd:
			return false
		default:
			w.next()
		}
	}
	text := string(w.src[from:w.tok.Start])
	head, rest, ok := strings.Cut(text, " FROM(SELECT v FROM ")
	if !ok || head != stagedHead+"TEXT)" && head != stagedHead+"BLOB)" {
		return false
	}
	name, rest, ok := strings.Cut(rest, " WHERE c=")
	column, rest, ok2 := strings.Cut(rest, " ORDER BY s))")
	if !ok || !ok2 || strings.Trim(rest, " \t\n\f\r") != "" || strings.Trim(column, "0123456789") != "" {
		return false
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, `"`), `"`)
	return stageName(name)
}

const stagedHead = "SELECT CAST(group_concat(v,'') AS "
