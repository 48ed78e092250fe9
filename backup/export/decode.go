package export

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
)

// lossyError says that text of a column came with U+FFFD in it: perhaps the
// character itself, perhaps what JSON made of bytes that are not UTF-8. The
// rows before it are good.
type lossyError struct{ place int }

func (e *lossyError) Error() string {
	return fmt.Sprintf("value %d holds U+FFFD and must be read as hexadecimal", e.place)
}

// decoder turns the cells of one part's answers back into the values of rows.
// Where a row comes in several answers, all but the last are held until the
// last one arrives: they are of one transaction and in the same order.
type decoder struct {
	modes  []mode
	counts []int // values in each answer of a row
	exact  bool  // U+FFFD is just a character
	row    func([]dump.Value) error

	held    [][]byte // the early answers' cells, a row each, encoded
	heldAt  []int    // for each early answer, how many rows were held
	values  []dump.Value
	scratch []byte
	rows    int
	lossy   map[int]bool // places seen with U+FFFD; only when collect is set
	collect bool         // go on after a lossy value, to learn of all of them
	long    bool         // a value came that needed pieces
}

// newDecoder makes a decoder for the answers of part p.
func newDecoder(p *part, counts []int, exact bool, row func([]dump.Value) error) *decoder {
	return &decoder{
		modes: p.modes, counts: counts, exact: exact, row: row,
		values: make([]dump.Value, 0, len(p.modes)), lossy: map[int]bool{},
		heldAt: make([]int, len(counts)),
	}
}

// answer takes one row of the group-th answer.
func (d *decoder) answer(group int, cells []backup.Cell) error {
	if group < len(d.counts)-1 {
		d.hold(group, cells)
		return nil
	}
	d.values, d.scratch = d.values[:0], d.scratch[:0]
	place := 0
	for g := range len(d.counts) - 1 {
		early, err := d.release(g)
		if err != nil {
			return err
		}
		if place, err = d.decode(place, d.counts[g], early); err != nil {
			return err
		}
	}
	if _, err := d.decode(place, d.counts[group], cells); err != nil {
		return err
	}
	d.rows++
	if d.collect && len(d.lossy) > 0 {
		return nil
	}
	return d.row(d.values)
}

// end checks, after the last row, that the answers of all groups had as many.
func (d *decoder) end() error {
	for g := range len(d.counts) - 1 {
		if d.heldAt[g] != d.rows {
			return errUneven
		}
	}
	return nil
}

var errUneven = backup.Errorf(backup.ErrCorrupt, "the answers to two queries of one transaction had different numbers of rows")

// decode appends count values, taken from cells, and gives the next place.
func (d *decoder) decode(place, count int, cells []backup.Cell) (int, error) {
	for ; count > 0; count-- {
		width := 1
		if d.modes[place] == pieces {
			width += pieceCount
		}
		if len(cells) < width {
			return 0, backup.Errorf(backup.ErrUnavailable, "the answer has fewer columns than were asked for")
		}
		v, err := d.value(place, cells[:width])
		if err != nil {
			return 0, err
		}
		d.values = append(d.values, v)
		cells = cells[width:]
		place++
	}
	if len(cells) > 0 {
		return 0, backup.Errorf(backup.ErrUnavailable, "the answer has more columns than were asked for")
	}
	return place, nil
}

var replacement = []byte("\uFFFD")

// value reads what output asked for.
func (d *decoder) value(place int, cells []backup.Cell) (dump.Value, error) {
	c := cells[0]
	switch c.Kind {
	case backup.CellNull:
		return dump.Value{Kind: dump.Null}, nil
	case backup.CellNumber:
		return dump.Value{Kind: dump.Real, Bytes: c.Bytes}, nil
	}
	if len(c.Bytes) == 0 {
		return dump.Value{}, errTag(c.Bytes)
	}
	body := c.Bytes[1:]
	switch c.Bytes[0] {
	case 't':
		if !d.exact && bytes.Contains(body, replacement) {
			if !d.collect {
				return dump.Value{}, &lossyError{place}
			}
			d.lossy[place] = true
		}
		return dump.Value{Kind: dump.Text, Bytes: body}, nil
	case 'x':
		return d.unhex(body)
	case 'T', 'B':
		return d.join(c.Bytes[0] == 'T', cells[1:])
	}
	return quoted(c.Bytes)
}

