package export_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io"
	"maps"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup/dump"
	"github.com/AutumnsGrove/Patina/backup/export/exporttest"
)

// sideOf gives a dump file as one side of a comparison.
func sideOf(t testing.TB, file string) dump.Side {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, c, err := dump.Verify(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return dump.Side{Contents: c, Open: func(offset, length int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(text[offset : offset+length])), nil
	}}
}

// a table that the property test fills, and what identifies its rows.
type fickle struct{ name, create, key string }

var fickles = []fickle{
	{"ints", `CREATE TABLE ints(id INTEGER PRIMARY KEY, a, b TEXT)`, "rowid"},
	{"late", `CREATE TABLE late(a /* PRIMARY KEY, */, b DEFAULT 'x,y)' CHECK (length(b) < 900000), id INTEGER, PRIMARY KEY(id DESC))`, "rowid"},
	{"rows", `CREATE TABLE rows(a, b)`, "rowid"},
	{"autos", `CREATE TABLE autos(id INTEGER PRIMARY KEY AUTOINCREMENT, a, g AS (a || 'g'), b)`, "rowid"},
	{"hidden", `CREATE TABLE hidden(rowid TEXT, a, b)`, "_rowid_"},
	{"texts", `CREATE TABLE texts(a, k TEXT PRIMARY KEY, b) WITHOUT ROWID`, "k"},
	{"folded", `CREATE TABLE folded(k TEXT COLLATE NOCASE PRIMARY KEY, a, b) WITHOUT ROWID`, "k"},
	{"trimmed", `CREATE TABLE trimmed(k, a, b, PRIMARY KEY(k COLLATE RTRIM DESC)) WITHOUT ROWID`, "k"},
	{"pairs", `CREATE TABLE pairs(a, b, c "odd type"(3,4), PRIMARY KEY(a DESC, b) ON CONFLICT IGNORE CHECK (1)) WITHOUT ROWID, STRICT`, "a, b"},
	{"keyless", `CREATE TABLE keyless(rowid, _rowid_, oid)`, ""},
	{"search", `CREATE VIRTUAL TABLE search USING fts5(a, b)`, "rowid"},
}

// literalOf makes a value as an SQL expression.
func literalOf(r *rand.Rand) string {
	switch r.IntN(12) {
	case 0:
		return "NULL"
	case 1:
		return fmt.Sprint(r.Int64N(6) - 3)
	case 2:
		return fmt.Sprint([]string{"9007199254740993", "9007199254740992", "-9223372036854775808", "9223372036854775807"}[r.IntN(4)])
	case 3:
		return fmt.Sprintf("%d.0", r.IntN(4))
	case 4:
		return fmt.Sprint([]string{"1.5", "-1e300", "9e999", "9007199254740992.0", "2.2250738585072014e-308", "0.1"}[r.IntN(6)])
	case 5:
		return fmt.Sprintf("X'%X'", []byte{byte(r.IntN(3)), 0xff}[:r.IntN(3)])
	case 6:
		return fmt.Sprintf("CAST(X'%X' AS TEXT)", []string{"a\x00b", "\xff", "\r\n", "a\x00", "COMMIT;", "a,b)('"}[r.IntN(6)])
	case 7:
		return []string{"''", "'it''s'", "'(SELECT'", "'a '", "'a'", "'A'", "'é'", "'Z  '", "'z'"}[r.IntN(9)]
	case 8:
		if r.IntN(6) == 0 { // long enough for the staging table
			return fmt.Sprintf("replace(hex(zeroblob(%d)),'00','%s')", 60_000+r.IntN(3), []string{"xy", "é'"}[r.IntN(2)])
		}
		fallthrough
	case 9:
		if r.IntN(6) == 0 {
			return fmt.Sprintf("zeroblob(%d)", 100_000+r.IntN(2))
		}
		fallthrough
	default:
		return fmt.Sprintf("'t%d'", r.IntN(40))
	}
}

