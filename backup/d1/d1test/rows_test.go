package d1test_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/export/exporttest"
)

// rows keeps what a read gives, by statement.
type rows struct {
	columns [][]string
	rows    [][][]any
}

func (r *rows) Columns(_ int, names []string) error {
	r.columns = append(r.columns, slices.Clone(names))
	r.rows = append(r.rows, nil)
	return nil
}

func (r *rows) Row(stmt int, cells []backup.Cell) error {
	row := make([]any, len(cells))
	for i, c := range cells {
		switch c.Kind {
		case backup.CellText:
			row[i] = string(c.Bytes)
		case backup.CellNumber:
			f, err := strconv.ParseFloat(string(c.Bytes), 64)
			if err != nil {
				return err
			}
			row[i] = f
		}
	}
	r.rows[stmt] = append(r.rows[stmt], row)
	return nil
}

// askD1 asks a database of D1: null is nil, text a string, and every number a
// float64, as JSON has it.
func askD1(c *d1.Client, id string) exporttest.Ask {
	return func(ctx context.Context, query string) ([][]any, error) {
		var r rows
		if _, err := c.Read(ctx, id, []string{query}, &r); err != nil {
			return nil, err
		}
		return r.rows[0], nil
	}
}

// one asks for a single value.
func one(t testing.TB, c *d1.Client, id, query string) any {
	t.Helper()
	got, err := askD1(c, id)(t.Context(), query)
	if err != nil {
		t.Fatalf("%.300s: %v", query, err)
	}
	if len(got) != 1 || len(got[0]) != 1 {
		t.Fatalf("%.300s: %d rows, one value was expected", query, len(got))
	}
	return got[0][0]
}

func show(v any) string {
	if s, ok := v.(string); ok {
		return strconv.Quote(s)
	}
	return fmt.Sprint(v)
}
