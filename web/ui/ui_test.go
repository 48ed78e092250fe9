package ui

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

func TestFaceOf(t *testing.T) {
	t.Parallel()
	const chrome = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for _, tt := range []struct {
		accept, htmx, kind string
		want               Face
	}{
		{"", "", "", JSON},
		{"*/*", "", "", JSON},
		{"application/json", "", "", JSON},
		{"application/json, text/html", "", "", JSON},
		{"text/html;q=0, */*", "", "", JSON},
		{"text/html;q=0.0", "", "", JSON},
		{"text/htmlx", "", "", JSON},
		{chrome, "", "", Page},
		{"TEXT/HTML", "", "", Page},
		{"text/html;q=0.5, application/json;q=0.1", "", "", Page},
		{chrome, "true", "partial", Part},
		{"text/html, text/event-stream", "true", "partial", Part},
		{chrome, "true", "full", Page},
		{chrome, "true", "", Page},
	} {
		r := &http.Request{Header: http.Header{}}
		r.Header.Set("Accept", tt.accept)
		r.Header.Set("HX-Request", tt.htmx)
		r.Header.Set("HX-Request-Type", tt.kind)
		if got := FaceOf(r); got != tt.want {
			t.Errorf("%+v: got face %d", tt, got)
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.00 KiB", 212 << 10: "212 KiB", 1023 << 10: "1.00 MiB", 5_400_000: "5.15 MiB", 12 << 30: "12.0 GiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1204: "1,204", -1234567: "-1,234,567"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0 ms", 59 * time.Second: "59 s", 90 * time.Minute: "1 h", 47 * time.Hour: "47 h", 50 * time.Hour: "2 days", -time.Hour: "1 h"} {
		if got := Span(d); got != want {
			t.Errorf("Span(%s) = %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{412 * time.Millisecond: "412 ms", 1300 * time.Millisecond: "1.3 s", 125 * time.Second: "2 min 5 s", 3*time.Hour + 7*time.Minute: "3 h 7 min"} {
		if got := Took(d); got != want {
			t.Errorf("Took(%s) = %q, want %q", d, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	if got := Name("a\r\nb\u202ec\x00d é"); got != "a��b�c�d é" {
		t.Errorf("Name gives %q", got)
	}
	const id = "6ae2b03c-40dd-499e-ab31-017f78989b60"
	for name, want := range map[string]string{
		"groveauth": "groveauth", "a b": "a%20b", `x";DROP`: "x%22%3BDROP", "..": id, ".": id, "a/b": id, `a\b`: id, "50%": id, "a\nb": id,
		"a\u202eb": id, strings.Repeat("x", 10_000): id,
	} {
		if got := Ref(name, id); got != want {
			t.Errorf("Ref(%.20q) = %q, want %q", name, got, want)
		}
	}
}

func TestState(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	copyAt := func(hours int) *backup.Copy {
		return &backup.Copy{TakenAt: now.Add(-time.Duration(hours) * time.Hour)}
	}
	result := func(hours int, status backup.ResultStatus) *backup.Result {
		at := now.Add(-time.Duration(hours) * time.Hour)
		return &backup.Result{Status: status, CompletedAt: &at, Error: "the account refused the token"}
	}
	db := backup.Database{Objective: backup.DefaultObjective}
	paused, gone := db, db
	paused.Paused, gone.GoneAt = true, &now
	for _, tt := range []struct {
		name string
		s    backup.Standing
		want StateWord
		why  string
	}{
		{"nothing known", backup.Standing{Database: db}, Unknown, "No copy yet"},
		{"never worked", backup.Standing{Database: db, Last: result(1, backup.ResultFailed)}, Failed, "refused the token"},
		{"fresh", backup.Standing{Database: db, Newest: copyAt(3)}, Stored, ""},
		{"fresh and proven", backup.Standing{Database: db, Newest: copyAt(3), Proven: copyAt(3)}, Proven, ""},
		{"only an old copy is proven", backup.Standing{Database: db, Newest: copyAt(3), Proven: copyAt(80)}, Stored, ""},
		{"stale", backup.Standing{Database: db, Newest: copyAt(27)}, Attention, "27 h old"},
		{"stale though proven", backup.Standing{Database: db, Newest: copyAt(27), Proven: copyAt(27)}, Attention, "27 h old"},
		{"failed since", backup.Standing{Database: db, Newest: copyAt(5), Last: result(1, backup.ResultFailed)}, Attention, "is kept"},
		{"failed before", backup.Standing{Database: db, Newest: copyAt(1), Last: result(5, backup.ResultFailed)}, Stored, ""},
		{"failed and stale", backup.Standing{Database: db, Newest: copyAt(50), Last: result(1, backup.ResultFailed)}, Failed, "2 days old"},
		{"paused and stale", backup.Standing{Database: paused, Newest: copyAt(50)}, Attention, "paused"},
		{"gone", backup.Standing{Database: gone, Newest: copyAt(500)}, Attention, "gone from the account"},
		{"only suspect copies", backup.Standing{Database: db, Suspect: 2}, Failed, "suspect"},
		{"one suspect copy", backup.Standing{Database: db, Newest: copyAt(1), Suspect: 1}, Attention, "suspect"},
	} {
		got, why := StateOf(tt.s, now)
		if got != tt.want || !strings.Contains(why, tt.why) || tt.why == "" && why != "" {
			t.Errorf("%s: %s %q, want %s", tt.name, got, why, tt.want)
		}
	}
}

func TestUnbroken(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Next run in 15 h.":                   "Next run in 15\u00a0h.",
		"2 days ago, 1 day, 40 min":           "2\u00a0days ago, 1\u00a0day, 40\u00a0min",
		"All 6 databases have 3 habits; 14 s": "All 6 databases have 3 habits; 14\u00a0s",
	} {
		if got := Unbroken(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}