// mutate makes changes of every sort. What a constraint refuses is not made.
func mutate(t testing.TB, db *sql.DB, r *rand.Rand, n int) {
	t.Helper()
	columns := func(table string) []string {
		var names []string
		rows, err := db.Query(`SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0`, table)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var c string
			if err := rows.Scan(&c); err != nil {
				t.Fatal(err)
			}
			names = append(names, c)
		}
		return names
	}
	for range n {
		f := fickles[r.IntN(len(fickles))]
		names := columns(f.name)
		if len(names) == 0 {
			continue
		}
		var statement string
		switch r.IntN(6) {
		case 0:
			statement = fmt.Sprintf("DELETE FROM %[1]s WHERE %[2]s = (SELECT %[2]s FROM %[1]s LIMIT 1 OFFSET %[3]d)", f.name, names[0], r.IntN(30))
		case 1, 2:
			statement = fmt.Sprintf("UPDATE OR IGNORE %[1]s SET %[2]s = %[3]s WHERE %[4]s IN (SELECT %[4]s FROM %[1]s LIMIT 1 OFFSET %[5]d)", f.name, names[r.IntN(len(names))], literalOf(r), names[0], r.IntN(30))
		default:
			var values []string
			for _, c := range names {
				if c == "id" && r.IntN(2) == 0 {
					values = append(values, fmt.Sprint(r.IntN(200)-50))
				} else {
					values = append(values, literalOf(r))
				}
			}
			statement = fmt.Sprintf("INSERT OR IGNORE INTO %s(%s) VALUES(%s)", f.name, strings.Join(names, ","), strings.Join(values, ","))
		}
		_, _ = db.Exec(statement)
	}
}

func remake(t testing.TB, db *sql.DB, r *rand.Rand) {
	t.Helper()
	for range r.IntN(4) {
		f := fickles[r.IntN(len(fickles))]
		i := r.IntN(3)
		statement := []string{
			"DROP TABLE " + f.name,
			fmt.Sprintf("ALTER TABLE %s ADD COLUMN more%d DEFAULT 'm'", f.name, i),
			fmt.Sprintf("CREATE INDEX i%d ON %s(a)", i, f.name), fmt.Sprintf("DROP INDEX i%d", i),
			fmt.Sprintf("CREATE VIEW v%d AS SELECT %d", i, r.IntN(3)), fmt.Sprintf("DROP VIEW v%d", i),
			fmt.Sprintf("CREATE TRIGGER r%d AFTER DELETE ON %s WHEN 0 BEGIN SELECT %d; END", i, f.name, r.IntN(2)), fmt.Sprintf("DROP TRIGGER r%d", i),
			f.create,
			fmt.Sprintf("UPDATE sqlite_sequence SET seq = seq + %d", i),
		}[r.IntN(10)]
		_, _ = db.Exec(statement)
	}
}

// content is a table as SQL shows it: each row's key, and its values by column,
// of those columns that both sides have.
func content(t testing.TB, db *sql.DB, f fickle, shared []string) (rows map[string]map[string]string, multi map[string]int, columns []string) {
	t.Helper()
	rows, multi = map[string]map[string]string{}, map[string]int{}
	names, err := db.Query(`SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0`, f.name)
	if err != nil {
		t.Fatal(err)
	}
	for names.Next() {
		var c string
		if err := names.Scan(&c); err != nil {
			t.Fatal(err)
		}
		columns = append(columns, c)
	}
	names.Close()
	show := func(c string) string {
		return "typeof(" + c + ")||' '||CASE typeof(" + c + ") WHEN 'real' THEN printf('%!.20g'," + c + ") ELSE hex(CAST(" + c + " AS BLOB)) END"
	}
	var list []string
	key := f.key
	if key == "" {
		key = "1"
	}
	for _, k := range strings.Split(key, ",") {
		list = append(list, show(k))
	}
	query := "SELECT " + strings.Join(list, "||'|'||")
	for _, c := range columns {
		query += "," + show(c)
	}
	found, err := db.Query(query + " FROM " + f.name)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	for found.Next() {
		cells, ptr := make([]sql.NullString, len(columns)+1), make([]any, len(columns)+1)
		for i := range cells {
			ptr[i] = &cells[i]
		}
		if err := found.Scan(ptr...); err != nil {
			t.Fatal(err)
		}
		row := map[string]string{}
		for i, c := range columns {
			row[c] = cells[i+1].String
		}
		rows[cells[0].String] = row
		for _, c := range columns {
			if !slices.Contains(shared, c) {
				delete(row, c)
			}
		}
		multi[fmt.Sprint(row)]++
	}
	return rows, multi, columns
}

