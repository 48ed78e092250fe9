package export

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/source"
)

const askForeignKeys = `SELECT count(*) FROM pragma_foreign_key_check`

// inOne reads the whole database in one request, which D1 runs as one
// transaction: the schema again, to know that it is still the one planned for,
// every row, the short lists, and what foreign_key_check says.
func (a *attempt) inOne(ctx context.Context) ([][][]dump.Value, error) {
	h := &oneHandler{attempt: a}
	statements := []string{askObjects}
	h.steps = append(h.steps, step{part: -1, extra: -1})
	for i, p := range a.plan.parts {
		var counts []int
		if !p.bare {
			var selects []string
			selects, counts = p.selects(page{})
			for g, s := range selects {
				statements = append(statements, s)
				h.steps = append(h.steps, step{part: i, group: g, extra: -1})
			}
		}
		d := newDecoder(p, counts, a.desc.Exact, a.writeRow(p))
		d.collect = true
		h.decoders = append(h.decoders, d)
	}
	h.lists = newCollector(a.plan.extras)
	for i, e := range a.plan.extras {
		if e.query != "" {
			statements = append(statements, e.query)
			h.steps = append(h.steps, step{part: -1, extra: i})
		}
	}
	if a.plan.fks && !a.noKeys {
		statements = append(statements, askForeignKeys)
		h.steps = append(h.steps, step{part: -1, extra: -1, keys: true})
	}
	stats, err := a.read(ctx, statements, h)
	if err == nil {
		err = h.end()
	}
	if err != nil {
		return nil, a.snapshotFailed(ctx, err)
	}
	if !stats.Primary {
		return nil, errReplica
	}
	a.out.consistency = backup.Snapshot
	a.out.foreignKeys = h.foreignKeys
	return h.lists.rows, nil
}

var errReplica = backup.Errorf(backup.ErrUnavailable, "a read replica answered, which may lag behind the database")

// snapshotFailed decides what an unsuccessful snapshot teaches.
func (a *attempt) snapshotFailed(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil || errors.Is(err, errTorn) || errors.Is(err, errAgain):
		return err
	case errors.Is(err, source.ErrNoTable):
		return a.schemaMoved(err)
	case errors.Is(err, source.ErrTooBig) && !a.bulky:
		a.bulky = true
		return errAgain
	case errors.Is(err, backup.ErrInvalid) && a.plan.fks && !a.noKeys:
		// foreign_key_check refuses a schema whose keys do not match.
		a.noKeys = true
		return errAgain
	case transient(err) && a.cut == 0:
		a.cut++
		return errAgain
	case transient(err) || errors.Is(err, source.ErrTooBig):
		// Perhaps the answer is too large after all: page, and say quiet or fuzzy.
		a.paged, a.bulky = true, false
		return errAgain
	}
	return err
}

// step is what a statement of the one request asks for.
type step struct {
	part  int // of the plan; -1: not rows of a table
	group int
	extra int // of the plan; -1: not a short list
	keys  bool
}

// oneHandler takes the answers of the one request, in order, and writes each
// table as it comes.
type oneHandler struct {
	*attempt
	steps       []step
	decoders    []*decoder
	lists       *collector
	objects     source.Lists
	foreignKeys int64
	next        int // the part to be written next
	begun       bool
	keysSeen    bool
}

func (h *oneHandler) Columns(stmt int, names []string) error {
	s := h.steps[stmt]
	if stmt == 0 {
		return h.objects.Columns(0, names)
	}
	if stmt == 1 {
		if err := h.sameSchema(); err != nil {
			return err
		}
	}
	if s.part >= 0 {
		return h.advance(s.part)
	}
	return nil
}

func (h *oneHandler) sameSchema() error {
	if digest(h.objects.Rows[0]) != h.plan.schema.Digest {
		return h.schemaMoved(nil)
	}
	return nil
}

// advance ends the parts before the given one, and begins it.
func (h *oneHandler) advance(part int) error {
	for h.next < part || h.next == part && !h.begun {
		if h.begun {
			if err := h.endPart(); err != nil {
				return err
			}
			continue
		}
		if err := h.plan.parts[h.next].begin(h.w); err != nil {
			return err
		}
		h.begun = true
	}
	return nil
}

func (h *oneHandler) endPart() error {
	if err := h.decoders[h.next].end(); err != nil {
		return err
	}
	h.next, h.begun = h.next+1, false
	return h.plan.parts[h.next-1].end(h.w)
}

func (h *oneHandler) Row(stmt int, cells []backup.Cell) error {
	switch s := h.steps[stmt]; {
	case stmt == 0:
		return h.objects.Row(0, cells)
	case s.part >= 0:
		return h.decoders[s.part].answer(s.group, cells)
	case s.extra >= 0:
		return h.lists.add(s.extra, cells)
	default:
		h.keysSeen = true
		var err error
		h.foreignKeys, err = strconv.ParseInt(string(cells[0].Bytes), 10, 64)
		return err
	}
}

// end ends the last parts, and begins again where text came that JSON may have
// spoilt: now it is known in which columns.
func (h *oneHandler) end() error {
	if len(h.steps) == 1 {
		if err := h.sameSchema(); err != nil {
			return err
		}
	}
	if n := len(h.plan.parts); n > 0 {
		if err := h.advance(n - 1); err != nil {
			return err
		}
		if err := h.endPart(); err != nil {
			return err
		}
	}
	lossy := false
	for i, d := range h.decoders {
		for place := range d.lossy {
			p := h.plan.parts[i]
			h.modes[p.table.Name+"\x00"+p.sources[place]] = asHex
			lossy = true
		}
	}
	if lossy {
		return errAgain
	}
	if !h.keysSeen {
		h.foreignKeys = -1
		if !h.plan.fks {
			h.foreignKeys = 0
		}
	}
	return nil
}

// collector keeps the rows of the short lists.
type collector struct {
	decoders []*decoder
	rows     [][][]dump.Value
}

func newCollector(extras []extra) *collector {
	c := &collector{rows: make([][][]dump.Value, len(extras))}
	for i := range extras {
		c.decoders = append(c.decoders, &decoder{exact: true, counts: []int{0}, row: func(row []dump.Value) error {
			kept := slices.Clone(row)
			for j := range kept {
				kept[j].Bytes = slices.Clone(kept[j].Bytes)
			}
			c.rows[i] = append(c.rows[i], kept)
			return nil
		}})
	}
	return c
}

func (c *collector) add(i int, cells []backup.Cell) error {
	d := c.decoders[i]
	d.counts[0], d.modes = len(cells), make([]mode, len(cells))
	return d.answer(0, cells)
}
