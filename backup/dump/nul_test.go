package dump_test

import (
	"testing"

	"github.com/AutumnsGrove/Patina/backup/dump"
)

// TestNumberBeforeNUL holds the rule to the SQLite of this process: what it
// turns into a number, and has a NUL, is what the rule says.
func TestNumberBeforeNUL(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	exec(t, db, "CREATE TABLE t(n NUMERIC)")
	for _, s := range []string{
		"12\x00", "12\x00ab", "12.5\x00", " 12\x00", "12\x00 ", "1\x002", "\x00", "\x0012", "-1\x00", "+1\x00", "1e\x00", "1e2\x00", ".5\x00", "0x1\x00", "a\x00b",
		"12\n\x00", "12\xa0\x00", "1.\x00", ".\x00", "-\x00", "1e+2\x00", "1e-\x00", "1.5.5\x00", "9999999999999999999999\x00", "1 2\x00", "\v\f1\r\x00", "--1\x00", "Inf\x00", "1_0\x00",
	} {
		var kind string
		exec(t, db, "DELETE FROM t")
		_, err := db.Exec("INSERT INTO t VALUES(?)", s)
		check(t, err)
		check(t, db.QueryRow("SELECT typeof(n) FROM t").Scan(&kind))
		if got := dump.NumberBeforeNUL([]byte(s)); got != (kind != "text") {
			t.Errorf("%q is %s to SQLite, and %v", s, kind, got)
		}
	}
	if dump.NumberBeforeNUL([]byte("12")) || dump.NumberBeforeNUL(nil) {
		t.Error("a text without a NUL is none with one")
	}
}
