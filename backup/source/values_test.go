package source_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/d1"
	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
	"github.com/AutumnsGrove/Patina/backup/export/exporttest"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// account is a simulated account with a client.
type account struct {
	*d1sim.Account
	client *d1.Client
}

func newAccount(t testing.TB) *account {
	t.Helper()
	sim, err := d1sim.New(d1sim.Config{Dir: t.TempDir(), AccountID: "acc", Token: "tok"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim.Handler())
	client, err := d1.New(d1.Config{AccountID: "acc", Token: "tok", BaseURL: srv.URL, Limiter: d1.NewLocalLimiter(1e6, 1e6)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		_ = sim.Close()
	})
	return &account{sim, client}
}

func (a *account) make(t testing.TB, statements ...string) source.Source {
	t.Helper()
	id, err := a.Create("db")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if err := a.Exec(id, s); err != nil {
			t.Fatalf("%.200s: %v", s, err)
		}
	}
	return source.D1(a.client, id, "db")
}

// file makes a SQLite file from statements and opens it.
func file(t testing.TB, statements ...string) source.Source {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db.sqlite")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=synchronous(off)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	for _, s := range append([]string{"VACUUM"}, statements...) {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%.200s: %v", s, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := source.OpenFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func summarise(t testing.TB, src source.Source, of string) source.Summary {
	t.Helper()
	s, err := source.Summarise(t.Context(), src, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Of = of
	return s
}

// TestTrapsAddUpTheSame: the same data gives the same sums through the API and
// from a file.
func TestTrapsAddUpTheSame(t *testing.T) {
	t.Parallel()
	for _, trap := range exporttest.Traps() {
		t.Run(trap.Name, func(t *testing.T) {
			t.Parallel()
			here := summarise(t, file(t, trap.Statements...), "the file")
			if rows := here.Rows(); rows == 0 && !strings.HasPrefix(trap.Name, "empty") && trap.Name != "sequence-dropped" {
				t.Error("nothing was added up")
			}
			if trap.Unsafe && trap.Name == "orphans" {
				return
			}
			there := summarise(t, newAccount(t).make(t, trap.Statements...), "the database")
			if d := here.Differences(there); len(d) > 0 {
				t.Error(strings.Join(d, "\n"))
			}
			if !there.Whole || there.Before == "" || !there.IsAt(there.Before) {
				t.Errorf("whole %v, bookmarks %q and %q", there.Whole, there.Before, there.After)
			}
		})
	}
}

var sample = []string{
	`CREATE TABLE t(id INTEGER PRIMARY KEY, n, x REAL, s TEXT, b BLOB)`,
	`INSERT INTO t SELECT value, value * 1000003 % 77777777, value / 7.0, 'name ' || value, CAST('blob ' || value AS BLOB) FROM json_each('[` + numbers(300) + `]')`,
	`INSERT INTO t VALUES(1001, -9223372036854775807 - 1, 9e999, '` + strings.Repeat("long ", 100) + `', zeroblob(5000)), (1002, 9223372036854775807, 1e-9, '', X'')`,
	`CREATE TABLE w(a TEXT, b INT, v, PRIMARY KEY(a, b)) WITHOUT ROWID`, `INSERT INTO w VALUES('x', 1, 'one'), ('x', 2, 'two'), ('y', 1, 'three')`,
	`CREATE TABLE o(a, b)`, `INSERT INTO o VALUES(1, 2), (1, 3)`,
}

func numbers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ",%d", i+1)
	}
	return b.String()[1:]
}

