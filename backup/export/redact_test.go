package export_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/backup/export"
	"github.com/AutumnsGrove/Patina/backup/object/objecttest"
	"github.com/AutumnsGrove/Patina/backup/source"
)

// redactFile exports a new SQLite file under rules; it gives the text of the
// dump, and the manifest.
func redactFile(t *testing.T, statements, rules []string) (string, *backup.Manifest, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db.sqlite")
	db := openSQLite(t, path)
	for _, s := range append([]string{"PRAGMA synchronous = OFF; VACUUM"}, statements...) {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%.200s: %v", s, err)
		}
	}
	src, err := source.OpenFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	parsed, err := backup.ParseRedactions(rules)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path + ".sql")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := export.ToFile(t.Context(), src, f, export.Request{Clock: fixed, Redact: parsed, HashKey: []byte("0123456789abcdef0123456789abcdef")})
	text, _ := os.ReadFile(path + ".sql")
	return string(text), m, err
}

// TestRulesThatDoNotFit: a rule that cannot be kept ends the export, in words,
// before anything is written; one that can be gives a copy that loads, and that
// a dump of what was loaded equals.
func TestRulesThatDoNotFit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, schema, rules, says string // rules apart by commas; says "" for a copy
	}{
		{"no table", `CREATE TABLE t(a)`, "u.a = null", "no such table"},
		{"no column", `CREATE TABLE t(a, b)`, "t.c = null", "it has a, b"},
		{"one of two", `CREATE TABLE t(a, b)`, "t.a = null, t.B2 = hash", "t.B2 → hash: the table t has no such column"},
		{"another case", `CREATE TABLE T(A)`, "t.a = null", ""},
		{"a view", `CREATE TABLE t(a); CREATE VIEW v AS SELECT a FROM t`, "v.a = null", "this is a view"},
		{"SQLite's own", `CREATE TABLE t(a INTEGER PRIMARY KEY AUTOINCREMENT)`, "sqlite_sequence.seq = null", "SQLite's and Cloudflare's own"},
		{"a shadow table", `CREATE VIRTUAL TABLE f USING fts5(a)`, "f_content.c0 = null", "inner table"},
		{"null, NOT NULL", `CREATE TABLE t(a NOT NULL)`, "t.a = null", "NOT NULL"},
		{"hash, NOT NULL", `CREATE TABLE t(a NOT NULL)`, "t.a = hash", ""},
		{"null, primary key", `CREATE TABLE t(a TEXT, b, PRIMARY KEY(b, a))`, "t.a = null", "primary key"},
		{"hash, primary key", `CREATE TABLE t(a TEXT PRIMARY KEY)`, "t.a = hash", ""},
		{"hash, integer primary key", `CREATE TABLE t(a INTEGER PRIMARY KEY)`, "t.a = hash", "whole numbers"},
		{"hash, without rowid", `CREATE TABLE t(a TEXT PRIMARY KEY, b) WITHOUT ROWID`, "t.a = hash", "in the order of this column"},
		{"hash, beside such a key", `CREATE TABLE t(a TEXT PRIMARY KEY, b) WITHOUT ROWID`, "t.b = hash", ""},
		{"generated", `CREATE TABLE t(a, b AS (a || 'x'))`, "t.b = null", "generated"},
		{"behind a generated one", `CREATE TABLE t(a, b AS (lower(a)), c AS (b || 'x') STORED)`, "t.a = hash", ""},
		{"generated, NOT NULL", `CREATE TABLE t(a, b AS (lower(a)) NOT NULL)`, "t.a = null", "NOT NULL"},
		{"generated, unique", `CREATE TABLE t(a, b AS (substr(a, 1, 2)) UNIQUE)`, "t.a = hash", "must be unique"},
		{"generated, JSON", `CREATE TABLE t(a, b AS (json_extract(a, '$.x')))`, "t.a = hash", "may not take the hash"},
		{"generated, JSON, null", `CREATE TABLE t(a, b AS (json_extract(a, '$.x')))`, "t.a = null", ""},
		{"generated of a generated one, JSON", `CREATE TABLE t(a, b AS (lower(a)), c AS (b ->> 'x'))`, "t.a = hash", "c is computed from it"},
		{"hash, CHECK", `CREATE TABLE t(a CHECK(length(a) = 1))`, "t.a = hash", "a CHECK looks"},
		{"null, CHECK", `CREATE TABLE t(a CHECK(length(a) = 1 AND a NOT IN ('x') OR a GLOB 'x*'))`, "t.a = null", ""},
		{"null, CHECK of null", `CREATE TABLE t(a, b, CONSTRAINT one CHECK((a IS NULL) + ("b" IS NULL) = 1))`, "t.b = null", "a CHECK looks"},
		{"null, CHECK of type", `CREATE TABLE t(a CHECK(typeof(a) = 'text'))`, "t.a = null", "a CHECK looks"},
		{"CHECK elsewhere", `CREATE TABLE t(a, b CHECK(b <> 'a'))`, "t.a = hash", ""},
		{"hash, STRICT", `CREATE TABLE t(a INTEGER) STRICT`, "t.a = hash", "STRICT"},
		{"null, STRICT", `CREATE TABLE t(a INTEGER) STRICT`, "t.a = null", ""},
		{"hash, STRICT text and blob", `CREATE TABLE t(a TEXT, b BLOB, c ANY) STRICT`, "t.a = hash, t.b = hash, t.c = hash", ""},
		{"default", `CREATE TABLE t(a, b TEXT DEFAULT 'correct horse')`, "t.b = null", "'correct horse'"},
		{"number as default", `CREATE TABLE t(a, b DEFAULT (123456))`, "t.b = null", "the default"},
		{"harmless default", `CREATE TABLE t(a, b TEXT DEFAULT (lower(hex(randomblob(16)))), c DEFAULT '', d DEFAULT (strftime('%Y-%m-%d %H:%M')))`, "t.b = null, t.c = hash, t.d = null", ""},
		{"parent, null", `CREATE TABLE t(a UNIQUE); CREATE TABLE u(b REFERENCES t(a))`, "t.a = null", "u.b references the column"},
		{"parent, hash", `CREATE TABLE t(a UNIQUE); CREATE TABLE u(b REFERENCES t(a))`, "t.a = hash", "u.b references the column"},
		{"child, hash", `CREATE TABLE t(a UNIQUE); CREATE TABLE u(b REFERENCES t(a))`, "u.b = hash", "give that the rule hash too"},
		{"child, null", `CREATE TABLE t(a UNIQUE); CREATE TABLE u(b REFERENCES t(a))`, "u.b = null", ""},
		{"both, hash", `CREATE TABLE t(a TEXT PRIMARY KEY); CREATE TABLE u(b VARCHAR REFERENCES t)`, "t.a = hash, u.b = hash", ""},
		{"both, by another type", `CREATE TABLE t(a TEXT PRIMARY KEY); CREATE TABLE u(b INTEGER REFERENCES t)`, "t.a = hash, u.b = hash", "collation or type"},
		{"both, by a collation", `CREATE TABLE t(a TEXT COLLATE NOCASE PRIMARY KEY); CREATE TABLE u(b TEXT REFERENCES t)`, "t.a = hash, u.b = hash", "collation or type"},
		{"hash, null", `CREATE TABLE t(a UNIQUE); CREATE TABLE u(b REFERENCES t(a))`, "u.b = null, t.a = hash", ""},
		{"unique", `CREATE TABLE t(a UNIQUE, b, UNIQUE(b, a))`, "t.a = hash, t.b = null", ""},
		{"unique by an expression", `CREATE TABLE t(a); CREATE UNIQUE INDEX i ON t(substr(a, 1, 3))`, "t.a = hash", "unique index i"},
		{"unique on a condition", `CREATE TABLE t(a, b); CREATE UNIQUE INDEX i ON t(b) WHERE a IS NULL`, "t.a = null", "unique index i"},
		{"unique, another condition", `CREATE TABLE t(a, b, c); CREATE UNIQUE INDEX i ON t(b COLLATE nocase DESC, a) WHERE c IS NULL`, "t.a = null", ""},
		{"index of JSON", `CREATE TABLE t(a); CREATE INDEX i ON t(json_extract(a, '$.x'))`, "t.a = hash", "the index i computes"},
		{"index of JSON, null", `CREATE TABLE t(a); CREATE INDEX i ON t(json_extract(a, '$.x'))`, "t.a = null", ""},
		{"index of lower", `CREATE TABLE t(a); CREATE INDEX i ON t(lower(a)) WHERE length(a) > 3`, "t.a = hash", ""},
		{"full text of its own", `CREATE VIRTUAL TABLE f USING fts5(a, b)`, "f.a = null, f.b = hash", ""},
		{"full text elsewhere", `CREATE TABLE t(a, b); CREATE VIRTUAL TABLE f USING fts5(a, content='t')`, "f.a = null", "redact the column there"},
		{"full text elsewhere, there", `CREATE TABLE t(a, b); CREATE VIRTUAL TABLE f USING fts5(a, content='t')`, "t.a = null", ""},
		{"contentless full text", `CREATE VIRTUAL TABLE f USING fts5(a, content='')`, "f.a = null", "take the rule away"},
		{"a full-text copy by name", `CREATE TABLE posts(a, b); CREATE VIRTUAL TABLE posts_fts USING fts5(b)`, "posts.b = null", "give posts_fts.b a rule too"},
		{"a full-text copy by trigger", `CREATE TABLE t(a, b); CREATE VIRTUAL TABLE f USING fts5(x); CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO f(x) VALUES(new.b); END`, "t.b = hash", "give f a rule too"},
		{"both of them", `CREATE TABLE t(a, b); CREATE VIRTUAL TABLE f USING fts5(x); CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO f(x) VALUES(new.b); END`, "t.b = hash, f.x = null", ""},
		{"R*Tree", `CREATE VIRTUAL TABLE r USING rtree(id, x0, x1)`, "r.x0 = null", "module rtree"},
		{"names", `CREATE TABLE "a.b ""c"("d = e", f)`, `"a.b ""c"."d = e" = null`, ""},
		{"named rowid", `CREATE TABLE t(rowid TEXT, oid, _rowid_)`, "t.rowid = hash, t.oid = null", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text, m, err := redactFile(t, []string{c.schema}, strings.Split(c.rules, ", "))
			if c.says != "" {
				if !errors.Is(err, backup.ErrInvalid) || !strings.Contains(err.Error(), c.says) || backup.Next(err) == "" || text != "" {
					t.Fatalf("%v; written: %q", err, text)
				}
				return
			}
			if err != nil || len(m.Redactions) != len(strings.Split(c.rules, ", ")) {
				t.Fatal(err, m)
			}
		})
	}
}

