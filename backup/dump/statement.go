package dump

import "fmt"

// StatementKind is what a statement does.
type StatementKind uint8

// The kinds of statement.
const (
	Other              StatementKind = iota // anything not named below
	Framing                                 // the four lines around the body's sections
	CreateTable                             //
	CreateVirtualTable                      //
	CreateIndex                             //
	CreateView                              //
	CreateTrigger                           //
	Insert                                  //
	Update                                  //
	Delete                                  //
	DropTable                               //
	Drop                                    // of an index, view or trigger
	Analyze                                 //
	Pragma                                  // that is not framing
	Transaction                             // BEGIN, COMMIT, SAVEPOINT … that is not framing
)

var statementNames = [...]string{
	"other", "framing", "create table", "create virtual table", "create index", "create view",
	"create trigger", "insert", "update", "delete", "drop table", "drop", "analyze", "pragma", "transaction",
}

// String names the kind.
func (k StatementKind) String() string {
	if int(k) < len(statementNames) {
		return statementNames[k]
	}
	return fmt.Sprintf("statement kind %d", uint8(k))
}

// Statement is one statement of a dump.
type Statement struct {
	SQL     []byte // with its ";"; valid until the next call of Next
	Kind    StatementKind
	Section string // the section's name; "" outside of sections
	Part    bool   // the section belongs to no one table: indexes, views and so on
	Table   string // the table it acts on: the target of INSERT, what an index or trigger is ON
	Name    string // the name of what is created or dropped
	Stage   bool   // it makes, fills, empties or drops the staging table
	Offset  int64  // of its first byte from the start of the dump
}

// The framing of a body.
const (
	foreignKeysOff = "PRAGMA foreign_keys=OFF;"
	begin          = "BEGIN TRANSACTION;"
	commit         = "COMMIT;"
	foreignKeysOn  = "PRAGMA foreign_keys=ON;"
)

// words reads the tokens at the head of a statement.
type words struct {
	Lexer
	tok Token
}

func newWords(sql []byte) *words {
	w := &words{Lexer: Lexer{src: sql}}
	w.next()
	return w
}

func (w *words) next() { w.tok = w.Significant() }

// is tells whether the current token is the keyword, and steps over it.
func (w *words) is(keyword string) bool {
	if w.tok.Kind == TokenWord && equalFold(w.Text(w.tok), keyword) {
		w.next()
		return true
	}
	return false
}

// punct tells whether the current token is that byte, and steps over it.
func (w *words) punct(c byte) bool {
	if w.tok.Kind == TokenPunct && w.src[w.tok.Start] == c {
		w.next()
		return true
	}
	return false
}

// name reads a name; it is "" where none stands.
func (w *words) name() string {
	name, ok := identifier(w.Text(w.tok), w.tok.Kind)
	if ok {
		w.next()
	}
	return name
}

// qualified reads a name that may have a schema before it.
func (w *words) qualified() string {
	name := w.name()
	if w.punct('.') {
		name = w.name()
	}
	return name
}

func (w *words) ifExists() {
	if w.is("IF") {
		w.is("NOT")
		w.is("EXISTS")
	}
}

// classify tells what a statement does and to what. It reads no further than
// it must.
func classify(sql []byte) (kind StatementKind, table, name string) {
	w := newWords(sql)
	switch {
	case w.is("INSERT"), w.is("REPLACE"):
		if w.is("OR") {
			w.next()
		}
		w.is("INTO")
		return Insert, w.qualified(), ""
	case w.is("CREATE"):
		return classifyCreate(w)
	case w.is("DELETE"):
		w.is("FROM")
		return Delete, w.qualified(), ""
	case w.is("UPDATE"):
		if w.is("OR") {
			w.next()
		}
		return Update, w.qualified(), ""
	case w.is("DROP"):
		if w.is("TABLE") {
			w.ifExists()
			name = w.qualified()
			return DropTable, name, name
		}
		w.next()
		w.ifExists()
		return Drop, "", w.qualified()
	case w.is("ANALYZE"):
		return Analyze, w.qualified(), ""
	case w.is("PRAGMA"):
		return Pragma, "", w.qualified()
	case w.is("BEGIN"), w.is("COMMIT"), w.is("END"), w.is("ROLLBACK"), w.is("SAVEPOINT"), w.is("RELEASE"):
		return Transaction, "", ""
	}
	return Other, "", ""
}

func classifyCreate(w *words) (kind StatementKind, table, name string) {
	if !w.is("TEMP") {
		w.is("TEMPORARY")
	}
	switch {
	case w.is("TABLE"):
		w.ifExists()
		name = w.qualified()
		return CreateTable, name, name
	case w.is("VIRTUAL"):
		w.is("TABLE")
		w.ifExists()
		name = w.qualified()
		return CreateVirtualTable, name, name
	case w.is("UNIQUE"), w.tok.Kind == TokenWord && equalFold(w.Text(w.tok), "INDEX"):
		w.is("INDEX")
		w.ifExists()
		name = w.qualified()
		w.is("ON")
		return CreateIndex, w.name(), name
	case w.is("VIEW"):
		w.ifExists()
		name = w.qualified()
		return CreateView, "", name
	case w.is("TRIGGER"):
		w.ifExists()
		name = w.qualified()
		// BEFORE|AFTER|INSTEAD OF, the event, perhaps OF columns: then ON.
		for !w.is("ON") {
			if w.tok.Kind == TokenEnd {
				return CreateTrigger, "", name
			}
			w.next()
		}
		return CreateTrigger, w.qualified(), name
	}
	return Other, "", ""
}

// Classify says what one statement does, taken by itself: it is in no section.
func Classify(sql []byte, offset int64) Statement {
	s := Statement{SQL: sql, Offset: offset}
	s.Kind, s.Table, s.Name = classify(sql)
	return s
}
