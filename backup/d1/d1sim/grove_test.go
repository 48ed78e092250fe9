package d1sim

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func groveAccount(t *testing.T) *Account {
	t.Helper()
	a, err := New(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	if err := Grove(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	return a
}

// content gives all rows of all tables as text.
func content(t *testing.T, a *Account, id string) string {
	t.Helper()
	db := a.DB(id)
	var names []string
	rows, err := db.Query(`SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var n string
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		names = append(names, n)
	}
	var b strings.Builder
	for _, n := range names {
		var s string
		var columns string
		if err := db.QueryRow(`SELECT group_concat('quote("' || name || '")', '||') FROM pragma_table_xinfo(?)`, n).Scan(&columns); err != nil {
			t.Fatal(err)
		}
		if err := db.QueryRow(`SELECT coalesce(group_concat(x, char(10)), '') FROM (SELECT ` + columns + ` AS x FROM "` + n + `")`).Scan(&s); err != nil {
			t.Fatal(err)
		}
		b.WriteString(n + "\n" + s + "\n")
	}
	return b.String()
}

func TestGrove(t *testing.T) {
	t.Parallel()
	a, b := groveAccount(t), groveAccount(t)
	if len(a.Databases()) != 6 {
		t.Fatalf("%d databases", len(a.Databases()))
	}
	for _, g := range GroveDatabases() {
		var size int64
		var check string
		var orphans int
		if err := a.DB(g.ID).QueryRow(`SELECT page_count * page_size, (SELECT integrity_check FROM pragma_integrity_check), (SELECT count(*) FROM pragma_foreign_key_check) FROM pragma_page_count, pragma_page_size`).Scan(&size, &check, &orphans); err != nil {
			t.Fatal(err)
		}
		if size < g.EstimatedSize*90/100 || size > g.EstimatedSize*110/100 {
			t.Errorf("%s has %d bytes, and %d were wanted", g.Name, size, g.EstimatedSize)
		}
		if check != "ok" || orphans != 0 {
			t.Errorf("%s: integrity %q, %d orphans", g.Name, check, orphans)
		}
		if x, y := content(t, a, g.ID), content(t, b, g.ID); x != y || len(x) < 10_000 {
			t.Errorf("%s is not the same twice (%d and %d bytes)", g.Name, len(x), len(y))
		}
	}
	before := a.Databases()
	if err := Grove(t.Context(), a); err != nil || !slices.Equal(a.Databases(), before) {
		t.Errorf("a second time: %v", err)
	}
}

func TestActivity(t *testing.T) {
	t.Parallel()
	a := groveAccount(t)
	changed := 0
	before := map[string]string{}
	for _, d := range a.Databases() {
		before[d.ID] = content(t, a, d.ID)
	}
	if err := Activity(t.Context(), a, time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	for _, d := range a.Databases() {
		if content(t, a, d.ID) != before[d.ID] {
			changed++
		}
	}
	if changed != 3 {
		t.Errorf("%d databases changed, not 3", changed)
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	in := "CREATE TABLE a(x DEFAULT ';'); -- one; two\nCREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN SELECT CASE WHEN 1 THEN 2 END; END;\nINSERT INTO \"a;b\" VALUES('it''s;');;\n /* ; */ SELECT 1"
	got := split(in)
	if len(got) != 4 || !strings.HasSuffix(got[1], "END; END;") || strings.TrimSpace(got[3]) != "; /* ; */ SELECT 1" && !strings.Contains(got[3], "SELECT 1") {
		t.Errorf("%d: %q", len(got), got)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, q := range []string{"ATTACH 'x' AS y", " /* c */ begin", "COMMIT", "SAVEPOINT a", "CREATE TEMP TABLE t(a)", "PRAGMA integrity_check", "PRAGMA user_version", "SELECT * FROM pragma_schema_version", "SELECT sqlite_version()", "SELECT unistr_quote('a')", "", strings.Repeat(" ", 100_001) + "SELECT 1"} {
		if refused(q) == nil {
			t.Errorf("%.40q was let through", q)
		}
	}
	for _, q := range []string{"SELECT 'ATTACH', \"begin\"", "PRAGMA defer_foreign_keys=ON", "PRAGMA table_list", "SELECT * FROM pragma_table_xinfo('t')", "WITH x AS (SELECT 1) SELECT * FROM x", "SELECT quote(hex('a'))", "CREATE TABLE temp(a)"} {
		if err := refused(q); err != nil {
			t.Errorf("%q: %v", q, err)
		}
	}
}
