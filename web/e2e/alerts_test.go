package e2e

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestAlerts makes a channel as an admin does, sends it a test that cannot
// arrive, and looks at every page on the way.
func TestAlerts(t *testing.T) {
	t.Parallel()
	p := demo(t)
	b := open(t, true)
	b.signIn(p)
	b.visit("alerts-empty", p.url+"/alerts")
	b.typed("name", "Grove's monitor, the one that somebody reads at night")
	b.typed("url", "https://receiver.invalid/a/secret/path")
	b.click(`form[action="/alerts"] button`)
	b.until("the signing secret", `document.getElementById("signing-secret") !== null`)
	b.look("alert-channel-made")
	b.click(`form[action$="/test"] button`)
	b.until("the test was tried", `document.querySelector("#deliveries .mark.failed") !== null`)
	if text := eval[string](b, `document.body.innerText`); strings.Contains(text, "whsec_") || strings.Contains(text, "secret/path") {
		t.Error("a secret is shown twice")
	}
	b.click(`details > summary`)
	b.look("alert-channel")
	b.do(chromedp.Navigate(p.url + "/alerts"))
	b.click(`form[action="/alerts/mutes"] button`)
	b.until("the mute", `document.querySelector('form[action$="/end"]') !== null`)
	b.look("alerts")
}
