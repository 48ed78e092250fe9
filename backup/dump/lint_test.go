package dump_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup/dump"
)

func repeat(n int, f func(i int) string, sep string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = f(i)
	}
	return strings.Join(parts, sep)
}

func TestLint(t *testing.T) {
	t.Parallel()
	column := func(i int) string { return fmt.Sprint("c", i) }
	for _, test := range []struct{ name, setup, want string }{
		{"clean", `CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(a REFERENCES p(id), b REFERENCES c); INSERT INTO p VALUES(1);
			CREATE INDEX i ON c(a); CREATE VIEW v AS SELECT a, max(a,b) FROM c; CREATE TRIGGER t INSTEAD OF INSERT ON v BEGIN INSERT INTO p(id) VALUES(1); END; ANALYZE;`, ""},
		{"100 columns", "CREATE TABLE t(" + repeat(100, column, ",") + ", PRIMARY KEY(c1,c2), CHECK(c3 IN (1,2)), UNIQUE(c4));", ""},
		{"101 columns", "CREATE TABLE t(" + repeat(101, column, " DEFAULT (max(1,2)),") + ", CONSTRAINT k PRIMARY KEY(c1,c2));", "too-many-columns t"},
		{"child first", "CREATE TABLE c(a REFERENCES p(id)); CREATE TABLE p(id INTEGER PRIMARY KEY);", "order c"},
		{"cycle", "CREATE TABLE a(b REFERENCES b); CREATE TABLE b(c REFERENCES c); CREATE TABLE c(a REFERENCES a);", ""},
		{"cycle apart", "CREATE TABLE a(b REFERENCES b); CREATE TABLE x(y); CREATE TABLE b(a REFERENCES A);", "order a"},
		{"long schema", "CREATE TABLE t(a /*" + strings.Repeat("x", 100_000) + "*/);", "statement-too-long t"},
		{"row of blobs", "CREATE TABLE t(a, b); INSERT INTO t VALUES(zeroblob(1500000), zeroblob(500001));", "row-too-long t"},
		{"row at the limit", "CREATE TABLE t(a, b); INSERT INTO t VALUES(zeroblob(1500000), zeroblob(499000));", ""},
		{"modules", "CREATE VIRTUAL TABLE r USING rtree(id, a, b); CREATE VIRTUAL TABLE f USING Fts5(a); CREATE VIRTUAL TABLE g USING fts5vocab('f', 'row');", "module-refused r"},
		{"reserved", "CREATE TABLE _CF_x(a);", "name-reserved _CF_x"},
		{"arguments", "CREATE VIEW v AS SELECT max(" + repeat(33, column, ",") + ") FROM (SELECT 1); CREATE VIEW w AS SELECT max(" + repeat(32, column, ",") + ");", "too-many-arguments v"},
		{"columns are no arguments", "CREATE TABLE t(" + repeat(50, column, ",") + "); CREATE INDEX i ON t(" + repeat(50, column, ",") + "); CREATE TRIGGER g AFTER DELETE ON t BEGIN INSERT INTO t(" + repeat(50, column, ",") + ") VALUES(" + repeat(50, func(int) string { return "1" }, ",") + "); END;", ""},
		{"terms", "CREATE VIEW v AS " + repeat(6, func(int) string { return "SELECT 1" }, " UNION ") + "; CREATE VIEW w AS " + repeat(5, func(int) string { return "SELECT 1" }, " UNION ALL ") + ";", "too-many-terms v"},
		{"depth", "CREATE VIEW v AS SELECT " + strings.Repeat("(", 99) + "1" + strings.Repeat(")", 99) + "; CREATE VIEW w AS SELECT " + strings.Repeat("(", 101) + "1" + strings.Repeat(")", 101) + ";", "too-deep w"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db := openSQLite(t)
			exec(t, db, test.setup)
			text, _, written := dumpAndLint(t, db)
			findings, err := dump.Lint(bytes.NewReader(text))
			check(t, err)
			var got []string
			for _, f := range findings {
				got = append(got, f.Code+" "+f.Object)
				if f.Message == "" || !bytes.HasPrefix(text[f.Offset:], []byte("CREATE")) && !bytes.HasPrefix(text[f.Offset:], []byte("INSERT")) {
					t.Errorf("finding %+v does not lead to its statement", f)
				}
			}
			if strings.Join(got, ";") != test.want {
				t.Fatalf("got %q, want %q", got, test.want)
			}
			if !slices.EqualFunc(written, findings, func(a, b dump.Finding) bool { return a.Code == b.Code && a.Object == b.Object }) {
				t.Errorf("the Writer found %v, the Linter %v", written, findings)
			}
		})
	}
}

// What the Writer cannot write the Linter must find in what a stranger wrote.
func TestLinterStranger(t *testing.T) {
	t.Parallel()
	l := dump.NewLinter()
	for i, sql := range []string{
		"CREATE TRIGGER g INSTEAD OF DELETE ON v BEGIN SELECT 1; END;", "CREATE INDEX i ON nowhere(a);", "ATTACH 'x' AS y;", "PRAGMA writable_schema=1;", "SAVEPOINT a;",
	} {
		s := dump.Classify([]byte(sql), int64(i))
		s.Section, s.Part = "triggers", true
		l.Add(s)
	}
	var got []string
	for _, f := range l.Findings() {
		got = append(got, fmt.Sprint(f.Code, " ", f.Object, " ", f.Offset))
	}
	want := []string{"order g 0", "order i 1", "statement-refused ATTACH 2", "statement-refused writable_schema 3", "statement-refused SAVEPOINT 4"}
	if !slices.Equal(got, want) {
		t.Fatalf("got %q", got)
	}
}