// changes are single changes of the sample, and a word that must be said.
var changes = []struct{ name, sql, says string }{
	{"a type", `UPDATE t SET n = CAST(n AS TEXT) WHERE id = 5`, `"n": `},
	{"an integer made real", `UPDATE t SET n = n * 1.0 WHERE id = 5`, "reals"},
	{"text made blob", `UPDATE t SET s = CAST(s AS BLOB) WHERE id = 5`, "blobs"},
	{"null", `UPDATE t SET s = NULL WHERE id = 5`, "nulls"},
	{"plus one", `UPDATE t SET n = n + 1 WHERE id = 5`, "another sum"},
	{"plus 2^32", `UPDATE t SET n = n + 4294967296 WHERE id = 5`, "another sum"},
	{"one more, one less", `UPDATE t SET n = n + CASE id WHEN 5 THEN 1 ELSE -1 END WHERE id IN (5, 6)`, "the values"},
	{"the sign", `UPDATE t SET n = -n WHERE id = 5`, "another sum"},
	{"the greatest integer less one", `UPDATE t SET n = n - 1 WHERE id = 1002`, "another sum"},
	{"the least bit of a real", `UPDATE t SET x = 0.7142857142857144 WHERE id = 5`, `"x": the values differ, or stand in other rows`},
	{"a small real", `UPDATE t SET x = 1.0000001e-9 WHERE id = 1002`, `"x": the values differ, or stand in other rows`},
	{"the sign of infinity", `UPDATE t SET x = -9e999 WHERE id = 1001`, `"x": the values differ, or stand in other rows`},
	{"one character longer", `UPDATE t SET s = s || 'x' WHERE id = 5`, "bytes"},
	{"a character", `UPDATE t SET s = 'nAme 5' WHERE id = 5`, `"s": the values differ`},
	{"two characters swapped", `UPDATE t SET s = 'nmae 5' WHERE id = 5`, `"s": the values differ`},
	{"a character amid a long text", `UPDATE t SET s = substr(s, 1, 250) || 'X' || substr(s, 252) WHERE id = 1001`, `"s": the values differ`},
	{"two swapped at the end of a long text", `UPDATE t SET s = substr(s, 1, 497) || 'gn ' WHERE id = 1001`, `"s": the values differ`},
	{"a bit amid a long blob", `UPDATE t SET b = CAST(zeroblob(2500) || X'01' || zeroblob(2499) AS BLOB) WHERE id = 1001`, `"b": the values differ`},
	{"two values swapped", `UPDATE t SET s = CASE id WHEN 5 THEN 'name 6' ELSE 'name 5' END WHERE id IN (5, 6)`, "in other rows"},
	{"a row lost, another doubled", `UPDATE t SET (n, x, s, b) = (SELECT n, x, s, b FROM t WHERE id = 6) WHERE id = 5`, "differ"},
	{"a row lost", `DELETE FROM t WHERE id = 5`, "302 rows in the source, 301 in the copy"},
	{"a row more", `INSERT INTO t(id) VALUES(5000)`, "302 rows in the source, 303 in the copy"},
	{"another rowid", `UPDATE o SET rowid = 7 WHERE rowid = 2`, "in other rows"},
	{"values swapped without a rowid", `UPDATE w SET v = CASE b WHEN 1 THEN 'two' ELSE 'one' END WHERE a = 'x'`, "in other rows"},
	{"a table lost", `DROP TABLE o`, `table "o" is only in the source`},
	{"a table more", `CREATE TABLE z(a)`, `table "z" is only in the copy`},
	{"a column more", `ALTER TABLE o ADD COLUMN c`, `column "c" is only in the copy`},
	{"a column renamed", `ALTER TABLE o RENAME COLUMN b TO "b b"`, `column "b" is only in the source`},
}

func TestEveryChangeIsSeen(t *testing.T) {
	t.Parallel()
	before := summarise(t, file(t, sample...), "the source")
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			after := summarise(t, file(t, append(slices.Clone(sample), c.sql)...), "the copy")
			got := before.Differences(after)
			if !strings.Contains(strings.Join(got, "\n"), c.says) {
				t.Errorf("got %q, want %q", got, c.says)
			}
			if n := before.DifferentTables(after); len(n) != 1 {
				t.Errorf("tables %q", n)
			}
		})
	}
	if d := before.Differences(summarise(t, file(t, sample...), "the copy")); len(d) > 0 {
		t.Errorf("nothing was changed: %q", d)
	}
}

