package source

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// Bounds of one request. D1 gives 30 seconds to one, a batch included.
const (
	wholeBytes   = 32 << 20  // a database up to this size is summarised in one transaction
	wholeText    = 900_000   // bytes of SQL in one request
	firstPage    = 20_000    // rows of a table's first page
	mostRows     = 2_000_000 // of any page
	leastRows    = 100       //
	quickRequest = 2 * time.Second
	slowRequest  = 8 * time.Second
)

// Summarise adds up the values of a database's tables: of those named, of all
// where only is nil. It reads every row about once, which D1 bills.
//
// A database of up to 32 MiB, or a file, is read in one transaction; a larger
// one in pages. Errors wrap backup's kinds; ErrNotFound where a table of only
// is missing, ErrUnavailable where it is worth another try.
func Summarise(ctx context.Context, src Source, only []string) (Summary, error) {
	d := src.Describe()
	s := &summing{src: src, desc: d, out: Summary{Of: d.Name}}
	if err := s.run(ctx, only); err != nil {
		return s.out, fmt.Errorf("add up the values of %s: %w", d.Name, err)
	}
	return s.out, nil
}

type summing struct {
	src  Source
	desc Description
	out  Summary
	size int64
}

func (s *summing) run(ctx context.Context, only []string) error {
	var err error
	if s.out.Before, err = s.bookmark(ctx); err != nil {
		return err
	}
	tables, err := s.tables(ctx, only)
	if err != nil {
		return err
	}
	s.out.Tables = make([]TableValues, len(tables))
	for i, t := range tables {
		s.out.Tables[i] = t.empty()
	}
	whole, err := s.whole(ctx, tables)
	if err != nil {
		return err
	}
	if s.out.Whole = whole || s.desc.OneTransaction; !whole {
		for i, t := range tables {
			if err := s.table(ctx, t, &s.out.Tables[i]); err != nil {
				return fmt.Errorf("table %q: %w", t.name, err)
			}
		}
	}
	s.out.After, err = s.bookmark(ctx)
	return err
}

// bookmark gives "" where the account does not give one, as for an export.
func (s *summing) bookmark(ctx context.Context) (string, error) {
	if s.desc.OneTransaction {
		return "", nil
	}
	s.out.Requests++
	b, err := s.src.Bookmark(ctx)
	if err != nil && (ctx.Err() != nil || errors.Is(err, backup.ErrNotFound)) {
		return "", err
	}
	return b, nil
}

func (s *summing) read(ctx context.Context, statements []string, h backup.RowHandler) (backup.ReadStats, error) {
	stats, err := s.src.Read(ctx, statements, h)
	s.out.Requests++
	s.out.RowsRead += stats.RowsRead
	if err == nil && !stats.Primary {
		err = backup.Errorf(backup.ErrUnavailable, "a read replica answered, which may lag behind the database")
	}
	return stats, err
}

// whole adds all tables up in one transaction; false where they are too much
// for one.
func (s *summing) whole(ctx context.Context, tables []summed) (bool, error) {
	if s.desc.OneTransaction || s.size > wholeBytes {
		return false, nil
	}
	var statements []string
	var into []*adder
	text := 0
	for i, t := range tables {
		for _, g := range t.groups() {
			statements = append(statements, t.sum(g, "", 0))
			into = append(into, &adder{t: &s.out.Tables[i], group: g})
			text += len(statements[len(statements)-1])
		}
	}
	if text > wholeText {
		return false, nil
	}
	if len(statements) == 0 {
		return true, nil
	}
	if _, err := s.read(ctx, statements, adders(into)); err != nil {
		if transient(err) && ctx.Err() == nil {
			return false, nil
		}
		return false, err
	}
	for _, a := range into {
		if err := a.add(); err != nil {
			return false, err
		}
	}
	return true, nil
}

func transient(err error) bool {
	return errors.Is(err, backup.ErrUnavailable) || errors.Is(err, ErrInterrupted)
}

// table adds one table up, page by page where its rows can be told apart by a
// rowid, and pages are needed.
func (s *summing) table(ctx context.Context, t summed, into *TableValues) error {
	after, rows := "", firstPage
	if s.desc.OneTransaction || t.rowid == "" || t.virtual {
		rows = 0
	}
	groups := t.groups()
	for {
		var statements []string
		var page []*adder
		for _, g := range groups {
			statements = append(statements, t.sum(g, after, rows))
			page = append(page, &adder{t: into, group: g})
		}
		stats, err := s.read(ctx, statements, adders(page))
		if err != nil && transient(err) && ctx.Err() == nil && rows/4 >= leastRows {
			rows /= 4
			continue
		}
		if err != nil {
			return err
		}
		n := page[0].rows
		for _, a := range page {
			if err := a.add(); err != nil {
				return err
			}
		}
		if rows == 0 || n < int64(rows) {
			return nil
		}
		after = page[0].last
		switch {
		case stats.Duration < quickRequest:
			rows = min(2*rows, mostRows)
		case stats.Duration > slowRequest:
			rows = max(rows/2, leastRows)
		}
	}
}

