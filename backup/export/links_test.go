package export

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup/object"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// found makes a database and gives the findings of its export.
func found(t *testing.T, statements ...string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db.sqlite")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=synchronous(off)&_pragma=journal_mode(off)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	for _, s := range append([]string{"VACUUM"}, statements...) {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	src, err := source.OpenFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	req := Request{Clock: time.Now}
	req.defaults()
	out, err := newRun(src, req).export(t.Context(), func(context.Context) (object.Upload, error) { return nowhere{}, nil })
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, f := range out.findings {
		codes = append(codes, f.Code+" "+f.Object)
	}
	return codes
}

// TestKeysMatch holds hasKey to SQLite itself, which refuses to insert where a
// foreign key's parent has no key for it.
func TestKeysMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ parent, child string }{
		{"CREATE TABLE p(id INTEGER PRIMARY KEY, a)", "id"},
		{"CREATE TABLE p(id INTEGER PRIMARY KEY, a)", ""},
		{"CREATE TABLE p(id INTEGER PRIMARY KEY, a)", "a"},
		{"CREATE TABLE p(id INTEGER PRIMARY KEY, a)", "rowid"},
		{"CREATE TABLE p(id INTEGER PRIMARY KEY, a UNIQUE)", "A"},
		{"CREATE TABLE p(id INT PRIMARY KEY, a)", ""},
		{"CREATE TABLE p(id, a)", ""},
		{"CREATE TABLE p(a, b, PRIMARY KEY(a, b))", ""},
		{"CREATE TABLE p(a, b, PRIMARY KEY(a, b))", "a"},
		{"CREATE TABLE p(a, b, PRIMARY KEY(a, b)) WITHOUT ROWID", "a, b"},
		{"CREATE TABLE p(a, b, PRIMARY KEY(b, a))", "a, b"},
		{"CREATE TABLE p(a, b); CREATE UNIQUE INDEX i ON p(b, a)", "a, b"},
		{"CREATE TABLE p(a, b); CREATE UNIQUE INDEX i ON p(b, a)", "a"},
		{"CREATE TABLE p(a, b); CREATE INDEX i ON p(a)", "a"},
		{"CREATE TABLE p(a, b); CREATE UNIQUE INDEX i ON p(a) WHERE a > 0", "a"},
		{"CREATE TABLE p(a, b); CREATE UNIQUE INDEX i ON p(lower(a))", "a"},
		{"CREATE TABLE p(a, b); CREATE UNIQUE INDEX i ON p(a COLLATE NOCASE)", "a"},
		{"CREATE TABLE p(a COLLATE NOCASE, b); CREATE UNIQUE INDEX i ON p(a)", "a"},
		{"CREATE TABLE p(a COLLATE NOCASE, b); CREATE UNIQUE INDEX i ON p(a COLLATE BINARY)", "a"},
		{"CREATE TABLE p(x CHECK (x COLLATE NOCASE > 'a'), a /* COLLATE rtrim */ TEXT, b COLLATE NOCASE); CREATE UNIQUE INDEX i ON p(a)", "a"},
		{"CREATE TABLE p([a] DEFAULT (1) COLLATE \"nocase\" NOT NULL, b); CREATE UNIQUE INDEX i ON p(a COLLATE nocase)", "a"},
		{"CREATE TABLE p(b, a); ALTER TABLE p ADD COLUMN c COLLATE NOCASE; CREATE UNIQUE INDEX i ON p(c)", "c"},
		{"CREATE TABLE p(a, b UNIQUE, UNIQUE(a COLLATE NOCASE))", "a"},
		{"CREATE TABLE p(a, b UNIQUE, g AS (a || b)); CREATE UNIQUE INDEX i ON p(g)", "g"},
		{"CREATE VIEW p AS SELECT 1 AS id", "id"},
	} {
		columns := []string{"x", "y"}[:strings.Count(c.child, ",")+1]
		key := ""
		if c.child != "" {
			key = "(" + c.child + ")"
		}
		child := "CREATE TABLE c(x, y, FOREIGN KEY(" + strings.Join(columns, ",") + ") REFERENCES p" + key + ")"
		db, err := sql.Open("sqlite", ":memory:")
		if err != nil {
			t.Fatal(err)
		}
		db.SetMaxOpenConns(1)
		_, err = db.Exec("PRAGMA foreign_keys=ON; " + child + "; " + c.parent + "; INSERT INTO c VALUES(NULL, NULL)")
		_ = db.Close()
		refused := err != nil
		if refused && !strings.Contains(err.Error(), "mismatch") {
			t.Fatalf("%s: %v", c.parent, err)
		}
		want := "key-mismatch c"
		if strings.Contains(c.parent, "VIEW") {
			want = "parent-missing c"
		}
		if got := found(t, append(strings.Split(c.parent, "; "), child, "INSERT INTO c VALUES(NULL, NULL)")...); slices.Contains(got, want) != refused || len(got) > 1 {
			t.Errorf("%s; references %q: SQLite says %v, and the findings are %q", c.parent, c.child, err, got)
		}
	}
}

