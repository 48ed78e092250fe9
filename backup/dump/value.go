package dump

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Kind is one of SQLite's five storage classes.
type Kind uint8

// The kinds of value.
const (
	Null Kind = iota
	Integer
	Real
	Text
	Blob
)

// String names the kind as SQLite's typeof does.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

var kindNames = [...]string{"null", "integer", "real", "text", "blob"}

// Value is one value of a row.
type Value struct {
	Kind Kind
	// Bytes is, by Kind: Integer a decimal literal within int64; Real a decimal
	// literal as JSON has it, or Inf or -Inf; Text the bytes themselves, of any
	// sort; Blob its hex digits, upper case. Null has none.
	Bytes []byte
}

// Check tells whether the bytes are what the kind asks for. The error, an
// ErrInvalid, never holds the value.
func (v Value) Check() error {
	if _, ok := appendLiteral(nil, v); !ok {
		return fmt.Errorf("%w: a value of kind %v is not written as one", ErrInvalid, v.Kind)
	}
	return nil
}

// QuoteIdent writes a name as an identifier in double quotes.
func QuoteIdent(name string) string { return string(appendIdent(nil, name)) }

func appendIdent(dst []byte, name string) []byte {
	return appendQuoted(dst, []byte(name), '"')
}

// QuoteText writes text as an SQL expression that gives back the same bytes: a
// string literal, or CAST(X'…' AS TEXT) where one would not survive.
func QuoteText(b []byte) string { return string(appendText(nil, b)) }

// AppendLiteral appends the SQL expression of v to dst. Bytes that the kind
// does not allow (see Check) are written as text, so that nothing in them runs.
func AppendLiteral(dst []byte, v Value) []byte {
	out, ok := appendLiteral(dst, v)
	if !ok {
		return appendText(dst, v.Bytes)
	}
	return out
}

// appendLiteral is AppendLiteral for those who can refuse.
func appendLiteral(dst []byte, v Value) ([]byte, bool) {
	switch v.Kind {
	case Null:
		return append(dst, "NULL"...), len(v.Bytes) == 0
	case Integer:
		return appendInteger(dst, v.Bytes)
	case Real:
		return appendReal(dst, v.Bytes)
	case Text:
		return appendText(dst, v.Bytes), true
	case Blob:
		return appendBlob(dst, v.Bytes)
	}
	return dst, false
}

// appendInteger takes a decimal literal and writes it in its one form.
func appendInteger(dst, lit []byte) ([]byte, bool) {
	digits := lit
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if n := len(digits); n > 0 && n <= 18 && (digits[0] != '0' || len(lit) == 1) {
		for _, c := range digits {
			if c-'0' > 9 {
				return dst, false
			}
		}
		return append(dst, lit...), true
	}
	n, err := strconv.ParseInt(string(lit), 10, 64)
	if err != nil || lit[0] == '+' {
		return dst, false
	}
	return strconv.AppendInt(dst, n, 10), true
}

// appendBlob takes hex digits in pairs.
func appendBlob(dst, digits []byte) ([]byte, bool) {
	if len(digits)%2 != 0 {
		return dst, false
	}
	var class byte
	for _, c := range digits {
		class |= hexClass[c]
	}
	if class&notHex != 0 {
		return dst, false
	}
	dst = append(dst, 'X', '\'')
	if class&lowerHex != 0 {
		digits = bytes.ToUpper(digits)
	}
	dst = append(dst, digits...)
	return append(dst, '\''), true
}

const (
	notHex   = 1
	lowerHex = 2
)

var hexClass = func() (class [256]byte) {
	for i := range class {
		switch c := byte(i); {
		case c >= 'a' && c <= 'f':
			class[i] = lowerHex
		case c-'0' > 9 && (c < 'A' || c > 'F'):
			class[i] = notHex
		}
	}
	return class
}()

const (
	castHead = "CAST(X'"
	castTail = "' AS TEXT)"
)

// appendText writes text of any bytes.
func appendText(dst, b []byte) []byte {
	plain, quotes := scanText(b)
	switch {
	case !plain:
		dst = append(dst, castHead...)
		dst = appendHex(dst, b)
		return append(dst, castTail...)
	case quotes:
		return appendQuoted(dst, b, '\'')
	}
	dst = append(dst, '\'')
	dst = append(dst, b...)
	return append(dst, '\'')
}

