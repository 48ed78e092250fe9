package d1sim

import (
	"fmt"
	"slices"
	"strings"
)

// words gives the unquoted words of a statement, in upper case, and the marks
// that matter: ( ; . Comments and strings are passed over; a quoted name is its
// quote alone.
func words(sql string) []string {
	var out []string
	for i := 0; i < len(sql); {
		j := token(sql, i)
		switch c := sql[i]; {
		case wordByte(c):
			out = append(out, strings.ToUpper(sql[i:j]))
		case c == '(' || c == ';' || c == '.' || c == '"' || c == '`' || c == '[' || c == '\'' || c == '=':
			out = append(out, string(c))
		}
		i = j
	}
	return out
}

// token gives the end of the token at i.
func token(s string, i int) int {
	rest := s[i:]
	switch c := s[i]; {
	case strings.HasPrefix(rest, "--"):
		if n := strings.IndexByte(rest, '\n'); n >= 0 {
			return i + n + 1
		}
		return len(s)
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
		for j := i + 1; ; j += 2 { // a doubled quote goes on
			n := strings.IndexByte(s[min(j, len(s)):], c)
			if n < 0 {
				return len(s)
			}
			if j += n; j+1 >= len(s) || s[j+1] != c {
				return j + 1
			}
		}
	case wordByte(c):
		j := i + 1
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

// split cuts a script into statements. One that makes a trigger ends at the
// semicolon behind its END, as sqlite3_complete has it.
func split(sql string) []string {
	var out []string
	start, trigger := 0, false
	var seen []string // of this statement
	for i := 0; i < len(sql); {
		j := token(sql, i)
		switch c := sql[i]; {
		case c == ';':
			if !trigger || len(seen) > 1 && seen[len(seen)-1] == "END" && seen[len(seen)-2] == ";" {
				if len(seen) > 0 {
					out = append(out, sql[start:j])
				}
				start, trigger, seen = j, false, nil
			} else {
				seen = append(seen, ";")
			}
		case wordByte(c):
			seen = append(seen, strings.ToUpper(sql[i:j]))
			if n := len(seen); n <= 3 && seen[0] == "CREATE" && seen[n-1] == "TRIGGER" {
				trigger = true
			}
		case c > ' ' && !strings.HasPrefix(sql[i:], "--") && !strings.HasPrefix(sql[i:], "/*"):
			seen = append(seen, "")
		}
		i = j
	}
	if len(seen) > 0 {
		out = append(out, sql[start:])
	}
	return out
}

// allowedPragmas are those that D1 takes
// (https://developers.cloudflare.com/d1/sql-api/sql-statements/).
var allowedPragmas = []string{
	"TABLE_LIST", "TABLE_INFO", "TABLE_XINFO", "INDEX_LIST", "INDEX_INFO", "INDEX_XINFO", "FOREIGN_KEY_LIST", "FOREIGN_KEY_CHECK", "FOREIGN_KEYS",
	"QUICK_CHECK", "DEFER_FOREIGN_KEYS", "CASE_SENSITIVE_LIKE", "IGNORE_CHECK_CONSTRAINTS", "LEGACY_ALTER_TABLE", "RECURSIVE_TRIGGERS",
	"REVERSE_UNORDERED_SELECTS", "OPTIMIZE", "DATA_VERSION",
}

var deniedFunctions = []string{"SQLITE_VERSION", "SQLITE_SOURCE_ID", "SQLITE_COMPILEOPTION_GET", "UNISTR_QUOTE", "LOAD_EXTENSION", "FTS3_TOKENIZER", "SQLITE_LOG"}

// refused tells why D1 would not run a statement; nil: it would.
func refused(sql string) error {
	if len(sql) > maxStatement {
		return fmt.Errorf("statement too long: SQLITE_TOOBIG")
	}
	w := words(sql)
	if len(w) == 0 {
		return fmt.Errorf("No SQL statements detected.") //nolint:staticcheck,revive // D1's words
	}
	switch w[0] {
	case "VACUUM":
		return fmt.Errorf("cannot VACUUM from within a transaction: SQLITE_ERROR")
	case "ATTACH", "DETACH":
		return fmt.Errorf("not authorized: SQLITE_AUTH")
	case "BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE":
		return fmt.Errorf("To execute a transaction, please use the state.storage.transaction() or state.storage.transactionSync() APIs instead of the SQL BEGIN TRANSACTION or SAVEPOINT statements: SQLITE_AUTH") //nolint:staticcheck,revive // the engine's words
	case "PRAGMA":
		name := ""
		if len(w) > 1 {
			name = w[1]
		}
		if !slices.Contains(allowedPragmas, name) {
			return fmt.Errorf("not authorized: SQLITE_AUTH")
		}
	case "CREATE":
		if refusedCreate(w) {
			return fmt.Errorf("not authorized: SQLITE_AUTH")
		}
	}
	for i, x := range w {
		call := i+1 < len(w) && w[i+1] == "("
		if call && slices.Contains(deniedFunctions, x) {
			return fmt.Errorf("not authorized to use function: %s: SQLITE_ERROR", strings.ToLower(x))
		}
		if p, ok := strings.CutPrefix(x, "PRAGMA_"); ok && !slices.Contains(allowedPragmas, p) {
			return fmt.Errorf("not authorized: SQLITE_AUTH")
		}
	}
	return nil
}

// refusedCreate tells whether a CREATE is of what D1 does not have: temporary
// tables, modules other than FTS5's, and tables named as Cloudflare's own.
func refusedCreate(w []string) bool {
	for i, x := range w {
		switch {
		case i == 1 && (x == "TEMP" || x == "TEMPORARY"), i < 7 && strings.HasPrefix(x, "_CF_"):
			return true
		case x == "USING" && i+1 < len(w) && w[1] == "VIRTUAL":
			return w[i+1] != "FTS5" && w[i+1] != "FTS5VOCAB"
		case x == "(":
			return false
		}
	}
	return false
}
