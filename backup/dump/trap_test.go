package dump_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup/dump"
)

func shaHex(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

func sameContents(t testing.TB, want, got dump.Contents) {
	t.Helper()
	if !reflect.DeepEqual(want, got) {
		t.Fatalf("contents differ:\nwant %+v\ngot  %+v", want, got)
	}
}

// Each trap is a database that some exporter changes or cannot restore.
func TestTraps(t *testing.T) {
	t.Parallel()
	big := func(unit string, n int) string { return strings.Repeat(unit, n/len(unit)+1)[:n] }
	hexOf := func(s string) string { return fmt.Sprintf("%X", s) }
	wide := func(n int, f func(i int) string) string {
		var s []string
		for i := range n {
			s = append(s, f(i))
		}
		return strings.Join(s, ",")
	}
	traps := map[string]string{
		"integers":           `CREATE TABLE t(a); INSERT INTO t VALUES(9223372036854775807),(-9223372036854775808),(9007199254740993),(0),(-1);`,
		"real that is whole": `CREATE TABLE t(a, b REAL, c INTEGER, d TEXT, e NUMERIC); INSERT INTO t VALUES(1.0,1,1.0,1.0,1.0),(-0.0,-0.0,-0.0,-0.0,-0.0),(1e15,1e15,1e15,1e15,1e15),(1e300,1e300,1e300,1e300,1e300);`,
		"infinite":           `CREATE TABLE t(a, b REAL); INSERT INTO t VALUES(9e999,-9e999),(1.7976931348623157e308,5e-324);`,
		"line feeds":         `CREATE TABLE t(a); INSERT INTO t VALUES('a'||char(10)||'\n'),(char(13,10)),(char(13)),(char(10)||';'||char(10)||'--'),('\r\n');`,
		"nul":                `CREATE TABLE t(a); INSERT INTO t VALUES('a'||char(0)||'b'),(char(0)),(CAST(X'00' AS TEXT)),(X'00'),(X''),('');`,
		"invalid utf-8":      `CREATE TABLE t(a); INSERT INTO t VALUES(CAST(X'FF' AS TEXT)),(CAST(X'EDA080' AS TEXT)),(CAST(X'C0AF' AS TEXT)),(CAST(X'E282' AS TEXT)),(CAST(X'F8' AS TEXT)),(char(0xfffd));`,
		"marks":              `CREATE TABLE t(a); INSERT INTO t VALUES(char(0xfeff)||'x'),(char(0x202e)||'abc'||char(0x2066)),(char(0x1f600)),(char(0x2028)),(char(27)||'[31m');`,
		"transactions":       `CREATE TABLE t(a); INSERT INTO t VALUES('COMMIT;'),('commit;'),('begin transaction;'),('x BEGIN TRANSACTION; y'),('COMMIT'),(';COMMIT ;');`,
		"quotes":             `CREATE TABLE t(a); INSERT INTO t VALUES(''''),(''''''),('it''s'),('"'),('X''41'''),(''');DROP TABLE t;--'),('/*'),('*/'),('--');`,
		"booleans and dates": `CREATE TABLE t(a BOOLEAN, b DATETIME); INSERT INTO t VALUES(TRUE,'2026-11-23'),(0,1700000000),(NULL,NULL);`,
		"affinity":           `CREATE TABLE t(a INT, b TEXT, c BLOB, d REAL, e); INSERT INTO t VALUES('x',12,34,'y',X'01'),(1.5,X'31','1',2,'2'); CREATE TABLE s(a ANY, b TEXT) STRICT; INSERT INTO s VALUES('1','1'),(1,'x'),(1.0,'');`,
		"rowids":             `CREATE TABLE t(a); INSERT INTO t(rowid,a) VALUES(-5,'x'),(0,'z'),(7,'y'),(9223372036854775807,'m'),(-9223372036854775808,'n');`,
		"hidden rowid":       `CREATE TABLE t(rowid TEXT, a); INSERT INTO t(_rowid_,rowid,a) VALUES(9,'r',1),(3,'s',2); CREATE TABLE u(rowid, _rowid_); INSERT INTO u(oid,rowid,_rowid_) VALUES(4,'r',1); CREATE TABLE v(rowid,_rowid_,oid); INSERT INTO v VALUES(1,2,3);`,
		"integer key":        `CREATE TABLE t(id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES(-1,'x'),(9007199254740993,'y'); CREATE TABLE d(id INTEGER PRIMARY KEY DESC, a); INSERT INTO d(rowid,id,a) VALUES(5,1,'z');`,
		"without rowid":      `CREATE TABLE t(a TEXT, b, PRIMARY KEY(a,b)) WITHOUT ROWID; INSERT INTO t VALUES('b',2),('a',1),('a',X'00');`,
		"generated":          `CREATE TABLE t(a, b AS (a+1), c, d AS (a||c) STORED); INSERT INTO t(a,c) VALUES(1,'x'),(NULL,2.5);`,
		"autoincrement":      `CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, a); INSERT INTO t(a) VALUES(1),(2),(3); DELETE FROM t WHERE id>1; CREATE TABLE u(id INTEGER PRIMARY KEY AUTOINCREMENT);`,
		"sequence left over": `CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, a); INSERT INTO t(a) VALUES(1); DROP TABLE t; CREATE TABLE u(a); INSERT INTO u VALUES(1);`,
		"statistics":         `CREATE TABLE t(a,b); CREATE INDEX i ON t(a); CREATE INDEX j ON t(b) WHERE a>1; INSERT INTO t VALUES(1,2),(1,3),(2,4); ANALYZE;`,
		"cycle and orphans":  `PRAGMA foreign_keys=OFF; CREATE TABLE a(id INTEGER PRIMARY KEY, b REFERENCES b(id) ON DELETE CASCADE); CREATE TABLE b(id INTEGER PRIMARY KEY, a REFERENCES a(id)); INSERT INTO a VALUES(1,2),(3,99); INSERT INTO b VALUES(2,1); CREATE TABLE self(id INTEGER PRIMARY KEY, up REFERENCES self); INSERT INTO self VALUES(1,2),(2,NULL);`,
		"checks":             `CREATE TABLE t(a TEXT CHECK(length(a)<5) UNIQUE, b DEFAULT 'x;y', c COLLATE NOCASE DEFAULT (1+2)); INSERT INTO t VALUES('a',1,2);`,
		"fts5":               `CREATE VIRTUAL TABLE f USING fts5(title, body, tokenize="porter unicode61"); INSERT INTO f(rowid,title,body) VALUES(3,'Grove','the oldest trees'),(9,'Patina','age as armor'); DELETE FROM f WHERE rowid=9;`,
		"rtree":              `CREATE VIRTUAL TABLE r USING rtree(id, minx, maxx); INSERT INTO r VALUES(1,-1.5,2.25),(7,0,0.1);`,
		"triggers and views": `CREATE TABLE t(a, b); CREATE VIEW v AS SELECT a, CASE WHEN b THEN 'y;' ELSE 'n' END AS c FROM t; CREATE TRIGGER i INSTEAD OF INSERT ON v BEGIN INSERT INTO t VALUES(new.a, CASE new.c WHEN 'y' THEN 1 END); END; CREATE TRIGGER u AFTER UPDATE OF a ON t WHEN new.a > 1 BEGIN SELECT CASE WHEN 1 THEN 2 END; UPDATE t SET b = 'END;' WHERE a = 1; /* ; END; */ DELETE FROM t WHERE 0; -- ; END ;
 END; INSERT INTO v VALUES(1,'y');`,
		"comments":      "CREATE TABLE a(x) -- the end\n; CREATE TABLE b(x /* ; */, -- ; '\n y) /* tail ; */; CREATE VIEW v AS SELECT 1 -- not a ; or '\n; CREATE VIEW w AS SELECT 1 /* '; */;CREATE INDEX i ON a(x) -- why\n; INSERT INTO a VALUES(1); INSERT INTO b VALUES(1,2); CREATE VIEW z AS SELECT '--', \"a--b\".x FROM a AS \"a--b\";",
		"long text":     `CREATE TABLE t(a, b); INSERT INTO t VALUES('` + strings.Repeat("é漢😀''x ", 2_000_000/13) + `',NULL);`,
		"long blob":     `CREATE TABLE t(a, b); INSERT INTO t VALUES(zeroblob(2000000), 1),(randomblob(2000000), randomblob(100000));`,
		"long nul text": `CREATE TABLE t(a, b); INSERT INTO t VALUES(CAST(X'` + hexOf(big("漢\x00'\r\n;COMMIT;\xff", 2_000_000)) + `' AS TEXT), 'short');`,
		"quotes alone":  `CREATE TABLE t(a); INSERT INTO t VALUES('` + strings.Repeat("''", 99_000) + `'),('` + strings.Repeat("''", 2_000_000) + `');`,
		"the limit":     `CREATE TABLE t(a); INSERT INTO t(rowid,a) VALUES(1,'` + big("x", 99_966) + `'),(2,'` + big("x", 99_967) + `'),(3,'` + big("x", 99_962) + `'),(4,'` + big("x", 99_963) + `'),(5,'` + big("x", 99_964) + `'),(6,'` + big("x", 99_965) + `');`,
		"100 wide":      `CREATE TABLE t(` + wide(100, func(i int) string { return fmt.Sprint("c", i) }) + `); INSERT INTO t VALUES(` + wide(100, func(i int) string { return "'" + big(fmt.Sprint("é", i), 2000) + "'" }) + `),(` + wide(100, func(i int) string { return "randomblob(2000)" }) + `);`,
		"stage's name":  `CREATE TABLE patina_stage(a); INSERT INTO patina_stage VALUES('` + big("x", 200_000) + `'); CREATE TABLE "PATINA_STAGE_2"(a); INSERT INTO patina_stage_2 VALUES(1); CREATE TABLE t(a); INSERT INTO t VALUES(zeroblob(70000)); CREATE INDEX patina_stage_3 ON t(a);`,
		"long in fts5":  `CREATE VIRTUAL TABLE f USING fts5(body); INSERT INTO f VALUES('` + big("tree leaf ", 300_000) + `');`,
		"empty":         ``,
	}
	for name, setup := range traps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openSQLite(t)
			exec(t, db, setup)
			roundTrip(t, db)
		})
	}
}

