package dump

import (
	"bytes"
	"errors"
	"io"
	"slices"
)

// pair is one table of both sides, read at once.
type pair struct {
	a, b    *rowStream
	end     [2]bool
	key     [2][]keyPart
	numbers bool      // the key is one integer
	columns []aligned // what is compared and told
	prev    [2][]cell // the last key that was looked at, of those stepped over
	again   func() (*pair, error)
}

// aligned is a column of both sides, or of one: its places, -1 where it is not.
type aligned struct {
	name string
	key  bool
	at   [2]int
}

func (p *pair) close() {
	p.a.close()
	p.b.close()
}

func (p *pair) side(i int) *rowStream {
	if i == 0 {
		return p.a
	}
	return p.b
}

// step goes to the next row of a side.
func (p *pair) step(i int) error {
	r := p.side(i)
	if r.parsed && p.key[i] != nil {
		p.remember(i)
	}
	err := r.next()
	if errors.Is(err, io.EOF) {
		p.end[i] = true
		return nil
	}
	return err
}

// remember keeps the key of the row that is left behind.
func (p *pair) remember(i int) {
	r := p.side(i)
	if p.prev[i] == nil {
		p.prev[i] = make([]cell, len(p.key[i]))
	}
	for n, part := range p.key[i] {
		c := r.cells[part.place]
		p.prev[i][n] = cell{kind: c.kind, literal: append(p.prev[i][n].literal[:0], c.literal...), long: c.long}
	}
}

// align matches the columns of both sides by their names: those of b, then
// those that b lacks.
func (p *pair) align() {
	p.columns = p.columns[:0]
	find := func(r *rowStream, name string) int {
		return slices.IndexFunc(r.names, func(n string) bool { return equalFold(n, name) })
	}
	for i, name := range p.b.names {
		p.columns = append(p.columns, aligned{name: name, at: [2]int{find(p.a, name), i}})
	}
	for i, name := range p.a.names {
		if find(p.b, name) < 0 {
			p.columns = append(p.columns, aligned{name: name, at: [2]int{i, -1}})
		}
	}
	p.key = [2][]keyPart{p.a.key(), p.b.key()}
	for i := range p.columns {
		c := &p.columns[i]
		for side := range c.at {
			c.key = c.key || slices.ContainsFunc(p.key[side], func(k keyPart) bool { return k.place == c.at[side] })
		}
	}
}

// way tells how the rows can be told apart.
func (p *pair) way() Way {
	// A side without rows says nothing of its values, and needs not.
	switch {
	case p.end[0]:
		p.key[0] = p.key[1]
	case p.end[1]:
		p.key[1] = p.key[0]
	}
	a, b := p.key[0], p.key[1]
	switch {
	case a == nil && b == nil:
		return ByRow
	case len(a) != len(b):
		return NotAtAll
	}
	p.numbers = len(a) == 1 && (p.a.numbered || p.b.numbered || !p.a.def.withoutRowid && !p.b.def.withoutRowid)
	if p.end[0] || p.end[1] {
		return ByKey
	}
	for i := range a {
		if !equalFold(p.a.names[a[i].place], p.b.names[b[i].place]) || a[i].desc != b[i].desc || !equalFold(a[i].collate, b[i].collate) {
			return NotAtAll
		}
	}
	return ByKey
}

// cameAndWent names the columns that only one side has.
func (p *pair) cameAndWent() (came, went []string) {
	list := func(r *rowStream) (names []string) {
		if !r.def.known {
			return r.names
		}
		for _, c := range r.def.columns {
			names = append(names, c.name)
		}
		return names
	}
	without := func(of, other []string) (names []string) {
		for _, n := range of {
			if !slices.ContainsFunc(other, func(o string) bool { return equalFold(o, n) }) {
				names = append(names, n)
			}
		}
		return names
	}
	a, b := list(p.a), list(p.b)
	return without(b, a), without(a, b)
}

// look takes the row of a side apart. It tells false where its key does not
// follow the one before.
func (p *pair) look(i int) (sorted bool, err error) {
	r := p.side(i)
	if r.parsed {
		return true, nil
	}
	if err := r.parse(); err != nil {
		return false, err
	}
	for _, k := range p.key[i] {
		if k.place >= len(r.cells) {
			return false, r.bad("a row lacks its key")
		}
	}
	if p.prev[i] == nil {
		return true, nil
	}
	order, ok := p.compare(p.prev[i], p.key[i], nil, i)
	return ok && order < 0, nil
}

