package dump

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// content is a dump to be written: tables by name.
type content []tableContent

type tableContent struct {
	sql  string
	rows []string // "key value", or "- value" for a table without a key
}

// write dumps the tables, each of two columns. The rows stand as they are given.
func (c content) write(t testing.TB) Side {
	t.Helper()
	var buf bytes.Buffer
	w := NewWriter(&buf, Header{Database: "db", TakenAt: time.Date(2026, 11, 23, 3, 0, 4, 0, time.UTC)})
	for _, table := range c {
		_, _, name := classify([]byte(table.sql))
		err := w.BeginTable(Table{Name: name, SQL: table.sql, Columns: []string{"k", "v"}, AllColumns: true})
		for _, row := range table.rows {
			k, v, _ := strings.Cut(row, " ")
			err = errors.Join(err, w.Row([]Value{{Text, []byte(k)}, {Text, []byte(v)}}))
		}
		if err := errors.Join(err, w.EndTable()); err != nil {
			t.Fatal(err)
		}
	}
	contents, err := w.Finish(Footer{Consistency: "snapshot"})
	if err != nil {
		t.Fatal(err)
	}
	return sideOf(buf.Bytes(), contents)
}

func sideOf(text []byte, c Contents) Side {
	return Side{Contents: c, Open: func(offset, length int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(text[offset : offset+length])), nil
	}}
}

// told gives what a comparison tells, a line a row, sorted.
func told(t testing.TB, a, b Side, hashes int64, batch int) ([]string, *Difference) {
	t.Helper()
	var lines []string
	show := func(v *DiffValue) string {
		if v == nil {
			return "-"
		}
		return fmt.Sprintf("%.20s", v.Bytes)
	}
	d, err := diff(a, b, DiffOptions{Row: func(r RowDiff) error {
		line := string(r.Change)
		for _, f := range r.Fields {
			line += fmt.Sprintf(" %s=%s>%s", f.Name, show(f.Before), show(f.After))
		}
		lines = append(lines, line)
		return nil
	}}, hashes, batch)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines, d
}

const (
	keyed   = "CREATE TABLE t(k TEXT PRIMARY KEY, v) WITHOUT ROWID"
	keyless = "CREATE TABLE t(k, v)"
)

// TestDiffWithoutOrder: rows that do not stand in the order of their key, and
// rows without one, are told apart in as many readings as it takes.
func TestDiffWithoutOrder(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a seeded test
	var before, after []string
	var want [2][]string
	for i := range 500 {
		k := fmt.Sprintf("k%d", i)
		switch r.IntN(5) {
		case 0:
			before = append(before, k+" gone")
			want[0] = append(want[0], "removed k="+k+">- v=gone>-")
		case 1:
			after = append(after, k+" new")
			want[0] = append(want[0], "added k=->"+k+" v=->new")
		case 2:
			before, after = append(before, k+" x"), append(after, k+" y")
			want[0] = append(want[0], "changed k="+k+">"+k+" v=x>y")
			want[1] = append(want[1], "removed k="+k+">- v=x>-", "added k=->"+k+" v=->y")
		default:
			before, after = append(before, k+" same"), append(after, k+" same")
		}
		if last := len(want[0]) - 1; last >= 0 && !strings.HasPrefix(want[0][last], "changed") {
			if n := len(want[1]); n == 0 || want[1][n-1] != want[0][last] {
				want[1] = append(want[1], want[0][last])
			}
		}
	}
	for i, sql := range []string{keyed, keyless} {
		slices.Sort(want[i])
		want[i] = slices.Compact(want[i])
		for _, hashes := range []int64{hashRows, 40, 3} {
			r.Shuffle(len(before), func(i, j int) { before[i], before[j] = before[j], before[i] })
			r.Shuffle(len(after), func(i, j int) { after[i], after[j] = after[j], after[i] })
			got, d := told(t, content{{sql, before}}.write(t), content{{sql, after}}.write(t), hashes, 300)
			if !slices.Equal(got, want[i]) {
				t.Errorf("%s, %d at once: got\n%s\nwant\n%s", sql, hashes, strings.Join(got, "\n"), strings.Join(want[i], "\n"))
			}
			if way := []Way{ByKeyHash, ByRow}[i]; d.Tables[0].Way != way {
				t.Errorf("%s: compared by %s", sql, d.Tables[0].Way)
			}
		}
	}
	// Rows that occur more than once are counted.
	got, _ := told(t, content{{keyless, []string{"a 1", "a 1", "b 2", "a 1"}}}.write(t), content{{keyless, []string{"c 3", "a 1", "b 2", "b 2"}}}.write(t), hashRows, hashBatch)
	if !slices.Equal(got, []string{"added k=->b v=->2", "added k=->c v=->3", "removed k=a>- v=1>-", "removed k=a>- v=1>-"}) {
		t.Errorf("with repeats: %q", got)
	}
}