// TestRedactedRowsLoad: with rows in every one of them, what was allowed loads
// and gives the same dump again.
func TestRedactedRowsLoad(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ statements, rules []string }{
		"checks": {
			[]string{`CREATE TABLE t(a TEXT CHECK(length(a) > 1 AND a NOT IN ('x', 'y')), b INT CHECK(b > 0 OR a = 'zz'))`, `INSERT INTO t VALUES('zz', -1), ('yy', 1), (NULL, NULL)`},
			[]string{"t.a = null", "t.b = null"},
		},
		"keys": {
			[]string{`CREATE TABLE t(a TEXT PRIMARY KEY, b INT UNIQUE)`, `CREATE TABLE u(a TEXT REFERENCES t, self TEXT REFERENCES u(a), UNIQUE(a))`, `INSERT INTO t VALUES('x', 1), ('y', 2), ('z', NULL)`, `INSERT INTO u VALUES('x', 'y'), ('y', 'x'), (NULL, NULL)`},
			[]string{"t.a = hash", "t.b = null", "u.a = hash", "u.self = hash"},
		},
		"hidden rowids": {
			[]string{`CREATE TABLE t(rowid TEXT, oid, _rowid_)`, `INSERT INTO t VALUES('x', 1, 2), ('y', 3, 4), ('x', 5, 6)`},
			[]string{"t.rowid = hash", "t.oid = null"},
		},
		"generated": {
			[]string{`CREATE TABLE t(a TEXT, b AS (upper(a)) STORED, c AS (b || '!'))`, `CREATE INDEX i ON t(c, lower(a))`, `INSERT INTO t VALUES('x'), ('y'), (NULL)`},
			[]string{"t.a = hash"},
		},
		"numbers": {
			[]string{`CREATE TABLE t(a INTEGER, b REAL, c NUMERIC, d)`, `INSERT INTO t VALUES(1, 1.0, 1, 1.0), (9223372036854775807, -9e999, 9e999, 0.1), (-1, 1e300, 5e-324, X'')`},
			[]string{"t.a = hash", "t.b = hash", "t.c = hash", "t.d = hash"},
		},
		"wide": {
			[]string{`CREATE TABLE t(` + columnsOf(150) + `)`, `INSERT INTO t(c0, c75, c149) VALUES('a', 'b', 'c'), ('a', NULL, 'd')`},
			[]string{"t.c0 = hash", "t.c75 = null", "t.c149 = hash"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, m, err := redactFile(t, c.statements, c.rules)
			if err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(t.TempDir(), "dump.sql")
			if err := os.WriteFile(out, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			path, _ := load(t, out)
			src, err := source.OpenFile(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			again, err := export.Contents(t.Context(), src)
			if err != nil || again.BodySHA256 != m.BodySHA256 {
				t.Errorf("another body (%v):\n%s", err, text)
			}
		})
	}
}

func columnsOf(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("c", i)
	}
	return strings.Join(names, ", ")
}

