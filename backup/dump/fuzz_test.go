package dump_test

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"testing"

	"github.com/AutumnsGrove/Patina/backup/dump"
)

// FuzzReader reads anything: it must end, with EOF only where the whole holds
// together, and what Verify passes must be made of statements that end where
// the Reader says.
func FuzzReader(f *testing.F) {
	f.Add(smallText(f))
	f.Add(sampleText(f))
	f.Add([]byte("-- Patina SQL dump 1\n-- database: x (y)\n"))
	f.Add(bytes.Replace(smallText(f), []byte("it''s"), []byte("it's\x00"), 1))
	f.Fuzz(func(t *testing.T, text []byte) {
		r := dump.NewReader(bytes.NewReader(text), dump.ReaderOptions{MaxStatement: 1 << 16})
		for {
			s, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				if !errors.Is(err, dump.ErrCorrupt) {
					t.Fatalf("an error of no kind: %v", err)
				}
				return
			}
			if !bytes.Equal(text[s.Offset:s.Offset+int64(len(s.SQL))], s.SQL) || dump.StatementEnd(s.SQL) != len(s.SQL) {
				t.Fatalf("the statement at %d is not %q", s.Offset, s.SQL)
			}
			if err := dump.Allowed(s); err != nil && !errors.Is(err, dump.ErrRefused) {
				t.Fatal(err)
			}
		}
		c := r.Contents()
		if c.Size != int64(len(text)) || c.SHA256 != shaHex(text) {
			t.Fatalf("a dump of %d bytes is taken as one of %d", len(text), c.Size)
		}
		for _, s := range c.Sections {
			if shaHex(text[s.Offset:s.Offset+s.Length]) != s.SHA256 {
				t.Fatalf("section %q is not at its offset", s.Name)
			}
		}
	})
}

// FuzzLexer lexes anything: every byte is in one token, none is empty, and
// what is found in a text as a whole is found in its first statement alone.
func FuzzLexer(f *testing.F) {
	f.Add([]byte("CREATE TRIGGER t AFTER DELETE ON a BEGIN SELECT CASE WHEN 1 THEN 2 END; END; SELECT 1;"))
	f.Add([]byte("INSERT INTO \"a\"\"b\" VALUES('it''s',X'00',-1.5e9,CAST(X'00' AS TEXT)); -- x\n/* y */"))
	f.Add([]byte("x'1 [a] `b` ?1 :a 0x1F 1_0 1x \xef\xbb\xbf\v\x00'"))
	f.Add(sampleText(f)[:1500])
	f.Fuzz(func(t *testing.T, src []byte) {
		l, at := dump.NewLexer(src), 0
		for {
			tok := l.Next()
			if tok.Start != at || tok.Kind != dump.TokenEnd && tok.End <= tok.Start || tok.Open && tok.End != len(src) {
				t.Fatalf("token %+v behind byte %d", tok, at)
			}
			if tok.Kind == dump.TokenEnd {
				break
			}
			at = tok.End
		}
		if at != len(src) {
			t.Fatalf("the tokens end at %d of %d", at, len(src))
		}
		if n := dump.StatementEnd(src); n >= 0 {
			if dump.StatementEnd(src[:n]) != n || dump.StatementEnd(src[:n-1]) >= 0 {
				t.Fatalf("the first statement of %q does not end at %d", src, n)
			}
			_ = dump.Allowed(dump.Classify(src[:n], 0))
		}
	})
}

// FuzzRoundTrip writes any names and values, reads the dump, and finds what
// SQLite makes of them the same.
func FuzzRoundTrip(f *testing.F) {
	for _, name := range hostile {
		f.Add(name, []byte(name), int64(len(name)), 1.5, uint8(3))
	}
	f.Add("t", []byte("COMMIT;\xff\x00\r\n"), int64(-1<<63), 13540.294578, uint8(250))
	f.Add("t", []byte("é'"), int64(1<<53+1), 4.1110880634468204e+119, uint8(255))
	f.Fuzz(func(t *testing.T, name string, value []byte, n int64, x float64, times uint8) {
		if bytes.IndexByte([]byte(name), 0) >= 0 || len(name) > 10_000 || len(value) > 10_000 || x != x || len(name) >= 7 && equalFold(name[:7], "sqlite_") {
			return
		}
		long := bytes.Repeat(value, int(times)*int(times)/4+1)
		if len(long) > 400_000 {
			long = long[:400_000]
		}
		kinds := []dump.Value{
			{Kind: dump.Text, Bytes: value},
			{Kind: dump.Text, Bytes: long},
			integer(strconv.FormatInt(n, 10)),
			{Kind: dump.Real, Bytes: realLiteral(x)},
			{Kind: dump.Blob, Bytes: upperHex(long)},
			{Kind: dump.Blob, Bytes: upperHex(value)},
			null,
		}
		var buf bytes.Buffer
		w := dump.NewWriter(&buf, dump.Header{Database: name, DatabaseID: name, JobID: string(value), TakenAt: testHeader.TakenAt})
		table := dump.Table{Name: name, SQL: "CREATE TABLE " + dump.QuoteIdent(name) + "(a,b,c,d,e,f,g)", Columns: []string{"a", "b", "c", "d", "e", "f", "g"}, AllColumns: true}
		check(t, w.BeginTable(table))
		check(t, w.Row(kinds))
		check(t, w.Row(kinds))
		check(t, w.EndTable())
		c, err := w.Finish(dump.Footer{})
		check(t, err)
		h, got, err := dump.Verify(bytes.NewReader(buf.Bytes()))
		check(t, err)
		sameContents(t, c, got)
		if h.Database != name || h.JobID != string(value) || got.Sections[0].Name != name || got.Rows != 2 {
			t.Fatalf("%q came back as %q with %d rows", name, h.Database, got.Rows)
		}
		db := load(t, buf.Bytes())
		var text, long2, blob, typed string
		var c2 int64
		var d float64
		check(t, db.QueryRow("SELECT hex(CAST(a AS BLOB)),hex(CAST(b AS BLOB)),c,d,hex(e),typeof(a)||typeof(b)||typeof(c)||typeof(d)||typeof(e)||typeof(f)||typeof(g) FROM "+dump.QuoteIdent(name)).Scan(&text, &long2, &c2, &d, &blob, &typed))
		if text != string(upperHex(value)) || long2 != string(upperHex(long)) || c2 != n || d != x || blob != long2 || typed != "texttextintegerrealblobblobnull" {
			t.Fatalf("%q %d %v came back as %s %d %v, %s", value, n, x, text, c2, d, typed)
		}
	})
}

func equalFold(a, b string) bool { return bytes.EqualFold([]byte(a), []byte(b)) }

func upperHex(b []byte) []byte {
	const digits = "0123456789ABCDEF"
	out := make([]byte, 0, 2*len(b))
	for _, c := range b {
		out = append(out, digits[c>>4], digits[c&15])
	}
	return out
}

func realLiteral(x float64) []byte {
	s := strconv.FormatFloat(x, 'g', -1, 64)
	if s[0] == '+' {
		s = s[1:]
	}
	return []byte(s)
}
