package source

import (
	"fmt"
	"slices"
	"strings"

	"github.com/AutumnsGrove/Patina/backup"
)

// Summary is what a database's values add up to: enough to know, without
// reading the rows over the wire, that two databases hold the same.
//
// What it sees: every row more or less, every value of another type, every
// integer, every byte more or less, every finite real below 2^63 to its 52nd
// binary place, the first 28 and the last 14 bytes of every text and blob, which
// hexadecimal digits its first 950,000 bytes hold, and in which row each value
// stands. The number of rows, types and bytes and the sum of the integers are
// exact; the rest is a sum modulo a prime near 2^31, which a change may leave as
// it was once in two thousand million.
//
// What it cannot see: in the middle of a text or blob of more than 42 bytes,
// bytes or hexadecimal digits that change places; past the 950,000th byte,
// bytes that keep the length; a change among reals of 2^63 and more that keeps
// the sign, or of less than 2^-52; -0.0, which SQL itself cannot tell from 0.0;
// generated columns; the tables that Cloudflare and SQLite keep for themselves,
// but for sqlite_sequence; indexes over the text of other tables. It is meant
// for UTF-8 databases, as D1's are. That two databases are equal to the last
// byte is shown by dumping both.
type Summary struct {
	Of     string        `json:"of"`               // what it is of, in words; the source's name, until a caller says otherwise
	Before string        `json:"bookmark_before"`  // Time Travel; "" where there is none
	After  string        `json:"bookmark_after"`   //
	Whole  bool          `json:"one_transaction"`  // everything was read in one transaction
	Tables []TableValues `json:"tables,omitempty"` // by name

	Requests int   `json:"requests"`  // that were asked
	RowsRead int64 `json:"rows_read"` // as billed
}

// TableValues is the summary of one table.
type TableValues struct {
	Name    string         `json:"name"`
	Rows    int64          `json:"rows"`
	Columns []ColumnValues `json:"columns,omitempty"` // in the table's order, without generated ones
}

// ColumnValues is the summary of one column.
type ColumnValues struct {
	Name     string `json:"name"`
	Nulls    int64  `json:"nulls"`
	Integers int64  `json:"integers"`
	Reals    int64  `json:"reals"`
	Texts    int64  `json:"texts"`
	Blobs    int64  `json:"blobs"`
	High     int64  `json:"sum_high"` // of the integers' upper 32 bits, signed
	Low      int64  `json:"sum_low"`  // of their lower 32 bits, unsigned
	Bytes    int64  `json:"bytes"`    // of texts and blobs
	Content  int64  `json:"content"`  // of a checksum of each value, weighted by the row it stands in
}

// Without gives the summary without the redacted columns: what is left of a
// redacted copy's is what its source has there.
func (a Summary) Without(rules []backup.Redaction) Summary {
	if len(rules) == 0 {
		return a
	}
	redacted := map[string]bool{}
	for _, r := range rules {
		redacted[r.Key()] = true
	}
	a.Tables = slices.Clone(a.Tables)
	for i, t := range a.Tables {
		is := func(c ColumnValues) bool { return redacted[backup.Redaction{Table: t.Name, Column: c.Name}.Key()] }
		// A table whose rowid has no name tells its rows apart by its first column.
		weighed := len(t.Columns) > 0 && is(t.Columns[0])
		a.Tables[i].Columns = slices.DeleteFunc(slices.Clone(t.Columns), is)
		for j := range a.Tables[i].Columns {
			if weighed {
				a.Tables[i].Columns[j].Content = 0
			}
		}
	}
	return a
}

// IsAt tells whether the summary belongs to a bookmark: nobody wrote from that
// bookmark to the end of the summary.
func (a Summary) IsAt(bookmark string) bool {
	return bookmark != "" && a.Before == bookmark && a.After == bookmark
}

// Rows gives the number of rows of all tables.
func (a Summary) Rows() (n int64) {
	for _, t := range a.Tables {
		n += t.Rows
	}
	return n
}

// Differences says in words how two databases differ, a line for each table or
// column; none where they are equal as far as a Summary sees.
func (a Summary) Differences(b Summary) []string {
	var out []string
	a.compare(b, func(_, line string) { out = append(out, line) })
	return out
}

// DifferentTables names the tables in which two databases differ.
func (a Summary) DifferentTables(b Summary) []string {
	var out []string
	a.compare(b, func(table, _ string) { out = append(out, table) })
	return slices.Compact(out)
}

func (a Summary) compare(b Summary, differ func(table, line string)) {
	i, j := 0, 0
	for i < len(a.Tables) || j < len(b.Tables) {
		switch {
		case j == len(b.Tables) || i < len(a.Tables) && a.Tables[i].Name < b.Tables[j].Name:
			differ(a.Tables[i].Name, fmt.Sprintf("table %q is only in %s", a.Tables[i].Name, a.Of))
			i++
		case i == len(a.Tables) || b.Tables[j].Name < a.Tables[i].Name:
			differ(b.Tables[j].Name, fmt.Sprintf("table %q is only in %s", b.Tables[j].Name, b.Of))
			j++
		default:
			name := a.Tables[i].Name
			for _, words := range a.Tables[i].differences(b.Tables[j], a.Of, b.Of) {
				differ(name, fmt.Sprintf("table %q%s", name, words))
			}
			i, j = i+1, j+1
		}
	}
}

func (t TableValues) differences(u TableValues, here, there string) []string {
	var out []string
	if t.Rows != u.Rows {
		out = append(out, fmt.Sprintf(": %d rows in %s, %d in %s", t.Rows, here, u.Rows, there))
	}
	columnOf := func(t TableValues, name string) int {
		return slices.IndexFunc(t.Columns, func(c ColumnValues) bool { return c.Name == name })
	}
	for _, c := range t.Columns {
		i := columnOf(u, c.Name)
		if i < 0 {
			out = append(out, fmt.Sprintf(", column %q is only in %s", c.Name, here))
			continue
		}
		if what := c.differences(u.Columns[i], here, there); what != "" {
			out = append(out, fmt.Sprintf(", column %q: %s", c.Name, what))
		}
	}
	for _, c := range u.Columns {
		if columnOf(t, c.Name) < 0 {
			out = append(out, fmt.Sprintf(", column %q is only in %s", c.Name, there))
		}
	}
	return out
}

// differences says what differs; "" for nothing. Sums that no person can make
// anything of are named only where nothing plainer differs.
func (c ColumnValues) differences(d ColumnValues, here, there string) string {
	var out []string
	for _, x := range []struct {
		what        string
		here, else_ int64
	}{
		{"nulls", c.Nulls, d.Nulls},
		{"integers", c.Integers, d.Integers},
		{"reals", c.Reals, d.Reals},
		{"texts", c.Texts, d.Texts},
		{"blobs", c.Blobs, d.Blobs},
		{"bytes", c.Bytes, d.Bytes},
	} {
		if x.here != x.else_ {
			out = append(out, fmt.Sprintf("%d %s in %s, %d in %s", x.here, x.what, here, x.else_, there))
		}
	}
	if c.High != d.High || c.Low != d.Low {
		out = append(out, "the integers add up to another sum")
	}
	if len(out) == 0 && c.Content != d.Content {
		out = append(out, "the values differ, or stand in other rows")
	}
	return strings.Join(out, "; ")
}
