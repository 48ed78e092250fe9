package dump_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/AutumnsGrove/Patina/backup/dump"
)

// forged is a dump whose one table's section holds any bytes, with all hashes
// and sizes right: only what looks at the statements can refuse it.
func forged(section []byte) []byte {
	head := "-- Patina SQL dump 1\n-- database: x (y)\n-- taken: 2026-11-23T03:00:04Z   job: j   consistency: snapshot\n-- bookmark: none\n-- tables: see footer   rows: see footer\n"
	body := append([]byte("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n-- table: t\n"), section...)
	body = append(body, "COMMIT;\nPRAGMA foreign_keys=ON;\n"...)
	rows := 0
	for at := 0; ; {
		n := dump.StatementEnd(section[at:])
		if n < 0 {
			break
		}
		if s := dump.Classify(section[at:at+n], 0); s.Kind == dump.Insert && bytes.HasPrefix(section[at:], []byte(`INSERT INTO "t"`)) {
			rows++
		}
		if at += n; at < len(section) {
			at++
		}
	}
	out := append([]byte(head), body...)
	out = fmt.Appendf(out, "-- tables: 1   rows: %d   body-bytes: %d   duration: 0.001s\n-- consistency: snapshot   bookmark-after: none\n-- body-sha256: %x\n", rows, len(body), sha256.Sum256(body))
	return fmt.Appendf(out, "-- file-sha256: %x\n", sha256.Sum256(out))
}

func sectionSeeds() [][]byte {
	var out [][]byte
	for _, s := range []string{
		"DROP TABLE IF EXISTS \"t\";\nCREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, u REFERENCES t(id));\nINSERT INTO \"t\" VALUES(1,'it''s');\nCREATE INDEX i ON t(u);\n",
		"CREATE TABLE \"t\"(a,b) -- x\n;\nINSERT INTO \"t\"(rowid,\"a\",\"b\") VALUES(-1,CAST(X'00' AS TEXT),9e999);\n-- schema: triggers\nCREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN ';' END; UPDATE t SET a=t.b; END;\n",
		"CREATE TABLE t(a);\nCREATE TABLE \"patina_stage\"(c INTEGER,s INTEGER,v,PRIMARY KEY(c,s));\nINSERT INTO \"patina_stage\" VALUES(0,0,'x');\nINSERT INTO \"t\" VALUES((SELECT CAST(group_concat(v,'') AS TEXT) FROM(SELECT v FROM \"patina_stage\" WHERE c=0 ORDER BY s)));\nDELETE FROM \"patina_stage\";\nDROP TABLE \"patina_stage\";\n",
		"CREATE TABLE t(a);\nCREATE TABLE IF NOT EXISTS \"b\"(\"id\",UNIQUE(\"id\"));\nATTACH 'x' AS y;\n",
		"CREATE TABLE t(a);\nINSERT INTO \"t\" VALUES(load_extension('x'));\n",
		"CREATE TABLE t(a CHECK (t.a > 0), t);\nINSERT INTO \"t\" VALUES((1*2.0/4),NULL);\n-- schema: triggers\nCREATE TRIGGER \"end\" INSTEAD OF DELETE ON t BEGIN DELETE FROM t; -- end;\nEND;\n",
		"CREATE VIRTUAL TABLE t USING fts5(a, content='b''c');\n-- schema: fts\nINSERT INTO \"t\"(\"t\",rank) VALUES('rank','x');\n",
	} {
		out = append(out, []byte(s))
	}
	return out
}

// statements gives what the Reader finds of a dump, or its error.
func statements(text []byte) (all []dump.Statement, err error) {
	r := dump.NewReader(bytes.NewReader(text), dump.ReaderOptions{MaxStatement: 1 << 16})
	for {
		s, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		s.SQL = bytes.Clone(s.SQL)
		all = append(all, s)
	}
}

