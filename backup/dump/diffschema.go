package dump

import (
	"cmp"
	"errors"
	"io"
	"slices"
)

// maxSchema bounds the text of indexes, views and triggers that is compared.
const maxSchema = 64 << 20

// schema compares indexes, views, triggers and counters.
func (d *differ) schema() error {
	parts := [2]map[string]Section{{}, {}}
	var names []string
	for i, c := range []Contents{d.a.Contents, d.b.Contents} {
		for _, s := range c.Sections {
			if s.Kind != KindSchema {
				continue
			}
			parts[i][s.Name] = s
			if !slices.Contains(names, s.Name) {
				names = append(names, s.Name)
			}
		}
	}
	objects := [2][]objectText{d.indexes[0], d.indexes[1]}
	counters := [2]map[string]string{{}, {}}
	for _, name := range names {
		a, b := parts[0][name], parts[1][name]
		if a.SHA256 == b.SHA256 && a.Length == b.Length {
			continue
		}
		known := false
		for i, side := range []Side{d.a, d.b} {
			s, ok := parts[i][name]
			if !ok {
				continue
			}
			seen, err := readSchema(side, s, &objects[i], counters[i])
			if err != nil {
				return err
			}
			known = known || seen
		}
		if !known && d.opt.Table == "" {
			d.out.Other = append(d.out.Other, name)
		}
	}
	d.objects(objects)
	d.sequences(counters)
	return nil
}

// readSchema reads a part of the schema. It tells whether it holds what is
// compared one by one.
func readSchema(side Side, s Section, objects *[]objectText, counters map[string]string) (known bool, err error) {
	r, err := side.open(s)
	if err != nil {
		return false, err
	}
	defer r.close()
	size := 0
	for {
		stmt, err := r.Next()
		if errors.Is(err, io.EOF) {
			return known, nil
		}
		if err != nil {
			return false, err
		}
		if size += len(stmt.SQL); size > maxSchema {
			return false, wrap(ErrInvalid, "the %s of the dump are longer than %d bytes: too long to compare", s.Name, maxSchema)
		}
		switch {
		case stmt.Kind == CreateIndex, stmt.Kind == CreateView, stmt.Kind == CreateTrigger:
			known = true
			*objects = append(*objects, objectOf(stmt))
		case equalFold(stmt.Table, sequenceTable):
			known = true
			if stmt.Kind != Insert {
				continue
			}
			spans, ok := splitInsert(nil, stmt.SQL)
			if !ok || len(spans) < 2 {
				return false, r.bad("a counter cannot be read")
			}
			last := spans[len(spans)-2:]
			if name, ok := textLiteral(stmt.SQL[last[0].from:last[0].to]); ok {
				counters[string(name)] = string(stmt.SQL[last[1].from:last[1].to])
			}
		}
	}
}

var objectKinds = map[StatementKind]string{CreateIndex: "index", CreateView: "view", CreateTrigger: "trigger"}

func objectOf(s Statement) objectText {
	return objectText{objectKinds[s.Kind], s.Name, s.Table, string(s.SQL[:len(s.SQL)-1])}
}

// objects compares indexes, views and triggers by their names.
func (d *differ) objects(sides [2][]objectText) {
	type both struct{ before, after *objectText }
	found := map[string]*both{}
	var order []string
	for i := range sides {
		for j := range sides[i] {
			o := &sides[i][j]
			id := o.kind + " " + fold(o.name)
			if found[id] == nil {
				found[id] = &both{}
				order = append(order, id)
			}
			if i == 0 {
				found[id].before = o
			} else {
				found[id].after = o
			}
		}
	}
	slices.Sort(order)
	for _, id := range order {
		o := found[id]
		one := o.after
		diff := ObjectDiff{Change: Changed}
		switch {
		case o.before == nil:
			diff.Change, diff.After = Added, o.after.sql
		case o.after == nil:
			one = o.before
			diff.Change, diff.Before = Removed, o.before.sql
		case o.before.sql == o.after.sql:
			continue
		default:
			diff.Before, diff.After = o.before.sql, o.after.sql
		}
		diff.Kind, diff.Name, diff.Table = one.kind, one.name, one.table
		if d.opt.Table == "" || equalFold(diff.Table, d.opt.Table) {
			d.out.Objects = append(d.out.Objects, diff)
		}
	}
}

// sequences compares the counters of AUTOINCREMENT.
func (d *differ) sequences(sides [2]map[string]string) {
	names := map[string]bool{}
	for _, side := range sides {
		for name := range side {
			names[name] = d.opt.Table == "" || equalFold(name, d.opt.Table)
		}
	}
	for name, wanted := range names {
		before, inA := sides[0][name]
		after, inB := sides[1][name]
		diff := SequenceDiff{Table: name, Before: before, After: after, Change: Changed}
		switch {
		case !wanted || inA && inB && before == after:
			continue
		case !inA:
			diff.Change = Added
		case !inB:
			diff.Change = Removed
		}
		d.out.Sequences = append(d.out.Sequences, diff)
	}
	slices.SortFunc(d.out.Sequences, func(a, b SequenceDiff) int { return cmp.Compare(a.Table, b.Table) })
}
