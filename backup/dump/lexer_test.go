package dump_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/AutumnsGrove/Patina/backup/dump"
)

var tokenNames = map[dump.TokenKind]string{
	dump.TokenSpace: "space", dump.TokenComment: "comment", dump.TokenWord: "word", dump.TokenQuoted: "quoted", dump.TokenString: "string",
	dump.TokenBlob: "blob", dump.TokenNumber: "number", dump.TokenVariable: "variable", dump.TokenPunct: "punct", dump.TokenIllegal: "illegal",
}

func tokens(src string) string {
	var out []string
	l := dump.NewLexer([]byte(src))
	for {
		t := l.Next()
		if t.Kind == dump.TokenEnd {
			return strings.Join(out, " ")
		}
		s := tokenNames[t.Kind] + "<" + src[t.Start:t.End] + ">"
		if t.Open {
			s += "open"
		}
		out = append(out, s)
	}
}

func TestLexer(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]string{
		"a_$é9":              "word<a_$é9>",
		"'it''s'x":           "string<'it''s'> word<x>",
		`"a""b"`:             `quoted<"a""b">`,
		"`a``b`":             "quoted<`a``b`>",
		"[a]]":               "quoted<[a]> punct<]>",
		"X'0a'x'0'":          "blob<X'0a'> illegal<x'0'>",
		"x'zz'":              "illegal<x'zz'>",
		"x'12":               "illegal<x'12>open",
		"x":                  "word<x>",
		"1 1.5 .5 5. 1e9":    "number<1> space< > number<1.5> space< > number<.5> space< > number<5.> space< > number<1e9>",
		"0xFf 1E-5 1e+ 1x":   "number<0xFf> space< > number<1E-5> space< > illegal<1e> punct<+> space< > illegal<1x>",
		"1_000 1__0":         "number<1_000> space< > illegal<1__0>",
		"? ?12 :a @b $c #d":  "variable<?> space< > variable<?12> space< > variable<:a> space< > variable<@b> space< > variable<$c> space< > variable<#d>",
		": .":                "punct<:> space< > punct<.>",
		"a--b\nc":            "word<a> comment<--b> space<\n> word<c>",
		"--b":                "comment<--b>open",
		"a-b->>c":            "word<a> punct<-> word<b> punct<-> punct<>> punct<>> word<c>",
		"/* ; ' */;":         "comment</* ; ' */> punct<;>",
		"/*/ */":             "comment</*/ */>",
		"/* a":               "comment</* a>open",
		"/*":                 "punct</> punct<*>",
		"a/b":                "word<a> punct</> word<b>",
		"'open":              "illegal<'open>open",
		`"open`:              `illegal<"open>open`,
		"[open":              "illegal<[open>open",
		"''":                 "string<''>",
		`""`:                 `quoted<"">`,
		"'''":                "illegal<'''>open",
		"a\x00b":             "word<a> illegal<\x00> word<b>",
		"\ufeffSELECT\t\f\v": "space<\ufeff> word<SELECT> space<\t\f\v>",
		"\v":                 "punct<\v>",
		"":                   "",
	} {
		if got := tokens(src); got != want {
			t.Errorf("%q is\n%s, not\n%s", src, got, want)
		}
	}
}

