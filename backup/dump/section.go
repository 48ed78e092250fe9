package dump

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strconv"
)

// maxRow is how much of a row's long values is kept to be shown and compared
// as a key; whether they are equal is told by their hashes.
const maxRow = 8 << 20

// sectionReader reads the statements of one section, and holds its bytes to
// what the table of contents states.
type sectionReader struct {
	Reader
	body io.ReadCloser
	want Section
	sum  hash.Hash
}

// open opens a section of the text.
func (t Side) open(s Section) (*sectionReader, error) {
	body, err := t.Open(s.Offset, s.Length)
	if err != nil {
		return nil, fmt.Errorf("dump: open section %s: %w", QuoteIdent(s.Name), err)
	}
	r := &sectionReader{body: body, want: s, sum: sha256.New()}
	r.s = newScanner(io.LimitReader(body, s.Length+1), MaxStatement, func(b []byte) { r.sum.Write(b) })
	r.section = &Section{Name: s.Name, Kind: s.Kind}
	r.insert = appendIdent([]byte("INSERT INTO "), s.Name)
	return r, nil
}

// Next gives the next statement, and io.EOF when the whole section was read
// and is what the contents state.
func (r *sectionReader) Next() (Statement, error) {
	for {
		end, err := r.s.atEnd()
		if err != nil {
			return Statement{}, err
		}
		if end {
			return Statement{}, r.check()
		}
		comment, err := r.s.starts("--")
		if err != nil {
			return Statement{}, err
		}
		if !comment {
			break
		}
		if _, err := r.s.line(r.s.max); err != nil {
			return Statement{}, err
		}
	}
	offset := r.s.offset()
	sql, err := r.s.statement()
	if err != nil {
		return Statement{}, err
	}
	s := Statement{SQL: sql, Offset: r.want.Offset + offset}
	err = r.inSection(&s)
	return s, err
}

func (r *sectionReader) check() error {
	r.s.settle()
	if r.want.Kind != KindSchema && r.section.Rows != r.want.Rows {
		return wrap(ErrCorrupt, "the table %s has %d rows, and the table of contents states %d", QuoteIdent(r.want.Name), r.section.Rows, r.want.Rows)
	}
	if r.s.offset() != r.want.Length || sum(r.sum) != r.want.SHA256 {
		return wrap(ErrCorrupt, "the section of %s is not what the table of contents states", QuoteIdent(r.want.Name))
	}
	return io.EOF
}

func (r *sectionReader) bad(what string) error {
	return wrap(ErrCorrupt, "in the section of %s: %s", QuoteIdent(r.want.Name), what)
}

func (r *sectionReader) close() { _ = r.body.Close() }

// rowStream reads the rows of a table's section.
type rowStream struct {
	*sectionReader
	sql       string       // its CREATE
	indexes   []objectText // those that stand with the table
	def       definition
	names     []string // of the values, the number of the row's first where it is written
	numbered  bool     // the first value is the rowid
	described bool

	row    []byte // the row's INSERT, until the next call
	count  int64
	cells  []cell
	parsed bool
	spans  []span
	pieces map[int]*longValue // of the row to come
	staged map[int]*longValue // of this row
	left   int                // bytes of its values that may still be kept
}

func openRows(t Side, s Section) (*rowStream, error) {
	r, err := t.open(s)
	if err != nil {
		return nil, err
	}
	return &rowStream{sectionReader: r, left: maxRow}, nil
}

// next steps to the next row; io.EOF behind the last.
func (r *rowStream) next() error {
	r.staged, r.parsed = nil, false
	for {
		s, err := r.Next()
		if errors.Is(err, io.EOF) && !r.described {
			return errFirst(r.describe(), err)
		}
		if err != nil {
			return err
		}
		switch {
		case s.Stage && s.Kind == Insert:
			if err := r.piece(s.SQL); err != nil {
				return err
			}
		case s.Stage:
			r.pieces, r.left = nil, maxRow
		case s.Kind == CreateTable && !isPlaceholder(s), s.Kind == CreateVirtualTable:
			r.sql = string(bytes.TrimSuffix(s.SQL, []byte(";")))
			r.def = define(s.SQL)
		case s.Kind == CreateIndex:
			r.indexes = append(r.indexes, objectOf(s))
		case s.Kind == Insert:
			r.row, r.staged = s.SQL, r.pieces
			r.pieces, r.left = nil, maxRow
			r.count++
			if !r.described {
				return r.describe()
			}
			return nil
		}
	}
}