func TestDiffInOrder(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 70_000)
	a := content{{keyed, []string{"a 1", "b " + long + "1", "c 3", "d " + long, long + "k 7", long + "l 8"}}}.write(t)
	b := content{{keyed, []string{"a 1", "b " + long + "2", "ba 4", "d " + long, long + "k 8", long + "m 8"}}}.write(t)
	cut := func(s string) string { return fmt.Sprintf("%.20s", s) }
	got, d := told(t, a, b, hashRows, hashBatch)
	want := []string{
		"added k=->ba v=->4", "added k=->" + cut(long) + " v=->8", "changed k=" + cut(long) + ">" + cut(long) + " v=7>8",
		"changed k=b>b v=" + cut(long) + ">" + cut(long), "removed k=c>- v=3>-", "removed k=" + cut(long) + ">- v=8>-",
	}
	slices.Sort(want)
	if !slices.Equal(got, want) || d.Tables[0].Way != ByKey {
		t.Errorf("by %s: %q", d.Tables[0].Way, got)
	}
	if _, d := told(t, a, a, hashRows, hashBatch); !d.Same() {
		t.Errorf("a dump differs from itself: %+v", d)
	}
}

func TestDiffOfOtherKeys(t *testing.T) {
	t.Parallel()
	rows := []string{"a 1", "b 2"}
	_, d := told(t, content{{keyed, rows}}.write(t), content{{"CREATE TABLE t(k TEXT, v, PRIMARY KEY(k, v)) WITHOUT ROWID", rows}}.write(t), hashRows, hashBatch)
	x := d.Tables[0]
	if x.Way != NotAtAll || x.RowsBefore != 2 || x.RowsAfter != 2 || x.SQLBefore == "" || x.Added+x.Removed+x.Changed != 0 {
		t.Errorf("%+v", x)
	}
}