// TestLaterRows throws dice for trees, and compares what is found with what a
// look at every row says.
func TestLaterRows(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(5, 6))
	seen := map[bool]int{}
	for range 60 {
		texts, n := rnd.IntN(2) == 0, 1+rnd.IntN(8)
		statements := []string{"CREATE TABLE t(id INTEGER PRIMARY KEY, up REFERENCES t)"}
		id := strconv.Itoa
		if texts {
			statements = []string{"CREATE TABLE t(id TEXT PRIMARY KEY, up REFERENCES t(id))"}
			id = func(i int) string { return fmt.Sprintf("'n%d'", 90-i) }
		}
		later := false
		for i := range n {
			up := "NULL"
			if rnd.IntN(3) > 0 {
				at := rnd.IntN(n + 1) // n is an orphan
				if rnd.IntN(2) == 0 {
					at = rnd.IntN(i + 1)
				}
				later, up = later || at > i && at < n, id(at)
			}
			statements = append(statements, fmt.Sprintf("INSERT INTO t VALUES(%s, %s)", id(i), up))
		}
		got := found(t, statements...)
		if slices.Contains(got, "later-rows t") != later {
			t.Errorf("%v is wrong: %q gives %q", !later, statements, got)
		}
		seen[later]++
	}
	if seen[true] < 10 || seen[false] < 10 {
		t.Errorf("the dice gave %v", seen)
	}
}

func TestLaterRowsCompareAsKeysDo(t *testing.T) {
	t.Parallel()
	for statements, want := range map[string]string{
		"CREATE TABLE t(id TEXT COLLATE NOCASE PRIMARY KEY, up REFERENCES t(id)); INSERT INTO t VALUES('A', NULL), ('b', 'a')":                                                      "",
		"CREATE TABLE t(id INTEGER PRIMARY KEY, up TEXT REFERENCES t(id)); INSERT INTO t VALUES(1, NULL), (2, '1'), (3, '3')":                                                       "",
		"CREATE TABLE t(id INTEGER PRIMARY KEY, up REAL REFERENCES t(id)); INSERT INTO t VALUES(1, 2), (2, NULL)":                                                                   "later-rows t",
		"CREATE TABLE t(id TEXT PRIMARY KEY, up INTEGER REFERENCES t(id)); INSERT INTO t VALUES('7', NULL), ('8', 7)":                                                               "",
		"CREATE TABLE t(a, b, x, y, PRIMARY KEY(a, b), FOREIGN KEY(x, y) REFERENCES t(a, b)); INSERT INTO t VALUES(1, 2, NULL, 5), (3, 4, 1, 2)":                                    "",
		"CREATE TABLE t(a, b, x, y, PRIMARY KEY(a, b), FOREIGN KEY(x, y) REFERENCES t(a, b)); INSERT INTO t VALUES(1, 2, 3, 4), (3, 4, 1, 2)":                                       "later-rows t",
		"CREATE TABLE t(id BLOB PRIMARY KEY, up REFERENCES t(id)) WITHOUT ROWID; INSERT INTO t VALUES(X'01', X'02'), (X'02', NULL)":                                                 "later-rows t",
		"CREATE TABLE t(id INTEGER PRIMARY KEY, n, up AS (n + 1) REFERENCES t(id)); INSERT INTO t VALUES(1, 1), (2, 1)":                                                             "",
		"CREATE TABLE a(id INTEGER PRIMARY KEY, b REFERENCES b); CREATE TABLE b(id INTEGER PRIMARY KEY, a REFERENCES a); INSERT INTO a VALUES(1, NULL)":                             "",
		"CREATE TABLE a(id INTEGER PRIMARY KEY, b REFERENCES b); CREATE TABLE b(id INTEGER PRIMARY KEY, a REFERENCES a); INSERT INTO b VALUES(1, NULL); INSERT INTO a VALUES(1, 1)": "later-rows a",
	} {
		if got := strings.Join(found(t, strings.Split(statements, "; ")...), ";"); got != want {
			t.Errorf("%s: found %q, want %q", statements, got, want)
		}
	}
}
