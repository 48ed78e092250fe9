package export

import (
	"slices"
	"strings"

	"github.com/AutumnsGrove/Patina/backup/source"
)

// tableText is what the text of a CREATE TABLE says that no pragma tells.
type tableText struct {
	checks    [][]string          // the tokens of each CHECK
	generated map[string][]string // of the expression of a generated column, by folded name
}

// tokensOf gives the tokens of a text without white space and comments.
func tokensOf(sql string) (out []string) {
	for i := 0; i < len(sql); {
		j := skipToken(sql, i)
		if !blank(sql[i:j]) {
			out = append(out, sql[i:j])
		}
		i = j
	}
	return out
}

// enclosed gives the tokens between the parenthesis at i and the one that closes it.
func enclosed(tokens []string, i int) []string {
	depth := 0
	for j := i; j < len(tokens); j++ {
		switch tokens[j] {
		case "(":
			depth++
		case ")":
			if depth--; depth == 0 {
				return tokens[i+1 : j]
			}
		}
	}
	return tokens[min(i+1, len(tokens)):]
}

func parseTable(sql string) *tableText {
	t := &tableText{generated: map[string][]string{}}
	tokens := tokensOf(sql)
	depth, begins, column := 0, false, ""
	for i, token := range tokens {
		opens := i+1 < len(tokens) && tokens[i+1] == "("
		switch word := source.Fold(token); {
		case token == "(":
			depth++
			begins = depth == 1
			continue
		case token == ")":
			depth--
		case depth != 1:
		case token == ",":
			begins = true
			continue
		case word == "check" && opens:
			t.checks = append(t.checks, enclosed(tokens, i+1))
		case begins:
			column = source.Fold(unquote(token))
		case word == "as" && opens:
			t.generated[column] = enclosed(tokens, i+1)
		}
		begins = false
	}
	return t
}

// dependents names the generated columns that are computed from a column, or
// from others that are.
func (t *tableText) dependents(column string) (out []string) {
	seen := map[string]bool{source.Fold(column): true}
	for again := true; again; {
		again = false
		for name, expression := range t.generated {
			if !seen[name] && mentionsAny(expression, append([]string{column}, out...)) {
				seen[name], again = true, true
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}

// mentionsAny tells whether an expression names one of the columns.
func mentionsAny(tokens, columns []string) bool {
	return slices.ContainsFunc(tokens, func(token string) bool {
		return token[0] != '\'' && slices.ContainsFunc(columns, func(c string) bool { return source.Fold(unquote(token)) == source.Fold(c) })
	})
}

// calls tells whether every function that an expression calls is one of these.
// A word before a parenthesis is taken for a function, unless it is a keyword.
func calls(tokens []string, functions map[string]bool) bool {
	for i, token := range tokens {
		if i+1 < len(tokens) && tokens[i+1] == "(" && wordByte(token[0]) && !keywords[source.Fold(token)] && !functions[source.Fold(token)] {
			return false
		}
	}
	return true
}

func set(words string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(words) {
		out[w] = true
	}
	return out
}

var (
	keywords = set("and or not in like glob between cast collate escape")
	// Functions that give NULL where an argument is NULL.
	strictFunctions = set("length octet_length lower upper trim ltrim rtrim substr substring instr abs round replace unicode json_valid json_extract json_type json_array_length max min date datetime")
	// Words by which NULL becomes something else than NULL.
	lenient = set("is isnull notnull null case exists select match regexp")
	// Functions that take any text without an error.
	calm     = set("length octet_length lower upper trim ltrim rtrim substr substring instr replace unicode hex quote typeof coalesce ifnull nullif iif json_valid")
	unsteady = set("exists select match regexp")
)

// strict tells whether an expression that holds holds still, or becomes NULL,
// when a column in it becomes NULL: a CHECK takes both. It is made of
// comparisons, AND, OR, NOT and functions of which NULL makes NULL.
func strict(tokens []string) bool {
	return calls(tokens, strictFunctions) && !slices.ContainsFunc(tokens, func(t string) bool { return lenient[source.Fold(t)] })
}

// harmless tells whether an expression takes any text without an error, as JSON
// functions do not.
func harmless(tokens []string) bool {
	for i, t := range tokens {
		if unsteady[source.Fold(t)] || t == "-" && i+1 < len(tokens) && tokens[i+1] == ">" {
			return false
		}
	}
	return calls(tokens, calm)
}

// indexExpressions gives what of an index is more than a column: the terms that
// are expressions, and its condition.
func indexExpressions(sql string) (out [][]string) {
	tokens := tokensOf(sql)
	on := slices.IndexFunc(tokens, func(t string) bool { return source.Fold(t) == "on" })
	if on < 0 || on+2 >= len(tokens) || tokens[on+2] != "(" {
		return [][]string{tokens}
	}
	terms := enclosed(tokens, on+2)
	rest := tokens[min(len(tokens), on+2+len(terms)+2):]
	for _, term := range splitTerms(terms) {
		if len(term) > 1 && !slices.Contains([]string{"collate", "asc", "desc"}, source.Fold(term[1])) {
			out = append(out, term)
		}
	}
	if len(rest) > 0 {
		out = append(out, rest)
	}
	return out
}

func splitTerms(tokens []string) (out [][]string) {
	depth, start := 0, 0
	for i, t := range tokens {
		switch t {
		case "(":
			depth++
		case ")":
			depth--
		case ",":
			if depth == 0 {
				out, start = append(out, tokens[start:i]), i+1
			}
		}
	}
	return append(out, tokens[start:])
}

// readsRow tells whether a trigger reads a column of the row that set it off.
func readsRow(tokens []string, column string) bool {
	for i := 0; i+2 < len(tokens); i++ {
		row := source.Fold(tokens[i])
		if (row == "new" || row == "old") && tokens[i+1] == "." && source.Fold(unquote(tokens[i+2])) == source.Fold(column) {
			return true
		}
	}
	return false
}

// written names the tables that a trigger's body writes to.
func written(tokens []string) (out []string) {
	begin := slices.IndexFunc(tokens, func(t string) bool { return source.Fold(t) == "begin" })
	for i := max(begin, 0); i+1 < len(tokens); i++ {
		switch source.Fold(tokens[i]) {
		case "into", "update":
			j := i + 1
			if source.Fold(tokens[j]) == "or" {
				j += 2
			}
			if j < len(tokens) {
				out = append(out, unquote(tokens[j]))
			}
		}
	}
	return out
}

// secretDefault tells whether a column's default may be a secret: a text or
// blob of eight characters and more that is no form of a date, or a number of
// six digits and more.
func secretDefault(expression string) bool {
	for _, t := range tokensOf(expression) {
		switch c := t[0]; {
		case c == '\'' || c == '"' || c == '`':
			if text := unquote(t); len([]rune(text)) >= 8 && !strings.Contains(text, "%") {
				return true
			}
		case c >= '0' && c <= '9' && len(t) >= 6:
			return true
		}
	}
	return false
}