// drain reads what is left, so that the section is known to be whole.
func (r *rowStream) drain() error {
	for {
		if err := r.next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// piece takes one piece of a long value.
func (r *rowStream) piece(sql []byte) error {
	var ok bool
	if r.spans, ok = splitInsert(r.spans[:0], sql); !ok || len(r.spans) != 3 {
		return r.bad("a piece of a long value cannot be read")
	}
	column, err := strconv.Atoi(string(sql[r.spans[0].from:r.spans[0].to]))
	v, ok := longLiteral(sql[r.spans[2].from:r.spans[2].to])
	if err != nil || !ok {
		return r.bad("a piece of a long value cannot be read")
	}
	if r.pieces == nil {
		r.pieces = map[int]*longValue{}
	}
	if r.pieces[column] == nil {
		r.pieces[column] = &longValue{}
	}
	r.left -= r.pieces[column].add(v, r.left)
	return nil
}

// describe learns from the first row, or where there is none from the table's
// definition, what the values are called.
func (r *rowStream) describe() error {
	r.described = true
	for _, c := range r.def.columns {
		if !c.generated {
			r.names = append(r.names, c.name)
		}
	}
	if r.count == 0 {
		return nil
	}
	var ok bool
	if r.spans, ok = splitInsert(r.spans[:0], r.row); !ok {
		return r.bad("a row cannot be taken apart")
	}
	w := newWords(r.row[len(r.insert):])
	if w.punct('(') {
		r.names = r.names[:0]
		r.numbered = w.tok.Kind == TokenWord // only the rowid's name is bare
		for !w.at(')') && w.tok.Kind != TokenEnd {
			r.names = append(r.names, w.name())
			if !w.punct(',') {
				break
			}
		}
	}
	if len(r.names) != len(r.spans) { // a definition that is not understood, or a virtual table's
		r.def.known = false
		r.names = r.names[:0]
		for i := range r.spans {
			r.names = append(r.names, fmt.Sprintf("column %d", i+1))
		}
	}
	return nil
}

// parse takes the row apart.
func (r *rowStream) parse() error {
	if r.parsed {
		return nil
	}
	var ok bool
	if r.spans, ok = splitInsert(r.spans[:0], r.row); !ok {
		return r.bad("a row cannot be taken apart")
	}
	r.cells = r.cells[:0]
	for i, at := range r.spans {
		literal := r.row[at.from:at.to]
		c, ok := cellOf(literal)
		if long := r.staged[i]; long != nil && bytes.HasPrefix(literal, []byte("("+stagedHead)) {
			c, ok = cell{kind: long.kind, long: long}, true
		}
		if !ok {
			return r.bad("a value of a row is not a literal")
		}
		r.cells = append(r.cells, c)
	}
	if len(r.names) != len(r.cells) {
		return r.bad("its rows have different numbers of values")
	}
	r.parsed = true
	return nil
}

// keyPart is one value of those that identify a row.
type keyPart struct {
	place   int // among the values
	collate string
	desc    bool
}

// key gives what identifies a row, in the order that the rows follow; nil
// where nothing does.
func (r *rowStream) key() (parts []keyPart) {
	if r.numbered || r.want.Kind == KindVirtual { // an R*Tree's number is its first column
		return []keyPart{{}}
	}
	for n := 1; r.def.known; n++ {
		at := slices.IndexFunc(r.def.columns, func(c columnDefinition) bool { return c.key == n })
		if at < 0 {
			break
		}
		c := r.def.columns[at]
		place := slices.IndexFunc(r.names, func(name string) bool { return equalFold(name, c.name) })
		if place < 0 || !r.def.withoutRowid && !c.integer {
			return nil // a key that may be NULL, under row numbers that no name reaches
		}
		parts = append(parts, keyPart{place, c.collate, c.desc && r.def.withoutRowid})
	}
	return parts
}