func TestDiffOfOneTable(t *testing.T) {
	t.Parallel()
	a := content{{keyed, []string{"a 1"}}, {"CREATE TABLE u(k, v)", nil}}.write(t)
	b := content{{keyed, []string{"a 2"}}, {"CREATE TABLE u(k, v, w)", nil}}.write(t)
	d, err := Diff(a, b, DiffOptions{Table: "T"})
	if err != nil || len(d.Tables) != 1 || d.Tables[0].Changed != 1 {
		t.Errorf("%+v, %v", d, err)
	}
	var unknown *UnknownTable
	if _, err := Diff(a, b, DiffOptions{Table: "x"}); !errors.As(err, &unknown) || !slices.Equal(unknown.Tables, []string{"t", "u"}) {
		t.Errorf("%v", err)
	}
	stop := errors.New("enough")
	if _, err := Diff(a, b, DiffOptions{Row: func(RowDiff) error { return stop }}); !errors.Is(err, stop) {
		t.Errorf("an error of Row: %v", err)
	}
	d, err = Diff(a, b, DiffOptions{Table: "u"})
	if err != nil || len(d.Tables) != 1 || !slices.Equal(d.Tables[0].ColumnsAdded, []string{"w"}) || d.Tables[0].ColumnsRemoved != nil {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestDiffReadsWhatDiffers: a table whose hash is the same is not read, and
// what is read is held to its hash.
func TestDiffReadsWhatDiffers(t *testing.T) {
	t.Parallel()
	a := content{{keyed, []string{"a 1", "b 2"}}, {"CREATE TABLE u(k, v)", []string{"x y"}}}.write(t)
	b := content{{keyed, []string{"a 1", "b 3"}}, {"CREATE TABLE u(k, v)", []string{"x y"}}}.write(t)
	var opened []int64
	from := a.Open
	a.Open = func(offset, length int64) (io.ReadCloser, error) {
		opened = append(opened, offset)
		return from(offset, length)
	}
	if d, err := Diff(a, b, DiffOptions{}); err != nil || d.Tables[0].Changed != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	if !slices.Equal(opened, []int64{a.Contents.Sections[0].Offset}) {
		t.Errorf("read at %v", opened)
	}
	for name, spoil := range map[string]func(b []byte) []byte{
		"a flipped bit": func(b []byte) []byte { b[len(b)-5] ^= 1; return b },
		"cut short":     func(b []byte) []byte { return b[:len(b)-1] },
		"at a line":     func(b []byte) []byte { return b[:bytes.LastIndexByte(b[:len(b)-1], '\n')+1] },
		"empty":         func([]byte) []byte { return nil },
		"something else": func(b []byte) []byte {
			return append(b[:len(b)-1:len(b)-1], "\nINSERT INTO \"t\" VALUES('z','9');\n"...)
		},
	} {
		spoiled := a
		spoiled.Open = func(offset, length int64) (io.ReadCloser, error) {
			r, err := from(offset, length)
			if err != nil {
				return nil, err
			}
			text, err := io.ReadAll(r)
			return io.NopCloser(bytes.NewReader(spoil(text))), err
		}
		if _, err := Diff(spoiled, b, DiffOptions{}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDefine(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		`CREATE TABLE t(a, b)`: "a b",
		`CREATE TABLE t(id INTEGER PRIMARY KEY, b TEXT COLLATE NOCASE)`:                                 "id:int:1 b/NOCASE",
		`CREATE TABLE "t"("id" integer not null primary key desc, [b c] VARCHAR(10,2))`:                 "id:int:1- b c",
		`CREATE TABLE t(a INTEGER(4) PRIMARY KEY, b big INTEGER, c INTEGER)`:                            "a:1 b c:int",
		`CREATE TABLE t(a, b, PRIMARY KEY(b COLLATE RTRIM DESC, a)) WITHOUT ROWID, STRICT`:              "a:2 b:1-/RTRIM without",
		`CREATE TABLE t(a DEFAULT 'PRIMARY KEY,)', b CHECK (b IN (1,2)), UNIQUE(a, b))`:                 "a b",
		`CREATE TABLE t(a AS (b || ','), b, c GENERATED ALWAYS AS (a) STORED)`:                          "a! b c!",
		`CREATE TABLE t(a REFERENCES u(x) ON DELETE SET NULL, b, FOREIGN KEY(b) REFERENCES u)`:          "a b",
		`CREATE TABLE t(a, b, CONSTRAINT pk PRIMARY KEY(a) CHECK (a > 0) UNIQUE(b))`:                    "a:1 b",
		"CREATE TABLE t(a -- , PRIMARY KEY(b)\n, \"primary\" /* ) */, 'c' DEFAULT -1.5, d DEFAULT (1))": "a primary c d",
		`CREATE TABLE t(a CONSTRAINT x PRIMARY KEY AUTOINCREMENT, b) strict`:                            "a:1 b",
		`CREATE TABLE t(a`:                         "?",
		`CREATE TABLE t(a, PRIMARY KEY(x))`:        "?",
		`CREATE TABLE t(a, PRIMARY KEY(lower(a)))`: "?",
		`CREATE VIRTUAL TABLE t USING fts5(a)`:     "?",
	} {
		d := define([]byte(sql))
		var parts []string
		for _, c := range d.columns {
			s := c.name
			if c.generated {
				s += "!"
			}
			if c.integer {
				s += ":int"
			}
			if c.key > 0 {
				s += fmt.Sprint(":", c.key)
			}
			if c.desc {
				s += "-"
			}
			if c.collate != "" {
				s += "/" + c.collate
			}
			parts = append(parts, s)
		}
		if d.withoutRowid {
			parts = append(parts, "without")
		}
		if !d.known {
			parts = []string{"?"}
		}
		if got := strings.Join(parts, " "); got != want {
			t.Errorf("%s\n is %s, want %s", sql, got, want)
		}
	}
}

func TestCells(t *testing.T) {
	t.Parallel()
	ordered := []string{
		"NULL", "-9e999", "-9223372036854775808", "-(3.0*2.0)", "-1.5", "0", "1", "1.5", "9007199254740992", "9007199254740993", "9223372036854775807", "1e300", "(1e300*2.0)", "9e999",
		"''", "CAST(X'00' AS TEXT)", "'A'", "'a'", "'a '", "'it''s'", "X''", "X'00'", "X'0001'", "X'FF'",
	}
	for i, x := range ordered {
		for j, y := range ordered {
			a, ok := cellOf([]byte(x))
			b, ok2 := cellOf([]byte(y))
			order, known := compareCells(a, b, "")
			if !ok || !ok2 || !known || order != cmp.Compare(i, j) {
				t.Errorf("%s and %s: %d, %v", x, y, order, known)
			}
		}
	}
}

// FuzzDiff compares two sections of any text: it may refuse them, and must
// neither panic nor go on for ever, nor find a difference of a text from itself.
func FuzzDiff(f *testing.F) {
	const (
		rows   = "-- table: t\nDROP TABLE IF EXISTS \"t\";\nCREATE TABLE t(k INTEGER PRIMARY KEY, v);\nINSERT INTO \"t\" VALUES(1,'a');\nINSERT INTO \"t\" VALUES(2,X'00');\n"
		staged = "-- table: t\nCREATE TABLE t(k, v, PRIMARY KEY(k DESC)) WITHOUT ROWID;\nCREATE TABLE \"patina_stage\"(c INTEGER,s INTEGER,v,PRIMARY KEY(c,s));\nINSERT INTO \"patina_stage\" VALUES(1,0,'long');\n" +
			"INSERT INTO \"t\" VALUES(9e999,(SELECT CAST(group_concat(v,'') AS TEXT) FROM(SELECT v FROM \"patina_stage\" WHERE c=1 ORDER BY s)));\nDELETE FROM \"patina_stage\";\nDROP TABLE \"patina_stage\";\n"
	)
	f.Add([]byte(rows), []byte(staged))
	f.Add([]byte(rows), []byte("-- table: t\nCREATE TABLE t(a, b);\nINSERT INTO \"t\"(rowid,\"a\",\"b\") VALUES(-1,(1.5*2.0),NULL);\nCREATE INDEX i ON t(a);\n"))
	f.Add([]byte(rows), []byte("-- table: t\nCREATE TABLE t(a COLLATE NOCASE, b AS (a) STORED, PRIMARY KEY(a)) WITHOUT ROWID;\nINSERT INTO \"t\" VALUES('b');\nINSERT INTO \"t\" VALUES('A');\n"))
	side := func(text []byte, kind string) Side {
		n := int64(bytes.Count(text, []byte("INSERT INTO \"t\"")))
		hash := sha256.Sum256(text)
		return sideOf(text, Contents{Sections: []Section{{Name: "t", Kind: kind, Length: int64(len(text)), Rows: n, SHA256: hex.EncodeToString(hash[:])}}})
	}
	f.Fuzz(func(t *testing.T, x, y []byte) {
		for _, kind := range []string{KindTable, KindVirtual, KindSchema} {
			for _, opt := range []DiffOptions{{}, {Row: func(RowDiff) error { return nil }}} {
				a, b := side(x, kind), side(y, kind)
				_, _ = diff(a, b, opt, 2, 10)
				b = side(append(bytes.Clone(x), "-- note: nothing\n"...), kind)
				if d, err := diff(a, b, opt, 2, 10); err == nil && !d.Same() && kind != KindSchema {
					t.Fatalf("%q differs from itself: %+v", x, d)
				}
			}
		}
	})
}
