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
// back up one database, watch it end, get the dump, and sign out; with scripts
// and without. The account takes its time, so that there is something to watch.
func TestBackup(t *testing.T) {
	t.Parallel()
	p := serve(t, 250*time.Millisecond)
	for _, c := range []struct {
		name, database string
		scripts        bool
	}{{"JavaScript on", "scout-db", true}, {"JavaScript off", "groveauth", false}} {
		t.Run(c.name, func(t *testing.T) {
			b := open(t, c.scripts)
			if c.scripts {
				b.firstAdmin(p)
				b.signOut()
			}
			b.signIn(p)
			if got := eval[bool](b, `document.documentElement.classList.contains("js")`); got != c.scripts {
				t.Fatalf("the page's own script ran: %v", got)
			}
			b.click(`button[form="start"][value="` + c.database + `"]`)
			b.until("the running job", `location.pathname.startsWith("/jobs/") && /0 of 1 databases? done/.test(document.querySelector("main").innerText)`)
			if c.scripts {
				eval[bool](b, `(window.here = true)`)
			}
			b.until("the job's end", ended("completed"))
			if c.scripts && !eval[bool](b, `window.here === true`) {
				t.Error("the page was loaded again while the job ran")
			}
			b.click(`th a[href="/databases/` + c.database + `"]`)
			b.until("the newest copy", `document.querySelector("a.button.main[download]") !== null`)
			sum := eval[string](b, `document.querySelector("#sha").textContent.trim()`)
			b.click(`a.button.main[download]`)
			if got := b.downloaded(); got != sum {
				t.Errorf("the file's hash is %s, and the page says %s", got, sum)
			}
			b.signOut()
			b.do(chromedp.Navigate(p.url + "/databases"))
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
