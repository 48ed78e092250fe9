package source

import (
	"strings"

	"github.com/AutumnsGrove/Patina/backup"
)

// Lists collects the rows of a few small statements as strings: by statement,
// row and column. It is a backup.RowHandler.
type Lists struct{ Rows [][][]string }

// Columns makes room for a statement's rows.
func (l *Lists) Columns(stmt int, _ []string) error {
	for len(l.Rows) <= stmt {
		l.Rows = append(l.Rows, nil)
	}
	return nil
}

// Row keeps one row.
func (l *Lists) Row(stmt int, cells []backup.Cell) error {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = string(c.Bytes)
	}
	l.Rows[stmt] = append(l.Rows[stmt], row)
	return nil
}

// Fold gives a name as SQLite compares names: ASCII letters in lower case.
func Fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, name)
}
