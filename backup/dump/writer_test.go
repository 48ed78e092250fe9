package dump_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup/dump"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		check(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	check(t, err)
	if !bytes.Equal(got, want) {
		at := firstDifference(got, want)
		t.Fatalf("%s differs at byte %d: got %.120q", name, at, got[at:])
	}
}

func text(s string) dump.Value { return dump.Value{Kind: dump.Text, Bytes: []byte(s)} }
func integer(s string) dump.Value {
	return dump.Value{Kind: dump.Integer, Bytes: []byte(s)}
}
func real(s string) dump.Value { return dump.Value{Kind: dump.Real, Bytes: []byte(s)} }
func blob(s string) dump.Value { return dump.Value{Kind: dump.Blob, Bytes: []byte(s)} }

var null = dump.Value{}

// sample writes a dump with one of everything.
func sample(t testing.TB, out io.Writer, h dump.Header) dump.Contents {
	t.Helper()
	w := dump.NewWriter(out, h)
	w.Reserve("users", "Patina_Stage", "by_name")
	check(t, w.Comment("a note before\nthe first table"))
	check(t, w.BeginTable(dump.Table{Name: "users", SQL: "CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT)", Columns: []string{"id", "name"}, AllColumns: true}))
	check(t, w.Row([]dump.Value{integer("1"), text("ada")}))
	check(t, w.Row([]dump.Value{integer("-9223372036854775808"), text("O'Brien\n\x00")}))
	check(t, w.EndTable())
	check(t, w.BeginTable(dump.Table{Name: "no\nkey", SQL: "CREATE TABLE \"no\nkey\"(a, b AS (a), rowid) -- why", Columns: []string{"a", "rowid"}, Rowid: true, RowidName: "oid"}))
	check(t, w.Row([]dump.Value{integer("-7"), real("1e21"), blob("00FF")}))
	check(t, w.Row([]dump.Value{integer("007"), real("5"), null}))
	check(t, w.Row([]dump.Value{integer("8"), text(strings.Repeat("long ", 20_000)), blob("00")}))
	check(t, w.EndTable())
	check(t, w.BeginTable(dump.Table{Name: "docs", SQL: "CREATE VIRTUAL TABLE docs USING fts5(body)", Columns: []string{"body"}, Rowid: true, Virtual: true}))
	check(t, w.Row([]dump.Value{integer("3"), text("age as armor")}))
	check(t, w.EndTable())
	check(t, w.BeginPart("sequences"))
	check(t, w.BeginTable(dump.Table{Name: "sqlite_sequence", Columns: []string{"name", "seq"}, AllColumns: true}))
	check(t, w.Row([]dump.Value{text("users"), integer("4")}))
	check(t, w.EndTable())
	check(t, w.EndPart())
	check(t, w.BeginPart("indexes"))
	check(t, w.Statement("CREATE INDEX by_name ON users(name)"))
	check(t, w.Comment("-- table: not a marker"))
	check(t, w.EndPart())
	check(t, w.BeginPart("views"))
	check(t, w.Statement("CREATE VIEW v AS SELECT 1 -- one"))
	check(t, w.EndPart())
	check(t, w.BeginPart("triggers"))
	check(t, w.Statement("CREATE TRIGGER g AFTER DELETE ON users BEGIN SELECT CASE WHEN 1 THEN 2 END; END"))
	check(t, w.EndPart())
	check(t, w.BeginTable(dump.Table{Name: "sqlite_stat1", Columns: []string{"tbl", "idx", "stat"}, AllColumns: true}))
	check(t, w.Row([]dump.Value{text("users"), text("by_name"), text("2 1")}))
	check(t, w.EndTable())
	check(t, w.BeginPart("fts"))
	check(t, w.Statement(`INSERT INTO "docs"("docs") VALUES('rebuild')`))
	check(t, w.EndPart())
	c, err := w.Finish(testFooter)
	check(t, err)
	return c
}

