// Package e2e drives the whole program in a real browser: the demo's binary as
// people start it, and Chromium as they look at it. It holds tests alone.
package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/AutumnsGrove/Patina/backup/d1/d1sim"
)

// demo is a running `patina demo`.
type demo struct {
	url, password string
}

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "patina-e2e-")
	if err != nil {
		return "", err
	}
	_, here, _, _ := runtime.Caller(0)
	bin := filepath.Join(dir, "patina")
	cmd := exec.Command("go", "build", "-o", bin, "./cmd/patina")
	cmd.Dir = filepath.Join(filepath.Dir(here), "..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return bin, nil
})

var (
	signIn = regexp.MustCompile(`Sign in +admin +(\S+)`)
	setup  = regexp.MustCompile(`http://[^"\s]+/setup\?key=[^"\s]+`)
)

// start starts the demo, and waits for its summary.
func start(t *testing.T) *demo {
	t.Helper()
	d := &demo{}
	d.run(t, nil, func(line string) bool {
		if m := signIn.FindStringSubmatch(line); m != nil {
			d.password = m[1]
		}
		return strings.Contains(line, "Ctrl-C stops")
	}, "demo")
	return d
}

// serve starts the server as for a real account, which is a simulated one that
// takes its time for each answer. Nobody can sign in yet: it gives the link that
// makes the first admin.
func serve(t *testing.T, latency time.Duration) (d *demo, link string) {
	t.Helper()
	sim, err := d1sim.New(d1sim.Config{Dir: t.TempDir(), AccountID: "acc", Token: "tok", Latency: latency})
	if err == nil {
		err = d1sim.Grove(t.Context(), sim)
	}
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim.Handler())
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		_ = sim.Close()
	})
	d = &demo{password: "moss and copper, 2026"}
	env := []string{"CLOUDFLARE_ACCOUNT_ID=acc", "CLOUDFLARE_API_TOKEN=tok", "CLOUDFLARE_BASE_URL=" + srv.URL, "PATINA_SECRET=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}
	known := false
	d.run(t, env, func(line string) bool {
		if m := setup.FindString(line); m != "" {
			link = m
		}
		known = known || strings.Contains(line, "the account changed")
		return link != "" && known
	}, "serve", "--embedded")
	return d, link
}

// run starts the program on a free port, with data of its own, and reads what it
// says until ready.
func (d *demo) run(t *testing.T, env []string, ready func(line string) bool, args ...string) {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.url = "http://" + l.Addr().String()
	_ = l.Close()
	// Postgres refuses to run as root, and whoever it runs as must get there.
	dir, err := os.MkdirTemp("", "patina-e2e-data-")
	if err == nil {
		err = os.Chmod(dir, 0o711) //nolint:gosec // as above
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cmd := exec.Command(bin, args...)
	cmd.Env = append(append(os.Environ(), "PATINA_DATA="+filepath.Join(dir, "data"), "PATINA_ADDR="+strings.TrimPrefix(d.url, "http://"), "PATINA_PUBLIC_URL="+d.url), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	late := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	var said strings.Builder
	for s := bufio.NewScanner(out); s.Scan(); {
		said.WriteString(s.Text() + "\n")
		if ready(s.Text()) {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return
		}
	}
	t.Fatalf("it did not start:\n%s", said.String())
}

// tab is one browser with one page; it notes what goes wrong in the console.
type tab struct {
	t         *testing.T
	ctx       context.Context
	downloads string

	mu     sync.Mutex
	wrongs []string
}

// open starts Chromium. width is of the window; dark is the colour scheme.
func open(t *testing.T, width int64, dark, scripts bool) *tab {
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
	ctx, end := context.WithTimeout(ctx, 90*time.Second)
	t.Cleanup(end)
	b := &tab{t: t, ctx: ctx, downloads: t.TempDir()}
	if err := chromedp.Listen(ctx, b.note); err != nil {
		t.Fatal(err)
	}
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	yes := true
	b.do(chromedp.EmulateViewport(width, 900),
		call(log.Enable, cdp.Empty{}),
		call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}),
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
		b.wrongs = append(b.wrongs, fmt.Sprintf("exception: %+v", e.ExceptionDetails))
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
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits until a condition of the page holds; it may be navigating.
func (b *tab) until(what, condition string) {
	b.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	late := time.After(45 * time.Second)
	for {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](condition))
		if err == nil && ok {
			return
		}
		select {
		case <-late:
			b.t.Fatalf("%s: not within 45 s (%v)\n%s", what, err, b.text())
		case <-b.ctx.Done():
			b.t.Fatalf("%s: %v", what, b.ctx.Err())
		case <-tick.C:
		}
	}
}

// signIn signs in as the demo's admin, by the form.
func (b *tab) signIn(d *demo) {
	b.t.Helper()
	b.do(chromedp.Navigate(d.url+"/"),
		chromedp.SendKeys(chromedp.CSS(`input[name=name]`), "admin"),
		chromedp.SendKeys(chromedp.CSS(`input[name=password]`), d.password),
		chromedp.Click(chromedp.CSS(`form[action="/sign-in"] button`)))
	b.until("the overview", `document.querySelector("#verdict") !== null`)
}
