package dump

import (
	"bytes"
	"fmt"
	"strings"
)

// renamer gives a table's schema another name to live under. It works on
// tokens alone: what is inside of strings, comments and other names stays.
type renamer struct {
	from, to string
	toQuoted []byte
	objects  map[string]string // of the table's indexes and triggers, folded, to their new names
}

func newRenamer(from, to string) *renamer {
	return &renamer{from: from, to: to, toQuoted: []byte(QuoteIdent(to)), objects: map[string]string{}}
}

// edit rewrites one statement: what the tokens between edits are stays.
type edit struct {
	words
	done int // src[:done] is in out
	out  []byte
}

func newEdit(sql []byte) *edit {
	e := &edit{words: words{Lexer: Lexer{src: sql}}}
	e.next()
	return e
}

// put writes a quoted name in the place of a token, apart from any quotes
// around it, which would else become a part of it.
func (e *edit) put(t Token, name []byte) {
	e.out = append(e.out, e.src[e.done:t.Start]...)
	if t.Start > 0 && e.src[t.Start-1] == '"' {
		e.out = append(e.out, ' ')
	}
	e.out = append(e.out, name...)
	if t.End < len(e.src) && e.src[t.End] == '"' {
		e.out = append(e.out, ' ')
	}
	e.done = t.End
}

func (e *edit) finish() []byte { return append(e.out, e.src[e.done:]...) }

// here tells whether the token is a name, and which.
func (e *edit) here() (string, bool) { return identifier(e.Text(e.tok), e.tok.Kind) }

// replaceName puts text in the place of the name that stands here.
func (e *edit) replaceName(text []byte) {
	e.put(e.tok, text)
	e.next()
}

// create rewrites the CREATE of the table: its own name, where it references
// itself, and where it says its name before a column's.
func (r *renamer) create(sql []byte) []byte {
	e := newEdit(sql)
	e.is("CREATE")
	e.is("VIRTUAL")
	e.is("TABLE")
	e.replaceName(r.toQuoted)
	if e.word("USING") {
		return e.finish() // a module's arguments are its own
	}
	r.rest(e)
	return e.finish()
}

// index rewrites an index of the table.
func (r *renamer) index(sql []byte, name string) []byte {
	e := newEdit(sql)
	e.is("CREATE")
	e.is("UNIQUE")
	e.is("INDEX")
	e.replaceName([]byte(QuoteIdent(name)))
	e.is("ON")
	e.replaceName(r.toQuoted)
	r.rest(e)
	return e.finish()
}

// rest rewrites constraints and expressions that hold no query.
func (r *renamer) rest(e *edit) {
	for e.tok.Kind != TokenEnd {
		if e.is("REFERENCES") {
			if name, ok := e.here(); ok && equalFold(name, r.from) {
				e.replaceName(r.toQuoted)
			}
			continue
		}
		if _, ok := e.here(); ok {
			r.chain(e, false)
			continue
		}
		e.next()
	}
}

// chain steps over a name and those that stand behind it with a dot, and
// replaces the one that is the table: where a table is asked for the last, in
// an expression the one before the column. It tells whether it replaced one.
func (r *renamer) chain(e *edit, table bool) bool {
	var parts []Token
	at := -1 // of the table among them
	if table {
		at = 0
	}
	for {
		parts = append(parts, e.tok)
		e.next()
		if !e.punct('.') {
			break
		}
		at++
		if _, ok := e.here(); !ok {
			break // the star of x.*
		}
	}
	if at < 0 || at >= len(parts) {
		return false
	}
	name, _ := identifier(e.Text(parts[at]), parts[at].Kind)
	if !equalFold(name, r.from) {
		return false
	}
	e.put(parts[at], r.toQuoted)
	return true
}

// isRow tells whether the table is called as a trigger calls the row that was
// or that will be.
func (r *renamer) isRow() bool { return equalFold(r.from, "new") || equalFold(r.from, "old") }

// scope is what is known of one level of brackets in a trigger.
type scope struct {
	from   bool // within FROM
	expect bool // a table comes next
	after  bool // a table was just named: another name would be its alias
	in     bool // that table is the right side of IN
	with   bool // names of WITH are made
}

// trigger rewrites a trigger of the table: its name, the table it is on, and
// what in its body means that table. ErrInvalid where the body gives the
// table's name to something else as well.
func (r *renamer) trigger(sql []byte, name string) ([]byte, error) {
	e := newEdit(sql)
	e.is("CREATE")
	e.is("TRIGGER")
	e.replaceName([]byte(QuoteIdent(name)))
	for e.tok.Kind != TokenEnd && !e.is("ON") {
		e.next()
	}
	r.chain(e, true) // behind ON
	scopes := []scope{{}}
	for e.tok.Kind != TokenEnd {
		if !r.step(e, &scopes) {
			return nil, wrap(ErrInvalid, "the trigger %s cannot be put on %s: its text calls something else %s too",
				QuoteIdent(triggerName(sql)), QuoteIdent(r.to), QuoteIdent(r.from))
		}
	}
	return e.finish(), nil
}