func TestGolden(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	h := testHeader
	h.Redactions = []string{"users.password → null"}
	c := sample(t, &buf, h)
	golden(t, "sample.sql", buf.Bytes())
	golden(t, "sample.contents.txt", fmt.Appendf(nil, "%+v\n", c))
	load(t, buf.Bytes())

	var d1 bytes.Buffer
	check(t, dump.ForD1(&d1, bytes.NewReader(buf.Bytes())))
	golden(t, "sample.d1.sql", d1.Bytes())
	db := openSQLite(t)
	exec(t, db, d1.String())
	same(t, load(t, buf.Bytes()), db)

	var empty bytes.Buffer
	_, err := dump.NewWriter(&empty, dump.Header{}).Finish(dump.Footer{})
	check(t, err)
	golden(t, "empty.sql", empty.Bytes())
}

func TestSameBodyWhenever(t *testing.T) {
	t.Parallel()
	var a, b bytes.Buffer
	first := sample(t, &a, testHeader)
	second := sample(t, &b, dump.Header{Database: "another", TakenAt: time.Date(1999, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600))})
	if first.BodySHA256 != second.BodySHA256 || first.SHA256 == second.SHA256 {
		t.Fatalf("bodies %s and %s, files %s and %s", first.BodySHA256, second.BodySHA256, first.SHA256, second.SHA256)
	}
	for i := range first.Sections {
		if first.Sections[i].SHA256 != second.Sections[i].SHA256 {
			t.Errorf("section %s differs", first.Sections[i].Name)
		}
	}
	for _, test := range []struct {
		buf bytes.Buffer
		c   dump.Contents
	}{{a, first}, {b, second}} {
		_, body, _ := bytes.Cut(test.buf.Bytes(), []byte("   rows: 8\n"))
		body = body[:bytes.LastIndex(body, []byte("-- tables: "))]
		if int64(len(body)) != test.c.BodySize || shaHex(body) != test.c.BodySHA256 {
			t.Errorf("the body is not what its hash names")
		}
		before := test.buf.Bytes()[:bytes.LastIndex(test.buf.Bytes(), []byte("-- file-sha256: "))]
		if !strings.HasSuffix(test.buf.String(), "\n-- file-sha256: "+shaHex(before)+"\n") || shaHex(test.buf.Bytes()) != test.c.SHA256 {
			t.Errorf("the file's hash does not name what stands before it")
		}
	}
}

// A large dump passes what is held back; its header then refers to its footer.
func TestLargeDump(t *testing.T) {
	t.Parallel()
	var buf cutBuffer
	w := dump.NewWriter(&buf, dump.Header{Database: "large"})
	const rows = 30_000
	for n := range 3 {
		check(t, w.BeginTable(dump.Table{Name: fmt.Sprint("t", n), SQL: fmt.Sprintf("CREATE TABLE t%d(a,b)", n), Columns: []string{"a", "b"}, AllColumns: true}))
		for i := range rows {
			check(t, w.Row([]dump.Value{integer(fmt.Sprint(i)), text(strings.Repeat("é", 100))}))
		}
		check(t, w.EndTable())
	}
	if table, n, size := w.Progress(); table != "t2" || n != 3*rows || size < 3*rows*200 {
		t.Errorf("progress %s %d %d", table, n, size)
	}
	c, err := w.Finish(testFooter)
	check(t, err)
	if c.Tables != 3 || c.Rows != 3*rows || c.Size != int64(buf.Len()) || c.SHA256 != shaHex(buf.Bytes()) {
		t.Fatalf("contents %+v", c)
	}
	if !bytes.Contains(buf.Bytes()[:400], []byte("-- tables: see footer   rows: see footer\n")) {
		t.Fatalf("header %.400s", buf.Bytes())
	}
	h, got, err := dump.Verify(bytes.NewReader(buf.Bytes()))
	check(t, err)
	sameContents(t, c, got)
	if h.Consistency != "snapshot" || got.Footer != testFooter {
		t.Fatalf("header %+v, footer %+v", h, got.Footer)
	}
	want := []int{int(c.Sections[0].Offset), int(c.Sections[1].Offset), int(c.Sections[2].Offset), int(c.Sections[2].Offset + c.Sections[2].Length)}
	if fmt.Sprint(buf.cuts) != fmt.Sprint(want) {
		t.Fatalf("cuts at %v, sections at %v", buf.cuts, want)
	}
}