// quoted reads what SQLite's quote() wrote.
func quoted(b []byte) (dump.Value, error) {
	if b[0] == 'X' && len(b) >= 3 && b[1] == '\'' && b[len(b)-1] == '\'' {
		return dump.Value{Kind: dump.Blob, Bytes: b[2 : len(b)-1]}, nil
	}
	switch string(b) {
	case "NULL":
		return dump.Value{Kind: dump.Null}, nil
	case "9.0e+999", "9e999", "Inf", "+Inf", "1e999":
		return dump.Value{Kind: dump.Real, Bytes: []byte("Inf")}, nil
	case "-9.0e+999", "-9e999", "-Inf", "-1e999":
		return dump.Value{Kind: dump.Real, Bytes: []byte("-Inf")}, nil
	}
	digits := b
	if b[0] == '-' {
		digits = b[1:]
	}
	if len(digits) == 0 {
		return dump.Value{}, errTag(b)
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return dump.Value{}, errTag(b)
		}
	}
	return dump.Value{Kind: dump.Integer, Bytes: b}, nil
}

func errTag(b []byte) error {
	return backup.Errorf(backup.ErrUnavailable, "the answer holds a value of %d bytes that was not asked for in this form", len(b))
}

// unhex decodes into the scratch buffer, which grows with the row.
func (d *decoder) unhex(h []byte) (dump.Value, error) {
	start := len(d.scratch)
	var err error
	if d.scratch, err = hex.AppendDecode(d.scratch, h); err != nil {
		return dump.Value{}, errTag(h)
	}
	return dump.Value{Kind: dump.Text, Bytes: d.scratch[start:]}, nil
}

func (d *decoder) join(text bool, cells []backup.Cell) (dump.Value, error) {
	start := len(d.scratch)
	for i, c := range cells {
		if c.Kind != backup.CellText {
			return dump.Value{}, errTag(c.Bytes)
		}
		d.long = d.long || i > 0 && len(c.Bytes) > 0
		if !text {
			d.scratch = append(d.scratch, c.Bytes...)
			continue
		}
		var err error
		if d.scratch, err = hex.AppendDecode(d.scratch, c.Bytes); err != nil {
			return dump.Value{}, errTag(c.Bytes)
		}
	}
	v := dump.Value{Kind: dump.Blob, Bytes: d.scratch[start:]}
	if text {
		v.Kind = dump.Text
	}
	return v, nil
}

// hold keeps a row of an early answer; release gives it back.
func (d *decoder) hold(group int, cells []backup.Cell) {
	var b []byte
	for _, c := range cells {
		b = append(b, byte(c.Kind))
		b = append(b, byte(len(c.Bytes)>>24), byte(len(c.Bytes)>>16), byte(len(c.Bytes)>>8), byte(len(c.Bytes)))
		b = append(b, c.Bytes...)
	}
	at := d.heldAt[group]*(len(d.counts)-1) + group
	if at >= len(d.held) {
		d.held = append(slices.Grow(d.held, at+1-len(d.held)), make([][]byte, at+1-len(d.held))...)
	}
	d.held[at] = b
	d.heldAt[group]++
}

func (d *decoder) release(group int) ([]backup.Cell, error) {
	if d.rows >= d.heldAt[group] {
		return nil, errUneven
	}
	at := d.rows*(len(d.counts)-1) + group
	b := d.held[at]
	d.held[at] = nil
	var cells []backup.Cell
	for len(b) > 0 {
		n := int(b[1])<<24 | int(b[2])<<16 | int(b[3])<<8 | int(b[4])
		cells = append(cells, backup.Cell{Kind: backup.CellKind(b[0]), Bytes: b[5 : 5+n]})
		b = b[5+n:]
	}
	return cells, nil
}

// isLossy gives the place of a lossyError.
func isLossy(err error) (int, bool) {
	var l *lossyError
	if errors.As(err, &l) {
		return l.place, true
	}
	return 0, false
}
