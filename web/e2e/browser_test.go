package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// tab is one browser with one page; it notes what goes wrong in the console.
type tab struct {
	t         *testing.T
	ctx       context.Context
	downloads string

	mu     sync.Mutex
	wrongs []string
}

// open starts Chromium, with scripts or without.
func open(t *testing.T, scripts bool) *tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if path, err = exec.LookPath("google-chrome"); err != nil {
			t.Fatal("a browser is missing. Run:  sudo apt-get install -y chromium")
		}
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.UserDataDir(t.TempDir()))
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	ctx, end := context.WithTimeout(ctx, 10*time.Minute)
	t.Cleanup(end)
	b := &tab{t: t, ctx: ctx, downloads: t.TempDir()}
	if err := chromedp.Listen(ctx, b.note); err != nil {
		t.Fatal(err)
	}
	yes := true
	b.do(chromedp.EmulateViewport(1440, 900),
		call(log.Enable, cdp.Empty{}),
		call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !scripts}))
	if _, err := chromedp.CallBrowser(ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: b.downloads, EventsEnabled: &yes,
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, w := range b.wrongs {
			t.Errorf("in the console: %s", w)
		}
	})
	return b
}

// call makes an action of a command.
func call[P, R any](cmd cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, cmd, params)
		return err
	})
}

// note keeps errors of the console, uncaught exceptions and CSP violations, which
// Chromium logs as errors.
func (b *tab) note(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := ev.(type) {
	case *cdpruntime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		b.wrongs = append(b.wrongs, "exception: "+text)
	case *cdpruntime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" {
			b.wrongs = append(b.wrongs, fmt.Sprintf("console.%s", e.Type))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == "error" || e.Entry.Level == "warning" {
			b.wrongs = append(b.wrongs, fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
		}
	}
}

// forget waits for a note that holds the words, and drops it: it was meant to be.
func (b *tab) forget(words string) {
	b.t.Helper()
	has := func(w string) bool { return strings.Contains(w, words) }
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(10 * time.Second); ; {
		b.mu.Lock()
		was := len(b.wrongs)
		b.wrongs = slices.DeleteFunc(b.wrongs, has)
		left := slices.Clone(b.wrongs)
		b.mu.Unlock()
		if len(left) < was {
			return
		}
		select {
		case <-late:
			b.t.Fatalf("nothing was noted of %q, only %q", words, left)
		case <-tick.C:
		}
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatalf("%v\n%s", err, b.text())
	}
}

// text is what the page says.
func (b *tab) text() string {
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
	defer cancel()
	s, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.documentElement.innerText`))
	if err != nil {
		return "(the page cannot be read: " + err.Error() + ")"
	}
	return s
}

// eval gives the value of an expression of the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%.200s: %v", expression, err)
	}
	return v
}

// until waits until a condition of the page holds; it may be navigating. The
// page has come whole by then: what is clicked next stays where it is.
func (b *tab) until(what, condition string) {
	b.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	late := time.After(90 * time.Second)
	for {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](`document.readyState === "complete" && (`+condition+`)`))
		if err == nil && ok {
			return
		}
		select {
		case <-late:
			b.t.Fatalf("%s: not within 90 s (%v)\n%s", what, err, b.text())
		case <-b.ctx.Done():
			b.t.Fatalf("%s: %v", what, b.ctx.Err())
		case <-tick.C:
		}
	}
}

// theme sets the colour scheme that the system asks for.
func (b *tab) theme(name string) {
	b.t.Helper()
	b.do(call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}}))
}

// click clicks the first element of a CSS selector.
func (b *tab) click(selector string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 45*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
		b.t.Fatalf("click %s: %v\n%s", selector, err, b.text())
	}
}

// typed types into the field of a name.
func (b *tab) typed(field, text string) {
	b.t.Helper()
	b.do(chromedp.SendKeys(chromedp.CSS(`input[name=`+field+`]`), text))
}

// firstAdmin follows the link of a new server, and is signed in at the end.
func (b *tab) firstAdmin(p *program) {
	b.t.Helper()
	b.do(chromedp.Navigate(p.setup))
	b.typed("name", "admin")
	b.typed("password", p.password)
	b.click(`form[action="/setup"] button`)
	b.until("the first admin, signed in", `document.querySelector('form[action="/sign-out"] button') !== null`)
}

// signIn signs in as the admin, by the form.
func (b *tab) signIn(p *program) {
	b.t.Helper()
	b.do(chromedp.Navigate(p.url + "/"))
	b.typed("name", "admin")
	b.typed("password", p.password)
	b.click(`form[action="/sign-in"] button`)
	b.until("the overview", `document.querySelector("#verdict") !== null`)
}

// signOut signs out, by the button.
func (b *tab) signOut() {
	b.t.Helper()
	b.click(`form[action="/sign-out"] button`)
	b.until("the sign-in page", `document.querySelector("input[name=password]") !== null`)
}

// ended is the condition that a job's page shows how it ended.
func ended(status string) string {
	return `location.pathname.startsWith("/jobs/") && document.querySelector(".head .mark").innerText.trim() === "` + status + `"`
}
