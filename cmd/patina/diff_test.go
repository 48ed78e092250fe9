package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// twoDumps writes two dumps of one database, before and after the statements.
func twoDumps(t *testing.T, change string) (before, after string) {
	t.Helper()
	name, _ := sampleFile(t)
	dir := t.TempDir()
	before, after = filepath.Join(dir, "before.sql"), filepath.Join(dir, "after.sql")
	patina(t, nil, "export", name, "-o", before).want(t, exitDone)
	if _, err := openSQLite(t, name).Exec(change); err != nil {
		t.Fatal(err)
	}
	patina(t, nil, "export", name, "-o", after).want(t, exitDone)
	return before, after
}

const diffChange = `
	UPDATE author SET name = 'Ada' || char(27) || '[31m' WHERE id = 1;
	INSERT INTO author VALUES(5, char(10) || 'new ' || char(8238));
	DELETE FROM post WHERE rowid = 7;
	CREATE TABLE "tag
s"(a); INSERT INTO "tag
s" VALUES(NULL);
	ALTER TABLE post ADD COLUMN more DEFAULT 'x';
	DROP TRIGGER touch; CREATE INDEX author_name ON author(name);`

func TestDiffOfFiles(t *testing.T) {
	t.Parallel()
	before, after := twoDumps(t, diffChange)
	a := patina(t, nil, "diff", before, after).want(t, exitDone)
	for _, line := range []string{
		"table    author       changed  +1, ~1, 2 → 3 rows",
		"table    post         changed  -1, 3 → 2 rows, another definition, column +more",
		"index    author_name  added    on author", "trigger  touch        removed  on post",
	} {
		has(t, a.out, line)
	}
	has(t, a.out, "added    +1, 0 → 1 rows")
	if strings.Contains(a.out, "tag\ns") || strings.Contains(a.out, "it''s") {
		t.Errorf("a name breaks its line, or a row is shown:\n%s", a.out)
	}
	a = patina(t, nil, "diff", before, after, "--table", "author", "--rows").want(t, exitDone)
	has(t, a.out, `~ id=1 name: "Ada; COMMIT;" → "Ada\x1b[31m"`, `+ id=5 name="\nnew \u202e"`)
	if strings.Contains(a.out, "9007199254740993") || strings.Contains(a.out, "post  ") {
		t.Errorf("what is the same, or of another table, is shown:\n%s", a.out)
	}
	a = patina(t, nil, "diff", before, after, "--rows", "--limit", "1").want(t, exitDone)
	has(t, a.err, "3 more rows differ")
	a = patina(t, nil, "diff", before, after, "--rows", "--limit", "0").want(t, exitDone)
	has(t, a.out, "- rowid=7 author=1", `body="two\nlines"`, "weight=1e+300")

	var d struct {
		Same   bool
		Tables []struct {
			Name, Change          string
			Added, Removed        int
			SQLAfter, SQLBefore   string
			ComparedBy            string   `json:"compared_by"`
			ColumnsAdded          []string `json:"columns_added"`
			RowsBefore, RowsAfter int
		}
		Objects []struct{ Kind, Name, Change string }
		Other   []string
		Rows    []struct {
			Table, Change string
			Fields        []struct {
				Name          string
				Key           bool
				Before, After *struct{ Type, Value, Hex string }
			}
		}
	}
	decode(t, patina(t, nil, "diff", before, after, "--rows", "--json").want(t, exitDone).out, &d)
	if d.Same || len(d.Tables) != 3 || len(d.Objects) != 2 || len(d.Rows) != 4 || d.Other == nil || d.Tables[0].ComparedBy != "key" {
		t.Errorf("%+v", d)
	}
	if f := d.Rows[0].Fields; !f[0].Key || f[0].Before.Value != "1" || f[1].After.Value != "Ada\x1b[31m" {
		t.Errorf("%+v", d.Rows[0])
	}

	patina(t, nil, "diff", before, after, "--exit-code").want(t, exitError)
	same := patina(t, nil, "diff", before, before, "--exit-code").want(t, exitDone)
	has(t, same.out, "nothing differs")
}

func TestDiffOfOtherFiles(t *testing.T) {
	t.Parallel()
	before, after := twoDumps(t, diffChange)
	text, err := os.ReadFile(after)
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	for _, part := range [][]byte{text[:100], text[100:]} {
		z := gzip.NewWriter(&zipped)
		if _, err := z.Write(part); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	packed := after + ".gz"
	write(t, packed, zipped.String())
	if a, b := patina(t, nil, "diff", before, packed).want(t, exitDone), patina(t, nil, "diff", before, after).want(t, exitDone); a.out != b.out {
		t.Errorf("a compressed file differs otherwise:\n%s\n%s", a.out, b.out)
	}
	write(t, packed, zipped.String()[:zipped.Len()-9])
	patina(t, nil, "diff", before, packed).want(t, exitCorrupt)
	write(t, packed, "not gzip")
	patina(t, nil, "diff", before, packed).want(t, exitCorrupt)
	text[len(text)/2] ^= 1
	write(t, after, string(text))
	has(t, patina(t, nil, "diff", before, after).want(t, exitCorrupt).err, after)
	patina(t, nil, "diff", before, after+".none").want(t, exitError)
	has(t, patina(t, nil, "diff", before, before, "--table", "x").want(t, exitError).err, "no table x", "author, post")
	patina(t, nil, "diff", before).want(t, exitUsage)
	patina(t, nil, "diff", before, before, "--limit", "5").want(t, exitUsage)
	patina(t, nil, "diff", before, before, "--rows", "--limit", "-1").want(t, exitUsage)
}
