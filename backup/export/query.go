package export

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// D1's limits that shape a query: 100 result columns, and statements of
// 100,000 bytes; a little is left free of each.
const (
	maxOutputs   = 98
	maxStatement = 99_000
	maxList      = 60_000 // bytes of a SELECT's expressions
)

// mode is how a column's values are asked for.
type mode uint8

const (
	tagged mode = iota // one output; see tagOf
	asHex              // text as hexadecimal: JSON would spoil what is not UTF-8
	pieces             // text and blobs in pieces: one answer may not exceed 2 MB
)

// pieceBytes is the length of a piece before it is written in hexadecimal, and
// pieceCount how many there are: together more than the 2,000,000 bytes that a
// value of D1 may have.
const (
	pieceBytes = 500_000
	pieceCount = 5
)

// output gives the expressions that ask for a column. The first begins with a
// letter that says what it holds:
//
//	't' + the text itself     'x' + hexadecimal of a text     a JSON number: a real
//	'T', 'B': a text or blob whose hexadecimal is in the expressions after it
//	anything else is what SQLite's quote() writes: NULL, an integer, X'…', ±Inf
//
// quote() is exact for integers to 64 bits, and JSON numbers are exact for
// reals; JSON has no infinities, so these go through quote() too.
func output(c string, m mode) []string {
	realOr := "WHEN 'real' THEN CASE WHEN " + c + " IN (9e999,-9e999) THEN quote(" + c + ") ELSE " + c + " END ELSE quote(" + c + ") END"
	switch m {
	case asHex:
		return []string{"CASE typeof(" + c + ") WHEN 'text' THEN 'x'||hex(CAST(" + c + " AS BLOB)) " + realOr}
	case pieces:
		out := []string{"CASE typeof(" + c + ") WHEN 'text' THEN 'T' WHEN 'blob' THEN 'B' " + realOr}
		for i := range pieceCount {
			out = append(out, fmt.Sprintf("CASE WHEN typeof(%s) IN ('text','blob') THEN hex(substr(CAST(%[1]s AS BLOB),%d,%d)) END", c, i*pieceBytes+1, pieceBytes))
		}
		return out
	}
	return []string{"CASE typeof(" + c + ") WHEN 'text' THEN 't'||" + c + " " + realOr}
}

// paging is how a table's next page is found.
type paging uint8

const (
	byRowid  paging = iota // WHERE rowid > …
	byKey                  // the primary key of a WITHOUT ROWID table
	byOffset               // rows that cannot be named: OFFSET, which reads again what it skips
)

// part is the rows of one table, as they are asked for.
type part struct {
	table   *table
	dump    dump.Table
	sources []string // what is read, in the order of the dump's values: quoted names with their alias, or the rowid
	modes   []mode
	paging  paging
	rowid   string // the expression that is the rowid; "" where it has no name
	key     []int  // places among the sources of the columns that page the table
	keySQL  []string
	desc    []bool
	bare    bool                   // only the definition is written, no rows
	missing []missing              // tables that come later and that its foreign keys name
	first   []string               // its own indexes that stand before its rows
	indexes []string               // and behind them: other tables may reference them
	watch   *watch                 // over its rows; nil where nothing of them can trouble D1
	refused []backup.Finding       // why D1 would take no row of it
	redact  []backup.RedactionRule // what stands instead of each value, "" for itself; nil where nothing is redacted
	hasher  *hasher                // nil where nothing is hashed
	kept    []dump.Value           // the last row as the copy holds it
	sums    [][]byte               // its hashes
}

// alias is the name of the table within a query: a column of the user's cannot
// be mistaken for the query's own names when each is written with it.
const alias = "t0"

// newPart works out how the rows of a table are read and written.
func newPart(t *table) *part {
	p := &part{table: t, dump: dump.Table{Name: t.Name, SQL: t.SQL, AllColumns: true, Virtual: t.Virtual}}
	taken := map[string]bool{}
	for _, c := range t.Columns {
		taken[source.Fold(c.Name)] = true
		if c.Hidden != 0 {
			p.dump.AllColumns = p.dump.AllColumns && c.Hidden == 1
		}
	}
	for _, name := range []string{"rowid", "_rowid_", "oid"} {
		if !taken[name] {
			p.rowid = alias + "." + name
			p.dump.RowidName = name
			break
		}
	}
	place := make([]int, len(t.Columns))
	rowidColumn := -1
	for i, c := range t.Columns {
		if c.Hidden != 0 {
			place[i] = -1
			continue
		}
		place[i] = len(p.dump.Columns)
		p.dump.Columns = append(p.dump.Columns, c.Name)
		p.sources = append(p.sources, alias+"."+dump.QuoteIdent(c.Name))
		if c.PK > 0 {
			rowidColumn = i
		}
	}
	switch {
	case t.WithoutRowid:
		p.paging = byKey
		for _, k := range t.Key {
			p.key = append(p.key, place[k.Column])
			p.keySQL = append(p.keySQL, p.sources[place[k.Column]]+" COLLATE "+dump.QuoteIdent(k.Collate))
			p.desc = append(p.desc, k.Desc)
		}
	case rowidColumn >= 0 && len(t.Key) == 0 && !t.Virtual:
		// An INTEGER PRIMARY KEY is the rowid: SQLite keeps no index for it.
		p.key, p.keySQL = []int{place[rowidColumn]}, []string{p.sources[place[rowidColumn]]}
	case p.rowid == "":
		p.paging = byOffset
	default:
		p.dump.Rowid = true
		p.sources = slices.Insert(p.sources, 0, p.rowid)
		p.key, p.keySQL = []int{0}, []string{p.rowid}
	}
	if len(p.desc) == 0 {
		p.desc = make([]bool, len(p.key))
	}
	p.modes = make([]mode, len(p.sources))
	return p
}

