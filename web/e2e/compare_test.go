package e2e

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// TestCompare backs up one database, lets it change in every way, with names
// and values that would break out of a page if they could, backs it up again,
// and follows the links to what changed.
func TestCompare(t *testing.T) {
	t.Parallel()
	p := serve(t, 0)
	b := open(t, true)
	b.firstAdmin(p)
	again := func() {
		t.Helper()
		b.do(chromedp.Navigate(p.url + "/databases/groveauth"))
		b.click(`form[action="/trigger"] button`)
		b.until("the end of the backup", ended("completed"))
	}
	again()
	var id string
	for _, d := range p.account.Databases() {
		if d.Name == "groveauth" {
			id = d.ID
		}
	}
	for _, sql := range []string{
		`CREATE TABLE "<script>document.title = 1</script>"(a, b)`,
		`INSERT INTO "<script>document.title = 1</script>" VALUES('"><img src=x onerror="document.title = 1">', X'00FF')`,
		`ALTER TABLE users ADD COLUMN nickname TEXT DEFAULT 'none'`,
		`UPDATE users SET nickname = 'moss ' || char(8238) || ' green' || char(10) || 'second line' WHERE rowid < 4`,
		`DELETE FROM users WHERE rowid = (SELECT max(rowid) FROM users)`,
		`CREATE INDEX users_nickname ON users(nickname)`,
	} {
		if err := p.account.Exec(id, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	again()
	b.do(chromedp.Navigate(p.url + "/databases/groveauth"))
	b.click(`a[href^="/backups/"]:not([href*="diff"]):not([href$="/restore"])`)
	b.until("the copy's page", `location.pathname.startsWith("/backups/") && document.querySelector("#body") !== null`)
	b.look("copy")
	b.click(`.head a[href*="/diff/"]`)
	b.until("what changed", `document.querySelector("#verdict") !== null`)
	b.click(`details summary`)
	b.look("compare")
	b.click(`a[href*="rows=1&table=users"]`)
	b.until("the rows", `document.querySelector("#rows") !== null && document.querySelector("table.rows del") !== null`)
	b.look("compare-rows")
	b.do(chromedp.Navigate(p.url + eval[string](b, `location.pathname`) + "?rows=1&table=%3Cscript%3Edocument.title%20%3D%201%3C%2Fscript%3E"))
	if title := eval[string](b, `document.title`); title == "1" {
		t.Error("a name or a value ran as a script")
	}
}