// expected compares a table by brute force.
func expected(t testing.TB, a, b *sql.DB, f fickle) (added, removed, changed int64) {
	t.Helper()
	_, _, columns := content(t, a, f, nil)
	_, _, others := content(t, b, f, nil)
	columns = slices.DeleteFunc(columns, func(c string) bool { return !slices.Contains(others, c) })
	before, manyA, _ := content(t, a, f, columns)
	after, manyB, _ := content(t, b, f, columns)
	if f.key == "" {
		for _, row := range slices.Collect(maps.Keys(manyA)) {
			removed += int64(max(0, manyA[row]-manyB[row]))
		}
		for row, n := range manyB {
			added += int64(max(0, n-manyA[row]))
		}
		return added, removed, 0
	}
	if f.name == "folded" || f.name == "trimmed" { // keys are equal as their collation says
		before, after = collated(before, f.name), collated(after, f.name)
	}
	for k, row := range before {
		other, ok := after[k]
		if !ok {
			removed++
			continue
		}
		for _, c := range columns {
			if v, ok := other[c]; ok && v != row[c] {
				changed++
				break
			}
		}
	}
	for k := range after {
		if before[k] == nil {
			added++
		}
	}
	return added, removed, changed
}

func collated(rows map[string]map[string]string, table string) map[string]map[string]string {
	out := map[string]map[string]string{}
	for _, row := range rows {
		kind, digits, _ := strings.Cut(row["k"], " ")
		text := unhexText(digits)
		switch {
		case kind == "real":
			text = digits
		case kind == "text" && table == "folded":
			text = strings.Map(func(r rune) rune {
				if r >= 'A' && r <= 'Z' {
					return r + 32
				}
				return r
			}, text)
		case kind == "text":
			text = strings.TrimRight(text, " ")
		}
		if kind == "real" || kind == "integer" { // 1 and 1.0 are the same key
			n, _, err := big.ParseFloat(text, 10, 200, big.ToNearestEven)
			if err == nil {
				kind, text = "number", n.Text('g', 30)
			}
		}
		out[kind+text] = row
	}
	return out
}

func unhexText(digits string) string {
	var b []byte
	for i := 0; i+1 < len(digits); i += 2 {
		var c byte
		if _, err := fmt.Sscanf(digits[i:i+2], "%02X", &c); err != nil {
			return digits
		}
		b = append(b, c)
	}
	return string(b)
}

// TestDiffEqualsBruteForce makes random databases, changes them at random, and
// holds the comparison of their dumps to one by SQL.
func TestDiffEqualsBruteForce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(16) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // a seeded test
			dir := t.TempDir()
			path := filepath.Join(dir, "db.sqlite")
			db := openSQLite(t, path)
			if _, err := db.Exec("PRAGMA synchronous = OFF"); err != nil {
				t.Fatal(err)
			}
			for _, f := range fickles {
				_, _ = db.Exec(strings.Replace(f.create, "WITHOUT ROWID, STRICT", "WITHOUT ROWID", 1))
			}
			mutate(t, db, r, 250)
			copied := filepath.Join(dir, "before.sqlite")
			if _, err := db.Exec("VACUUM INTO '" + copied + "'"); err != nil {
				t.Fatal(err)
			}
			remake(t, db, r)
			mutate(t, db, r, []int{0, 1, 10, 120}[r.IntN(4)])
			remake(t, db, r)
			before := openSQLite(t, copied)
			fileA, _ := exportFile(t, copied)
			fileB, _ := exportFile(t, path)
			compareDiff(t, before, db, sideOf(t, fileA), sideOf(t, fileB))
			compareDiff(t, db, before, sideOf(t, fileB), sideOf(t, fileA))
			same, err := dump.Diff(sideOf(t, fileA), sideOf(t, fileA), dump.DiffOptions{})
			if err != nil || !same.Same() {
				t.Errorf("a dump differs from itself: %+v, %v", same, err)
			}
		})
	}
}