// page says which rows are wanted.
type page struct {
	after  []string // literals of the last row's key; nil for the first page
	limit  int      // 0: all
	offset int64    // for byOffset
}

// selects gives the statements that ask for a page: one, or several over the
// same rows where the values do not fit one answer's columns; and for each how
// many of the part's values it carries. The last one is the widest.
func (p *part) selects(q page) (statements []string, counts []int) {
	type group struct {
		inner, outer []string
		bytes, n     int
	}
	var groups []group
	g := group{}
	for i, s := range p.sources {
		if p.redact != nil && p.redact[i] == backup.RedactNull {
			s = "NULL" // so that the value never leaves the database
		}
		name := "c" + strconv.Itoa(i)
		out := output(name, p.modes[i])
		size := len(s) + len(strings.Join(out, ","))
		if g.n > 0 && (len(g.outer)+len(out) > maxOutputs || g.bytes+size > maxList) {
			groups = append(groups, g)
			g = group{}
		}
		g.inner = append(g.inner, s+" AS "+name)
		g.outer = append(g.outer, out...)
		g.bytes += size
		g.n++
	}
	groups = append(groups, g)
	tail := p.tail(q)
	for _, g := range groups {
		from := " FROM " + dump.QuoteIdent(p.table.Name) + " AS " + alias
		if p.paging == byOffset {
			from += " NOT INDEXED"
		}
		statements = append(statements, "SELECT "+strings.Join(g.outer, ",")+" FROM (SELECT "+strings.Join(g.inner, ",")+from+tail+")")
		counts = append(counts, g.n)
	}
	return statements, counts
}

func (p *part) tail(q page) string {
	var b strings.Builder
	if len(q.after) > 0 && q.offset == 0 {
		b.WriteString(" WHERE " + p.beyond(q.after))
	}
	if p.paging != byOffset {
		b.WriteString(" ORDER BY ")
		for i, k := range p.keySQL {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(k)
			if p.desc[i] {
				b.WriteString(" DESC")
			}
		}
	}
	if q.limit > 0 {
		fmt.Fprintf(&b, " LIMIT %d", q.limit)
		if q.offset > 0 {
			fmt.Fprintf(&b, " OFFSET %d", q.offset)
		}
	}
	return b.String()
}

// beyond is the condition that a row comes after the one with this key. A key
// whose columns all run the same way is compared as a row value, which SQLite
// answers from the key's own tree.
func (p *part) beyond(after []string) string {
	compare := func(i int) string {
		if p.desc[i] {
			return " < "
		}
		return " > "
	}
	if len(after) == 1 {
		return p.keySQL[0] + compare(0) + after[0]
	}
	if !slices.Contains(p.desc, !p.desc[0]) {
		return "(" + strings.Join(p.keySQL, ", ") + ")" + compare(0) + "(" + strings.Join(after, ", ") + ")"
	}
	var or []string
	for i := range after {
		var and []string
		for j := range i {
			and = append(and, p.keySQL[j]+" = "+after[j])
		}
		or = append(or, "("+strings.Join(append(and, p.keySQL[i]+compare(i)+after[i]), " AND ")+")")
	}
	return strings.Join(or, " OR ")
}

// literals writes the key of a row so that it can stand in the next page's
// condition: inline, since a bound number would arrive as a double. The unary
// plus takes the affinity off a CAST, which would otherwise change what it is
// compared with. It gives nil where the literals would not fit a statement.
func (p *part) literals(row []dump.Value) []string {
	after := make([]string, len(p.key))
	size := 0
	for i, k := range p.key {
		after[i] = "+" + string(dump.AppendLiteral(nil, row[k]))
		size += (len(p.key) - i) * len(after[i])
	}
	if size > maxStatement-maxList-10_000 {
		return nil
	}
	return after
}
