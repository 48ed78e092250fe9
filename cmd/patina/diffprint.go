package main

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"github.com/AutumnsGrove/Patina/backup/dump"
)

// diffPrinter words a comparison. Rows are kept until the summary stands above
// them, or written as they come where all of them are wanted.
type diffPrinter struct {
	*app
	o     diffOptions
	kept  []dump.RowDiff
	found int64
	table string // whose rows were written last
}

// shownValue is how much of a value a person is shown, in bytes.
const shownValue = 200

// row takes a row that differs.
func (p *diffPrinter) row(r dump.RowDiff) error {
	p.found++
	switch {
	case p.o.limit > 0 && p.found > int64(p.o.limit):
		return nil
	case p.json:
		p.kept = append(p.kept, r.Clone(0))
	case p.o.limit > 0:
		p.kept = append(p.kept, r.Clone(shownValue))
	default:
		return p.printRow(r.Clone(shownValue))
	}
	return nil
}

// diffAnswer is what --json writes.
type diffAnswer struct {
	Same   bool   `json:"same"`
	Before string `json:"before"`
	After  string `json:"after"`
	*dump.Difference
	Rows      []dump.RowDiff `json:"rows,omitempty"`
	RowsFound int64          `json:"rows_found,omitempty"`
}

func (p *diffPrinter) finish(sides [2]*compared, d *dump.Difference) error {
	if p.json {
		return p.printJSON(diffAnswer{d.Same(), sides[0].label, sides[1].label, d, p.kept, p.found})
	}
	p.say("from %s\nto   %s", printable(sides[0].label), printable(sides[1].label))
	if d.Same() {
		fmt.Fprintln(p.out, "nothing differs")
		return nil
	}
	if err := p.summary(d); err != nil {
		return err
	}
	for _, r := range p.kept {
		if err := p.printRow(r); err != nil {
			return err
		}
	}
	if more := p.found - int64(len(p.kept)); p.o.limit > 0 && more > 0 {
		p.say("%s more rows differ: --limit 0 shows them all", humanize.Comma(more))
	}
	return nil
}

// summary lists what differs, a line each.
func (p *diffPrinter) summary(d *dump.Difference) error {
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	for _, t := range d.Tables {
		fmt.Fprintf(w, "table\t%s\t%s\t%s\n", printable(t.Name), t.Change, strings.Join(tableWords(t), ", "))
	}
	for _, o := range d.Objects {
		on := ""
		if o.Table != "" {
			on = "on " + o.Table
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", o.Kind, printable(o.Name), o.Change, printable(on))
	}
	for _, s := range d.Sequences {
		fmt.Fprintf(w, "sequence\t%s\t%s\t%s\n", printable(s.Table), s.Change, fromTo(s.Before, s.After))
	}
	for _, o := range d.Other {
		fmt.Fprintf(w, "%s\t\tchanged\t\n", printable(o))
	}
	return w.Flush()
}

func fromTo(before, after string) string {
	switch {
	case before == "":
		return after
	case after == "":
		return before
	}
	return before + " → " + after
}

// tableWords says what happened to a table.
func tableWords(t dump.TableDiff) (words []string) {
	count := func(sign string, n int64) {
		if n > 0 {
			words = append(words, sign+humanize.Comma(n))
		}
	}
	count("+", t.Added)
	count("-", t.Removed)
	count("~", t.Changed)
	rows := humanize.Comma(t.RowsBefore) + " → " + humanize.Comma(t.RowsAfter) + " rows"
	if t.RowsBefore == t.RowsAfter {
		rows = humanize.Comma(t.RowsAfter) + " rows"
	}
	words = append(words, rows)
	if t.Change == dump.Changed && t.SQLAfter != "" {
		words = append(words, "another definition")
	}
	for _, c := range t.ColumnsAdded {
		words = append(words, "column +"+printable(c))
	}
	for _, c := range t.ColumnsRemoved {
		words = append(words, "column -"+printable(c))
	}
	switch t.Way {
	case dump.NotAtAll:
		words = append(words, "its key is another one: the rows are not compared")
	case dump.ByRow:
		words = append(words, "no key: whole rows are compared")
	}
	return words
}

var signs = map[dump.Change]string{dump.Added: "+", dump.Removed: "-", dump.Changed: "~"}

// printRow writes a row: what identifies it, and what differs.
func (p *diffPrinter) printRow(r dump.RowDiff) error {
	if p.table != r.Table {
		p.table = r.Table
		fmt.Fprintf(p.out, "\n%s\n", printable(r.Table))
	}
	var b strings.Builder
	b.WriteString(signs[r.Change])
	for _, f := range r.Fields {
		name := printable(f.Name)
		switch {
		case r.Change == dump.Added:
			fmt.Fprintf(&b, " %s=%s", name, shown(f.After))
		case r.Change == dump.Removed:
			fmt.Fprintf(&b, " %s=%s", name, shown(f.Before))
		case f.Same() && f.Key && !f.After.Cut():
			fmt.Fprintf(&b, " %s=%s", name, shown(f.After))
		case f.Before != nil && f.After != nil && (!f.Same() || f.After.Cut()):
			fmt.Fprintf(&b, " %s: %s → %s", name, shown(f.Before), shown(f.After))
		}
	}
	_, err := fmt.Fprintln(p.out, b.String())
	return err
}

// shown writes a value so that it stays on its line and moves nothing.
func shown(v *dump.DiffValue) string {
	if v == nil {
		return "-"
	}
	text := string(v.Bytes)
	switch v.Kind {
	case dump.Null:
		return "NULL"
	case dump.Blob:
		if v.Cut() {
			return fmt.Sprintf("X'%s…' (%s)", text, humanize.Bytes(uint64(v.Size/2)))
		}
		return "X'" + text + "'"
	case dump.Text:
		if !utf8.ValidString(text) {
			text = strings.ToValidUTF8(text, "\uFFFD")
		}
		if v.Cut() {
			return fmt.Sprintf("%s… (%s)", strconv.Quote(text), humanize.Bytes(uint64(v.Size)))
		}
		return strconv.Quote(text)
	}
	return text
}
