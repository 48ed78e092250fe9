package e2e

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestFilters narrows a list without loading the page anew, and comes back by the
// browser's own button: the address, the fields and the list go together.
func TestFilters(t *testing.T) {
	t.Parallel()
	p := demo(t)
	b := open(t, true)
	b.signIn(p)
	pinned(b, p)
	for _, list := range []struct{ path, choice, value, rows, none string }{
		{"/list", "kind", "manual", "#copies tbody tr", "No copy is like that."},
		{"/jobs", "status", "failed", "#jobs tbody tr", "No job is like that."},
		{"/databases", "state", "unknown", "#databases tbody tr", "No database is like that."},
	} {
		b.do(chromedp.Navigate(p.url + list.path))
		all := eval[int](b, `document.querySelectorAll("`+list.rows+`").length`)
		if all == 0 {
			t.Fatalf("%s lists nothing", list.path)
		}
		eval[bool](b, `(window.here = true)`)
		field := `document.querySelector("select[name=` + list.choice + `]")`
		eval[bool](b, `(() => { const s = `+field+`; s.value = "`+list.value+`"; s.dispatchEvent(new Event("change", { bubbles: true })); return true; })()`)
		b.until("the narrowed list of "+list.path, `location.search.includes("`+list.choice+`=`+list.value+`") && document.querySelector("main").innerText.includes("`+list.none+`")`)
		if !eval[bool](b, `window.here === true && document.querySelector("[aria-busy]") === null`) {
			t.Errorf("%s was loaded anew, or still says that it is on its way", list.path)
		}
		eval[bool](b, `(history.back(), true)`)
		b.until("the whole list of "+list.path, `location.search === "" && document.querySelectorAll("`+list.rows+`").length > 0 && `+field+`.value === ""`)
		eval[bool](b, `(history.forward(), true)`)
		b.until("the narrowed list of "+list.path+" once more", `location.search.includes("`+list.choice+`=`+list.value+`") && document.querySelectorAll("`+list.rows+`").length === 0 && `+field+`.value === "`+list.value+`"`)
	}
}

// TestCharts goes along the points of a chart by the arrow keys, and follows one.
// What it says of the point is to be read there.
func TestCharts(t *testing.T) {
	t.Parallel()
	p := demo(t)
	b := open(t, true)
	b.signIn(p)
	b.do(chromedp.Navigate(p.url + "/dev/gallery"))
	first := `document.querySelector(".chart svg[aria-labelledby^=trouble]")`
	eval[bool](b, `(`+first+`.querySelector(".point.unusual").focus(), true)`)
	tip := `getComputedStyle(document.activeElement.querySelector(".tip")).visibility + ": " + document.activeElement.querySelector(".tip").textContent`
	if got, want := eval[string](b, tip), "visible: 586 KiB · 4 Oct 2026 Size 96% above the median of the last 7"; got != want {
		t.Errorf("at the unusual point: %q, want %q", got, want)
	}
	if eval[string](b, `getComputedStyle(`+first+`.querySelector(".rest")).visibility`) != "hidden" {
		t.Error("the words of rest are over those of the point")
	}
	arrow := func(key string) {
		eval[bool](b, `(document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "`+key+`", bubbles: true })), true)`)
	}
	label := `document.activeElement.getAttribute("aria-label")`
	for _, step := range []struct{ key, want string }{
		{"ArrowLeft", "Size, with trouble, 3 October 2026: 213 KiB"},
		{"ArrowRight", "Size, with trouble, 4 October 2026: 586 KiB, unusual. Size 96% above the median of the last 7"},
		{"Home", "Size, with trouble, 1 September 2026: 117 KiB"},
		{"ArrowLeft", "Size, with trouble, 1 September 2026: 117 KiB"},
		{"End", "Size, with trouble, 30 October 2026: 293 KiB"},
	} {
		arrow(step.key)
		if got := eval[string](b, label); got != step.want {
			t.Errorf("after %s: %q, want %q", step.key, got, step.want)
		}
	}
	b.do(chromedp.KeyEvent("\r"))
	b.until("the page behind the point", `location.pathname === "/jobs"`)

	// A toast confirms; a dialog opens, closes by Escape, and gives the focus back.
	b.do(chromedp.Navigate(p.url + "/dev/gallery"))
	b.click(`button[data-toast]`)
	b.until("the toast", `document.querySelector(".toasts[role=status] .toast").innerText === "The copy is pinned."`)
	b.click(`button[data-dialog]`)
	b.until("the dialog", `document.querySelector("dialog").open`)
	b.do(chromedp.KeyEvent("\u001b"))
	b.until("the dialog's end", `!document.querySelector("dialog").open && document.activeElement.matches("button[data-dialog]")`)
}

// pinned takes the newest proven copy away from the overview by one click, and
// pins one: the next page says that it is done.
func pinned(b *tab, p *program) {
	b.t.Helper()
	copyID := eval[string](b, `new URL(document.querySelector("a[download][href*=groveauth]").href).searchParams.get("backup")`)
	b.click(`a[download][href*="groveauth"]`)
	sum := b.downloaded()
	b.do(chromedp.Navigate(p.url + "/backups/" + copyID))
	if text := b.text(); !strings.Contains(text, sum) {
		b.t.Errorf("the file's hash is %s, and the copy's page says\n%s", sum, text)
	}
	b.click(`form[action$="/pin"] button`)
	b.until("the word that it is pinned", `document.querySelector(".toast")?.innerText === "It is pinned, and kept for good."`)
	b.do(chromedp.Reload())
	b.until("the same page, which says it once", `document.querySelector(".toast") === null && /Unpin/.test(document.querySelector("main").innerText)`)
}

// TestOutage lets a page that renews itself meet a server that does not answer:
// what it shows stays, it says since when, and it goes on once there is an answer.
func TestOutage(t *testing.T) {
	t.Parallel()
	p := demo(t)
	b := open(t, true)
	b.signIn(p)
	eval[bool](b, `(() => {
		window.real = window.fetch;
		window.asked = 0;
		window.fetch = () => { window.asked++; return Promise.resolve(new Response("<p>down</p>", { status: 503, headers: { "content-type": "text/html" } })); };
		setInterval(() => document.querySelector("#overview").dispatchEvent(new Event("every")), 200);
		return true;
	})()`)
	b.until("the word that nothing is renewed", `/^Not renewed since .* Patina does not answer/.test(document.querySelector(".toast.stale")?.innerText)`)
	if !eval[bool](b, `document.querySelector("#verdict") !== null && !document.body.innerText.includes("down") && document.querySelectorAll(".toast").length === 1`) {
		t.Errorf("what was there did not stay:\n%s", b.text())
	}
	eval[bool](b, `(window.fetch = () => { window.asked++; return Promise.reject(new TypeError("no network")); }, window.asked = 0, true)`)
	b.until("more questions, with no network", `window.asked > 1`)
	eval[bool](b, `(window.fetch = window.real, true)`)
	b.until("an answer", `document.querySelector(".toast") === null && document.querySelector("#verdict") !== null`)
	b.forget("console.error") // of htmx, about the network
}
