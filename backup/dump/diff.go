package dump

import (
	"errors"
	"io"
	"slices"
)

// Side is one of two dumps that are compared: its table of contents, and the
// way to read any stretch of its SQL. What Open gives may hold more than was
// asked for; it may be asked for the same stretch again, and two are read at
// once.
type Side struct {
	Contents Contents
	Open     func(offset, length int64) (io.ReadCloser, error)
}

// DiffOptions says what of two dumps is compared.
type DiffOptions struct {
	// Table is the one table that is compared; "" is the whole dump.
	Table string
	// Row is told of every row that differs, where it is not nil. The values
	// are valid until it returns; an error that it gives ends the comparison.
	Row func(RowDiff) error
}

// Change is what became of something.
type Change string

// The changes.
const (
	Added   Change = "added"
	Removed Change = "removed"
	Changed Change = "changed"
)

// Difference is what differs between two dumps. What is the same is not in it.
type Difference struct {
	Tables    []TableDiff    `json:"tables"`
	Objects   []ObjectDiff   `json:"objects"`   // indexes, views and triggers
	Sequences []SequenceDiff `json:"sequences"` // counters of AUTOINCREMENT
	// Other are parts that differ and are not taken apart: "statistics", what
	// ANALYZE learned, and "fts", the settings of full-text tables.
	Other []string `json:"other"`
}

// Same tells whether nothing differs.
func (d *Difference) Same() bool {
	return len(d.Tables)+len(d.Objects)+len(d.Sequences)+len(d.Other) == 0
}

// TableDiff is what differs in one table.
type TableDiff struct {
	Name           string   `json:"name"`
	Change         Change   `json:"change"`
	SQLBefore      string   `json:"sql_before,omitempty"` // its CREATE, where it differs or is on one side alone
	SQLAfter       string   `json:"sql_after,omitempty"`
	ColumnsAdded   []string `json:"columns_added,omitempty"`
	ColumnsRemoved []string `json:"columns_removed,omitempty"`
	RowsBefore     int64    `json:"rows_before"`
	RowsAfter      int64    `json:"rows_after"`
	Added          int64    `json:"added"` // rows
	Removed        int64    `json:"removed"`
	Changed        int64    `json:"changed"`
	Way            Way      `json:"compared_by"` // how its rows were told apart
}

// Way is how the rows of two tables were told apart.
type Way string

// The ways. Under a key a row that differs is changed; without one it is
// removed and added. Where columns came or went, rows are compared in those
// that both sides have.
const (
	ByKey     Way = "key"      // in the order of the rowid or the primary key
	ByKeyHash Way = "key-hash" // by the primary key, whose order could not be followed
	ByRow     Way = "row"      // by all of their values: the table has no key that a dump holds
	NotAtAll  Way = "none"     // its key is another one: only how many there are is known
)

// ObjectDiff is an index, view or trigger that differs.
type ObjectDiff struct {
	Kind   string `json:"kind"` // "index", "view" or "trigger"
	Name   string `json:"name"`
	Table  string `json:"table,omitempty"` // that it is on; "" for a view
	Change Change `json:"change"`
	Before string `json:"before,omitempty"` // its CREATE
	After  string `json:"after,omitempty"`
}

// SequenceDiff is a counter of AUTOINCREMENT that differs.
type SequenceDiff struct {
	Table  string `json:"table"`
	Change Change `json:"change"`
	Before string `json:"before,omitempty"` // decimal; "" where there is none
	After  string `json:"after,omitempty"`
}

// Diff compares two dumps, from a to b, in memory that their size does not
// matter to. Tables whose sections have the same hash are not read; of others
// each side is read once, in the order of the key, and more often only where
// that order cannot be followed. What is read is held to the tables of
// contents: ErrCorrupt where it is not what they state. A table asked for that
// neither side holds is an *UnknownTable.
func Diff(a, b Side, opt DiffOptions) (*Difference, error) {
	return diff(a, b, opt, hashRows, hashBatch)
}

func diff(a, b Side, opt DiffOptions, hashes int64, batch int) (*Difference, error) {
	d := &differ{a: a, b: b, opt: opt, out: &Difference{Tables: []TableDiff{}, Objects: []ObjectDiff{}, Sequences: []SequenceDiff{}, Other: []string{}}, hashes: hashes, batch: batch}
	if a.Contents.BodySHA256 != "" && a.Contents.BodySHA256 == b.Contents.BodySHA256 && opt.Table == "" {
		return d.out, nil
	}
	if err := d.tables(); err != nil {
		return nil, err
	}
	if err := d.schema(); err != nil {
		return nil, err
	}
	return d.out, nil
}

