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
		html, _, err := render([]byte("before " + escape(s) + " after"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(html, "<") != 2 || !strings.HasPrefix(html, "<p>before ") {
			t.Errorf("%q becomes markup: %s", s, html)
		}
		html, _, err = render([]byte("| h | i |\n|---|---|\n| " + code(s) + " | x |\n"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(html, "<a ") || strings.Contains(html, "<script") || strings.Count(html, "<td") != 2 || strings.Count(html, "<code>") != 1 {
			t.Errorf("%q as code becomes markup: %s", s, html)
		}
	}
}

func TestRenderIsSafe(t *testing.T) {
	t.Parallel()
	html, _, err := render([]byte("<script>x</script>\n\n[a](javascript:x) [b](javascript&colon;x) [c](JAVA\tSCRIPT:x) <a href=x onclick=y>z</a> ![i](data:text/html,x)\n"))
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
	proven := backup.Copy{ID: "p", TakenAt: now.Add(-30 * time.Hour), Proof: backup.ProofProven}
	all := []backup.Copy{suspect, quarantined, good, older, proven}
	g, err := newGuide(guide{Now: now}, all, func(id string) (backup.Copy, error) { return proven, nil })
	if err != nil || newest(all).ID != "p" || g.Newest.ID != "p" || g.Newer == nil || g.Newer.ID != "g" {
		t.Errorf("of a proven one and newer ones the guide takes %s, and names %+v (%v)", g.Newest.ID, g.Newer, err)
	}
}

func TestAdvice(t *testing.T) {
	t.Parallel()
	now := time.Now()
	const day = 24 * time.Hour
	for _, c := range []struct {
		age      time.Duration
		bookmark string
		gone     bool
		says     string
		reaches  bool
	}{
		{6 * time.Hour, "b", false, "on every plan", true},
		{8 * day, "b", false, "On a paid plan", true},
		{31 * day, "b", false, "the copy is the way", false},
		{6 * time.Hour, "", false, "has no bookmark", false},
		{6 * time.Hour, "b", true, "went with the database", false},
	} {
		d := backup.Database{}
		if c.gone {
			d.GoneAt = &now
		}
		if a := advise(d, backup.Copy{TakenAt: now.Add(-c.age), BookmarkBefore: c.bookmark}, now); a.Reaches != c.reaches || !strings.Contains(a.Text, c.says) {
			t.Errorf("after %v: %+v", c.age, a)
		}
	}
}