// TestRefusedBeforeAnythingIsStored: nothing lies in the bucket, and no row was
// read.
func TestRefusedBeforeAnythingIsStored(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	id := a.make(t, "db", `CREATE TABLE users(id INTEGER PRIMARY KEY, password TEXT)`, `INSERT INTO users VALUES(1, 'secret')`)
	rules, err := backup.ParseRedactions([]string{"users.pasword = null"})
	if err != nil {
		t.Fatal(err)
	}
	before := a.DatabaseStats(id).RowsRead
	_, err = a.export(t, id, "db", func(r *export.Request) { r.Redact = rules })
	if !errors.Is(err, backup.ErrInvalid) || !strings.Contains(err.Error(), "users.pasword → null: the table users has no such column; it has id, password") {
		t.Error(err)
	}
	if keys := objecttest.Keys(t, a.bucket, ""); len(keys) > 0 {
		t.Errorf("stored: %q", keys)
	}
	if n := a.DatabaseStats(id).RowsRead - before; n > 20 {
		t.Errorf("%d rows were read", n)
	}
	_, err = a.export(t, id, "db", func(r *export.Request) {
		r.Redact = []backup.Redaction{{Table: "users", Column: "password", Rule: backup.RedactHash}}
	})
	if !errors.Is(err, backup.ErrInvalid) || !strings.Contains(backup.Next(err), "PATINA_SECRET") {
		t.Errorf("hash without a key: %v", err)
	}
}

