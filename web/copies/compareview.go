package copies

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// compared is what the page of a comparison shows.
type compared struct {
	Title         string
	Name, Href    string // of the database
	Before, After sideView
	OtherDatabase bool // the two are not of the same one
	Table         string
	All           string // the comparison of everything, where this is of one table
	Same          bool
	SameBody      bool
	Verdict       string
	Tables        []tableChange
	Objects       []objectChange
	Counters      []counterChange
	Other         []string
	Rows          []rowChange
	MoreRows      string
	RowsShown     bool
	Loader        bool
}

type sideView struct {
	Name, Href, Date, Kind string
	Stamp                  ui.Moment
	Mark                   ui.Mark
	Rows, Size             string
}

type tableChange struct {
	Name                    string
	Mark                    ui.Mark
	Added, Removed, Changed string // "" for none
	Rows                    string
	Notes                   []string
	Before, After           string // definitions, where they differ
	RowsHref                string
}

type objectChange struct {
	Kind, Name, Table string
	Mark              ui.Mark
	Before, After     string
}

type counterChange struct{ Table, Before, After string }

// rowChange is a row: what identifies it, and what its values were and are.
type rowChange struct {
	Mark   ui.Mark
	Key    []fieldView
	Fields []fieldView
}

type fieldView struct {
	Name          string
	Before, After *valueView // nil where it is not on that side
}

type valueView struct {
	Text string
	Kind string // shown behind it where the text does not tell
}

func changeMark(c dump.Change) ui.Mark {
	switch c {
	case dump.Added:
		return ui.Mark{State: "proven", Icon: "plus", Word: "added"}
	case dump.Removed:
		return ui.Mark{State: "failed", Icon: "minus", Word: "removed"}
	}
	return ui.Mark{State: "attention", Icon: "pencil", Word: "changed"}
}

func escapeQuery(s string) string { return url.QueryEscape(s) }

func sideOf(c backup.Copy) sideView {
	return sideView{
		Name: ui.Name(c.DatabaseName), Href: showPath(c), Date: c.Date.String(), Kind: string(c.Kind), Stamp: ui.Stamp(c.TakenAt), Mark: ui.CopyMark(c),
		Rows: ui.Count(c.Rows), Size: ui.Bytes(c.Size),
	}
}

func compareView(d *comparison, before, after backup.Copy, q question, _ time.Time, who ui.Who) compared {
	path := diffPath(before.ID, after.ID)
	m := compared{
		Title: "What changed in " + ui.Name(after.DatabaseName), Name: ui.Name(after.DatabaseName), Href: "/databases/" + ui.Ref(after.DatabaseName, after.DatabaseID),
		Before: sideOf(before), After: sideOf(after), OtherDatabase: before.DatabaseID != after.DatabaseID,
		Same: d.Same, SameBody: before.BodySHA256 == after.BodySHA256, RowsShown: q.rows, Loader: who.Downloader,
	}
	if q.table != "" {
		m.Table, m.All = ui.Name(q.table), path
	}
	m.Verdict = verdict(d.Difference)
	for _, t := range d.Tables {
		m.Tables = append(m.Tables, tableChangeOf(t, path, who.Downloader && !q.rows))
	}
	for _, o := range d.Objects {
		m.Objects = append(m.Objects, objectChange{o.Kind, ui.Name(o.Name), ui.Name(o.Table), changeMark(o.Change), definition(o.Before), definition(o.After)})
	}
	for _, s := range d.Sequences {
		c := counterChange{ui.Name(s.Table), s.Before, s.After}
		if c.Before == "" {
			c.Before = "–"
		}
		if c.After == "" {
			c.After = "–"
		}
		m.Counters = append(m.Counters, c)
	}
	for _, o := range d.Other {
		m.Other = append(m.Other, otherWords(o))
	}
	for _, r := range d.Rows {
		m.Rows = append(m.Rows, rowChangeOf(r))
	}
	if more := d.RowsFound - int64(len(d.Rows)); more > 0 {
		m.MoreRows = ui.Plural(more, "more row differs", "more rows differ") + ". patina diff " + before.ID + " " + after.ID + " --table " + ui.Shell(ui.Name(q.table)) + " --rows --limit 0 shows them all."
	}
	return m
}