// differ is one comparison.
type differ struct {
	a, b Side
	opt  DiffOptions
	out  *Difference
	// Indexes that stand with their tables, of tables that differ.
	indexes [2][]objectText
	emitted bool // Row was told of something of the table at hand
	fields  []Field
	values  []DiffValue
	hashes  int64 // of rows held at once
	batch   int   // bytes of changed rows held at once
}

// objectText is an index, view or trigger of one side.
type objectText struct{ kind, name, table, sql string }

func tablesOf(c Contents) map[string]Section {
	found := map[string]Section{}
	for _, s := range c.Sections {
		if s.Kind != KindSchema {
			found[fold(s.Name)] = s
		}
	}
	return found
}

// tables compares the tables: those of b in its order, then those that went.
func (d *differ) tables() error {
	before, after := tablesOf(d.a.Contents), tablesOf(d.b.Contents)
	var order []string
	for _, c := range []Contents{d.b.Contents, d.a.Contents} {
		for _, s := range c.Sections {
			if s.Kind != KindSchema && (d.opt.Table == "" || equalFold(s.Name, d.opt.Table)) {
				order = append(order, fold(s.Name))
			}
		}
	}
	if d.opt.Table != "" && len(order) == 0 {
		e := &UnknownTable{Name: d.opt.Table}
		for _, s := range after {
			e.Tables = append(e.Tables, s.Name)
		}
		slices.Sort(e.Tables)
		return e
	}
	seen := map[string]bool{}
	for _, name := range order {
		if seen[name] {
			continue
		}
		seen[name] = true
		a, inA := before[name]
		b, inB := after[name]
		d.emitted = false
		var err error
		switch {
		case !inA:
			err = d.alone(d.b, b, Added)
		case !inB:
			err = d.alone(d.a, a, Removed)
		case a.SHA256 != b.SHA256 || a.Length != b.Length || a.Kind != b.Kind:
			err = d.table(a, b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// alone is a table that only one side has.
func (d *differ) alone(side Side, s Section, change Change) error {
	r, err := openRows(side, s)
	if err != nil {
		return err
	}
	defer r.close()
	for err = r.next(); err == nil; err = r.next() {
		if d.opt.Row == nil {
			continue
		}
		if err := d.tellAlone(r, s.Name, change); err != nil {
			return err
		}
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	t := TableDiff{Name: s.Name, Change: change, Way: ByKey}
	if change == Added {
		t.SQLAfter, t.RowsAfter, t.Added = r.sql, r.count, r.count
		d.keep(1, r)
	} else {
		t.SQLBefore, t.RowsBefore, t.Removed = r.sql, r.count, r.count
		d.keep(0, r)
	}
	d.out.Tables = append(d.out.Tables, t)
	return nil
}

// keep keeps the indexes that stand with a table.
func (d *differ) keep(side int, r *rowStream) {
	d.indexes[side] = append(d.indexes[side], r.indexes...)
}

// table compares a table that both sides have.
func (d *differ) table(a, b Section) error {
	t := TableDiff{Name: b.Name, Change: Changed, RowsBefore: a.Rows, RowsAfter: b.Rows}
	p, err := d.pair(a, b)
	if err != nil {
		return err
	}
	defer func() { p.close() }()
	if err := errFirst(p.step(0), p.step(1)); err != nil {
		return err
	}
	p.align()
	switch t.Way = p.way(); t.Way {
	case ByKey:
		sorted := true
		if d.opt.Row != nil && !p.numbers {
			// What was told cannot be taken back: look at the order first.
			if sorted, err = p.sorted(); err != nil {
				return err
			}
		}
		if sorted {
			sorted, err = d.merge(&t, p)
		}
		if err == nil && !sorted {
			if d.emitted {
				return p.a.bad("its rows are not in the order of their key")
			}
			t.Way, t.Added, t.Removed, t.Changed = ByKeyHash, 0, 0, 0
			err = d.byHash(&t, p)
		}
	case ByRow:
		err = d.byHash(&t, p)
	default:
		err = errFirst(p.a.drain(), p.b.drain())
	}
	if err != nil {
		return err
	}
	d.keep(0, p.a)
	d.keep(1, p.b)
	if p.a.sql != p.b.sql {
		t.SQLBefore, t.SQLAfter = p.a.sql, p.b.sql
		t.ColumnsAdded, t.ColumnsRemoved = p.cameAndWent()
	}
	if t.SQLAfter != "" || t.Added+t.Removed+t.Changed > 0 || t.Way == NotAtAll {
		d.out.Tables = append(d.out.Tables, t)
	}
	return nil
}

func (d *differ) pair(a, b Section) (*pair, error) {
	p := &pair{}
	var err error
	if p.a, err = openRows(d.a, a); err != nil {
		return nil, err
	}
	if p.b, err = openRows(d.b, b); err != nil {
		p.a.close()
		return nil, err
	}
	p.again = func() (*pair, error) { return d.pair(a, b) }
	return p, nil
}
