package e2e

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
)

// TestTrouble looks at the pages when nothing is stored yet, while a job runs,
// and when a database fails; and does what a person would do about it.
func TestTrouble(t *testing.T) {
	t.Parallel()
	p := serve(t, 0)
	b := open(t, true)
	b.visit("setup", p.setup)
	b.firstAdmin(p)
	for _, page := range [][2]string{
		{"new-overview", "/"}, {"new-databases", "/databases"}, {"new-database", "/databases/groveauth"}, {"new-copies", "/list"}, {"new-jobs", "/jobs"},
	} {
		b.visit(page[0], p.url+page[1])
	}
	var id string
	for _, d := range p.account.Databases() {
		if d.Name == "groveauth" {
			id = d.ID
		}
	}

	p.account.Faults().Add(d1sim.Fault{Effect: d1sim.Hang, Database: id, Call: "raw", Times: -1})
	b.do(chromedp.Navigate(p.url + "/"))
	b.click(`form[action="/trigger"]:has(input[value="all"]) button`)
	b.until("the others", `/5 of 6 databases done/.test(document.querySelector("main").innerText)`)
	b.look("running-job")
	job := eval[string](b, `location.href`)
	b.visit("running-overview", p.url+"/")
	b.do(chromedp.Navigate(job))
	b.until("the stream's first word", `[...document.querySelectorAll("dt")].some((e) => e.innerText === "Took")`)
	eval[bool](b, `(() => {
		window.pressed = document.querySelector('form[action$="/cancel"] button');
		pressed.focus();
		window.took = () => [...document.querySelectorAll("dt")].find((e) => e.innerText === "Took").nextElementSibling.innerText;
		window.was = took();
		return true;
	})()`)
	b.until("two updates more", `(() => { if (took() !== was) { was = took(); window.seen = (window.seen ?? 0) + 1 } return seen >= 2 })()`)
	if !eval[bool](b, `pressed.isConnected && document.activeElement === pressed`) {
		t.Error("an update of the running job took the button from under the one who presses it")
	}
	b.click(`form[action$="/cancel"] button`)
	b.until("the cancelled job", ended("cancelled"))
	b.look("cancelled-job")

	p.account.Faults().Clear()
	p.refused.Store(id)
	b.do(chromedp.Navigate(p.url + "/databases/groveauth"))
	b.click(`form[action="/trigger"] button`)
	b.until("the failed job", ended("failed"))
	b.look("failed-job")
	job = eval[string](b, `location.href`)
	b.visit("failed-overview", p.url+"/")
	b.visit("failed-database", p.url+"/databases/groveauth")

	p.refused.Store("")
	b.do(chromedp.Navigate(job))
	b.click(`form[action$="/retry"] button`)
	b.until("the retry's end", ended("completed"))
}
