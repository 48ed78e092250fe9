package ui

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Bytes words a size with three significant digits and binary units.
func Bytes(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, unit := float64(n), 0
	for v >= 999.5 && unit < 5 {
		v, unit = v/1024, unit+1
	}
	decimals := 2
	switch {
	case v >= 99.95:
		decimals = 0
	case v >= 9.995:
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64) + " " + [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}[unit]
}

// measure is a number and the unit behind it.
var measure = regexp.MustCompile(`(\d) (s|min|h|days?)\b`)

// Unbroken keeps a number and its unit on one line.
func Unbroken(text string) string { return measure.ReplaceAllString(text, "$1\u00a0$2") }

// Count writes a whole number with thin groups of three: 1,204.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Plural gives "1 copy" or "7 copies".
func Plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

// Span words a length of time in its one fitting unit: 40 s, 3 min, 5 h, 12 days.
func Span(d time.Duration) string {
	if d < 0 {
		d = -d
	}
	switch {
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < time.Minute:
		return strconv.FormatInt(int64(d/time.Second), 10) + " s"
	case d < time.Hour:
		return strconv.FormatInt(int64(d/time.Minute), 10) + " min"
	case d < 48*time.Hour:
		return strconv.FormatInt(int64(d/time.Hour), 10) + " h"
	}
	return strconv.FormatInt(int64(d/(24*time.Hour)), 10) + " days"
}

// Took words how long something took: 412 ms, 1.3 s, 2 min 5 s.
func Took(d time.Duration) string {
	switch {
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min " + strconv.Itoa(int(d.Seconds())%60) + " s"
	}
	return strconv.Itoa(int(d.Hours())) + " h " + strconv.Itoa(int(d.Minutes())%60) + " min"
}

// Ago is a moment in the past, as its distance from now.
func Ago(at, now time.Time) Moment {
	d := now.Sub(at)
	if d < time.Second {
		return Moment{at, "just now"}
	}
	return Moment{at, Span(d) + " ago"}
}

// AgoPtr is Ago for a time that may be missing.
func AgoPtr(at *time.Time, now time.Time) Moment {
	if at == nil {
		return Moment{Word: "never"}
	}
	return Ago(*at, now)
}

// In is a moment in the future, as its distance from now.
func In(at, now time.Time) Moment {
	d := at.Sub(now)
	if d < time.Second {
		return Moment{at, "now"}
	}
	return Moment{at, "in " + Span(d)}
}

// Stamp is a moment written out: 2026-11-23 03:00:04 UTC.
func Stamp(at time.Time) Moment {
	return Moment{at, at.UTC().Format("2006-01-02 15:04:05 UTC")}
}

// Clock is a moment to the minute: 2026-11-23 03:00 UTC.
func Clock(at time.Time) Moment { return Moment{at, at.UTC().Format("2006-01-02 15:04 UTC")} }

// Name makes a name from outside fit for a line of text: characters that
// cannot be seen or that turn the reading direction are shown as U+FFFD.
func Name(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || unicode.IsGraphic(r) && !unicode.Is(unicode.Zl, r) && !unicode.Is(unicode.Zp, r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// Addressable tells whether a name can stand in a path by itself. Others are
// addressed by their database's UUID.
func Addressable(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= 512 &&
		!strings.ContainsAny(name, `/\%`) && Name(name) == name
}

// Ref gives what stands for a database in a path: its name, escaped, or its
// UUID where the name cannot stand there.
func Ref(name, id string) string {
	if Addressable(name) || id == "" {
		return url.PathEscape(name)
	}
	return id
}

// Handle gives what a form sends for a database: its name, or its UUID where
// the name would be read as something else.
func Handle(name, id string) string {
	if name == "all" || !Addressable(name) {
		return id
	}
	return name
}

// FileName makes a name fit to be a file's: no separator, quote or control
// character, no leading dot, and at most 150 characters.
func FileName(name string) string {
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\":%*?<>|`, r) || r == unicode.ReplacementChar {
			return '_'
		}
		return r
	}, Name(name))
	if runes := []rune(name); len(runes) > 150 {
		name = string(runes[:75]) + "…" + string(runes[len(runes)-74:])
	}
	return strings.TrimLeft(name, ".")
}

// Shell quotes an argument for a POSIX shell where it needs it.
func Shell(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-/:@+,~=", r))
	}) && s[0] != '~' && s[0] != '-' {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