// Where statements end: what follows the first one must stand in the second.
func TestStatementEnds(t *testing.T) {
	t.Parallel()
	for _, first := range []string{
		"SELECT 1;", "SELECT ';';", `SELECT ";";`, "SELECT `;`;", "SELECT [;];", "SELECT X'3b';", "SELECT 1 -- ; \n;", "SELECT /* ; */ 1;", "SELECT '''; ';", ";",
		"CREATE VIEW v AS SELECT CASE WHEN 1 THEN 2 END;",
		"CREATE TRIGGER t AFTER DELETE ON a BEGIN SELECT 1; END;",
		"CREATE TEMP TRIGGER t AFTER DELETE ON a BEGIN SELECT CASE WHEN 1 THEN 2 END; END;",
		"create /* ; */ temporary -- ;\n trigger t after delete on a begin select 1; /* END; */ end;",
		"EXPLAIN QUERY PLAN CREATE TRIGGER t AFTER DELETE ON a BEGIN SELECT ';END;'; SELECT \"END\" FROM x; END ;",
		"CREATE TRIGGER t AFTER DELETE ON a BEGIN SELECT 1;;END;",
		"CREATE TABLE trigger_(a);", "CREATE TABLE t(\"create trigger\");",
	} {
		for _, behind := range []string{"SELECT 2;", "END;", ";END;", ""} {
			s := dump.Classify([]byte(first+behind), 0)
			got := dump.StatementEnd(s.SQL)
			if got != len(first) {
				t.Errorf("%q ends at %d of %d", first+behind, got, len(first))
			}
		}
		for cut := range len(first) {
			if got := dump.StatementEnd([]byte(first[:cut])); got >= 0 && first != "CREATE TRIGGER t AFTER DELETE ON a BEGIN SELECT 1;;END;" {
				t.Errorf("%q, cut, ends at %d", first[:cut], got)
			}
		}
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		`INSERT INTO "a""b" VALUES(1);`:                     `insert a"b `,
		"INSERT OR REPLACE INTO main.t VALUES(1);":          "insert t ",
		"REPLACE INTO [x y] VALUES(1);":                     "insert x y ",
		"CREATE TABLE 'it''s' (a);":                         "create table it's it's",
		"/* x */ create -- y\n table if not exists t(a);":   "create table t t",
		"CREATE VIRTUAL TABLE `f``g` USING fts5(a);":        "create virtual table f`g f`g",
		"CREATE UNIQUE INDEX i ON t(a);":                    "create index t i",
		"CREATE INDEX i ON t(a);":                           "create index t i",
		"CREATE TEMP VIEW v AS SELECT 1;":                   "create view  v",
		"CREATE TRIGGER g UPDATE OF a, b ON t BEGIN x;END;": "create trigger t g",
		"DELETE FROM t WHERE 1;":                            "delete t ",
		"UPDATE OR IGNORE t SET a=1;":                       "update t ",
		"DROP TABLE IF EXISTS t;":                           "drop table t t",
		"DROP TRIGGER IF EXISTS g;":                         "drop  g",
		"ANALYZE sqlite_schema;":                            "analyze sqlite_schema ",
		"PRAGMA main.user_version=1;":                       "pragma  user_version",
		"END;":                                              "transaction  ",
		"RELEASE x;":                                        "transaction  ",
		"ATTACH 'x' AS y;":                                  "other  ",
		"'INSERT' INTO t;":                                  "other  ",
		"CREATE TRIGGER g":                                  "create trigger  g",
		"":                                                  "other  ",
	} {
		s := dump.Classify([]byte(sql), 0)
		if got := fmt.Sprint(s.Kind, " ", s.Table, " ", s.Name); got != want {
			t.Errorf("%q is %q, not %q", sql, got, want)
		}
	}
}

func TestLiterals(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 100)
	for in, want := range map[string]string{
		"":                                   "''",
		"it's":                               "'it''s'",
		"a\nb":                               "'a\nb'",
		"\ufeff\u202e":                       "'\ufeff\u202e'",
		"a\r":                                "CAST(X'610D' AS TEXT)",
		"\x00":                               "CAST(X'00' AS TEXT)",
		"\xff":                               "CAST(X'FF' AS TEXT)",
		"é\x00":                              "CAST(X'C3A900' AS TEXT)",
		"é'":                                 "'é'''",
		"'é":                                 "'''é'",
		"éCommit;":                           "CAST(X'C3A9436F6D6D69743B' AS TEXT)",
		"commit ;":                           "'commit ;'",
		"BEGIN transaction;":                 "CAST(X'424547494E207472616E73616374696F6E3B' AS TEXT)",
		";COMMIT":                            "';COMMIT'",
		long + "'":                           "'" + long + "'''",
		long + ";COMMIT;":                    "CAST(X'" + strings.Repeat("78", 100) + "3B434F4D4D49543B' AS TEXT)",
		long + ";x;":                         "'" + long + ";x;'",
		long + "\r":                          "CAST(X'" + strings.Repeat("78", 100) + "0D' AS TEXT)",
		long + "\xc3":                        "CAST(X'" + strings.Repeat("78", 100) + "C3' AS TEXT)",
		"x" + strings.Repeat("é", 20) + "\r": "CAST(X'78" + strings.Repeat("C3A9", 20) + "0D' AS TEXT)",
	} {
		if got := dump.QuoteText([]byte(in)); got != want {
			t.Errorf("%.50q is written as %s", in, got)
		}
	}
	for in, want := range map[string]string{"a": `"a"`, `a"b`: `"a""b"`, `""`: `""""""`, "": `""`} {
		if got := dump.QuoteIdent(in); got != want {
			t.Errorf("%q is quoted as %s", in, got)
		}
	}
	for want, v := range map[string]dump.Value{
		"NULL": null, "-5": integer("-5"), "0": integer("-0"), "9223372036854775807": integer("9223372036854775807"), "12": integer("0012"),
		"X'0AFF'": blob("0aFF"), "X''": blob(""), "'1;x'": integer("1;x"), "'0g'": blob("0g"), "'x''y'": real("x'y"), "1.5": real("1.5"),
	} {
		if got := string(dump.AppendLiteral(nil, v)); got != want {
			t.Errorf("%v %q is written as %s, not %s", v.Kind, v.Bytes, got, want)
		}
	}
}
