package d1test_test

import (
	"fmt"
	"strings"
	"testing"
)

// refusals are statements that run in an empty database that holds the table
// t(a), and what D1 says to them: "" is that it runs them. All were measured.
//
// Production may differ in this: Cloudflare documents 2,000,000 bytes for a
// value or row and 32 arguments for a function, where the engine takes
// 2,200,000 and 127. The simulated account has the documented limits, so both
// take the lower and refuse what is above the higher.
var refusals = []struct{ name, sql, says string }{
	{"bad SQL", "SELEC 1", `near "SELEC": syntax error`},
	{"bad SQL later", "SELECT 1 FORM x", `near "x": syntax error`},
	{"no table", "SELECT * FROM nope", "no such table: nope"},
	{"no column", "SELECT nope FROM t", "no such column: nope"},
	{"statement of 100,000 bytes", "SELECT '" + strings.Repeat("x", 100_000-9) + "'", ""},
	{"statement of 100,001 bytes", "SELECT '" + strings.Repeat("x", 100_001-9) + "'", "statement too long: SQLITE_TOOBIG"},
	{"100 columns", "SELECT 1" + strings.Repeat(",1", 99), ""},
	{"101 columns", "SELECT 1" + strings.Repeat(",1", 100), "too many columns in result set"},
	{"table of 100 columns", "CREATE TABLE w(" + columns(100) + ")", ""},
	{"table of 101 columns", "CREATE TABLE w(" + columns(101) + ")", "too many columns on w"},
	{"value of 2,000,000 bytes", "SELECT length(zeroblob(2000000))", ""},
	{"value of 2,200,001 bytes", "SELECT length(zeroblob(2200001))", "string or blob too big: SQLITE_TOOBIG"},
	{"value of 2,200,002 bytes, made", "SELECT hex(zeroblob(1100001))", "string or blob too big: SQLITE_TOOBIG"},
	{"row of 1,999,990 bytes", "INSERT INTO t VALUES(zeroblob(1999990))", ""},
	{"row above 2,200,000 bytes", "INSERT INTO t VALUES(zeroblob(2200000))", "string or blob too big: SQLITE_TOOBIG"},
	{"depth 100", "SELECT 1" + strings.Repeat("+1", 99), ""},
	{"depth 101", "SELECT 1" + strings.Repeat("+1", 100), "Expression tree is too large (maximum depth 100)"},
	{"32 arguments", "SELECT max(1" + strings.Repeat(",1", 31) + ")", ""},
	{"128 arguments", "SELECT max(1" + strings.Repeat(",1", 127) + ")", "too many arguments on function max"},
	{"5 terms", "SELECT 1" + strings.Repeat(" UNION ALL SELECT 1", 4), ""},
	{"6 terms", "SELECT 1" + strings.Repeat(" UNION ALL SELECT 1", 5), "too many terms in compound SELECT"},
	{"pattern of 51 bytes", "SELECT 1 WHERE 'a' LIKE '" + strings.Repeat("x", 51) + "'", "LIKE or GLOB pattern too complex"},

	{"schema", "SELECT * FROM sqlite_schema", ""},
	{"table_list", "SELECT * FROM pragma_table_list", ""},
	{"table_xinfo", "SELECT * FROM pragma_table_xinfo('t')", ""},
	{"index_list", "SELECT * FROM pragma_index_list('t')", ""},
	{"index_info", "SELECT * FROM pragma_index_info('t')", ""},
	{"index_xinfo", "SELECT * FROM pragma_index_xinfo('t')", ""},
	{"foreign_key_list", "SELECT * FROM pragma_foreign_key_list('t')", ""},
	{"foreign_key_check", "SELECT * FROM pragma_foreign_key_check", ""},
	{"foreign_key_check as a pragma", "PRAGMA foreign_key_check", ""},
	{"quick_check", "PRAGMA quick_check", ""},
	{"data_version", "PRAGMA data_version", ""},
	{"defer_foreign_keys", "PRAGMA defer_foreign_keys=ON", ""},
	{"functions", "SELECT quote(1.5), hex('a'), typeof(unhex('61')), instr('ab','b'), json('{}'), octet_length('é'), total_changes(), changes()", ""},
	{"json_each", "SELECT value FROM json_each('[1]')", ""},
	{"fts5", "CREATE VIRTUAL TABLE f USING fts5(x)", ""},
	{"analyze", "ANALYZE", ""},

	{"rtree", "CREATE VIRTUAL TABLE r USING rtree(id,a,b)", "not authorized: SQLITE_AUTH"},
	{"fts4", "CREATE VIRTUAL TABLE f USING fts4(x)", "not authorized: SQLITE_AUTH"},
	{"integrity_check", "PRAGMA integrity_check", "not authorized: SQLITE_AUTH"},
	{"user_version", "PRAGMA user_version", "not authorized: SQLITE_AUTH"},
	{"schema_version", "PRAGMA schema_version", "not authorized: SQLITE_AUTH"},
	{"page_count", "PRAGMA page_count", "not authorized: SQLITE_AUTH"},
	{"database_list", "SELECT * FROM pragma_database_list", "not authorized: SQLITE_AUTH"},
	{"compile_options", "SELECT * FROM pragma_compile_options", "not authorized: SQLITE_AUTH"},
	{"function_list", "SELECT * FROM pragma_function_list", "not authorized: SQLITE_AUTH"},
	{"writable_schema", "PRAGMA writable_schema=ON", "not authorized: SQLITE_AUTH"},
	{"attach", "ATTACH ':memory:' AS x", "not authorized: SQLITE_AUTH"},
	{"vacuum", "VACUUM", "cannot VACUUM from within a transaction"},
	{"temporary table", "CREATE TEMP TABLE q(a)", "not authorized: SQLITE_AUTH"},
	{"a table like Cloudflare's own", "CREATE TABLE _CF_x(a)", "not authorized: SQLITE_AUTH"},
	{"a table like SQLite's own", "CREATE TABLE sqlite_x(a)", "object name reserved for internal use: sqlite_x"},
	{"sqlite_version", "SELECT sqlite_version()", "not authorized to use function: sqlite_version"},
	{"unistr_quote", "SELECT unistr_quote('a')", "unistr_quote"},
	{"begin", "BEGIN", "To execute a transaction"},
	{"commit", "COMMIT", "To execute a transaction"},
	{"savepoint", "SAVEPOINT s", "To execute a transaction"},
	{"rollback", "ROLLBACK", "To execute a transaction"},
	{"nothing", "  ", "statement"},
	{"a comment", "-- nothing", "statement"},
}

func columns(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("a%d", i)
	}
	return strings.Join(names, ", ")
}

func contractRefusals(t *testing.T, a account) {
	for _, r := range refusals {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			id := a.create(t, "refusals "+r.name, "CREATE TABLE t(a)")
			_, err := a.Exec(t.Context(), id, []string{r.sql})
			if r.says == "" && err != nil || r.says != "" && (err == nil || !strings.Contains(err.Error(), r.says)) {
				t.Errorf("got %v, want %q", err, r.says)
			}
		})
	}
}
