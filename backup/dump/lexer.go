package dump

import "bytes"

// TokenKind is what a token of SQL is.
type TokenKind uint8

// The kinds of token.
const (
	TokenEnd      TokenKind = iota // the text is at its end
	TokenSpace                     // white space
	TokenComment                   // -- to the end of its line (which is left out), or /* … */
	TokenWord                      // a keyword or a bare name
	TokenQuoted                    // a name in "…", `…` or […]
	TokenString                    // '…'
	TokenBlob                      // X'…'
	TokenNumber                    // 1, 1.5, 1e9, 0xff
	TokenVariable                  // ?, ?1, :a, @a, $a, #a
	TokenPunct                     // one byte of anything else
	TokenIllegal                   // what SQLite refuses: a NUL, an open quote, 1x, X'a'
)

// Token is one token: src[Start:End].
type Token struct {
	Kind       TokenKind
	Start, End int
	// Open says that the text ended before the token did: a quote or a block
	// comment that was never closed, or a line comment without its line end.
	Open bool
}

// Lexer takes SQL text apart as SQLite's own tokenizer does.
type Lexer struct {
	src []byte
	pos int
}

// NewLexer reads src, which it neither copies nor changes.
func NewLexer(src []byte) *Lexer { return &Lexer{src: src} }

// Next gives the next token: each byte of the text is in exactly one.
func (l *Lexer) Next() Token {
	t := lex(l.src, l.pos)
	l.pos = t.End
	return t
}

// Significant gives the next token that is neither space nor comment.
func (l *Lexer) Significant() Token {
	for {
		if t := l.Next(); t.Kind != TokenSpace && t.Kind != TokenComment {
			return t
		}
	}
}

// Text gives the bytes of a token.
func (l *Lexer) Text(t Token) []byte { return l.src[t.Start:t.End] }

// Byte classes of SQL.
const (
	isSpace   = 1 << iota // begins white space
	isName                // continues a name
	isDigit               //
	isHex                 //
	isStart               // begins a name
	isSpecial             // may change how the bytes after it are read
)

var sqlClass = func() (class [256]byte) {
	for i := range class {
		c := byte(i)
		switch {
		case c == ' ', c == '\t', c == '\n', c == '\f', c == '\r':
			class[i] |= isSpace
		case c-'0' <= 9:
			class[i] |= isName | isDigit | isHex
		case lower(c)-'a' <= 25, c == '_', c >= 0x80:
			class[i] |= isName | isStart
		case c == '$':
			class[i] |= isName
		}
		if lower(c)-'a' <= 5 {
			class[i] |= isHex
		}
		if bytes.IndexByte([]byte("'\"`[-/;"), c) >= 0 {
			class[i] |= isSpecial
		}
	}
	return class
}()

// lex gives the token of src that begins at i.
func lex(src []byte, i int) Token {
	if i >= len(src) {
		return Token{Kind: TokenEnd, Start: len(src), End: len(src)}
	}
	c := src[i]
	switch {
	case sqlClass[c]&isSpace != 0:
		end := i + 1
		for end < len(src) && (sqlClass[src[end]]&isSpace != 0 || src[end] == '\v') {
			end++
		}
		return Token{Kind: TokenSpace, Start: i, End: end}
	case c == 0xef && bytes.HasPrefix(src[i:], []byte("\xef\xbb\xbf")):
		return Token{Kind: TokenSpace, Start: i, End: i + 3} // a byte order mark
	case c|0x20 == 'x' && i+1 < len(src) && src[i+1] == '\'':
		return lexBlob(src, i)
	case sqlClass[c]&isStart != 0:
		return Token{Kind: TokenWord, Start: i, End: nameEnd(src, i+1)}
	case sqlClass[c]&isDigit != 0, c == '.' && i+1 < len(src) && sqlClass[src[i+1]]&isDigit != 0:
		return lexNumber(src, i)
	}
	switch c {
	case '\'', '"', '`', '[', '-', '/':
		end, open := skipSpecial(src, i)
		kind := TokenQuoted
		switch {
		case end == i+1 && !open:
			kind = TokenPunct
		case c == '-' || c == '/':
			kind = TokenComment
		case open:
			kind = TokenIllegal
		case c == '\'':
			kind = TokenString
		}
		return Token{Kind: kind, Start: i, End: end, Open: open}
	case '?', ':', '@', '$', '#':
		end := nameEnd(src, i+1)
		if end == i+1 && c != '?' {
			return Token{Kind: TokenPunct, Start: i, End: end}
		}
		return Token{Kind: TokenVariable, Start: i, End: end}
	case 0:
		return Token{Kind: TokenIllegal, Start: i, End: i + 1}
	}
	return Token{Kind: TokenPunct, Start: i, End: i + 1}
}

func nameEnd(src []byte, i int) int {
	for i < len(src) && sqlClass[src[i]]&isName != 0 {
		i++
	}
	return i
}

