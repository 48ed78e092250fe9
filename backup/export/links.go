package export

import (
	"fmt"
	"slices"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// missing is a table that a foreign key names and that comes later in the dump.
type missing struct {
	name string
	keys [][]string // columns that are referenced together
}

// linkParts gives each table what D1's importer, which knows no way to switch
// foreign keys off, needs to take its rows: placeholders for the tables of a
// cycle that come later, and in time the unique indexes that may be the keys
// which other tables reference. What it will refuse nevertheless is found here.
func (p *plan) linkParts() {
	place := map[string]int{}
	for i, part := range p.parts {
		place[source.Fold(part.table.Name)] = i
	}
	parents := map[string]int{} // the earliest table that references this one
	for i, part := range p.parts {
		for _, r := range part.table.References {
			at, ok := place[r.Table]
			if !ok {
				part.refuse("parent-missing", "a foreign key names the table %q, which does not exist: D1's importer refuses every row of this table until it does", r.Table)
				continue
			}
			parent := p.parts[at]
			if !parent.table.hasKey(r) {
				part.refuse("key-mismatch", "a foreign key names columns of %q that are not its key and have no unique index of their own: D1's importer refuses every row of this table until they have", parent.table.Name)
				continue
			}
			if _, seen := parents[r.Table]; !seen {
				parents[r.Table] = i
			}
			if at > i {
				part.miss(parent.table, r.Columns)
			}
			if at >= i {
				part.watchLink(parent, r)
			}
		}
	}
	for _, o := range p.schema.Objects {
		i, ok := place[source.Fold(o.Table)]
		if !ok || o.Type != "index" || !unique(o.SQL) {
			continue
		}
		switch first, referenced := parents[source.Fold(o.Table)]; {
		case !referenced:
		case first <= i: // rows that reference these may be there already
			p.parts[i].first = append(p.parts[i].first, o.SQL)
		default:
			p.parts[i].indexes = append(p.parts[i].indexes, o.SQL)
		}
	}
}

// refuse notes why D1 would take no row of the table.
func (p *part) refuse(code, message string, args ...any) {
	p.refused = append(p.refused, backup.Finding{Code: code, Object: p.table.Name, Message: fmt.Sprintf(message, args...)})
}

// hasKey tells whether SQLite finds a key for what r references in the table
// (https://www.sqlite.org/foreignkeys.html, section 3).
func (t *table) hasKey(r reference) bool {
	if id := t.integerKey(); id >= 0 && len(r.From) == 1 && (len(r.Columns) == 0 || source.Fold(r.Columns[0]) == source.Fold(t.Columns[id].Name)) {
		return true
	}
	if len(r.Columns) == 0 {
		return len(t.Key) > 0 && len(t.Key) == len(r.From)
	}
	collations := columnCollations(t.SQL)
	covers := func(index []keyColumn) bool {
		if len(index) != len(r.Columns) {
			return false
		}
		for _, k := range index {
			if k.Column < 0 {
				return false
			}
			name := source.Fold(t.Columns[k.Column].Name)
			collation, ok := collations[name]
			if !ok {
				collation = "binary"
			}
			if source.Fold(k.Collate) != collation || !slices.ContainsFunc(r.Columns, func(c string) bool { return source.Fold(c) == name }) {
				return false
			}
		}
		return true
	}
	return slices.ContainsFunc(t.Unique, covers)
}

// integerKey gives the place of the column that is the rowid, or -1.
func (t *table) integerKey() int {
	if len(t.Key) > 0 || t.Virtual || t.WithoutRowid {
		return -1
	}
	return slices.IndexFunc(t.Columns, func(c column) bool { return c.PK > 0 })
}

// columnCollations reads the collations that a CREATE TABLE gives its columns:
// no pragma tells them. Names and collations come folded.
func columnCollations(sql string) map[string]string {
	out := map[string]string{}
	depth, begins, collate := 0, false, false
	name := ""
	for i := 0; i < len(sql); {
		j := skipToken(sql, i)
		text := sql[i:j]
		i = j
		if blank(text) {
			continue
		}
		switch {
		case text == "(":
			depth++
			begins = depth == 1
			continue
		case text == ")":
			depth--
		case depth != 1:
		case text == ",":
			begins = true
			continue
		case begins:
			name = source.Fold(unquote(text))
		case collate:
			out[name] = source.Fold(unquote(text))
		}
		begins, collate = false, depth == 1 && source.Fold(text) == "collate"
	}
	return out
}

// blank tells whether a token is white space or a comment.
func blank(token string) bool {
	switch token[0] {
	case ' ', '\t', '\n', '\f', '\r':
		return true
	}
	return len(token) > 1 && (token[:2] == "--" || token[:2] == "/*")
}

// miss notes that a later table is referenced by these columns of it.
func (p *part) miss(t *table, columns []string) {
	if len(columns) == 0 {
		columns = t.primaryKey()
	}
	i := slices.IndexFunc(p.missing, func(m missing) bool { return m.name == t.Name })
	if i < 0 {
		p.missing = append(p.missing, missing{name: t.Name})
		i = len(p.missing) - 1
	}
	same := func(key []string) bool { return slices.Equal(key, columns) }
	if !slices.ContainsFunc(p.missing[i].keys, same) {
		p.missing[i].keys = append(p.missing[i].keys, columns)
	}
}

// primaryKey gives the columns of the primary key, in its order.
func (t *table) primaryKey() (columns []string) {
	pk := slices.Clone(t.Columns)
	slices.SortStableFunc(pk, func(a, b column) int { return a.PK - b.PK })
	for _, c := range pk {
		if c.PK > 0 {
			columns = append(columns, c.Name)
		}
	}
	return columns
}

// unique tells whether a statement is CREATE UNIQUE INDEX.
func unique(sql string) bool {
	for i, n := 0, 0; i < len(sql); {
		j := skipToken(sql, i)
		if word := source.Fold(sql[i:j]); wordByte(sql[i]) {
			if n++; n == 2 {
				return word == "unique"
			}
		}
		i = j
	}
	return false
}

// placeOf gives the place of a column among the part's values, or -1 where it
// is not read: a generated one.
func (p *part) placeOf(name string) int {
	return slices.Index(p.sources, alias+"."+dump.QuoteIdent(p.table.spelling(name)))
}

// spelling gives a column's name as the table has it.
func (t *table) spelling(name string) string {
	for _, c := range t.Columns {
		if source.Fold(c.Name) == source.Fold(name) {
			return c.Name
		}
	}
	return name
}