// verdict says in a sentence how much changed.
func verdict(d *dump.Difference) string {
	var added, removed, changed int64
	came, went := 0, 0
	for _, t := range d.Tables {
		added, removed, changed = added+t.Added, removed+t.Removed, changed+t.Changed
		switch t.Change {
		case dump.Added:
			came++
		case dump.Removed:
			went++
		}
	}
	var parts []string
	count := func(n int64, one, many string) {
		if n > 0 {
			parts = append(parts, strings.Replace(ui.Plural(n, one, many), " ", "\u00a0", 1))
		}
	}
	count(added, "row added", "rows added")
	count(removed, "row removed", "rows removed")
	count(changed, "row changed", "rows changed")
	count(int64(came), "new table", "new tables")
	count(int64(went), "table gone", "tables gone")
	if len(parts) == 0 {
		if d.Same() {
			return "Nothing changed."
		}
		return "No row changed."
	}
	return strings.Join(parts, ", ") + "."
}

func tableChangeOf(t dump.TableDiff, path string, loader bool) tableChange {
	c := tableChange{Name: ui.Name(t.Name), Mark: changeMark(t.Change), Rows: ui.Count(t.RowsBefore) + " → " + ui.Count(t.RowsAfter)}
	if t.RowsBefore == t.RowsAfter {
		c.Rows = ui.Count(t.RowsAfter)
	}
	sign := func(sign string, n int64) string {
		if n == 0 {
			return ""
		}
		return sign + ui.Count(n)
	}
	c.Added, c.Removed, c.Changed = sign("+", t.Added), sign("−", t.Removed), sign("~", t.Changed)
	for _, n := range t.ColumnsAdded {
		c.Notes = append(c.Notes, "new column "+ui.Name(n)+", whose values are not compared")
	}
	for _, n := range t.ColumnsRemoved {
		c.Notes = append(c.Notes, "without the column "+ui.Name(n))
	}
	switch t.Way {
	case dump.NotAtAll:
		c.Notes = append(c.Notes, "its key is another one, so that the rows cannot be told apart")
	case dump.ByRow:
		c.Notes = append(c.Notes, "it has no key: a row that changed counts as removed and added")
	}
	if t.SQLBefore != t.SQLAfter {
		c.Before, c.After = definition(t.SQLBefore), definition(t.SQLAfter)
	}
	if loader && t.Added+t.Removed+t.Changed > 0 {
		c.RowsHref = path + "?rows=1&table=" + escapeQuery(t.Name)
	}
	return c
}

// maxDefinition is how much of a definition the page shows, in bytes.
const maxDefinition = 20_000

// definition makes the text of a schema fit for a page; its lines stay lines.
func definition(sql string) string {
	if len(sql) > maxDefinition {
		sql = strings.ToValidUTF8(sql[:maxDefinition], "") + " …"
	}
	lines := strings.Split(strings.ReplaceAll(sql, "\r\n", "\n"), "\n")
	for i, l := range lines {
		lines[i] = ui.Name(strings.ReplaceAll(l, "\t", "    "))
	}
	return strings.Join(lines, "\n")
}

func otherWords(part string) string {
	switch part {
	case "statistics":
		return "What ANALYZE learned for the query planner is another."
	case "fts":
		return "The settings of full-text tables are others."
	}
	return "The part " + ui.Name(part) + " is another."
}

func rowChangeOf(r dump.RowDiff) rowChange {
	c := rowChange{Mark: changeMark(r.Change)}
	for _, f := range r.Fields {
		v := fieldView{ui.Name(f.Name), valueOf(f.Before), valueOf(f.After)}
		switch {
		case f.Key && (r.Change != dump.Changed || f.Same()):
			c.Key = append(c.Key, v)
		case r.Change != dump.Changed || f.Before != nil && f.After != nil && (!f.Same() || f.After.Cut()):
			c.Fields = append(c.Fields, v)
		}
	}
	return c
}

// valueOf words a value. Quotes stand around text, so that NULL, a number and
// the same as text look different.
func valueOf(v *dump.DiffValue) *valueView {
	if v == nil {
		return nil
	}
	text := strings.ToValidUTF8(string(v.Bytes), "\uFFFD")
	out := &valueView{Text: text}
	switch v.Kind {
	case dump.Null:
		out.Text = "NULL"
	case dump.Text:
		if len(v.Bytes) == 0 {
			out.Text, out.Kind = "", "empty text"
			break
		}
		out.Text = "“" + ui.Name(lineEnds.Replace(text)) + "”"
	case dump.Blob:
		out.Text = "X'" + text + "'"
	}
	if v.Cut() {
		size := v.Size
		if v.Kind == dump.Blob {
			size /= 2
		}
		out.Text, out.Kind = strings.TrimRight(out.Text, "”'")+"…", fmt.Sprintf("%s, %s", v.Kind, ui.Bytes(size))
	}
	return out
}

// lineEnds shows where a text's lines end, for a value stands on one.
var lineEnds = strings.NewReplacer("\r\n", "⏎", "\n", "⏎", "\r", "⏎", "\t", "⇥")
