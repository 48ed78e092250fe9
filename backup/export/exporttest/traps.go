package exporttest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Trap is a small database in which something is hard to copy.
type Trap struct {
	Name       string
	Statements []string // that make it; each at most 100,000 bytes, as D1 takes
	Queries    []string // that must answer the same on the copy
	Unsafe     bool     // made only with foreign keys off, or with columns and values beyond D1's limits
	Lost       string   // a table whose rows no copy can hold; its finding's code is in Code
	Code       string   // of the finding that must be reported
	Import     string   // what D1's importer says to the dump, where it refuses it
	InPieces   string   // the same, where it commits in between
}

// Traps gives every trap, in a fixed order. They come from what Cloudflare's
// own export and the sqlite3 shell are known to get wrong.
func Traps() []Trap {
	return []Trap{
		{Name: "empty"},
		{Name: "empty-table", Statements: []string{`CREATE TABLE t(a, b)`, `CREATE TABLE u(id INTEGER PRIMARY KEY)`}},
		integers(), reals(), texts(), blobs(), types(),
		rowids(), shadowedRowids(), keys(), withoutRowid(), longKeys(),
		wide("columns-100", "", 100), wide("columns-100-key", "c0 INTEGER PRIMARY KEY", 100), wide("columns-99", "", 99),
		longValues(), longRows(), constrained(),
		cycles(), parents(), uniqueParent(), orphans(), uniqueSelf(), uniqueCycle(), laterSelf(), laterCycle(), mismatched(), missingParent(),
		names(), comments(), schemaKinds(), sequences(), droppedSequence(), statistics(),
		fts(), externalFTS(), contentlessFTS(), rtree(),
		manyTables(), migrations(), commit(),
	}
}

func integers() Trap {
	t := Trap{Name: "integers", Statements: []string{`CREATE TABLE i(typed INTEGER, untyped, big BIGINT, txt TEXT)`}}
	for _, n := range []string{
		"0", "1", "-1", "9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740993",
		"9223372036854775807", "-9223372036854775808", "-9223372036854775807", "4611686018427387905",
	} {
		if n == "-9223372036854775808" {
			n = "(-9223372036854775807 - 1)"
		}
		t.Statements = append(t.Statements, fmt.Sprintf("INSERT INTO i VALUES(%s, %[1]s, %[1]s, CAST(%[1]s AS TEXT))", n))
	}
	return t
}

