package dump_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/AutumnsGrove/Patina/backup/dump"
)

func sampleText(t testing.TB) []byte {
	t.Helper()
	var buf bytes.Buffer
	sample(t, &buf, testHeader)
	return buf.Bytes()
}

// smallText is a dump without long rows, for tests that change every byte.
func smallText(t testing.TB) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := dump.NewWriter(&buf, testHeader)
	check(t, w.BeginTable(dump.Table{Name: "t", SQL: "CREATE TABLE t(a)", Columns: []string{"a"}, AllColumns: true}))
	check(t, w.Row([]dump.Value{text("it's")}))
	check(t, w.EndTable())
	check(t, w.BeginPart("triggers"))
	check(t, w.Statement("CREATE TRIGGER g AFTER DELETE ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; END"))
	check(t, w.EndPart())
	_, err := w.Finish(testFooter)
	check(t, err)
	return buf.Bytes()
}

func TestEveryBitCounts(t *testing.T) {
	t.Parallel()
	whole := smallText(t)
	for i := range whole {
		for bit := range 8 {
			changed := bytes.Clone(whole)
			changed[i] ^= 1 << bit
			if _, _, err := dump.Verify(bytes.NewReader(changed)); !errors.Is(err, dump.ErrCorrupt) {
				t.Fatalf("bit %d of byte %d (%q): %v", bit, i, whole[i], err)
			}
		}
	}
	long := sampleText(t)
	for i := 0; i < len(long); i += 997 {
		changed := bytes.Clone(long)
		changed[i] ^= 4
		if _, _, err := dump.Verify(bytes.NewReader(changed)); !errors.Is(err, dump.ErrCorrupt) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
}

func TestTruncation(t *testing.T) {
	t.Parallel()
	whole := smallText(t)
	for n := range whole {
		_, _, err := dump.Verify(bytes.NewReader(whole[:n]))
		if !errors.Is(err, dump.ErrTruncated) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	long := sampleText(t)
	for n := 0; n < len(long); n += 1009 {
		if _, _, err := dump.Verify(bytes.NewReader(long[:n])); !errors.Is(err, dump.ErrTruncated) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	for _, more := range []string{"\n", " ", "x", "-- end\n", string(whole)} {
		_, _, err := dump.Verify(strings.NewReader(string(whole) + more))
		if !errors.Is(err, dump.ErrCorrupt) || !strings.Contains(err.Error(), "follows the footer") {
			t.Fatalf("with %.10q behind it: %v", more, err)
		}
	}
}

// rehash makes the hashes of a changed dump right again, as a forger would.
func rehash(t testing.TB, changed string) string {
	t.Helper()
	at := strings.Index(changed, "PRAGMA foreign_keys=OFF;")
	end := strings.LastIndex(changed, "-- tables: ")
	if at < 0 || end < at {
		t.Fatal("no body")
	}
	lines := strings.SplitAfter(changed[end:], "\n")
	lines[2] = "-- body-sha256: " + shaHex([]byte(changed[at:end])) + "\n"
	head := changed[:end] + lines[0] + lines[1] + lines[2]
	return head + "-- file-sha256: " + shaHex([]byte(head)) + "\n"
}

func TestForgedDumps(t *testing.T) {
	t.Parallel()
	whole := string(smallText(t))
	if rehash(t, whole) != whole {
		t.Fatal("rehash does not know the format")
	}
	for _, test := range []struct{ old, new, want string }{
		{"-- Patina SQL dump 1", "-- Patina SQL dump 2", "format \"2\""},
		{"-- Patina SQL dump 1", "-- PostgreSQL dump", "not a Patina dump"},
		{"tables: 1   rows: 1\n", "tables: 1   rows: 2\n", "header states"},
		{"tables: 1   rows: 1   body", "tables: 1   rows: 01   body", "cannot be read"},
		{"tables: 1   rows: 1   body", "tables: 1   rows: 2   body", "footer states"},
		{"tables: 1   rows: 1   body", "tables: 2   rows: 1   body", "footer states"},
		{"body-bytes: ", "body-bytes: 1", "footer states"},
		{"BEGIN TRANSACTION;", "BEGIN;", "\"BEGIN TRANSACTION;\" is missing"},
		{"PRAGMA foreign_keys=ON;", "PRAGMA foreign_keys=OFF;", "is missing"},
		{"COMMIT;\n", "", "unknown comment"},
		{"COMMIT;\n", "COMMIT;\nCOMMIT;\n", "is missing"},
		{"-- table: t\n", "", "outside of any section"},
		{"-- table: t\n", "-- index: t\n", "unknown comment"},
		{"-- table: t\n", "-- table: \\q\n", "name of a section"},
		{"VALUES('it''s');", "VALUES('it''s'); ", "end of its line"},
		{"VALUES('it''s');", "VALUES('it''s\x00');", "NUL"},
		{"VALUES('it''s');", "VALUES('" + strings.Repeat("x", dump.MaxStatement) + "');", "longer than"},
		{"-- bookmark: ", "-- bookmerk: ", "bookmark"},
		{"   job: ", "  job: ", "taken"},
		{"-- consistency: snapshot   bookmark-after: ", "-- consistency: snapshot  bookmark-after: ", "consistency"},
		{"-- database: groveauth", "-- database: " + strings.Repeat("g", 300_000), "longer than"},
	} {
		if !strings.Contains(whole, test.old) {
			t.Fatalf("no %q in the dump", test.old)
		}
		changed := strings.Replace(whole, test.old, test.new, 1)
		if strings.Contains(changed, "PRAGMA foreign_keys=OFF;") && strings.LastIndex(changed, "-- tables: ") > 300 {
			changed = rehash(t, changed)
		}
		_, _, err := dump.Verify(strings.NewReader(changed))
		if !errors.Is(err, dump.ErrCorrupt) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.40q for %q: %v", test.new, test.old, err)
		}
	}
	if _, _, err := dump.Verify(strings.NewReader(strings.Replace(whole, "dump 1", "dump 2", 1))); !errors.Is(err, dump.ErrVersion) {
		t.Errorf("version 2: %v", err)
	}
	if _, _, err := dump.Verify(strings.NewReader("")); !errors.Is(err, dump.ErrTruncated) {
		t.Errorf("an empty file: %v", err)
	}
}

func TestStatements(t *testing.T) {
	t.Parallel()
	// One byte at a time finds every place at which a read may end.
	for _, src := range []io.Reader{bytes.NewReader(sampleText(t)), iotest.OneByteReader(bytes.NewReader(sampleText(t)))} {
		r := dump.NewReader(src, dump.ReaderOptions{})
		h, err := r.Header()
		check(t, err)
		if h.Database != testHeader.Database || !h.TakenAt.Equal(testHeader.TakenAt) {
			t.Fatalf("header %+v", h)
		}
		var got strings.Builder
		for {
			s, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			check(t, err)
			check(t, dump.Allowed(s))
			fmt.Fprintf(&got, "%d %v section=%q table=%q name=%q stage=%v %.60q\n", s.Offset, s.Kind, s.Section, s.Table, s.Name, s.Stage, s.SQL)
		}
		golden(t, "sample.statements.txt", []byte(got.String()))
		sameContents(t, sample(t, io.Discard, testHeader), r.Contents())
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Fatalf("after the end: %v", err)
		}
	}
}

func TestReaderPassesErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	whole := sampleText(t)
	for _, n := range []int{0, 10, 500, 5000, len(whole) - 10, len(whole)} {
		_, _, err := dump.Verify(io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) || errors.Is(err, dump.ErrCorrupt) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
	r := dump.NewReader(bytes.NewReader(whole), dump.ReaderOptions{MaxStatement: 1000})
	var err error
	for err == nil {
		_, err = r.Next()
	}
	if !errors.Is(err, dump.ErrCorrupt) || !strings.Contains(err.Error(), "longer than 1000 bytes") {
		t.Fatalf("beyond the bound: %v", err)
	}
	if err := dump.ForD1(&brokenWriter{10}, bytes.NewReader(whole)); !errors.Is(err, io.ErrClosedPipe) {
		t.Fatalf("ForD1 to a closed pipe: %v", err)
	}
	if err := dump.ForD1(io.Discard, bytes.NewReader(whole[:len(whole)-1])); !errors.Is(err, dump.ErrTruncated) {
		t.Fatalf("ForD1 of a cut dump: %v", err)
	}
}

func TestForD1KeepsValues(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	exec(t, db, "CREATE TABLE t(a); INSERT INTO t VALUES('PRAGMA foreign_keys=OFF;'||char(10)||'BEGIN TRANSACTION;'||char(10)||'COMMIT;'||char(10)); CREATE VIEW v AS SELECT '\nCOMMIT;\n' AS \"BEGIN TRANSACTION;\";")
	text, _ := dumpOf(t, db)
	var out bytes.Buffer
	check(t, dump.ForD1(&out, bytes.NewReader(text)))
	for i, part := range strings.Split(out.String(), ";\n") {
		switch strings.TrimSpace(part) {
		case "BEGIN TRANSACTION", "COMMIT", "PRAGMA foreign_keys=OFF", "PRAGMA foreign_keys=ON":
			if !strings.Contains(out.String(), "'\nCOMMIT;\n'") || i < 3 {
				t.Errorf("framing is left: %q", part)
			}
		}
	}
	loaded := openSQLite(t)
	exec(t, loaded, out.String())
	same(t, db, loaded)
}

func TestAllowedRefuses(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{
		"ATTACH 'x' AS y;", "DETACH y;", "VACUUM INTO 'x';", "PRAGMA writable_schema=ON;", "PRAGMA foreign_keys=OFF;", "BEGIN;", "COMMIT;", "SAVEPOINT a;", "SELECT load_extension('x');",
		"INSERT INTO \"t\" SELECT * FROM u;", "INSERT INTO \"t\" VALUES(1),(2);", "INSERT INTO \"t\" VALUES(abs(1));", "INSERT INTO \"t\" VALUES((SELECT 1));", "INSERT INTO \"t\" VALUES(?);",
		"INSERT INTO \"t\" VALUES(1) RETURNING 1;", "INSERT INTO \"t\" VALUES(1) ON CONFLICT DO NOTHING;", "INSERT OR REPLACE INTO \"t\" VALUES(1);", "INSERT INTO t VALUES(1);", "INSERT INTO \"t\" DEFAULT VALUES;",
		"INSERT INTO \"main\".\"t\" VALUES(1);", "INSERT INTO \"sqlite_schema\" VALUES(1);", "INSERT INTO \"sqlite_master\" VALUES(1);", "INSERT INTO \"patina_stage\" VALUES(1);",
		"INSERT INTO \"t\" VALUES((SELECT CAST(group_concat(v,'') AS TEXT) FROM(SELECT v FROM \"users\" WHERE c=1 ORDER BY s)));",
		"INSERT INTO \"t\" VALUES((SELECT CAST(group_concat(v,'') AS TEXT) FROM(SELECT v FROM \"patina_stage\" WHERE c=1 OR 1 ORDER BY s)));",
		"DELETE FROM \"t\";", "DELETE FROM \"sqlite_sequence\" WHERE 1;", "DELETE FROM \"patina_stage\";", "UPDATE t SET a=1;", "DROP TABLE \"t\";", "DROP TABLE IF EXISTS \"t\";", "DROP TABLE IF EXISTS \"sqlite_sequence\";", "DROP VIEW v;", "DROP TABLE \"patina_stage\";",
		"CREATE TEMP TABLE t(a);", "CREATE TEMPORARY TRIGGER g AFTER DELETE ON t BEGIN SELECT 1; END;", "CREATE TABLE t AS SELECT 1;", "CREATE TABLE main.t(a);", "CREATE TABLE IF NOT EXISTS t(a);", "CREATE TABLE t(a);", "CREATE VIEW sqlite_x AS SELECT 1;",
		"CREATE VIEW v AS SELECT load_extension('x');", "CREATE INDEX i ON t([load_extension](a));", "CREATE VIEW v AS SELECT fts3_tokenizer /**/ ('a', X'00');", "CREATE VIEW v AS SELECT 1\x00;",
		"CREATE VIEW v AS SELECT 1; SELECT 2;", "CREATE VIEW v AS SELECT 1", "ANALYZE;", "ANALYZE t;", "REINDEX;", "EXPLAIN SELECT 1;", ";", "", "ALTER TABLE t ADD b;", "WITH a AS (SELECT 1) INSERT INTO t SELECT 1;", "REPLACE INTO \"t\" VALUES(1);", "DETACH DATABASE x;",
	} {
		s := dump.Classify([]byte(sql), 0)
		switch s.Kind { // in the place where it would be let through
		case dump.Insert, dump.CreateIndex:
			s.Section = "t"
		case dump.CreateView, dump.CreateTrigger:
			s.Section, s.Part = "views", true
		}
		if err := dump.Allowed(s); !errors.Is(err, dump.ErrRefused) {
			t.Errorf("%q: %v", sql, err)
		}
	}
	allowed := dump.Classify([]byte("INSERT INTO \"t\"(rowid,\"a\") VALUES(-1,-9e999,(3.0*1152921504606846976.0),-(5.0/2.0/4.0),CAST(X'00' AS TEXT),X'','a''b',NULL);"), 0)
	allowed.Section = "t"
	check(t, dump.Allowed(allowed))
}

// TestAllowedInItsPlace: what a Writer makes is let through where a Writer puts
// it, and nowhere else. A table's section that fills another table would, loaded
// beside a living one, write into that.
func TestAllowedInItsPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ sql, section, part string }{ // one of them "": refused there
		{"INSERT INTO \"t\" VALUES(1);", "t", ""},
		{"INSERT INTO \"users\" VALUES(1);", "", ""},
		{"INSERT INTO \"t\"(\"t\") VALUES('rebuild');", "t", "fts"},
		{"INSERT INTO \"t\"(\"a\") VALUES(1);", "t", ""},
		{"INSERT INTO \"sqlite_sequence\" VALUES('t',1);", "", "sequences"},
		{"CREATE TABLE t(a);", "t", ""},
		{"CREATE TABLE u(a);", "", ""},
		{"CREATE VIRTUAL TABLE t USING fts5(a);", "t", ""},
		{"CREATE INDEX i ON t(a);", "t", "indexes"},
		{"CREATE INDEX i ON u(a);", "", "indexes"},
		{"CREATE INDEX i;", "", ""},
		{"CREATE VIEW v AS SELECT 1;", "", "views"},
		{"CREATE VIEW ;", "", ""},
		{"CREATE TRIGGER g AFTER DELETE ON t BEGIN SELECT 1; END;", "", "triggers"},
		{"CREATE TRIGGER;END;", "", ""},
		{"DROP TABLE IF EXISTS \"t\";", "t", ""},
		{"DROP TABLE IF EXISTS \"fts\";", "", ""},
	} {
		try := func(section string, part bool) {
			s := dump.Classify([]byte(c.sql), 0)
			s.Section, s.Part = section, part
			want := section == c.section && !part || section == c.part && part
			if s.Table == "sqlite_sequence" {
				want = part
			}
			if err := dump.Allowed(s); (err == nil) != want {
				t.Errorf("%s in section %q (a part: %v): %v", c.sql, section, part, err)
			}
		}
		for _, part := range []string{"indexes", "views", "triggers", "fts", "sequences"} {
			if part == c.part || c.part == "" {
				try(part, true)
			}
		}
		try("t", false)
		try("x", false)
	}
	stage := func(sql string) error {
		s := dump.Classify([]byte(sql), 0)
		s.Section, s.Stage = "t", true
		return dump.Allowed(s)
	}
	check(t, stage(`CREATE TABLE "patina_stage_2"(c INTEGER,s INTEGER,v,PRIMARY KEY(c,s));`))
	check(t, stage(`CREATE TABLE "patina_stage"(c INTEGER PRIMARY KEY AUTOINCREMENT);`))
	if stage(`CREATE TABLE "patina_stage"(c INTEGER,s INTEGER,v DEFAULT (randomblob(9)),PRIMARY KEY(c,s));`) == nil {
		t.Error("another staging table is let through")
	}
}