func compareDiff(t *testing.T, a, b *sql.DB, from, to dump.Side) {
	t.Helper()
	told := map[string]map[dump.Change]int64{}
	d, err := dump.Diff(from, to, dump.DiffOptions{Row: func(r dump.RowDiff) error {
		if told[r.Table] == nil {
			told[r.Table] = map[dump.Change]int64{}
		}
		told[r.Table][r.Change]++
		return checkRow(r)
	}})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]dump.TableDiff{}
	for _, x := range d.Tables {
		found[x.Name] = x
		if n := told[x.Name]; n[dump.Added] != x.Added || n[dump.Removed] != x.Removed || n[dump.Changed] != x.Changed {
			t.Errorf("%s: told of %v, counted %+v", x.Name, n, x)
		}
	}
	for _, f := range fickles {
		sqlA, sqlB := list(t, a, `SELECT sql FROM sqlite_schema WHERE name = ?`, f.name), list(t, b, `SELECT sql FROM sqlite_schema WHERE name = ?`, f.name)
		x, ok := found[f.name]
		switch {
		case len(sqlA) == 0 && len(sqlB) == 0:
			continue
		case len(sqlA) == 0 && x.Change != dump.Added, len(sqlB) == 0 && x.Change != dump.Removed:
			t.Errorf("%s came or went, and the diff has %+v", f.name, x)
			continue
		case len(sqlA) == 0 || len(sqlB) == 0:
			continue
		case (x.SQLAfter != "") != (sqlA[0] != sqlB[0]):
			t.Errorf("%s: its schema differs: %v, the diff has %q", f.name, sqlA[0] != sqlB[0], x.SQLAfter)
		}
		added, removed, changed := expected(t, a, b, f)
		if x.Added != added || x.Removed != removed || x.Changed != changed {
			t.Errorf("%s by %s: %d added, %d removed, %d changed; by brute force %d, %d, %d", f.name, x.Way, x.Added, x.Removed, x.Changed, added, removed, changed)
		}
		if want := map[string]dump.Way{"": dump.ByRow}[f.key]; ok && want != "" && x.Way != want {
			t.Errorf("%s was compared by %s", f.name, x.Way)
		}
	}
	sameObjects(t, a, b, d)
}

// checkRow holds a row that is told to what its change says.
func checkRow(r dump.RowDiff) error {
	differs := false
	for _, f := range r.Fields {
		switch r.Change {
		case dump.Added:
			if f.Before != nil || f.After == nil {
				return fmt.Errorf("%s: an added row with %+v", r.Table, f)
			}
		case dump.Removed:
			if f.Before == nil || f.After != nil {
				return fmt.Errorf("%s: a removed row with %+v", r.Table, f)
			}
		default:
			differs = differs || f.Before != nil && f.After != nil && (f.Before.Kind != f.After.Kind || !bytes.Equal(f.Before.Bytes, f.After.Bytes))
		}
	}
	if r.Change == dump.Changed && !differs {
		return fmt.Errorf("%s: a changed row is the same: %+v", r.Table, r.Fields)
	}
	return nil
}

