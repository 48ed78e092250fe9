// Package exporttest holds what tests need to know that a copy equals its
// source: databases that hold every trap of SQLite and D1, and a comparator.
//
// The comparator shares no code with the exporter or the dump. It looks at two
// databases through SQL alone: at sqlite_schema, and at the type and the bytes
// of every value of every row.
package exporttest

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Ask runs one query and gives its rows: nil, int64, float64 or string each.
type Ask func(ctx context.Context, query string) ([][]any, error)

// AskSQL asks a database/sql database.
func AskSQL(db *sql.DB) Ask {
	return func(ctx context.Context, query string) ([][]any, error) {
		rows, err := db.QueryContext(ctx, query)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		columns, err := rows.Columns()
		if err != nil {
			return nil, err
		}
		var out [][]any
		for rows.Next() {
			row, ptr := make([]any, len(columns)), make([]any, len(columns))
			for i := range row {
				ptr[i] = &row[i]
			}
			if err := rows.Scan(ptr...); err != nil {
				return nil, err
			}
			out = append(out, row)
		}
		return out, rows.Err()
	}
}

// Equal fails the test for every difference between two databases.
func Equal(t testing.TB, source, copied Ask, queries ...string) {
	t.Helper()
	for _, d := range Differences(t.Context(), source, copied, queries...) {
		t.Error(d)
	}
}

// Differences lists how the copy differs from the source, up to fifty lines.
// The queries are compared besides.
func Differences(ctx context.Context, source, copied Ask, queries ...string) []string {
	c := &comparison{ctx: ctx, a: source, b: copied}
	shadows := c.both(`SELECT hex(name) FROM pragma_table_list WHERE type = 'shadow' ORDER BY 1`)
	// A comment that ends a statement must end in a line feed before the
	// semicolon, and SQLite keeps that line feed.
	c.both(`SELECT type, hex(name), hex(tbl_name), hex(CASE WHEN instr(sql, '--') THEN rtrim(sql, char(10)) ELSE sql END), typeof(sql) FROM sqlite_schema` +
		` WHERE name NOT LIKE '\_cf\_%' ESCAPE '\' AND tbl_name NOT LIKE '\_cf\_%' ESCAPE '\' AND name <> 'sqlite_stat4' ORDER BY 1, 2`)
	for _, r := range c.both(`SELECT hex(name), type FROM sqlite_schema WHERE type IN ('table') AND name NOT LIKE '\_cf\_%' ESCAPE '\' AND name <> 'sqlite_stat4' ORDER BY 1`) {
		name := r[0].(string)
		if !slices.ContainsFunc(shadows, func(s []any) bool { return s[0] == name }) {
			c.table(name)
		}
	}
	for _, q := range queries {
		c.both(q)
	}
	return c.found
}

type comparison struct {
	ctx   context.Context
	a, b  Ask
	found []string
}

func (c *comparison) differ(format string, args ...any) {
	if len(c.found) < 50 {
		c.found = append(c.found, fmt.Sprintf(format, args...))
	}
}

// both asks both sides and gives the source's answer.
func (c *comparison) both(query string) [][]any {
	a, err1 := c.a(c.ctx, query)
	b, err2 := c.b(c.ctx, query)
	switch {
	case err1 != nil && err2 != nil:
		c.differ("neither side answers %s: %v; %v", short(query), err1, err2)
	case err1 != nil:
		c.differ("the source does not answer %s: %v", short(query), err1)
	case err2 != nil:
		c.differ("the copy does not answer %s: %v", short(query), err2)
	case len(a) != len(b):
		c.differ("%s: %d rows at the source, %d in the copy", short(query), len(a), len(b))
	default:
		for i := range a {
			if !slices.EqualFunc(a[i], b[i], same) {
				c.differ("%s: row %d\n  source %s\n  copy   %s", short(query), i+1, short(fmt.Sprint(a[i]...)), short(fmt.Sprint(b[i]...)))
				break
			}
		}
	}
	return a
}

// same compares to the bit: 0.0 is not the integer 0, and every double counts,
// but for -0.0, which SQL itself cannot tell from 0.0.
func same(x, y any) bool { return x == y }

func short(s string) string {
	if len(s) > 400 {
		return s[:300] + "…" + s[len(s)-80:]
	}
	return s
}

// table compares a table column by column, each row by its place in the order
// of its key. The name comes as hex.
func (c *comparison) table(hexName string) {
	name := ident(unhex(hexName))
	columns := c.both(fmt.Sprintf(`SELECT hex(name), hidden, pk, hex(type), "notnull", hex(dflt_value) FROM pragma_table_xinfo(CAST(X'%s' AS TEXT)) ORDER BY cid`, hexName))
	order, number := "", "0"
	names := map[string]bool{}
	var key []string
	for _, col := range columns {
		n := unhex(col[0].(string))
		names[strings.ToLower(n)] = true
		if pk, _ := strconv.Atoi(fmt.Sprint(col[2])); pk > 0 {
			key = append(key, "t."+ident(n))
		}
	}
	if _, err := c.a(c.ctx, "SELECT rowid FROM "+name+" LIMIT 0"); err == nil {
		for _, r := range []string{"rowid", "_rowid_", "oid"} {
			if !names[r] {
				order, number = " ORDER BY t."+r, "CAST(t."+r+" AS TEXT)"
				break
			}
		}
		if order == "" {
			order = " NOT INDEXED"
		}
	} else {
		order = " ORDER BY " + strings.Join(key, ", ")
	}
	c.both("SELECT count(*) FROM " + name)
	for _, col := range columns {
		if fmt.Sprint(col[1]) == "1" { // hidden columns of virtual tables hold no data
			continue
		}
		v := "t." + ident(unhex(col[0].(string)))
		q := "SELECT " + number + ", typeof(" + v + "), octet_length(" + v + "), CASE typeof(" + v + ") WHEN 'real' THEN CASE WHEN abs(" + v + ") = 9e999 THEN 'inf' || (" + v + " > 0) ELSE " + v + " END" +
			" WHEN 'integer' THEN CAST(" + v + " AS TEXT) WHEN 'null' THEN NULL ELSE hex(substr(CAST(" + v + " AS BLOB), 1, 400000)) END"
		for from := 400_001; from < 2_000_000; from += 400_000 {
			q += fmt.Sprintf(", CASE WHEN typeof(%s) IN ('text', 'blob') THEN hex(substr(CAST(%[1]s AS BLOB), %d, 400000)) END", v, from)
		}
		c.both(q + " FROM " + name + " AS t" + order)
	}
}

func ident(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

func unhex(s string) string {
	b := make([]byte, len(s)/2)
	for i := range b {
		n, _ := strconv.ParseUint(s[2*i:2*i+2], 16, 8)
		b[i] = byte(n)
	}
	return string(b)
}
