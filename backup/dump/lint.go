package dump

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// D1's limits that a dump can meet. Sources: developers.cloudflare.com/d1/platform/limits,
// and for the compound terms a measurement of its engine.
const (
	maxD1Columns   = 100
	maxD1Row       = 2_000_000
	maxD1Depth     = 100
	maxD1Arguments = 32
	maxD1Compound  = 5
)

// maxFindings bounds what a Linter keeps: nobody reads on.
const maxFindings = 1000

// Finding is something about a dump that D1 would refuse or get wrong, though
// plain SQLite takes it.
type Finding struct {
	Code    string // e.g. "statement-too-long"
	Object  string // the table, index, view or trigger, or else the statement's first word
	Message string // in words
	Offset  int64  // of the first statement it is true of
}

// Linter finds what D1 would not take of the statements it is shown. It keeps
// the first finding of a code and object.
type Linter struct {
	findings []Finding
	seen     map[[2]string]bool
	made     map[string]int // tables and views in lower case → their place
	tables   []tableRefs
	staged   int // bytes of the values being staged
}

type tableRefs struct {
	name    string
	offset  int64
	parents []string // lower case
}

// NewLinter makes a Linter for one dump.
func NewLinter() *Linter {
	return &Linter{seen: map[[2]string]bool{}, made: map[string]int{}}
}

// Lint reads a dump and gives what D1 would not take of it, or the error of
// the Reader.
func Lint(src io.Reader) ([]Finding, error) {
	r, l := NewReader(src, ReaderOptions{}), NewLinter()
	for {
		s, err := r.Next()
		if errors.Is(err, io.EOF) {
			return l.Findings(), nil
		}
		if err != nil {
			return nil, err
		}
		l.Add(s)
	}
}

func (l *Linter) find(s Statement, object, code, format string, args ...any) {
	key := [2]string{code, object}
	if l.seen[key] || len(l.findings) >= maxFindings {
		return
	}
	l.seen[key] = true
	l.findings = append(l.findings, Finding{code, object, fmt.Sprintf(format, args...), s.Offset})
}

// Add shows the next statement, in the order of the dump.
func (l *Linter) Add(s Statement) {
	if s.Kind == Framing {
		return // left out for D1
	}
	object := s.Name
	if object == "" {
		object = s.Table
	}
	if object == "" { // ATTACH, SAVEPOINT and the like
		w := newWords(s.SQL)
		object = string(w.Text(w.tok))
	}
	if n := len(s.SQL); n > MaxD1Statement {
		l.length(s, object, n)
	}
	if err := Allowed(s); err != nil {
		l.find(s, object, "statement-refused", "%s", refusal(s))
	}
	switch s.Kind {
	case Insert:
		l.insert(s)
	case CreateTable, CreateVirtualTable, CreateIndex, CreateView, CreateTrigger:
		l.create(s)
	}
}

func (l *Linter) length(s Statement, object string, n int) {
	l.find(s, object, "statement-too-long", "a statement of %d bytes; D1 takes at most %d", n, MaxD1Statement)
}

// row takes the bytes of a row's values.
func (l *Linter) row(s Statement, n int) {
	if n > maxD1Row {
		l.find(s, s.Table, "row-too-long", "a row whose values take %d bytes; D1 takes rows of at most %d", n, maxD1Row)
	}
}

// insert sums the long values of a row.
func (l *Linter) insert(s Statement) {
	if !s.Stage {
		l.row(s, l.staged)
		l.staged = 0
		return
	}
	for w := newWords(s.SQL); w.tok.Kind != TokenEnd; w.next() {
		switch text := w.Text(w.tok); w.tok.Kind {
		case TokenString:
			l.staged += len(text) - 2 - bytes.Count(text[1:len(text)-1], []byte("''"))
		case TokenBlob:
			l.staged += (len(text) - len("X''")) / 2
		}
	}
}

func (l *Linter) create(s Statement) {
	if len(s.Name) >= 4 && equalFold(s.Name[:4], "_cf_") {
		l.find(s, s.Name, "name-reserved", "names that begin with _cf_ are Cloudflare's own")
	}
	switch s.Kind {
	case CreateVirtualTable:
		l.made[strings.ToLower(s.Name)] = len(l.made)
		if m := module(s.SQL); !isOneOf([]byte(m), "fts5", "fts5vocab") {
			l.find(s, s.Name, "module-refused", "a virtual table of the module %q; of these D1 has fts5 and fts5vocab alone", m)
		}
		return
	case CreateView:
		l.made[strings.ToLower(s.Name)] = len(l.made)
	case CreateTable:
		if s.Stage || isPlaceholder(s) {
			return
		}
		l.made[strings.ToLower(s.Name)] = len(l.made)
		l.tables = append(l.tables, tableRefs{s.Name, s.Offset, references(s.SQL)})
		if n := columns(s.SQL); n > maxD1Columns {
			l.find(s, s.Name, "too-many-columns", "%d columns; D1 takes at most %d", n, maxD1Columns)
		}
	case CreateIndex, CreateTrigger:
		if _, ok := l.made[strings.ToLower(s.Table)]; !ok {
			l.find(s, s.Name, "order", "a %s of %q comes before it", strings.TrimPrefix(s.Kind.String(), "create "), s.Table)
		}
	}
	l.expressions(s)
}