// sameObjects holds indexes, views, triggers and counters to SQL.
func sameObjects(t *testing.T, a, b *sql.DB, d *dump.Difference) {
	t.Helper()
	read := func(db *sql.DB, query string) map[string]string {
		out := map[string]string{}
		rows, err := db.Query(query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var k, v string
			if err := rows.Scan(&k, &v); err != nil {
				t.Fatal(err)
			}
			out[k] = v
		}
		return out
	}
	diff := func(x, y map[string]string) []string {
		var out []string
		for k, v := range x {
			if w, ok := y[k]; !ok {
				out = append(out, k+" removed")
			} else if v != w {
				out = append(out, k+" changed")
			}
		}
		for k := range y {
			if _, ok := x[k]; !ok {
				out = append(out, k+" added")
			}
		}
		slices.Sort(out)
		return out
	}
	const objects = `SELECT type || ' ' || name, sql FROM sqlite_schema WHERE type <> 'table' AND sql IS NOT NULL`
	want := diff(read(a, objects), read(b, objects))
	var got []string
	for _, o := range d.Objects {
		got = append(got, o.Kind+" "+o.Name+" "+string(o.Change))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("objects: %v, by SQL %v", got, want)
	}
	const counters = `SELECT name, CAST(seq AS TEXT) FROM sqlite_sequence`
	want, got = diff(read(a, counters), read(b, counters)), nil
	for _, s := range d.Sequences {
		got = append(got, s.Table+" "+string(s.Change))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("counters: %v, by SQL %v", got, want)
	}
}

// TestDiffOfTraps: a trap differs from nothing by all that it holds, and in
// nothing from itself.
func TestDiffOfTraps(t *testing.T) {
	t.Parallel()
	for _, trap := range exporttest.Traps() {
		t.Run(trap.Name, func(t *testing.T) {
			t.Parallel()
			file, m := exportFile(t, makeTrap(t, trap))
			empty, _ := exportFile(t, makeTrap(t, exporttest.Trap{Name: "none"}))
			for _, way := range []struct {
				from, to string
				change   dump.Change
			}{{empty, file, dump.Added}, {file, empty, dump.Removed}} {
				d, err := dump.Diff(sideOf(t, way.from), sideOf(t, way.to), dump.DiffOptions{Row: checkRow})
				if err != nil {
					t.Fatal(err)
				}
				var rows int64
				for _, x := range d.Tables {
					if rows += x.Added + x.Removed; x.Change != way.change || x.Changed != 0 {
						t.Errorf("%+v", x)
					}
				}
				var want int64
				for _, s := range m.Sections {
					if s.Kind != dump.KindSchema {
						want += s.Rows
					}
				}
				if len(d.Tables) != m.TableCount || rows != want {
					t.Errorf("%s: %d tables and %d rows of %d and %d", way.change, len(d.Tables), rows, m.TableCount, want)
				}
			}
			// As if each section's text differed, though nothing in it does.
			forced, err := dump.Diff(noted(t, sideOf(t, file)), sideOf(t, file), dump.DiffOptions{})
			if err != nil || !forced.Same() {
				t.Errorf("read through, it differs from itself: %+v, %v", forced, err)
			}
		})
	}
}

func moved(s dump.Section, offset int) dump.Section {
	s.Offset = int64(offset)
	return s
}

// noted gives the side with a note in each section, so that its text is
// another, and what it says is not.
func noted(t *testing.T, s dump.Side) dump.Side {
	t.Helper()
	var text []byte
	var c dump.Contents
	for _, section := range s.Contents.Sections {
		body, err := s.Open(section.Offset, section.Length)
		if err != nil {
			t.Fatal(err)
		}
		part, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		if section.Name == "statistics" || section.Name == "fts" { // not taken apart
			c.Sections, text = append(c.Sections, moved(section, len(text))), append(text, part...)
			continue
		}
		marker, rest, _ := bytes.Cut(part, []byte("\n"))
		part = slices.Concat(marker, []byte("\n-- note: nothing\n"), rest)
		section.Offset, section.Length, section.SHA256 = int64(len(text)), int64(len(part)), fmt.Sprintf("%x", sha256.Sum256(part))
		c.Sections, text = append(c.Sections, section), append(text, part...)
	}
	return dump.Side{Contents: c, Open: func(offset, length int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(text[offset : offset+length])), nil
	}}
}
