package dump

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math"
	"strconv"
)

// cell is one value of a row as the dump has it. A value that was put together
// from pieces has no literal, and where it is very long only its beginning.
type cell struct {
	kind    Kind
	literal []byte
	long    *longValue
}

// longValue is a value of a staging table.
type longValue struct {
	kind Kind
	head []byte // the value, or its beginning: text as it is, a blob's digits
	size int64  // of all of it
	hash hash.Hash
}

// add puts a piece behind what there is, keeping at most room bytes of it, and
// gives how many were kept.
func (l *longValue) add(v Value, room int) int {
	if l.hash == nil {
		l.kind, l.hash = v.Kind, sha256.New()
	}
	l.size += int64(len(v.Bytes))
	l.hash.Write(v.Bytes)
	kept := v.Bytes[:min(len(v.Bytes), max(room, 0))]
	l.head = append(l.head, kept...)
	return len(kept)
}

func (l *longValue) whole() bool { return int64(len(l.head)) == l.size }

// cellOf tells the kind of a literal; ok is false for what no Writer makes.
func cellOf(literal []byte) (c cell, ok bool) {
	literal = bytes.TrimSpace(literal)
	if len(literal) == 0 {
		return c, false
	}
	c.literal = literal
	switch first := literal[0]; {
	case first == '\'', bytes.HasPrefix(literal, []byte(castHead)):
		c.kind = Text
	case first == 'X' && len(literal) > 2:
		c.kind = Blob
	case string(literal) == "NULL":
		c.kind = Null
	case first == '-' || first-'0' <= 9:
		c.kind = Integer
		if bytes.ContainsAny(literal, ".eE(") {
			c.kind = Real
		}
	case first == '(':
		c.kind = Real
	default:
		return c, false
	}
	return c, true
}

// value gives a cell as a Value: text as its bytes, a blob as its digits, a
// number as its literal. Of a very long one it has the beginning.
func (c cell) value() Value {
	if c.long != nil {
		return Value{c.long.kind, c.long.head}
	}
	switch c.kind {
	case Null:
		return Value{}
	case Text, Blob:
		if v, ok := longLiteral(c.literal); ok {
			return v
		}
	}
	return Value{c.kind, c.literal}
}

// size is the length of the value's text or digits.
func (c cell) size() int64 {
	if c.long != nil {
		return c.long.size
	}
	return int64(len(c.value().Bytes))
}

// shown is the value as a difference tells it.
func (c cell) shown() DiffValue {
	v := c.value()
	return DiffValue{v.Kind, v.Bytes, c.size()}
}

// sameCell tells whether two cells hold the same value of the same type.
func sameCell(a, b cell) bool {
	if a.long == nil && b.long == nil {
		return bytes.Equal(a.literal, b.literal) || a.kind == Real && b.kind == Real && a.number() == b.number()
	}
	return bytes.Equal(a.canonical(nil), b.canonical(nil))
}

// canonical appends bytes that equal only those of the same value, however it
// is written; a long one goes in by its hash.
func (c cell) canonical(dst []byte) []byte {
	kind := c.kind
	if c.long != nil {
		kind = c.long.kind
	}
	dst = append(dst, byte(kind))
	if kind == Real {
		return binary.BigEndian.AppendUint64(dst, math.Float64bits(c.number()))
	}
	size := c.size()
	dst = binary.BigEndian.AppendUint64(dst, uint64(size))
	switch {
	case c.long != nil:
		return c.long.hash.Sum(dst)
	case size > 4096:
		sum := sha256.Sum256(c.value().Bytes)
		return append(dst, sum[:]...)
	}
	return append(dst, c.value().Bytes...)
}

// number is the value of a real: a decimal, or a product (see real.go). What
// cannot be read is not a number.
func (c cell) number() float64 {
	text := c.literal
	sign := 1.0
	if rest, ok := bytes.CutPrefix(text, []byte("-(")); ok {
		sign, text = -1, append([]byte("("), rest...)
	}
	text, product := bytes.CutPrefix(text, []byte("("))
	if product {
		text = bytes.TrimSuffix(text, []byte(")"))
	}
	var f float64
	op := byte('*')
	for first := true; len(text) > 0 || first; first = false {
		end := bytes.IndexAny(text, "*/")
		if end < 0 {
			end = len(text)
		}
		factor, err := strconv.ParseFloat(string(bytes.TrimSpace(text[:end])), 64)
		switch {
		case err != nil && !math.IsInf(factor, 0):
			return math.NaN()
		case first:
			f = factor
		case op == '*':
			f *= factor
		default:
			f /= factor
		}
		if end == len(text) {
			break
		}
		op, text = text[end], text[end+1:]
	}
	return sign * f
}

// compareCells orders two values as SQLite orders a key: NULL, numbers, text
// by its collation, blobs. ok is false where that cannot be told.
func compareCells(a, b cell, collate string) (order int, ok bool) {
	if class := cmp.Compare(classOf(a), classOf(b)); class != 0 {
		return class, true
	}
	switch classOf(a) {
	case 0:
		return 0, true
	case 1:
		return compareNumbers(a, b)
	}
	if a.long != nil && !a.long.whole() || b.long != nil && !b.long.whole() {
		return 0, false
	}
	x, y := a.value().Bytes, b.value().Bytes
	switch {
	case classOf(a) == 3 || collate == "" || equalFold(collate, "BINARY"):
	case equalFold(collate, "NOCASE"):
		x, y = lowered(x), lowered(y)
	case equalFold(collate, "RTRIM"):
		x, y = bytes.TrimRight(x, " "), bytes.TrimRight(y, " ")
	default:
		return 0, false
	}
	return bytes.Compare(x, y), true
}

// classOf numbers the storage classes in their order.
func classOf(c cell) int {
	kind := c.kind
	if c.long != nil {
		kind = c.long.kind
	}
	return [...]int{Null: 0, Integer: 1, Real: 1, Text: 2, Blob: 3}[kind]
}

func lowered(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		out[i] = lower(c)
	}
	return out
}

func compareNumbers(a, b cell) (int, bool) {
	if a.kind == Integer && b.kind == Integer {
		i, err := strconv.ParseInt(string(a.literal), 10, 64)
		j, err2 := strconv.ParseInt(string(b.literal), 10, 64)
		return cmp.Compare(i, j), err == nil && err2 == nil
	}
	if a.kind == Real && b.kind == Real {
		x, y := a.number(), b.number()
		return cmp.Compare(x, y), x == x && y == y //nolint:gocritic,staticcheck // not NaN
	}
	if a.kind == Real {
		order, ok := compareNumbers(b, a)
		return -order, ok
	}
	i, err := strconv.ParseInt(string(a.literal), 10, 64)
	y := b.number()
	switch {
	case err != nil || math.IsNaN(y):
		return 0, false
	case y < -1<<63:
		return 1, true
	case y >= 1<<63:
		return -1, true
	}
	if order := cmp.Compare(i, int64(y)); order != 0 {
		return order, true
	}
	return cmp.Compare(float64(i), y), true
}
