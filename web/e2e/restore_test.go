package e2e

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestRestore puts a copy back as a person does: into a new database, over the
// one it came from, and back again; with scripts and without.
func TestRestore(t *testing.T) {
	t.Parallel()
	p := serve(t, 20*time.Millisecond)
	for _, c := range []struct {
		name, database string
		scripts        bool
	}{{"JavaScript on", "grove-domain-jobs", true}, {"JavaScript off", "groveauth", false}} {
		t.Run(c.name, func(t *testing.T) {
			b := open(t, c.scripts)
			if c.scripts {
				b.firstAdmin(p)
				b.signOut()
			}
			b.signIn(p)
			b.click(`button[form="start"][value="` + c.database + `"]`)
			b.until("the job's end", ended("completed"))
			b.click(`th a[href="/databases/` + c.database + `"]`)
			b.until("the newest copy", `document.querySelector('a[href$="/restore"]') !== null`)
			b.click(`a[href$="/restore"]`)
			b.until("the choice", `document.querySelector('input[name=target]') !== null`)
			if c.scripts {
				b.look("restore")
			}

			// Into a new database, whose name is proposed.
			b.click(`form[method=get] button.main`)
			b.until("what would happen", `document.querySelector("#preview") !== null`)
			if c.scripts {
				b.look("restore-preview-new")
			}
			b.click(`form[method=post][action$="/restore"] button`)
			b.until("the end of the restore", restoredInto("holds what the copy does"))
			if c.scripts {
				b.look("restore-new")
			}

			// Over the one it came from: only with its name.
			b.do(chromedp.Navigate(p.url + "/databases/" + c.database))
			b.click(`a[href$="/restore"]`)
			b.until("the choice", `document.querySelector('input[value=in_place]') !== null`)
			b.click(`input[value=in_place]`)
			b.click(`form[method=get] button.main`)
			b.until("what would be lost", `/Over what/.test(document.querySelector("#preview")?.innerText)`)
			if c.scripts {
				b.look("restore-preview-in-place")
			}
			b.typed("confirm", c.database)
			b.click(`form[method=post][action$="/restore"] button`)
			b.until("the end of the restore", restoredInto("holds what the copy does"))
			if c.scripts {
				b.look("restore-in-place")
			}

			// And back.
			b.typed("confirm", c.database)
			b.click(`form[action$="/undo"] button`)
			b.until("the end of the way back", restoredInto("is back at the bookmark"))
			if c.scripts {
				b.look("restore-undone")
				b.do(chromedp.Navigate(p.url + "/restores"))
				b.look("restores")
			}
			b.signOut()
		})
	}
}

// restoredInto is true on the page of a restore that ended with these words.
func restoredInto(words string) string {
	return `location.pathname.startsWith("/restores/") && document.querySelector("main").innerText.includes("` + words + `")`
}
