package e2e

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestPeople lets an admin add a person and a token, and the person come in.
func TestPeople(t *testing.T) {
	t.Parallel()
	p := demo(t)
	b := open(t, true)
	b.signIn(p)
	b.visit("settings", p.url+"/settings")
	b.do(chromedp.Navigate(p.url + "/settings/tokens"))
	b.typed("name", "deploy pipeline")
	b.click(`form[action="/settings/tokens"] button.main`)
	b.until("the token", `document.querySelector("#api-token") !== null`)
	b.look("token-made")
	b.visit("tokens", p.url+"/settings/tokens")
	b.do(chromedp.Navigate(p.url + "/settings/people"))
	b.typed("name", "olga@grove.place")
	b.click(`form[action="/settings/people"] button.main`)
	b.until("the link", `document.querySelector("#password-link") !== null`)
	b.look("person-link")
	link := eval[string](b, `document.querySelector("#password-link").textContent`)
	b.visit("people", p.url+"/settings/people")
	b.visit("account", p.url+"/settings/account")

	olga := open(t, true)
	olga.do(chromedp.Navigate(link))
	olga.typed("password", "a password of her own")
	olga.click(`form[action="/set-password"] button.main`)
	olga.until("the overview", `location.pathname === "/" && document.querySelector(".verdict") !== null`)
	olga.visit("account-viewer", p.url+"/settings/account")
	if text := eval[string](olga, `document.querySelector("main").innerText`); !strings.Contains(text, "you, here") || strings.Contains(text, "API tokens") {
		t.Errorf("her account shows %s", text)
	}
	b.do(chromedp.Navigate(p.url + "/settings/people"))
	b.do(chromedp.Navigate(p.url + eval[string](b, `[...document.querySelectorAll("tbody th a")].find(a => a.innerText.startsWith("olga")).getAttribute("href")`)))
	b.click(`form[action$="/disable"] button`)
	b.until("that she is shut out", `document.body.innerText.includes("They are shut out, and signed out everywhere.")`)
	b.look("person-shut-out")
	olga.do(chromedp.Navigate(p.url + "/jobs"))
	if eval[bool](olga, `document.querySelector("form[action='/sign-in']") === null`) {
		t.Error("she is still signed in")
	}
	olga.forget("401")
}
