package export

import (
	"strings"

	"github.com/AutumnsGrove/Patina/backup/source"
)

// virtual is what the text of a CREATE VIRTUAL TABLE says.
type virtual struct {
	Module string   // folded
	Args   []string // as written, trimmed
}

// option gives the value of name=value among the arguments, unquoted, and
// whether it is there. FTS5 takes options in this form
// (https://www.sqlite.org/fts5.html, section 4).
func (v virtual) option(name string) (string, bool) {
	for _, a := range v.Args {
		key, value, ok := strings.Cut(a, "=")
		if ok && source.Fold(strings.TrimSpace(key)) == name {
			return unquote(strings.TrimSpace(value)), true
		}
	}
	return "", false
}

// parseVirtual reads "CREATE VIRTUAL TABLE name USING module(args)". SQLite
// keeps the text as it was typed, so comments and any quoting may occur.
func parseVirtual(sql string) virtual {
	var v virtual
	words := 0
	for i := 0; i < len(sql); {
		j := skipToken(sql, i)
		word := sql[i:j]
		i = j
		if strings.TrimSpace(word) == "" || strings.HasPrefix(word, "--") || strings.HasPrefix(word, "/*") {
			continue
		}
		switch {
		case words == 0 && source.Fold(word) == "using":
			words = 1
		case words == 1:
			v.Module, words = source.Fold(unquote(word)), 2
		case words == 2 && word == "(":
			v.Args = splitArgs(sql[i:])
			return v
		}
	}
	return v
}

// splitArgs cuts the arguments at the commas of the outermost level.
func splitArgs(s string) []string {
	var args []string
	depth, start := 0, 0
	for i := 0; i < len(s); {
		j := skipToken(s, i)
		switch s[i:j] {
		case "(":
			depth++
		case ")":
			if depth == 0 {
				return append(args, strings.TrimSpace(s[start:i]))
			}
			depth--
		case ",":
			if depth == 0 {
				args, start = append(args, strings.TrimSpace(s[start:i])), j
			}
		}
		i = j
	}
	return append(args, strings.TrimSpace(s[start:]))
}

// skipToken gives the end of the token that begins at i: a quoted string, a
// comment, a word, or one byte.
func skipToken(s string, i int) int {
	rest := s[i:]
	end := func(n int) int {
		if n < 0 {
			return len(s)
		}
		return i + n
	}
	switch c := s[i]; {
	case strings.HasPrefix(rest, "--"):
		return end(strings.IndexByte(rest, '\n'))
	case strings.HasPrefix(rest, "/*"):
		if n := strings.Index(rest[2:], "*/"); n >= 0 {
			return i + n + 4
		}
		return len(s)
	case c == '[':
		if n := strings.IndexByte(rest, ']'); n >= 0 {
			return i + n + 1
		}
		return len(s)
	case c == '\'' || c == '"' || c == '`':
		for j := i + 1; j < len(s); j++ {
			if s[j] == c {
				if j+1 < len(s) && s[j+1] == c {
					j++
					continue
				}
				return j + 1
			}
		}
		return len(s)
	case wordByte(c):
		j := i
		for j < len(s) && wordByte(s[j]) {
			j++
		}
		return j
	}
	return i + 1
}

func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80
}

// unquote takes off the quotes of any of SQLite's four kinds.
func unquote(s string) string {
	if len(s) < 2 {
		return s
	}
	switch c, last := s[0], s[len(s)-1]; {
	case c == '[' && last == ']':
		return s[1 : len(s)-1]
	case (c == '\'' || c == '"' || c == '`') && last == c:
		q := string(c)
		return strings.ReplaceAll(s[1:len(s)-1], q+q, q)
	}
	return s
}