// adder takes the one row that a statement of sum gives, and adds it when the
// whole request has been answered.
type adder struct {
	t     *TableValues
	group group
	rows  int64
	last  string // rowid of the page's last row
	cells []string
}

func (a *adder) add() error {
	if len(a.cells) != a.group.to-a.group.from {
		return backup.Errorf(backup.ErrUnavailable, "the answer holds %d columns' sums, and %d were asked for", len(a.cells), a.group.to-a.group.from)
	}
	if a.group.from == 0 {
		a.t.Rows += a.rows
	}
	for i, cell := range a.cells {
		if err := a.column(&a.t.Columns[a.group.from+i], cell); err != nil {
			return err
		}
	}
	return nil
}

// column adds what one column's sums say; see outer.
func (a *adder) column(c *ColumnValues, cell string) error {
	var n [6]int64
	words := strings.Split(cell, " ")
	for i, w := range words {
		v, err := strconv.ParseInt(w, 10, 64)
		if err != nil || len(words) != len(n) {
			return backup.Errorf(backup.ErrUnavailable, "the answer holds %.60q where sums were asked for", cell)
		}
		n[i] = v
	}
	integers, reals, texts, blobs := n[0]&0xffffffff, n[0]>>32, n[1]&0xffffffff, n[1]>>32
	c.Nulls += a.rows - integers - reals - texts - blobs
	c.Integers += integers
	c.Reals += reals
	c.Texts += texts
	c.Blobs += blobs
	c.High += n[2]
	c.Low += n[3]
	c.Bytes += n[4]
	c.Content += n[5]
	return nil
}

type adders []*adder

func (adders) Columns(int, []string) error { return nil }

func (as adders) Row(stmt int, cells []backup.Cell) error {
	a := as[stmt]
	n, err := strconv.ParseInt(string(cells[0].Bytes), 10, 64)
	if err != nil {
		return backup.Errorf(backup.ErrUnavailable, "the answer holds %.60q where a number of rows was asked for", cells[0].Bytes)
	}
	a.rows, a.last, a.cells = n, string(cells[1].Bytes), nil
	for _, c := range cells[2:] {
		a.cells = append(a.cells, string(c.Bytes))
	}
	return nil
}

// What there is, in one transaction. Names come as hex, so that one that is not
// UTF-8 survives JSON.
const (
	askTables = `SELECT hex(name), type, wr FROM pragma_table_list WHERE schema = 'main'`
	askNames  = `SELECT hex(l.name), hex(x.name), x.hidden, x.pk FROM pragma_table_list l, pragma_table_xinfo(l.name) x` +
		` WHERE l.schema = 'main' AND l.type IN (%s) AND l.name NOT LIKE '\_cf\_%%' ESCAPE '\' ORDER BY l.name, x.cid`
)

// tables finds what is to be added up, sorted by name.
func (s *summing) tables(ctx context.Context, only []string) ([]summed, error) {
	var l Lists
	ask := func(kinds string) (backup.ReadStats, error) {
		l = Lists{}
		return s.read(ctx, []string{askTables, fmt.Sprintf(askNames, kinds)}, &l)
	}
	stats, err := ask("'table', 'virtual'")
	if errors.Is(err, backup.ErrInvalid) { // a virtual table whose module is missing here
		stats, err = ask("'table'")
	}
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	s.size = stats.SizeAfter
	if len(l.Rows) != 2 {
		return nil, backup.Errorf(backup.ErrUnavailable, "the schema came incomplete")
	}
	shadows := map[string]bool{}
	for _, r := range l.Rows[0] {
		shadows[Fold(unhex(r[0]))] = r[1] == "shadow"
	}
	columns := map[string][][]string{}
	for _, r := range l.Rows[1] {
		columns[r[0]] = append(columns[r[0]], r)
	}
	var out []summed
	for _, r := range l.Rows[0] {
		t := summed{name: unhex(r[0]), virtual: r[1] == "virtual"}
		name := Fold(t.name)
		switch {
		case len(columns[r[0]]) == 0 || strings.HasPrefix(name, "_cf_"):
		case r[1] != "table" && r[1] != "virtual":
		case strings.HasPrefix(name, "sqlite_") && name != "sqlite_sequence":
		case t.virtual && !shadows[name+"_content"] && !shadows[name+"_rowid"]: // it shows other tables' text, or keeps none
		case only != nil && !slices.ContainsFunc(only, func(o string) bool { return Fold(o) == name }):
		default:
			t.describe(columns[r[0]], r[2] == "1" || name == "sqlite_sequence")
			out = append(out, t)
		}
	}
	for _, o := range only {
		if !slices.ContainsFunc(out, func(t summed) bool { return Fold(t.name) == Fold(o) }) {
			return nil, backup.Errorf(backup.ErrNotFound, "there is no table %q whose values could be compared", o)
		}
	}
	slices.SortFunc(out, func(a, b summed) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

// unhex reads what hex() wrote; what it did not write stays as it is.
func unhex(s string) string {
	b, err := hex.DecodeString(s)
	if err != nil {
		return s
	}
	return string(b)
}
