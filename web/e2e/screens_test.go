package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestScreens looks at every page in both themes, wide and on a phone, keeps a
// picture of each in screenshots/, and finds no error and nothing that scrolls
// sideways, at 320 px either.
func TestScreens(t *testing.T) {
	t.Parallel()
	d := start(t)
	_, here, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(here), "screenshots")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, dark := range []bool{false, true} {
		theme := map[bool]string{false: "light", true: "dark"}[dark]
		t.Run(theme, func(t *testing.T) {
			b := open(t, 1440, dark, true)
			b.do(chromedp.Navigate(d.url + "/sign-in"))
			b.picture(dir, "sign-in", theme)
			b.signIn(d)
			b.do(chromedp.Navigate(d.url + "/jobs"))
			job := eval[string](b, `document.querySelector('main a[href^="/jobs/"]').getAttribute("href")`)
			for name, path := range map[string]string{
				"overview": "/", "jobs": "/jobs", "job": job, "databases": "/databases", "database": "/databases/groveauth",
				"copies": "/list", "guide": "/restore-guide/groveauth", "audit": "/audit", "status": "/status",
			} {
				b.do(chromedp.Navigate(d.url + path))
				if h := eval[string](b, `(document.querySelector("h1") || document.body).innerText`); h == "" || strings.Contains(h, "not found") {
					t.Errorf("%s shows %q", path, h)
				}
				b.picture(dir, name, theme)
			}
		})
	}
}

// picture takes the page at both widths.
func (b *tab) picture(dir, name, theme string) {
	b.t.Helper()
	for _, width := range []int64{1440, 390, 320} {
		b.do(chromedp.EmulateViewport(width, 900))
		if over := eval[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
			b.t.Errorf("%s scrolls sideways by %d px at %d px", name, over, width)
		}
		if width == 320 {
			continue
		}
		png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
		if err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%s-%d.png", name, theme, width)), png, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	b.do(chromedp.EmulateViewport(1440, 900))
}
