package export

import (
	"fmt"
	"slices"
	"strings"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// redacting works the rules of redaction into a plan. A rule that does not fit
// the schema ends the export before anything is read: exporting a secret under
// a mistyped rule would be worse than no copy.
type redacting struct {
	plan     *plan
	rules    map[string]backup.RedactionRule // by backup.Redaction.Key
	texts    map[*table]*tableText
	problems []string
}

// redact gives the parts of the plan their rules, and the names as the schema
// spells them. Errors: ErrInvalid, with every rule that cannot be kept.
func (p *plan) redact(rules []backup.Redaction, key []byte) error {
	if len(rules) == 0 {
		return nil
	}
	r := &redacting{plan: p, rules: map[string]backup.RedactionRule{}, texts: map[*table]*tableText{}}
	for _, rule := range rules {
		if rule.Rule == backup.RedactHash && len(key) == 0 {
			_, err := HashKey(nil)
			return err
		}
		if _, twice := r.rules[rule.Key()]; twice {
			r.problem(rule, "it is named twice")
		}
		r.rules[rule.Key()] = rule.Rule
	}
	for _, rule := range rules {
		r.one(rule)
	}
	r.links()
	if len(r.problems) > 0 {
		return &backup.Error{
			Kind: backup.ErrInvalid, Message: "the rules of redaction do not fit the database, so nothing was exported: " + strings.Join(r.problems, "; "),
			Next: "Mend the rules in patina.toml, or under Settings, Redaction, and back it up again. Earlier copies are untouched.",
		}
	}
	slices.SortFunc(p.redacted, func(a, b backup.Redaction) int { return strings.Compare(a.Key(), b.Key()) })
	for _, part := range p.parts {
		if slices.Contains(part.redact, backup.RedactHash) {
			part.hasher = newHasher(key)
		}
	}
	return nil
}

func (r *redacting) problem(rule backup.Redaction, format string, args ...any) {
	r.problems = append(r.problems, rule.String()+": "+fmt.Sprintf(format, args...))
}

// of gives the rule of a column, "" for none.
func (r *redacting) of(t *table, column string) backup.RedactionRule {
	return r.rules[backup.Redaction{Table: t.Name, Column: column}.Key()]
}

func (r *redacting) any(t *table) bool {
	return slices.ContainsFunc(t.Columns, func(c column) bool { return r.of(t, c.Name) != "" })
}

func (r *redacting) text(t *table) *tableText {
	if r.texts[t] == nil {
		r.texts[t] = parseTable(t.SQL)
	}
	return r.texts[t]
}

func (p *plan) part(name string) *part {
	i := slices.IndexFunc(p.parts, func(x *part) bool { return source.Fold(x.table.Name) == source.Fold(name) })
	if i < 0 {
		return nil
	}
	return p.parts[i]
}

// one looks whether a rule can be kept, and enters it.
func (r *redacting) one(rule backup.Redaction) {
	part := r.plan.part(rule.Table)
	if part == nil {
		r.problem(rule, "%s", r.missing(rule.Table))
		return
	}
	t := part.table
	i := slices.IndexFunc(t.Columns, func(c column) bool { return source.Fold(c.Name) == source.Fold(rule.Column) })
	if i < 0 || t.Columns[i].Hidden == 1 {
		r.problem(rule, "the table %s has no such column; it has %s", t.Name, listColumns(t))
		return
	}
	c := t.Columns[i]
	rule.Table, rule.Column = t.Name, c.Name
	if why := r.refuses(part, c, rule.Rule); why != "" {
		r.problem(rule, "%s", why)
		return
	}
	if part.redact == nil {
		part.redact = make([]backup.RedactionRule, len(part.sources))
	}
	part.redact[part.placeOf(c.Name)] = rule.Rule
	r.plan.redacted = append(r.plan.redacted, rule)
	r.copied(rule, t, c)
}

// missing says why no table of this name is exported.
func (r *redacting) missing(name string) string {
	fold := source.Fold(name)
	switch {
	case cloudflares(name) || internal(name):
		return "tables of SQLite's and Cloudflare's own cannot be redacted"
	case r.plan.schema.skipped[fold]:
		return "this is an inner table of a full-text index or the like, which no copy holds: name the virtual table itself"
	case slices.ContainsFunc(r.plan.schema.Objects, func(o entry) bool { return o.Type == "view" && source.Fold(o.Name) == fold }):
		return "this is a view: name the table from which its values come"
	}
	return "the database has no such table"
}

func listColumns(t *table) string {
	var names []string
	for _, c := range t.Columns {
		if c.Hidden != 1 {
			names = append(names, c.Name)
		}
	}
	if len(names) > 20 {
		names = append(names[:20], "…")
	}
	return strings.Join(names, ", ")
}

// refuses says why a column cannot be redacted so; "" where it can.
func (r *redacting) refuses(p *part, c column, rule backup.RedactionRule) string {
	t := p.table
	if t.Virtual {
		return refusesVirtual(p)
	}
	switch {
	case c.Hidden != 0:
		return "the column is generated and not in any copy: SQLite computes it when a copy is loaded; redact the columns it is computed from"
	case rule == backup.RedactNull && c.PK > 0:
		return "the column is part of the primary key, which cannot be null; use hash, or leave it"
	case rule == backup.RedactNull && c.NotNull:
		return "the column is NOT NULL, so that the copy would not load; use hash"
	case rule == backup.RedactHash && t.integerKey() >= 0 && c.PK > 0:
		return "an INTEGER PRIMARY KEY takes whole numbers alone, so that no hash can stand there"
	case rule == backup.RedactHash && t.WithoutRowid && c.PK > 0:
		return "the rows of a table WITHOUT ROWID lie in the order of this column, which would tell of its values and would not be that of their hashes"
	case rule == backup.RedactHash && t.Strict && !slices.Contains([]string{"text", "blob", "any"}, source.Fold(c.Type)):
		return "the table is STRICT and the column " + c.Type + ", which takes no hash; use null"
	case secretDefault(c.Default):
		return "the column has the default " + c.Default + ", which stands in the schema and so in every copy; take the default off the column first"
	}
	return r.constrained(t, c, rule)
}

// refusesVirtual says why the columns of a virtual table cannot be redacted.
func refusesVirtual(p *part) string {
	v := parseVirtual(p.table.SQL)
	content, elsewhere := v.option("content")
	switch {
	case !strings.HasPrefix(v.Module, "fts") || v.Module == "fts5vocab":
		return "no column of a virtual table of the module " + v.Module + " can be redacted"
	case elsewhere && content != "":
		return "this full-text index keeps no text of its own, and is built from " + content + " when a copy is loaded: redact the column there"
	case p.bare:
		return "no copy holds rows of this full-text index; take the rule away"
	}
	return ""
}

// constrained looks at what else of the table's definition depends on a column:
// a copy that does not load is none.
func (r *redacting) constrained(t *table, c column, rule backup.RedactionRule) string {
	text := r.text(t)
	names := append([]string{c.Name}, text.dependents(c.Name)...)
	for _, name := range names[1:] {
		if why := r.generated(t, name, rule); why != "" {
			return "the generated column " + name + " is computed from it, " + why
		}
	}
	for _, check := range text.checks {
		if !mentionsAny(check, names) {
			continue
		}
		if rule == backup.RedactHash {
			return "a CHECK looks at the column, and may not take the hash; use null where it can be null"
		}
		if len(names) > 1 && mentionsAny(check, names[1:]) || !strict(check) {
			return "a CHECK looks at the column and may not take NULL"
		}
	}
	for _, o := range r.plan.schema.Objects {
		if o.Type != "index" || source.Fold(o.Table) != source.Fold(t.Name) {
			continue
		}
		looks := slices.DeleteFunc(indexExpressions(o.SQL), func(e []string) bool { return !mentionsAny(e, names) })
		switch {
		case len(looks) == 0:
		case unique(o.SQL):
			return "the unique index " + o.Name + " looks into the column by an expression or a condition, and rows that differ might become the same to it"
		case rule == backup.RedactHash && slices.ContainsFunc(looks, func(e []string) bool { return !harmless(e) }):
			return "the index " + o.Name + " computes from the column, and may not take the hash; use null where it can be null"
		}
	}
	return ""
}

// generated says why a generated column that depends on a redacted one stands
// in the way; "" where it does not.
func (r *redacting) generated(t *table, name string, rule backup.RedactionRule) string {
	i := slices.IndexFunc(t.Columns, func(c column) bool { return source.Fold(c.Name) == source.Fold(name) })
	if i < 0 {
		return ""
	}
	inKey := func(k keyColumn) bool { return k.Column == i }
	switch {
	case rule == backup.RedactNull && t.Columns[i].NotNull:
		return "and is NOT NULL"
	case rule == backup.RedactHash && (t.Strict || !harmless(r.text(t).generated[source.Fold(name)])):
		return "in a way that may not take the hash; use null where it can be null"
	case slices.ContainsFunc(t.Unique, func(u []keyColumn) bool { return slices.ContainsFunc(u, inKey) }):
		return "and must be unique"
	case slices.ContainsFunc(t.References, func(f reference) bool {
		return slices.ContainsFunc(f.From, func(c string) bool { return source.Fold(c) == source.Fold(name) })
	}):
		return "and is part of a foreign key"
	}
	return ""
}

// links looks at foreign keys: both sides must be redacted in such a way that
// what was equal is equal still. A NULL references nothing.
func (r *redacting) links() {
	for _, part := range r.plan.parts {
		for _, f := range part.table.References {
			parent := r.plan.part(f.Table)
			if parent == nil {
				continue
			}
			columns := f.Columns
			if len(columns) == 0 {
				columns = parent.table.primaryKey()
			}
			for i := range min(len(columns), len(f.From)) {
				r.link(part.table, f.From[i], parent.table, columns[i])
			}
		}
	}
}

func (r *redacting) link(child *table, from string, parent *table, to string) {
	c, p := r.of(child, from), r.of(parent, to)
	from, to = child.spelling(from), parent.spelling(to)
	at := backup.Redaction{Table: child.Name, Column: from, Rule: c}
	there := backup.Redaction{Table: parent.Name, Column: to, Rule: p}
	switch {
	case c == backup.RedactNull, c == "" && p == "":
	case c == "":
		r.problem(there, "%s references the column, and would point nowhere; redact that too, by hash on both sides or null there", at.Name())
	case p != backup.RedactHash:
		r.problem(at, "the column references %s, and its hash would point nowhere; give that the rule hash too, or use null", there.Name())
	case collationOf(parent, to) != "binary" || affinity(typeOf(child, from)) != affinity(typeOf(parent, to)):
		r.problem(at, "the column and %s, which it references, are compared by collation or type, and their hashes would not be equal where they are; use null", there.Name())
	}
}

func collationOf(t *table, column string) string {
	if c, ok := columnCollations(t.SQL)[source.Fold(column)]; ok {
		return c
	}
	return "binary"
}

func typeOf(t *table, column string) string {
	for _, c := range t.Columns {
		if source.Fold(c.Name) == source.Fold(column) {
			return c.Type
		}
	}
	return ""
}

// affinity of a declared type (https://www.sqlite.org/datatype3.html, section
// 3.1), the numeric ones taken together.
func affinity(declared string) string {
	t := source.Fold(declared)
	switch {
	case numericAffinity(declared):
		return "numeric"
	case strings.Contains(t, "char") || strings.Contains(t, "clob") || strings.Contains(t, "text"):
		return "text"
	}
	return "blob"
}

// copied looks where else the column's values may lie: what a trigger copies,
// and a full-text index that keeps its own text.
func (r *redacting) copied(rule backup.Redaction, t *table, c column) {
	told := map[string]bool{}
	for _, o := range r.plan.schema.Objects {
		if o.Type != "trigger" || source.Fold(o.Table) != source.Fold(t.Name) {
			continue
		}
		tokens := tokensOf(o.SQL)
		if !readsRow(tokens, c.Name) {
			continue
		}
		for _, name := range written(tokens) {
			to := r.plan.part(name)
			switch {
			case to == nil || to.table == t || to.bare || told[source.Fold(name)]:
			case to.table.Virtual:
				r.indexed(rule, to.table, c.Name)
			case !r.any(to.table):
				r.plan.find("redaction-copied", to.table.Name, false, "the trigger %s reads %s and writes to %s, of which nothing is redacted: look whether it copies what must not be kept", o.Name, rule.Name(), to.table.Name)
			}
			told[source.Fold(name)] = true
		}
	}
	for _, to := range r.plan.parts {
		named := strings.Contains(source.Fold(to.table.Name), source.Fold(t.Name))
		if v := to.table; v.Virtual && v != t && named && !to.bare && !told[source.Fold(v.Name)] && hasColumn(v, c.Name) {
			r.indexed(rule, v, c.Name)
		}
	}
}

// indexed refuses a rule whose values stand in a full-text index as well, which
// has no rule for them.
func (r *redacting) indexed(rule backup.Redaction, t *table, column string) {
	if hasColumn(t, column) && r.of(t, column) != "" || !hasColumn(t, column) && r.any(t) {
		return
	}
	where := t.Name
	if hasColumn(t, column) {
		where += "." + t.spelling(column)
	}
	r.problem(rule, "the full-text index %s keeps the same words in a copy of its own: give %s a rule too", t.Name, where)
}

func hasColumn(t *table, name string) bool {
	return slices.ContainsFunc(t.Columns, func(c column) bool { return c.Hidden != 1 && source.Fold(c.Name) == source.Fold(name) })
}

// apply gives a row as the copy holds it. What it gives is good until the next.
func (p *part) apply(row []dump.Value) []dump.Value {
	if p.hasher == nil { // the rule null is kept by the query
		return row
	}
	p.kept = append(p.kept[:0], row...)
	if p.sums == nil {
		p.sums = make([][]byte, len(row))
	}
	for i, rule := range p.redact {
		switch rule {
		case backup.RedactHash:
			p.kept[i] = p.hasher.value(row[i], p.sums[i])
			if row[i].Kind != dump.Null {
				p.sums[i] = p.kept[i].Bytes
			}
		case backup.RedactNull:
			p.kept[i] = dump.Value{Kind: dump.Null}
		}
	}
	return p.kept
}