// skipSpecial gives the end of the quoted text or comment that begins at i, or
// i+1 where none does; open tells that the text ends before it.
func skipSpecial(src []byte, i int) (end int, open bool) {
	rest := src[i+1:]
	switch c := src[i]; c {
	case '\'', '"', '`':
		for at := i + 1; ; {
			n := bytes.IndexByte(src[at:], c)
			if n < 0 {
				return len(src), true
			}
			at += n + 1
			if at == len(src) || src[at] != c {
				return at, false
			}
			at++
		}
	case '[':
		if n := bytes.IndexByte(rest, ']'); n >= 0 {
			return i + 2 + n, false
		}
		return len(src), true
	case '-':
		if len(rest) == 0 || rest[0] != '-' {
			return i + 1, false
		}
		if n := bytes.IndexByte(rest, '\n'); n >= 0 {
			return i + 1 + n, false
		}
		return len(src), true
	case '/':
		if len(rest) < 2 || rest[0] != '*' {
			return i + 1, false
		}
		if n := bytes.Index(rest[1:], []byte("*/")); n >= 0 {
			return i + 4 + n, false
		}
		return len(src), true
	}
	return i + 1, false
}

// lexBlob reads X'…': hex digits in pairs up to the next quote.
func lexBlob(src []byte, i int) Token {
	end := i + 2
	for end < len(src) && sqlClass[src[end]]&isHex != 0 {
		end++
	}
	t := Token{Kind: TokenBlob, Start: i, End: end + 1}
	if end < len(src) && src[end] == '\'' && (end-i)%2 == 0 {
		return t
	}
	t.Kind = TokenIllegal
	if n := bytes.IndexByte(src[end:], '\''); n >= 0 {
		t.End = end + n + 1
	} else {
		t.End, t.Open = len(src), true
	}
	return t
}

// lexNumber reads a number; one with a name behind it is illegal.
func lexNumber(src []byte, i int) Token {
	end := i
	digits := func(class byte) {
		for end < len(src) && (sqlClass[src[end]]&class != 0 ||
			src[end] == '_' && end > i && end+1 < len(src) && sqlClass[src[end+1]]&class != 0) {
			end++
		}
	}
	if src[i] == '0' && i+2 < len(src) && src[i+1]|0x20 == 'x' && sqlClass[src[i+2]]&isHex != 0 {
		end += 2
		digits(isHex)
	} else {
		digits(isDigit)
		if end < len(src) && src[end] == '.' {
			end++
			digits(isDigit)
		}
		if end < len(src) && src[end]|0x20 == 'e' {
			at := end + 1
			if at < len(src) && (src[at] == '+' || src[at] == '-') {
				at++
			}
			if at < len(src) && sqlClass[src[at]]&isDigit != 0 {
				end = at
				digits(isDigit)
			}
		}
	}
	t := Token{Kind: TokenNumber, Start: i, End: end}
	if e := nameEnd(src, end); e > end {
		t.Kind, t.End = TokenIllegal, e
	}
	return t
}

// identifier gives the name that a token stands for; SQLite takes a string in
// a name's place too. ok is false for other tokens.
func identifier(text []byte, kind TokenKind) (name string, ok bool) {
	switch kind {
	case TokenWord:
		return string(text), true
	case TokenQuoted, TokenString:
		inner := text[1 : len(text)-1]
		if q := text[0]; q != '[' && bytes.IndexByte(inner, q) >= 0 {
			inner = bytes.ReplaceAll(inner, []byte{q, q}, []byte{q})
		}
		return string(inner), true
	}
	return "", false
}

// StatementEnd gives the index just past the semicolon that ends the first
// statement of src, or -1 where src holds none. It follows the rule of
// sqlite3_complete: a trigger ends at the semicolon after an END that itself
// follows a semicolon, which no CASE … END does.
func StatementEnd(src []byte) int {
	if createsTrigger(src) {
		return triggerEnd(src)
	}
	for i := 0; i < len(src); {
		c := src[i]
		switch {
		case sqlClass[c]&isSpecial == 0:
			i++
		case c == ';':
			return i + 1
		default:
			end, open := skipSpecial(src, i)
			if open {
				return -1
			}
			i = end
		}
	}
	return -1
}

// createsTrigger tells whether src begins CREATE [TEMP] TRIGGER, perhaps after
// EXPLAIN [QUERY PLAN].
func createsTrigger(src []byte) bool {
	l := Lexer{src: src}
	word := func() []byte {
		if t := l.Significant(); t.Kind == TokenWord {
			return l.Text(t)
		}
		return nil
	}
	w := word()
	if equalFold(w, "EXPLAIN") {
		if w = word(); equalFold(w, "QUERY") {
			word()
			w = word()
		}
	}
	if !equalFold(w, "CREATE") {
		return false
	}
	if w = word(); equalFold(w, "TEMP") || equalFold(w, "TEMPORARY") {
		w = word()
	}
	return equalFold(w, "TRIGGER")
}

func triggerEnd(src []byte) int {
	const (
		inside = iota
		afterSemicolon
		afterEnd
	)
	state := inside
	l := Lexer{src: src}
	for {
		t := l.Significant()
		switch {
		case t.Kind == TokenEnd || t.Open:
			return -1
		case src[t.Start] == ';':
			if state == afterEnd {
				return t.End
			}
			state = afterSemicolon
		case state == afterSemicolon && t.Kind == TokenWord && equalFold(l.Text(t), "END"):
			state = afterEnd
		default:
			state = inside
		}
	}
}
