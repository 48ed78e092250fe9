package dump_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/AutumnsGrove/Patina/backup/dump"
)

var testHeader = dump.Header{
	Database: "groveauth", DatabaseID: "6ae2b03c-40dd-499e-ab31-017f78989b60", JobID: "018f3c2a",
	TakenAt: time.Date(2026, 11, 23, 3, 0, 4, 0, time.UTC), Bookmark: "00000085-0000024c",
}

var testFooter = dump.Footer{Consistency: "snapshot", BookmarkAfter: "00000085-0000024d", Duration: 412 * time.Millisecond}

// openSQLite opens an empty database and holds it to the version that a dump
// asks for.
func openSQLite(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	check(t, err)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	var version string
	check(t, db.QueryRow("SELECT sqlite_version()").Scan(&version))
	part := strings.Split(version, ".")
	major, _ := strconv.Atoi(part[0])
	minor, _ := strconv.Atoi(part[1])
	if major != 3 || minor < 44 {
		t.Fatalf("SQLite %s: the dump asks for 3.44 or newer", version)
	}
	return db
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exec(t testing.TB, db *sql.DB, text string) {
	t.Helper()
	if _, err := db.Exec(text); err != nil {
		t.Fatalf("%.200s: %v", text, err)
	}
}

// load runs a dump's statements one by one, each held to the allow-list and,
// for rows, to D1's length.
func load(t testing.TB, text []byte) *sql.DB {
	t.Helper()
	db := openSQLite(t)
	r := dump.NewReader(bytes.NewReader(text), dump.ReaderOptions{})
	for {
		s, err := r.Next()
		if errors.Is(err, io.EOF) {
			return db
		}
		check(t, err)
		check(t, dump.Allowed(s))
		if s.Kind == dump.Insert && len(s.SQL) > dump.MaxD1Statement {
			t.Fatalf("a row of %d bytes in %s", len(s.SQL), s.Section)
		}
		if _, err := db.Exec(string(s.SQL)); err != nil {
			t.Fatalf("%.300s: %v", s.SQL, err)
		}
	}
}

type object struct{ kind, name, sql string }

func objects(t testing.TB, db *sql.DB, where string) (found []object) {
	t.Helper()
	rows, err := db.Query("SELECT type, name, coalesce(sql,'') FROM sqlite_schema WHERE " + where)
	check(t, err)
	defer rows.Close()
	for rows.Next() {
		var o object
		check(t, rows.Scan(&o.kind, &o.name, &o.sql))
		found = append(found, o)
	}
	check(t, rows.Err())
	return found
}

func strs(t testing.TB, db *sql.DB, query string, args ...any) (out []string) {
	t.Helper()
	rows, err := db.Query(query, args...)
	check(t, err)
	defer rows.Close()
	for rows.Next() {
		var s string
		check(t, rows.Scan(&s))
		out = append(out, s)
	}
	check(t, rows.Err())
	return out
}

// dumpOf dumps a database with the Writer: a small exporter that knows only
// what these tests need. Tables go in the order of their making.
func dumpOf(t testing.TB, db *sql.DB) ([]byte, dump.Contents) {
	t.Helper()
	text, c, _ := dumpAndLint(t, db)
	return text, c
}

// dumpAndLint gives besides what the Writer found.
func dumpAndLint(t testing.TB, db *sql.DB) ([]byte, dump.Contents, []dump.Finding) {
	t.Helper()
	var buf bytes.Buffer
	w := dump.NewWriter(&buf, testHeader)
	for _, o := range objects(t, db, "1") {
		w.Reserve(o.name)
	}
	user := "type='table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT IN (SELECT name FROM pragma_table_list WHERE type='shadow') ORDER BY rowid"
	for _, o := range objects(t, db, user) {
		dumpTable(t, db, w, o)
	}
	if len(objects(t, db, "name='sqlite_sequence'")) > 0 {
		check(t, w.BeginPart("sequences"))
		dumpTable(t, db, w, object{name: "sqlite_sequence"})
		check(t, w.EndPart())
	}
	for part, kind := range map[string]string{"indexes": "index"} {
		dumpPart(t, db, w, part, kind)
	}
	dumpPart(t, db, w, "views", "view")
	dumpPart(t, db, w, "triggers", "trigger")
	if len(objects(t, db, "name='sqlite_stat1'")) > 0 {
		check(t, w.BeginPart("statistics"))
		dumpTable(t, db, w, object{name: "sqlite_stat1"})
		check(t, w.EndPart())
	}
	c, err := w.Finish(testFooter)
	check(t, err)
	return buf.Bytes(), c, w.Findings()
}

func dumpPart(t testing.TB, db *sql.DB, w *dump.Writer, part, kind string) {
	t.Helper()
	found := objects(t, db, "sql IS NOT NULL AND type='"+kind+"' ORDER BY rowid")
	if len(found) == 0 {
		return
	}
	check(t, w.BeginPart(part))
	for _, o := range found {
		check(t, w.Statement(o.sql))
	}
	check(t, w.EndPart())
}

func dumpTable(t testing.TB, db *sql.DB, w *dump.Writer, o object) {
	t.Helper()
	var kind string
	var withoutRowid bool
	check(t, db.QueryRow("SELECT type, wr FROM pragma_table_list WHERE name=?", o.name).Scan(&kind, &withoutRowid))
	all := strs(t, db, "SELECT name FROM pragma_table_xinfo(?)", o.name)
	table := dump.Table{Name: o.name, SQL: o.sql, Virtual: kind == "virtual", AllColumns: true}
	table.Columns = strs(t, db, "SELECT name FROM pragma_table_xinfo(?) WHERE hidden=0", o.name)
	key := strs(t, db, "SELECT name FROM pragma_table_xinfo(?1) WHERE pk>0 AND upper(type)='INTEGER' AND NOT EXISTS(SELECT 1 FROM pragma_index_list(?1) WHERE origin='pk')", o.name)
	order := "1"
	for _, name := range []string{"rowid", "_rowid_", "oid"} {
		if !withoutRowid && !slices.ContainsFunc(all, func(c string) bool { return strings.EqualFold(c, name) }) {
			table.RowidName, order = name, name
			table.Rowid = len(key) != 1
			break
		}
	}
	if strings.HasPrefix(o.name, "sqlite_") {
		table.Rowid = false
	}
	check(t, w.BeginTable(table))
	columns := table.Columns
	var list []string
	if table.Rowid {
		list = append(list, table.RowidName)
	}
	for _, c := range columns {
		list = append(list, dump.QuoteIdent(c))
	}
	var query []string
	for _, c := range list {
		query = append(query, "typeof("+c+"),"+c+",hex(CAST("+c+" AS BLOB))")
	}
	rows, err := db.Query("SELECT " + strings.Join(query, ",") + " FROM " + dump.QuoteIdent(o.name) + " ORDER BY " + order)
	check(t, err)
	defer rows.Close()
	for rows.Next() {
		check(t, w.Row(scanRow(t, rows, len(list))))
	}
	check(t, rows.Err())
	check(t, w.EndTable())
}

func scanRow(t testing.TB, rows *sql.Rows, n int) []dump.Value {
	t.Helper()
	cells := make([]any, 3*n)
	for i := range cells {
		cells[i] = new(any)
	}
	check(t, rows.Scan(cells...))
	values := make([]dump.Value, n)
	for i := range values {
		raw, hexed := *cells[3*i+1].(*any), []byte((*cells[3*i+2].(*any)).(string))
		switch kind := (*cells[3*i].(*any)).(string); kind {
		case "null":
		case "integer":
			values[i] = dump.Value{Kind: dump.Integer, Bytes: fmt.Append(nil, raw.(int64))}
		case "real":
			f := strconv.FormatFloat(raw.(float64), 'g', -1, 64)
			values[i] = dump.Value{Kind: dump.Real, Bytes: []byte(strings.TrimPrefix(f, "+"))}
		case "text":
			values[i] = dump.Value{Kind: dump.Text, Bytes: unhex(t, hexed)}
		case "blob":
			values[i] = dump.Value{Kind: dump.Blob, Bytes: hexed}
		default:
			t.Fatalf("typeof gives %q", kind)
		}
	}
	return values
}

func unhex(t testing.TB, digits []byte) []byte {
	t.Helper()
	b := make([]byte, len(digits)/2)
	for i := range b {
		n, err := strconv.ParseUint(string(digits[2*i:2*i+2]), 16, 8)
		check(t, err)
		b[i] = byte(n)
	}
	return b
}

// fingerprint lists all that a database holds, by SQL alone: the schema, and
// of every value its type and bytes, of a real its bits besides, but for the
// sign of a zero, which SQL cannot see. What SQLite derives by itself is left
// out: shadow tables and the samples in sqlite_stat4.
func fingerprint(t testing.TB, db *sql.DB) []string {
	t.Helper()
	out := strs(t, db, "SELECT type||char(9)||name||char(9)||tbl_name||char(9)||coalesce(sql,'-') FROM sqlite_schema ORDER BY 1")
	for _, table := range strs(t, db, "SELECT name FROM pragma_table_list WHERE schema='main' AND type NOT IN ('shadow','view') AND name<>'sqlite_stat4' ORDER BY name") {
		columns := strs(t, db, "SELECT name FROM pragma_table_xinfo(?) WHERE hidden<>1", table)
		if table == "sqlite_schema" {
			continue
		}
		var withoutRowid bool
		check(t, db.QueryRow("SELECT wr FROM pragma_table_list WHERE name=?", table).Scan(&withoutRowid))
		var list []string
		if !withoutRowid {
			for _, name := range []string{"rowid", "_rowid_", "oid"} {
				if !slices.ContainsFunc(columns, func(c string) bool { return strings.EqualFold(c, name) }) {
					list = append(list, name)
					break
				}
			}
		}
		for _, c := range columns {
			list = append(list, dump.QuoteIdent(c))
		}
		var query []string
		for _, c := range list {
			query = append(query, "typeof("+c+")||':'||hex(CAST("+c+" AS BLOB)),"+c)
		}
		rows, err := db.Query("SELECT " + strings.Join(query, ",") + " FROM " + dump.QuoteIdent(table))
		check(t, err)
		var lines []string
		for rows.Next() {
			cells := make([]any, 2*len(list))
			for i := range cells {
				cells[i] = new(any)
			}
			check(t, rows.Scan(cells...))
			line := table
			for i := range list {
				line += fmt.Sprintf("\t%v", *cells[2*i].(*any))
				if f, ok := (*cells[2*i+1].(*any)).(float64); ok {
					line += "=" + strconv.FormatFloat(f+0, 'x', -1, 64)
				}
			}
			lines = append(lines, line)
		}
		check(t, rows.Err())
		rows.Close()
		slices.Sort(lines)
		out = append(out, lines...)
	}
	return out
}

// same compares two databases, and says where they first differ.
func same(t testing.TB, want, got *sql.DB) {
	t.Helper()
	a, b := fingerprint(t, want), fingerprint(t, got)
	for i := range max(len(a), len(b)) {
		var x, y string
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			t.Fatalf("the loaded database differs:\nwant %.500q\ngot  %.500q", x, y)
		}
	}
}

// roundTrip dumps, verifies, loads, compares, and dumps again: the same text.
func roundTrip(t testing.TB, db *sql.DB) []byte {
	t.Helper()
	text, contents := dumpOf(t, db)
	_, got, err := dump.Verify(bytes.NewReader(text))
	check(t, err)
	sameContents(t, contents, got)
	for _, s := range got.Sections {
		if part := text[s.Offset : s.Offset+s.Length]; !bytes.HasPrefix(part, []byte("-- ")) || shaHex(part) != s.SHA256 {
			t.Fatalf("section %q is not at its offset", s.Name)
		}
	}
	loaded := load(t, text)
	same(t, db, loaded)
	again, _ := dumpOf(t, loaded)
	if !bytes.Equal(text, again) {
		t.Fatalf("a dump of the loaded database differs at byte %d", firstDifference(text, again))
	}
	return text
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
