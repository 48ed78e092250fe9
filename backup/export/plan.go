package export

import (
	"fmt"
	"slices"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// plan is what an attempt will read and write, worked out from the schema.
type plan struct {
	schema   *schema
	parts    []*part // in the order of the dump
	extras   []extra
	findings []backup.Finding
	fks      bool               // some table has a foreign key
	redacted []backup.Redaction // as the schema spells the names
}

// extra is a short list that is read beside the tables: its query has one
// output an expression, texts as hexadecimal.
type extra struct {
	part  string     // of the dump
	query string     // "" for none
	table dump.Table // of SQLite's own, into which the rows go; or
	into  string     // INSERT INTO … VALUES, for the settings of a full-text index
	last  string     // a statement after the rows; "" for none
}

const (
	partSequences  = "sequences"
	partIndexes    = "indexes"
	partViews      = "views"
	partTriggers   = "triggers"
	partStatistics = "statistics"
	partSearch     = "fts"
)

func listQuery(from string, columns ...string) string {
	q := "SELECT "
	for i, c := range columns {
		if i > 0 {
			q += ","
		}
		q += output(c, asHex)[0]
	}
	return q + " FROM " + from
}

// newPlan decides how each table is read. modes holds what earlier attempts
// learned of columns, by table and column name.
func newPlan(s *schema, modes map[string]mode) *plan {
	p := &plan{schema: s}
	var ordinary, indexed, others []*table
	for _, t := range s.Tables {
		p.fks = p.fks || len(t.References) > 0
		switch {
		case !t.Virtual:
			ordinary = append(ordinary, t)
		case parseVirtual(t.SQL).Module == "fts5vocab": // looks into another one
			others = append(others, t)
		default:
			indexed = append(indexed, t)
		}
	}
	for _, t := range slices.Concat(order(ordinary), order(indexed), order(others)) {
		p.add(t, modes)
	}
	p.linkParts()
	p.addOwn(partSequences, "sqlite_sequence", "name", "name", "seq")
	p.addOwn(partStatistics, "sqlite_stat1", "tbl", "tbl", "idx", "stat")
	return p
}

func (p *plan) find(code, object string, serious bool, message string, args ...any) {
	p.findings = append(p.findings, backup.Finding{Code: code, Object: object, Serious: serious, Message: fmt.Sprintf(message, args...)})
}

func (p *plan) add(t *table, modes map[string]mode) {
	part := newPart(t)
	for i, source := range part.sources {
		part.modes[i] = modes[t.Name+"\x00"+source]
	}
	if t.Virtual {
		p.addVirtual(part)
	} else if part.paging == byOffset {
		p.find("rowid-unreachable", t.Name, false, "columns called rowid, _rowid_ and oid hide the row numbers of this table, which are not kept")
	}
	if len(part.dump.Columns) == 0 {
		part.bare = true
	}
	part.watchNumbers()
	p.parts = append(p.parts, part)
}

// addVirtual decides what is kept of a virtual table besides its definition.
func (p *plan) addVirtual(part *part) {
	t := part.table
	v := parseVirtual(t.SQL)
	switch {
	case t.Unreadable != nil:
		part.bare = true
		p.find("virtual-unreadable", t.Name, true, "the module %s is missing here, so the rows of this table are not in the copy", v.Module)
	case v.Module == "fts5":
		p.addFTS5(part, v)
	case v.Module == "fts3" || v.Module == "fts4":
		if content, ok := v.option("content"); ok {
			part.bare = true
			p.addSearch(t.Name, content)
		}
	case v.Module == "rtree" || v.Module == "rtree_i32":
		// The first column is the row's number by another name.
		if part.dump.Rowid {
			part.dump.Rowid, part.sources, part.modes = false, part.sources[1:], part.modes[1:]
		}
	default:
		part.bare = true
		if v.Module != "fts5vocab" {
			p.find("virtual-unknown", t.Name, true, "only the definition of this virtual table is kept: what rows of the module %s mean is not known", v.Module)
		}
	}
}

// addFTS5 keeps an FTS5 table by where its text lies: in itself, in another
// table (then the index is built again on loading), or nowhere
// (https://www.sqlite.org/fts5.html, section 4.4).
func (p *plan) addFTS5(part *part, v virtual) {
	name := part.table.Name
	content, elsewhere := v.option("content")
	part.bare = elsewhere
	if elsewhere && content == "" {
		p.find("fts5-contentless", name, true, "this full-text index keeps no text (content=''): only its definition is in the copy, and the application must fill it again")
	}
	p.addSearch(name, content)
}

// addSearch keeps the settings that an FTS table stores in a shadow table, and
// has its index built again where its text lies in another table.
func (p *plan) addSearch(name, content string) {
	q := dump.QuoteIdent(name)
	e := extra{part: partSearch, into: q + "(" + q + ",rank)"}
	if p.schema.skipped[source.Fold(name+"_config")] {
		e.query = listQuery(dump.QuoteIdent(name+"_config")+" WHERE k <> 'version' ORDER BY k", "k", "v")
	}
	switch {
	case content == "":
	case p.schema.has(content):
		e.last = "INSERT INTO " + q + "(" + q + ") VALUES('rebuild')"
	default:
		p.find("fts-content-missing", name, true, "this full-text index takes its text from %q, which does not exist: its index is left empty", content)
	}
	if e.query != "" || e.last != "" {
		p.extras = append(p.extras, e)
	}
}

// addOwn keeps a table of SQLite's own: the counters of AUTOINCREMENT, or what
// ANALYZE learned. Cloudflare's tables are left out of it.
func (p *plan) addOwn(part, name, of string, columns ...string) {
	if !p.schema.has(name) {
		return
	}
	p.extras = append(p.extras, extra{
		part:  part,
		query: listQuery(name+" WHERE "+of+" NOT LIKE '\\_cf\\_%' ESCAPE '\\' ORDER BY rowid", columns...),
		table: dump.Table{Name: name, Columns: columns, AllColumns: true},
	})
}

// begin writes a table's definition and what its rows need.
func (p *part) begin(w *dump.Writer) error {
	if err := w.BeginTable(p.dump); err != nil {
		return err
	}
	for _, m := range p.missing {
		if err := w.Placeholder(m.name, m.keys...); err != nil {
			return err
		}
	}
	for _, sql := range p.first {
		if err := w.Index(sql); err != nil {
			return err
		}
	}
	return nil
}

// end writes what follows a table's rows.
func (p *part) end(w *dump.Writer) error {
	for _, sql := range p.indexes {
		if err := w.Index(sql); err != nil {
			return err
		}
	}
	return w.EndTable()
}

// schemaPart gives the statements of a kind of object, in the order in which
// they were made: triggers of one table fire by it. Indexes that stand with
// their table are left out.
func (p *plan) schemaPart(kind string) []string {
	var out []string
	for _, o := range p.schema.Objects {
		with := func(part *part) bool {
			return source.Fold(part.table.Name) == source.Fold(o.Table) && (slices.Contains(part.first, o.SQL) || slices.Contains(part.indexes, o.SQL))
		}
		if o.Type == kind && !(kind == "index" && slices.ContainsFunc(p.parts, with)) {
			out = append(out, o.SQL)
		}
	}
	return out
}
