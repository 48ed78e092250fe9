package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestRebuild pins a backup, loses Postgres, and has everything back from the
// bucket; nothing expires until the admin says so. With scripts and without.
func TestRebuild(t *testing.T) {
	t.Parallel()
	whole := t // the program outlives each of the parts
	p := serve(t, 0)
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	for _, scripts := range []bool{true, false} {
		name := map[bool]string{true: "JavaScript on", false: "JavaScript off"}[scripts]
		t.Run(name, func(t *testing.T) {
			b := open(t, scripts)
			if scripts {
				b.firstAdmin(p)
				b.signOut()
			}
			b.signIn(p)
			if scripts {
				b.click(`button[form="start"][value="groveauth"]`)
				b.until("the job's end", ended("completed"))
			}
			b.do(chromedp.Navigate(p.url + "/list"))
			pins := `form[action$="/pin"]:has(input[value=` + map[bool]string{true: "true", false: "false"}[scripts] + `]) button`
			b.click(pins)
			if scripts {
				b.until("the pin", `/pinned: kept for good/.test(document.body.innerText) && location.pathname == "/list"`)
				b.look("copies-pinned")
				b.click(`a[href^="/backups/"]`)
				b.until("its page", `document.querySelector('form[action$="/pin"]') !== null && location.pathname.startsWith("/backups/")`)
				b.look("copy-pinned")
			} else {
				b.until("that it is not pinned any more", `!/pinned: kept for good/.test(document.body.innerText)`)
				b.click(`form[action$="/pin"]:has(input[value=true]) button`)
				b.until("the pin", `/pinned: kept for good/.test(document.body.innerText)`)
			}
			p.command(t, "meta", "--embedded")
			p.stop()
			if err := os.RemoveAll(filepath.Join(p.data, "postgres")); err != nil {
				t.Fatal(err)
			}
			if out := p.command(t, "rebuild", "--embedded"); !strings.Contains(out, "The catalogue was made again: 1 backup") {
				t.Fatal(out)
			}
			p.begin(whole, bin, func(line string) bool { return strings.Contains(line, "dashboard started") }, "serve", "--embedded")

			b.signIn(p)
			b.forget("401") // the session went with Postgres
			b.until("the banner", `document.querySelector('form[action="/settings/retention/confirm"]') !== null`)
			if scripts {
				b.look("overview-after-a-rebuild")
			}
			b.click(`form[action="/settings/retention/confirm"] button`)
			b.until("that the banner is gone", `document.querySelector("#overview") !== null && document.querySelector('form[action="/settings/retention/confirm"]') === null`)
			b.do(chromedp.Navigate(p.url + "/list"))
			b.until("the pin, still", `/pinned: kept for good/.test(document.body.innerText)`)
		})
	}
}
