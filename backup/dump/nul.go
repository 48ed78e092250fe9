package dump

import "bytes"

// NumberBeforeNUL tells whether text is a number with a NUL behind it. A column
// of numeric affinity kept such text until SQLite 3.47, of which D1's engine is;
// SQLite 3.54 makes the number of it, whatever follows the NUL.
func NumberBeforeNUL(text []byte) bool {
	end := bytes.IndexByte(text, 0)
	if end < 0 {
		return false
	}
	b := bytes.Trim(text[:end], " \t\n\v\f\r")
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		b = b[1:]
	}
	digits := func() (n int) {
		for n < len(b) && b[n]-'0' <= 9 {
			n++
		}
		b = b[n:]
		return n
	}
	n := digits()
	if len(b) > 0 && b[0] == '.' {
		b = b[1:]
		n += digits()
	}
	if n == 0 {
		return false
	}
	if len(b) > 0 && b[0]|0x20 == 'e' {
		b = b[1:]
		if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
			b = b[1:]
		}
		if digits() == 0 {
			return false
		}
	}
	return len(b) == 0
}
