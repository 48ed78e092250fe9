package dump

import (
	"bytes"
	"crypto/sha256"
)

// Where the order of the keys cannot be followed, or there is no key, rows are
// told apart by hashes: of the key and of what is compared, each row as often
// as it occurs. The hashes of one table are not held all at once: the tables
// are read as often as it takes, each time for another share of the keys.
const (
	hashRows  = 256 << 10 // hashes held at once
	hashBatch = 4 << 20   // bytes of changed rows held until their other half is found
)

type rowHash [16]byte

// counted is what is known of the rows of one key: those of a that found no
// partner in b yet, and what they held.
type counted struct {
	rows int32
	sum  rowHash
}

// share is one reading of both sides.
type share struct {
	d     *differ
	t     *TableDiff
	p     *pair // as the rows were first met: columns and keys
	whole bool  // there is no key: a row is its own
	n, of uint64
	held  map[rowHash]counted
	batch map[rowHash]RowDiff // changed rows whose first half is not found yet
	size  int
	buf   []byte
}

func (d *differ) byHash(t *TableDiff, p *pair) error {
	of := uint64(max(t.RowsBefore, t.RowsAfter)/d.hashes) + 1
	for n := range of {
		s := &share{d: d, t: t, p: p, whole: t.Way == ByRow, n: n, of: of, held: map[rowHash]counted{}, batch: map[rowHash]RowDiff{}}
		if err := s.run(); err != nil {
			return err
		}
	}
	return errFirst(p.a.drain(), p.b.drain())
}

func errFirst(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *share) run() error {
	err := s.each(0, func(q *pair, key, sum rowHash) error {
		c := s.held[key]
		if c.rows > 0 && !s.whole {
			return q.a.bad("two rows have the same key")
		}
		if int64(len(s.held)) > 4*s.d.hashes+64 {
			return q.a.bad("it has more rows than the table of contents states")
		}
		s.held[key] = counted{c.rows + 1, sum}
		return nil
	})
	if err == nil {
		err = s.each(1, s.match)
	}
	if err != nil {
		return err
	}
	for key, c := range s.held {
		if c.rows == 0 {
			delete(s.held, key)
		}
		s.t.Removed += int64(c.rows)
	}
	if s.d.opt.Row == nil || len(s.held)+len(s.batch) == 0 {
		return nil
	}
	return s.flush(true)
}

// match finds the partner of a row of b.
func (s *share) match(q *pair, key, sum rowHash) error {
	c := s.held[key]
	switch {
	case c.rows == 0:
		s.t.Added++
		return s.d.tell(q, s.t.Name, Added)
	case c.rows > 1:
		s.held[key] = counted{c.rows - 1, sum}
		return nil
	}
	delete(s.held, key)
	if c.sum == sum {
		return nil
	}
	s.t.Changed++
	if s.d.opt.Row == nil {
		return nil
	}
	row := RowDiff{Table: s.t.Name, Change: Changed}
	for _, column := range s.p.columns {
		f := Field{Name: column.name, Key: column.key}
		if at := column.at[1]; at >= 0 {
			v := q.b.cells[at].shown()
			v.Bytes = bytes.Clone(v.Bytes)
			f.After = &v
			s.size += len(v.Bytes)
		}
		row.Fields = append(row.Fields, f)
	}
	s.batch[key] = row
	if s.size += 100 * len(row.Fields); s.size > s.d.batch {
		return s.flush(false)
	}
	return nil
}

// flush reads the first side once more and tells of the rows that changed,
// and at the end of those that went.
func (s *share) flush(last bool) error {
	err := s.each(0, func(q *pair, key, _ rowHash) error {
		if row, ok := s.batch[key]; ok {
			for i, column := range s.p.columns {
				if at := column.at[0]; at >= 0 {
					v := q.a.cells[at].shown()
					row.Fields[i].Before = &v
				}
			}
			delete(s.batch, key)
			s.d.emitted = true
			return s.d.opt.Row(row)
		}
		c := s.held[key]
		if !last || c.rows == 0 {
			return nil
		}
		s.held[key] = counted{c.rows - 1, c.sum}
		return s.d.tell(q, s.t.Name, Removed)
	})
	clear(s.batch)
	s.size = 0
	return err
}

// each reads one side and calls f for the rows of this share.
func (s *share) each(side int, f func(q *pair, key, sum rowHash) error) error {
	q, err := s.p.again()
	if err != nil {
		return err
	}
	defer q.close()
	q.columns = s.p.columns
	for {
		if err := q.step(side); err != nil {
			return err
		}
		if q.end[side] {
			return nil
		}
		r := q.side(side)
		if err := r.parse(); err != nil {
			return err
		}
		key, sum := s.hashes(r, side)
		if (uint64(key[0])<<24|uint64(key[1])<<16|uint64(key[2])<<8|uint64(key[3]))%s.of != s.n {
			continue
		}
		if err := f(q, key, sum); err != nil {
			return err
		}
	}
}

// hashes gives the hash of what identifies a row, and of what is compared.
func (s *share) hashes(r *rowStream, side int) (key, sum rowHash) {
	hash := func(use func(c aligned) bool) (h rowHash) {
		s.buf = s.buf[:0]
		for _, c := range s.p.columns {
			if c.at[0] >= 0 && c.at[1] >= 0 && use(c) && c.at[side] < len(r.cells) {
				s.buf = r.cells[c.at[side]].canonical(s.buf)
			}
		}
		whole := sha256.Sum256(s.buf)
		copy(h[:], whole[:])
		return h
	}
	all := func(aligned) bool { return true }
	if s.whole {
		return hash(all), rowHash{}
	}
	return hash(func(c aligned) bool { return c.key }), hash(all)
}
