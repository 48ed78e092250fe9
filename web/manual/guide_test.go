package manual

import (
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

func TestEscape(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"*a* _b_ [x](javascript:alert(1))", "<script>alert(1)</script>", "# title", "a | b", "`code`", "![i](http://evil)", "&lt;b&gt;", "1. one", "- item", "https://evil.example", "\\", "~~x~~", "<https://evil>",
	} {
		html, err := render([]byte("before " + escape(s) + " after"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(html, "<") != 2 || !strings.HasPrefix(html, "<p>before ") {
			t.Errorf("%q becomes markup: %s", s, html)
		}
		html, err = render([]byte("| h | i |\n|---|---|\n| " + code(s) + " | x |\n"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(html, "<a ") || strings.Contains(html, "<script") || strings.Count(html, "<td>") != 2 || strings.Count(html, "<code>") != 1 {
			t.Errorf("%q as code becomes markup: %s", s, html)
		}
	}
}

func TestRenderIsSafe(t *testing.T) {
	t.Parallel()
	html, err := render([]byte("<script>x</script>\n\n[a](javascript:x) [b](javascript&colon;x) [c](JAVA\tSCRIPT:x) <a href=x onclick=y>z</a> ![i](data:text/html,x)\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script", "javascript", "onclick", "data:text"} {
		if strings.Contains(strings.ToLower(html), `"`+bad) || strings.Contains(html, bad+"=") || strings.Contains(html, "<script") {
			t.Errorf("%s survives: %s", bad, html)
		}
	}
}

func TestNewest(t *testing.T) {
	t.Parallel()
	now := time.Now()
	suspect := backup.Copy{ID: "s", TakenAt: now, Proof: backup.ProofSuspect}
	quarantined := backup.Copy{ID: "q", TakenAt: now, QuarantinedAt: &now}
	good, older := backup.Copy{ID: "g", TakenAt: now.Add(-time.Hour)}, backup.Copy{ID: "o", TakenAt: now.Add(-2 * time.Hour)}
	if got := newest([]backup.Copy{suspect, quarantined, good, older}); got.ID != "g" {
		t.Errorf("the guide restores %s", got.ID)
	}
}

func TestGuideQuotesNames(t *testing.T) {
	t.Parallel()
	c := backup.Copy{ID: "c1", DatabaseName: "a'; rm -rf ~; '", DatabaseID: "i1", Date: backup.Date{Year: 2026, Month: 11, Day: 23}, Key: "daily/2026-11-23/a.sql", SHA256: "ab"}
	g := guide{Database: backup.Database{ID: "i1", Name: c.DatabaseName}, Base: "http://h", Now: time.Now(), Copies: []backup.Copy{c}, Newest: &c}
	text, err := g.text()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `npx wrangler d1 time-travel info 'a'\''; rm -rf ~; '\'''`) {
		t.Errorf("the name is not quoted: %s", text)
	}
	if strings.Count(string(text), "```")%2 != 0 {
		t.Error("a block of code is not closed")
	}
}