// compare orders a key against that of the row of a side; places says where in
// the first the values stand, nil that it is a key alone.
func (p *pair) compare(x []cell, parts []keyPart, places []keyPart, side int) (int, bool) {
	r := p.side(side)
	for n, part := range parts {
		a := x
		at := n
		if places != nil {
			at = places[n].place
		}
		order, ok := compareCells(a[at], r.cells[p.key[side][n].place], part.collate)
		if !ok {
			return 0, false
		}
		if order != 0 {
			if part.desc {
				order = -order
			}
			return order, true
		}
	}
	return 0, true
}

// sorted reads both sides by themselves and tells whether their rows are in
// the order of the key.
func (p *pair) sorted() (bool, error) {
	q, err := p.again()
	if err != nil {
		return false, err
	}
	defer q.close()
	q.key = p.key
	for i := range q.end {
		for {
			if err := q.step(i); err != nil {
				return false, err
			}
			if q.end[i] {
				break
			}
			if ok, err := q.look(i); !ok || err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// merge compares two tables in the order of their key. It tells false where
// that order cannot be followed; what it counted then means nothing.
//
// Rows that are the same to the byte on both sides are stepped over without
// being looked at. That hides no wrong order: a row can miss its partner only
// where one of the two was passed while a greater key was looked at.
func (d *differ) merge(t *TableDiff, p *pair) (sorted bool, err error) {
	for !p.end[0] || !p.end[1] {
		both := !p.end[0] && !p.end[1]
		if both && p.a.staged == nil && p.b.staged == nil && p.alike() && bytes.Equal(p.a.row, p.b.row) {
			if err := errFirst(p.step(0), p.step(1)); err != nil {
				return false, err
			}
			continue
		}
		for i := range p.end {
			if p.end[i] {
				continue
			}
			if ok, err := p.look(i); !ok || err != nil {
				return false, err
			}
		}
		order := 1
		switch {
		case p.end[1]:
			order = -1
		case both:
			var ok bool
			if order, ok = p.compare(p.a.cells, p.key[0], p.key[0], 1); !ok {
				return false, nil
			}
		}
		if err := d.pairOff(t, p, order); err != nil {
			return false, err
		}
	}
	return true, nil
}

// pairOff counts the rows at hand, of which the lesser is on one side alone,
// and steps over them.
func (d *differ) pairOff(t *TableDiff, p *pair, order int) error {
	var err error
	switch {
	case order < 0:
		t.Removed++
		err = d.tell(p, t.Name, Removed)
	case order > 0:
		t.Added++
		err = d.tell(p, t.Name, Added)
	case !p.equal():
		t.Changed++
		err = d.tell(p, t.Name, Changed)
	}
	if err == nil && order <= 0 {
		err = p.step(0)
	}
	if err == nil && order >= 0 {
		err = p.step(1)
	}
	return err
}

// alike tells whether equal text means equal values: the columns are the same.
func (p *pair) alike() bool { return slices.Equal(p.a.names, p.b.names) }

// equal compares the rows at hand in the columns that both sides have.
func (p *pair) equal() bool {
	for _, c := range p.columns {
		if c.at[0] >= 0 && c.at[1] >= 0 && !sameCell(p.a.cells[c.at[0]], p.b.cells[c.at[1]]) {
			return false
		}
	}
	return true
}

// tell hands the rows at hand over.
func (d *differ) tell(p *pair, table string, change Change) error {
	if d.opt.Row == nil {
		return nil
	}
	d.fields, d.values = d.fields[:0], slices.Grow(d.values[:0], 2*len(p.columns))
	value := func(r *rowStream, at int, on bool) *DiffValue {
		if !on || at < 0 {
			return nil
		}
		d.values = append(d.values, r.cells[at].shown())
		return &d.values[len(d.values)-1]
	}
	for _, c := range p.columns {
		f := Field{Name: c.name, Key: c.key, Before: value(p.a, c.at[0], change != Added), After: value(p.b, c.at[1], change != Removed)}
		if f.Before != nil || f.After != nil {
			d.fields = append(d.fields, f)
		}
	}
	d.emitted = true
	return d.opt.Row(RowDiff{Table: table, Change: change, Fields: d.fields})
}

// tellAlone hands over a row of a table that only one side has.
func (d *differ) tellAlone(r *rowStream, table string, change Change) error {
	if err := r.parse(); err != nil {
		return err
	}
	keys := r.key()
	d.fields, d.values = d.fields[:0], slices.Grow(d.values[:0], len(r.cells))
	for i, c := range r.cells {
		d.values = append(d.values, c.shown())
		f := Field{Name: r.names[i], Key: slices.ContainsFunc(keys, func(k keyPart) bool { return k.place == i })}
		if change == Added {
			f.After = &d.values[i]
		} else {
			f.Before = &d.values[i]
		}
		d.fields = append(d.fields, f)
	}
	return d.opt.Row(RowDiff{Table: table, Change: change, Fields: d.fields})
}