// TestOneByteAnywhere: any one byte of a text, at any length, is seen.
func TestOneByteAnywhere(t *testing.T) {
	t.Parallel()
	const length = 120
	table := []string{`CREATE TABLE t(id INTEGER PRIMARY KEY, s TEXT)`}
	for n := range length {
		table = append(table, fmt.Sprintf(`INSERT INTO t VALUES(%d, substr('%s', 1, %[1]d))`, n, strings.Repeat("the quick brown fox ", 6)))
	}
	before := summarise(t, file(t, table...), "the source")
	path := filepath.Join(t.TempDir(), "db.sqlite")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=synchronous(off)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, s := range table {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	tried := 0
	for n := 1; n < length; n += 7 {
		for place := 1; place <= n; place += 3 {
			tried++
			if _, err := db.Exec(`UPDATE t SET s = substr(s, 1, ?2 - 1) || '~' || substr(s, ?2 + 1) WHERE id = ?1`, n, place); err != nil {
				t.Fatal(err)
			}
			f, err := source.OpenFile(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if d := before.Differences(summarise(t, f, "the copy")); len(d) != 1 {
				t.Errorf("byte %d of %d: %q", place, n, d)
			}
			_ = f.Close()
			if _, err := db.Exec(`UPDATE t SET s = substr(?3, 1, ?1) WHERE id = ?1`, n, place, strings.Repeat("the quick brown fox ", 6)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if tried < 100 {
		t.Errorf("tried only %d", tried)
	}
}

// TestPagesAddUpToTheWhole: a database too large for one transaction gives the
// same sums, with every row read once.
func TestPagesAddUpToTheWhole(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	src := a.make(t, append(slices.Clone(sample),
		`CREATE TABLE big(v TEXT, n INT)`,
		`INSERT INTO big(rowid, v, n) WITH RECURSIVE c(x) AS (SELECT -30000 UNION ALL SELECT x + 1 FROM c WHERE x < 30000) SELECT x * 3, 'row ' || x, x * 100000007 FROM c`)...)
	whole := summarise(t, src, "the whole")
	paged := summarise(t, large{src}, "the pages")
	if !whole.Whole || paged.Whole || paged.Requests < whole.Requests+4 {
		t.Fatalf("whole %v in %d requests, paged %v in %d", whole.Whole, whole.Requests, !paged.Whole, paged.Requests)
	}
	if !reflect.DeepEqual(whole.Tables, paged.Tables) {
		t.Error(strings.Join(whole.Differences(paged), "\n"))
	}
	some, err := source.Summarise(t.Context(), src, []string{"W", "o"})
	if err != nil || len(some.Tables) != 2 || some.Tables[0].Name != "o" {
		t.Errorf("%v, %+v", err, some.Tables)
	}
	if _, err := source.Summarise(t.Context(), src, []string{"nowhere"}); err == nil {
		t.Error("a table that is not there was added up")
	}
}

// TestWritesMoveTheBookmark: a summary says whether it belongs to a bookmark.
func TestWritesMoveTheBookmark(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	src := a.make(t, sample...)
	at, err := src.Bookmark(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s := summarise(t, src, ""); !s.IsAt(at) {
		t.Errorf("%q and %q, not %q", s.Before, s.After, at)
	}
	if err := a.Exec(src.Describe().ID, `UPDATE t SET n = 0 WHERE id = 5`); err != nil {
		t.Fatal(err)
	}
	if s := summarise(t, src, ""); s.IsAt(at) || s.IsAt("") {
		t.Error("the bookmark did not move")
	}
}

// large says that it is larger than one transaction may read.
type large struct{ source.Source }

func (l large) Read(ctx context.Context, statements []string, h backup.RowHandler) (backup.ReadStats, error) {
	stats, err := l.Source.Read(ctx, statements, h)
	stats.SizeAfter = 1 << 40
	return stats, err
}
