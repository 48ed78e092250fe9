package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestScreens looks at every page of the demo's dashboard.
func TestScreens(t *testing.T) {
	t.Parallel()
	p := demo(t)
	b := open(t, true)
	b.visit("sign-in", p.url+"/sign-in")
	b.typed("name", "admin")
	b.typed("password", "a guess")
	b.click(`form[action="/sign-in"] button`)
	b.until("the refusal", `document.querySelector("[role=alert]") !== null`)
	b.look("sign-in-refused")
	b.forget("401") // which Chromium notes in the console
	b.signIn(p)
	b.do(chromedp.Navigate(p.url + "/jobs"))
	job := eval[string](b, `document.querySelector('main a[href^="/jobs/"]').getAttribute("href")`)
	// A second copy of one, so that there is something to compare.
	b.do(chromedp.Navigate(p.url + "/databases/groveauth"))
	b.click(`form[action="/trigger"] button`)
	b.until("the second copy", ended("completed"))
	b.visit("drills-none", p.url+"/drills")
	b.click(`form[action="/drills"] button`)
	b.until("the drill's verdict", `document.querySelector(".certificate.proven") !== null`)
	drill := eval[string](b, `location.pathname`)
	b.printed("drill")
	for _, page := range [][2]string{
		{"drill", drill},
		{"drills", "/drills"},
		{"overview", "/"},
		{"jobs", "/jobs"},
		{"job", job},
		{"databases", "/databases"},
		{"database", "/databases/groveauth"},
		{"copies", "/list"},
		{"copies-nothing-like-that", "/list?database=elsewhere"},
		{"guide", "/restore-guide/groveauth"},
		{"gallery", "/dev/gallery"},
		{"runbook", "/runbook"},
		{"manual", "/docs"},
		{"manual-page", "/docs/operating"},
		{"audit", "/audit"},
		{"status", "/status"},
		{"redaction", "/settings/redaction"},
		{"redaction-one", "/settings/redaction/groveauth"},
		{"retention", "/settings/retention"},
		{"retention-all", "/settings/retention?all=true"},
	} {
		b.visit(page[0], p.url+page[1])
	}
	b.do(chromedp.Navigate(p.url + "/databases/groveauth"))
	b.click(`a[href^="/backups/"]:not([href*="diff"]):not([href*="restore"])`)
	b.until("the copy's page", `document.querySelector('form[action$="/verify"] input[name="values"]') !== null`)
	b.visit("copy", eval[string](b, `location.href`))
	b.click(`form[action$="/verify"]:has(input[name="values"]) button`)
	b.until("the end of the proof", ended("completed"))
	b.until("what it found", `/equal|has moved on/.test(document.querySelector("main").innerText)`)
	b.visit("job-proof", eval[string](b, `location.href`))
	b.do(chromedp.Navigate(p.url + "/settings/retention"))
	b.click(`form[action="/settings/retention/run"] button`)
	b.until("the end of the cleanup", ended("completed"))
	b.visit("job-cleanup", eval[string](b, `location.href`))
	b.visit("retention-after", p.url+"/settings/retention")
	b.do(chromedp.Navigate(p.url + "/databases/elsewhere"))
	b.look("not-found")
	b.forget("404")

	b.do(chromedp.Navigate(p.url + "/"))
	light := b.ground()
	b.click(`button[data-theme-switch]`)
	dark := b.ground()
	b.do(chromedp.Navigate(p.url + "/jobs"))
	if again := b.ground(); dark == light || again != dark {
		t.Errorf("the switch turned %s into %s, and the next page is %s", light, dark, again)
	}
	b.spoiled()
}

// spoiled spoils the page in each way that is looked for, and sees that it would
// be found.
func (b *tab) spoiled() {
	b.t.Helper()
	eval[bool](b, `(() => {
		const add = (tag, more) => document.querySelector("main").appendChild(Object.assign(document.createElement(tag), more));
		add("script", { textContent: "window.ran = true" });
		add("img", { src: "https://elsewhere.invalid/pixel.gif", alt: "" });
		add("p", { id: "faint", textContent: "faint" }).style.color = "var(--line)";
		add("p", { id: "wide", textContent: "wide" }).style.width = "1500px";
		console.error("from the page");
		setTimeout(() => { throw new Error("uncaught") });
		return true;
	})()`)
	for _, want := range []string{"script-src", "img-src", "console.error", "uncaught"} {
		b.forget(want)
	}
	found := strings.Join(append(b.violations(false), b.sideways()...), "\n")
	for _, want := range []string{"color-contrast", "#faint", "sideways"} {
		if !strings.Contains(found, want) {
			b.t.Errorf("%q was not found, only:\n%s", want, found)
		}
	}
	if eval[bool](b, `window.ran === true`) {
		b.t.Error("a script of the page's text ran")
	}
}

// ground is the colour behind the page.
func (b *tab) ground() string {
	b.t.Helper()
	return eval[string](b, `getComputedStyle(document.documentElement).backgroundColor`)
}

// visit goes to a page that must be there, and looks at it.
func (b *tab) visit(name, url string) {
	b.t.Helper()
	b.do(chromedp.Navigate(url))
	if h := eval[string](b, `document.querySelector("h1").innerText`); h == "" || strings.Contains(h, "not found") {
		b.t.Errorf("%s shows %q", url, h)
	}
	b.look(name)
}

// pdfPage finds the pages of a PDF as Chromium writes it.
var pdfPage = regexp.MustCompile(`/Type /Page\b`)

// printed keeps the page as it comes out of a printer, which is one sheet.
func (b *tab) printed(name string) {
	b.t.Helper()
	pdf, err := chromedp.Run(b.ctx, chromedp.PrintToPDF(chromedp.PDFPreferCSSPageSize()))
	if err != nil {
		b.t.Fatal(err)
	}
	if n := len(pdfPage.FindAll(pdf, -1)); n != 1 {
		b.t.Errorf("%s prints on %d pages", name, n)
	}
	if err := os.WriteFile(filepath.Join(here(), "screenshots", name+".pdf"), pdf, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

const wide = 1440 // px

// look takes the page in both themes, wide and on a phone, keeps a picture of
// each in screenshots/, and finds nothing that scrolls sideways, at 320 px
// either, and nothing that axe objects to.
func (b *tab) look(name string) {
	b.t.Helper()
	dir := filepath.Join(here(), "screenshots")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		b.t.Fatal(err)
	}
	for _, width := range []int64{320, 390, wide} {
		b.do(chromedp.EmulateViewport(width, 900))
		for _, f := range b.sideways() {
			b.t.Errorf("%s at %d px: %s", name, width, f)
		}
		if width == 320 {
			continue
		}
		for _, theme := range []string{"light", "dark"} {
			b.theme(theme)
			full := fmt.Sprintf("%s-%s-%d", name, theme, width)
			if theme == "light" || width == wide { // on a phone, only colours differ
				for _, f := range b.violations(width == wide) {
					b.t.Errorf("%s: %s", full, f)
				}
			}
			png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
			if err != nil {
				b.t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, full+".png"), png, 0o600); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	b.theme("light")
}

// sideways says by how much the page is wider than the window, if it is.
func (b *tab) sideways() []string {
	b.t.Helper()
	if over := eval[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
		return []string{fmt.Sprintf("it scrolls sideways by %d px", over)}
	}
	return nil
}
