package dump

import (
	"bytes"
	"encoding/hex"
)

// span is a stretch of a text.
type span struct{ from, to int }

// splitInsert finds the values of a row's INSERT, as Allowed lets it through:
// their places in sql, appended to dst. ok is false where sql is no such row.
func splitInsert(dst []span, sql []byte) (values []span, ok bool) {
	w := words{Lexer: Lexer{src: sql}}
	w.next()
	if !w.is("INSERT") || !w.is("INTO") {
		return dst, false
	}
	w.next()
	if w.punct('(') {
		for w.tok.Kind != TokenEnd && !w.punct(')') {
			w.next()
		}
	}
	if !w.is("VALUES") || !w.punct('(') {
		return dst, false
	}
	from := w.tok.Start
	for depth := 1; ; {
		at := w.tok.Start
		switch {
		case w.tok.Kind == TokenEnd:
			return dst, false
		case w.punct('('):
			depth++
		case w.punct(')'):
			if depth--; depth == 0 {
				return append(dst, span{from, at}), true
			}
		case w.punct(','):
			if depth == 1 {
				dst = append(dst, span{from, at})
				from = w.tok.Start
			}
		default:
			w.next()
		}
	}
}

// textLiteral gives the bytes of a text that a dump holds as '…' or as
// CAST(X'…' AS TEXT); ok is false for anything else.
func textLiteral(literal []byte) (text []byte, ok bool) {
	if n := len(literal); n >= 2 && literal[0] == '\'' && literal[n-1] == '\'' {
		return bytes.ReplaceAll(literal[1:n-1], []byte("''"), []byte("'")), true
	}
	digits, ok := bytes.CutPrefix(literal, []byte(castHead))
	digits, ok2 := bytes.CutSuffix(digits, []byte(castTail))
	if !ok || !ok2 {
		return nil, false
	}
	text = make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(text, digits); err != nil {
		return nil, false
	}
	return text, true
}

// longLiteral gives a text or a blob as a Value, which alone can be staged.
func longLiteral(literal []byte) (Value, bool) {
	if text, ok := textLiteral(literal); ok {
		return Value{Text, text}, true
	}
	if digits, ok := bytes.CutPrefix(literal, []byte("X'")); ok {
		if digits, ok = bytes.CutSuffix(digits, []byte("'")); ok {
			return Value{Blob, digits}, true
		}
	}
	return Value{}, false
}
