package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/chromedp/chromedp"
)

// axe is the source of axe-core. It is evaluated by the browser's protocol, which
// the page's policy does not bind.
var axe = sync.OnceValues(func() (string, error) {
	if err := install(here()); err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(here(), "node_modules", "axe-core", "axe.min.js"))
	return string(text), err
})

// install fetches the packages that package-lock.json names, unless they are
// there. A lock file lets one of several test processes do it.
func install(dir string) error {
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "patina-axe.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	done := filepath.Join(dir, "node_modules", ".package-lock.json") // npm writes it last
	if have, err := os.Stat(done); err == nil {
		want, err := os.Stat(filepath.Join(dir, "package-lock.json"))
		if err != nil || !have.ModTime().Before(want.ModTime()) {
			return err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	cmd := exec.Command("npm", "ci", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("axe-core is missing. Run:  .ci/setup.sh axe\n%w\n%s", err, text)
	}
	now := time.Now()
	return os.Chtimes(done, now, now)
}

// audit looks at the whole page by every rule that is not experimental, and once
// more at contrast, if that is asked for. axe cannot judge contrast on a gradient:
// the ground is painted in one of the gradient's ends, then in the other. What axe
// leaves undecided about contrast counts as found, except where it never decides:
// text in a drawing, whose colours are those of hints beside it; a list that is on
// its way; and the menu where it scrolls, which is judged where it does not.
const audit = `(async contrast => {
	const found = [];
	const never = n => document.querySelector(n.target[0])?.closest(".chart svg, [aria-busy=true], .bar nav ul");
	const look = async (ground, options) => {
		document.body.style.background = "var(" + ground + ")";
		const r = await axe.run(document, { resultTypes: ["violations", "incomplete"], ...options });
		const undecided = r.incomplete.filter(v => v.id === "color-contrast").map(v => ({ ...v, nodes: v.nodes.filter(n => !never(n)) }));
		for (const v of [...r.violations, ...undecided])
			for (const n of v.nodes)
				found.push([v.id, v.help, n.target.join(" "), n.failureSummary || n.any.map(a => a.message).join("; ")].join(" | "));
		return r.passes.length;
	};
	const passed = await look("--paper", { rules: { "target-size": { enabled: true } } });
	if (contrast) await look("--paper-deep", { runOnly: ["color-contrast"] });
	document.body.style.background = "";
	if (passed < 10) found.push("only " + passed + " rules looked at anything");
	return found;
})`

// violations gives each thing on the page that would keep somebody out. Contrast
// is the same at any width: it is enough to look at it closely at one.
func (b *tab) violations(contrast bool) []string {
	b.t.Helper()
	source, err := axe()
	if err != nil {
		b.t.Fatal(err)
	}
	if !eval[bool](b, `typeof axe !== "undefined"`) {
		eval[bool](b, source+"\n;true")
	}
	found, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](fmt.Sprintf("%s(%t)", audit, contrast), chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("axe: %v", err)
	}
	for i, f := range found {
		found[i] = strings.Join(strings.Fields(f), " ")
	}
	return found
}
