package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestBackup does a person's work: make the first admin by the link, sign in,
// start a backup, watch it end, get the dump, and sign out; with scripts and
// without. The account takes its time, so that there is something to watch.
func TestBackup(t *testing.T) {
	t.Parallel()
	d, link := serve(t, 400*time.Millisecond)
	for _, c := range []struct {
		name, database string
		scripts        bool
	}{{"JavaScript on", "all", true}, {"JavaScript off", "groveauth", false}} {
		t.Run(c.name, func(t *testing.T) {
			b := open(t, 1440, false, c.scripts)
			if c.scripts {
				b.do(chromedp.Navigate(link))
				b.do(chromedp.SendKeys(chromedp.CSS(`input[name=name]`), "admin"))
				b.do(chromedp.SendKeys(chromedp.CSS(`input[name=password]`), d.password))
				b.do(chromedp.Click(chromedp.CSS(`form[action="/setup"] button`)))
				b.until("the first admin, signed in", `document.querySelector('form[action="/sign-out"] button') !== null`)
				b.do(chromedp.Click(chromedp.CSS(`form[action="/sign-out"] button`)))
				b.until("the sign-in page", `document.querySelector("input[name=password]") !== null`)
			}
			b.signIn(d)
			b.do(chromedp.Click(chromedp.CSS(`form[action="/trigger"]:has(input[value="` + c.database + `"]) button`)))
			b.until("the running job", `location.pathname.startsWith("/jobs/") && /of \d databases? done/.test(document.querySelector("main").innerText)`)
			if c.scripts {
				eval[bool](b, `(window.here = true)`)
			}
			b.until("the job's end", `/completed/i.test(document.querySelector("h1").parentElement.innerText)`)
			if c.scripts && !eval[bool](b, `window.here === true`) {
				t.Error("the page was loaded again while the job ran")
			}
			b.do(chromedp.Navigate(d.url + "/databases/groveauth"))
			b.until("the newest copy", `document.querySelector("a.button.main[download]") !== null`)
			sum := eval[string](b, `document.querySelector("#sha").innerText.trim() || document.querySelector("#sha").value`)
			b.do(chromedp.Click(chromedp.CSS(`a.button.main[download]`)))
			if got := b.downloaded(); got != sum {
				t.Errorf("the file's hash is %s, and the page says %s", got, sum)
			}
			b.do(chromedp.Click(chromedp.CSS(`form[action="/sign-out"] button`)))
			b.until("the sign-in page", `document.querySelector("input[name=password]") !== null`)
			b.do(chromedp.Navigate(d.url + "/databases"))
			b.until("the sign-in page again", `document.querySelector("input[name=password]") !== null`)
		})
	}
}

// downloaded waits for the one whole file, and hashes it.
func (b *tab) downloaded() string {
	b.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(30 * time.Second); ; {
		files, err := filepath.Glob(filepath.Join(b.downloads, "*.sql"))
		if err == nil && len(files) == 1 {
			text, err := os.ReadFile(files[0])
			if err == nil && strings.Contains(string(text), "\n-- file-sha256: ") {
				sum := sha256.Sum256(text)
				return hex.EncodeToString(sum[:])
			}
		}
		select {
		case <-late:
			b.t.Fatalf("no file arrived: %v", files)
		case <-tick.C:
		}
	}
}