// FuzzForD1 gives D1 what a stranger wrote: what goes out is, statement by
// statement, what came in and was let through, and nothing else.
func FuzzForD1(f *testing.F) {
	for _, s := range sectionSeeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, section []byte) {
		text := forged(section)
		in, err := statements(text)
		var out bytes.Buffer
		errD1 := dump.ForD1(&out, bytes.NewReader(text))
		if err != nil {
			if errD1 == nil {
				t.Fatalf("the Reader says %v, and D1 gets\n%s", err, out.Bytes())
			}
			return
		}
		lint, refused := dump.NewLinter(), false
		for _, s := range in {
			refused = refused || dump.Allowed(s) != nil
			lint.Add(s)
		}
		if refused != errors.Is(errD1, dump.ErrRefused) || !refused && errD1 != nil {
			t.Fatalf("a statement is refused: %v; ForD1 says %v", refused, errD1)
		}
		if refused {
			if len(lint.Findings()) == 0 {
				t.Fatal("the Linter finds nothing")
			}
			return
		}
		rest := out.Bytes()
		want := [][]byte{[]byte("PRAGMA defer_foreign_keys=ON;")}
		for _, s := range in {
			if s.Kind != dump.Framing {
				want = append(want, s.SQL)
			}
		}
		for _, w := range want {
			for bytes.HasPrefix(rest, []byte("--")) {
				_, rest, _ = bytes.Cut(rest, []byte("\n"))
			}
			n := dump.StatementEnd(rest)
			if n < 0 || !bytes.Equal(rest[:n], w) {
				t.Fatalf("D1 gets %q where the dump has %q", rest, w)
			}
			rest = rest[n+1:]
		}
		if !bytes.HasPrefix(rest, []byte("-- the end: ")) || bytes.Count(rest, []byte("\n")) != 1 {
			t.Fatalf("behind it all stands %q", rest)
		}
	})
}

// FuzzOneTable takes the table of a stranger's dump out of it, also under
// another name: it ends with an error of a kind, or in statements that make and
// fill that table and nothing else.
func FuzzOneTable(f *testing.F) {
	for _, s := range sectionSeeds() {
		f.Add(s, "t_2")
		f.Add(s, `we"ird name`)
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, section []byte, as string) {
		if len(as) > 1000 {
			return
		}
		var out bytes.Buffer
		if err := dump.OneTable(&out, bytes.NewReader(forged(section)), "t", dump.TableOptions{ForD1: true, As: as}); err != nil {
			if !errors.Is(err, dump.ErrCorrupt) && !errors.Is(err, dump.ErrRefused) && !errors.Is(err, dump.ErrInvalid) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		name := as
		if name == "" {
			name = "t"
		}
		rest := out.Bytes()
		for {
			for bytes.HasPrefix(rest, []byte("--")) {
				_, rest, _ = bytes.Cut(rest, []byte("\n"))
			}
			n := dump.StatementEnd(rest)
			if n < 0 {
				if len(bytes.TrimSpace(rest)) > 0 {
					t.Fatalf("behind it all stands %q of %q", rest, out.Bytes())
				}
				return
			}
			s := dump.Classify(rest[:n], 0)
			mine := equalFold(s.Table, name) || equalFold(s.Table, "sqlite_sequence") || bytes.HasPrefix([]byte(s.Table), []byte("patina_stage"))
			switch s.Kind {
			case dump.Pragma:
				mine = string(s.SQL) == "PRAGMA defer_foreign_keys=ON;"
			case dump.CreateTable, dump.CreateVirtualTable, dump.CreateIndex, dump.CreateTrigger, dump.Insert, dump.Delete, dump.DropTable:
			default:
				mine = false
			}
			if !mine {
				t.Fatalf("as %q: %s of %q: %q\nof %q", as, s.Kind, s.Table, s.SQL, section)
			}
			rest = bytes.TrimPrefix(rest[n:], []byte("\n"))
		}
	})
}

// TestSeedsAreDumps: a fuzzer whose seeds the Reader turns away looks at nothing.
func TestSeedsAreDumps(t *testing.T) {
	t.Parallel()
	for _, s := range sectionSeeds() {
		in, err := statements(forged(s))
		check(t, err)
		err = dump.ForD1(io.Discard, bytes.NewReader(forged(s)))
		if hostile := bytes.Contains(s, []byte("ATTACH")) || bytes.Contains(s, []byte("load_extension")); len(in) < 5 || hostile != errors.Is(err, dump.ErrRefused) || !hostile && err != nil {
			t.Errorf("%q: %d statements, %v", s, len(in), err)
		}
	}
}
