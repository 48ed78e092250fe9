package export

import (
	"hash/maphash"
	"strconv"
	"strings"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// watch looks at the rows of a part as they are written, for what only the rows
// can tell: that D1's importer will not take them in every way it may import, or
// that a newer SQLite will change them.
type watch struct {
	links   []*link
	numeric []int        // places of columns that turn text which is a number into one
	spoilt  map[int]bool // those of them that hold such text with a NUL behind it
}

// link is a foreign key whose parents do not all come before its rows.
type link struct {
	parent  string
	child   []int // places among the part's values
	key     []int // of the parent's key among the same values, where it is the table itself
	ordered bool  // by that key, an integer, the rows come in order
	seen    *filter
	pending map[uint64]bool // keys that were named and have not come
	later   bool            // a row names one that comes later
}

// maxPending bounds the keys that a link waits for. Beyond it one of them is
// taken to come: so many are not all orphans.
const maxPending = 4096

func (p *part) watched() *watch {
	if p.watch == nil {
		p.watch = &watch{spoilt: map[int]bool{}}
	}
	return p.watch
}

// watchLink watches a foreign key to the table itself or to a later one. One
// whose columns are generated, and so not read, cannot be watched.
func (p *part) watchLink(parent *part, r reference) {
	l := &link{parent: parent.table.Name, pending: map[uint64]bool{}}
	for _, name := range r.From {
		l.child = append(l.child, p.placeOf(name))
	}
	if parent == p {
		columns := r.Columns
		if len(columns) == 0 {
			columns = p.table.primaryKey()
		}
		for _, name := range columns {
			l.key = append(l.key, p.placeOf(name))
		}
		l.ordered = len(l.key) == 1 && len(p.key) == 1 && l.key[0] == p.key[0] && p.table.integerKey() >= 0
		if !l.ordered {
			l.seen = new(filter)
		}
	}
	for _, place := range append(l.child, l.key...) {
		if place < 0 {
			return
		}
	}
	w := p.watched()
	w.links = append(w.links, l)
}

// watchNumbers watches the columns of numeric affinity
// (https://www.sqlite.org/datatype3.html, section 3.1).
func (p *part) watchNumbers() {
	for _, c := range p.table.Columns {
		if place := p.placeOf(c.Name); c.Hidden == 0 && place >= 0 && numericAffinity(c.Type) && !p.table.Virtual {
			w := p.watched()
			w.numeric = append(w.numeric, place)
		}
	}
}

func numericAffinity(declared string) bool {
	t := source.Fold(declared)
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(t, w) {
				return true
			}
		}
		return false
	}
	return has("int") || t != "" && !has("char", "clob", "text", "blob")
}

// row looks at one row.
func (w *watch) row(values []dump.Value) {
	for _, place := range w.numeric {
		if v := values[place]; v.Kind == dump.Text && dump.NumberBeforeNUL(v.Bytes) {
			w.spoilt[place] = true
		}
	}
	for _, l := range w.links {
		if !l.later {
			l.row(values)
		}
	}
}

var seed = maphash.MakeSeed()

// sum hashes values as keys are compared: a number and the text of it are the
// same, and so are upper and lower case, for a column may have it so. A NULL
// references nothing.
func sum(values []dump.Value, places []int) (hash uint64, ok bool) {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, place := range places {
		v := values[place]
		switch v.Kind {
		case dump.Null:
			return 0, false
		case dump.Blob:
			_ = h.WriteByte('x')
			_, _ = h.Write(v.Bytes)
		default:
			_ = h.WriteByte('t')
			text := strings.TrimRight(source.Fold(string(v.Bytes)), " ")
			if f, err := strconv.ParseFloat(text, 64); err == nil && f == float64(int64(f)) {
				text = strings.TrimSuffix(text, ".0")
			}
			_, _ = h.WriteString(text)
		}
		_ = h.WriteByte(0)
	}
	return h.Sum64(), true
}

func (l *link) row(values []dump.Value) {
	var own uint64
	if l.key != nil {
		if own, _ = sum(values, l.key); l.pending[own] {
			l.later = true
			return
		}
		if l.seen != nil {
			l.seen.add(own)
		}
	}
	named, ok := sum(values, l.child)
	switch {
	case !ok || l.key != nil && named == own:
		return
	case l.key == nil:
		l.later = true
		return
	case l.ordered && before(values[l.child[0]], values[l.key[0]]), l.seen != nil && l.seen.has(named):
		return
	}
	l.pending[named] = true
	l.later = len(l.pending) > maxPending
}

// before tells whether the key that a value names is below a row's own.
func before(named, own dump.Value) bool {
	n, err1 := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(string(named.Bytes), ".0")), 10, 64)
	o, err2 := strconv.ParseInt(string(own.Bytes), 10, 64)
	return err1 == nil && err2 == nil && n < o
}

// filter is a Bloom filter of 2 MiB: of 1.5 million keys it takes one in a
// hundred for seen that was not.
type filter [1 << 18]uint64

func (f *filter) add(h uint64) {
	for range 4 {
		f[h>>6%uint64(len(f))] |= 1 << (h & 63)
		h = h>>24 | h<<40
	}
}

func (f *filter) has(h uint64) bool {
	for range 4 {
		if f[h>>6%uint64(len(f))]&(1<<(h&63)) == 0 {
			return false
		}
		h = h>>24 | h<<40
	}
	return true
}

// findings says what was seen of the rows of a part.
func (p *part) findings() (out []backup.Finding) {
	if p.watch == nil {
		return nil
	}
	for _, l := range p.watch.links {
		if !l.later {
			continue
		}
		where := "the table " + strconv.Quote(l.parent) + ", which comes"
		if l.key != nil {
			where = "others that come"
		}
		out = append(out, backup.Finding{
			Code: "later-rows", Object: p.table.Name,
			Message: "rows of this table reference " + where + " later in the copy: D1 takes them back where it imports a file in one transaction, and refuses them should it commit in between; a SQLite file takes them always",
		})
	}
	for place, source := range p.sources {
		if p.watch.spoilt[place] {
			out = append(out, backup.Finding{
				Code: "number-before-nul", Object: p.table.Name,
				Message: "the column " + strings.TrimPrefix(source, alias+".") + " takes numbers and holds text that is a number with a NUL behind it: the copy keeps it, and SQLite 3.54 makes the number of it when it is loaded",
			})
		}
	}
	return out
}
