package export_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/export/exporttest"
)

func oneTable(t testing.TB, text []byte, name string, opt dump.TableOptions) string {
	t.Helper()
	var out bytes.Buffer
	if err := dump.OneTable(&out, bytes.NewReader(text), name, opt); err != nil {
		t.Fatalf("one table %q: %v", name, err)
	}
	return out.String()
}

// list gives a query's rows as lines.
func list(t testing.TB, db *sql.DB, query string, args ...any) []string {
	t.Helper()
	rows, err := db.Query(query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for rows.Next() {
		cells, ptr := make([]any, len(columns)), make([]any, len(columns))
		for i := range cells {
			ptr[i] = &cells[i]
		}
		if err := rows.Scan(ptr...); err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%#v", cells))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// tableLines lists what a table is and holds, but for names: its columns, its
// keys, its indexes and every value with its type. own stands for itself.
func tableLines(t testing.TB, db *sql.DB, name, own string) []string {
	t.Helper()
	out := list(t, db, `SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?) WHERE hidden <> 1`, name)
	out = append(out, list(t, db, `SELECT id, seq, CASE WHEN lower("table") = lower(?1) THEN 'itself' ELSE lower("table") END, "from", "to", on_update, on_delete FROM pragma_foreign_key_list(?1)`, name)...)
	out = append(out, list(t, db, `SELECT i."unique", i.origin, i.partial, x.seqno, x.cid, x."desc", x.coll, x.key FROM pragma_index_list(?) i, pragma_index_xinfo(i.name) x ORDER BY i.seq, x.seqno`, name)...)
	columns := list(t, db, `SELECT name FROM pragma_table_xinfo(?) WHERE hidden <> 1`, name)
	query := "SELECT 0"
	var number string
	for _, r := range []string{"rowid", "_rowid_", "oid"} {
		if _, err := db.Exec("SELECT " + r + " FROM " + dump.QuoteIdent(name)); err == nil && !slices.ContainsFunc(columns, func(c string) bool { return strings.EqualFold(c, fmt.Sprintf("%#v", []any{r})) }) {
			number = r
			break
		}
	}
	if number != "" {
		query += "," + number
	}
	var names []string
	rows, err := db.Query(`SELECT name FROM pragma_table_xinfo(?) WHERE hidden <> 1`, name)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var c string
		if err := rows.Scan(&c); err != nil {
			t.Fatal(err)
		}
		names = append(names, c)
	}
	rows.Close()
	for _, c := range names {
		c = dump.QuoteIdent(c)
		query += ",typeof(" + c + "),hex(CAST(" + c + " AS BLOB)),CASE typeof(" + c + ") WHEN 'real' THEN " + c + " END"
	}
	lines := list(t, db, query+" FROM "+dump.QuoteIdent(name))
	slices.Sort(lines)
	out = append(out, lines...)
	for _, s := range list(t, db, `SELECT seq FROM sqlite_sequence WHERE name = ?`, own) {
		out = append(out, "sequence "+s)
	}
	return append(out, list(t, db, `SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND lower(tbl_name) = lower(?)`, name)...)
}

// everything lists all that a database holds but for what the condition names.
func everything(t testing.TB, db *sql.DB, but string) []string {
	t.Helper()
	out := list(t, db, `SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE NOT (`+but+`) ORDER BY 1, 2`)
	rows, err := db.Query(`SELECT name FROM sqlite_schema WHERE type = 'table' AND NOT (` + but + `) AND name NOT LIKE 'sqlite\_stat%' ESCAPE '\' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for rows.Next() {
		var n string
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		names = append(names, n)
	}
	rows.Close()
	for _, n := range names {
		where := ""
		if n == "sqlite_sequence" {
			where = ` WHERE name NOT LIKE '%restored%'`
		}
		out = append(out, list(t, db, "SELECT * FROM "+dump.QuoteIdent(n)+where)...)
	}
	return out
}

const suffix = "_restored_2026-11-23"

// TestOneTableOfTraps takes each table of each trap out of its dump by itself:
// into an empty database, and beside the living one, which must stay as it was.
func TestOneTableOfTraps(t *testing.T) {
	t.Parallel()
	tables := 0
	for _, trap := range exporttest.Traps() {
		if trap.Name == "many-tables" {
			continue // the same as others, 120 times
		}
		path := makeTrap(t, trap)
		dumpFile, m := exportFile(t, path)
		for i, s := range m.Sections {
			if s.Kind == dump.KindSchema || s.Name == trap.Lost {
				continue
			}
			tables++
			t.Run(fmt.Sprintf("%s/%d", trap.Name, i), func(t *testing.T) {
				t.Parallel()
				text, err := os.ReadFile(dumpFile)
				if err != nil {
					t.Fatal(err)
				}
				_, live := load(t, dumpFile)
				live.SetMaxOpenConns(1)
				if _, err := live.Exec(`CREATE TABLE IF NOT EXISTS patina_seq(id INTEGER PRIMARY KEY AUTOINCREMENT)`); err != nil {
					t.Fatal(err)
				}
				want := tableLines(t, live, s.Name, s.Name)
				apart(t, text, s.Name, want)
				refused := ""
				if s.Name == "child" {
					refused = trap.Import
				}
				for _, forD1 := range []bool{false, true} {
					beside(t, live, text, s.Name, forD1, refused, want)
				}
			})
		}
	}
	if tables < 40 {
		t.Errorf("only %d tables were looked at", tables)
	}
}

// apart loads the table into an empty database.
func apart(t *testing.T, text []byte, name string, want []string) {
	t.Helper()
	if strings.Contains(name, "search") || strings.Contains(name, "vocab") {
		return // looks into another table
	}
	db := openSQLite(t, filepath.Join(t.TempDir(), "apart.sqlite"))
	if _, err := db.Exec(`CREATE TABLE patina_seq(id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO sqlite_sequence VALUES('another', 7)`); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second time it is loaded where it was dropped
		if _, err := db.Exec(oneTable(t, text, name, dump.TableOptions{})); err != nil {
			t.Fatalf("apart: %v", err)
		}
		if got := tableLines(t, db, name, name); !slices.Equal(got, want) {
			t.Errorf("apart: got\n%.2000s\nwant\n%.2000s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if n := list(t, db, `SELECT seq FROM sqlite_sequence WHERE name = 'another'`); len(n) != 1 {
			t.Errorf("another table's sequence became %v", n)
		}
		if _, err := db.Exec("DROP TABLE " + dump.QuoteIdent(name)); err != nil {
			t.Fatal(err)
		}
	}
}

// beside loads the table next to the living one, foreign keys on, in one
// transaction and statement by statement. D1 may refuse it.
func beside(t *testing.T, live *sql.DB, text []byte, name string, forD1 bool, refused string, want []string) {
	t.Helper()
	as := name + suffix
	if forD1 {
		as += "_2"
	}
	but := `tbl_name LIKE '%restored%' OR name LIKE '%restored%'`
	before := everything(t, live, but)
	out := oneTable(t, text, name, dump.TableOptions{ForD1: forD1, As: as})
	if _, err := live.Exec("PRAGMA foreign_keys = ON"); err != nil {
		t.Fatal(err)
	}
	if forD1 {
		out = "BEGIN;" + out + "COMMIT;"
	}
	_, err := live.Exec(out)
	if forD1 && refused != "" {
		if err == nil || !strings.Contains(err.Error(), refused) {
			t.Errorf("for D1: got %v, want %q", err, refused)
		}
		return
	}
	if err != nil {
		t.Fatalf("beside, for D1 %v: %v\n%.2000s", forD1, err, out)
	}
	if got := tableLines(t, live, as, as); !slices.Equal(got, want) {
		t.Errorf("beside, for D1 %v: got\n%.2000s\nwant\n%.2000s", forD1, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if after := everything(t, live, but); !slices.Equal(before, after) {
		t.Errorf("beside, for D1 %v: something else changed:\n%.2000s\nwas\n%.2000s", forD1, strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	if left := list(t, live, `SELECT name FROM sqlite_schema WHERE name LIKE 'patina\_stage%' ESCAPE '\'`); len(left) > 0 {
		t.Errorf("a staging table is left: %v", left)
	}
}