// TestCopiedByATrigger: a trigger that may copy a redacted value is told of.
func TestCopiedByATrigger(t *testing.T) {
	t.Parallel()
	_, m, err := redactFile(t, []string{
		`CREATE TABLE t(a, b)`, `CREATE TABLE log(x)`,
		`CREATE TRIGGER g AFTER UPDATE ON t BEGIN INSERT OR IGNORE INTO log VALUES(old.b); END`,
	}, []string{"t.b = hash"})
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, f := range m.Findings {
		codes = append(codes, f.Code)
	}
	if got := strings.Join(codes, " "); got != "redaction-copied redacted" {
		t.Errorf("findings %q", got)
	}
}

// listening is a source that remembers everything it answered.
type listening struct {
	source.Source
	heard *strings.Builder
}

func (l listening) Read(ctx context.Context, statements []string, h backup.RowHandler) (backup.ReadStats, error) {
	return l.Source.Read(ctx, statements, hearing{h, l.heard})
}

type hearing struct {
	backup.RowHandler
	heard *strings.Builder
}

func (h hearing) Row(stmt int, cells []backup.Cell) error {
	for _, c := range cells {
		h.heard.Write(c.Bytes)
	}
	return h.RowHandler.Row(stmt, cells)
}

// TestNullNeverLeavesTheDatabase: neither in one transaction nor in pages nor in
// pieces is the value asked for.
func TestNullNeverLeavesTheDatabase(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	id := a.make(t, "db", `CREATE TABLE users(id INTEGER PRIMARY KEY, password TEXT, blob BLOB, pin INT)`,
		`INSERT INTO users VALUES(1, 'geheim', CAST('geheim' AS BLOB), 271828), (2, replace(zeroblob(20000), CAST(X'00' AS TEXT), 'geheim'), zeroblob(1900000), 271828)`)
	for name, limits := range map[string]export.Limits{"snapshot": {}, "paged": {SnapshotBytes: -1, PageRows: 1}} {
		var heard strings.Builder
		req := request("db")
		req.Limits, req.Redact = limits, []backup.Redaction{{Table: "users", Column: "password", Rule: backup.RedactNull}, {Table: "users", Column: "blob", Rule: backup.RedactNull}, {Table: "users", Column: "pin", Rule: backup.RedactNull}}
		m, err := export.Run(t.Context(), listening{source.D1(a.client, id, "db"), &heard}, a.bucket, req)
		if err != nil || m.Rows != 2 {
			t.Fatal(name, err)
		}
		for _, secret := range []string{"geheim", "67656865696D", "271828"} {
			if strings.Contains(heard.String(), secret) {
				t.Errorf("%s: %q came over the wire", name, secret)
			}
		}
	}
}