func reals() Trap {
	t := Trap{Name: "reals", Statements: []string{`CREATE TABLE r(typed REAL, untyped, num NUMERIC)`}}
	list := []string{"1.0", "-0.0", "0.0", "9e999", "-9e999", "1e18", "1e19", "-1e17", "9007199254740993.0", "2.0e-5"}
	for _, f := range []float64{
		0.1, 1.0 / 3, math.MaxFloat64, math.SmallestNonzeroFloat64, -math.MaxFloat64, 2.2250738585072014e-308,
		2.225073858507201e-308, 5e-324, 1.7976931348623155e308, 123456789012345680, 1e23, 8.41e21, 9.5e-300, math.Pi, 4.35, 0.3,
	} {
		list = append(list, strconv.FormatFloat(f, 'e', -1, 64))
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for len(list) < 400 {
		f := math.Float64frombits(rnd.Uint64())
		if !math.IsNaN(f) && !math.IsInf(f, 0) {
			list = append(list, strconv.FormatFloat(f, 'e', -1, 64))
		}
	}
	for _, f := range list {
		t.Statements = append(t.Statements, fmt.Sprintf("INSERT INTO r VALUES(%s, %[1]s, %[1]s)", f))
	}
	return t
}

// hexText writes text as hexadecimal: the trap, not the making of it, is tested.
func hexText(s string) string { return fmt.Sprintf("CAST(X'%X' AS TEXT)", s) }

func texts() Trap {
	t := Trap{Name: "texts", Statements: []string{`CREATE TABLE s(a TEXT, b)`}}
	for _, s := range []string{
		"", "a", "it's", `"`, "''", "\x00", "a\x00b", "\x00\x00", "a\rb", "a\r\nb", "a\nb", "a\n\\nb", `\n`, "\t",
		"\xff", "a\xc3", "\xed\xa0\x80", "\xf0\x9f\x98", "�", "a�b\xff", "\ufeffbom", "\u202eevil\u202c", "😀é", "e\u0301",
		"COMMIT;", "commit;\nBEGIN TRANSACTION;", "PRAGMA foreign_keys=ON;", "-- table: s", "-- tables: 1", "INSERT INTO s VALUES(1)", "');DROP TABLE s;--",
		"t", "x41", "X'41'", "NULL", "1", "1.0", "9e999", "Inf", "T", "B", strings.Repeat("'", 1000), strings.Repeat("\r", 500), "\x01\x1f\x7f", "\u2028\u2029\u0085",
	} {
		t.Statements = append(t.Statements, fmt.Sprintf("INSERT INTO s VALUES(%s, %[1]s)", hexText(s)))
	}
	t.Statements = append(t.Statements, `INSERT INTO s VALUES(NULL, NULL)`)
	return t
}

func blobs() Trap {
	t := Trap{Name: "blobs", Statements: []string{`CREATE TABLE b(a BLOB, t TEXT, n INTEGER)`}}
	for _, b := range []string{"", "\x00", "\x00\xff\xfe", "text", "\r\n", "'"} {
		t.Statements = append(t.Statements, fmt.Sprintf("INSERT INTO b VALUES(X'%X', X'%[1]X', X'%[1]X')", b))
	}
	return t
}

func types() Trap {
	return Trap{Name: "types", Statements: []string{
		`CREATE TABLE st(i INTEGER NOT NULL, r REAL, t TEXT, b BLOB, a ANY) STRICT`,
		`INSERT INTO st VALUES(1, 2, 'x', X'00', 1)`,
		`INSERT INTO st VALUES(1, 2.5, 'x', X'00', 1.0)`,
		`INSERT INTO st VALUES(1, 2.5, '1', X'00', '1')`,
		`INSERT INTO st VALUES(1, 9e999, NULL, NULL, X'31')`,
		`CREATE TABLE af(v VARCHAR(10), d DATETIME, n NUMERIC, f FLOAT, bo BOOLEAN, nada)`,
		`INSERT INTO af VALUES(12, '2026-11-23T03:00:00Z', '1e3', 1, true, true)`,
		`INSERT INTO af VALUES('12', 20261123, 'abc', '1', false, 1.0)`,
		`INSERT INTO af VALUES(1.5, 1.5, 1.5, 1.5, 1.5, '1.5')`,
		`INSERT INTO af VALUES(NULL, NULL, NULL, NULL, NULL, NULL)`,
		`CREATE TABLE gen(a INTEGER, v AS (a * 2), s AS (a || 'x') STORED, b TEXT)`,
		`INSERT INTO gen(a, b) VALUES(1, 'one'), (2, NULL)`,
		`CREATE TABLE def(id INTEGER PRIMARY KEY, at TEXT DEFAULT (datetime('now')), n DEFAULT 7, s TEXT DEFAULT 'it''s')`,
		`INSERT INTO def(id) VALUES(5)`,
	}}
}

func rowids() Trap {
	return Trap{Name: "rowids", Statements: []string{
		`CREATE TABLE r(a TEXT)`,
		`INSERT INTO r(rowid, a) VALUES(-9223372036854775807 - 1, 'least'), (-5, 'below'), (0, 'zero'), (7, 'gap'), (9007199254740992, 'even'), (9007199254740993, 'odd'), (9223372036854775807, 'most')`,
		`CREATE TABLE k(id INTEGER PRIMARY KEY, a)`,
		`INSERT INTO k VALUES(-9223372036854775807 - 1, 1), (-1, 2), (9007199254740992, 3), (9007199254740993, 4), (9223372036854775807, 5)`,
	}}
}

func shadowedRowids() Trap {
	return Trap{Name: "rowids-shadowed", Statements: []string{
		`CREATE TABLE one(rowid TEXT, a)`, `INSERT INTO one(_rowid_, rowid, a) VALUES(-3, 'x', 1), (10, 'a', 2)`,
		`CREATE TABLE two(RowId TEXT, "_ROWID_" INT)`, `INSERT INTO two(oid, rowid, _rowid_) VALUES(-3, 'x', 1), (10, 'a', 2)`,
		`CREATE TABLE three(rowid, _rowid_, oid)`, `INSERT INTO three VALUES('b', 2, 3), ('a', 1, NULL), ('b', 2, 3)`,
		`CREATE INDEX three_rowid ON three(rowid)`,
		`CREATE TABLE alias(rowid INTEGER PRIMARY KEY, oid TEXT)`, `INSERT INTO alias VALUES(-8, 'x'), (9, 'y')`,
		`CREATE TABLE c0(c0, c1, t0)`, `INSERT INTO c0 VALUES(3, 1, 'x'), (1, 2, 'y'), (2, 3, 'z')`,
	}, Code: "rowid-unreachable"}
}

func keys() Trap {
	return Trap{Name: "keys", Statements: []string{
		`CREATE TABLE quirk(id INTEGER PRIMARY KEY DESC, a)`, `INSERT INTO quirk(rowid, id, a) VALUES(5, 30, 'x'), (6, NULL, 'y'), (-7, 10, 'z')`,
		`CREATE TABLE i(id INT PRIMARY KEY, a)`, `INSERT INTO i(rowid, id, a) VALUES(5, 30, 'x'), (6, 20, 'y'), (-7, NULL, 'z')`,
		`CREATE TABLE late(a TEXT, id INTEGER, PRIMARY KEY(id))`, `INSERT INTO late VALUES('x', 30), ('y', -20)`,
		`CREATE TABLE pair(a, b, PRIMARY KEY(a, b))`, `INSERT INTO pair(rowid, a, b) VALUES(9, 1, 2), (4, NULL, 2), (2, NULL, 2)`,
		`CREATE TABLE txt(id TEXT PRIMARY KEY)`, `INSERT INTO txt(rowid, id) VALUES(9, 'a'), (4, NULL), (2, 'b')`,
		`CREATE UNIQUE INDEX pair_b ON pair(b, a DESC) WHERE a IS NOT NULL`,
	}}
}

func withoutRowid() Trap {
	t := Trap{Name: "without-rowid", Statements: []string{
		`CREATE TABLE w(a TEXT COLLATE NOCASE, b ANY, c, PRIMARY KEY(a, b DESC)) WITHOUT ROWID`,
		`INSERT INTO w VALUES('B', 1, 'x'), ('b', 2, 'y'), ('a', 'text', 'z'), ('a', X'00', 'q'), ('a', 1.5, 'r'), ('a', ` + hexText("z\x00") + `, 's'), ('', '', '')`,
		`CREATE TABLE d(a, b, PRIMARY KEY(a DESC, b DESC)) WITHOUT ROWID`,
		`INSERT INTO d VALUES(1, 2), (1, 1), (2, 9), ('x', 1), (X'ff', 3), (0.5, 1)`,
		`CREATE TABLE k(k PRIMARY KEY) WITHOUT ROWID`,
		`CREATE TABLE ik(v, id INTEGER PRIMARY KEY) WITHOUT ROWID`,
		`INSERT INTO ik VALUES('a', 9223372036854775807), ('b', -1), ('c', 9007199254740993), ('d', 9007199254740992)`,
		`CREATE TABLE part(a, b TEXT, c, PRIMARY KEY(c COLLATE RTRIM, a)) WITHOUT ROWID`,
		`INSERT INTO part VALUES(1, 'x', 'b  '), (2, 'y', 'b'), (3, 'z', 'a')`,
	}}
	for i, s := range []string{"", "a", "a\x00", "a\x00b", "b\rc", "\xff", "�", "9", "10", "1e999"} {
		t.Statements = append(t.Statements, fmt.Sprintf("INSERT INTO k VALUES(%s)", hexText(s)), fmt.Sprintf("INSERT INTO k VALUES(%d), (%d.25), (X'%X')", i, i, s+"!"))
	}
	return t
}

func longKeys() Trap {
	return Trap{Name: "long-keys", Statements: []string{
		`CREATE TABLE lk(k TEXT PRIMARY KEY, v) WITHOUT ROWID`,
		`INSERT INTO lk SELECT printf('%.*c%d', 60000, 'k', value), value FROM json_each('[1,2,3,4,5,6,7]')`,
		`INSERT INTO lk VALUES('a', 0), ('z', 9)`,
	}}
}

// wide is a table of n columns, with the first of them as given.
func wide(name, first string, n int) Trap {
	columns, values := make([]string, n), make([]string, n)
	for i := range columns {
		columns[i] = fmt.Sprintf("c%d", i)
		values[i] = []string{fmt.Sprint(i), fmt.Sprintf("'v%d'", i), fmt.Sprintf("%d.5", i), "NULL", fmt.Sprintf("X'%02X'", i)}[i%5]
	}
	if first != "" {
		columns[0] = first
	}
	values2 := make([]string, n)
	copy(values2, values)
	values2[0], values2[n-1] = "-4", "'last'"
	return Trap{Name: name, Statements: []string{
		"CREATE TABLE wide(" + strings.Join(columns, ", ") + ")",
		"INSERT INTO wide VALUES(" + strings.Join(values, ", ") + ")",
		"INSERT INTO wide VALUES(" + strings.Join(values2, ", ") + ")",
		"INSERT INTO wide(c1) VALUES('alone')",
	}}
}

// LongestRestored is the longest value that comes back through D1's importer:
// a row may have 2,000,000 bytes with all that belongs to it.
const LongestRestored = 1_999_000

func longValues() Trap {
	return Trap{Name: "long-values", Statements: []string{
		`CREATE TABLE l(id INTEGER PRIMARY KEY, v)`,
		fmt.Sprintf(`INSERT INTO l VALUES(1, replace(hex(zeroblob(%d)), '00', 'xy'))`, LongestRestored/2),
		fmt.Sprintf(`INSERT INTO l VALUES(2, CAST(replace(hex(zeroblob(%d)), '00', 'xy') AS BLOB))`, LongestRestored/2),
		`INSERT INTO l VALUES(3, replace(hex(zeroblob(400000)), '00', 'é'''))`,
		`INSERT INTO l VALUES(4, CAST(replace(hex(zeroblob(400000)), '00', 'a' || char(0) || char(13)) AS TEXT))`,
		`INSERT INTO l VALUES(5, CAST(replace(hex(zeroblob(300000)), '00', X'FF41') AS TEXT))`,
		`INSERT INTO l VALUES(6, zeroblob(999998))`, `INSERT INTO l VALUES(7, zeroblob(999999))`, `INSERT INTO l VALUES(8, zeroblob(1000000))`,
		`INSERT INTO l VALUES(9, replace(hex(zeroblob(99900)), '00', 'q'))`,
		`INSERT INTO l VALUES(10, replace(hex(zeroblob(100000)), '00', 'q'))`,
		`INSERT INTO l VALUES(11, replace(hex(zeroblob(1)), '00', 'short'))`,
	}}
}

func longRows() Trap {
	columns, values := make([]string, 100), make([]string, 100)
	for i := range columns {
		columns[i] = fmt.Sprintf("column_number_%d", i)
		values[i] = fmt.Sprintf("replace(hex(zeroblob(%d)), '00', '%c''')", 1000+i, 'a'+i%26)
	}
	return Trap{Name: "long-rows", Statements: []string{
		"CREATE TABLE lr(" + strings.Join(columns, ", ") + ")",
		"INSERT INTO lr VALUES(" + strings.Join(values, ", ") + ")",
		"INSERT INTO lr(column_number_5) VALUES('short')",
		"INSERT INTO lr VALUES(" + strings.Join(values, ", ") + ")",
	}}
}

func constrained() Trap {
	return Trap{Name: "constrained", Statements: []string{
		`CREATE TABLE c(id INTEGER PRIMARY KEY, u TEXT UNIQUE NOT NULL CHECK (length(u) > 3), b BLOB CHECK (typeof(b) = 'blob'))`,
		`INSERT INTO c VALUES(1, replace(hex(zeroblob(150000)), '00', 'u'), zeroblob(150000))`,
		`INSERT INTO c VALUES(2, replace(hex(zeroblob(150001)), '00', 'u'), zeroblob(3))`,
		`CREATE TABLE "_patina_long"(a)`, `INSERT INTO "_patina_long" VALUES(1)`,
	}}
}

func names() Trap {
	t := Trap{Name: "names"}
	for i, n := range []string{`a"b`, `a'b`, "a`b", "a[b]", "a b", "select", "a;b", "a--b", "a/*b*/", "é😀", "a\nb", "a.b", "%s%d", "x\u202ey", `"`, "1", "-", "<script>alert(1)</script>", strings.Repeat("n", 200), "a\\b", "t0", "ROWID", "COMMIT;"} {
		q := ident(n)
		t.Statements = append(t.Statements,
			fmt.Sprintf("CREATE TABLE %s(%[1]s TEXT, [other col] INT)", q),
			fmt.Sprintf("INSERT INTO %s VALUES('v%d', %[2]d), (NULL, NULL)", q, i),
			fmt.Sprintf("CREATE INDEX %s ON %s(%s)", ident("idx "+n), q, q),
			fmt.Sprintf("CREATE VIEW %s AS SELECT %s AS v FROM %[2]s", ident("view "+n), q),
			fmt.Sprintf("CREATE TRIGGER %s AFTER INSERT ON %s BEGIN DELETE FROM %[2]s WHERE 0; END", ident("trigger "+n), q))
	}
	return t
}

func comments() Trap {
	return Trap{Name: "comments", Statements: []string{
		"CREATE TABLE a(x -- the last column\n)", "CREATE TABLE b(x) -- ends in a comment",
		"CREATE TABLE c(x /* ; */, y DEFAULT ';' /* '' */) -- it's", "CREATE TABLE d(x) /* closed */", "CREATE TABLE e(x)\n\n  ",
		"CREATE TABLE\n  f ( x ) -- one\n-- two", "CREATE INDEX i ON a(x) -- index", "CREATE VIEW v AS SELECT 1 AS x -- view", "CREATE TABLE g(x DEFAULT '--')",
		"CREATE TRIGGER tr AFTER INSERT ON a BEGIN SELECT CASE WHEN new.x THEN 1 ELSE ';' END; /* END; */ UPDATE a SET x = 'END;' WHERE 0; END -- done",
		"CREATE TRIGGER \"end\" AFTER UPDATE ON a WHEN old.x <> new.x BEGIN INSERT INTO b VALUES(new.x); -- end;\nEND",
		"INSERT INTO a VALUES(1), (2)",
		"CREATE TABLE h(\r\n  x TEXT,\r\n  y TEXT\r\n)", "INSERT INTO h VALUES('a', 'b')",
	}}
}

func schemaKinds() Trap {
	return Trap{Name: "schema", Statements: []string{
		`CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE, b, UNIQUE(a, b) ON CONFLICT IGNORE)`,
		`INSERT INTO t VALUES(1, 'x', 1), (2, 'X', 2)`,
		`CREATE INDEX i1 ON t(a COLLATE RTRIM DESC, b)`, `CREATE UNIQUE INDEX i2 ON t(lower(a), b) WHERE b > 0`, `CREATE INDEX i3 ON t(b || a)`,
		`CREATE VIEW v1 AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 3) SELECT x FROM n`,
		`CREATE VIEW a_v2(p, q) AS SELECT a, x FROM t JOIN v1`,
		`CREATE TRIGGER io INSTEAD OF INSERT ON a_v2 BEGIN INSERT INTO t(a, b) VALUES(new.p, new.q); END`,
		`CREATE TRIGGER z_first AFTER INSERT ON t BEGIN UPDATE t SET b = b + 1 WHERE id = new.id; END`,
		`CREATE TRIGGER a_second AFTER INSERT ON t BEGIN UPDATE t SET b = b * 2 WHERE id = new.id; END`,
		`CREATE TABLE IF NOT EXISTS "quoted" ("id" integer primary key)`,
		`CREATE TABLE made AS SELECT 1 AS one, 'two' AS "t wo"`,
		`CREATE TABLE alt(a)`, `ALTER TABLE alt ADD COLUMN b DEFAULT 'd'`, `INSERT INTO alt(a) VALUES(1)`, `ALTER TABLE alt RENAME COLUMN a TO "a a"`, `ALTER TABLE alt RENAME TO "al t"`,
	}, Queries: []string{`SELECT p, q FROM a_v2 ORDER BY 1, 2`, `SELECT x FROM v1`}}
}

func sequences() Trap {
	return Trap{Name: "sequences", Statements: []string{
		`CREATE TABLE a(id INTEGER PRIMARY KEY AUTOINCREMENT, v)`, `INSERT INTO a(v) VALUES('x'), ('y'), ('z')`, `DELETE FROM a WHERE id > 1`,
		`CREATE TABLE b(id INTEGER PRIMARY KEY AUTOINCREMENT)`, `CREATE TABLE c(id INTEGER PRIMARY KEY AUTOINCREMENT)`, `INSERT INTO c VALUES(9007199254740993)`,
	}}
}

func droppedSequence() Trap {
	return Trap{Name: "sequence-dropped", Statements: []string{
		`CREATE TABLE a(id INTEGER PRIMARY KEY AUTOINCREMENT)`, `INSERT INTO a DEFAULT VALUES`, `DROP TABLE a`,
		`CREATE TABLE t(x DEFAULT 'AUTOINCREMENT' /* autoincrement */)`,
	}}
}

func statistics() Trap {
	return Trap{Name: "statistics", Statements: []string{
		`CREATE TABLE t(a, b)`, `CREATE INDEX ta ON t(a)`, `INSERT INTO t SELECT value % 10, value FROM json_each('[1,2,3,4,5,6,7,8,9,10,11,12]')`, `ANALYZE`,
	}}
}

func fts() Trap {
	return Trap{Name: "fts5", Statements: []string{
		`CREATE VIRTUAL TABLE f USING fts5(title, body, tag UNINDEXED, prefix='2 3', tokenize="porter unicode61")`,
		`INSERT INTO f(rowid, title, body, tag) VALUES(-5, 'Old bark', 'the patina of copper', 1), (9, 'New leaf', 'running runs', X'00'), (9007199254740993, NULL, 'it''s', NULL)`,
		`INSERT INTO f(f, rank) VALUES('rank', 'bm25(10.0, 5.0)')`, `INSERT INTO f(f, rank) VALUES('automerge', 4)`,
		`CREATE VIRTUAL TABLE a_vocab USING fts5vocab('f', 'row')`,
	}, Queries: []string{`SELECT rowid FROM f WHERE f MATCH 'run' ORDER BY rowid`, `SELECT term, doc, cnt FROM a_vocab ORDER BY term`, `SELECT k, v FROM f_config WHERE k <> 'version' ORDER BY k`}}
}

func externalFTS() Trap {
	return Trap{Name: "fts5-external", Statements: []string{
		`CREATE TABLE posts(id INTEGER PRIMARY KEY, title TEXT, body TEXT)`,
		`CREATE VIRTUAL TABLE a_search USING fts5(title, body, content='posts', content_rowid='id')`,
		`CREATE TRIGGER posts_ai AFTER INSERT ON posts BEGIN INSERT INTO a_search(rowid, title, body) VALUES(new.id, new.title, new.body); END`,
		`CREATE TRIGGER posts_ad AFTER DELETE ON posts BEGIN INSERT INTO a_search(a_search, rowid, title, body) VALUES('delete', old.id, old.title, old.body); END`,
		`INSERT INTO posts VALUES(1, 'Grove', 'trees and moss'), (7, 'Forage', 'acorns'), (8, 'gone', 'gone')`, `DELETE FROM posts WHERE id = 8`,
	}, Queries: []string{`SELECT rowid, title FROM a_search WHERE a_search MATCH 'moss OR acorns' ORDER BY rowid`, `SELECT count(*) FROM a_search WHERE a_search MATCH 'gone'`}}
}

func contentlessFTS() Trap {
	return Trap{Name: "fts5-contentless", Statements: []string{
		`CREATE TABLE keep(a)`, `INSERT INTO keep VALUES(1)`,
		`CREATE VIRTUAL TABLE lost USING fts5(body, content='')`, `INSERT INTO lost(rowid, body) VALUES(1, 'no text is kept')`,
	}, Lost: "lost", Code: "fts5-contentless"}
}

func rtree() Trap {
	return Trap{Name: "rtree", Statements: []string{
		`CREATE VIRTUAL TABLE places USING rtree(id, x0, x1, y0, y1, +name TEXT, +extra)`,
		`INSERT INTO places VALUES(1, -80.774, -80.773, 35.377, 35.378, 'here', 1.0), (-7, 0.1, 0.2, 0.3, 0.4, NULL, X'00'), (9007199254740993, 1e10, 2e10, -1e-10, 1e-10, 'there', 'x')`,
		`CREATE VIRTUAL TABLE ints USING rtree_i32(id, a, b)`, `INSERT INTO ints VALUES(5, -2147483648, 2147483647), (6, 1, 1)`,
	}, Code: "module-refused", Queries: []string{`SELECT id FROM places WHERE x0 >= 0 AND x1 <= 1 ORDER BY id`}}
}

func manyTables() Trap {
	t := Trap{Name: "many-tables"}
	for i := range 120 {
		t.Statements = append(t.Statements, fmt.Sprintf("CREATE TABLE t%d(id INTEGER PRIMARY KEY, v)", i), fmt.Sprintf("INSERT INTO t%d VALUES(%[1]d, 'v')", i))
	}
	return t
}

func migrations() Trap {
	return Trap{Name: "migrations", Statements: []string{
		`CREATE TABLE d1_migrations(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)`,
		`INSERT INTO d1_migrations(name, applied_at) VALUES('0001_init.sql', '2026-01-02 03:04:05')`,
	}}
}

// commit holds the words that a well-known tool cuts out of a file.
func commit() Trap {
	return Trap{Name: "commit", Statements: []string{
		`CREATE TABLE "BEGIN TRANSACTION;"("COMMIT;" TEXT)`, `INSERT INTO "BEGIN TRANSACTION;" VALUES('COMMIT;'), ('begin transaction;')`,
	}}
}
