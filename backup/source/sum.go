package source

import (
	"fmt"
	"strings"
)

// The SQL that adds a table up. It uses nothing but what D1 permits, gives the
// same on every engine, and costs a few passes over a text's bytes at most:
//
//   - sums stay below 2^63 for as many rows as D1 can hold, and leave as text,
//     for JSON would make doubles of them;
//   - reals are taken apart by truncation and by a power of two, both exact;
//     they are never added as reals, whose sum depends on the order;
//   - the innermost SELECT has a LIMIT, and so has the middle one, so that SQLite
//     computes each value's hexadecimal once, and not in every place it is used.

// D1's limits: 100 columns, and as many aggregates; a statement of 100,000 bytes.
const (
	groupColumns = 16
	groupBytes   = 80_000
)

// prime is 2^31 - 1: residues, and their products with a row's weight, can be
// added up two thousand million times without overflow.
const prime = "2147483647"

// contentBytes is how much of a text or blob is looked at: its hexadecimal must
// stay below the 2,000,000 bytes of a value.
const contentBytes = 950_000

// ruler is a Golomb ruler of order 16 without its 0: the weights of the digits 1
// to F. No two pairs of digits weigh the same.
var ruler = [15]int{1, 4, 11, 26, 32, 56, 68, 76, 115, 117, 134, 150, 163, 168, 177}

// summed is a table to be added up.
type summed struct {
	name    string
	virtual bool
	columns []string // ordinary ones
	rowid   string   // a name of the rowid, where it has one
	keys    []string // of a table without a rowid to rely on: what tells its rows apart
}

// group is a run of a table's columns that one statement adds up.
type group struct{ from, to int }

// describe takes what pragma_table_xinfo said: name, hidden, place in the
// primary key.
func (t *summed) describe(rows [][]string, withoutRowid bool) {
	taken := map[string]bool{}
	for _, r := range rows {
		name := unhex(r[1])
		taken[Fold(name)] = true
		if r[2] != "0" {
			continue
		}
		t.columns = append(t.columns, name)
		if r[3] != "0" && withoutRowid {
			t.keys = append(t.keys, name)
		}
	}
	for _, name := range []string{"rowid", "_rowid_", "oid"} {
		if !withoutRowid && !taken[name] {
			t.rowid = name
			return
		}
	}
	if len(t.keys) == 0 && len(t.columns) > 0 {
		t.keys = t.columns[:1]
	}
	t.keys = t.keys[:min(len(t.keys), 8)]
}

func (t *summed) empty() TableValues {
	v := TableValues{Name: t.name, Columns: make([]ColumnValues, len(t.columns))}
	for i, c := range t.columns {
		v.Columns[i].Name = c
	}
	return v
}

// groups cuts the columns so that each statement stays within D1's limits.
func (t *summed) groups() []group {
	size := func(name string) int { return 2*len(name) + len(inner("", "")) + len(middle(10)) + len(outer(10)) }
	keys := 0
	for _, k := range t.keys {
		keys += size(k)
	}
	var out []group
	g, bytes := group{}, keys
	for i := range t.columns {
		if i > g.from && (i-g.from == groupColumns || bytes+size(t.columns[i]) > groupBytes) {
			g.to = i
			out = append(out, g)
			g, bytes = group{from: i}, keys
		}
		bytes += size(t.columns[i])
	}
	g.to = len(t.columns)
	return append(out, g)
}

// sum gives the statement that adds up a group's columns over the rows after a
// rowid, at most limit of them; all where limit is 0.
func (t *summed) sum(g group, after string, limit int) string {
	var in, mid, out []string
	for i := g.from; i < g.to; i++ {
		in = append(in, inner("t0."+quoteIdent(t.columns[i]), fmt.Sprint(i)))
		mid = append(mid, fmt.Sprintf("c%d,%s AS v%[1]d", i, middle(i)))
		out = append(out, outer(i))
	}
	var weight string
	last := "NULL"
	tail := " LIMIT -1"
	if t.rowid != "" {
		in = append(in, "t0."+t.rowid+" AS r")
		weight, last = "abs(r%65521)+1", "max(r)"
		mid = append(mid, "r")
		if limit > 0 {
			tail = fmt.Sprintf(" ORDER BY t0.%s LIMIT %d", t.rowid, limit)
			if after != "" {
				tail = " WHERE t0." + t.rowid + ">" + after + tail
			}
		}
	} else {
		var key []string
		for i, k := range t.keys {
			n := fmt.Sprint("k", i)
			in = append(in, inner("t0."+quoteIdent(k), n))
			key = append(key, fmt.Sprintf("%d*%s", i+1, value("c"+n, "h"+n)))
		}
		weight = "abs((" + strings.Join(key, "+") + ")%65521)+1"
	}
	mid = append(mid, weight+" AS w")
	return "SELECT count(*),CAST(" + last + " AS TEXT)" + prefixed(out) +
		" FROM (SELECT " + strings.Join(mid, ",") + " FROM (SELECT " + strings.Join(in, ",") + " FROM " + quoteIdent(t.name) + " AS t0" + tail + ") LIMIT -1)"
}