// textSize is the length of what appendText appends.
func textSize(b []byte) int {
	plain, quotes := scanText(b)
	switch {
	case !plain:
		return len(castHead) + 2*len(b) + len(castTail)
	case quotes:
		return len(b) + bytes.Count(b, []byte{'\''}) + 2
	}
	return len(b) + 2
}

// appendHex writes bytes as upper-case hex digits.
func appendHex(dst, b []byte) []byte {
	dst = hex.AppendEncode(dst, b)
	upper(dst[len(dst)-2*len(b):])
	return dst
}

func upper(b []byte) {
	for i, c := range b {
		if c >= 'a' {
			b[i] = c - 'a' + 'A'
		}
	}
}

// appendQuoted writes b in quotes, those within it doubled.
func appendQuoted(dst, b []byte, quote byte) []byte {
	dst = append(dst, quote)
	for {
		i := bytes.IndexByte(b, quote)
		if i < 0 {
			dst = append(dst, b...)
			return append(dst, quote)
		}
		dst = append(dst, b[:i+1]...)
		dst = append(dst, quote)
		b = b[i+1:]
	}
}

// textClass marks the bytes at which scanText must look twice.
var textClass = func() (class [256]byte) {
	class[0], class['\r'], class['\''], class[';'] = 1, 1, 1, 1
	for c := 0x80; c < 256; c++ {
		class[c] = 1
	}
	return class
}()

// scanText tells whether b survives as a string literal wherever a dump is
// loaded, and whether it holds single quotes. A NUL ends a statement, the
// sqlite3 shell turns CR LF into LF, invalid UTF-8 is no UTF-8 text, and
// wrangler takes the first COMMIT; and BEGIN TRANSACTION; out of a file
// wherever they stand.
func scanText(b []byte) (plain, quotes bool) {
	if len(b) > 64 {
		return scanLongText(b)
	}
	for i, c := range b {
		if textClass[c] == 0 {
			continue
		}
		switch {
		case c == '\'':
			quotes = true
		case c == ';':
			if endsTransaction(b[:i]) {
				return false, false
			}
		case c >= 0x80:
			if !utf8.Valid(b[i:]) {
				return false, false
			}
			rest, q := scanRest(b[i:])
			return rest, quotes || q
		default:
			return false, false
		}
	}
	return true, quotes
}

// scanRest is scanText for what is known to be UTF-8, but that it may follow
// the first part of a phrase: a phrase is ASCII, so none spans i.
func scanRest(b []byte) (plain, quotes bool) {
	for i, c := range b {
		switch c {
		case '\'':
			quotes = true
		case ';':
			if endsTransaction(b[:i]) {
				return false, false
			}
		case 0, '\r':
			return false, false
		}
	}
	return true, quotes
}

// scanLongText looks for one thing after another: each search is many times
// faster than a loop over the bytes.
func scanLongText(b []byte) (plain, quotes bool) {
	if bytes.IndexByte(b, 0) >= 0 || bytes.IndexByte(b, '\r') >= 0 || !utf8.Valid(b) {
		return false, false
	}
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], ';')
		if i < 0 {
			break
		}
		at += i
		if endsTransaction(b[:at]) {
			return false, false
		}
		at++
	}
	return true, bytes.IndexByte(b, '\'') >= 0
}

// endsTransaction tells whether the text before a semicolon ends in COMMIT or
// BEGIN TRANSACTION, in letters of either case.
func endsTransaction(b []byte) bool {
	return hasSuffixFold(b, "COMMIT") || hasSuffixFold(b, "BEGIN TRANSACTION")
}

func hasSuffixFold(b []byte, suffix string) bool {
	return len(b) >= len(suffix) && equalFold(b[len(b)-len(suffix):], suffix)
}

// equalFold compares as SQLite compares names and keywords: without regard to
// case in ASCII, and only there.
func equalFold[A, B ~string | ~[]byte](a A, b B) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c-'A' < 26 {
		return c + 'a' - 'A'
	}
	return c
}
