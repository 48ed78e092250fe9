package backup

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// RedactionRule says what stands in a copy instead of a column's values.
type RedactionRule string

// The rules.
const (
	RedactNull RedactionRule = "null" // NULL; the values never leave the database
	RedactHash RedactionRule = "hash" // a keyed hash, equal for equal values; NULL stays NULL
)

// Redaction leaves the values of one column out of the copies of a database.
type Redaction struct {
	Table  string
	Column string
	Rule   RedactionRule
}

// MaxRedactions bounds the rules of one database.
const MaxRedactions = 200

// String writes the rule as headers, manifests and pages have it:
// users.password_hash → null. A name that is more than letters, digits and _ is
// in double quotes.
func (r Redaction) String() string { return r.Name() + " → " + string(r.Rule) }

// Name gives table.column.
func (r Redaction) Name() string { return plainName(r.Table) + "." + plainName(r.Column) }

// Key is the same for two rules that mean the same column: names are compared
// as SQLite does, without regard to the case of ASCII letters.
func (r Redaction) Key() string { return foldName(r.Table) + "\x00" + foldName(r.Column) }

func foldName(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func plainName(s string) string {
	for i, c := range s {
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
		}
	}
	if s == "" {
		return `""`
	}
	return s
}

// ParseRedaction reads users.password_hash = null, or with → instead of =. A
// name may stand in double quotes, and must where it holds a dot, a space, = or
// quotes. Errors: ErrInvalid.
func ParseRedaction(text string) (Redaction, error) {
	wrong := func(why string) (Redaction, error) {
		return Redaction{}, Errorf(ErrInvalid, "%q is no rule of redaction: %s; one reads users.password_hash = null, or = hash", short(text), why)
	}
	var r Redaction
	rest := strings.TrimSpace(text)
	var ok bool
	if r.Table, rest, ok = takeName(rest); !ok {
		return wrong("it names no table")
	}
	if rest, ok = strings.CutPrefix(strings.TrimSpace(rest), "."); !ok {
		return wrong("a dot is missing behind the table")
	}
	if r.Column, rest, ok = takeName(strings.TrimSpace(rest)); !ok {
		return wrong("it names no column")
	}
	rest = strings.TrimSpace(rest)
	rule, ok := strings.CutPrefix(rest, "→")
	if !ok {
		if rule, ok = strings.CutPrefix(rest, "="); !ok {
			return wrong("= null or = hash is missing behind the column")
		}
	}
	switch r.Rule = RedactionRule(strings.ToLower(strings.TrimSpace(rule))); r.Rule {
	case RedactNull, RedactHash:
		return r, nil
	}
	return wrong("what stands instead can be null or hash")
}

func short(s string) string {
	if r := []rune(s); len(r) > 120 {
		return string(r[:120]) + "…"
	}
	return s
}

// takeName takes a name off the front of s.
func takeName(s string) (name, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexAny(s, ".=→\" \t")
		if i < 0 {
			i = len(s)
		}
		return s[:i], s[i:], i > 0
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '"' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 == len(s) || s[i+1] != '"' {
			return b.String(), s[i+1:], b.Len() > 0
		}
		b.WriteByte('"')
		i++
	}
	return "", s, false
}

// ParseRedactions reads rules, and gives them sorted by table and column. It
// reports every problem at once. Errors: ErrInvalid.
func ParseRedactions(texts []string) ([]Redaction, error) {
	var rules []Redaction
	var problems []string
	seen := map[string]bool{}
	for _, text := range texts {
		r, err := ParseRedaction(text)
		switch {
		case err != nil:
			problems = append(problems, err.Error())
		case seen[r.Key()]:
			problems = append(problems, fmt.Sprintf("%s is named twice", r.Name()))
		default:
			seen[r.Key()] = true
			rules = append(rules, r)
		}
	}
	if len(rules) > MaxRedactions {
		problems = append(problems, fmt.Sprintf("there are %d rules, and a database can have %d", len(rules), MaxRedactions))
	}
	if len(problems) > 0 {
		return nil, Errorf(ErrInvalid, "%s", strings.Join(problems, "; "))
	}
	slices.SortFunc(rules, func(a, b Redaction) int { return cmp.Compare(a.Key(), b.Key()) })
	return rules, nil
}

// RedactionTexts writes rules as ParseRedactions reads them.
func RedactionTexts(rules []Redaction) []string {
	out := make([]string, len(rules))
	for i, r := range rules {
		out[i] = r.String()
	}
	return out
}

// SameRedactions tells whether two lists of rules, in any order and in any
// spelling of the names, leave out the same in the same way. A text that is no
// rule is only ever equal to itself.
func SameRedactions(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	canonical := func(list []string) []string {
		out := make([]string, len(list))
		for i, s := range list {
			out[i] = s
			if r, err := ParseRedaction(s); err == nil {
				out[i] = r.Key() + "\x00" + string(r.Rule)
			}
		}
		slices.Sort(out)
		return out
	}
	return slices.Equal(canonical(a), canonical(b))
}
