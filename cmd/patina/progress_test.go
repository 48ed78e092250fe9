package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

func TestNamesCannotActOnATerminal(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain": "plain", "a\x1b[2Jb": "a?[2Jb", "a\r\nb\tc": "a??b?c", "a\u202eb": "a?b", "a\u0085b": "a?b", "ä ✓": "ä ✓",
	} {
		if got := printable(in); got != want {
			t.Errorf("%q shows as %q, want %q", in, got, want)
		}
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in      string
		columns int
		want    string
	}{{"abcdef", 0, "abcdef"}, {"abcdef", 7, "abcdef"}, {"abcdef", 6, "abcd…"}, {"██████", 4, "██…"}, {"abc", 1, "…"}} {
		if got := clip(c.in, c.columns); got != c.want {
			t.Errorf("clip(%q, %d) = %q, want %q", c.in, c.columns, got, c.want)
		}
	}
}

func TestBoardOffATerminalTellsEachEndOnce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	b := &board{w: &out, told: map[string]backup.ResultStatus{}}
	f := followed{results: []backup.Result{{ID: "1", DatabaseName: "one", Status: backup.ResultRunning}, {ID: "2", DatabaseName: "two", Status: backup.ResultQueued}}}
	b.show(f)
	f.results[0].Status, f.results[0].Rows = backup.ResultSuccess, 1204
	b.show(f)
	b.show(f)
	f.results[1].Status, f.results[1].Error = backup.ResultFailed, "the table \x1b[2J is gone"
	b.show(f)
	if n := strings.Count(out.String(), "\n"); n != 2 {
		t.Errorf("%d lines, want one for each end:\n%s", n, out.String())
	}
	has(t, out.String(), "1,204 rows", "FAILED: the table ?[2J is gone")
	if strings.ContainsRune(out.String(), 0x1b) {
		t.Error("control characters went to a file")
	}
}

func TestLineOffATerminalIsRare(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	now := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	l := newLine(&out, func() time.Time { return now })
	for range 100 {
		now = now.Add(300 * time.Millisecond)
		l.show("at %s", now.Format(time.TimeOnly))
	}
	l.done()
	if n := strings.Count(out.String(), "\n"); n < 2 || n > 3 {
		t.Errorf("%d lines in 30 s, want one every 10 s:\n%s", n, out.String())
	}
}