// hostile are names that break out of whatever does not quote or escape.
var hostile = []string{
	`x";DROP TABLE users;--`, "a'b", "a\nb", "a\r\nb", "-- table: x", "*/ /*", "a`b", "a]b[", "a.b", "select", " ", "  lead", "trail  ",
	"\x01\x1b[31m\x7f", "\u202eevil\u2066", "\ufeff", "naïve 漢 😀", `back\slash\u{41}`, "a;b", "(see footer)", "none", "1", "", "COMMIT;\nPRAGMA x;",
	strings.Repeat("long ", 2000), "patina_stage", "x (y)", ")",
}

func TestHostileNames(t *testing.T) {
	t.Parallel()
	for i, name := range hostile {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			db := openSQLite(t)
			q := dump.QuoteIdent
			exec(t, db, "CREATE TABLE "+q(name)+"("+q(name+" a")+","+q(name+" b")+" DEFAULT 1)")
			exec(t, db, "INSERT INTO "+q(name)+" VALUES(1,'"+strings.Repeat("z", 150_000)+"'),(2,3)")
			exec(t, db, "CREATE INDEX "+q(name+" i")+" ON "+q(name)+"("+q(name+" a")+")")
			exec(t, db, "CREATE VIEW "+q(name+" v")+" AS SELECT "+q(name+" b")+" FROM "+q(name))
			exec(t, db, "CREATE TRIGGER "+q(name+" t")+" AFTER DELETE ON "+q(name)+" BEGIN SELECT 1; END")
			text := roundTrip(t, db)
			_, c, err := dump.Verify(bytes.NewReader(text))
			check(t, err)
			if c.Sections[0].Name != name || c.Sections[0].Rows != 2 || c.Tables != 1 {
				t.Fatalf("section %.100q with %d rows", c.Sections[0].Name, c.Sections[0].Rows)
			}
		})
	}
}