func prefixed(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return "," + strings.Join(list, ",")
}

// inner gives a column, and its bytes in hexadecimal where it has any.
func inner(c, n string) string {
	return fmt.Sprintf("%s AS c%s,CASE WHEN typeof(%[1]s) IN('text','blob') THEN hex(substr(CAST(%[1]s AS BLOB),1,%[3]d)) END AS h%[2]s", c, n, contentBytes)
}

func middle(i int) string { return value(fmt.Sprint("c", i), fmt.Sprint("h", i)) }

// value gives the number that stands for a value, between ±2^36.
//
// A text or blob is its length, its first 28 and last 14 bytes, seven at a time
// (JSON5 reads hexadecimal), and the weight of its hexadecimal digits: how often
// it holds each.
func value(c, h string) string {
	piece := func(k int, from string) string {
		return fmt.Sprintf("%d*(('0x'||substr(%s,%s,14)->>'$')%%%s)", k, h, from, prime)
	}
	var digits strings.Builder
	all := 0
	for i, w := range ruler {
		all += w
		fmt.Fprintf(&digits, "-%d*octet_length(replace(%s,'%X',''))", w, h, i+1)
	}
	return "CASE typeof(" + c + ") WHEN 'integer' THEN " + c + "%" + prime +
		" WHEN 'real' THEN 3*(CAST(" + c + " AS INTEGER)%" + prime + ")+CAST((" + c + "-CAST(" + c + " AS INTEGER))*4503599627370496.0 AS INTEGER)%" + prime +
		" WHEN 'null' THEN 0 ELSE CASE typeof(" + c + ") WHEN 'text' THEN 7 ELSE 11 END+13*octet_length(" + c + ")" +
		"+CASE WHEN " + h + "='' THEN 0 ELSE " + piece(1, "1") +
		"+CASE WHEN octet_length(" + h + ")<=14 THEN 0 ELSE " + piece(2, "15") +
		"+CASE WHEN octet_length(" + h + ")<=28 THEN 0 ELSE " + piece(3, "29") + "+" + piece(5, "-14") + "+" + piece(6, "-28") +
		"+CASE WHEN octet_length(" + h + ")<=42 THEN 0 ELSE " + piece(4, "43") +
		"+CASE WHEN octet_length(" + h + ")<=56 THEN 0 ELSE " + fmt.Sprint(all) + "*octet_length(" + h + ")" + digits.String() + " END END END END END END"
}

// outer gives a column's sums, in the order in which adder.column takes them.
// Two counts share one of the aggregates, of which a statement may have 100.
func outer(i int) string {
	c := fmt.Sprint("c", i)
	sum := func(what string) string { return "ifnull(sum(" + what + "),0)" }
	return strings.Join([]string{
		sum("CASE typeof(" + c + ")WHEN 'integer' THEN 1 WHEN 'real' THEN 4294967296 END"),
		sum("CASE typeof(" + c + ")WHEN 'text' THEN 1 WHEN 'blob' THEN 4294967296 END"),
		sum("CASE typeof(" + c + ")WHEN 'integer' THEN " + c + ">>32 END"),
		sum("CASE typeof(" + c + ")WHEN 'integer' THEN " + c + "&4294967295 END"),
		sum("CASE WHEN typeof(" + c + ")IN('text','blob') THEN octet_length(" + c + ") END"),
		sum(fmt.Sprintf("v%d%%%s*w%%%[2]s", i, prime)),
	}, "||' '||")
}

func quoteIdent(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