// Findings gives all findings, the order of the tables included.
func (l *Linter) Findings() []Finding {
	place := map[string]int{}
	for i, t := range l.tables {
		place[strings.ToLower(t.name)] = i
	}
	for i, child := range l.tables {
		s := Statement{Offset: child.offset}
		for _, parent := range child.parents {
			at, ok := place[parent]
			if !ok || at <= i {
				continue
			}
			if !l.reaches(at, i, place) {
				l.find(s, child.name, "order", "the table comes before %q, which it references", l.tables[at].name)
				continue
			}
			for between := i + 1; between < at; between++ {
				if !l.reaches(between, i, place) || !l.reaches(i, between, place) {
					l.find(s, child.name, "order", "the table and %q reference each other, and %q lies between them", l.tables[at].name, l.tables[between].name)
					break
				}
			}
		}
	}
	return l.findings
}

// reaches tells whether references lead from one table to another.
func (l *Linter) reaches(from, to int, place map[string]int) bool {
	seen := map[int]bool{}
	var walk func(int) bool
	walk = func(i int) bool {
		if i == to {
			return true
		}
		if seen[i] {
			return false
		}
		seen[i] = true
		for _, p := range l.tables[i].parents {
			if at, ok := place[p]; ok && walk(at) {
				return true
			}
		}
		return false
	}
	return walk(from)
}

// module gives the module of a CREATE VIRTUAL TABLE.
func module(sql []byte) string {
	w := newWords(sql)
	for w.tok.Kind != TokenEnd {
		if w.is("USING") {
			return w.name()
		}
		w.next()
	}
	return ""
}

// references lists the tables that a CREATE TABLE names behind REFERENCES.
func references(sql []byte) (parents []string) {
	for w := newWords(sql); w.tok.Kind != TokenEnd; {
		if w.is("REFERENCES") {
			parents = append(parents, strings.ToLower(w.name()))
			continue
		}
		w.next()
	}
	return parents
}

// columns counts the columns that a CREATE TABLE defines.
func columns(sql []byte) (n int) {
	w := newWords(sql)
	for w.tok.Kind != TokenEnd && !w.punct('(') {
		w.next()
	}
	for depth := 1; depth > 0 && w.tok.Kind != TokenEnd; {
		n++
		for _, constraint := range [...]string{"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"} {
			if w.is(constraint) {
				n--
				break
			}
		}
		for w.tok.Kind != TokenEnd && depth > 0 {
			if depth == 1 && w.punct(',') {
				break
			}
			switch {
			case w.punct('('):
				depth++
			case w.punct(')'):
				depth--
			default:
				w.next()
			}
		}
	}
	return n
}

// bracket is one open parenthesis of a schema statement.
type bracket struct {
	call             bool
	commas, compound int
}

// expressions holds the expressions of a schema statement to D1's limits.
func (l *Linter) expressions(s Statement) {
	open := []bracket{{}}
	var name, lead []byte // the token before the current one, and the one before that
	w := newWords(s.SQL)
	for w.tok.Kind != TokenEnd {
		text, kind, top := w.Text(w.tok), w.tok.Kind, &open[len(open)-1]
		w.next()
		switch {
		case kind == TokenPunct && text[0] == '(':
			open = append(open, bracket{call: isCall(name, lead)})
			if len(open) > maxD1Depth+1 {
				l.find(s, s.Name, "too-deep", "brackets more than %d deep; D1 takes expressions of that depth at most", maxD1Depth)
				return
			}
		case kind == TokenPunct && text[0] == ')' && len(open) > 1:
			if top.call && top.commas >= maxD1Arguments {
				l.find(s, s.Name, "too-many-arguments", "a function of %d arguments; D1 takes at most %d", top.commas+1, maxD1Arguments)
			}
			open = open[:len(open)-1]
		case kind == TokenPunct && text[0] == ',':
			top.commas++
		case kind == TokenPunct && text[0] == ';':
			*top = bracket{}
		case kind == TokenWord && isOneOf(text, "UNION", "EXCEPT", "INTERSECT"):
			if top.compound++; top.compound >= maxD1Compound {
				l.find(s, s.Name, "too-many-terms", "a compound of more than %d SELECTs; D1 takes at most that many", maxD1Compound)
			}
		}
		name, lead = text, name
	}
}

// isCall tells whether a bracket behind name, which stands behind lead, holds
// a function's arguments rather than a list of columns or values.
func isCall(name, lead []byte) bool {
	if len(name) == 0 || sqlClass[name[0]]&isStart == 0 && name[0] != '"' && name[0] != '[' && name[0] != '`' {
		return false
	}
	return !isOneOf(name, "VALUES", "IN", "KEY", "UNIQUE", "CHECK", "USING", "AS", "OF", "OVER", "CONFLICT", "SET") &&
		!isOneOf(lead, "INTO", "TABLE", "REFERENCES", "ON", "VIEW", "INDEX", "WITH", "RECURSIVE", "EXISTS")
}

func isOneOf(text []byte, words ...string) bool {
	for _, word := range words {
		if equalFold(text, word) {
			return true
		}
	}
	return false
}