func triggerName(sql []byte) string {
	_, _, name := classify(sql)
	return name
}

// step takes the next tokens of a trigger's body. It gives false where the
// table's name is given to something else.
func (r *renamer) step(e *edit, scopes *[]scope) bool {
	top := &(*scopes)[len(*scopes)-1]
	switch {
	case e.punct(';'):
		*scopes = []scope{{}}
	case e.punct('('):
		inner := scope{from: top.expect, expect: top.expect}
		top.after, top.expect = top.after || top.expect, false
		*scopes = append(*scopes, inner)
	case e.punct(')'):
		if len(*scopes) > 1 {
			*scopes = (*scopes)[:len(*scopes)-1]
		}
	case e.punct(','):
		top.expect, top.after = top.from, false
	case e.tok.Kind == TokenWord && r.keyword(e, top):
	default:
		return r.named(e, top)
	}
	return true
}

// keyword steps over the words that say what comes next.
func (r *renamer) keyword(e *edit, top *scope) bool {
	switch {
	case e.is("DISTINCT"):
		e.is("FROM") // IS DISTINCT FROM; a query's DISTINCT has columns behind it
	case e.is("FROM"):
		*top = scope{from: true, expect: true}
	case e.is("JOIN"):
		top.expect, top.after = true, false
	case e.is("INTO"):
		top.expect = true
	case e.is("UPDATE"):
		if e.is("OR") {
			e.next()
		}
		top.expect = !e.word("SET") // as in ON CONFLICT DO UPDATE SET
	case e.is("IN"):
		_, top.expect = e.here()
		top.in = top.expect
	case e.is("INDEXED"):
		if top.after = false; e.is("BY") {
			if name, ok := e.here(); ok && r.objects[fold(name)] != "" {
				e.put(e.tok, []byte(QuoteIdent(r.objects[fold(name)])))
			}
			e.next()
		}
	case e.is("WITH"):
		*top = scope{with: true}
		e.is("RECURSIVE")
	case e.is("ON"), e.is("USING"), e.is("NOT"), e.is("NATURAL"), e.is("LEFT"), e.is("RIGHT"), e.is("FULL"), e.is("INNER"), e.is("OUTER"), e.is("CROSS"):
		top.after = false
	case e.word("SELECT", "VALUES", "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "WINDOW", "UNION", "EXCEPT", "INTERSECT", "SET", "RETURNING"):
		e.next()
		*top = scope{}
	default:
		return false
	}
	return true
}

// named steps over a name, or anything else.
func (r *renamer) named(e *edit, top *scope) bool {
	as := e.is("AS")
	name, ok := e.here()
	switch {
	case !ok && as:
	case !ok:
		e.next()
	case top.expect:
		replaced := r.chain(e, true)
		top.expect, top.after = false, top.from && !top.in
		top.in = false
		return !replaced || !r.isRow()
	case top.after, top.with:
		e.next()
		top.after = false
		return !equalFold(name, r.from)
	case r.isRow():
		e.next()
	default:
		r.chain(e, false)
	}
	return true
}

// fold gives a name as SQLite compares names: ASCII letters in lower case.
func fold(name string) string {
	return strings.Map(func(c rune) rune {
		if c < 0x80 {
			return rune(lower(byte(c)))
		}
		return c
	}, name)
}

// command rewrites a row that is a command to a full-text table: the column
// that takes commands is called as the table is.
func (r *renamer) command(sql []byte) []byte {
	e := newEdit(sql)
	e.is("INSERT")
	e.is("INTO")
	e.replaceName(r.toQuoted)
	if e.punct('(') {
		if name, ok := e.here(); ok && equalFold(name, r.from) {
			e.replaceName(r.toQuoted)
		}
	}
	return e.finish()
}

// row gives a row's INSERT its new table; head is how it begins. Where the
// table's rows have a staging table it is renamed too.
func (r *renamer) row(dst, sql, head []byte, stage, newStage string) []byte {
	dst = append(dst, "INSERT INTO "...)
	dst = append(dst, r.toQuoted...)
	return append(dst, restage(sql[len(head):], stage, newStage)...)
}

// restage gives the staging table another name, wherever it stands as a name.
func restage(sql []byte, stage, newStage string) []byte {
	if stage == "" || stage == newStage || !bytes.Contains(sql, []byte(stage)) {
		return sql
	}
	e := newEdit(sql)
	for e.tok.Kind != TokenEnd {
		if e.tok.Kind == TokenQuoted {
			if name, _ := e.here(); name == stage {
				e.put(e.tok, []byte(QuoteIdent(newStage)))
			}
		}
		e.next()
	}
	return e.finish()
}

// unique gives name with the suffix, or with a number behind it too where that
// is taken, and takes it.
func unique(name, suffix string, taken map[string]bool) string {
	for n := 1; ; n++ {
		full := name + suffix
		if n > 1 {
			full = fmt.Sprintf("%s%s_%d", name, suffix, n)
		}
		if !taken[fold(full)] {
			taken[fold(full)] = true
			return full
		}
	}
}
