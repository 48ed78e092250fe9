package e2e

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestWalk goes the whole way that a person goes, in both themes, on a screen
// and on a phone, with the mouse and with the keyboard alone, with scripts and
// without: sign in, start a backup, watch it end, take the dump away, see what
// changed since, put the copy into a new database, find all of that in the audit
// log, sign out.
func TestWalk(t *testing.T) {
	t.Parallel()
	p := serve(t, 60*time.Millisecond)
	ids := map[string]string{}
	for _, d := range p.account.Databases() {
		ids[d.Name] = d.ID
	}
	open(t, true).firstAdmin(p)
	for _, w := range []walk{
		{name: "light, 1440 px", database: "groveauth", colours: "light", width: wide, scripts: true},
		{name: "dark, 1440 px, keyboard", database: "scout-db", colours: "dark", width: wide, scripts: true, keyboard: true},
		{name: "light, 390 px", database: "grove-engine-db", colours: "light", width: 390, scripts: true},
		{name: "dark, 390 px, keyboard", database: "autumnsgrove-posts", colours: "dark", width: 390, scripts: true, keyboard: true},
		{name: "light, 1440 px, no JavaScript", database: "autumnsgrove-git-stats", colours: "light", width: wide},
		{name: "dark, 390 px, no JavaScript, keyboard", database: "grove-domain-jobs", colours: "dark", width: 390, keyboard: true},
	} {
		t.Run(w.name, func(t *testing.T) {
			w.tab = open(t, w.scripts)
			w.do(chromedp.EmulateViewport(w.width, 900))
			w.tab.theme(w.colours)
			w.do(chromedp.Navigate(p.url + "/"))
			w.backup(p)
			w.changed(p, ids[w.database])
			w.restored()
			w.audited()
			w.press(`form[action="/sign-out"] button`)
			w.until("the sign-in page again", `document.querySelector("input[name=password]") !== null`)
		})
	}
}

// walk is one person's way through the dashboard.
type walk struct {
	*tab
	name, database, colours string
	width                   int64
	scripts, keyboard       bool
}

// backup signs in, starts a backup on the overview, sees it end, and takes the
// newest copy away.
func (w *walk) backup(p *program) {
	w.t.Helper()
	w.write("name", "admin")
	w.write("password", p.password)
	w.press(`form[action="/sign-in"] button`)
	w.until("the overview", `document.querySelector("#verdict") !== null`)
	w.press(`button[form="start"][value="` + w.database + `"]`)
	w.until("the running job", `location.pathname.startsWith("/jobs/")`)
	w.until("the job's end", ended("completed"))
	w.press(`th a[href="/databases/` + w.database + `"]`)
	w.until("the newest copy", `document.querySelector("a.button.main[download]") !== null`)
	sum := eval[string](w.tab, `document.querySelector("#sha").textContent.trim()`)
	w.press(`a.button.main[download]`)
	if got := w.downloaded(); got != sum {
		w.t.Errorf("the file's hash is %s, and the page says %s", got, sum)
	}
}

// changed lets the database change, backs it up once more from its own page, and
// asks what changed.
func (w *walk) changed(p *program, id string) {
	w.t.Helper()
	if err := p.account.Exec(id, `CREATE TABLE of_the_walk(a PRIMARY KEY, b); INSERT INTO of_the_walk VALUES(1, 'moss'), (2, 'bark')`); err != nil {
		w.t.Fatal(err)
	}
	w.press(`form[action="/trigger"] button`)
	w.until("the second job's end", ended("completed"))
	w.press(`th a[href="/databases/` + w.database + `"]`)
	w.until("the newest copy", `document.querySelector("a.button.main[download]") !== null`)
	w.press(`a[href^="/backups/"]:not([href*="diff"]):not([href$="/restore"])`)
	w.until("the copy's page", `location.pathname.startsWith("/backups/") && document.querySelector("#body") !== null`)
	w.press(`.head a[href*="/diff/"]`)
	w.until("what changed", `document.querySelector("#verdict") !== null && document.querySelector("main").innerText.includes("of_the_walk")`)
}

// restored puts the newest copy into a new database.
func (w *walk) restored() {
	w.t.Helper()
	w.press(`h1 a[href="/databases/` + w.database + `"]`)
	w.until("the database again", `document.querySelector('a[href$="/restore"]') !== null`)
	w.press(`a[href$="/restore"]`)
	w.until("the choice", `document.querySelector('input[name=target]') !== null`)
	w.press(`form[method=get] button.main`)
	w.until("what would happen", `document.querySelector("#preview") !== null`)
	w.press(`form[method=post][action$="/restore"] button`)
	w.until("the end of the restore", restoredInto("holds what the copy does"))
}

// audited finds what was done in the audit log.
func (w *walk) audited() {
	w.t.Helper()
	if eval[bool](w.tab, `document.querySelector('nav a[href="/audit"]').checkVisibility() === false`) {
		w.press(`header summary`)
	}
	w.press(`nav a[href="/audit"]`)
	w.until("the audit log", `location.pathname === "/audit" && document.querySelector("#audit") !== null`)
	text := eval[string](w.tab, `document.querySelector("#audit").innerText`)
	for _, want := range []string{"sign-in", "trigger", "download", "restore", w.database} {
		if !strings.Contains(text, want) {
			w.t.Errorf("the audit log does not tell of %q:\n%s", want, text)
		}
	}
}

// press goes to the first element of a selector and presses it, as this walk does.
func (w *walk) press(selector string) {
	w.t.Helper()
	if !w.keyboard {
		w.click(selector)
		return
	}
	w.reach(selector)
	w.do(chromedp.KeyEvent(kb.Enter))
}

// write fills in a field.
func (w *walk) write(field, text string) {
	w.t.Helper()
	if !w.keyboard {
		w.typed(field, text)
		return
	}
	w.reach(`input[name=` + field + `]`)
	w.do(chromedp.KeyEvent(text))
}

// reach presses Tab until an element has the focus, which must be seen.
func (w *walk) reach(selector string) {
	w.t.Helper()
	q := strconv.Quote(selector)
	for range 150 {
		w.do(chromedp.KeyEvent(kb.Tab))
		if !eval[bool](w.tab, `document.activeElement === document.querySelector(`+q+`)`) {
			continue
		}
		if !eval[bool](w.tab, `(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 })()`) {
			w.t.Errorf("%s has the focus, and nothing shows it", selector)
		}
		return
	}
	w.t.Fatalf("Tab does not reach %s\n%s", selector, w.text())
}
