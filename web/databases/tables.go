package databases

import (
	"cmp"
	"slices"
	"strings"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// maxTables is how many tables the page lists.
const maxTables = 500

type table struct{ Name, Kind, Rows, Change, Size string }

// sections gives the tables of a copy, largest first.
func sections(c *backup.Copy) []backup.Section {
	if c == nil || c.Manifest == nil {
		return nil
	}
	var out []backup.Section
	for _, s := range c.Manifest.Sections {
		if s.Kind != "schema" {
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b backup.Section) int {
		return cmp.Or(cmp.Compare(b.Length, a.Length), strings.Compare(a.Name, b.Name))
	})
	return out
}

// tablesOf words the tables of a copy, at most maxTables, with how each changed
// since the copy before, and names those that are gone since.
func tablesOf(c, before *backup.Copy) (tables []table, more int, gone []string) {
	list, old := sections(c), map[string]backup.Section{}
	for _, s := range sections(before) {
		old[s.Name] = s
	}
	for _, s := range list {
		was, known := old[s.Name]
		delete(old, s.Name)
		if len(tables) == maxTables {
			continue
		}
		t := table{Name: ui.Name(s.Name), Kind: s.Kind, Rows: ui.Count(s.Rows), Size: ui.Bytes(s.Length)}
		switch {
		case before == nil || before.Manifest == nil:
		case !known:
			t.Change = "new"
		case was.Rows != s.Rows:
			t.Change = signed(s.Rows-was.Rows, "row", "rows")
		case was.SHA256 == s.SHA256:
			t.Change = "the same"
		default:
			t.Change = "rows changed"
		}
		tables = append(tables, t)
	}
	for name := range old {
		gone = append(gone, ui.Name(name))
	}
	slices.Sort(gone)
	return tables, len(list) - len(tables), gone
}

// signed words a difference: +2 rows, −1 row.
func signed(diff int64, one, many string) string {
	if diff < 0 {
		return "−" + ui.Plural(-diff, one, many)
	}
	return "+" + ui.Plural(diff, one, many)
}