type cutBuffer struct {
	bytes.Buffer
	cuts []int
}

func (b *cutBuffer) Cut() error { b.cuts = append(b.cuts, b.Len()); return nil }

func TestCutsOfSmallDump(t *testing.T) {
	t.Parallel()
	var buf cutBuffer
	c := sample(t, &buf, testHeader)
	var want []int
	for _, s := range c.Sections {
		want = append(want, int(s.Offset))
	}
	last := c.Sections[len(c.Sections)-1]
	want = append(want, int(last.Offset+last.Length))
	if fmt.Sprint(buf.cuts) != fmt.Sprint(want) {
		t.Fatalf("cuts at %v, sections at %v", buf.cuts, want)
	}
}

func TestHeaderComesBack(t *testing.T) {
	t.Parallel()
	for _, name := range append(hostile, "x (6ae2b03c)", "(", "a ()", "\xff\xfe", "\u200b", `\`, "a  b   c", strings.Repeat("\n", 10_000)) {
		for _, id := range []string{"", "6ae2b03c-40dd", name} {
			h := dump.Header{Database: name, DatabaseID: id, JobID: name, TakenAt: testHeader.TakenAt, Consistency: "quiet", Bookmark: name, Redactions: []string{name, "b"}}
			f := dump.Footer{Consistency: name, BookmarkAfter: name}
			var buf bytes.Buffer
			c, err := dump.NewWriter(&buf, h).Finish(f)
			check(t, err)
			got, contents, err := dump.Verify(bytes.NewReader(buf.Bytes()))
			check(t, err)
			sameContents(t, c, contents)
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", h) || contents.Footer != f {
				t.Fatalf("%.200q came back as %.200q", h, got)
			}
			for _, c := range buf.Bytes() {
				if c < ' ' && c != '\n' || c == 0x7f {
					t.Fatalf("a control character %#x stands in the header of %q", c, name)
				}
			}
			if bytes.ContainsAny(buf.Bytes(), "\u202e\u2066\ufeff\u200b") || bytes.Count(buf.Bytes(), []byte("\n")) != 15 {
				t.Fatalf("the header of %.100q is not inert: %.300q", name, buf.Bytes())
			}
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	t.Parallel()
	table := dump.Table{Name: "t", SQL: "CREATE TABLE t(a)", Columns: []string{"a"}, AllColumns: true}
	begun := func(w *dump.Writer) error { return w.BeginTable(table) }
	row := func(v ...dump.Value) func(*dump.Writer) error { return func(w *dump.Writer) error { return w.Row(v) } }
	begin := func(t dump.Table) func(*dump.Writer) error {
		return func(w *dump.Writer) error { return w.BeginTable(t) }
	}
	part := func(w *dump.Writer) error { return w.BeginPart("views") }
	statement := func(sql string) func(*dump.Writer) error {
		return func(w *dump.Writer) error { return w.Statement(sql) }
	}
	for name, calls := range map[string][]func(*dump.Writer) error{
		"row outside":         {row(null)},
		"row too wide":        {begun, row(null, null)},
		"not an integer":      {begun, row(integer("1;DROP TABLE t"))},
		"integer too large":   {begun, row(integer("9223372036854775808"))},
		"plus":                {begun, row(integer("+5"))},
		"no integer":          {begun, row(integer(""))},
		"not a real":          {begun, row(real("1e5)--"))},
		"hex real":            {begun, row(real("0x1p4"))},
		"not a number":        {begun, row(real("NaN"))},
		"odd blob":            {begun, row(blob("ABC"))},
		"not hex":             {begun, row(blob("AB');--x"))},
		"long and not hex":    {begun, row(blob(strings.Repeat("0G", 100_000)))},
		"null with bytes":     {begun, row(dump.Value{Bytes: []byte("x")})},
		"unknown kind":        {begun, row(dump.Value{Kind: 9})},
		"table in table":      {begun, begun},
		"part in table":       {begun, part},
		"end of nothing":      {(*dump.Writer).EndTable},
		"end of no part":      {(*dump.Writer).EndPart},
		"statement in table":  {begun, statement("CREATE VIEW v AS SELECT 1")},
		"statement outside":   {statement("CREATE VIEW v AS SELECT 1")},
		"two statements":      {part, statement("CREATE VIEW v AS SELECT 1; DROP TABLE t")},
		"open string":         {part, statement("CREATE VIEW v AS SELECT '1")},
		"attach":              {part, statement("ATTACH 'x' AS y")},
		"table in part":       {part, statement("CREATE TABLE x(a)")},
		"insert of a query":   {part, statement(`INSERT INTO "x" SELECT 1`)},
		"extension":           {part, statement(`CREATE VIEW v AS SELECT "load_extension" ('x')`)},
		"nul in schema":       {part, statement("CREATE VIEW v AS SELECT 1\x00;")},
		"another's schema":    {begin(dump.Table{Name: "t", SQL: "CREATE TABLE u(a)"})},
		"view for table":      {begin(dump.Table{Name: "t", SQL: "CREATE VIEW t AS SELECT 1"})},
		"virtual for plain":   {begin(dump.Table{Name: "t", SQL: "CREATE VIRTUAL TABLE t USING fts5(a)"})},
		"table of a query":    {begin(dump.Table{Name: "t", SQL: "CREATE TABLE t AS SELECT 1"})},
		"nul in name":         {begin(dump.Table{Name: "t\x00", SQL: "CREATE TABLE t(a)"})},
		"sqlite_schema":       {begin(dump.Table{Name: "sqlite_schema", Columns: []string{"sql"}})},
		"rowid's name":        {begin(dump.Table{Name: "t", SQL: "CREATE TABLE t(a)", Rowid: true, RowidName: "a) VALUES(1);--"})},
		"schema over 4 MiB":   {begin(dump.Table{Name: "t", SQL: "CREATE TABLE t(a /*" + strings.Repeat("x", dump.MaxStatement) + "*/)"})},
		"finish within table": {begun, func(w *dump.Writer) error { _, err := w.Finish(dump.Footer{}); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := dump.NewWriter(io.Discard, testHeader)
			for _, call := range calls[:len(calls)-1] {
				check(t, call(w))
			}
			err := calls[len(calls)-1](w)
			if !errors.Is(err, dump.ErrInvalid) || strings.Contains(err.Error(), "DROP") {
				t.Fatalf("error %v", err)
			}
			if _, again := w.Finish(dump.Footer{}); again == nil {
				t.Fatal("a dump with an error was finished")
			}
		})
	}
	if _, err := dump.NewWriter(io.Discard, dump.Header{Database: strings.Repeat("\n", 100_000)}).Finish(dump.Footer{}); !errors.Is(err, dump.ErrInvalid) {
		t.Fatalf("a header line that no Reader takes: %v", err)
	}
}

type brokenWriter struct{ left int }

func (b *brokenWriter) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func TestWriterPassesErrors(t *testing.T) {
	t.Parallel()
	for _, left := range []int{0, 100, 1 << 20, 5 << 20} {
		w := dump.NewWriter(&brokenWriter{left}, testHeader)
		check(t, w.BeginTable(dump.Table{Name: "t", SQL: "CREATE TABLE t(a)", Columns: []string{"a"}, AllColumns: true}))
		for range 200 {
			if w.Row([]dump.Value{text(strings.Repeat("x", 50_000))}) != nil {
				break
			}
		}
		if err := w.EndTable(); err == nil {
			_, err = w.Finish(testFooter)
			if !errors.Is(err, io.ErrClosedPipe) {
				t.Fatalf("with room for %d bytes: %v", left, err)
			}
		} else if !errors.Is(err, io.ErrClosedPipe) {
			t.Fatalf("with room for %d bytes: %v", left, err)
		}
	}
}
